//! The bytes of a file: cut into parts, sealed, named by what they are, put together again.

use domain::attachment::{ALONE_MS, Attachment, Command, PART_BYTES, Rejection};
use events::attachment::Received;
use events::{AttachmentId, Meta};
use infra::Error;
use infra::keys::Key;
use infra::keys::seal::{NONCE_BYTES, open_bytes, seal_bytes};

use super::{NotTaken, execute, load};
use crate::App;

/// Blobs that are listed at once where some of them are to be removed.
const PRUNE_MAX: usize = 1000;
/// Bytes by which a file's type is recognised.
const HEAD_BYTES: usize = 8192;
/// What a file is that nobody knows better.
const BYTES: &str = "application/octet-stream";

/// Where a part is stored: under a digest of its bytes, so that what was received once is never written over.
fn place_of(id: &AttachmentId, tag: &str) -> String {
    format!("attachments/{id}/{tag}")
}

/// The parts a file of this desk can have.
pub fn parts_max(app: &App) -> u32 {
    u32::try_from(app.settings.file_bytes_max.div_ceil(PART_BYTES as u64)).unwrap_or(u32::MAX)
}

async fn key_of(app: &App, attachment: &Attachment) -> Result<Key, NotTaken> {
    match attachment.begun.as_ref().ok_or(Rejection::Unknown)?.subject.as_ref() {
        None => Ok(app.keys().await?.files),
        Some(subject) => app.ledger.keys.key(subject).await?.ok_or(NotTaken::Erased),
    }
}

/// Says whether the bytes of a file went with the person under whose key they were sealed.
pub async fn is_erased(app: &App, attachment: &Attachment) -> Result<bool, Error> {
    match key_of(app, attachment).await {
        Err(NotTaken::Erased) => Ok(true),
        Err(NotTaken::Technical(error)) => Err(error),
        _ => Ok(false),
    }
}

/// Removes every stored part of a file. Only for files whose key was erased: the ledger keeps what they were.
pub async fn erase_content(app: &App, id: &AttachmentId) -> Result<(), Error> {
    prune(app, id, &[]).await
}

/// Seals and stores one part; gives back its tag, by which it is named when all of them are there.
pub async fn put_part(app: &App, attachment: &Attachment, bytes: &[u8]) -> Result<String, NotTaken> {
    let begun = attachment.begun.as_ref().ok_or(Rejection::Unknown)?;
    if attachment.discarded {
        return Err(Rejection::Discarded.into());
    }
    if attachment.received.is_some() {
        return Err(Rejection::Received.into());
    }
    if bytes.is_empty() || bytes.len() > PART_BYTES {
        return Err(NotTaken::PartUnfit { number: 0, bytes: bytes.len() });
    }
    let tag = blake3::keyed_hash(&app.keys().await?.fingerprint, bytes).to_hex()[..32].to_owned();
    let place = place_of(&begun.attachment, &tag);
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.chance.fill(&mut nonce);
    let sealed = seal_bytes(&key_of(app, attachment).await?, nonce, &place, bytes);
    app.blob.put(&place, sealed).await?;
    // It may have been thrown away while this part was on its way.
    if load(app, &begun.attachment).await?.discarded {
        app.blob.remove(&place).await?;
        return Err(Rejection::Discarded.into());
    }
    Ok(tag)
}

/// One part in the clear; `None` where it is not there.
async fn get_part(app: &App, id: &AttachmentId, key: &Key, tag: &str) -> Result<Option<Vec<u8>>, Error> {
    let place = place_of(id, tag);
    app.blob.get(&place).await?.map(|sealed| open_bytes(key, &place, &sealed)).transpose()
}

/// All parts are there, in this order: each is looked at, and every one but the last is whole.
pub async fn complete(app: &App, attachment: &Attachment, tags: &[String], claimed: &str, meta: &Meta) -> Result<Attachment, NotTaken> {
    let id = &attachment.begun.as_ref().ok_or(Rejection::Unknown)?.attachment;
    let key = key_of(app, attachment).await?;
    let mut sum = Sum::new(app).await?;
    for (number, tag) in (1..).zip(tags) {
        let is_tag = tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes = if is_tag { get_part(app, id, &key, tag).await? } else { None };
        let bytes = bytes.ok_or(NotTaken::PartMissing(number))?;
        if bytes.len() < PART_BYTES && usize::try_from(number).is_ok_and(|number| number < tags.len()) {
            return Err(NotTaken::PartUnfit { number, bytes: bytes.len() });
        }
        sum.add(&bytes, tag.clone());
    }
    sum.receive(app, id, claimed, meta).await
}

/// The digest of the bytes that are there now, to be held against the one that was recorded.
pub async fn digest(app: &App, attachment: &Attachment) -> Result<String, NotTaken> {
    let (begun, received) = (attachment.begun.as_ref().ok_or(Rejection::Unknown)?, attachment.received.as_ref().ok_or(Rejection::Incomplete)?);
    let key = key_of(app, attachment).await?;
    let mut sum = Sum::new(app).await?;
    for (number, tag) in (1..).zip(&received.parts) {
        sum.add(&get_part(app, &begun.attachment, &key, tag).await?.ok_or(NotTaken::PartMissing(number))?, tag.clone());
    }
    Ok(sum.digest())
}

/// What is known of a file when all its bytes have passed by.
struct Sum {
    digest: Box<blake3::Hasher>,
    head: Vec<u8>,
    bytes: u64,
    parts: Vec<String>,
}

impl Sum {
    async fn new(app: &App) -> Result<Self, Error> {
        Ok(Self { digest: Box::new(blake3::Hasher::new_keyed(&app.keys().await?.fingerprint)), head: Vec::new(), bytes: 0, parts: Vec::new() })
    }

    fn digest(&self) -> String {
        self.digest.finalize().to_hex().to_string()
    }

    fn add(&mut self, part: &[u8], tag: String) {
        self.digest.update(part);
        self.bytes += part.len() as u64;
        self.parts.push(tag);
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&part[..missing.min(part.len())]);
    }

    async fn receive(self, app: &App, id: &AttachmentId, claimed: &str, meta: &Meta) -> Result<Attachment, NotTaken> {
        if self.bytes > app.settings.file_bytes_max {
            return Err(NotTaken::TooLarge(app.settings.file_bytes_max));
        }
        let received = Received {
            media_type: media_type(&self.head, claimed),
            bytes: self.bytes,
            digest: self.digest(),
            parts: self.parts,
            due: app.ledger.clock.now().plus_ms(ALONE_MS),
        };
        Ok(execute(app, id, &Command::Receive(received), meta).await?)
    }
}

/// What the bytes are by their look; where they look like nothing known, what was claimed, unless that has a look of its own.
fn media_type(head: &[u8], claimed: &str) -> String {
    let claimed = claimed.split(';').next().unwrap_or_default().trim().to_lowercase();
    let is_type = claimed.len() <= 127 && claimed.split_once('/').is_some_and(|(family, kind)| !family.is_empty() && !kind.is_empty());
    let is_plain = claimed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.+-_".contains(&byte));
    match infer::get(head) {
        Some(found) => found.mime_type().to_owned(),
        // What would have been recognised if it were that is not believed to be it.
        None if is_type && is_plain && !infer::is_mime_supported(&claimed) => claimed,
        None => BYTES.to_owned(),
    }
}

/// A file that comes in as a whole, whatever the sizes of its pieces: never more than a part of it is held in memory.
pub struct Upload<'a> {
    app: &'a App,
    attachment: Attachment,
    sum: Sum,
    part: Vec<u8>,
}

impl<'a> Upload<'a> {
    pub async fn new(app: &'a App, attachment: Attachment) -> Result<Self, NotTaken> {
        if attachment.discarded {
            return Err(Rejection::Discarded.into());
        }
        Ok(Self { app, attachment, sum: Sum::new(app).await?, part: Vec::new() })
    }

    /// The file that comes in.
    pub fn id(&self) -> Option<&AttachmentId> {
        self.attachment.begun.as_ref().map(|begun| &begun.attachment)
    }

    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), NotTaken> {
        while !bytes.is_empty() {
            let taken = bytes.len().min(PART_BYTES - self.part.len());
            self.part.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.sum.bytes + self.part.len() as u64 > self.app.settings.file_bytes_max {
                return Err(NotTaken::TooLarge(self.app.settings.file_bytes_max));
            }
            if self.part.len() == PART_BYTES {
                self.store().await?;
            }
        }
        Ok(())
    }

    /// Stores a part; of a file that was received before it only takes the sum.
    async fn store(&mut self) -> Result<(), NotTaken> {
        let tag = if self.attachment.received.is_some() { String::new() } else { put_part(self.app, &self.attachment, &self.part).await? };
        self.sum.add(&self.part, tag);
        self.part.clear();
        Ok(())
    }

    /// The whole has come. What was received before under the same id must have been the same.
    pub async fn finish(mut self, claimed: &str, meta: &Meta) -> Result<Attachment, NotTaken> {
        if !self.part.is_empty() {
            self.store().await?;
        }
        if let Some(received) = &self.attachment.received {
            return if received.digest == self.sum.digest() { Ok(self.attachment) } else { Err(Rejection::Received.into()) };
        }
        let id = &self.attachment.begun.as_ref().ok_or(Rejection::Unknown)?.attachment;
        self.sum.receive(self.app, id, claimed, meta).await
    }
}

/// The bytes of one part that a range of the file covers; parts are counted from 1, the range ends before its end.
pub async fn read_part(app: &App, attachment: &Attachment, number: u32, range: &std::ops::Range<u64>) -> Result<Vec<u8>, NotTaken> {
    let begun = attachment.begun.as_ref().ok_or(Rejection::Unknown)?;
    let key = key_of(app, attachment).await?;
    let tags = attachment.received.as_ref().map(|received| &received.parts[..]).unwrap_or_default();
    let tag = usize::try_from(number - 1).ok().and_then(|at| tags.get(at)).ok_or(NotTaken::PartMissing(number))?;
    let part = get_part(app, &begun.attachment, &key, tag).await?.ok_or(NotTaken::PartMissing(number))?;
    let begins = u64::from(number - 1) * PART_BYTES as u64;
    let within = |at: u64| usize::try_from(at.saturating_sub(begins)).unwrap_or(usize::MAX).min(part.len());
    Ok(part[within(range.start)..within(range.end)].to_vec())
}

/// The numbers of the parts that a range covers.
pub fn parts_of(range: &std::ops::Range<u64>) -> std::ops::RangeInclusive<u32> {
    let part = |at: u64| u32::try_from(at / PART_BYTES as u64 + 1).unwrap_or(u32::MAX);
    if range.is_empty() { std::ops::RangeInclusive::new(1, 0) } else { part(range.start)..=part(range.end - 1) }
}

/// Removes every part but these.
pub(super) async fn prune(app: &App, id: &AttachmentId, keep: &[String]) -> Result<(), Error> {
    loop {
        let stored = app.blob.list(&place_of(id, ""), PRUNE_MAX).await?;
        let gone: Vec<&String> = stored.iter().filter(|key| !keep.iter().any(|tag| key.ends_with(tag.as_str()))).collect();
        for key in &gone {
            app.blob.remove(key).await?;
        }
        if gone.is_empty() || stored.len() < PRUNE_MAX {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_what_bytes_look_like_and_never_more_than_a_type() {
        let png = b"\x89PNG\r\n\x1a\n rest";
        assert_eq!(media_type(png, "text/plain"), "image/png");
        assert_eq!(media_type(b"hello", "Text/Plain; charset=utf-8"), "text/plain");
        for claimed in ["", "text", "a/b\r\nX: y", "/", "text/<b>", "image/png", "application/pdf"] {
            assert_eq!(media_type(b"hello", claimed), BYTES, "{claimed:?}");
        }
    }

    #[test]
    fn a_range_names_the_parts_it_covers() {
        let size = PART_BYTES as u64;
        assert_eq!(parts_of(&(0..size)), 1..=1);
        assert_eq!(parts_of(&(size - 1..size + 1)), 1..=2);
        assert_eq!(parts_of(&(2 * size..2 * size + 1)), 3..=3);
        assert_eq!(parts_of(&(0..0)).count(), 0);
    }
}

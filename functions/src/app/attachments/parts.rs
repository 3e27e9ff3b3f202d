//! Stores an uploaded file as several encrypted parts, and reads the parts again. The name of a
//! stored part contains the part number and a digest of its bytes.

use std::ops::Range;
use std::time::Duration;

use domain::attachment::{ALONE_MS, Attachment, Command, PART_BYTES, Rejection};
use events::attachment::Uploaded;
use events::{AttachmentId, Meta};
use infra::Error;
use infra::keys::Key;
use infra::keys::seal::{
    CHUNK_BYTES, CHUNKED_HEAD_BYTES, NONCE_BYTES, nonce_of_chunks, open_bytes, open_chunk,
    range_of_chunk, seal_chunks,
};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::{NotTaken, execute, load};
use crate::App;
use crate::app::limits::limited;

/// Maximum number of stored parts that are listed and deleted in one step.
const PRUNE_MAX: usize = 1000;
/// Number of bytes at the start of a file that are used to detect the media type.
const HEAD_BYTES: usize = 8192;
/// The media type of a file if neither the content nor the client gives a valid type.
const BYTES: &str = "application/octet-stream";

/// Maximum number of stored parts that are listed for one upload. Even the largest file that an
/// administrator can allow has fewer parts.
const LISTED_MAX: usize = 4096;
/// Number of bytes that must remain free on the disk after an upload.
pub const FREE_BYTES_MIN: u64 = 256 << 20;
/// Maximum number of parts that are completely in memory at the same time. One part and its
/// encrypted copy together need 9 MiB.
const WHOLE_PARTS_MAX: usize = 8;
/// Longest time that a request waits for permission to read one more complete part into memory.
const WHOLE_WAIT: Duration = Duration::from_secs(10);

static WHOLE_PARTS: Semaphore = Semaphore::const_new(WHOLE_PARTS_MAX);

/// The locks for changes of uploads. While a request has the lock of an upload, other requests
/// cannot change this upload. The request can therefore safely delete the bytes of a replaced part.
/// The number of locks is fixed, so several uploads can share one lock.
static LOCKS: [Mutex<()>; 64] = [const { Mutex::const_new(()) }; 64];

fn lock_of(id: &AttachmentId) -> &'static Mutex<()> {
    &LOCKS[usize::from(blake3::hash(id.as_str().as_bytes()).as_bytes()[0]) % LOCKS.len()]
}

/// Returns the key under which a part is stored in the blob store.
fn place_of(id: &AttachmentId, name: &str) -> String {
    format!("attachments/{id}/{name}")
}

/// Returns the name of a stored part. The name consists of the part number and a digest of the
/// bytes. Older versions of the desk stored parts with only the digest as their name.
fn name_of(number: u32, tag: &str) -> String {
    format!("{number:05}-{tag}")
}

/// Returns the names of all parts that are stored for an upload.
async fn stored(app: &App, id: &AttachmentId) -> Result<Vec<String>, Error> {
    let folder = place_of(id, "");
    let keys = app.blob.list(&folder, LISTED_MAX).await?;
    Ok(keys
        .into_iter()
        .filter_map(|key| key.strip_prefix(&folder).map(str::to_owned))
        .collect())
}

/// Returns `DiskFull` if the disk has too little free space for `bytes` more bytes. At least
/// [`FREE_BYTES_MIN`] must remain free after these bytes are written.
pub async fn check_space(app: &App, bytes: u64) -> Result<(), NotTaken> {
    match app.blob.free_bytes().await? {
        Some(free) if free < FREE_BYTES_MIN.saturating_add(bytes) => Err(NotTaken::DiskFull),
        _ => Ok(()),
    }
}

/// Returns the largest number of parts that a file may have. The number depends on the configured
/// maximum file size.
pub fn parts_max(app: &App) -> u32 {
    u32::try_from(app.settings.file_bytes_max.div_ceil(PART_BYTES as u64)).unwrap_or(u32::MAX)
}

async fn key_of(app: &App, attachment: &Attachment) -> Result<Key, NotTaken> {
    match attachment
        .upload_started
        .as_ref()
        .ok_or(Rejection::Unknown)?
        .subject
        .as_ref()
    {
        None => Ok(app.keys().await?.files),
        Some(subject) => app.ledger.keys.key(subject).await?.ok_or(NotTaken::Erased),
    }
}

/// Returns true if the bytes of a file are unreadable because a person was erased. The file was
/// encrypted with the key of this person, and the key was erased together with the person.
pub async fn is_erased(app: &App, attachment: &Attachment) -> Result<bool, Error> {
    match key_of(app, attachment).await {
        Err(NotTaken::Erased) => Ok(true),
        Err(NotTaken::Technical(error)) => Err(error),
        _ => Ok(false),
    }
}

/// Deletes all stored parts of a file whose encryption key was erased. The events about the file
/// remain in the ledger.
pub async fn erase_content(app: &App, id: &AttachmentId) -> Result<(), Error> {
    prune(app, id, &[]).await
}

/// Encrypts and stores one part of an upload. Replaces an earlier part with the same number.
/// Returns the tag (a digest of the bytes) that the client passes to [`complete`].
pub async fn put_part(
    app: &App,
    attachment: &Attachment,
    number: u32,
    bytes: &[u8],
) -> Result<String, NotTaken> {
    let begun = attachment
        .upload_started
        .as_ref()
        .ok_or(Rejection::Unknown)?;
    still_open(attachment)?;
    if bytes.is_empty() || bytes.len() > PART_BYTES {
        return Err(NotTaken::PartUnfit {
            number,
            bytes: bytes.len(),
        });
    }
    check_space(app, bytes.len() as u64).await?;
    let tag = blake3::keyed_hash(&app.keys().await?.fingerprint, bytes).to_hex()[..32].to_owned();
    let name = name_of(number, &tag);
    let place = place_of(&begun.attachment, &name);
    let key = key_of(app, attachment).await?;
    let _lock = lock_of(&begun.attachment).lock().await;
    // While this request waited for the lock, another request may have completed or discarded the
    // upload. The state of the upload is therefore checked again.
    still_open(&load(app, &begun.attachment).await?)?;
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.rng.fill(&mut nonce);
    app.blob
        .put(&place, seal_chunks(&key, nonce, &place, bytes))
        .await?;
    let now = load(app, &begun.attachment).await?;
    if now.discarded {
        app.blob.remove(&place).await?;
    }
    still_open(&now)?;
    app.limits
        .uploaded(&begun.by, bytes.len(), app.ledger.clock.now());
    for replaced in stored(app, &begun.attachment).await? {
        if replaced != name
            && replaced
                .split_once('-')
                .is_some_and(|(other, _)| other.parse() == Ok(number))
        {
            app.blob
                .remove(&place_of(&begun.attachment, &replaced))
                .await?;
        }
    }
    Ok(tag)
}

/// Returns an error if an upload is completed or discarded. Such an upload accepts no more parts.
fn still_open(attachment: &Attachment) -> Result<(), Rejection> {
    match attachment {
        Attachment {
            discarded: true, ..
        } => Err(Rejection::Discarded),
        Attachment {
            uploaded: Some(_), ..
        } => Err(Rejection::Uploaded),
        _ => Ok(()),
    }
}

/// Returns the decrypted bytes of a stored part. Returns `None` if no part has this name.
async fn get_part(
    app: &App,
    id: &AttachmentId,
    key: &Key,
    name: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let _place = whole_part().await?;
    let place = place_of(id, name);
    app.blob
        .get(&place)
        .await?
        .map(|sealed| open_bytes(key, &place, &sealed))
        .transpose()
}

/// Completes an upload from stored parts. `tags` contains the tag (a digest of the bytes) of each
/// part, in the order of the file. `claimed` is the media type that the client sent.
///
/// Returns an error if a part does not exist or has a wrong size. Each part except the last part
/// must have exactly `PART_BYTES` bytes.
pub async fn complete(
    app: &App,
    attachment: &Attachment,
    tags: &[String],
    claimed: &str,
    meta: &Meta,
) -> Result<Attachment, NotTaken> {
    let id = &attachment
        .upload_started
        .as_ref()
        .ok_or(Rejection::Unknown)?
        .attachment;
    let key = key_of(app, attachment).await?;
    let mut sum = Sum::new(app).await?;
    let _lock = lock_of(id).lock().await;
    let names = stored(app, id).await?;
    for (number, tag) in (1..).zip(tags) {
        let is_tag = tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        // The upload normally has a part with this number and this tag (a digest of the bytes). If
        // no such part exists, any part with the same tag is used. Parts with the same tag have the
        // same bytes.
        let named = name_of(number, tag);
        let other = || names.iter().find(|name| name.ends_with(tag.as_str()));
        let name = names
            .iter()
            .find(|name| **name == named)
            .or_else(other)
            .filter(|_| is_tag)
            .ok_or(NotTaken::PartMissing(number))?;
        let bytes = get_part(app, id, &key, name)
            .await?
            .ok_or(NotTaken::PartMissing(number))?;
        if bytes.len() < PART_BYTES
            && usize::try_from(number).is_ok_and(|number| number < tags.len())
        {
            return Err(NotTaken::PartUnfit {
                number,
                bytes: bytes.len(),
            });
        }
        sum.add(&bytes, name.clone());
    }
    sum.receive(app, id, claimed, meta).await
}

/// Returns the digest of a file, which is computed from the stored parts of the file. The caller
/// compares this digest with the digest in the ledger.
pub async fn digest(app: &App, attachment: &Attachment) -> Result<String, NotTaken> {
    let (begun, received) = (
        attachment
            .upload_started
            .as_ref()
            .ok_or(Rejection::Unknown)?,
        attachment.uploaded.as_ref().ok_or(Rejection::Incomplete)?,
    );
    let key = key_of(app, attachment).await?;
    let mut sum = Sum::new(app).await?;
    for (number, name) in (1..).zip(&received.parts) {
        sum.add(
            &get_part(app, &begun.attachment, &key, name)
                .await?
                .ok_or(NotTaken::PartMissing(number))?,
            name.clone(),
        );
    }
    Ok(sum.digest())
}

/// Collects the digest, the size, the first bytes and the part names of a file. The values are
/// updated with each part that is read.
struct Sum {
    digest: Box<blake3::Hasher>,
    head: Vec<u8>,
    bytes: u64,
    parts: Vec<String>,
}

impl Sum {
    async fn new(app: &App) -> Result<Self, Error> {
        Ok(Self {
            digest: Box::new(blake3::Hasher::new_keyed(&app.keys().await?.fingerprint)),
            head: Vec::new(),
            bytes: 0,
            parts: Vec::new(),
        })
    }

    fn digest(&self) -> String {
        self.digest.finalize().to_hex().to_string()
    }

    fn add(&mut self, part: &[u8], name: String) {
        self.digest.update(part);
        self.bytes += part.len() as u64;
        self.parts.push(name);
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head
            .extend_from_slice(&part[..missing.min(part.len())]);
    }

    async fn receive(
        self,
        app: &App,
        id: &AttachmentId,
        claimed: &str,
        meta: &Meta,
    ) -> Result<Attachment, NotTaken> {
        if self.bytes > app.settings.file_bytes_max {
            return Err(NotTaken::TooLarge(app.settings.file_bytes_max));
        }
        let received = Uploaded {
            media_type: media_type(&self.head, claimed),
            bytes: self.bytes,
            digest: self.digest(),
            parts: self.parts,
            due: app.ledger.clock.now().plus_ms(ALONE_MS),
        };
        Ok(execute(app, id, &Command::Receive(received), meta).await?)
    }
}

/// Returns the media type of a file. `head` contains the first bytes of the file, and `claimed` is
/// the type from the client. Files of many types start with a signature, such as `%PDF`. If the
/// file starts with a known signature, the function returns the type of this signature.
///
/// Without a known signature, the function usually returns `claimed`. The function returns the
/// default type if `claimed` is invalid. The function also returns the default type if every file
/// of the type `claimed` starts with a known signature.
fn media_type(head: &[u8], claimed: &str) -> String {
    let claimed = claimed
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let is_type = claimed.len() <= 127
        && claimed
            .split_once('/')
            .is_some_and(|(family, kind)| !family.is_empty() && !kind.is_empty());
    let is_plain = claimed
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/.+-_".contains(&byte));
    match infer::get(head) {
        Some(found) => found.mime_type().to_owned(),
        // The file has no known signature. For some file types, every file starts with a known
        // signature. If the client claims such a type, the claim is wrong, and the default type is
        // used.
        None if is_type && is_plain && !infer::is_mime_supported(&claimed) => claimed,
        None => BYTES.to_owned(),
    }
}

/// An upload of a whole file in one request. At most one part of the file is in memory at the same
/// time.
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
        Ok(Self {
            app,
            attachment,
            sum: Sum::new(app).await?,
            part: Vec::new(),
        })
    }

    /// Returns the id of the file. Returns `None` if no upload was started.
    pub fn id(&self) -> Option<&AttachmentId> {
        self.attachment
            .upload_started
            .as_ref()
            .map(|begun| &begun.attachment)
    }

    /// Returns true if an earlier request with the same idempotency key already completed the
    /// upload.
    pub fn is_received(&self) -> bool {
        self.attachment.uploaded.is_some()
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

    /// Stores the bytes in `part` as the next part of the file. If an earlier request already
    /// completed the upload, no bytes are stored. The function then only updates the digest and the
    /// size of the sent bytes. These values are later compared with the earlier file.
    async fn store(&mut self) -> Result<(), NotTaken> {
        let number = u32::try_from(self.sum.parts.len() + 1).unwrap_or(u32::MAX);
        let name = match &self.attachment.uploaded {
            Some(_) => String::new(),
            None => name_of(
                number,
                &put_part(self.app, &self.attachment, number, &self.part).await?,
            ),
        };
        self.sum.add(&self.part, name);
        self.part.clear();
        Ok(())
    }

    /// Completes the upload, and returns the state of the attachment. An earlier request may
    /// already have uploaded a file with the same id. If the earlier file has other bytes, the
    /// function returns an error. `claimed` is the media type that the client sent.
    pub async fn finish(mut self, claimed: &str, meta: &Meta) -> Result<Attachment, NotTaken> {
        if !self.part.is_empty() {
            self.store().await?;
        }
        if let Some(received) = &self.attachment.uploaded {
            return if received.digest == self.sum.digest() {
                Ok(self.attachment)
            } else {
                Err(Rejection::Uploaded.into())
            };
        }
        let id = &self
            .attachment
            .upload_started
            .as_ref()
            .ok_or(Rejection::Unknown)?
            .attachment;
        self.sum.receive(self.app, id, claimed, meta).await
    }
}

/// Reads a byte range of a stored file in small pieces. Usually, only one piece is in memory at a
/// time. A client that reads slowly therefore needs little memory of the server.
pub struct Pieces {
    app: App,
    id: AttachmentId,
    key: Key,
    names: Vec<String>,
    /// The size of the whole file, in bytes.
    bytes: u64,
    at: u64,
    end: u64,
    open: Option<(u64, Opened)>,
}

/// The stored part from which the current piece is read.
enum Opened {
    /// The part was encrypted in chunks. Each chunk is read and decrypted separately. Only the
    /// nonce (a random value for the decryption) of the part is in memory.
    Chunks([u8; NONCE_BYTES]),
    /// The whole part is in memory. The part was encrypted as a whole, or the host (such as AWS
    /// Lambda) limits the size of responses.
    Whole {
        bytes: Vec<u8>,
        _permit: SemaphorePermit<'static>,
    },
}

impl Pieces {
    pub async fn new(
        app: &App,
        attachment: &Attachment,
        range: &Range<u64>,
    ) -> Result<Self, NotTaken> {
        let begun = attachment
            .upload_started
            .as_ref()
            .ok_or(Rejection::Unknown)?;
        let received = attachment.uploaded.as_ref().ok_or(Rejection::Incomplete)?;
        let key = key_of(app, attachment).await?;
        let (id, names) = (begun.attachment.clone(), received.parts.clone());
        Ok(Self {
            app: app.clone(),
            id,
            key,
            names,
            bytes: received.bytes,
            at: range.start,
            end: range.end.min(received.bytes),
            open: None,
        })
    }

    /// Returns the next piece of the file. Returns `None` after the last byte of the requested
    /// range.
    pub async fn read_on(&mut self) -> Result<Option<Vec<u8>>, NotTaken> {
        if self.at >= self.end {
            return Ok(None);
        }
        let part = self.at / PART_BYTES as u64;
        let number = u32::try_from(part + 1).unwrap_or(u32::MAX);
        let missing = || NotTaken::PartMissing(number);
        let begins = part * PART_BYTES as u64;
        let small = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        // All parts except the last have `PART_BYTES` bytes. The length of the current part can
        // therefore be computed from the file size.
        let length = small(self.bytes - begins).min(PART_BYTES);
        let (from, to) = (
            small(self.at - begins),
            small(self.end - begins).min(length),
        );
        let name = self.names.get(small(part)).ok_or_else(missing)?;
        let place = place_of(&self.id, name);
        if self.open.as_ref().is_none_or(|(open, _)| *open != part) {
            self.open = None;
            self.open = Some((
                part,
                open_part(&self.app, &self.key, &place)
                    .await?
                    .ok_or_else(missing)?,
            ));
        }
        let piece = match &self.open {
            Some((_, Opened::Whole { bytes: whole, .. })) => whole
                .get(from..to.min(from + CHUNK_BYTES))
                .map(<[u8]>::to_vec),
            Some((_, Opened::Chunks(nonce))) => {
                let index = from / CHUNK_BYTES;
                let chunk_begins = index * CHUNK_BYTES;
                let sealed = self
                    .app
                    .blob
                    .get_range(&place, range_of_chunk(index, length))
                    .await?
                    .ok_or_else(missing)?;
                let chunk = open_chunk(
                    &self.key,
                    *nonce,
                    &place,
                    index,
                    chunk_begins + CHUNK_BYTES >= length,
                    &sealed,
                )?;
                chunk
                    .get(from - chunk_begins..(to - chunk_begins).min(chunk.len()))
                    .map(<[u8]>::to_vec)
            }
            None => None,
        };
        let piece = piece
            .filter(|piece| !piece.is_empty())
            .ok_or_else(missing)?;
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

/// Opens a stored part for reading. A part that was encrypted as a whole is read completely into
/// memory. From a part that was encrypted in chunks, only the nonce (a random value for the
/// decryption) is read. Returns `None` if the part does not exist.
async fn open_part(app: &App, key: &Key, place: &str) -> Result<Option<Opened>, Error> {
    if app.settings.response_bytes_max.is_none() {
        let Some(head) = app.blob.get_range(place, 0..CHUNKED_HEAD_BYTES).await? else {
            return Ok(None);
        };
        if let Some(nonce) = nonce_of_chunks(&head) {
            return Ok(Some(Opened::Chunks(nonce)));
        }
    }
    let permit = whole_part().await?;
    let Some(sealed) = app.blob.get(place).await? else {
        return Ok(None);
    };
    Ok(Some(Opened::Whole {
        bytes: open_bytes(key, place, &sealed)?,
        _permit: permit,
    }))
}

/// Waits for permission to read one more complete part into memory. The number of complete parts in
/// memory is limited. Returns `Limited` if the wait takes longer than [`WHOLE_WAIT`].
async fn whole_part() -> Result<SemaphorePermit<'static>, Error> {
    let waited = tokio::time::timeout(WHOLE_WAIT, WHOLE_PARTS.acquire()).await;
    waited
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| limited("too many files are read as a whole at once", 1))
}

/// Deletes the stored parts of a file. A part is not deleted if its name ends with a text in
/// `keep`.
pub(super) async fn prune(app: &App, id: &AttachmentId, keep: &[String]) -> Result<(), Error> {
    loop {
        let stored = app.blob.list(&place_of(id, ""), PRUNE_MAX).await?;
        let gone: Vec<&String> = stored
            .iter()
            .filter(|key| !keep.iter().any(|tag| key.ends_with(tag.as_str())))
            .collect();
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
    fn the_media_type_follows_the_first_bytes_or_a_plain_claim() {
        let png = b"\x89PNG\r\n\x1a\n rest";
        assert_eq!(media_type(png, "text/plain"), "image/png");
        assert_eq!(
            media_type(b"hello", "Text/Plain; charset=utf-8"),
            "text/plain"
        );
        for claimed in [
            "",
            "text",
            "a/b\r\nX: y",
            "/",
            "text/<b>",
            "image/png",
            "application/pdf",
        ] {
            assert_eq!(media_type(b"hello", claimed), BYTES, "{claimed:?}");
        }
    }
}

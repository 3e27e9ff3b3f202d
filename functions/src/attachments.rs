//! Files that people upload: cut into parts, each sealed before it is stored; attached to what will hold them, kept once that does, thrown away where
//! nothing ever did.

use domain::attachment::{ALONE_MS, Attachment, Command, PART_BYTES, Rejection};
use domain::draft::{DRAFT_MS, Draft};
use domain::ticket::Ticket;
use events::attachment::{Begun, Place, Received};
use events::{AttachmentId, Meta, Moment, Pid, Remark};
use infra::keys::Key;
use infra::keys::seal::{NONCE_BYTES, open_bytes, seal_bytes};
use infra::ledger::{NoLookups, command_id};
use infra::store::commit::hex;
use infra::{Error, Failure, Wish};

use crate::App;

/// Bytes by which a file's type is recognised.
const HEAD_BYTES: usize = 8192;
/// What a file is that nobody knows better.
const BYTES: &str = "application/octet-stream";

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Technical(#[from] Error),
    #[error(transparent)]
    Refused(#[from] Rejection),
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error("part {0} is missing")]
    PartMissing(u32),
    #[error("part {number} has {bytes} bytes; every part but the last has {PART_BYTES}")]
    PartUnfit { number: u32, bytes: usize },
    #[error("the bytes of this file were erased with the person they belonged to")]
    Erased,
}

impl From<Failure<Attachment>> for NotTaken {
    fn from(failure: Failure<Attachment>) -> Self {
        match failure {
            Failure::Technical(error) => Self::Technical(error),
            Failure::Rejected(rejection) => Self::Refused(rejection),
        }
    }
}

/// A new id; the same one for the same key of an application.
pub fn id(app: &App, key: Option<(&str, &str)>) -> AttachmentId {
    let bytes = key.map_or_else(|| app.ledger.fresh_id(), |(code, key)| command_id(&["attachment", code, key]));
    AttachmentId(format!("att-{}", hex(&bytes)))
}

/// One attachment as it is now.
pub async fn load(app: &App, id: &AttachmentId) -> Result<Attachment, Error> {
    Ok(app.ledger.load::<Attachment>(&id.stream()).await?.aggregate.0)
}

async fn execute(app: &App, id: &AttachmentId, command: &Command, meta: &Meta) -> Result<Attachment, Failure<Attachment>> {
    let wish = Wish { stream: id.stream(), command_id: app.ledger.fresh_id(), meta: meta.clone() };
    Ok(app.ledger.execute::<Attachment>(&wish, command, &NoLookups).await?.state)
}

/// Begins an upload. Where there is a subject, name and bytes are sealed under that person's key.
pub async fn begin(app: &App, id: &AttachmentId, name: &str, subject: Option<Pid>, meta: &Meta) -> Result<Attachment, NotTaken> {
    let name = Remark::new(name);
    let name = subject.clone().map_or_else(|| name.clone(), |subject| name.clone().owned_by(subject));
    let due = app.ledger.clock.now().plus_ms(ALONE_MS);
    let begun = Begun { attachment: id.clone(), by: meta.actor.clone(), subject, name, due };
    Ok(execute(app, id, &Command::Begin(begun), meta).await?)
}

/// Where a part is stored.
fn place_of(id: &AttachmentId, number: u32) -> String {
    format!("attachments/{id}/{number:05}")
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

/// Seals and stores one part, counted from 1; one that was stored before is overwritten.
pub async fn put_part(app: &App, attachment: &Attachment, number: u32, bytes: &[u8]) -> Result<(), NotTaken> {
    let begun = attachment.begun.as_ref().ok_or(Rejection::Unknown)?;
    if attachment.received.is_some() {
        return Err(Rejection::Received.into());
    }
    if bytes.is_empty() || bytes.len() > PART_BYTES {
        return Err(NotTaken::PartUnfit { number, bytes: bytes.len() });
    }
    let place = place_of(&begun.attachment, number);
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.chance.fill(&mut nonce);
    let sealed = seal_bytes(&key_of(app, attachment).await?, nonce, &place, bytes);
    Ok(app.blob.put(&place, sealed).await?)
}

/// One part in the clear; `None` where it is not there.
async fn get_part(app: &App, id: &AttachmentId, key: &Key, number: u32) -> Result<Option<Vec<u8>>, Error> {
    let place = place_of(id, number);
    app.blob.get(&place).await?.map(|sealed| open_bytes(key, &place, &sealed)).transpose()
}

/// Looks at every part that is there, and says that all of it was received. An upload without bytes is a file without bytes.
pub async fn complete(app: &App, attachment: &Attachment, claimed: &str, meta: &Meta) -> Result<Attachment, NotTaken> {
    let id = &attachment.begun.as_ref().ok_or(Rejection::Unknown)?.attachment;
    let key = key_of(app, attachment).await?;
    let mut sum = Sum::new(app).await?;
    let mut short = None;
    for number in 1..=parts_max(app) + 1 {
        let Some(bytes) = get_part(app, id, &key, number).await? else { break };
        if let Some((number, bytes)) = short {
            return Err(NotTaken::PartUnfit { number, bytes });
        }
        short = (bytes.len() < PART_BYTES).then_some((number, bytes.len()));
        sum.add(&bytes);
    }
    sum.receive(app, id, claimed, meta).await
}

/// The digest of the bytes that are there now, to be held against the one that was recorded.
pub async fn digest(app: &App, attachment: &Attachment) -> Result<String, NotTaken> {
    let (begun, received) = (attachment.begun.as_ref().ok_or(Rejection::Unknown)?, attachment.received.as_ref().ok_or(Rejection::Incomplete)?);
    let key = key_of(app, attachment).await?;
    let mut sum = Sum::new(app).await?;
    for number in 1..=received.parts {
        sum.add(&get_part(app, &begun.attachment, &key, number).await?.ok_or(NotTaken::PartMissing(number))?);
    }
    Ok(sum.digest.finalize().to_hex().to_string())
}

/// What is known of a file when all its bytes have passed by.
struct Sum {
    digest: Box<blake3::Hasher>,
    head: Vec<u8>,
    bytes: u64,
    parts: u32,
}

impl Sum {
    async fn new(app: &App) -> Result<Self, Error> {
        Ok(Self { digest: Box::new(blake3::Hasher::new_keyed(&app.keys().await?.fingerprint)), head: Vec::new(), bytes: 0, parts: 0 })
    }

    fn add(&mut self, part: &[u8]) {
        self.digest.update(part);
        self.bytes += part.len() as u64;
        self.parts += 1;
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
            parts: self.parts,
            digest: self.digest.finalize().to_hex().to_string(),
            due: app.ledger.clock.now().plus_ms(ALONE_MS),
        };
        Ok(execute(app, id, &Command::Receive(received), meta).await?)
    }
}

/// What the bytes are by their look; where they look like nothing known, what was claimed.
fn media_type(head: &[u8], claimed: &str) -> String {
    let claimed = claimed.split(';').next().unwrap_or_default().trim().to_lowercase();
    let is_type = claimed.len() <= 127 && claimed.split_once('/').is_some_and(|(family, kind)| !family.is_empty() && !kind.is_empty());
    let is_plain = claimed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.+-_".contains(&byte));
    infer::get(head).map_or(if is_type && is_plain { claimed } else { BYTES.to_owned() }, |found| found.mime_type().to_owned())
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

    async fn store(&mut self) -> Result<(), NotTaken> {
        put_part(self.app, &self.attachment, self.sum.parts + 1, &self.part).await?;
        self.sum.add(&self.part);
        self.part.clear();
        Ok(())
    }

    pub async fn finish(mut self, claimed: &str, meta: &Meta) -> Result<Attachment, NotTaken> {
        if !self.part.is_empty() {
            self.store().await?;
        }
        let id = &self.attachment.begun.as_ref().ok_or(Rejection::Unknown)?.attachment;
        self.sum.receive(self.app, id, claimed, meta).await
    }
}

/// The bytes of one part that a range of the file covers; parts are counted from 1, the range ends before its end.
pub async fn read_part(app: &App, attachment: &Attachment, number: u32, range: &std::ops::Range<u64>) -> Result<Vec<u8>, NotTaken> {
    let begun = attachment.begun.as_ref().ok_or(Rejection::Unknown)?;
    let key = key_of(app, attachment).await?;
    let part = get_part(app, &begun.attachment, &key, number).await?.ok_or(NotTaken::PartMissing(number))?;
    let begins = u64::from(number - 1) * PART_BYTES as u64;
    let within = |at: u64| usize::try_from(at.saturating_sub(begins)).unwrap_or(usize::MAX).min(part.len());
    Ok(part[within(range.start)..within(range.end)].to_vec())
}

/// The numbers of the parts that a range covers.
pub fn parts_of(range: &std::ops::Range<u64>) -> std::ops::RangeInclusive<u32> {
    let part = |at: u64| u32::try_from(at / PART_BYTES as u64 + 1).unwrap_or(u32::MAX);
    if range.is_empty() { std::ops::RangeInclusive::new(1, 0) } else { part(range.start)..=part(range.end - 1) }
}

/// Says of files that something is about to hold them. One that cannot be is left to whoever decides, who names it.
pub async fn attach(app: &App, ids: &[AttachmentId], to: &Place, meta: &Meta) -> Result<(), Error> {
    attach_until(app, ids, to, app.ledger.clock.now().plus_ms(ALONE_MS), meta).await
}

/// The same, to be looked at again at a time.
pub async fn attach_until(app: &App, ids: &[AttachmentId], to: &Place, until: Moment, meta: &Meta) -> Result<(), Error> {
    for id in ids {
        let command = Command::Attach { to: to.clone(), by: meta.actor.clone(), until };
        match execute(app, id, &command, meta).await {
            Ok(_) | Err(Failure::Rejected(_)) => {}
            Err(Failure::Technical(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Throws a file away that nothing holds.
pub async fn discard(app: &App, id: &AttachmentId, meta: &Meta) -> Result<(), NotTaken> {
    execute(app, id, &Command::Discard { by: meta.actor.clone(), at: app.ledger.clock.now() }, meta).await?;
    // Should this not get through, the deadline of the discarded file sees to it.
    remove(app, id, meta).await
}

async fn remove(app: &App, id: &AttachmentId, meta: &Meta) -> Result<(), NotTaken> {
    let parts = load(app, id).await?.received.map_or_else(|| parts_max(app), |received| received.parts);
    for number in 1..=parts {
        app.blob.remove(&place_of(id, number)).await?;
    }
    execute(app, id, &Command::Remove, meta).await?;
    Ok(())
}

/// Looks at a file whose time is over: what holds it keeps it, else it is thrown away.
pub async fn settle(app: &App, stream: &str) -> Result<(), Error> {
    let attachment = app.ledger.load::<Attachment>(stream).await?.aggregate.0;
    let Some(begun) = &attachment.begun else { return Ok(()) };
    if attachment.kept || attachment.removed || attachment.due > app.ledger.clock.now() {
        return Ok(());
    }
    let meta = Meta::system(stream, stream);
    let settled = if attachment.discarded {
        remove(app, &begun.attachment, &meta).await
    } else {
        match (holds(app, &attachment).await?, &attachment.place) {
            (Holds::ForEver, _) => execute(app, &begun.attachment, &Command::Keep, &meta).await.map(drop).map_err(NotTaken::from),
            (Holds::Until(until), Some(place)) => Ok(attach_until(app, std::slice::from_ref(&begun.attachment), place, until, &meta).await?),
            _ => discard(app, &begun.attachment, &meta).await,
        }
    };
    match settled {
        Ok(()) => Ok(()),
        Err(NotTaken::Technical(error)) => Err(error),
        // Somebody was faster; what is due now is another deadline.
        Err(other) => {
            tracing::info!(%other, stream, "a file was settled by somebody else");
            Ok(())
        }
    }
}

/// How long something holds a file.
enum Holds {
    Not,
    Until(Moment),
    ForEver,
}

/// Says whether what a file is attached to really holds it.
async fn holds(app: &App, attachment: &Attachment) -> Result<Holds, Error> {
    let Some(begun) = &attachment.begun else { return Ok(Holds::Not) };
    let for_ever = |holds| if holds { Holds::ForEver } else { Holds::Not };
    Ok(match &attachment.place {
        None => Holds::Not,
        Some(Place::Ticket(sn)) => for_ever(app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0.attachments.contains(&begun.attachment)),
        Some(Place::Workflow(id)) => for_ever(app.configuration.drawn(*id).await?.attachments().contains(&begun.attachment)),
        Some(Place::Draft(id)) => {
            let draft = app.ledger.load::<Draft>(&id.stream()).await?.aggregate.0;
            match draft.saved.as_ref().filter(|_| draft.attachments().contains(&begun.attachment)) {
                Some(saved) => Holds::Until(saved.due.unwrap_or_else(|| app.ledger.clock.now().plus_ms(DRAFT_MS)).plus_ms(ALONE_MS)),
                None => Holds::Not,
            }
        }
    })
}

/// Says whether somebody may read a file: its uploader, everybody where a workflow hands it out, and whoever has to do with the ticket that holds it.
pub async fn may_read(app: &App, attachment: &Attachment, reader: &Pid) -> Result<bool, Error> {
    let Some(begun) = &attachment.begun else { return Ok(false) };
    if begun.by == *reader {
        return Ok(true);
    }
    match &attachment.place {
        None | Some(Place::Draft(_)) => Ok(false),
        Some(Place::Workflow(_)) => Ok(true),
        Some(Place::Ticket(sn)) => {
            let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
            let Some(opened) = ticket.opened.as_ref().filter(|_| ticket.attachments.contains(&begun.attachment)) else { return Ok(false) };
            let owns = app.configuration.service(opened.service).await?.0.as_ref().is_some_and(|service| service.owners.contains(reader));
            Ok(ticket.concerns(reader) || owns || app.configuration.is_superuser(reader).await?)
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
        for claimed in ["", "text", "a/b\r\nX: y", "/", "text/<b>"] {
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

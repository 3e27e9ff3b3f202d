//! Stores the attachments of mails. The desk answers a mail before it processes it, so the attachments are first kept as
//! encrypted blobs. When the sender is proven and the mail is a comment, they become files of the ticket, uploaded by the
//! sender. In all other cases, the blobs are removed.

use domain::attachment::NAME_MAX;
use events::channel_account::Defined;
use events::person::Language;
use events::{AttachmentId, Meta, PersonId};
use infra::Error;
use infra::inbound::mail::{Mail, MailFile};
use infra::keys::seal::{NONCE_BYTES, open_bytes, seal_chunks};
use serde::{Deserialize, Serialize};

use super::sender::{is_checked, is_forged};
use crate::App;
use crate::app::attachments::{self, NotTaken, Upload};
use crate::app::notifications::reply_address;

/// Maximum number of attachments of one mail that the desk stores.
const FILES_MAX: usize = 10;
/// Images in the text of a mail with fewer bytes are logos and icons, so they are not stored.
const INLINE_BYTES_MIN: usize = 10 << 10;
/// The folder of the blobs. Each blob has the name `<day>-<id of the mail>-<number>-<part of the hash of its content>`.
const FOLDER: &str = "mails/";
/// Time after which a blob is removed although its mail was not processed, in days.
const KEPT_DAYS: i64 = 3;
/// Number of hexadecimal digits of the hash of the content in the name of a blob.
const DIGEST_DIGITS: usize = 16;
/// Maximum number of blobs that the desk lists to find old ones.
const LISTED_MAX: usize = 1_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// The name of the client in the ids of files, see [`attachments::id`].
const CLIENT: &str = "mail";

/// What happens to one attachment of a mail. The list of a mail is in the order of its attachments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub(in crate::app::notifications) enum Fate {
    /// The content is kept as a blob with this key.
    Kept {
        blob: String,
        media_type: String,
        is_inline: bool,
        /// A hash of the content with a secret key.
        digest: String,
    },
    /// The attachment is a small image in the text of the mail.
    Ignored,
    /// The attachment is too large, or the mail has too many of them.
    LeftOut,
}

/// Keeps the attachments of a mail whose sender can possibly be proven. Returns an empty list for any other mail.
pub(in crate::app::notifications) async fn keep(
    app: &App,
    account: Option<&Defined>,
    platform: &str,
    mail: &Mail,
) -> Result<Vec<Fate>, Error> {
    let mut to = mail.to.iter().chain(&mail.cc);
    let is_plausible = !is_forged(account, platform, mail)
        && (to.any(|address| reply_address::ticket_in(address).is_some())
            || is_checked(account, platform, mail));
    if !is_plausible {
        return Ok(Vec::new());
    }
    let (mut fates, mut kept) = (Vec::new(), 0);
    for (number, file) in mail.files.iter().enumerate() {
        let is_image = file.media_type.starts_with("image/");
        let fate = if file.is_inline && is_image && file.bytes.len() < INLINE_BYTES_MIN {
            Fate::Ignored
        } else if kept >= FILES_MAX || !is_small(app, file) {
            Fate::LeftOut
        } else {
            kept += 1;
            put(app, mail, number, file, is_image).await?
        };
        fates.push(fate);
    }
    Ok(fates)
}

fn is_small(app: &App, file: &MailFile) -> bool {
    let bytes = file.bytes.len() as u64;
    (1..=app.settings.file_bytes_max).contains(&bytes)
}

/// Stores the content of one attachment as an encrypted blob.
async fn put(
    app: &App,
    mail: &Mail,
    number: usize,
    file: &MailFile,
    is_image: bool,
) -> Result<Fate, Error> {
    match attachments::check_space(app, file.bytes.len() as u64).await {
        Ok(()) => {}
        Err(NotTaken::Technical(error)) => return Err(error),
        Err(_) => return Ok(Fate::LeftOut),
    }
    let keys = app.keys().await?;
    let digest = blake3::keyed_hash(&keys.fingerprint, &file.bytes).to_hex();
    let day = app.ledger.clock.now().0.div_euclid(DAY_MS);
    let blob = blob_of(day, &mail.id, number, digest.as_str());
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.rng.fill(&mut nonce);
    let sealed = seal_chunks(&keys.files, nonce, &blob, &file.bytes);
    app.blob.put(&blob, sealed).await?;
    Ok(Fate::Kept {
        blob,
        media_type: file.media_type.clone(),
        is_inline: file.is_inline && is_image,
        digest: digest.to_string(),
    })
}

/// Returns the key of the blob of an attachment. The key depends on the content: another person can send a mail with the
/// id of a mail that arrives at the same time, and must not replace its attachments.
fn blob_of(day: i64, mail: &str, number: usize, digest: &str) -> String {
    let digest: String = digest.chars().take(DIGEST_DIGITS).collect();
    format!("{FOLDER}{day}-{mail}-{number}-{digest}")
}

/// The attachments of a mail after the desk stored them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The files for the ticket.
    pub(super) ids: Vec<AttachmentId>,
    /// The names and the sizes of these files.
    pub(super) stored: Vec<(String, usize)>,
    /// The names and the sizes of the attachments that are not stored.
    pub(super) left_out: Vec<(String, usize)>,
}

/// Returns true if nothing of the attachments is worth a comment: all of them are small images in the text.
pub(super) fn are_ignored(mail: &Mail, fates: &[Fate]) -> bool {
    fates.len() == mail.attachments.len() && fates.iter().all(|fate| *fate == Fate::Ignored)
}

/// Uploads the kept attachments of a mail as files of its sender. A second call returns the same files. An image in the
/// text that this person sent before is not stored again, such as the logo in a signature.
pub(super) async fn take(
    app: &App,
    mail: &Mail,
    fates: &[Fate],
    person: &PersonId,
    meta: &Meta,
) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    for (number, (name, bytes)) in mail.attachments.iter().enumerate() {
        let of_file = || (name.clone(), *bytes);
        match fates.get(number) {
            Some(Fate::Ignored) => {}
            Some(Fate::LeftOut) | None => taken.left_out.push(of_file()),
            Some(fate) => {
                let uploaded = upload(app, mail, number, name, fate, person, meta).await;
                match uploaded {
                    Ok(Some(id)) => {
                        taken.ids.push(id);
                        taken.stored.push(of_file());
                    }
                    Ok(None) => {}
                    Err(NotTaken::Technical(error)) if error.is_transient() => return Err(error),
                    Err(reason) => {
                        tracing::warn!(%reason, "an attachment of a mail is not stored");
                        taken.left_out.push(of_file());
                    }
                }
            }
        }
    }
    Ok(taken)
}

/// Uploads one attachment. Returns `None` if it is an image in the text that the person sent before.
async fn upload(
    app: &App,
    mail: &Mail,
    number: usize,
    name: &str,
    fate: &Fate,
    person: &PersonId,
    meta: &Meta,
) -> Result<Option<AttachmentId>, NotTaken> {
    let Fate::Kept {
        blob,
        media_type,
        is_inline,
        digest,
    } = fate
    else {
        return Ok(None);
    };
    // The id of an image in a text depends on its content, so the desk recognizes the same image in a later mail.
    let of_mail = format!("{}|{number}", mail.id);
    let mut keys = vec![of_mail];
    if *is_inline {
        keys.insert(0, format!("image|{digest}"));
    }
    for key in keys {
        let id = attachments::id(app, Some((CLIENT, person, key.as_str()))).await?;
        let known = attachments::load(app, &id).await?;
        if known.discarded {
            continue;
        }
        if known.uploaded.is_some() {
            let is_in_ticket = !known.places.is_empty();
            return Ok((!*is_inline || !is_in_ticket).then_some(id));
        }
        let Some(sealed) = app.blob.get(blob).await? else {
            return Err(NotTaken::PartMissing(1));
        };
        let bytes = open_bytes(&app.keys().await?.files, blob, &sealed)?;
        let started = if known.upload_started.is_none() {
            app.limits.begins(person, app.ledger.clock.now())?;
            let name = file_name(name, number);
            attachments::begin(app, &id, &name, Some(person.clone()), meta).await?
        } else {
            known
        };
        let mut upload = Upload::new(app, started).await?;
        upload.write(&bytes).await?;
        upload.finish(media_type, meta).await?;
        return Ok(Some(id));
    }
    Err(NotTaken::PartMissing(1))
}

/// Returns the name under which an attachment is stored. Attachments without a usable name get their number.
fn file_name(name: &str, number: usize) -> String {
    // A forwarded mail has no name, so its name is its media type.
    let name = match name {
        "message/rfc822" => "message.eml".to_owned(),
        name => attachments::stored_name(name).unwrap_or_default(),
    };
    if name.is_empty() {
        return format!("attachment-{}", number + 1);
    }
    name.chars().take(NAME_MAX).collect()
}

/// Removes the blobs of a processed mail, and old blobs of mails that were never processed.
pub(super) async fn remove(app: &App, fates: &[Fate]) -> Result<(), Error> {
    for fate in fates {
        if let Fate::Kept { blob, .. } = fate {
            app.blob.remove(blob).await?;
        }
    }
    if fates.is_empty() {
        return Ok(());
    }
    let today = app.ledger.clock.now().0.div_euclid(DAY_MS);
    for blob in app.blob.list(FOLDER, LISTED_MAX).await? {
        if is_old(&blob, today) {
            app.blob.remove(&blob).await?;
        }
    }
    Ok(())
}

/// Returns true if a blob was kept more than [`KEPT_DAYS`] days before `today`.
fn is_old(blob: &str, today: i64) -> bool {
    let name = blob.strip_prefix(FOLDER).unwrap_or_default();
    let day = name.split('-').next().and_then(|day| day.parse().ok());
    day.is_some_and(|day: i64| day + KEPT_DAYS < today)
}

/// Returns the lines that name the attachments in a comment, in both languages, because the language of the reader is
/// unknown. Returns an empty text without attachments.
pub(super) fn listed(taken: &Taken) -> String {
    let parts = [
        ("邮件附件 / Attachments of the mail:", &taken.stored),
        (
            "邮件附件（未保存）/ Attachments of the mail (not stored):",
            &taken.left_out,
        ),
    ];
    let parts = parts.into_iter().filter(|(_, files)| !files.is_empty());
    let parts: Vec<String> = parts
        .map(|(head, files)| format!("{head}\n{}", lines(files)))
        .collect();
    parts.join("\n")
}

/// Returns the answer to a comment of which some attachments are not stored.
pub(super) fn refusal(taken: &Taken, language: Language) -> String {
    let files = lines(&taken.left_out);
    match language {
        Language::Chinese => format!("评论已添加，但以下附件过大、过多或无法保存：\n{files}"),
        Language::English => format!(
            "The comment was added, but these attachments are too large, too many or cannot be stored:\n{files}"
        ),
    }
}

fn lines(files: &[(String, usize)]) -> String {
    let one = |(name, bytes): &(String, usize)| {
        let name = domain::notification::content::one_line(name);
        format!("- {name} ({} KiB)", bytes.div_ceil(1_024))
    };
    let lines: Vec<String> = files.iter().map(one).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_usable_names() {
        for (name, expected) in [
            ("../a.pdf", "a.pdf"),
            ("message/rfc822", "message.eml"),
            ("..", "attachment-3"),
            ("", "attachment-3"),
        ] {
            assert_eq!(file_name(name, 2), expected, "{name}");
        }
        assert_eq!(file_name(&"字".repeat(300), 0).chars().count(), NAME_MAX);
    }

    #[test]
    fn mails_with_the_same_id_and_other_contents_have_other_blobs() {
        let digest = |content: &[u8]| blake3::keyed_hash(&[1; 32], content).to_hex();
        let (one, other) = (digest(b"a"), digest(b"b"));
        let name = |digest: &str| blob_of(20_786, "0123", 0, digest);
        assert_eq!(name(one.as_str()), name(one.as_str()));
        assert_ne!(name(one.as_str()), name(other.as_str()));
        assert!(is_old(&name(one.as_str()), 20_790));
    }

    #[test]
    fn blobs_are_old_after_three_days() {
        for (blob, expected) in [
            ("mails/100-a-0", true),
            ("mails/101-a-0", false),
            ("mails/x-a-0", false),
            ("attachments/1-a-0", false),
        ] {
            assert_eq!(is_old(blob, 104), expected, "{blob}");
        }
    }

    #[test]
    fn stored_and_missing_attachments_are_named_apart() {
        let taken = Taken {
            ids: Vec::new(),
            stored: vec![("a.pdf".into(), 2_049)],
            left_out: vec![("b.iso".into(), 1)],
        };
        let text = listed(&taken);
        assert!(text.contains("mail:\n- a.pdf (3 KiB)"), "{text}");
        assert!(text.ends_with("(not stored):\n- b.iso (1 KiB)"), "{text}");
        assert_eq!(listed(&Taken::default()), "");
        assert!(refusal(&taken, Language::English).contains("b.iso"));
        assert!(!refusal(&taken, Language::Chinese).contains("a.pdf"));
    }
}

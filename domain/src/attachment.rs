//! Implements the aggregate of one uploaded file. A person uploads the file in several parts. The file is
//! then attached to holders (tickets, drafts or workflows). If a holder uses the file, the desk keeps the
//! file permanently.
//!
//! If no holder uses the file, the desk discards the file at its deadline and deletes its content.

use events::attachment::{
    Attached, AttachmentEvent, ContentDeleted, Discarded, Holder, Retained, UploadStarted, Uploaded,
};
use events::{AttachmentId, Moment, PersonId, Personal, TicketSn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Time limit in milliseconds. An upload must be complete within this time. A complete file must be attached
/// to a ticket, a draft or a workflow within the same time, or the desk discards the file.
pub const ALONE_MS: i64 = 24 * 3_600_000;
/// Pause in milliseconds after the desk could not delete the content of a file. After the pause, the desk
/// tries the deletion again.
pub const REMOVE_MS: i64 = 3_600_000;
/// Minimum change of a file's deadline in milliseconds. A draft is saved often, and each save attaches its
/// files again. The desk does not store a change that is smaller than this minimum.
const FRESH_MS: i64 = 24 * 3_600_000;
/// Size in bytes of one stored part of a file.
pub const PART_BYTES: usize = 4 << 20;
/// Maximum length of a file name, in characters.
pub const NAME_MAX: usize = 255;
/// Maximum number of files in one form field.
pub const COUNT_MAX: usize = 50;
/// Maximum number of holders (tickets, drafts and workflows) of one file.
pub const PLACES_MAX: usize = 500;

/// The commands that change the state of one uploaded file.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Starts the upload of a file.
    Begin(UploadStarted),
    /// Stores that all parts of the file are uploaded.
    Receive(Uploaded),
    /// Attaches the file to a holder (a ticket, draft or workflow). At the time `until`, the desk checks
    /// whether the holder uses the file.
    Attach {
        to: Holder,
        by: PersonId,
        until: Moment,
    },
    /// Keeps the file permanently. The desk sends this command when a holder (a ticket, draft or workflow)
    /// uses the file.
    Keep,
    /// Discards the file. Either the deadline has passed and the file is not used, or a person deletes the
    /// file.
    Discard { by: PersonId, at: Moment },
    /// Stores that the content of the file was deleted.
    Remove,
}

/// The reasons why a command for an uploaded file is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the attachment exists already")]
    Exists,
    #[error("the attachment does not exist")]
    Unknown,
    #[error("the attachment is already uploaded")]
    Uploaded,
    #[error("the upload of the attachment is not complete")]
    Incomplete,
    #[error("the attachment has no holder")]
    Alone,
    #[error("the attachment belongs to another uploader")]
    NotYours,
    #[error("an attachment can have at most {PLACES_MAX} holders")]
    TooManyPlaces,
    #[error("the attachment is discarded")]
    Discarded,
    #[error("the attachment has a holder and cannot be discarded")]
    Held,
    #[error("the attachment is not due yet")]
    NotDue,
    #[error("the name of the file is empty or longer than {NAME_MAX} characters")]
    NameUnfit,
}

/// The state of one uploaded file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    pub upload_started: Option<UploadStarted>,
    pub uploaded: Option<Uploaded>,
    /// All holders of the file: the tickets, drafts and workflows to which the file was ever attached.
    pub places: Vec<Holder>,
    /// The time at which the desk must next work on the file. At this time, the desk checks whether a ticket,
    /// a draft or a workflow uses the file. If an earlier deletion of the content failed, the desk deletes
    /// the content again.
    pub due: Moment,
    pub retained: bool,
    pub discarded: bool,
    pub content_deleted: bool,
}

impl Decider for Attachment {
    type Command = Command;
    type Event = AttachmentEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<AttachmentEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Begin(_) if self.upload_started.is_some() => reject(Rejection::Exists),
            Command::Begin(upload_started)
                if !(1..=NAME_MAX).contains(&upload_started.name.read().chars().count()) =>
            {
                reject(Rejection::NameUnfit)
            }
            Command::Begin(upload_started) => Ok(vec![upload_started.clone().into()]),
            _ if self.upload_started.is_none() => reject(Rejection::Unknown),
            Command::Remove if self.discarded && !self.content_deleted => {
                Ok(vec![ContentDeleted {}.into()])
            }
            Command::Remove | Command::Discard { .. } if self.discarded => Ok(Vec::new()),
            _ if self.discarded => reject(Rejection::Discarded),
            Command::Receive(_) if self.uploaded.is_some() => reject(Rejection::Uploaded),
            Command::Receive(uploaded) => Ok(vec![uploaded.clone().into()]),
            Command::Attach { .. } if self.uploaded.is_none() => reject(Rejection::Incomplete),
            // Only the uploader may attach a file to a draft. Otherwise, other people could attach the file
            // to many drafts and reach the limit for the holders (tickets, drafts and workflows) of this
            // file.
            Command::Attach {
                to: Holder::Draft(_),
                by,
                ..
            } if !by.is_system() && !self.is_by(&[by]) => reject(Rejection::NotYours),
            Command::Attach { to, by, until } => {
                let is_new = !self.places.contains(to);
                if is_new && self.places.len() >= PLACES_MAX {
                    return reject(Rejection::TooManyPlaces);
                }
                // A draft is saved often, and each save attaches its files again. If such a save moves the
                // deadline only by a small time, the new deadline is not stored. For a ticket or a workflow,
                // each later deadline is stored.
                let ignored_ms = if matches!(to, Holder::Draft(_)) {
                    FRESH_MS
                } else {
                    0
                };
                let is_later = !self.retained && until.0 - self.due.0 > ignored_ms;
                let due = (!self.retained).then(|| (*until).max(self.due));
                Ok(if is_new || is_later {
                    vec![
                        Attached {
                            to: to.clone(),
                            by: by.clone(),
                            due,
                        }
                        .into(),
                    ]
                } else {
                    Vec::new()
                })
            }
            Command::Keep if self.retained => Ok(Vec::new()),
            Command::Keep if self.places.is_empty() => reject(Rejection::Alone),
            Command::Keep => Ok(vec![Retained {}.into()]),
            Command::Discard { .. } if self.retained => reject(Rejection::Held),
            // A person may discard a file only if the file was never attached to a ticket or a workflow.
            // Any other file is discarded only by the desk, after the deadline of the file.
            Command::Discard { by, .. }
                if !by.is_system()
                    && self
                        .places
                        .iter()
                        .any(|place| !matches!(place, Holder::Draft(_))) =>
            {
                reject(Rejection::Held)
            }
            // Since the earlier deadline was set, the file was attached again and got a later deadline. The
            // desk must not discard the file before the later deadline.
            Command::Discard { by, at } if by.is_system() && self.due > *at => {
                reject(Rejection::NotDue)
            }
            Command::Discard { by, at } => Ok(vec![
                Discarded {
                    by: by.clone(),
                    due: at.plus_ms(REMOVE_MS),
                }
                .into(),
            ]),
            Command::Remove => reject(Rejection::Held),
        }
    }

    fn evolve(&mut self, event: &AttachmentEvent) {
        match event {
            AttachmentEvent::UploadStarted(upload_started) => {
                self.due = upload_started.due;
                self.upload_started = Some(upload_started.clone());
            }
            AttachmentEvent::Uploaded(uploaded) => {
                self.due = uploaded.due;
                self.uploaded = Some(uploaded.clone());
            }
            AttachmentEvent::Attached(attached) => {
                self.due = attached.due.unwrap_or(self.due);
                if !self.places.contains(&attached.to) {
                    self.places.push(attached.to.clone());
                }
            }
            AttachmentEvent::Retained(_) => self.retained = true,
            AttachmentEvent::Discarded(discarded) => {
                self.due = discarded.due;
                self.discarded = true;
            }
            AttachmentEvent::ContentDeleted(_) => self.content_deleted = true,
        }
    }

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Begin(_))
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        self.upload_started
            .iter_mut()
            .filter_map(|upload_started| upload_started.name.personal.as_mut())
            .collect()
    }
}

impl Attachment {
    /// Returns true if one of the given people may use the file in a form of the ticket. The uploader may use
    /// the file until the file has the maximum number of holders. Every person may use the file if the file
    /// is already attached to this ticket. A discarded file cannot be used.
    pub fn is_for(&self, people: &[&PersonId], ticket: &TicketSn) -> bool {
        let is_attached =
            !ticket.as_str().is_empty() && self.places.contains(&Holder::Ticket(ticket.clone()));
        let has_capacity = self.places.len() < PLACES_MAX;
        (is_attached || (self.is_by(people) && has_capacity)) && !self.discarded
    }

    fn is_by(&self, people: &[&PersonId]) -> bool {
        self.upload_started
            .as_ref()
            .is_some_and(|upload_started| people.contains(&&upload_started.by))
    }

    /// Returns the file as the value of a form field: an object with the id, name, media type, size and
    /// digest. Returns `None` if the upload is not complete.
    pub fn described(&self) -> Option<Value> {
        let (upload_started, uploaded) = (self.upload_started.as_ref()?, self.uploaded.as_ref()?);
        Some(serde_json::json!({
            "id": upload_started.attachment, "name": upload_started.name.read(), "media_type": uploaded.media_type, "bytes": uploaded.bytes, "digest": uploaded.digest,
        }))
    }
}

/// Returns the ids of the files in the value of a form field. The value is a list of ids, a list of objects
/// with an `id`, or such a list as text. Any other value contains no ids. If a field contains too many files,
/// at most [`COUNT_MAX`] + 1 ids are returned, so that the caller can detect the error.
pub fn named(value: &Value) -> Vec<AttachmentId> {
    let of_item =
        |item: &Value| AttachmentId::read(item.as_str().or_else(|| item.get("id")?.as_str())?);
    match value {
        Value::Array(items) => items
            .iter()
            .filter_map(of_item)
            .take(COUNT_MAX + 1)
            .collect(),
        Value::String(text) if text.starts_with('[') => serde_json::from_str::<Vec<Value>>(text)
            .map(|items| named(&items.into()))
            .unwrap_or_default(),
        Value::String(text) => text
            .split(',')
            .filter_map(|id| AttachmentId::read(id.trim()))
            .take(COUNT_MAX + 1)
            .collect(),
        _ => Vec::new(),
    }
}

/// The limits that a field sets for its files. The member `meta.accept` of the field lists file extensions
/// such as `.log` and media types such as `image/*`. The member `meta.bytes_max` limits the size of each
/// file, and `meta.count_max` limits the number of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub accept: Vec<String>,
    pub bytes_max: Option<u64>,
    pub count_max: Option<usize>,
}

impl Limits {
    /// Reads the limits from the member `meta` of a field. If a limit is missing or invalid, this limit does
    /// not apply.
    pub fn of(meta: &Value) -> Self {
        let texts = |value: &Value| match value {
            Value::Array(items) => items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_lowercase)
                .collect(),
            Value::String(text) => text
                .split(',')
                .map(|part| part.trim().to_lowercase())
                .filter(|part| !part.is_empty())
                .collect(),
            _ => Vec::new(),
        };
        Self {
            accept: meta.get("accept").map(texts).unwrap_or_default(),
            bytes_max: meta.get("bytes_max").and_then(Value::as_u64),
            count_max: meta
                .get("count_max")
                .and_then(Value::as_u64)
                .and_then(|count| usize::try_from(count).ok()),
        }
    }

    /// Returns true if the field sets no limits and therefore accepts every file.
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the reason why the field does not accept a file. Returns `None` if the field accepts the file.
    /// If the field lists accepted types, an executable program is accepted only by its exact media type. A
    /// file extension is not enough, because the uploader can choose any extension.
    pub fn wrong(&self, name: &str, media_type: &str, bytes: u64) -> Option<Unfit> {
        let lower = name.to_lowercase();
        let fits = |accepted: &String| match accepted.strip_suffix("/*") {
            Some(family) => media_type.split('/').next() == Some(family) && !is_program(media_type),
            None if accepted.starts_with('.') => {
                lower.ends_with(accepted.as_str()) && !is_program(media_type)
            }
            None => media_type == accepted,
        };
        if !self.accept.is_empty() && !self.accept.iter().any(fits) {
            return Some(Unfit::Type {
                accept: self.accept.clone(),
                name: name.to_owned(),
                media_type: media_type.to_owned(),
            });
        }
        self.bytes_max
            .filter(|most| bytes > *most)
            .map(|most| Unfit::TooLarge {
                most,
                name: name.to_owned(),
                bytes,
            })
    }
}

/// The reasons why a field does not accept a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("takes uploaded files only")]
    NotUploaded,
    #[error("takes at most {0} files")]
    TooMany(usize),
    #[error("names {0}, which is no file that can be attached here")]
    NotHere(AttachmentId),
    #[error("takes only {}; {name} is {media_type}", .accept.join(", "))]
    Type {
        accept: Vec<String>,
        name: String,
        media_type: String,
    },
    #[error("takes files of at most {most} bytes; {name} has {bytes}")]
    TooLarge { most: u64, name: String, bytes: u64 },
}

/// Media types of executable programs and program packages. The desk detects the media type of a file from
/// its content.
const PROGRAMS: [&str; 14] = [
    "application/java",
    "application/java-archive",
    "application/vnd.android.dex",
    "application/vnd.android.dey",
    "application/vnd.debian.binary-package",
    "application/vnd.microsoft.portable-executable",
    "application/wasm",
    "application/x-executable",
    "application/x-google-chrome-extension",
    "application/x-llvm",
    "application/x-mach-binary",
    "application/x-ole-storage",
    "application/x-rpm",
    "text/x-shellscript",
];

fn is_program(media_type: &str) -> bool {
    PROGRAMS.contains(&media_type)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decider::fold;

    const AT: Moment = Moment(1_795_312_800_000);

    fn lisi() -> PersonId {
        PersonId("p-lisi".into())
    }

    fn upload_started() -> UploadStarted {
        let attachment = AttachmentId("att-3f8a0c5e9b2d47168c1de0f7a6b49320".into());
        let name = events::Remark::new("报错.png").owned_by(lisi());
        UploadStarted {
            attachment,
            by: lisi(),
            subject: Some(lisi()),
            name,
            due: AT.plus_ms(ALONE_MS),
        }
    }

    fn uploaded() -> Uploaded {
        Uploaded {
            media_type: "image/png".into(),
            bytes: 3,
            parts: vec!["p".into()],
            digest: "d".into(),
            due: AT.plus_ms(ALONE_MS),
        }
    }

    fn ticket(sn: &str) -> Holder {
        Holder::Ticket(sn.into())
    }

    fn attach(sn: &str) -> Command {
        Command::Attach {
            to: ticket(sn),
            by: lisi(),
            until: AT.plus_ms(ALONE_MS),
        }
    }

    fn attached(sn: &str) -> Attached {
        Attached {
            to: ticket(sn),
            by: lisi(),
            due: Some(AT.plus_ms(ALONE_MS)),
        }
    }

    fn state_after(history: &[AttachmentEvent]) -> Attachment {
        fold(history)
    }

    fn rejection(state: &Attachment, command: &Command) -> Rejection {
        match state.decide(command, &()) {
            Err(DecideError::Rejected(rejection)) => rejection,
            other => panic!("{command:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_file_is_uploaded_attached_and_retained() {
        let mut state = Attachment::default();
        let steps = [
            (
                Command::Begin(upload_started()),
                AttachmentEvent::from(upload_started()),
            ),
            (Command::Receive(uploaded()), uploaded().into()),
            (attach("REQ1"), attached("REQ1").into()),
            (Command::Keep, Retained {}.into()),
        ];
        for (command, event) in steps {
            assert_eq!(
                state.decide(&command, &()),
                Ok(vec![event.clone()]),
                "{command:?}"
            );
            state.evolve(&event);
        }
        assert_eq!(
            state.decide(&attach("REQ1"), &()),
            Ok(Vec::new()),
            "a retained file does not record the same holder twice"
        );
        assert_eq!(
            state.decide(&attach("REQ2"), &()),
            Ok(vec![
                Attached {
                    due: None,
                    ..attached("REQ2")
                }
                .into()
            ]),
            "a retained file can get another holder without a deadline"
        );
        for by in [lisi(), PersonId::system()] {
            assert_eq!(
                rejection(
                    &state,
                    &Command::Discard {
                        by,
                        at: Moment(i64::MAX)
                    }
                ),
                Rejection::Held
            );
        }
        assert_eq!(state.described().unwrap()["name"], "报错.png");
    }

    #[test]
    fn an_attached_file_is_discarded_only_by_the_desk_when_due() {
        let attached_file = state_after(&[
            upload_started().into(),
            uploaded().into(),
            attached("REQ1").into(),
        ]);
        assert_eq!(
            rejection(&attached_file, &Command::Discard { by: lisi(), at: AT }),
            Rejection::Held
        );
        let by_desk = |at: Moment| Command::Discard {
            by: PersonId::system(),
            at,
        };
        assert_eq!(
            rejection(&attached_file, &by_desk(AT.plus_ms(ALONE_MS - 1))),
            Rejection::NotDue,
            "a new attachment moved the deadline"
        );
        assert!(
            attached_file
                .decide(&by_desk(AT.plus_ms(ALONE_MS)), &())
                .is_ok()
        );
        let attach_again = Command::Attach {
            to: ticket("REQ1"),
            by: lisi(),
            until: AT.plus_ms(ALONE_MS + 1),
        };
        assert_eq!(
            attached_file.decide(&attach_again, &()),
            Ok(vec![
                Attached {
                    due: Some(AT.plus_ms(ALONE_MS + 1)),
                    ..attached("REQ1")
                }
                .into()
            ])
        );
        let attach_to_draft = Command::Attach {
            to: Holder::Draft("d".into()),
            by: lisi(),
            until: AT.plus_ms(ALONE_MS + 1),
        };
        let drafted = Attached {
            to: Holder::Draft("d".into()),
            ..attached("REQ1")
        };
        assert_eq!(
            state_after(&[
                upload_started().into(),
                uploaded().into(),
                drafted.clone().into()
            ])
            .decide(&attach_to_draft, &()),
            Ok(Vec::new())
        );
        let drafted = state_after(&[upload_started().into(), uploaded().into(), drafted.into()]);
        assert!(
            drafted
                .decide(&Command::Discard { by: lisi(), at: AT }, &())
                .is_ok(),
            "the uploader may discard a file that only a draft uses"
        );
    }

    #[test]
    fn only_the_uploader_or_a_ticket_with_the_file_may_use_it() {
        let (file, other) = (
            state_after(&[
                upload_started().into(),
                uploaded().into(),
                attached("REQ1").into(),
            ]),
            PersonId("p-wangwu".into()),
        );
        for (people, sn, may) in [
            (&[&lisi()][..], "", true),
            (&[&other][..], "REQ1", true),
            (&[&other][..], "REQ2", false),
            (&[&other][..], "", false),
        ] {
            assert_eq!(file.is_for(people, &sn.into()), may, "{people:?} {sn}");
        }
    }

    #[test]
    fn content_is_deleted_only_after_the_file_is_discarded() {
        let unattached = state_after(&[upload_started().into(), uploaded().into()]);
        assert_eq!(rejection(&unattached, &Command::Remove), Rejection::Held);
        let discard = Command::Discard { by: lisi(), at: AT };
        let discarded = Discarded {
            by: lisi(),
            due: AT.plus_ms(REMOVE_MS),
        };
        assert_eq!(
            unattached.decide(&discard, &()),
            Ok(vec![discarded.clone().into()])
        );
        let discarded_file = state_after(&[
            upload_started().into(),
            uploaded().into(),
            discarded.clone().into(),
        ]);
        assert_eq!(
            rejection(&discarded_file, &attach("REQ1")),
            Rejection::Discarded
        );
        assert_eq!(discarded_file.decide(&discard, &()), Ok(Vec::new()));
        assert_eq!(
            discarded_file.decide(&Command::Remove, &()),
            Ok(vec![ContentDeleted {}.into()])
        );
        let deleted = state_after(&[
            upload_started().into(),
            discarded.into(),
            ContentDeleted {}.into(),
        ]);
        assert_eq!(
            deleted.decide(&Command::Remove, &()),
            Ok(Vec::new()),
            "a repeated deletion records nothing"
        );
    }

    #[test]
    fn an_incomplete_upload_cannot_be_attached() {
        assert_eq!(
            rejection(&state_after(&[upload_started().into()]), &attach("REQ1")),
            Rejection::Incomplete
        );
        assert_eq!(
            rejection(&Attachment::default(), &attach("REQ1")),
            Rejection::Unknown
        );
        let nameless = UploadStarted {
            name: events::Remark::default(),
            ..upload_started()
        };
        assert_eq!(
            rejection(&Attachment::default(), &Command::Begin(nameless)),
            Rejection::NameUnfit
        );
    }

    #[test]
    fn attachment_ids_are_read_from_all_client_formats() {
        let id = upload_started().attachment;
        for value in [
            json!([id]),
            json!([{ "id": id, "name": "x" }]),
            json!(id),
            json!(format!("[\"{id}\"]")),
            json!(format!("{id}, other")),
        ] {
            assert_eq!(named(&value), std::slice::from_ref(&id), "{value}");
        }
        for value in [
            json!(null),
            json!("a.txt"),
            json!([{ "name": "a.txt", "path": "x" }]),
            json!("att-3f8a"),
            json!({ "k": 1 }),
        ] {
            assert_eq!(named(&value), [], "{value}");
        }
    }

    #[test]
    fn limits_check_the_media_type_and_not_only_the_name() {
        let limits = Limits::of(
            &json!({ "accept": [".LOG", "image/*", "application/pdf"], "bytes_max": 10, "count_max": 2 }),
        );
        assert_eq!(limits.count_max, Some(2));
        for (name, kind) in [
            ("a.log", "text/plain"),
            ("A.Log", "application/octet-stream"),
            ("a.png", "image/png"),
            ("x", "application/pdf"),
        ] {
            assert_eq!(limits.wrong(name, kind, 10), None, "{name} {kind}");
        }
        let program = limits.wrong("a.log", "application/vnd.microsoft.portable-executable", 1);
        assert_eq!(
            program.unwrap().to_string(),
            "takes only .log, image/*, application/pdf; a.log is application/vnd.microsoft.portable-executable"
        );
        assert_eq!(
            limits.wrong("a.png", "image/png", 11).unwrap().to_string(),
            "takes files of at most 10 bytes; a.png has 11"
        );
        assert!(
            Limits::of(&json!({ "accept": "application/*, text/*" }))
                .wrong("a", "text/x-shellscript", 1)
                .is_some(),
            "a wildcard does not include programs"
        );
        assert!(Limits::of(&json!({ "accept": "" })).is_any() && Limits::of(&Value::Null).is_any());
    }

    proptest::proptest! {
        #[test]
        fn any_command_sequence_deletes_only_discarded_content(commands in proptest::collection::vec((0_u8..10, 0_i64..3 * ALONE_MS), 0..40)) {
            let mut state = Attachment::default();
            for (command, after_ms) in commands {
                let at = AT.plus_ms(after_ms);
                let draft = || Holder::Draft("d".into());
                let command = match command {
                    0 => Command::Begin(upload_started()),
                    1 => Command::Receive(uploaded()),
                    2 => attach("REQ1"),
                    3 => attach("REQ2"),
                    4 => Command::Attach { to: draft(), by: lisi(), until: at },
                    5 => Command::Keep,
                    6 => Command::Discard { by: lisi(), at },
                    7 | 8 => Command::Discard { by: PersonId::system(), at },
                    _ => Command::Remove,
                };
                let before = state.clone();
                for event in state.decide(&command, &()).unwrap_or_default() {
                    state.evolve(&event);
                }
                if state.discarded && !before.discarded {
                    let Command::Discard { by, at } = &command else { panic!("{command:?} discards") };
                    let has_permanent_holder = before.places.iter().any(|place| *place != draft());
                    proptest::prop_assert!(by.is_system() || !has_permanent_holder, "a person discards a file with a permanent holder");
                    proptest::prop_assert!(!by.is_system() || before.due <= *at, "the desk discards a file before it is due");
                }
                proptest::prop_assert!(!(state.retained && state.discarded), "a retained file is never discarded");
                proptest::prop_assert!(!state.content_deleted || state.discarded);
            }
        }
    }
}

//! One uploaded file: received in parts, attached to whatever wants to hold it, kept once something does. What stays alone is discarded by its
//! deadline, and only then are its bytes removed.

use events::attachment::{
    Attached, AttachmentEvent, ContentDeleted, Discarded, Holder, Retained, UploadStarted, Uploaded,
};
use events::{AttachmentId, Moment, PersonId, Personal, TicketSn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decider::{DecideError, Decider, Nothing};

/// How long an upload may take, and how long it waits for something to hold it.
pub const ALONE_MS: i64 = 24 * 3_600_000;
/// When the removal of bytes is tried again.
pub const REMOVE_MS: i64 = 3_600_000;
/// A draft that holds a file need not say so again, unless its deadline moves by more than this.
const FRESH_MS: i64 = 24 * 3_600_000;
/// Bytes of one part as it is stored.
pub const PART_BYTES: usize = 4 << 20;
/// Longest file name, in characters.
pub const NAME_MAX: usize = 255;
/// Attachments in one field.
pub const COUNT_MAX: usize = 50;
/// Things that may want to hold one file.
pub const PLACES_MAX: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Begin(UploadStarted),
    /// All of it is there.
    Receive(Uploaded),
    /// Something wants to hold it; then it is looked at again.
    Attach {
        to: Holder,
        by: PersonId,
        until: Moment,
    },
    /// What it is attached to was looked at, and holds it.
    Keep,
    /// Nothing holds it, or its uploader does not want it any more.
    Discard {
        by: PersonId,
        at: Moment,
    },
    /// Its bytes are gone.
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("this attachment exists already")]
    Exists,
    #[error("there is no such attachment")]
    Unknown,
    #[error("the attachment was received before")]
    Uploaded,
    #[error("the attachment is not there as a whole yet")]
    Incomplete,
    #[error("nothing wants to hold the attachment")]
    Alone,
    #[error("somebody else uploaded the attachment")]
    NotYours,
    #[error("at most {PLACES_MAX} things may hold one attachment")]
    TooManyPlaces,
    #[error("the attachment was discarded")]
    Discarded,
    #[error("the attachment belongs to something and stays")]
    Held,
    #[error("the attachment is looked at later")]
    NotDue,
    #[error("the name of the file is empty or longer than {NAME_MAX} characters")]
    NameUnfit,
}

/// One attachment as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    pub upload_started: Option<UploadStarted>,
    pub uploaded: Option<Uploaded>,
    /// Whatever wanted to hold it so far.
    pub places: Vec<Holder>,
    /// When it is looked at next, unless it is settled by then.
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

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<AttachmentEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Begin(_) if self.upload_started.is_some() => reject(Rejection::Exists),
            Command::Begin(begun)
                if !(1..=NAME_MAX).contains(&begun.name.read().chars().count()) =>
            {
                reject(Rejection::NameUnfit)
            }
            Command::Begin(begun) => Ok(vec![begun.clone().into()]),
            _ if self.upload_started.is_none() => reject(Rejection::Unknown),
            Command::Remove if self.discarded && !self.content_deleted => {
                Ok(vec![ContentDeleted {}.into()])
            }
            Command::Remove | Command::Discard { .. } if self.discarded => Ok(Vec::new()),
            _ if self.discarded => reject(Rejection::Discarded),
            Command::Receive(_) if self.uploaded.is_some() => reject(Rejection::Uploaded),
            Command::Receive(received) => Ok(vec![received.clone().into()]),
            Command::Attach { .. } if self.uploaded.is_none() => reject(Rejection::Incomplete),
            // Nobody fills the places of somebody else's file with drafts.
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
                // Drafts are saved all the time; whatever else comes again must be waited for as if it came for the first time.
                let little = if matches!(to, Holder::Draft(_)) {
                    FRESH_MS
                } else {
                    0
                };
                let is_later = !self.retained && until.0 - self.due.0 > little;
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
            // Whether something that is there for good holds it is looked at by the desk; people only throw away what nothing of that kind wants.
            Command::Discard { by, .. }
                if !by.is_system()
                    && self
                        .places
                        .iter()
                        .any(|place| !matches!(place, Holder::Draft(_))) =>
            {
                reject(Rejection::Held)
            }
            // Something wanted it after it was looked at.
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
            AttachmentEvent::UploadStarted(begun) => {
                self.due = begun.due;
                self.upload_started = Some(begun.clone());
            }
            AttachmentEvent::Uploaded(received) => {
                self.due = received.due;
                self.uploaded = Some(received.clone());
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
            .filter_map(|begun| begun.name.personal.as_mut())
            .collect()
    }
}

impl Attachment {
    /// Says whether somebody may put it into a form of a ticket: its uploader may, and whoever finds it in that ticket already.
    pub fn is_for(&self, people: &[&PersonId], ticket: &TicketSn) -> bool {
        let is_there =
            !ticket.as_str().is_empty() && self.places.contains(&Holder::Ticket(ticket.clone()));
        let has_room = self.places.len() < PLACES_MAX;
        (is_there || (self.is_by(people) && has_room)) && !self.discarded
    }

    fn is_by(&self, people: &[&PersonId]) -> bool {
        self.upload_started
            .as_ref()
            .is_some_and(|begun| people.contains(&&begun.by))
    }

    /// What stands of it in a form: its id, and what it was when it was attached. Nothing where it is not there as a whole.
    pub fn described(&self) -> Option<Value> {
        let (begun, received) = (self.upload_started.as_ref()?, self.uploaded.as_ref()?);
        Some(serde_json::json!({
            "id": begun.attachment, "name": begun.name.read(), "media_type": received.media_type, "bytes": received.bytes, "digest": received.digest,
        }))
    }
}

/// The attachments that a form's value names: a list of ids, or of objects with an `id`, or either as text. Nothing where it is something else; no more
/// than can be looked at.
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

/// What a field takes: `meta.accept` (endings such as `.log`, types such as `image/*`), `meta.bytes_max` for each file, `meta.count_max`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub accept: Vec<String>,
    pub bytes_max: Option<u64>,
    pub count_max: Option<usize>,
}

impl Limits {
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

    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Says what is wrong with a file, if something is. A program is taken only where its own type is named: an ending proves nothing.
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

/// Why a field does not take what was given.
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

/// Types that bytes of programs, and of packages of them, are recognised by.
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

    fn begun() -> UploadStarted {
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

    fn received() -> Uploaded {
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

    fn after(history: &[AttachmentEvent]) -> Attachment {
        fold(history)
    }

    fn rejection(state: &Attachment, command: &Command) -> Rejection {
        match state.decide(command, &()) {
            Err(DecideError::Rejected(rejection)) => rejection,
            other => panic!("{command:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_file_is_received_attached_and_kept() {
        let mut state = Attachment::default();
        let life = [
            (Command::Begin(begun()), AttachmentEvent::from(begun())),
            (Command::Receive(received()), received().into()),
            (attach("REQ1"), attached("REQ1").into()),
            (Command::Keep, Retained {}.into()),
        ];
        for (command, event) in life {
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
            "what is kept need not be wanted again"
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
            "others may hold it as well, and nobody need look"
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
    fn nobody_throws_away_what_a_ticket_wants_and_the_desk_only_when_it_is_due() {
        let wanted = after(&[begun().into(), received().into(), attached("REQ1").into()]);
        assert_eq!(
            rejection(&wanted, &Command::Discard { by: lisi(), at: AT }),
            Rejection::Held
        );
        let by_desk = |at: Moment| Command::Discard {
            by: PersonId::system(),
            at,
        };
        assert_eq!(
            rejection(&wanted, &by_desk(AT.plus_ms(ALONE_MS - 1))),
            Rejection::NotDue,
            "something wanted it after it was looked at"
        );
        assert!(wanted.decide(&by_desk(AT.plus_ms(ALONE_MS)), &()).is_ok());
        let again = Command::Attach {
            to: ticket("REQ1"),
            by: lisi(),
            until: AT.plus_ms(ALONE_MS + 1),
        };
        assert_eq!(
            wanted.decide(&again, &()),
            Ok(vec![
                Attached {
                    due: Some(AT.plus_ms(ALONE_MS + 1)),
                    ..attached("REQ1")
                }
                .into()
            ])
        );
        let saved_again = Command::Attach {
            to: Holder::Draft("d".into()),
            by: lisi(),
            until: AT.plus_ms(ALONE_MS + 1),
        };
        let drafted = Attached {
            to: Holder::Draft("d".into()),
            ..attached("REQ1")
        };
        assert_eq!(
            after(&[begun().into(), received().into(), drafted.clone().into()])
                .decide(&saved_again, &()),
            Ok(Vec::new())
        );
        let drafted = after(&[begun().into(), received().into(), drafted.into()]);
        assert!(
            drafted
                .decide(&Command::Discard { by: lisi(), at: AT }, &())
                .is_ok(),
            "a draft gives it up"
        );
    }

    #[test]
    fn only_its_uploader_or_whoever_finds_it_there_puts_it_into_a_form() {
        let (file, other) = (
            after(&[begun().into(), received().into(), attached("REQ1").into()]),
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
    fn bytes_are_removed_only_after_nothing_can_want_them_any_more() {
        let alone = after(&[begun().into(), received().into()]);
        assert_eq!(rejection(&alone, &Command::Remove), Rejection::Held);
        let discard = Command::Discard { by: lisi(), at: AT };
        let discarded = Discarded {
            by: lisi(),
            due: AT.plus_ms(REMOVE_MS),
        };
        assert_eq!(
            alone.decide(&discard, &()),
            Ok(vec![discarded.clone().into()])
        );
        let gone = after(&[begun().into(), received().into(), discarded.clone().into()]);
        assert_eq!(rejection(&gone, &attach("REQ1")), Rejection::Discarded);
        assert_eq!(gone.decide(&discard, &()), Ok(Vec::new()));
        assert_eq!(
            gone.decide(&Command::Remove, &()),
            Ok(vec![ContentDeleted {}.into()])
        );
        let removed = after(&[begun().into(), discarded.into(), ContentDeleted {}.into()]);
        assert_eq!(
            removed.decide(&Command::Remove, &()),
            Ok(Vec::new()),
            "removing twice is removing once"
        );
    }

    #[test]
    fn half_a_file_is_attached_to_nothing() {
        assert_eq!(
            rejection(&after(&[begun().into()]), &attach("REQ1")),
            Rejection::Incomplete
        );
        assert_eq!(
            rejection(&Attachment::default(), &attach("REQ1")),
            Rejection::Unknown
        );
        let nameless = UploadStarted {
            name: events::Remark::default(),
            ..begun()
        };
        assert_eq!(
            rejection(&Attachment::default(), &Command::Begin(nameless)),
            Rejection::NameUnfit
        );
    }

    #[test]
    fn a_value_names_attachments_in_any_of_the_ways_clients_have() {
        let id = begun().attachment;
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
    fn limits_go_by_what_a_file_is_and_not_only_by_its_name() {
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
            "a family is not all of it"
        );
        assert!(Limits::of(&json!({ "accept": "" })).is_any() && Limits::of(&Value::Null).is_any());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_bytes_go_only_when_nothing_holds_them(commands in proptest::collection::vec((0_u8..10, 0_i64..3 * ALONE_MS), 0..40)) {
            let mut state = Attachment::default();
            for (command, later) in commands {
                let at = AT.plus_ms(later);
                let draft = || Holder::Draft("d".into());
                let command = match command {
                    0 => Command::Begin(begun()),
                    1 => Command::Receive(received()),
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
                    let is_wanted = before.places.iter().any(|place| *place != draft());
                    proptest::prop_assert!(by.is_system() || !is_wanted, "a person throws away what a ticket may hold");
                    proptest::prop_assert!(!by.is_system() || before.due <= *at, "the desk throws away what it has not looked at");
                }
                proptest::prop_assert!(!(state.retained && state.discarded), "what is kept is never discarded");
                proptest::prop_assert!(!state.content_deleted || state.discarded);
            }
        }
    }
}

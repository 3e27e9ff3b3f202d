//! Implements the aggregate of one notification template. A template has versions. A version never changes, and
//! at most one version is published. The desk writes its messages with the published version.

use std::collections::BTreeMap;

use events::PersonId;
use events::notification_template::{
    Drafted, NotificationTemplateEvent, Published, Texts, Withdrawn,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Maximum number of versions that the state of a template contains. The events of older versions stay in the ledger,
/// but these versions cannot be published again. The published version always stays in the state.
pub const VERSIONS_MAX: usize = 50;

/// The commands that change one notification template.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Creates a new version.
    Draft {
        texts: Texts,
        document: Option<Value>,
        by: PersonId,
    },
    /// Publishes a version. An older version is published again with the same command (a roll-back).
    Publish {
        version: u32,
        by: PersonId,
        /// True if the author of the version may publish it.
        single_publisher: bool,
    },
    /// Withdraws the published version.
    Withdraw { by: PersonId },
}

/// The reasons why the desk rejects a command for a notification template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the template has no version {0}")]
    VersionUnknown(u32),
    #[error(
        "the author of version {0} cannot publish it; another person must publish it, or the notification policy must have `single_publisher = true`"
    )]
    OwnVersion(u32),
}

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The author of the version.
    pub by: PersonId,
    pub texts: Texts,
    /// The JSON document from which the texts were imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
    /// True if the version was published at some time. Any person may publish such a version again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_published: bool,
    /// The place of the event `Drafted` in its stream.
    pub sequence: u64,
}

/// The state of one notification template, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotificationTemplate {
    /// The newest versions and the published version, by number.
    pub versions: BTreeMap<u32, Version>,
    /// The number of the newest version, or 0 if no version exists.
    pub newest: u32,
    /// The number of the published version. `None` if the desk uses its built-in texts.
    pub published: Option<u32>,
    /// The number of events in the stream.
    pub sequence: u64,
}

impl Decider for NotificationTemplate {
    type Command = Command;
    type Event = NotificationTemplateEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<NotificationTemplateEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Draft {
                texts,
                document,
                by,
            } => {
                let is_repeated = self.versions.get(&self.newest).is_some_and(|newest| {
                    (&newest.texts, &newest.document, &newest.by) == (texts, document, by)
                });
                if is_repeated {
                    return Ok(Vec::new());
                }
                let drafted = Drafted {
                    version: self.newest.saturating_add(1),
                    by: by.clone(),
                    texts: texts.clone(),
                    document: document.clone(),
                };
                Ok(vec![drafted.into()])
            }
            Command::Publish {
                version,
                by,
                single_publisher,
            } => match self.versions.get(version) {
                None => reject(Rejection::VersionUnknown(*version)),
                Some(_) if self.published == Some(*version) => Ok(Vec::new()),
                Some(known) if known.by == *by && !known.was_published && !single_publisher => {
                    reject(Rejection::OwnVersion(*version))
                }
                Some(_) => {
                    let (version, by) = (*version, by.clone());
                    Ok(vec![Published { version, by }.into()])
                }
            },
            Command::Withdraw { by } => Ok(match self.published {
                Some(_) => vec![Withdrawn { by: by.clone() }.into()],
                None => Vec::new(),
            }),
        }
    }

    fn evolve(&mut self, event: &NotificationTemplateEvent) {
        self.sequence += 1;
        match event {
            NotificationTemplateEvent::Drafted(drafted) => {
                self.newest = drafted.version;
                let version = Version {
                    by: drafted.by.clone(),
                    texts: drafted.texts.clone(),
                    document: drafted.document.clone(),
                    was_published: false,
                    sequence: self.sequence,
                };
                self.versions.insert(drafted.version, version);
                self.forget_oldest();
            }
            NotificationTemplateEvent::Published(published) => {
                self.published = Some(published.version);
                if let Some(version) = self.versions.get_mut(&published.version) {
                    version.was_published = true;
                }
            }
            NotificationTemplateEvent::Withdrawn(_) => self.published = None,
        }
    }
}

impl NotificationTemplate {
    /// Removes the oldest versions that are not published, until the state has at most [`VERSIONS_MAX`] versions.
    fn forget_oldest(&mut self) {
        while self.versions.len() > VERSIONS_MAX {
            let published = self.published;
            let mut numbers = self.versions.keys().copied();
            let Some(oldest) = numbers.find(|number| Some(*number) != published) else {
                return;
            };
            self.versions.remove(&oldest);
        }
    }

    /// Returns the version that was drafted by the event with the id `event` of the template `key`. Returns `None` for
    /// the id of any other event. A test message names the drafted event as its cause.
    pub fn drafted_by(&self, key: &str, event: &str) -> Option<&Version> {
        let (of, sequence) = event.rsplit_once(':')?;
        if of != stream(key) {
            return None;
        }
        let sequence: u64 = sequence.parse().ok()?;
        let mut versions = self.versions.values();
        versions.find(|version| version.sequence == sequence)
    }

    /// Returns the published version. `None` if the desk uses its built-in texts.
    pub fn published(&self) -> Option<&Version> {
        self.versions.get(&self.published?)
    }
}

/// Returns the name of the stream of a template.
pub fn stream(key: &str) -> String {
    format!("notification_template-{key}")
}

#[cfg(test)]
mod tests {
    use events::notification_template::Text;

    use super::*;
    use crate::decider::fold;

    fn texts(body: &str) -> Texts {
        let text = Text {
            masked: Vec::new(),
            subject: String::new(),
            body: body.into(),
        };
        let formats = BTreeMap::from([("default".to_owned(), text)]);
        BTreeMap::from([("en".to_owned(), formats)])
    }

    fn drafted(version: u32, by: &str) -> NotificationTemplateEvent {
        Drafted {
            version,
            by: by.into(),
            texts: texts(&version.to_string()),
            document: None,
        }
        .into()
    }

    fn published(version: u32, by: &str) -> NotificationTemplateEvent {
        Published {
            version,
            by: by.into(),
        }
        .into()
    }

    fn publish(version: u32, by: &str, single_publisher: bool) -> Command {
        Command::Publish {
            version,
            by: by.into(),
            single_publisher,
        }
    }

    fn check(
        given: &[NotificationTemplateEvent],
        command: &Command,
        expected: Result<Vec<NotificationTemplateEvent>, Rejection>,
    ) {
        let state = fold::<NotificationTemplate>(given);
        let expected = expected.map_err(DecideError::Rejected);
        assert_eq!(state.decide(command, &()), expected);
    }

    #[test]
    fn a_draft_creates_the_next_version_once() {
        let draft = |body: &str| Command::Draft {
            texts: texts(body),
            document: None,
            by: "p-1".into(),
        };
        check(&[], &draft("1"), Ok(vec![drafted(1, "p-1")]));
        let given = [drafted(1, "p-1")];
        check(&given, &draft("1"), Ok(Vec::new()));
        check(&given, &draft("2"), Ok(vec![drafted(2, "p-1")]));
    }

    #[test]
    fn the_author_cannot_publish_a_new_version() {
        let given = [drafted(1, "p-1")];
        let own = Err(Rejection::OwnVersion(1));
        check(&given, &publish(1, "p-1", false), own);
        let ok = |by| Ok(vec![published(1, by)]);
        check(&given, &publish(1, "p-1", true), ok("p-1"));
        check(&given, &publish(1, "p-2", false), ok("p-2"));
        let unknown = Err(Rejection::VersionUnknown(2));
        check(&given, &publish(2, "p-2", false), unknown);
    }

    #[test]
    fn a_version_that_was_published_is_published_again_by_any_person() {
        let mut given = vec![
            drafted(1, "p-1"),
            published(1, "p-2"),
            drafted(2, "p-1"),
            published(2, "p-2"),
        ];
        let back = publish(1, "p-1", false);
        check(&given, &back, Ok(vec![published(1, "p-1")]));
        check(&given, &publish(2, "p-1", false), Ok(Vec::new()));
        let withdraw = Command::Withdraw { by: "p-1".into() };
        let withdrawn = Withdrawn { by: "p-1".into() };
        check(&given, &withdraw, Ok(vec![withdrawn.clone().into()]));
        given.push(withdrawn.into());
        check(&given, &withdraw, Ok(Vec::new()));
        assert!(
            fold::<NotificationTemplate>(&given[..])
                .published()
                .is_none()
        );
    }

    #[test]
    fn the_number_of_versions_is_bounded_and_the_published_one_stays() {
        let mut given = vec![drafted(1, "p-1"), published(1, "p-2")];
        given.extend((2..=100).map(|version| drafted(version, "p-1")));
        let state = fold::<NotificationTemplate>(&given[..]);
        assert_eq!(state.versions.len(), VERSIONS_MAX);
        assert!(state.published().is_some());
        assert!(!state.versions.contains_key(&51));
        assert!(state.versions.contains_key(&100));
    }

    #[test]
    fn an_event_id_names_its_version() {
        let given = [drafted(1, "p-1"), published(1, "p-2"), drafted(2, "p-1")];
        let state = fold::<NotificationTemplate>(&given);
        for (event, expected) in [
            ("notification_template-work_assigned:3", Some("2")),
            ("notification_template-work_assigned:1", Some("1")),
            ("notification_template-work_assigned:2", None),
            ("notification_template-digest:1", None),
            ("ticket-REQ1:1", None),
        ] {
            let found = state.drafted_by("work_assigned", event);
            let body = found.map(|found| found.texts["en"]["default"].body.as_str());
            assert_eq!(body, expected, "{event}");
        }
    }
}

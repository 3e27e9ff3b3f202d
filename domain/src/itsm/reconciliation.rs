//! Implements the regular comparison between the cases of one source and their records (reference/fleet.md 2.6), and the
//! rule that decides whether the status of a ticket and the status of its record agree.

use std::collections::{BTreeMap, BTreeSet};

use events::integration::CaseMapping;
use events::reconciliation::{Compared, ReconciliationEvent, Started, Stopped};
use events::writeback::Field;
use events::{Moment, PersonId};
use serde::{Deserialize, Serialize};

use crate::attempt::Attempts;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::value::plain;

/// The time for which a ticket and its record may differ, in milliseconds. A difference that lasts longer is a
/// synchronization error.
pub const GRACE_MS: i64 = 60_000;

/// The statuses of a record that agree with the status of its ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The record must have exactly this status.
    One(String),
    /// The record must have none of these statuses, because they mean its end.
    NotEnded(BTreeSet<String>),
    /// The record must have one of these statuses, because they mean its end.
    Ended(BTreeSet<String>),
}

/// The result of a comparison between a ticket and one of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The value that differs, such as `status`.
    pub field: Option<Field>,
    pub found: String,
    /// The values that agree with the ticket, as a text for people.
    pub expected: String,
    /// The values that could not be compared.
    pub unknown: Vec<Field>,
}

/// The assignee that a ticket expects in its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedAssignee {
    /// The assignee is not compared: the mapping does not name it, or the ticket has not exactly one processor.
    Any,
    /// The mapping does not name the account of the processor.
    Unknown,
    /// The record must have this assignee.
    One(String),
}

impl ExpectedAssignee {
    /// Returns the assignee that a ticket with these processors expects. `known` contains the people whose accounts the
    /// mapping names. The record has one assignee, so a ticket with several processors expects none.
    pub fn of(processors: &BTreeSet<PersonId>, known: &BTreeMap<PersonId, String>) -> Self {
        let mut people = processors.iter();
        match (people.next(), people.next()) {
            (Some(person), None) => match known.get(person) {
                Some(assignee) => Self::One(assignee.clone()),
                None => Self::Unknown,
            },
            _ => Self::Any,
        }
    }
}

impl Difference {
    /// Compares the values of a record with those that its ticket expects. The status is compared first.
    pub fn of(
        status: Option<&Expected>,
        assignee: &ExpectedAssignee,
        found_status: &str,
        found_assignee: &str,
    ) -> Self {
        let mut difference = Self::default();
        match assignee {
            ExpectedAssignee::Unknown => difference.unknown.push(Field::Assignee),
            ExpectedAssignee::One(expected) if expected != found_assignee => {
                difference.field = Some(Field::Assignee);
                found_assignee.clone_into(&mut difference.found);
                difference.expected.clone_from(expected);
            }
            ExpectedAssignee::One(_) | ExpectedAssignee::Any => {}
        }
        if let Some(expected) = status.filter(|expected| !expected.accepts(found_status)) {
            difference.field = Some(Field::Status);
            found_status.clone_into(&mut difference.found);
            difference.expected = expected.text();
        }
        difference
    }
}

impl Expected {
    /// Returns what a ticket with this status expects. `is_over` is true if the ticket has ended. Returns `None` if the
    /// mapping has no rule for the status.
    pub fn of(mapping: &CaseMapping, status: &str, is_over: bool) -> Option<Self> {
        if let Some(target) = mapping.write_back.get(status) {
            return Some(Self::One(plain(target)));
        }
        let ends: BTreeSet<String> = mapping.ends.keys().cloned().collect();
        if ends.is_empty() {
            None
        } else if is_over {
            Some(Self::Ended(ends))
        } else {
            Some(Self::NotEnded(ends))
        }
    }

    /// Returns whether a record with the status `found` agrees with its ticket.
    pub fn accepts(&self, found: &str) -> bool {
        match self {
            Self::One(status) => status == found,
            Self::NotEnded(ends) => !ends.contains(found),
            Self::Ended(ends) => ends.contains(found),
        }
    }

    /// Returns the expected statuses for people.
    pub fn text(&self) -> String {
        let joined = |ends: &BTreeSet<String>| {
            let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
            ends.join(", ")
        };
        match self {
            Self::One(status) => status.clone(),
            Self::NotEnded(ends) => format!("none of {}", joined(ends)),
            Self::Ended(ends) => format!("one of {}", joined(ends)),
        }
    }
}

/// The commands that change the comparison of one source.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Starts the comparison. A running comparison does not change.
    Start {
        source: String,
        at: Moment,
    },
    /// Stores that some cases were compared, or that the source could not be read.
    Record(Compared),
    Stop,
}

/// The reasons why the desk rejects a command for the comparison of one source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the cases of the source are not compared")]
    NotStarted,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The state of the comparison of one source, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    pub source: String,
    pub attempts: Attempts,
    pub cursor: String,
    pub is_running: bool,
}

impl Decider for Reconciliation {
    type Command = Command;
    type Event = ReconciliationEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<ReconciliationEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Start { .. } if self.is_running => Ok(Vec::new()),
            Command::Start { source, at } => Ok(vec![
                Started {
                    source: source.clone(),
                    due: *at,
                }
                .into(),
            ]),
            Command::Stop if !self.is_running => Ok(Vec::new()),
            Command::Stop => Ok(vec![Stopped {}.into()]),
            Command::Record(_) if !self.is_running => reject(Rejection::NotStarted),
            Command::Record(compared) if compared.attempt != self.attempts.next() => {
                reject(Rejection::NotDue(compared.attempt))
            }
            Command::Record(compared) => Ok(vec![compared.clone().into()]),
        }
    }

    fn evolve(&mut self, event: &ReconciliationEvent) {
        match event {
            ReconciliationEvent::Started(started) => {
                self.source.clone_from(&started.source);
                self.attempts.begin_again(started.due);
                self.cursor.clear();
                self.is_running = true;
            }
            ReconciliationEvent::Compared(compared) => {
                self.attempts.poll(compared.attempt, compared.due);
                self.cursor.clone_from(&compared.cursor);
            }
            ReconciliationEvent::Stopped(_) => self.is_running = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decider::fold;

    fn mapping(members: serde_json::Value) -> CaseMapping {
        let mut mapping = json!({ "record": "/id", "service": { "value": 1 }, "requester": { "value": "lisi" },
            "status": "/state", "fields": {} });
        for (name, value) in members.as_object().expect("an object") {
            mapping[name] = value.clone();
        }
        serde_json::from_value(mapping).expect("a mapping")
    }

    #[test]
    fn a_status_agrees_if_it_is_the_written_one_or_fits_the_ends() {
        let both = mapping(
            json!({ "write_back": { "FINISHED": 6, "SUSPENDED": "3" }, "ends": { "6": "terminate", "8": "withdraw" } }),
        );
        for (status, is_over, found, agrees) in [
            ("FINISHED", true, "6", true),
            ("FINISHED", true, "8", false),
            ("SUSPENDED", false, "3", true),
            ("SUSPENDED", false, "2", false),
            ("RUNNING", false, "1", true),
            ("RUNNING", false, "2", true),
            ("RUNNING", false, "8", false),
            ("TERMINATED", true, "8", true),
            ("TERMINATED", true, "2", false),
        ] {
            let expected = Expected::of(&both, status, is_over).expect("a rule");
            assert_eq!(expected.accepts(found), agrees, "{status} {found}");
        }
        let none = mapping(json!({ "write_back": { "FINISHED": 6 } }));
        assert_eq!(Expected::of(&none, "RUNNING", false), None);
        let text = Expected::of(&both, "RUNNING", false)
            .expect("a rule")
            .text();
        assert_eq!(text, "none of 6, 8");
    }

    #[test]
    fn a_status_differs_before_an_assignee_and_an_unknown_person_never() {
        let both = mapping(json!({ "write_back": { "FINISHED": 6 } }));
        let expected = Expected::of(&both, "FINISHED", true);
        let one = ExpectedAssignee::One("p1".into());
        let compared = |assignee: &ExpectedAssignee, status: &str, found: &str| {
            Difference::of(expected.as_ref(), assignee, status, found)
        };
        for (assignee, status, found, field) in [
            (&one, "6", "p1", None),
            (&one, "6", "", Some(Field::Assignee)),
            (&one, "5", "", Some(Field::Status)),
            (&ExpectedAssignee::Any, "6", "p2", None),
            (&ExpectedAssignee::Unknown, "6", "p2", None),
            (&ExpectedAssignee::Unknown, "5", "p2", Some(Field::Status)),
        ] {
            assert_eq!(
                compared(assignee, status, found).field,
                field,
                "{assignee:?}"
            );
        }
        let unknown = compared(&ExpectedAssignee::Unknown, "6", "");
        assert_eq!(unknown.unknown, [Field::Assignee]);
        let differs = compared(&one, "6", "p2");
        assert_eq!(
            (differs.found.as_str(), differs.expected.as_str()),
            ("p2", "p1")
        );
    }

    #[test]
    fn only_a_single_known_processor_is_an_assignee() {
        let people = |names: &[&str]| names.iter().map(|name| PersonId::from(*name)).collect();
        let known = BTreeMap::from([(PersonId::from("p1"), "p1".to_owned())]);
        for (processors, expected) in [
            (people(&["p1"]), ExpectedAssignee::One("p1".into())),
            (people(&["p2"]), ExpectedAssignee::Unknown),
            (people(&["p1", "p2"]), ExpectedAssignee::Any),
            (people(&[]), ExpectedAssignee::Any),
        ] {
            assert_eq!(ExpectedAssignee::of(&processors, &known), expected);
        }
    }

    #[test]
    fn only_the_due_comparison_is_stored() {
        let at = Moment(1_000);
        let start = Command::Start {
            source: "crm".into(),
            at,
        };
        let state = |commands: &[Command]| {
            let mut events = Vec::new();
            for command in commands {
                let state = fold::<Reconciliation>(&events);
                events.extend(state.decide(command, &()).expect("accepted"));
            }
            fold::<Reconciliation>(&events)
        };
        let record = |attempt| {
            Command::Record(Compared {
                attempt,
                cursor: "crm|7".into(),
                due: Moment(2_000),
                ..Compared::default()
            })
        };
        let compared = state(&[start.clone(), start.clone(), record(1)]);
        assert_eq!(
            (compared.attempts.due, compared.cursor.as_str()),
            (Moment(2_000), "crm|7")
        );
        let rejected = |rejection| Err(DecideError::Rejected(rejection));
        assert_eq!(
            compared.decide(&record(1), &()),
            rejected(Rejection::NotDue(1))
        );
        let stopped = state(&[start.clone(), Command::Stop]);
        assert_eq!(
            stopped.decide(&record(1), &()),
            rejected(Rejection::NotStarted)
        );
        assert!(
            state(&[start.clone(), record(1), Command::Stop, start])
                .cursor
                .is_empty()
        );
    }
}

//! Implements the regular comparison between the cases of one source and their records (reference/fleet.md 2.6), and the
//! rules that decide whether a value of a ticket and the value of its record agree.

use std::collections::{BTreeMap, BTreeSet};

use events::integration::CaseMapping;
use events::reconciliation::{Compared, ReconciliationEvent, Started, Stopped};
use events::{Moment, PersonId, TicketSn};
use serde::{Deserialize, Serialize};

use crate::attempt::Attempts;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::itsm::writeback::mark;
use crate::value::plain;

/// The time for which a ticket and its record may differ, in milliseconds. A difference that lasts longer is a
/// synchronization error.
pub const GRACE_MS: i64 = 60_000;
/// The shortest time between two repairs of the same value of a record, in milliseconds.
pub const REPAIR_MS: i64 = 3_600_000;
/// Maximum number of missing remarks that the desk writes again because of one comparison.
pub const REMARKS_MAX: usize = 20;

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

/// A value that the desk compares between a ticket and one of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComparedValue {
    Status,
    Assignee,
    /// The content that the record had when the desk processed it last.
    Content,
    /// The remarks that the desk wrote to the record.
    Remark,
}

impl ComparedValue {
    pub const ALL: [Self; 4] = [Self::Status, Self::Assignee, Self::Content, Self::Remark];

    /// Returns the name of the value in events and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Assignee => "assignee",
            Self::Content => "content",
            Self::Remark => "remark",
        }
    }
}

/// The result of the comparison of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The value agrees, or the mapping requires no certain value.
    Agrees,
    /// The value could not be compared.
    Unknown,
    Differs {
        /// The value in the record.
        found: String,
        /// The values that agree with the ticket, as a text for people.
        expected: String,
    },
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

impl Finding {
    /// Compares the status of a record with that which its ticket expects.
    pub fn of_status(expected: Option<&Expected>, found: &str) -> Self {
        match expected.filter(|expected| !expected.accepts(found)) {
            Some(expected) => Self::Differs {
                found: found.to_owned(),
                expected: expected.text(),
            },
            None => Self::Agrees,
        }
    }

    /// Compares the assignee of a record with that which its ticket expects.
    pub fn of_assignee(expected: &ExpectedAssignee, found: &str) -> Self {
        match expected {
            ExpectedAssignee::Unknown => Self::Unknown,
            ExpectedAssignee::One(expected) if expected != found => Self::Differs {
                found: found.to_owned(),
                expected: expected.clone(),
            },
            ExpectedAssignee::One(_) | ExpectedAssignee::Any => Self::Agrees,
        }
    }

    /// Compares the values that a record sets in its ticket with those that it had when the desk processed it last. Each
    /// value is a digest. Each key is the key of a form field.
    pub fn of_content(known: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Self {
        let keys: BTreeSet<&String> = known.keys().chain(found.keys()).collect();
        let changed: Vec<&String> = keys
            .into_iter()
            .filter(|key| known.get(*key) != found.get(*key))
            .collect();
        if changed.is_empty() {
            return Self::Agrees;
        }
        let listed = |digests: &BTreeMap<String, String>| {
            let digest = |key: &String| digests.get(key).map_or("-", String::as_str).to_owned();
            let all: Vec<String> = changed
                .iter()
                .copied()
                .map(|key| format!("{key} {}", digest(key)))
                .collect();
            all.join(", ")
        };
        Self::Differs {
            found: listed(found),
            expected: listed(known),
        }
    }

    /// Returns the finding about the remarks of the ticket. `missing` contains the numbers of those whose notes are not in the
    /// record.
    pub fn of_remarks(ticket: &TicketSn, missing: &[u64]) -> Self {
        if missing.is_empty() {
            return Self::Agrees;
        }
        let first = missing.iter().take(REMARKS_MAX);
        let marks: Vec<String> = first.map(|remark| mark(ticket, *remark)).collect();
        Self::Differs {
            found: String::new(),
            expected: marks.join(", "),
        }
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
    /// Starts the comparison. A running comparison does not change, except that its next round is not later than the end of
    /// the shift.
    Start {
        source: String,
        at: Moment,
        /// The next end of a shift.
        shift_end: Option<Moment>,
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
    /// The time at which the current round began. `None` between two rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Moment>,
    /// The time at which the last complete round began, or at which the comparison was started.
    #[serde(default)]
    pub last_round: Moment,
    /// Whether the source answered about a record in the current round and did not deny it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_answer: bool,
    /// The reason of the last denial in the current round. The text is empty if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub denial: String,
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
            Command::Start {
                source,
                at,
                shift_end,
            } => {
                let started = |due| {
                    let source = source.clone();
                    vec![Started { source, due }.into()]
                };
                Ok(match shift_end {
                    _ if !self.is_running => started(*at),
                    // Between two rounds only, so that a round continues where it is.
                    Some(end) if *end < self.attempts.due && self.began.is_none() => started(*end),
                    _ => Vec::new(),
                })
            }
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
                if !self.is_running {
                    self.last_round = started.due;
                }
                self.source.clone_from(&started.source);
                self.attempts.begin_again(started.due);
                self.cursor.clear();
                self.began = None;
                self.is_running = true;
                self.begin_round();
            }
            ReconciliationEvent::Compared(compared) => {
                self.attempts.poll(compared.attempt, compared.due);
                self.cursor.clone_from(&compared.cursor);
                let is_over = compared.is_last || !compared.unreachable.is_empty();
                self.began = compared.began.filter(|_| !is_over);
                if compared.is_last {
                    self.last_round = compared.began.unwrap_or(self.last_round);
                }
                self.has_answer = self.has_answer_after(compared);
                if !compared.denial.is_empty() {
                    self.denial.clone_from(&compared.denial);
                }
                if is_over {
                    self.begin_round();
                }
            }
            ReconciliationEvent::Stopped(_) => self.is_running = false,
        }
    }
}

impl Reconciliation {
    /// Returns whether the source has answered about a record in the current round, also in the given comparisons.
    pub fn has_answer_after(&self, compared: &Compared) -> bool {
        self.has_answer || compared.has_answer || compared.compared > 0
    }

    /// Returns why the source counts as unreachable at the end of a round: it denied all reads of the round. `compared` are the
    /// last comparisons of the round. Returns `None` if the source answered at least once, or if nothing was read.
    pub fn denial_of_all(&self, compared: &Compared) -> Option<String> {
        let mut denials = [&compared.denial, &self.denial].into_iter();
        let denial = denials.find(|denial| !denial.is_empty());
        denial.filter(|_| !self.has_answer_after(compared)).cloned()
    }

    fn begin_round(&mut self) {
        self.has_answer = false;
        self.denial.clear();
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

    fn differs(found: &str, expected: &str) -> Finding {
        Finding::Differs {
            found: found.into(),
            expected: expected.into(),
        }
    }

    #[test]
    fn each_value_is_compared_by_its_own_rule() {
        let both = mapping(json!({ "write_back": { "FINISHED": 6 } }));
        let expected = Expected::of(&both, "FINISHED", true);
        let status = |found: &str| Finding::of_status(expected.as_ref(), found);
        assert_eq!(
            (status("6"), status("5")),
            (Finding::Agrees, differs("5", "6"))
        );
        assert_eq!(Finding::of_status(None, "5"), Finding::Agrees);
        let one = ExpectedAssignee::One("p1".into());
        for (assignee, found, finding) in [
            (&one, "p1", Finding::Agrees),
            (&one, "", differs("", "p1")),
            (&one, "p2", differs("p2", "p1")),
            (&ExpectedAssignee::Any, "p2", Finding::Agrees),
            (&ExpectedAssignee::Unknown, "p2", Finding::Unknown),
        ] {
            assert_eq!(
                Finding::of_assignee(assignee, found),
                finding,
                "{assignee:?}"
            );
        }
    }

    #[test]
    fn the_last_fact_is_the_content_of_the_record_and_the_remarks() {
        let digests = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pair = |(key, digest): &(&str, &str)| ((*key).to_owned(), (*digest).to_owned());
            pairs.iter().map(pair).collect()
        };
        let known = digests(&[("impact", "d1"), ("title", "d2")]);
        assert_eq!(Finding::of_content(&known, &known), Finding::Agrees);
        assert_eq!(
            Finding::of_content(&known, &digests(&[("impact", "d1"), ("title", "d3")])),
            differs("title d3", "title d2")
        );
        assert_eq!(
            Finding::of_content(&known, &digests(&[("note", "d4"), ("title", "d2")])),
            differs("impact -, note d4", "impact d1, note -")
        );
        let ticket = TicketSn("INC1".into());
        assert_eq!(Finding::of_remarks(&ticket, &[]), Finding::Agrees);
        let marks = "[ledgerdesk INC1/1], [ledgerdesk INC1/3]";
        assert_eq!(Finding::of_remarks(&ticket, &[1, 3]), differs("", marks));
        let many: Vec<u64> = (1..=30).collect();
        let Finding::Differs { expected, .. } = Finding::of_remarks(&ticket, &many) else {
            panic!("a difference")
        };
        assert_eq!(expected.matches("ledgerdesk").count(), REMARKS_MAX);
    }

    #[test]
    fn the_compared_values_have_the_names_of_the_events() {
        assert_eq!(
            ComparedValue::ALL.map(ComparedValue::name),
            events::case::COMPARED
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
            shift_end: None,
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

    #[test]
    fn an_earlier_shift_end_moves_the_next_round_and_not_a_running_one() {
        let start = |shift_end| Command::Start {
            source: "crm".into(),
            at: Moment(1_000),
            shift_end,
        };
        let after = |is_last, unreachable: &str| {
            let compared = Compared {
                attempt: 1,
                began: Some(Moment(1_500)),
                is_last,
                unreachable: unreachable.into(),
                due: Moment(9_000),
                ..Compared::default()
            };
            let mut state = Reconciliation::default();
            for command in [start(None), Command::Record(compared)] {
                let events = state.decide(&command, &()).expect("accepted");
                events.iter().for_each(|event| state.evolve(event));
            }
            state
        };
        let mut idle = after(true, "");
        assert_eq!((idle.last_round, idle.began), (Moment(1_500), None));
        for (shift_end, count) in [
            (None, 0),
            (Some(Moment(9_500)), 0),
            (Some(Moment(5_000)), 1),
        ] {
            let events = idle.decide(&start(shift_end), &()).expect("accepted");
            assert_eq!(events.len(), count, "{shift_end:?}");
            events.iter().for_each(|event| idle.evolve(event));
        }
        assert_eq!(
            (idle.attempts.due, idle.last_round, idle.attempts.next()),
            (Moment(5_000), Moment(1_500), 2)
        );
        let running = after(false, "");
        assert_eq!(
            (running.last_round, running.began),
            (Moment(1_000), Some(Moment(1_500)))
        );
        let events = running.decide(&start(Some(Moment(5_000))), &());
        assert_eq!(events, Ok(Vec::new()));
        // A round that could not read the source is not a complete one.
        let failed = after(false, "no connection");
        assert_eq!((failed.last_round, failed.began), (Moment(1_000), None));
    }
    #[test]
    fn only_a_round_whose_reads_were_all_denied_shows_an_unreachable_source() {
        let denied = Compared {
            denied: 1,
            denial: "the response status is 403".into(),
            began: Some(Moment(1_500)),
            ..Compared::default()
        };
        let rejected = Compared {
            has_answer: true,
            began: Some(Moment(1_500)),
            ..Compared::default()
        };
        let agreed = Compared {
            compared: 1,
            began: Some(Moment(1_500)),
            ..Compared::default()
        };
        let nothing = Compared {
            began: Some(Moment(1_500)),
            ..Compared::default()
        };
        let reason = Some(denied.denial.clone());
        for (first, last, expected) in [
            (&denied, &denied, &reason),
            (&denied, &nothing, &reason),
            (&nothing, &denied, &reason),
            (&nothing, &nothing, &None),
            (&denied, &agreed, &None),
            (&agreed, &denied, &None),
            (&rejected, &denied, &None),
            (&denied, &rejected, &None),
        ] {
            let mut state = Reconciliation {
                is_running: true,
                ..Reconciliation::default()
            };
            state.evolve(&first.clone().into());
            let found = state.denial_of_all(last);
            assert_eq!(found, *expected, "{first:?} {last:?}");
            // The next round knows nothing of this one.
            let end = Compared {
                is_last: true,
                ..last.clone()
            };
            state.evolve(&end.into());
            assert_eq!(state.denial_of_all(&nothing), None);
            assert_eq!(state.denial_of_all(&denied), reason);
        }
    }
}

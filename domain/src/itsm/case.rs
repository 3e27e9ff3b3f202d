//! Implements the aggregate of one case. A case is a record of an external system for which the desk opens
//! one ticket.
//!
//! When content of the record arrives, the desk stores a deadline and then processes the content. The first
//! content opens the ticket, and newer content changes the ticket. If the content cannot be processed, the
//! desk refuses the content and stores the reason. A person can then request that the desk processes the same
//! content again.

use std::collections::BTreeMap;

use events::case::{
    Agreement, Bound, CaseEvent, Compared, ConflictResolved, Conflicted, Identified,
    ProcessRequested, Received, Refused, Repaired, Skipped, UpdateMark, Updated,
};
use events::{AppCode, Moment, PersonId, TicketSn};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Time in milliseconds until the queue `sync` processes received content. Normally the content is
/// processed earlier, by the request that contains the content.
pub const PROCESS_MS: i64 = 30_000;

/// The commands that change one case (a record of an external system).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Receive(Received),
    /// Requests that the desk processes the refused content of the record again.
    RequestProcessing {
        by: PersonId,
        at: Moment,
    },
    Bind(Bound),
    /// Stores that the record has ended, and that the desk opens no ticket for it.
    Skip,
    Update(Updated),
    Refuse(Refused),
    Identify(Identified),
    /// Stores that the source has changed a value that the desk wanted to write.
    Conflict(Conflicted),
    /// Stores that the values of the source and of the desk agree again.
    ResolveConflict,
    /// Stores the result of a comparison with the record, if it is another one than before.
    Compare(Compared),
    /// Stores that the desk begins to repair a difference.
    Repair(Repaired),
}

/// The reasons why the desk rejects a command for a case (a record of an external system).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the case has no content that waits for processing")]
    NothingPending,
    #[error("only refused content can be processed again")]
    NotRefused,
    #[error("the case is bound to ticket {0}")]
    AlreadyBound(TicketSn),
    #[error("the case has no ticket")]
    NotBound,
}

/// The result of a comparison between the content that just arrived and the stored content of a case (a record
/// of an external system).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    New,
    /// The received content is equal to the stored content.
    Same,
    /// The received content is older than the stored content.
    Older,
}

/// The state of one case (a record of an external system), computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub source: String,
    /// The id of the record in the external system. The text is empty if the desk cannot read the id.
    pub record: String,
    pub app: AppCode,
    /// The time at which the external system created the record, by the clock of that system.
    pub created: Option<Moment>,
    /// The time at which the desk received the first content of the record.
    pub first_received: Moment,
    /// The time at which the desk received the newest content of the record.
    pub received: Moment,
    pub mark: Option<UpdateMark>,
    /// The digest (hash) of the newest content of the record. The text is empty before the first content
    /// arrives.
    pub digest: String,
    /// True if the desk has not processed the newest content of the record yet.
    pub is_pending: bool,
    pub ticket: Option<TicketSn>,
    /// The version of the rules (mapping) that convert the record to a ticket. The version is 0 until the
    /// desk opens a ticket.
    pub mapping: u32,
    /// The reason why the desk refused the newest content of the record. `None` if the content was not
    /// refused.
    pub refusal: Option<Refused>,
    /// The name of the stream of another case to which the content of the record belongs. The value is present
    /// only if the desk could not read the record id at first and found the id later.
    pub identified: Option<String>,
    /// True if the record had ended when the desk read it first, so that the case has no ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_skipped: bool,
    /// Number of updates of the record that the desk processed after it opened the ticket.
    pub updates: u32,
    /// A short digest (hash) of each value that the desk copied from the record to the ticket. Each key of
    /// the map is the key of a form field.
    pub fields: BTreeMap<String, String>,
    /// The status of the record in its newest content. The text is empty if the mapping does not name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The status of the record when the ticket was opened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_status: String,
    /// The last conflict between the values of the source and of the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflicted>,
    /// The result of the last comparison with the record. `None` if the ticket and the record have never differed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// The time of the last repair of a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Moment>,
}

impl Case {
    /// Returns whether the ticket and the record agreed in the last comparison.
    pub fn agreement(&self) -> Agreement {
        let compared = self.compared.as_ref();
        compared.map_or(Agreement::Agrees, |compared| compared.agreement)
    }

    /// Compares content that just arrived with the stored content of this case (a record of an external
    /// system). The parameter `digest` is the hash of the arrived content, and `mark` is the version of the
    /// record.
    pub fn freshness(&self, digest: &str, mark: Option<UpdateMark>) -> Freshness {
        let is_older = match (mark, self.mark) {
            (Some(arrived), Some(own)) => arrived.is_before(own),
            _ => false,
        };
        if self.digest == digest {
            Freshness::Same
        } else if is_older {
            Freshness::Older
        } else {
            Freshness::New
        }
    }
}

impl Decider for Case {
    type Command = Command;
    type Event = CaseEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Receive(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<CaseEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Receive(received) => {
                Ok(match self.freshness(&received.digest, received.mark) {
                    Freshness::New => vec![received.clone().into()],
                    Freshness::Same | Freshness::Older => Vec::new(),
                })
            }
            Command::RequestProcessing { .. } if self.refusal.is_none() => {
                reject(Rejection::NotRefused)
            }
            Command::RequestProcessing { by, at } => Ok(vec![
                ProcessRequested {
                    by: by.clone(),
                    due: at.plus_ms(PROCESS_MS),
                }
                .into(),
            ]),
            Command::Conflict(_) if self.ticket.is_none() => reject(Rejection::NotBound),
            Command::Conflict(conflicted) if self.conflict.as_ref() == Some(conflicted) => {
                Ok(Vec::new())
            }
            Command::Conflict(conflicted) => Ok(vec![conflicted.clone().into()]),
            Command::ResolveConflict if self.conflict.is_none() => Ok(Vec::new()),
            Command::ResolveConflict => Ok(vec![ConflictResolved {}.into()]),
            Command::Compare(_) | Command::Repair(_) if self.ticket.is_none() => {
                reject(Rejection::NotBound)
            }
            Command::Compare(compared) if compared.agreement == self.agreement() => Ok(Vec::new()),
            Command::Compare(compared) => Ok(vec![compared.clone().into()]),
            Command::Repair(repaired) => Ok(vec![repaired.clone().into()]),
            _ if !self.is_pending => reject(Rejection::NothingPending),
            Command::Bind(bound) => match &self.ticket {
                Some(ticket) => reject(Rejection::AlreadyBound(ticket.clone())),
                None => Ok(vec![bound.clone().into()]),
            },
            Command::Update(_) | Command::Identify(_) | Command::Skip
                if matches!(command, Command::Update(_)) != self.ticket.is_some() =>
            {
                reject(match &self.ticket {
                    Some(ticket) => Rejection::AlreadyBound(ticket.clone()),
                    None => Rejection::NotBound,
                })
            }
            Command::Update(updated) => Ok(vec![updated.clone().into()]),
            Command::Identify(identified) => Ok(vec![identified.clone().into()]),
            Command::Skip => Ok(vec![Skipped {}.into()]),
            Command::Refuse(refused) => Ok(vec![refused.clone().into()]),
        }
    }

    fn evolve(&mut self, event: &CaseEvent) {
        match event {
            CaseEvent::Received(received) => {
                if self.digest.is_empty() {
                    self.first_received = received.received;
                    self.source.clone_from(&received.source);
                    self.record.clone_from(&received.record);
                }
                self.app = received.app.clone();
                self.created = received.created.or(self.created);
                self.received = received.received;
                self.mark = received.mark;
                self.status.clone_from(&received.status);
                self.digest.clone_from(&received.digest);
                self.is_pending = true;
                self.is_skipped = false;
                self.refusal = None;
            }
            CaseEvent::ProcessRequested(_) => {
                self.is_pending = true;
                self.refusal = None;
            }
            CaseEvent::Bound(bound) => {
                self.is_pending = false;
                self.ticket = Some(bound.ticket.clone());
                self.mapping = bound.mapping;
                self.first_status.clone_from(&bound.status);
                self.fields.clone_from(&bound.fields);
            }
            CaseEvent::Skipped(_) => {
                self.is_pending = false;
                self.is_skipped = true;
            }
            CaseEvent::Updated(updated) => {
                self.is_pending = false;
                self.updates += 1;
                self.fields.clone_from(&updated.fields);
            }
            CaseEvent::Refused(refused) => {
                self.is_pending = false;
                self.refusal = Some(refused.clone());
            }
            CaseEvent::Identified(identified) => {
                self.is_pending = false;
                self.identified = Some(identified.case.clone());
            }
            CaseEvent::Conflicted(conflicted) => self.conflict = Some(conflicted.clone()),
            CaseEvent::ConflictResolved(_) => self.conflict = None,
            CaseEvent::Compared(compared) => self.compared = Some(compared.clone()),
            CaseEvent::Repaired(repaired) => self.repaired = Some(repaired.at),
        }
    }
}

/// Adds each case (a record of an external system) to three lists: the list of all cases, the list of its
/// source and the list of its ticket. A case with refused content is also in the list `refused`. A case with
/// content that waits for processing is also in the list `pending`, and a case with a conflict in the list `conflict`.
/// The list `binding` contains the cases of a source that are compared with their records, and the list `differing` those
/// that differ for longer than the permitted time.
impl Card for Case {
    type Event = CaseEvent;
    const VIEW: &'static str = "case";
    const COUNTED: &'static [&'static str] = &[
        "case",
        "refused",
        "pending",
        "conflict",
        "source",
        "differing",
    ];

    fn fold(&mut self, envelope: &Envelope<CaseEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let at = format!("{:016}", self.first_received.0);
        let mut rows = vec![
            ("case", at.clone()),
            ("source", format!("{}|{at}", self.source)),
        ];
        if self.refusal.is_some() {
            rows.push(("refused", at.clone()));
        }
        if self.conflict.is_some() {
            rows.push(("conflict", at.clone()));
        }
        if self.is_pending {
            rows.push(("pending", at));
        }
        if let Some(ticket) = &self.ticket {
            rows.push(("ticket", ticket.0.clone()));
            if self.agreement() != Agreement::Settled {
                // The number of the ticket makes the value unique.
                rows.push(("binding", format!("{}|{ticket}", self.source)));
            }
            if self.agreement() == Agreement::Error {
                rows.push(("differing", format!("{:016}", self.first_received.0)));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    fn received(revision: i64, digest: &str) -> Received {
        Received {
            source: "crm".into(),
            record: "CS-1".into(),
            mark: Some(UpdateMark::Counter(revision)),
            created: Some(Moment(1_000)),
            received: Moment(5_000 + revision),
            status: String::new(),
            digest: digest.into(),
            app: AppCode("crm_app".into()),
            due: Moment(35_000 + revision),
        }
    }

    fn ticket() -> TicketSn {
        TicketSn("REQ20261122000001".into())
    }

    /// Returns the state of a case (a record of an external system) after the given commands. If a command is
    /// rejected, the test fails.
    fn after(commands: &[Command]) -> Case {
        let mut events = Vec::new();
        for command in commands {
            let case = fold::<Case>(&events);
            events.extend(case.decide(command, &()).expect("an accepted command"));
        }
        fold::<Case>(&events)
    }

    fn bind() -> Command {
        Command::Bind(Bound {
            ticket: ticket(),
            mapping: 1,
            status: String::new(),
            fields: BTreeMap::from([("title".into(), "t1".into())]),
        })
    }

    fn refuse() -> Command {
        Command::Refuse(Refused {
            field: "/type".into(),
            reason: "`/type` is not mapped".into(),
        })
    }

    #[test]
    fn equal_and_older_content_adds_no_event() {
        let case = after(&[Command::Receive(received(4, "d4")), bind()]);
        for (revision, digest, freshness) in [
            (4, "d4", Freshness::Same),
            (9, "d4", Freshness::Same),
            (3, "d3", Freshness::Older),
            (4, "d5", Freshness::New),
            (5, "d5", Freshness::New),
        ] {
            let content = received(revision, digest);
            assert_eq!(case.freshness(digest, content.mark), freshness);
            let events = case.decide(&Command::Receive(content), &()).unwrap();
            assert_eq!(events.len(), usize::from(freshness == Freshness::New));
        }
    }

    #[test]
    fn a_case_keeps_the_clock_of_its_source_and_its_first_arrival() {
        let mut later = received(5, "d5");
        later.created = None;
        let case = after(&[
            Command::Receive(received(4, "d4")),
            bind(),
            Command::Receive(later),
        ]);
        assert_eq!(case.created, Some(Moment(1_000)));
        assert_eq!(case.first_received, Moment(5_004));
        assert_eq!(case.received, Moment(5_005));
        assert!(case.is_pending);
    }

    #[test]
    fn refused_content_is_processed_again_on_request() {
        let receive = Command::Receive(received(1, "d1"));
        let refused = after(&[receive.clone(), refuse()]);
        assert!(!refused.is_pending);
        assert_eq!(refused.decide(&receive, &()), Ok(Vec::new()));
        let again = Command::RequestProcessing {
            by: PersonId("p1".into()),
            at: Moment(9_000),
        };
        let bound = after(&[receive.clone(), refuse(), again.clone(), bind()]);
        assert_eq!(bound.ticket, Some(ticket()));
        assert_eq!((&bound.refusal, bound.mapping), (&None, 1));
        assert_eq!(
            after(&[receive, bind()]).decide(&again, &()),
            Err(DecideError::Rejected(Rejection::NotRefused))
        );
    }

    #[test]
    fn a_refused_update_leaves_the_case_bound() {
        let case = after(&[
            Command::Receive(received(1, "d1")),
            bind(),
            Command::Receive(received(2, "d2")),
            refuse(),
        ]);
        assert_eq!(case.ticket, Some(ticket()));
        assert!(case.refusal.is_some());
    }

    #[test]
    fn only_pending_content_is_processed_and_only_in_its_way() {
        let update = Command::Update(Updated {
            has_changed: true,
            fields: BTreeMap::new(),
        });
        let identify = Command::Identify(Identified {
            case: "case-2".into(),
        });
        let rejected = |case: &Case, command: &Command| match case.decide(command, &()) {
            Err(DecideError::Rejected(rejection)) => rejection,
            other => panic!("{command:?}: {other:?}"),
        };
        let pending = after(&[Command::Receive(received(1, "d1"))]);
        assert_eq!(rejected(&pending, &update), Rejection::NotBound);
        let bound = after(&[Command::Receive(received(1, "d1")), bind()]);
        for command in [bind(), update.clone(), identify.clone(), refuse()] {
            assert_eq!(rejected(&bound, &command), Rejection::NothingPending);
        }
        let newer = after(&[
            Command::Receive(received(1, "d1")),
            bind(),
            Command::Receive(received(2, "d2")),
        ]);
        assert_eq!(rejected(&newer, &bind()), Rejection::AlreadyBound(ticket()));
        assert_eq!(
            rejected(&newer, &identify),
            Rejection::AlreadyBound(ticket())
        );
        assert_eq!(newer.decide(&update, &()).unwrap().len(), 1);
    }

    #[test]
    fn the_lists_show_refused_and_pending_cases() {
        let lists = |case: &Case| case.index().iter().map(|row| row.0).collect::<Vec<_>>();
        let pending = after(&[Command::Receive(received(1, "d1"))]);
        assert_eq!(lists(&pending), ["case", "source", "pending"]);
        let refused = after(&[Command::Receive(received(1, "d1")), refuse()]);
        assert_eq!(lists(&refused), ["case", "source", "refused"]);
        let bound = after(&[Command::Receive(received(1, "d1")), bind()]);
        assert_eq!(lists(&bound), ["case", "source", "ticket", "binding"]);
    }
}

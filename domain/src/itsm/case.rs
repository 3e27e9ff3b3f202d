//! Implements the aggregate of one case. A case is a record of an external system for which the desk opens
//! one ticket.
//!
//! When content of the record arrives, the desk stores a deadline and then processes the content. The first
//! content opens the ticket, and newer content changes the ticket. If the content cannot be processed, the
//! desk refuses the content and stores the reason. A person can then request that the desk processes the same
//! content again.

use std::collections::BTreeMap;

use events::case::{
    Agreement, BindingRemoved, BindingSet, Bound, CaseEvent, Compared, ConflictResolved,
    Conflicted, FurtherBinding, Identified, ProcessRequested, Received, Refused, Repaired, Skipped,
    UpdateMark, Updated,
};
use events::integration::{Defined, Target};
use events::{AppCode, Moment, PersonId, TicketSn};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::itsm::pinned::moved;
use crate::itsm::reconciliation::REPAIR_MS;
use crate::views::Card;

/// Time in milliseconds until the queue `sync` processes received content. Normally the content is
/// processed earlier, by the request that contains the content.
pub const PROCESS_MS: i64 = 30_000;

/// The commands that change one case (a record of an external system).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Receive(Received),
    /// Stores that content arrived which the desk refuses at once and does not keep, because it is too large.
    ReceiveRefused {
        received: Received,
        refused: Refused,
    },
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
    /// Ends the refusal of content that is apart from the other content of its record, because the record has accepted content
    /// that arrived later. Otherwise, nothing changes.
    Supersede {
        /// The name of the stream with the other content of the record.
        case: String,
        /// The time at which the accepted content arrived.
        received: Moment,
        /// The version of the accepted content, if it is readable.
        mark: Option<UpdateMark>,
    },
    /// Stores that the source has changed a value that the desk wanted to write.
    Conflict(Conflicted),
    /// Stores that a value of the source and of the desk agrees again.
    ResolveConflict(ConflictResolved),
    /// Stores the result of a comparison with the record, if it is another one than before.
    Compare(Compared),
    /// Stores that the desk begins to repair a difference. If it repaired the same value a short time before, nothing
    /// changes.
    Repair(Repaired),
    /// Binds the case to a record of another integration, as a person decided.
    SetBinding(BindingSet),
    /// Removes the binding to the record of another integration that a person set. A binding that does not exist changes
    /// nothing.
    RemoveBinding {
        by: PersonId,
        integration: String,
    },
    /// Executes the command, but only if the case is still bound to the record. Otherwise, nothing changes. The name of the
    /// integration is empty for the source of the case.
    IfBound {
        integration: String,
        record: String,
        command: Box<Command>,
    },
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
    #[error("the case has no record in the integration {0}")]
    NoRecord(String),
    #[error("the integration {0} is the source of the case")]
    OfSource(String),
    #[error(
        "content of the source, and no person, bound the case to its record in the integration {0}"
    )]
    NotSetByPerson(String),
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

/// A record to which a case is bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The id of the record in the external system.
    pub record: String,
    /// The version of the mapping of the integration.
    pub mapping: u32,
    /// The external system that gave the id of the record. `None` if an earlier version of the program bound the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// True if the desk does not know the values of the record before its first write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepts_any: bool,
    /// True if a person named the record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_set_by_person: bool,
    /// The status of the record when the ticket was opened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_status: String,
    /// The assignee of the record when the ticket was opened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_assignee: String,
    /// The last conflict of each value between the record and the desk. Each key is a value, such as `status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<String, Conflicted>,
    /// The results of the last comparisons that were not the first agreement. Each key is a value, such as `status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub comparisons: BTreeMap<String, Compared>,
    /// True if the ticket has ended and all values agreed, so that the case is not compared with the record any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_settled: bool,
    /// The times of the last repairs. Each key is a value, such as `status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repairs: BTreeMap<String, Moment>,
    /// The times at which the desk wrote missing remarks again, by their numbers. Earlier times than
    /// [`REPAIR_MS`] before the last repair are not kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repaired_remarks: BTreeMap<u64, Moment>,
}

impl Binding {
    /// Returns the reason why the desk must not send a request about the record to the external system of `integration`: the
    /// record is in another system. Returns `None` if the request may be sent.
    pub fn moved(&self, integration: &Defined) -> Option<String> {
        let target = self.target.as_ref()?;
        moved(
            target,
            integration,
            "the case was bound to its record",
            "cases",
        )
    }

    /// Returns whether the desk wrote a missing remark again a short time before.
    pub fn has_repaired(&self, remark: u64, now: Moment) -> bool {
        is_recent(self.repaired_remarks.get(&remark), now)
    }

    /// Returns whether the desk repaired the same value, or one of the same remarks, a short time before.
    fn repairs_again(&self, repaired: &Repaired) -> bool {
        let mut remarks = repaired.remarks.iter();
        if repaired.remarks.is_empty() {
            is_recent(self.repairs.get(&repaired.field), repaired.at)
        } else {
            remarks.any(|remark| self.has_repaired(*remark, repaired.at))
        }
    }

    /// Returns whether the ticket and the record agreed in the last comparison. The worst result of all values counts.
    pub fn agreement(&self) -> Agreement {
        let has = |agreement| {
            let mut results = self.comparisons.values();
            results.any(|compared| compared.agreement == agreement)
        };
        if self.is_settled {
            Agreement::Settled
        } else if has(Agreement::Error) {
            Agreement::Error
        } else if has(Agreement::Differs) {
            Agreement::Differs
        } else {
            Agreement::Agrees
        }
    }

    /// Returns whether a value of the ticket and of the record agreed in its last comparison.
    pub fn agreement_of(&self, field: &str) -> Agreement {
        let compared = self.comparisons.get(field);
        compared.map_or(Agreement::Agrees, |compared| compared.agreement)
    }

    /// Returns whether the result of a comparison is the same as that of the last one.
    fn repeats(&self, compared: &Compared) -> bool {
        if compared.agreement == Agreement::Settled {
            return self.is_settled;
        }
        let last = self.comparisons.get(&compared.field);
        let was_known = last.is_none_or(|last| last.unknown.is_empty());
        let reason = last.map_or("", |last| last.reason.as_str());
        compared.reason == reason
            && compared.agreement == self.agreement_of(&compared.field)
            && compared.unknown.is_empty() == was_known
    }
}

fn is_recent(repaired: Option<&Moment>, now: Moment) -> bool {
    repaired.is_some_and(|at| at.plus_ms(REPAIR_MS) > now)
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
    /// The records to which the case is bound. Each key is the name of an integration. The first binding is the record in
    /// the source of the case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, Binding>,
    /// The reasons why the case is not bound to the records of other integrations. Each key is the name of an integration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused_bindings: BTreeMap<String, Refused>,
}

impl Case {
    /// Returns the record in the given integration. An empty name means the source of the case.
    pub fn binding(&self, integration: &str) -> Option<&Binding> {
        self.bindings.get(self.key(integration))
    }

    /// Returns the names of the integrations with records that a person named.
    pub fn set_by_people(&self) -> Vec<&str> {
        let bindings = self.bindings.iter();
        let set = bindings.filter(|(_, binding)| binding.is_set_by_person);
        set.map(|(integration, _)| integration.as_str()).collect()
    }

    /// Returns the first conflict between the desk and one of the records, that of the source first.
    pub fn conflict(&self) -> Option<&Conflicted> {
        let own = self.bindings.get(&self.source);
        let all = own.into_iter().chain(self.bindings.values());
        all.flat_map(|binding| binding.conflicts.values().rev())
            .next()
    }

    /// Returns the further bindings that newer content adds or refuses. A binding that exists is not replaced, and the same
    /// refusal is not stored again.
    #[must_use]
    pub fn added(&self, found: Vec<FurtherBinding>) -> Vec<FurtherBinding> {
        let is_new = |one: &FurtherBinding| {
            one.integration != self.source
                && !self.bindings.contains_key(&one.integration)
                && (one.refused.is_none()
                    || one.refused.as_ref() != self.refused_bindings.get(&one.integration))
        };
        found.into_iter().filter(is_new).collect()
    }

    /// Returns whether the content was refused, and is older than content with the version `mark` that arrived at the time
    /// `received`. If both versions are readable, a newer version that arrived earlier is not older.
    pub fn is_superseded(&self, received: Moment, mark: Option<UpdateMark>) -> bool {
        self.refusal.is_some()
            && self.ticket.is_none()
            && self.received < received
            && !self.is_newer_than(mark)
    }

    /// Returns whether the version of the last content is known to be newer than `mark`.
    fn is_newer_than(&self, mark: Option<UpdateMark>) -> bool {
        match (mark, self.mark) {
            (Some(other), Some(own)) => other.is_before(own),
            _ => false,
        }
    }

    fn key<'a>(&'a self, integration: &'a str) -> &'a str {
        if integration.is_empty() {
            &self.source
        } else {
            integration
        }
    }

    /// Changes the record in the given integration.
    fn change(&mut self, integration: &str, change: impl FnOnce(&mut Binding)) {
        let key = self.key(integration).to_owned();
        change(self.bindings.entry(key).or_default());
    }

    fn bind(&mut self, further: &[FurtherBinding]) {
        for one in further {
            if let Some(refused) = &one.refused {
                let name = one.integration.clone();
                self.refused_bindings.insert(name, refused.clone());
                continue;
            }
            self.refused_bindings.remove(&one.integration);
            let binding = Binding {
                record: one.record.clone(),
                mapping: one.mapping,
                target: one.target.clone(),
                accepts_any: true,
                ..Binding::default()
            };
            self.bindings.insert(one.integration.clone(), binding);
        }
    }

    /// Compares content that just arrived with the stored content of this case (a record of an external
    /// system). The parameter `digest` is the hash of the arrived content, and `mark` is the version of the
    /// record.
    pub fn freshness(&self, digest: &str, mark: Option<UpdateMark>) -> Freshness {
        if self.digest == digest {
            Freshness::Same
        } else if self.is_newer_than(mark) {
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
        matches!(
            command,
            Command::Receive(_) | Command::ReceiveRefused { .. }
        )
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
            Command::ReceiveRefused { received, refused } => {
                Ok(match self.freshness(&received.digest, received.mark) {
                    Freshness::New => vec![received.clone().into(), refused.clone().into()],
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
            Command::Conflict(_)
            | Command::Compare(_)
            | Command::Repair(_)
            | Command::SetBinding(_)
                if self.ticket.is_none() =>
            {
                reject(Rejection::NotBound)
            }
            Command::SetBinding(set) if set.binding.integration == self.source => {
                reject(Rejection::OfSource(self.source.clone()))
            }
            Command::SetBinding(set) => {
                let known = self.bindings.get(&set.binding.integration);
                let is_known = known.is_some_and(|known| {
                    known.record == set.binding.record && known.target == set.binding.target
                });
                Ok(if is_known {
                    Vec::new()
                } else {
                    vec![set.clone().into()]
                })
            }
            Command::RemoveBinding { by, integration } => match self.bindings.get(integration) {
                None => Ok(Vec::new()),
                Some(known) if !known.is_set_by_person => {
                    reject(Rejection::NotSetByPerson(integration.clone()))
                }
                Some(known) => Ok(vec![
                    BindingRemoved {
                        by: by.clone(),
                        integration: integration.clone(),
                        record: known.record.clone(),
                    }
                    .into(),
                ]),
            },
            Command::IfBound {
                integration,
                record,
                command,
            } => {
                let known = self.binding(integration);
                if known.is_some_and(|known| known.record == *record) {
                    self.decide(command, &())
                } else {
                    Ok(Vec::new())
                }
            }
            Command::Conflict(Conflicted { integration, .. })
            | Command::Compare(Compared { integration, .. })
            | Command::Repair(Repaired { integration, .. })
                if self.binding(integration).is_none() =>
            {
                reject(Rejection::NoRecord(integration.clone()))
            }
            Command::Conflict(conflicted) => {
                let known = self.binding(&conflicted.integration);
                let known = known.and_then(|binding| binding.conflicts.get(&conflicted.field));
                Ok(if known == Some(conflicted) {
                    Vec::new()
                } else {
                    vec![conflicted.clone().into()]
                })
            }
            Command::ResolveConflict(resolved) => {
                let binding = self.binding(&resolved.integration);
                let has = binding.is_some_and(|one| one.conflicts.contains_key(&resolved.field));
                Ok(if has {
                    vec![resolved.clone().into()]
                } else {
                    Vec::new()
                })
            }
            Command::Compare(compared) => {
                let binding = self.binding(&compared.integration);
                Ok(if binding.is_some_and(|one| one.repeats(compared)) {
                    Vec::new()
                } else {
                    vec![compared.clone().into()]
                })
            }
            Command::Repair(repaired) => {
                let binding = self.binding(&repaired.integration);
                Ok(if binding.is_some_and(|one| one.repairs_again(repaired)) {
                    Vec::new()
                } else {
                    vec![repaired.clone().into()]
                })
            }
            Command::Supersede {
                case,
                received,
                mark,
            } => Ok(if self.is_superseded(*received, *mark) {
                vec![Identified { case: case.clone() }.into()]
            } else {
                Vec::new()
            }),
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
                // Content without a readable version must not make older content look new.
                self.mark = received.mark.or(self.mark);
                self.status.clone_from(&received.status);
                self.digest.clone_from(&received.digest);
                self.is_pending = true;
                self.is_skipped = false;
                self.identified = None;
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
                let binding = Binding {
                    record: self.record.clone(),
                    mapping: bound.mapping,
                    target: bound.target.clone(),
                    first_status: bound.status.clone(),
                    first_assignee: bound.assignee.clone(),
                    ..Binding::default()
                };
                self.bindings.insert(self.source.clone(), binding);
                self.bind(&bound.bindings);
                self.fields.clone_from(&bound.fields);
            }
            CaseEvent::Skipped(_) => {
                self.is_pending = false;
                self.is_skipped = true;
            }
            CaseEvent::Updated(updated) => {
                self.is_pending = false;
                self.updates += 1;
                self.bind(&updated.bindings);
                self.fields.clone_from(&updated.fields);
            }
            CaseEvent::Refused(refused) => {
                self.is_pending = false;
                self.refusal = Some(refused.clone());
            }
            CaseEvent::Identified(identified) => {
                self.is_pending = false;
                self.refusal = None;
                self.identified = Some(identified.case.clone());
            }
            CaseEvent::Conflicted(conflicted) => self.change(&conflicted.integration, |binding| {
                let field = conflicted.field.clone();
                binding.conflicts.insert(field, conflicted.clone());
            }),
            CaseEvent::ConflictResolved(resolved) => {
                self.change(&resolved.integration, |binding| {
                    binding.conflicts.remove(&resolved.field);
                });
            }
            CaseEvent::Compared(compared) => self.change(&compared.integration, |binding| {
                if compared.agreement == Agreement::Settled {
                    binding.is_settled = true;
                    binding.comparisons.clear();
                } else {
                    let field = compared.field.clone();
                    binding.comparisons.insert(field, compared.clone());
                }
            }),
            CaseEvent::Repaired(repaired) => self.change(&repaired.integration, |binding| {
                let field = repaired.field.clone();
                binding.repairs.insert(field, repaired.at);
                let known = &mut binding.repaired_remarks;
                known.retain(|_, at| at.plus_ms(REPAIR_MS) > repaired.at);
                known.extend(repaired.remarks.iter().map(|remark| (*remark, repaired.at)));
            }),
            CaseEvent::BindingSet(set) => {
                self.bind(std::slice::from_ref(&set.binding));
                self.change(&set.binding.integration, |binding| {
                    binding.is_set_by_person = true;
                });
            }
            CaseEvent::BindingRemoved(removed) => {
                self.bindings.remove(&removed.integration);
            }
        }
    }
}

/// Adds each case (a record of an external system) to three lists: the list of all cases, the list of its
/// source and the list of its ticket. A case with refused content is also in the list `refused`. A case with
/// content that waits for processing is also in the list `pending`, and a case with a conflict in the list `conflict`.
/// The list `binding` contains the cases of each integration that are compared with their records, and the list `differing`
/// those that differ for longer than the permitted time.
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
        if self.conflict().is_some() {
            rows.push(("conflict", at.clone()));
        }
        if self.is_pending {
            rows.push(("pending", at));
        }
        if let Some(ticket) = &self.ticket {
            rows.push(("ticket", ticket.0.clone()));
            for (integration, binding) in &self.bindings {
                if binding.agreement() != Agreement::Settled {
                    // The number of the ticket makes the value unique.
                    rows.push(("binding", format!("{integration}|{ticket}")));
                }
            }
            let differs = |binding: &Binding| binding.agreement() == Agreement::Error;
            if self.bindings.values().any(differs) {
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
            target: None,
            status: String::new(),
            assignee: String::new(),
            bindings: Vec::new(),
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
    fn content_without_a_version_does_not_make_older_content_new() {
        let mut unordered = received(6, "d6");
        unordered.mark = None;
        let case = after(&[
            Command::Receive(received(5, "d5")),
            bind(),
            Command::Receive(unordered),
            refuse(),
        ]);
        assert_eq!(case.mark, Some(UpdateMark::Counter(5)));
        for (revision, expected) in [
            (3, Freshness::Older),
            (5, Freshness::New),
            (6, Freshness::New),
        ] {
            let mark = Some(UpdateMark::Counter(revision));
            assert_eq!(case.freshness("other", mark), expected, "{revision}");
        }
    }

    #[test]
    fn content_that_is_too_large_is_refused_in_one_commit() {
        let large = |revision: i64, digest: &str| Command::ReceiveRefused {
            received: received(revision, digest),
            refused: Refused {
                field: String::new(),
                reason: "too large".into(),
            },
        };
        let events = Case::default().decide(&large(4, "d4"), &()).unwrap();
        assert!(matches!(
            events[..],
            [CaseEvent::Received(_), CaseEvent::Refused(_)]
        ));
        let case = fold::<Case>(&events);
        assert!(!case.is_pending && case.refusal.is_some());
        for again in [large(4, "d4"), large(3, "d3")] {
            assert_eq!(case.decide(&again, &()), Ok(Vec::new()));
        }
        let smaller = case.decide(&Command::Receive(received(5, "d5")), &());
        assert_eq!(smaller.unwrap().len(), 1);
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
    fn later_content_ends_the_refusal_of_content_that_is_apart() {
        let receive = Command::Receive(received(1, "d1"));
        let supersede = |received: i64| Command::Supersede {
            case: "case-own".into(),
            received: Moment(received),
            mark: None,
        };
        let refused = after(&[receive.clone(), refuse()]);
        let at = refused.received.0;
        let of_version = |revision: i64| Command::Supersede {
            case: "case-own".into(),
            received: Moment(at + 1),
            mark: Some(UpdateMark::Counter(revision)),
        };
        let older = refused.decide(&of_version(0), &());
        assert_eq!(older, Ok(Vec::new()), "an older version arrived later");
        assert!(!refused.decide(&of_version(2), &()).unwrap().is_empty());
        for earlier in [at - 1, at] {
            assert_eq!(refused.decide(&supersede(earlier), &()), Ok(Vec::new()));
        }
        let ended = after(&[receive.clone(), refuse(), supersede(at + 1)]);
        assert_eq!(
            (&ended.refusal, ended.identified.as_deref()),
            (&None, Some("case-own"))
        );
        assert!(!ended.index().iter().any(|row| row.0 == "refused"));
        assert_eq!(ended.decide(&supersede(at + 2), &()), Ok(Vec::new()));
        // Content that waits, or that has a ticket, is not ended.
        for other in [
            after(std::slice::from_ref(&receive)),
            after(&[receive.clone(), bind()]),
        ] {
            assert_eq!(other.decide(&supersede(at + 1), &()), Ok(Vec::new()));
        }
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
            bindings: Vec::new(),
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

    fn further(integration: &str, refused: Option<Refused>) -> FurtherBinding {
        let is_bound = refused.is_none();
        FurtherBinding {
            integration: integration.into(),
            record: if is_bound { "A-7" } else { "" }.into(),
            mapping: u32::from(is_bound),
            target: None,
            refused,
        }
    }

    fn conflict(integration: &str, field: &str) -> Conflicted {
        Conflicted {
            integration: integration.into(),
            field: field.into(),
            found: "4".into(),
            wanted: "3".into(),
        }
    }

    #[test]
    fn later_content_adds_a_further_binding_and_no_existing_one() {
        let missing = Refused {
            field: "crm.integration".into(),
            reason: "integration erp does not exist".into(),
        };
        let update = |bindings| {
            Command::Update(Updated {
                has_changed: false,
                bindings,
                fields: BTreeMap::new(),
            })
        };
        let refused = further("erp", Some(missing.clone()));
        let without = after(&[
            Command::Receive(received(1, "d1")),
            bind(),
            Command::Receive(received(2, "d2")),
            update(vec![refused.clone()]),
        ]);
        assert_eq!(without.refused_bindings["erp"], missing);
        assert_eq!(without.bindings.len(), 1);
        assert_eq!(without.added(vec![refused]), Vec::new());
        let found = vec![further("erp", None)];
        assert_eq!(without.added(found.clone()), found);
        let both = after(&[
            Command::Receive(received(1, "d1")),
            bind(),
            Command::Receive(received(2, "d2")),
            update(found.clone()),
        ]);
        assert_eq!(both.binding("erp").unwrap().record, "A-7");
        assert_eq!(both.binding("").unwrap().record, "CS-1");
        assert_eq!(both.added(found), Vec::new());
        let open: Vec<String> = both
            .index()
            .into_iter()
            .filter(|row| row.0 == "binding")
            .map(|row| row.1)
            .collect();
        assert_eq!(open, ["crm|REQ20261122000001", "erp|REQ20261122000001"]);
    }

    #[test]
    fn conflicts_and_comparisons_belong_to_one_record_and_one_value() {
        let mut bound = Bound {
            ticket: ticket(),
            mapping: 1,
            target: None,
            status: String::new(),
            assignee: String::new(),
            bindings: vec![further("erp", None)],
            fields: BTreeMap::new(),
        };
        let base = [
            Command::Receive(received(1, "d1")),
            Command::Bind(bound.clone()),
        ];
        let with = |more: &[Command]| after(&[&base[..], more].concat());
        let case = with(&[
            Command::Conflict(conflict("", "status")),
            Command::Conflict(conflict("", "assignee")),
            Command::Conflict(conflict("erp", "status")),
            Command::ResolveConflict(ConflictResolved {
                integration: String::new(),
                field: "status".into(),
            }),
        ]);
        assert_eq!(case.conflict().unwrap().field, "assignee");
        assert_eq!(case.binding("erp").unwrap().conflicts.len(), 1);
        let unknown = Command::Conflict(conflict("nothing", "status"));
        assert_eq!(
            case.decide(&unknown, &()),
            Err(DecideError::Rejected(Rejection::NoRecord("nothing".into())))
        );
        let compared = |agreement, field: &str, unknown: &[&str]| Compared {
            integration: "erp".into(),
            agreement,
            field: field.into(),
            found: String::new(),
            expected: String::new(),
            unknown: unknown.iter().map(ToString::to_string).collect(),
            reason: String::new(),
            due: None,
            shift_end: None,
        };
        let differs = compared(Agreement::Differs, "status", &[]);
        let case = with(&[Command::Compare(differs.clone())]);
        assert_eq!(case.binding("erp").unwrap().agreement(), Agreement::Differs);
        assert_eq!(case.binding("").unwrap().agreement(), Agreement::Agrees);
        let unknown = compared(Agreement::Agrees, "assignee", &["assignee"]);
        for (again, events) in [
            (differs.clone(), 0),
            (compared(Agreement::Agrees, "assignee", &[]), 0),
            (compared(Agreement::Differs, "assignee", &[]), 1),
            (compared(Agreement::Agrees, "status", &[]), 1),
            (unknown.clone(), 1),
        ] {
            let decided = case.decide(&Command::Compare(again.clone()), &());
            assert_eq!(decided.unwrap().len(), events, "{again:?}");
        }
        // Each value differs, agrees and becomes known for itself.
        let case = with(&[
            Command::Compare(differs),
            Command::Compare(compared(Agreement::Error, "remark", &[])),
            Command::Compare(compared(Agreement::Agrees, "status", &[])),
            Command::Compare(unknown.clone()),
        ]);
        let binding = case.binding("erp").unwrap();
        assert_eq!(binding.agreement(), Agreement::Error);
        assert_eq!(binding.agreement_of("status"), Agreement::Agrees);
        assert_eq!(case.decide(&Command::Compare(unknown), &()), Ok(Vec::new()));
        let settled = Command::Compare(compared(Agreement::Settled, "status", &[]));
        let case = with(&[
            Command::Compare(compared(Agreement::Error, "remark", &[])),
            settled.clone(),
        ]);
        assert_eq!(case.binding("erp").unwrap().agreement(), Agreement::Settled);
        assert_eq!(case.decide(&settled, &()), Ok(Vec::new()));
        bound.bindings.clear();
        let agrees = Command::Compare(Compared {
            integration: String::new(),
            ..compared(Agreement::Agrees, "status", &[])
        });
        let alone = after(&[base[0].clone(), Command::Bind(bound)]);
        assert_eq!(alone.decide(&agrees, &()), Ok(Vec::new()));
    }

    #[test]
    fn a_person_binds_a_case_to_a_record_of_another_integration() {
        let base = [Command::Receive(received(1, "d1")), bind()];
        let set = |integration: &str, record: &str| {
            Command::SetBinding(BindingSet {
                by: PersonId("p1".into()),
                binding: FurtherBinding {
                    record: record.into(),
                    ..further(integration, None)
                },
            })
        };
        let pending = after(&base[..1]);
        assert_eq!(
            pending.decide(&set("erp", "A-7"), &()),
            Err(DecideError::Rejected(Rejection::NotBound))
        );
        let bound = after(&base);
        assert_eq!(
            bound.decide(&set("crm", "A-7"), &()),
            Err(DecideError::Rejected(Rejection::OfSource("crm".into())))
        );
        let first = after(&[&base[..], &[set("erp", "A-7")]].concat());
        assert!(first.binding("erp").unwrap().accepts_any);
        assert_eq!(first.decide(&set("erp", "A-7"), &()), Ok(Vec::new()));
        // The same id at another system is another record.
        let mut at = set("erp", "A-7");
        let target = Target {
            url: "https://erp.example.com".into(),
            app: String::new(),
        };
        if let Command::SetBinding(set) = &mut at {
            set.binding.target = Some(target);
        }
        assert_eq!(first.decide(&at, &()).expect("accepted").len(), 1);
        let bound = after(&[&base[..], &[at]].concat());
        let moved = |url: &str| {
            let integration = Defined {
                url: url.into(),
                ..Defined::default()
            };
            bound.binding("erp").expect("bound").moved(&integration)
        };
        assert_eq!(moved("https://erp.example.com/"), None);
        assert!(moved("https://other.example.com").is_some());
        // The conflicts and comparisons of the former record end with its binding.
        let second = after(
            &[
                &base[..],
                &[
                    set("erp", "A-7"),
                    Command::Conflict(conflict("erp", "status")),
                    set("erp", "A-8"),
                ],
            ]
            .concat(),
        );
        let binding = second.binding("erp").unwrap();
        assert_eq!((binding.record.as_str(), second.conflict()), ("A-8", None));
        // Content that names another record does not replace what a person decided.
        assert_eq!(second.added(vec![further("erp", None)]), Vec::new());
    }

    #[test]
    fn only_a_binding_that_a_person_set_can_be_removed() {
        let bound = Bound {
            ticket: ticket(),
            mapping: 1,
            target: None,
            status: String::new(),
            assignee: String::new(),
            bindings: vec![further("asset", None)],
            fields: BTreeMap::new(),
        };
        let set = Command::SetBinding(BindingSet {
            by: PersonId("p1".into()),
            binding: further("erp", None),
        });
        let remove = |integration: &str| Command::RemoveBinding {
            by: PersonId("p2".into()),
            integration: integration.into(),
        };
        let base = [
            Command::Receive(received(1, "d1")),
            Command::Bind(bound),
            set.clone(),
            Command::Conflict(conflict("erp", "status")),
        ];
        let case = after(&base);
        assert_eq!(case.set_by_people(), ["erp"]);
        for integration in ["asset", "crm"] {
            assert_eq!(
                case.decide(&remove(integration), &()),
                Err(DecideError::Rejected(Rejection::NotSetByPerson(
                    integration.into()
                )))
            );
        }
        let removed = after(&[&base[..], &[remove("erp")]].concat());
        assert!(removed.binding("erp").is_none() && removed.conflict().is_none());
        assert_eq!(removed.set_by_people(), Vec::<&str>::new());
        assert_eq!(removed.decide(&remove("erp"), &()), Ok(Vec::new()));
        // The record can be bound again, and content of the source can name a record.
        let again = after(&[&base[..], &[remove("erp"), set]].concat());
        assert_eq!(again.set_by_people(), ["erp"]);
        let named = vec![further("erp", None)];
        assert_eq!(removed.added(named.clone()), named);
    }

    #[test]
    fn a_result_about_a_former_record_changes_nothing() {
        let set = |record: &str| {
            Command::SetBinding(BindingSet {
                by: PersonId("p1".into()),
                binding: FurtherBinding {
                    record: record.into(),
                    ..further("erp", None)
                },
            })
        };
        let case = after(&[
            Command::Receive(received(1, "d1")),
            bind(),
            set("A-7"),
            set("A-8"),
        ]);
        let found = |integration: &str, record: &str| {
            let command = Command::IfBound {
                integration: integration.into(),
                record: record.into(),
                command: Box::new(Command::Conflict(conflict("erp", "status"))),
            };
            case.decide(&command, &()).expect("accepted").len()
        };
        assert_eq!(found("erp", "A-8"), 1);
        assert_eq!((found("erp", "A-7"), found("asset", "A-7")), (0, 0));
    }

    #[test]
    fn remarks_that_were_repaired_a_short_time_before_are_known() {
        let repair = |at: i64, remarks: &[u64]| {
            Command::Repair(Repaired {
                integration: String::new(),
                field: "remark".into(),
                found: String::new(),
                wanted: String::new(),
                remarks: remarks.to_vec(),
                repair: events::case::Repair::Write,
                at: Moment(at),
            })
        };
        let base = [Command::Receive(received(1, "d1")), bind()];
        let known = |repairs: &[Command]| {
            let case = after(&[&base[..], repairs].concat());
            case.binding("").expect("bound").repaired_remarks.clone()
        };
        let first = repair(1_000, &[1, 2]);
        let both = known(&[first.clone(), repair(2_000, &[3])]);
        assert_eq!(both.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        let later = known(&[first.clone(), repair(1_000 + REPAIR_MS, &[3])]);
        assert_eq!(later.keys().copied().collect::<Vec<_>>(), [3]);
        let case = after(&[&base[..], &[first]].concat());
        let binding = case.binding("").expect("bound");
        assert!(binding.has_repaired(1, Moment(REPAIR_MS)));
        assert!(!binding.has_repaired(1, Moment(1_000 + REPAIR_MS)));
        assert!(!binding.has_repaired(3, Moment(2_000)));
        let cases: [(i64, &[u64], usize); 5] = [
            (2_000, &[2, 3], 0),
            (2_000, &[3], 1),
            (2_000, &[], 0),
            (1_000 + REPAIR_MS, &[2], 1),
            (1_000 + REPAIR_MS, &[], 1),
        ];
        for (at, remarks, count) in cases {
            let events = case.decide(&repair(at, remarks), &()).expect("accepted");
            assert_eq!(events.len(), count, "{at} {remarks:?}");
        }
    }
}

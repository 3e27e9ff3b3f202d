//! Compares the values of one case with one of its records, and stores the results that changed.

use domain::itsm::case::{self, Binding, Case};
use domain::itsm::reconciliation::{ComparedValue, ExpectedAssignee, Finding, GRACE_MS};
use events::case::{Agreement, Compared, ConflictResolved};
use events::integration::{CaseMapping, Defined};
use events::{Meta, Moment, TicketSn};
use infra::ledger::NoContext;
use infra::source::{self, Api, Source};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::findings::Remarks;
use super::repair::{Lasting, repair};
use super::{Outcome, reading};
use crate::App;
use crate::app::itsm::assignees::Accounts;
use crate::app::itsm::sources::WriteRequest;
use crate::app::itsm::{rewriting, sources};

/// One record of a case: the stream of the case, the name of the integration, which is empty for the source, and the id of
/// the record.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) stream: &'a str,
    pub(super) integration: &'a str,
    pub(super) record: &'a str,
}

/// The comparison of one case with its record in an integration.
pub(super) struct Comparison<'a> {
    pub(super) app: &'a App,
    pub(super) defined: &'a Defined,
    pub(super) place: Place<'a>,
    pub(super) case: &'a Case,
    pub(super) ticket: &'a TicketSn,
    pub(super) binding: &'a Binding,
    pub(super) mapping: &'a CaseMapping,
    pub(super) accounts: &'a Accounts,
    pub(super) meta: &'a Meta,
    pub(super) api: &'static dyn Api,
    occasion: Occasion,
}

/// Why the desk compares a case, and what it knows about the source.
#[derive(Clone, Copy, Default)]
pub(super) struct Occasion {
    /// The end of the shift because of which the desk compares the case.
    pub(super) shift_end: Option<Moment>,
    /// True if the source neither answered about another record of this round nor denied one.
    pub(super) is_first_read: bool,
}

/// Compares one case with its record in the integration, stores the results that are other ones than before, and repairs
/// lasting differences.
pub(super) async fn compare(
    app: &App,
    defined: &Defined,
    stream: &str,
    occasion: Occasion,
    meta: &Meta,
) -> Result<Outcome, Error> {
    let case = app.ledger.load::<Case>(stream).await?.aggregate.0;
    let integration = app.configuration.integration(&defined.name).await?;
    let api = source::find(&defined.kind).and_then(Source::api);
    let (Some(ticket), Some(api), Some(binding)) = (&case.ticket, api, case.binding(&defined.name))
    else {
        return Ok(Outcome::Skipped);
    };
    let Some((_, mapping)) = integration.mapping(binding.mapping) else {
        return Ok(Outcome::Skipped);
    };
    if binding.is_settled {
        return Ok(Outcome::Skipped);
    }
    let accounts = Accounts::load(app, mapping).await?;
    let comparison = Comparison {
        app,
        defined,
        place: Place {
            stream,
            integration: if defined.name == case.source {
                ""
            } else {
                &defined.name
            },
            record: &binding.record,
        },
        case: &case,
        ticket,
        binding,
        mapping,
        accounts: &accounts,
        meta,
        api,
        occasion,
    };
    Box::pin(comparison.run()).await
}

/// Stores that a value is not compared any more.
pub(super) async fn end(
    app: &App,
    place: Place<'_>,
    value: &str,
    meta: &Meta,
) -> Result<(), Error> {
    let command = case::Command::Compare(Compared {
        integration: place.integration.to_owned(),
        agreement: Agreement::Agrees,
        field: value.to_owned(),
        found: String::new(),
        expected: String::new(),
        unknown: Vec::new(),
        reason: String::new(),
        due: None,
        shift_end: None,
    });
    execute(app, place, command, meta).await.map(drop)
}

/// Stores that a value is not compared now, if its next comparison should have taken place already. Otherwise, nothing
/// changes.
pub(super) async fn end_if_due(
    app: &App,
    place: Place<'_>,
    value: &str,
    meta: &Meta,
) -> Result<(), Error> {
    let case = app.ledger.load::<Case>(place.stream).await?.aggregate.0;
    let binding = case.binding(place.integration);
    let compared = binding.and_then(|binding| binding.comparisons.get(value));
    let due = compared.and_then(|compared| compared.due);
    if due.is_some_and(|due| due <= app.ledger.clock.now()) {
        end(app, place, value, meta).await?;
    }
    Ok(())
}

/// Executes a command of the case, if the case is still bound to the record. Returns whether the case changed.
pub(super) async fn execute(
    app: &App,
    place: Place<'_>,
    command: case::Command,
    meta: &Meta,
) -> Result<bool, Error> {
    let envelope = CommandEnvelope {
        stream: place.stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    let if_bound = case::Command::IfBound {
        integration: place.integration.to_owned(),
        record: place.record.to_owned(),
        command: Box::new(command),
    };
    app.ledger
        .execute::<Case>(&envelope, &if_bound, &NoContext)
        .await
        .map(|outcome| !outcome.events.is_empty())
        .map_err(ExecuteError::unexpected)
}

impl Comparison<'_> {
    async fn run(&self) -> Result<Outcome, Error> {
        let remarks = self.remarks().await?;
        let expected = self.expectation().await?;
        let has_notes = matches!(remarks, Remarks::Written(_));
        let needs_record = expected.status.is_some()
            || matches!(expected.assignee, ExpectedAssignee::One(_))
            || has_notes
            || self.compares_content(expected.is_over);
        if !needs_record {
            if expected.is_over && matches!(remarks, Remarks::None) {
                return self.settle().await;
            }
            let assignee = Finding::of_assignee(&expected.assignee, "");
            for (value, finding) in [
                (ComparedValue::Status, Finding::Agrees),
                (ComparedValue::Assignee, assignee),
            ] {
                self.store(value, &finding).await?;
            }
            return Ok(Outcome::Skipped);
        }
        // Another system can have a record with the same id, which says nothing about this case.
        if let Some(reason) = self.binding.moved(self.defined) {
            self.store_unreadable(&reason).await?;
            return Ok(Outcome::Skipped);
        }
        // Only what differed before can be repaired now.
        let before = if self.binding.agreement() == Agreement::Agrees {
            None
        } else {
            Some(self.writes().await?.attempts)
        };
        let read = match self.read(has_notes).await? {
            Ok(read) => read,
            Err(outcome) => {
                // A denial of this record alone differs from one of the account.
                let is_news = self.occasion.is_first_read || self.is_readable_so_far();
                if let Outcome::Denied(_) = &outcome
                    && is_news
                    && let Some(reason) = reading::probe(self.app, self.defined).await?
                {
                    // Nothing is known about this record, so its known difference stays.
                    return Ok(Outcome::Unreachable(reason));
                }
                // The source can still answer about other records.
                if let Outcome::Rejected(reason) | Outcome::Denied(reason) = &outcome {
                    self.store_unreadable(reason).await?;
                }
                return Ok(outcome);
            }
        };
        // The ticket can have changed while the desk read the record.
        let expected = self.expectation().await?;
        let findings = self.findings(&expected, &remarks, &read).await?;
        self.confirm(&findings.values).await?;
        let mut worst = Agreement::Agrees;
        let mut lasting = Vec::new();
        for (value, finding) in &findings.values {
            let agreement = self.store(*value, finding).await?;
            match (agreement, finding) {
                (Agreement::Error, Finding::Differs { found, expected }) => {
                    worst = Agreement::Error;
                    lasting.push((*value, found, expected));
                }
                (Agreement::Differs, _) if worst == Agreement::Agrees => {
                    worst = Agreement::Differs;
                }
                _ => {}
            }
        }
        if worst == Agreement::Agrees && expected.is_over && findings.are_complete {
            return self.settle().await;
        }
        if !lasting.is_empty() && before != Some(self.writes().await?.attempts) {
            // The desk wrote to the record while it read the record, so the values that it read can be older ones. The next
            // comparison decides.
            return Ok(Outcome::Compared(worst));
        }
        for (value, found, wanted) in lasting {
            let difference = Lasting {
                comparison: self,
                value,
                found,
                wanted,
                record: &read.record,
                is_over: expected.is_over,
                missing: &findings.missing,
            };
            repair(&difference).await?;
        }
        Ok(Outcome::Compared(worst))
    }

    /// Returns false if the last comparison could not read the record.
    fn is_readable_so_far(&self) -> bool {
        let mut comparisons = self.binding.comparisons.values();
        comparisons.all(|compared| compared.unknown.is_empty())
    }

    /// Requests again the values of a failed write that the record has in the meantime. The write then reads the record, and
    /// ends without a failure.
    async fn confirm(&self, values: &[(ComparedValue, Finding)]) -> Result<(), Error> {
        let writes = self.writes().await?;
        if !writes.has_failed() {
            return Ok(());
        }
        for field in writes.failed_fields() {
            let agrees = |(value, finding): &(ComparedValue, Finding)| {
                value.name() == field.name() && *finding == Finding::Agrees
            };
            if !values.iter().any(agrees) {
                continue;
            }
            let request = WriteRequest {
                case: self.place.stream,
                ticket: self.ticket,
                change: &rewriting::change_of(field),
                only: Some(&self.defined.name),
                repeats: false,
            };
            sources::request_again(self.app, &request, self.meta).await?;
        }
        Ok(())
    }

    /// Stores the result of the comparison of one value, and returns it. The same result again adds no event.
    async fn store(&self, value: ComparedValue, finding: &Finding) -> Result<Agreement, Error> {
        let now = self.app.ledger.clock.now();
        let last = self.binding.comparisons.get(value.name());
        let (agreement, found, expected) = match finding {
            Finding::Agrees | Finding::Unknown => (Agreement::Agrees, "", ""),
            Finding::Differs { found, expected } => {
                let lasts = last.is_some_and(|last| match last.agreement {
                    Agreement::Error => true,
                    Agreement::Differs => last.due.is_some_and(|due| due <= now),
                    Agreement::Agrees | Agreement::Settled => false,
                });
                let agreement = if lasts {
                    Agreement::Error
                } else {
                    Agreement::Differs
                };
                (agreement, found.as_str(), expected.as_str())
            }
        };
        if *finding == Finding::Agrees {
            self.resolve(value).await?;
            if last.is_none() {
                return Ok(agreement);
            }
        }
        let is_unknown = *finding == Finding::Unknown;
        let command = case::Command::Compare(Compared {
            integration: self.place.integration.to_owned(),
            agreement,
            field: value.name().into(),
            found: found.to_owned(),
            expected: expected.to_owned(),
            unknown: is_unknown
                .then(|| value.name().to_owned())
                .into_iter()
                .collect(),
            reason: String::new(),
            due: (agreement == Agreement::Differs).then(|| now.plus_ms(GRACE_MS)),
            shift_end: self
                .occasion
                .shift_end
                .filter(|_| agreement == Agreement::Differs),
        });
        execute(self.app, self.place, command, self.meta).await?;
        Ok(agreement)
    }

    /// Stores that the status cannot be compared, because the source does not show this record. The same result again adds no
    /// event.
    async fn store_unreadable(&self, reason: &str) -> Result<(), Error> {
        let status = ComparedValue::Status.name();
        let command = case::Command::Compare(Compared {
            integration: self.place.integration.to_owned(),
            agreement: Agreement::Agrees,
            field: status.into(),
            found: String::new(),
            expected: String::new(),
            unknown: vec![status.into()],
            reason: reason.to_owned(),
            due: None,
            shift_end: None,
        });
        execute(self.app, self.place, command, self.meta)
            .await
            .map(drop)
    }

    /// Ends a conflict about a value, because the value of the record and of the ticket do not differ any more.
    async fn resolve(&self, value: ComparedValue) -> Result<(), Error> {
        if !self.binding.conflicts.contains_key(value.name()) {
            return Ok(());
        }
        let resolved = case::Command::ResolveConflict(ConflictResolved {
            integration: self.place.integration.to_owned(),
            field: value.name().into(),
        });
        execute(self.app, self.place, resolved, self.meta)
            .await
            .map(drop)
    }

    /// Stores that the ticket has ended and agrees with its record, so that the case is not compared any more.
    async fn settle(&self) -> Result<Outcome, Error> {
        for (name, compared) in &self.binding.comparisons {
            if compared.agreement != Agreement::Agrees {
                end(self.app, self.place, name, self.meta).await?;
            }
        }
        let command = case::Command::Compare(Compared {
            integration: self.place.integration.to_owned(),
            agreement: Agreement::Settled,
            field: ComparedValue::Status.name().into(),
            found: String::new(),
            expected: String::new(),
            unknown: Vec::new(),
            reason: String::new(),
            due: None,
            shift_end: None,
        });
        execute(self.app, self.place, command, self.meta).await?;
        Ok(Outcome::Compared(Agreement::Settled))
    }
}

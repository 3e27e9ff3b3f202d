//! Receives records of external systems and creates or changes one ticket for each record
//! (plans/external.md, "Cases in"). A case is the event stream that links a record to its ticket.
//!
//! The content of a record is stored first and processed later. Each case has a deadline for the
//! processing. If the process of the desk ends before the processing, the queue `sync` starts the
//! processing again at the deadline.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use domain::config::Integration;
use domain::itsm::case::{Case, Command, Freshness, PROCESS_MS};
use domain::itsm::mapping::{self, Content};
use domain::itsm::pinned::target_of_records;
use domain::ticket::{self, Ticket};
use events::case::{Bound, FurtherBinding, Identified, Received, Refused, Updated};
use events::integration::{CaseEnd, CaseMapping};
use events::{AppCode, Entry, Meta, PersonId, TicketSn};
use futures_util::future::{join, try_join_all};
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Source};
use infra::{CommandEnvelope, Error, ExecuteError, Kind};
use serde_json::Value;

use super::assignees::Accounts;
use super::opening::{Failure, NewTicket, open_ticket, refused};
use crate::App;
use crate::app::people::one_name;
use crate::app::tickets::{Key, await_card, execute, opened_before};
use crate::app::wording;

/// Maximum number of records in one request.
pub const BATCH_MAX: usize = 100;
/// Maximum size of a record, in bytes of its JSON text.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// Maximum number of attempts to process the content of a case (the event stream of one external
/// record). An attempt fails if the case changes at the same time.
const PROCESS_ATTEMPTS: usize = 3;
/// Maximum number of records of one request that are received at the same time.
const CONCURRENT_MAX: usize = 8;
/// Number of hexadecimal digits in the short digest of a field value.
const SHORT_DIGEST: usize = 16;

/// The reason why the records of a request are rejected.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("there is no source {0}")]
    SourceUnknown(String),
    #[error("the app {app} may not send cases of the source {source_name}")]
    NotASender { app: String, source_name: String },
    #[error(transparent)]
    Technical(#[from] Error),
}

/// The result of processing one record that the desk received from another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The desk opened a ticket for the received record.
    Opened,
    /// The content of the received record was newer than the stored content. The desk updated the
    /// ticket of this record.
    Updated,
    /// The desk has already stored the same content of the received record.
    Unchanged,
    /// The desk has already stored newer content than the content of the received record.
    Older,
    /// The desk stored the content of the received record, but could not open or update a ticket
    /// with this content.
    Refused,
    /// The received record has already ended, so the desk opened no ticket.
    Skipped,
    /// The desk stored the content of the received record, and processes the content later.
    Pending,
}

impl Outcome {
    /// Returns the name of this outcome for API responses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Older => "older",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
            Self::Pending => "pending",
        }
    }
}

/// The result for one received record: the outcome, and the stream name and the state of the case.
/// A case is the event stream of one external record.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub stream: String,
    pub case: Case,
    pub outcome: Outcome,
}

/// Receives the records of a source (an external system) and processes each record. Returns one
/// result for each record, in the order of the records.
///
/// `app_code` identifies the client app that sent the records. `meta` is the metadata of the
/// request. A ticket commit contains the requester from the record instead of the actor from
/// `meta`.
pub async fn receive(
    app: &App,
    source: &str,
    records: &[Value],
    app_code: &AppCode,
    meta: &Meta,
) -> Result<Vec<Receipt>, CaseError> {
    let integration = app.configuration.integration(source).await?;
    let defined = integration.defined.as_ref();
    let mapping = integration.mapping(0).map(|(_, mapping)| mapping);
    let (Some(defined), Some(mapping)) = (defined, mapping) else {
        return Err(CaseError::SourceUnknown(source.to_owned()));
    };
    if !defined.senders.contains(app_code) {
        return Err(CaseError::NotASender {
            app: app_code.0.clone(),
            source_name: source.to_owned(),
        });
    }
    let arrivals: Vec<Arrival<'_>> = records
        .iter()
        .map(|record| Arrival {
            source,
            mapping,
            record,
            app: app_code,
        })
        .collect();
    let mut receipts = Vec::with_capacity(records.len());
    for group in arrivals.chunks(CONCURRENT_MAX) {
        if are_different(group) {
            let received = group
                .iter()
                .map(|arrival| Box::pin(receive_one(app, arrival, meta)));
            receipts.extend(try_join_all(received).await?);
        } else {
            for arrival in group {
                receipts.push(Box::pin(receive_one(app, arrival, meta)).await?);
            }
        }
    }
    Ok(receipts)
}

/// Returns true if each record has an id that no other of them has. Records with the same id change the same case, so they
/// must be received one after the other.
fn are_different(arrivals: &[Arrival<'_>]) -> bool {
    let mut ids = BTreeSet::new();
    arrivals.iter().all(|arrival| {
        let id = mapping::record_id(arrival.mapping, arrival.record);
        id.is_ok_and(|id| ids.insert(id))
    })
}

/// Receives records that came in a message of the source or that the desk read from the source. Returns the number of
/// records with content that the desk did not have. If the source has no mapping any more, nothing is received.
pub async fn receive_from(
    app: &App,
    source: &str,
    records: &[Value],
    meta: &Meta,
) -> Result<usize, Error> {
    let integration = app.configuration.integration(source).await?;
    let Some((_, mapping)) = integration.mapping(0) else {
        return Ok(0);
    };
    let app_code = own_app(source);
    let mut changed = 0;
    for record in records {
        let arrival = Arrival {
            source,
            mapping,
            record,
            app: &app_code,
        };
        let receipt = Box::pin(receive_one(app, &arrival, meta)).await?;
        changed += usize::from(!matches!(
            receipt.outcome,
            Outcome::Unchanged | Outcome::Older
        ));
    }
    Ok(changed)
}

/// A received record, with its source, the mapping (the rules for reading the record) and the
/// client app that sent the record.
struct Arrival<'a> {
    source: &'a str,
    mapping: &'a CaseMapping,
    record: &'a Value,
    app: &'a AppCode,
}

async fn receive_one(app: &App, arrival: &Arrival<'_>, meta: &Meta) -> Result<Receipt, Error> {
    let (stream, freshness, digest) = store(app, arrival, meta).await?;
    if freshness != Freshness::Older {
        let held = Held {
            record: arrival.record,
            digest: &digest,
        };
        match process_held(app, &stream, Some(meta), Some(held)).await {
            Ok(()) => {}
            // The content of the record is already stored, so this error is only logged. At its
            // deadline, the case (the event stream of this record) is processed again.
            Err(error) => tracing::warn!(%error, stream, "a case is not processed yet"),
        }
    }
    let case = app.ledger.load::<Case>(&stream).await?.aggregate.0;
    let outcome = match freshness {
        Freshness::Older => Outcome::Older,
        _ if case.is_pending => Outcome::Pending,
        _ if case.refusal.is_some() => Outcome::Refused,
        // The content was apart from that of the record, and the record received other content later.
        _ if case.identified.is_some() => Outcome::Older,
        Freshness::Same => Outcome::Unchanged,
        Freshness::New if case.is_skipped => Outcome::Skipped,
        Freshness::New if case.updates > 0 => Outcome::Updated,
        Freshness::New => Outcome::Opened,
    };
    Ok(Receipt {
        stream,
        case,
        outcome,
    })
}

/// Stores the content of a record, if this content is newer than the stored content of the same
/// record. Returns the name of the event stream with the content, the result of the comparison with
/// the stored content, and the digest of the content.
///
/// Content that is too large is refused at once, and only its digest is stored. Such content, and
/// content without a readable version, does not replace other content of the same record. Both have an
/// event stream of their own if the record has other content.
async fn store(
    app: &App,
    arrival: &Arrival<'_>,
    meta: &Meta,
) -> Result<(String, Freshness, String), Error> {
    let content = arrival.record.to_string();
    let digest = digest(app, content.as_bytes()).await?;
    let mark = mapping::mark(arrival.mapping, arrival.record);
    let is_large = content.len() > RECORD_BYTES_MAX;
    let replaces = mark.is_ok() && !is_large;
    let received = Received {
        source: arrival.source.to_owned(),
        record: mapping::record_id(arrival.mapping, arrival.record).unwrap_or_default(),
        mark: mark.unwrap_or_default(),
        created: mapping::created(arrival.mapping, arrival.record).unwrap_or_default(),
        received: app.ledger.clock.now(),
        status: mapping::status(arrival.mapping, arrival.record),
        digest: digest.clone(),
        app: arrival.app.clone(),
        due: app.ledger.clock.now().plus_ms(PROCESS_MS),
    };
    for _ in 0..PROCESS_ATTEMPTS {
        let place = Place::of(app, &received, replaces).await?;
        let (stream, case) = (place.stream, place.case);
        let freshness = case.freshness(&digest, received.mark);
        if freshness != Freshness::New {
            return Ok((stream, freshness, digest));
        }
        let secret = secret_name(&stream, &digest);
        let command = if is_large {
            Command::ReceiveRefused {
                received: received.clone(),
                refused: too_large(content.len()),
            }
        } else {
            app.ledger
                .keys
                .keep_secret(&secret, content.as_bytes())
                .await?;
            Command::Receive(received.clone())
        };
        let command_envelope = CommandEnvelope {
            stream: stream.clone(),
            command_id: app.ledger.fresh_id(),
            meta: meta.clone(),
        };
        let expected = (!replaces).then_some(place.last);
        let executed = app
            .ledger
            .execute_at::<Case>(&command_envelope, expected, &command, &NoContext)
            .await;
        let outcome = match executed {
            Ok(outcome) => outcome,
            // Other content of the record arrived at the same time. This content must not replace it.
            Err(ExecuteError::Technical(error)) if error.kind == Kind::Stale => {
                let state = app.ledger.load::<Case>(&stream).await?.aggregate.0;
                if state.digest != digest {
                    app.ledger.keys.remove_secret(&secret).await?;
                }
                continue;
            }
            Err(failure) => return Err(not_expected(failure)),
        };
        if outcome.events.is_empty() {
            let freshness = outcome.state.freshness(&digest, received.mark);
            return Ok((stream, freshness, digest));
        }
        // The new content has replaced the earlier content of the same record. The earlier content is
        // therefore deleted from the key store.
        if !case.digest.is_empty() && case.digest != digest {
            let replaced = secret_name(&stream, &case.digest);
            app.ledger.keys.remove_secret(&replaced).await?;
        }
        return Ok((stream, Freshness::New, digest));
    }
    Err(Error::new(
        Kind::Conflict,
        format!(
            "a record of {} received new content during every attempt",
            arrival.source
        ),
    ))
}

/// The event stream for content that arrived.
struct Place {
    stream: String,
    case: Case,
    /// The sequence number of the last event of the stream.
    last: i64,
}

impl Place {
    /// Returns the event stream for content of a record. If the content must not replace other content
    /// (`replaces` is false), and if the stream of the record has other content, this is a second
    /// stream of the same record.
    async fn of(app: &App, received: &Received, replaces: bool) -> Result<Self, Error> {
        let (source, record) = (&received.source, &received.record);
        let own = Self::load(app, stream_of(source, record, &received.digest)).await?;
        let case = &own.case;
        let is_held = case.is_pending || case.mark.is_some() || case.ticket.is_some();
        let is_new = case.freshness(&received.digest, received.mark) == Freshness::New;
        if replaces || record.is_empty() || !is_held || !is_new {
            return Ok(own);
        }
        Self::load(app, stream_apart(source, record)).await
    }

    async fn load(app: &App, stream: String) -> Result<Self, Error> {
        let loaded = app.ledger.load::<Case>(&stream).await?;
        Ok(Self {
            last: loaded.next - 1,
            case: loaded.aggregate.0,
            stream,
        })
    }
}

fn too_large(bytes: usize) -> Refused {
    Refused {
        field: String::new(),
        reason: format!(
            "the record has {bytes} bytes, but at most {RECORD_BYTES_MAX} are allowed; its content is not stored"
        ),
    }
}

/// Processes the content of a case (the event stream of one external record) again after this
/// content was refused. Returns the new state of the case, or `None` if the case has no refused
/// content. The actor of `meta` is stored as the person who requested this processing.
pub async fn process_again(app: &App, stream: &str, meta: &Meta) -> Result<Option<Case>, Error> {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    let request = Command::RequestProcessing {
        by: meta.actor.clone(),
        at: app.ledger.clock.now(),
    };
    match app
        .ledger
        .execute::<Case>(&command_envelope, &request, &NoContext)
        .await
    {
        Ok(_) => {}
        Err(ExecuteError::Rejected(_)) => return Ok(None),
        Err(ExecuteError::Technical(error)) => return Err(error),
    }
    process(app, stream, None).await?;
    Ok(Some(app.ledger.load::<Case>(stream).await?.aggregate.0))
}

/// Processes the content of a case (the event stream of one external record) if the content is not
/// processed yet. Otherwise, the case does not change. `request` is the metadata of the request
/// that brought the content. If the deadline of the case starts the processing, `request` is
/// `None`.
pub async fn process(app: &App, stream: &str, request: Option<&Meta>) -> Result<(), Error> {
    process_held(app, stream, request, None).await
}

/// The content of a record in memory, with its digest. A case with the same digest has the same content, so the content
/// is not read from the key store.
#[derive(Clone, Copy)]
struct Held<'a> {
    record: &'a Value,
    digest: &'a str,
}

/// Does the same as [`process`]. `held` is possibly the content of the case.
async fn process_held(
    app: &App,
    stream: &str,
    request: Option<&Meta>,
    held: Option<Held<'_>>,
) -> Result<(), Error> {
    // The position of the last commit to the ticket of the case.
    let mut written = None;
    for _ in 0..PROCESS_ATTEMPTS {
        let loaded = app.ledger.load::<Case>(stream).await?;
        let case = &loaded.aggregate.0;
        if !case.is_pending {
            await_card(app, written).await;
            return Ok(());
        }
        let meta = request.cloned().unwrap_or_else(|| Meta {
            origin: events::Origin::Api,
            app: Some(case.app.clone()),
            ..Meta::system(stream, format!("{stream}:{}", loaded.next - 1))
        });
        let step = Step {
            app,
            stream,
            case,
            last: loaded.next - 1,
            meta,
            held: held.filter(|held| held.digest == case.digest),
            written: AtomicI64::new(0),
        };
        let result = Box::pin(step.result()).await?;
        written = step.written().or(written);
        let command_envelope = CommandEnvelope {
            stream: stream.to_owned(),
            command_id: step.id("result"),
            meta: Meta {
                actor: PersonId::system(),
                ..step.meta.clone()
            },
        };
        let executed = app
            .ledger
            .execute_at::<Case>(&command_envelope, Some(step.last), &result, &NoContext)
            .await;
        match executed {
            Ok(_) => {
                let removed = async {
                    if matches!(result, Command::Refuse(_)) {
                        return Ok(());
                    }
                    let secret = secret_name(stream, &case.digest);
                    app.ledger.keys.remove_secret(&secret).await
                };
                let (removed, ()) = join(removed, await_card(app, written)).await;
                removed?;
                let is_accepted = !matches!(result, Command::Refuse(_) | Command::Identify(_));
                // A record with one event has no earlier content, so no content is apart from it.
                if is_accepted && step.last > 1 {
                    supersede(app, case, &step.meta).await?;
                }
                return Ok(());
            }
            // Either newer content arrived for the same record, or another worker already processed
            // this content. The loop tries again with the current state of the case.
            Err(ExecuteError::Technical(error)) if error.kind == Kind::Stale => {}
            Err(failure) => return Err(not_expected(failure)),
        }
    }
    Err(Error::new(
        Kind::Conflict,
        format!("{stream} received new content during every attempt"),
    ))
}

/// Ends the refusal of content that is apart from the content of the record, because the record has accepted the content of
/// `case`, which arrived later. If the process ends before this, the next accepted content does it.
async fn supersede(app: &App, case: &Case, meta: &Meta) -> Result<(), Error> {
    let apart = stream_apart(&case.source, &case.record);
    let refused = app.ledger.load::<Case>(&apart).await?.aggregate.0;
    if !refused.is_superseded(case.received, case.mark) {
        return Ok(());
    }
    let command = Command::Supersede {
        case: stream_of(&case.source, &case.record, ""),
        received: case.received,
        mark: case.mark,
    };
    let command_envelope = CommandEnvelope {
        stream: apart.clone(),
        command_id: app.ledger.fresh_id(),
        meta: Meta {
            actor: PersonId::system(),
            ..meta.clone()
        },
    };
    let outcome = app
        .ledger
        .execute::<Case>(&command_envelope, &command, &NoContext)
        .await
        .map_err(not_expected)?;
    // If other content arrived apart in the meantime, nothing changed, and the content is still needed.
    if outcome.events.is_empty() {
        return Ok(());
    }
    let secret = secret_name(&apart, &refused.digest);
    app.ledger.keys.remove_secret(&secret).await
}

/// One attempt to process the content of a case (the event stream of one external record).
struct Step<'a> {
    app: &'a App,
    stream: &'a str,
    case: &'a Case,
    /// The sequence number of the last event of the case (the event stream of one external record).
    last: i64,
    meta: Meta,
    /// The content of the case, if it is in memory.
    held: Option<Held<'a>>,
    /// The position in the feed of the last commit to the ticket. Zero if there is none.
    written: AtomicI64,
}

impl Step<'_> {
    /// Notes a commit to the ticket. The caller waits for its card after the result is stored.
    fn note(&self, position: Option<i64>) {
        self.written
            .fetch_max(position.unwrap_or_default(), Ordering::Relaxed);
    }

    fn written(&self) -> Option<i64> {
        Some(self.written.load(Ordering::Relaxed)).filter(|position| *position > 0)
    }

    /// Returns the id for a command of this attempt. `command` is the name of the command. A
    /// repeated attempt for the same content has the same command ids, so the ledger executes each
    /// command only once.
    fn id(&self, command: &str) -> [u8; 16] {
        command_id(&["case", command, self.stream, &self.last.to_string()])
    }

    /// Processes the content of the case (the event stream of one external record). Returns the
    /// command that stores the result in the case.
    async fn result(&self) -> Result<Command, Error> {
        match self.apply().await {
            Ok(command) => Ok(command),
            Err(Failure::Refused(refused)) => Ok(Command::Refuse(refused)),
            Err(Failure::Technical(error)) => Err(error),
        }
    }

    async fn apply(&self) -> Result<Command, Failure> {
        let app = self.app;
        let record = if let Some(held) = self.held {
            Cow::Borrowed(held.record)
        } else {
            let secret = secret_name(self.stream, &self.case.digest);
            let Some(stored) = app.ledger.keys.secret(&secret).await? else {
                if let Some(case) = self.later().await? {
                    return Ok(Command::Identify(Identified { case }));
                }
                let reason =
                    "the content is not in the key store; the source must send the record again";
                return Err(refused("", reason.into()));
            };
            Cow::Owned(serde_json::from_slice(&stored).unwrap_or_default())
        };
        let record: &Value = &record;
        let integration = app.configuration.integration(&self.case.source).await?;
        let Some((version, mapping)) = integration.mapping(self.case.mapping) else {
            return Err(refused("", "the source has no mapping".into()));
        };
        let id = mapping::record_id(mapping, record)?;
        if self.stream != self.own_stream() {
            return self.identify(mapping, record).await;
        }
        mapping::clocks(mapping, record)?;
        let content = mapping::content(mapping, record)?;
        let fields = field_digests(app, &content).await?;
        let further = self.further(mapping, record).await?;
        let bindings = self.case.added(further);
        let end = mapping.ends.get(&mapping::status(mapping, record)).copied();
        if let Some(ticket) = &self.case.ticket {
            let mut has_changed = self.change(ticket, &content, &fields).await?;
            if let Some(end) = end {
                has_changed |= self.end(ticket, end).await?;
            }
            return Ok(Command::Update(Updated {
                has_changed,
                bindings,
                fields,
            }));
        }
        let key = Key {
            app: format!("case:{}", self.case.source),
            key: id.clone(),
            request: hex(&command_id(&["case", &self.case.source, &id])),
        };
        let ticket = match opened_before(app, &key).await? {
            // An earlier attempt already opened the ticket, possibly with older content of the
            // record. The ticket is therefore changed to the current content.
            Some(opened) => {
                self.change(&opened.sn, &content, &fields).await?;
                opened.sn
            }
            None if end.is_some() => return Ok(Command::Skip),
            None => self.open(&content, key).await?,
        };
        if let Some(end) = end {
            self.end(&ticket, end).await?;
        }
        let accounts = Accounts::load(app, mapping).await?;
        Ok(Command::Bind(Bound {
            ticket,
            mapping: version,
            target: integration.defined.as_ref().and_then(target_of_records),
            status: mapping::status(mapping, record),
            assignee: accounts.form_of(&mapping::assignee(mapping, record)),
            bindings,
            fields,
        }))
    }

    /// Returns the records of other integrations that the record names. A record that cannot be bound is returned with the
    /// reason, and does not prevent the ticket.
    async fn further(
        &self,
        mapping: &CaseMapping,
        record: &Value,
    ) -> Result<Vec<FurtherBinding>, Error> {
        let mut found = Vec::new();
        for (member, further) in mapping::further_records(mapping) {
            let refused = |field: String, reason: String| FurtherBinding {
                integration: further.integration.clone(),
                refused: Some(Refused { field, reason }),
                ..FurtherBinding::default()
            };
            let id = match mapping::further_id(further, record) {
                Ok(Some(id)) => id,
                Ok(None) => continue,
                Err(unreadable) => {
                    found.push(refused(unreadable.field, unreadable.reason));
                    continue;
                }
            };
            let name = &further.integration;
            let integration = self.app.configuration.integration(name).await?;
            found.push(match bindable(&integration) {
                Ok(mapping) => FurtherBinding {
                    integration: name.clone(),
                    record: id,
                    mapping,
                    target: integration.defined.as_ref().and_then(target_of_records),
                    refused: None,
                },
                Err(reason) => refused(
                    format!("{member}.integration"),
                    format!("integration {name} {reason}"),
                ),
            });
        }
        Ok(found)
    }

    /// Returns the name of the stream with the content of the record. A case without a record id, and a
    /// case with content that must not replace other content, have other streams.
    fn own_stream(&self) -> String {
        stream_of(&self.case.source, &self.case.record, "")
    }

    /// Returns the stream of the record if the content of this case is apart from it, and if the record
    /// received other content after this content.
    async fn later(&self) -> Result<Option<String>, Error> {
        let own = self.own_stream();
        if self.case.record.is_empty() || self.stream == own {
            return Ok(None);
        }
        let case = self.app.ledger.load::<Case>(&own).await?.aggregate.0;
        Ok((case.received > self.case.received).then_some(own))
    }

    /// Stores the content of this case in a second case, and processes the second case. A case is
    /// the event stream of one external record. The current case has no record id or no readable
    /// version, and the second case has both.
    ///
    /// An earlier version of the mapping (the rules for reading a record) did not find the record
    /// id or the version in the content. The corrected mapping finds both. Returns the command that
    /// stores the name of the second case in the current case. If the version is still unreadable, the
    /// content is refused, except if the record received other content later.
    async fn identify(&self, mapping: &CaseMapping, record: &Value) -> Result<Command, Failure> {
        let arrival = Arrival {
            source: &self.case.source,
            mapping,
            record,
            app: &self.case.app,
        };
        let (case, ..) = store(self.app, &arrival, &self.meta).await?;
        if case == self.stream {
            if let Some(case) = self.later().await? {
                return Ok(Command::Identify(Identified { case }));
            }
            mapping::mark(mapping, record)?;
            return Err(refused("", "the record has other content".into()));
        }
        Box::pin(process(self.app, &case, None)).await?;
        Ok(Command::Identify(Identified { case }))
    }

    /// Opens the ticket for the case (the event stream of one external record), and returns the
    /// ticket number. `content` contains the form values and the requester. The tag of the ticket
    /// contains the id of the case.
    async fn open(&self, content: &Content, key: Key) -> Result<TicketSn, Failure> {
        let app = self.app;
        let Some(requester) = one_name(&content.requester) else {
            let reason = format!("{:?} is not a user name", content.requester);
            return Err(refused("", reason));
        };
        let given = content.form.iter().filter(|(_, value)| !value.is_null());
        let entries: Vec<Entry> = given
            .map(|(key, value)| Entry::new(key.clone(), value.clone()))
            .collect();
        let ticket = NewTicket {
            service: content.service,
            creator: app.people.find(requester).await?,
            form: entries,
            tag: id_of(self.stream).to_owned(),
            key,
        };
        let (sn, position) = open_ticket(app, ticket, |creator| self.by(creator)).await?;
        self.note(position);
        Ok(sn)
    }

    /// Updates the ticket fields for which the external system sent a new value. `fields` contains
    /// the digests of the received values. A field has a new value if its digest differs from the
    /// earlier digest. Returns true if the ticket changed.
    async fn change(
        &self,
        sn: &TicketSn,
        content: &Content,
        fields: &BTreeMap<String, String>,
    ) -> Result<bool, Failure> {
        let app = self.app;
        let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
        let Some(opened) = &ticket.opened else {
            return Err(Error::new(Kind::Corrupt, format!("ticket {sn} is not opened")).into());
        };
        let changed = content
            .form
            .iter()
            .filter(|(key, _)| self.case.fields.get(*key) != fields.get(*key));
        let mut entries: Vec<Entry> = changed
            .map(|(key, value)| match value {
                Value::Null => Entry::new(key.clone(), ""),
                value => Entry::new(key.clone(), value.clone()),
            })
            .collect();
        if entries.is_empty() {
            return Ok(false);
        }
        let workflow = app
            .configuration
            .workflow(opened.workflow, opened.workflow_version)
            .await?;
        if let Some(workflow) = workflow {
            app.people
                .form_in(&workflow.definition, &mut entries, 0)
                .await?;
        }
        let edit = ticket::Command::EditField {
            by: opened.creator.clone(),
            form: entries,
        };
        let meta = self.by(&opened.creator);
        let outcome = Box::pin(execute(app, sn, &edit, &meta, self.id("edit"), None)).await?;
        self.note(outcome.position);
        Ok(outcome.repeated || !outcome.events.is_empty())
    }

    /// Ends the ticket, because the record has ended. If the workflow does not permit a withdrawal, the ticket is
    /// terminated. Returns true if the ticket changed, and false if it had ended before.
    async fn end(&self, sn: &TicketSn, end: CaseEnd) -> Result<bool, Failure> {
        let app = self.app;
        let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
        if ticket.status.is_over() {
            return Ok(false);
        }
        let integration = app.configuration.integration(&self.case.source).await?;
        let language = integration.defined.as_ref().map(|one| one.language);
        let reason = wording::record_ended(
            language.unwrap_or_default(),
            &self.case.source,
            &self.case.record,
        );
        let creator = ticket.opened.map(|opened| opened.creator);
        if let (CaseEnd::Withdraw, Some(by)) = (end, creator) {
            let withdraw = ticket::Command::Withdraw {
                by: by.clone(),
                reason: reason.clone(),
            };
            let id = self.id("withdraw");
            match Box::pin(execute(app, sn, &withdraw, &self.by(&by), id, None)).await {
                Ok(outcome) => {
                    self.note(outcome.position);
                    return Ok(true);
                }
                // The workflow does not permit the withdrawal any more.
                Err(ExecuteError::Rejected(_)) => {}
                Err(ExecuteError::Technical(error)) => return Err(error.into()),
            }
        }
        let by = PersonId::system();
        let terminate = ticket::Command::Terminate {
            by: by.clone(),
            reason,
        };
        let id = self.id("terminate");
        let executed = Box::pin(execute(app, sn, &terminate, &self.by(&by), id, None)).await;
        self.note(executed?.position);
        Ok(true)
    }

    fn by(&self, actor: &PersonId) -> Meta {
        Meta {
            actor: actor.clone(),
            ..self.meta.clone()
        }
    }
}

/// Returns a short keyed digest for each field value. A later update compares these digests to
/// find the changed values.
pub async fn field_digests(
    app: &App,
    content: &Content,
) -> Result<BTreeMap<String, String>, Error> {
    let mut digests = BTreeMap::new();
    for (key, value) in &content.form {
        let mut digest = digest(app, value.to_string().as_bytes()).await?;
        digest.truncate(SHORT_DIGEST);
        digests.insert(key.clone(), digest);
    }
    Ok(digests)
}

/// Returns the code under which the desk stores records that it read from a source itself. A colon is in no code of a
/// registered app.
pub fn own_app(source: &str) -> AppCode {
    AppCode(format!("source:{source}"))
}

/// Returns the id of a case (the event stream of one external record). The id is the part of the
/// stream name after `case-`.
pub fn id_of(stream: &str) -> &str {
    stream.trim_start_matches("case-")
}

/// Returns the name of the event stream for an external record. For a record without a readable id,
/// the name is computed from the digest of the content.
fn stream_of(source: &str, record: &str, digest: &str) -> String {
    let unidentified = if record.is_empty() { digest } else { "" };
    let hash = command_id(&["case", source, record, unidentified]);
    format!("case-{}", hex(&hash))
}

/// Returns the name of the event stream for content of a record that must not replace its other content.
fn stream_apart(source: &str, record: &str) -> String {
    let hash = command_id(&["case", source, record, "apart"]);
    format!("case-{}", hex(&hash))
}

/// Returns the name under which the key store contains the content of a case (the event stream of
/// one external record).
fn secret_name(stream: &str, digest: &str) -> String {
    let short = &digest[..SHORT_DIGEST.min(digest.len())];
    format!("case/{}/{short}", id_of(stream))
}

/// Returns the version of the mapping with which records of an integration can be bound to cases of another one. An error
/// is the reason why they cannot.
pub(super) fn bindable(integration: &Integration) -> Result<u32, &'static str> {
    let Some(defined) = &integration.defined else {
        return Err("does not exist");
    };
    if source::find(&defined.kind).and_then(Source::api).is_none() {
        return Err("is of a kind to which the desk sends no requests");
    }
    if defined.url.is_empty() {
        return Err("is switched off, because it has no `url`");
    }
    let newest = integration.mapping(0);
    newest.map(|(version, _)| version).ok_or("has no mapping")
}

async fn digest(app: &App, bytes: &[u8]) -> Result<String, Error> {
    let key = app.keys().await?.fingerprint;
    Ok(blake3::keyed_hash(&key, bytes).to_hex().to_string())
}

fn not_expected(failure: ExecuteError<Case>) -> Error {
    match failure {
        ExecuteError::Technical(error) => error,
        ExecuteError::Rejected(rejection) => Error::new(Kind::Conflict, rejection.to_string()),
    }
}

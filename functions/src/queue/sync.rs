//! Processes the messages of the queue `sync`. A message creates an application (a ticket in an
//! external ITSM), or continues the work on an application. Other messages read the sources of cases, and write the
//! status of tickets back to them.

mod poll;
pub mod pull;
pub mod reconcile;
mod write_back;

use async_trait::async_trait;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::intent::{Due, Intent, StartServiceTask};
use domain::itsm::application::{
    Application, Command, NOT_AWAITED, NOT_EXISTS, POLICY, Rejection, Status, Step,
    is_by_approve_result,
};
use domain::itsm::pinned::target_of;
use domain::itsm::writeback::Writeback;
use domain::placeholder::Variables;
use domain::ticket::NodeResult;
use events::application::{Applied, Closed, EXPIRE, POLL, Requested, Target};
use events::workflow::service_task::{Pair, ServiceTask};
use events::{Meta, Moment, application_kind, integration};
use infra::http::{HttpError, HttpRequest, HttpResponse};
use infra::itsm::{self, Connection, Itsm, Request};
use infra::ledger::{NoContext, command_id};
use infra::queue::Message;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::{runner, wrong_queue};
use crate::App;
use crate::app::cards::{self, CardList};
use crate::app::itsm::sources::WriteRequest;
use crate::app::itsm::{
    applications, callbacks, cases, gate, integrations, links, repairs, sources,
};
use crate::app::outbound::{self, Described};
use crate::app::tickets;
use crate::app::tickets::service_task::{self, Awaiting};
use crate::queue::runner::{Outgoing, Prepared, Start};

/// Default number of days until an application (a ticket in an external ITSM) expires. The default
/// is used if the application kind does not exist.
const DEFAULT_DAYS: u16 = 1;
/// Maximum size of a response from an external ITSM, in bytes. A response can contain a ticket with
/// all its form fields.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// Maximum number of open applications of one ticket that are withdrawn when the ticket ends. A ticket has one
/// open application for each node that waits. Further applications are withdrawn at their next read.
const OPEN_MAX: usize = 100;
/// A mark that no application (ticket in an external ITSM) has. A mark is the id of an application, which consists
/// of 32 hexadecimal digits.
const UNUSED_MARK: &str = "ledgerdesk-probe-of-the-tag";

/// Executes an intent (a request for work) from a message. The intents create, start and withdraw applications (tickets in
/// an external ITSM), process inbound messages, and write changes of a ticket back to the records of its case.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::SubmitApplication(application) => {
            let stream = format!("application-{}", message.id);
            open(app, message, &stream, *application).await?;
            step(app, &stream).await
        }
        Intent::StartApplication { application } => step(app, &application).await,
        Intent::WriteBack {
            case,
            ticket,
            change,
            cause,
            correlation,
        } => {
            let meta = Meta::system(correlation, cause);
            let request = WriteRequest {
                case: &case,
                ticket: &ticket,
                change: &change,
                only: None,
                repeats: false,
            };
            for stream in sources::request_writes(app, &request, &meta).await? {
                continue_write(app, &stream).await?;
            }
            Ok(())
        }
        Intent::WriteBinding {
            case,
            integration,
            cause,
            correlation,
        } => {
            for stream in
                links::request_writes(app, &case, &integration, &cause, &correlation).await?
            {
                continue_write(app, &stream).await?;
            }
            Ok(())
        }
        Intent::WriteRepair(repair) => {
            for stream in repairs::request_writes(app, &repair).await? {
                continue_write(app, &stream).await?;
            }
            Ok(())
        }
        Intent::HandleInbound {
            inbound,
            subject,
            cause,
            correlation,
        } if subject.starts_with("case_source-") => {
            let meta = Meta::system(correlation, cause);
            if sources::process(app, &inbound, &subject, &meta).await? {
                pull::pull(app, &subject).await?;
            }
            Ok(())
        }
        Intent::HandleInbound {
            inbound,
            subject,
            cause,
            correlation,
        } => {
            let command_envelope = CommandEnvelope {
                stream: subject.clone(),
                command_id: command_id(&["hint", &message.id]),
                meta: Meta::system(correlation, cause),
            };
            let hint = Command::Hint {
                inbound,
                at: app.ledger.clock.now(),
            };
            app.ledger
                .execute::<Application>(&command_envelope, &hint, &NoContext)
                .await
                .map_err(ExecuteError::unexpected)?;
            step(app, &subject).await
        }
        Intent::WithdrawApplications {
            ticket,
            reason,
            cause,
            correlation,
        } => {
            let meta = Meta::system(correlation, cause);
            let open = CardList::of("ticket", ticket.as_str());
            let found = cards::documents::<Application>(app, &open, 1, OPEN_MAX).await?;
            for (stream, _) in found.found {
                let id = command_id(&["withdraw", &message.id, &stream]);
                // The deadline in the event wakes the application, also if another one of this ticket is slow.
                applications::withdraw(app, &stream, id, meta.clone(), &reason).await?;
            }
            Ok(())
        }
        _ => Err(wrong_queue(message)),
    }
}

/// Makes the next attempt to write to a record. Does nothing before the time of this attempt. If the case is not bound to the
/// record any more, the writes are canceled.
async fn continue_write(app: &App, stream: &str) -> Result<(), Error> {
    if links::cancel_former(app, stream).await? {
        return Ok(());
    }
    runner::run::<Writeback>(app, stream).await
}

/// Handles a reached deadline of a write to a source.
pub async fn fire_write(app: &App, due: &Due) -> Result<(), Error> {
    continue_write(app, &due.stream).await
}

/// Handles a reached deadline of a case: its content waits for processing, or it differed from its record.
pub async fn fire_case(app: &App, due: &Due) -> Result<(), Error> {
    match events::case::compared_at(&due.deadline) {
        Some((integration, value)) => reconcile::again(app, &due.stream, integration, value).await,
        None => cases::process(app, &due.stream, None).await,
    }
}

/// Handles a reached deadline of an application (a ticket in an external ITSM). At the deadline,
/// the next attempt is due, or the application expires. The message about the deadline `poll` is for all applications
/// that only wait for the decision.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    if due.deadline == POLL {
        return Box::pin(poll::fire(app, &due.stream)).await;
    }
    if due.deadline == EXPIRE {
        let state = app
            .ledger
            .load::<Application>(&due.stream)
            .await?
            .aggregate
            .0;
        let command_envelope = CommandEnvelope {
            stream: due.stream.clone(),
            command_id: command_id(&["fire", &due.id()]),
            meta: runner::meta(&state),
        };
        let expire = Command::Expire {
            at: app.ledger.clock.now(),
        };
        app.ledger
            .execute::<Application>(&command_envelope, &expire, &NoContext)
            .await
            .map_err(ExecuteError::unexpected)?;
    }
    step(app, &due.stream).await
}

/// Makes the next attempt to send a request about an application (a ticket in an external ITSM).
/// Does nothing before the time of this attempt.
///
/// If the application only waits for the decision, the desk asks for several applications in one request.
async fn step(app: &App, stream: &str) -> Result<(), Error> {
    let state = app.ledger.load::<Application>(stream).await?.aggregate.0;
    let is_due = state.attempts.due <= app.ledger.clock.now();
    let is_grouped = state.is_polled() && is_due;
    if is_grouped && Box::pin(poll::poll(app, state.kind(), Some(stream))).await? {
        return Ok(());
    }
    runner::run::<Application>(app, stream).await
}

/// Returns true if the ticket of this desk waits for the application, or if a person applied over the API.
async fn is_awaited(app: &App, application: &Application) -> Result<bool, Error> {
    let Some(requested) = &application.requested else {
        return Ok(true);
    };
    let awaiting = awaiting(requested);
    Ok(service_task::awaited(app, &awaiting).await?.is_ok())
}

fn awaiting(requested: &Requested) -> Awaiting<'_> {
    Awaiting {
        ticket: &requested.ticket,
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
    }
}

async fn open(
    app: &App,
    message: &Message,
    stream: &str,
    application: StartServiceTask,
) -> Result<(), Error> {
    let StartServiceTask {
        ticket,
        node,
        name,
        round,
        attempt,
        inputs,
        cause,
        correlation,
    } = application;
    let awaiting = Awaiting {
        ticket: &ticket,
        node,
        round,
        attempt,
    };
    let kind = match service_task::awaited(app, &awaiting).await? {
        Ok((_, _, ServiceTask::Application(task))) => task.kind,
        _ => String::new(),
    };
    let days = app
        .configuration
        .application_kind(&kind)
        .await?
        .map_or(DEFAULT_DAYS, |defined| defined.days);
    let now = app.ledger.clock.now();
    let requested = Requested {
        ticket,
        node,
        name,
        round,
        attempt,
        cause: cause.clone(),
        kind,
        inputs,
        due: now,
        expires: applications::expiry(now, days),
    };
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: command_id(&["sync", &message.id]),
        meta: Meta::system(correlation, cause),
    };
    runner::open::<Application>(&app.ledger, &command_envelope, &Command::Request(requested)).await
}

#[async_trait]
impl Outgoing for Application {
    fn attempts(&self) -> Option<Attempts> {
        self.is_open().then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.cause()
    }

    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        self.interrupted().map(|verdict| (verdict, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        let verdict = match prepare(app, self, stream).await? {
            Ok((request, prepared)) => return Ok(prepared_request(self, request, prepared)),
            Err(NoRequest::Undiscovered) => self.undiscovered(),
            Err(NoRequest::NotAwaited) if !self.is_early() => self.abandoned(),
            // The desk cannot send a request, for example because the configuration is incomplete.
            // If the application (the ticket in the external ITSM) is not created yet, the
            // application fails. If the application already exists, the desk tries again later,
            // because an operator can correct the configuration.
            Err(NoRequest::NotAwaited) => Verdict::failed(NOT_AWAITED),
            Err(NoRequest::Impossible(reason)) if self.is_early() => Verdict::failed(reason),
            Err(NoRequest::Impossible(reason)) => Verdict::retry(reason),
        };
        Ok(Prepared::Verdict(verdict, POLICY))
    }

    /// Counts the request in the limit of the external ITSM. If the limit is reached or the external ITSM has failed, the
    /// request waits.
    async fn admit(&self, app: &App) -> Result<Option<(Verdict, Policy)>, Error> {
        let Some(integration) = integration_of(app, self).await? else {
            return Ok(None);
        };
        let wait = gate::admit(app, &integration).await?;
        Ok(wait.map(|wait| (self.postponed(wait.after_ms), POLICY)))
    }

    async fn learned(
        &self,
        app: &App,
        response: &Result<HttpResponse, HttpError>,
    ) -> Result<(), Error> {
        match integration_of(app, self).await? {
            Some(integration) => gate::note(app, &integration, response).await,
            None => Ok(()),
        }
    }

    fn record(report: Report) -> Command {
        Command::Record(report)
    }

    fn is_repeated(rejection: &Rejection) -> bool {
        matches!(
            rejection,
            Rejection::AlreadyRequested | Rejection::NotDue(_)
        )
    }

    /// Stores the result of the application (a ticket in an external ITSM) in the ticket of this
    /// desk, or does the consequence of an application without a ticket. Then closes the application, so that the desk
    /// sends no further request about the application.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        let Some(outcome) = &self.outcome else {
            return Ok(());
        };
        if self.is_closed {
            return Ok(());
        }
        let Some(requested) = &self.requested else {
            let closed = match self.status() {
                Status::Granted => Box::pin(applications::carry_out(app, stream, self)).await?,
                _ => Closed::default(),
            };
            return runner::close(app, stream, self, &Command::Close(closed)).await;
        };
        let result = NodeResult {
            node: requested.node,
            round: requested.round,
            attempt: requested.attempt,
            succeeded: outcome.succeeded,
            outputs: outcome.outputs.clone(),
            task: self.external.clone(),
            reason: outcome.reason.clone(),
        };
        let meta = runner::meta(self);
        let recorded =
            service_task::record_result(app, &requested.ticket, result, &meta, stream).await?;
        let closed = Closed {
            recorded,
            ..Closed::default()
        };
        runner::close(app, stream, self, &Command::Close(closed)).await
    }
}

/// A prepared request and the data for reading its response. The codec converts requests and
/// responses for the API of the external ITSM.
struct Parts {
    request: Request,
    codec: &'static dyn Itsm,
    kind: application_kind::Defined,
    /// The receiver of the request.
    target: Target,
}

/// The reason why no request can be sent to the external ITSM.
enum NoRequest {
    /// The ticket of this desk no longer waits for the application (the ticket in the external ITSM). The desk creates
    /// no application, and withdraws an existing one.
    NotAwaited,
    /// The service of the external ITSM is not known.
    Undiscovered,
    /// The configuration is wrong, or a value is missing. The text is the reason.
    Impossible(String),
}

impl From<String> for NoRequest {
    fn from(text: String) -> Self {
        Self::Impossible(text)
    }
}

/// What the desk must know about the origin of an application for a request: the user name of its creator, and the
/// values of the fields.
struct Origin {
    creator: String,
    values: Option<Values>,
}

/// The values for the fields of the external ticket.
enum Values {
    Node {
        own: Vec<Pair>,
        variables: Variables,
    },
    Person(Box<Applied>),
}

fn prepared_request(
    application: &Application,
    request: HttpRequest,
    parts: Parts,
) -> Prepared<'_, Application> {
    let target = parts.target.clone();
    let start = (application.step == Step::Create).then(|| -> Start<'static, Application> {
        Box::new(move |attempt, until: Moment| Command::Begin {
            attempt,
            until,
            target,
        })
    });
    Prepared::Request {
        request,
        start,
        judge: Box::new(move |response| {
            let answer = parts.codec.answer(&parts.request, response);
            (application.verdict(answer, &parts.kind.granted), POLICY)
        }),
    }
}

/// Creates the HTTP request for the current step of an application (a ticket in an external ITSM).
/// If no request can be sent, the inner `Err` is the reason.
async fn prepare(
    app: &App,
    application: &Application,
    stream: &str,
) -> Result<Result<(HttpRequest, Parts), NoRequest>, Error> {
    if let (true, Some(reason)) = (application.is_early(), &application.withdrawal) {
        return Ok(Err(reason.clone().into()));
    }
    let origin = match (&application.requested, &application.applied) {
        (Some(requested), _) => of_node(app, application, requested).await?,
        (None, Some(applied)) => Ok(Origin {
            creator: app.people.name(&applied.applicant).await?,
            values: Some(Values::Person(Box::new(applied.clone()))),
        }),
        (None, None) => Err(String::from("the application is not requested").into()),
    };
    let origin = match origin {
        Ok(origin) => origin,
        Err(reason) => return Ok(Err(reason)),
    };
    let connected = connect(app, application.kind()).await?;
    let (codec, connection, kind) = match connected {
        Ok(connected) => connected,
        Err(text) => return Ok(Err(text.into())),
    };
    let target = target_of(&connection.integration);
    if let Some(reason) = application.moved(&connection.integration) {
        return Ok(Err(reason.into()));
    }
    if application.is_early() && !kind.is_enabled {
        let text = format!("application kind {} is switched off", kind.name);
        return Ok(Err(text.into()));
    }
    let id = applications::id_of(stream);
    let Origin { creator, values } = origin;
    let request = match application.step {
        Step::Discover => {
            let Some(discovery) = kind.discovery.clone() else {
                let text = format!("application kind {} names no service", kind.name);
                return Ok(Err(text.into()));
            };
            Request::Discover {
                display_type: discovery.display_type,
                display_role: discovery.display_role,
            }
        }
        Step::Create => {
            let Some(service) = kind.service.or(application.service) else {
                return Ok(Err(NoRequest::Undiscovered));
            };
            let filled = match values {
                Some(Values::Node { own, variables }) => {
                    applications::fields_of_node(&kind, &own, &variables)
                }
                Some(Values::Person(applied)) => applications::fields_of_person(
                    &kind,
                    &applied.subject,
                    &creator,
                    &applied.fields.value,
                )
                .map_err(|missing| missing.to_string()),
                None => Err("the node has no application".into()),
            };
            let fields = match filled {
                Ok(fields) => fields,
                Err(text) => return Ok(Err(text.into())),
            };
            let secret = callbacks::secret_of(&app.token_keys().await?.newest, id);
            let site = app.settings.site.trim_end_matches('/');
            Request::Create {
                service,
                creator,
                fields,
                callback_url: format!("{site}/callbacks/{}/{secret}", callbacks::BK_ITSM),
                mark: id.to_owned(),
            }
        }
        Step::Probe => Request::Find {
            creator,
            mark: UNUSED_MARK.to_owned(),
            since: application.since(),
        },
        Step::Find => Request::Find {
            creator,
            mark: id.to_owned(),
            since: application.since(),
        },
        Step::Withdraw => Request::Withdraw {
            external: application.external.clone(),
            creator,
            reason: application
                .withdrawal
                .clone()
                .unwrap_or_else(|| NOT_AWAITED.to_owned()),
        },
        Step::Verify => {
            let inbound = application.hint.as_deref().unwrap_or_default();
            Request::Verify {
                token: callbacks::token_of(app, inbound).await?.unwrap_or_default(),
            }
        }
        // The regular read returns the URLs of the ticket, which the result of the approval lacks.
        Step::Confirm | Step::Fetch | Step::Reconcile | Step::Missed
            if is_by_approve_result(&kind.granted) =>
        {
            Request::ReadResult {
                external: application.external.clone(),
                mark: id.to_owned(),
            }
        }
        Step::Confirm | Step::Poll | Step::Fetch | Step::Reconcile | Step::Missed => {
            Request::Read {
                external: application.external.clone(),
                mark: id.to_owned(),
            }
        }
    };
    let planned = match codec.request(&connection, &request) {
        Ok(planned) => planned,
        Err(text) => return Ok(Err(text.into())),
    };
    let described = Described::of(planned, RESPONSE_BYTES_MAX);
    let built = outbound::request(&*app.ledger.keys, described).await?;
    let parts = Parts {
        request,
        codec,
        kind,
        target,
    };
    Ok(built.map(|built| (built, parts)).map_err(NoRequest::from))
}

/// Returns the origin of an application that a node of a ticket requested.
async fn of_node(
    app: &App,
    application: &Application,
    requested: &Requested,
) -> Result<Result<Origin, NoRequest>, Error> {
    let step = application.step;
    let awaiting = awaiting(requested);
    // A search and a withdrawal are also necessary if the ticket of this desk no longer waits. After a rejected
    // withdrawal, a read shows whether the external ticket has ended.
    let needs_waiting = application.withdrawal.is_none()
        && !matches!(step, Step::Probe | Step::Find | Step::Withdraw);
    let (card, task) = match service_task::awaited(app, &awaiting).await? {
        Ok((card, _, ServiceTask::Application(task))) => (card, Some(task)),
        Ok(_) => return Ok(Err(String::from("the node has no application").into())),
        Err(_) if needs_waiting => return Ok(Err(NoRequest::NotAwaited)),
        Err(_) => match tickets::card(app, &requested.ticket).await? {
            Some(card) => (card, None),
            None => return Ok(Err(String::from("the ticket does not exist").into())),
        },
    };
    let creator = match &card.ticket.opened {
        Some(opened) => app.people.name(&opened.creator).await?,
        None => String::new(),
    };
    let values = match task {
        Some(task) if step == Step::Create => Some(Values::Node {
            own: task.fields,
            variables: service_task::variables(app, &card, &requested.inputs).await?,
        }),
        _ => None,
    };
    Ok(Ok(Origin { creator, values }))
}

/// Returns the integration of an application, or `None` if it is not configured.
async fn integration_of(
    app: &App,
    application: &Application,
) -> Result<Option<integration::Defined>, Error> {
    let Some(kind) = app
        .configuration
        .application_kind(application.kind())
        .await?
    else {
        return Ok(None);
    };
    let integration = app.configuration.integration(&kind.integration).await?;
    Ok(integration.defined.clone())
}

type Connected = (&'static dyn Itsm, Connection, application_kind::Defined);

/// Returns the codec (the API converter), the connection and the application kind for an
/// application (a ticket in an external ITSM). If configuration is missing, the inner `Err` is the
/// reason.
async fn connect(app: &App, kind: &str) -> Result<Result<Connected, String>, Error> {
    let Some(kind) = app.configuration.application_kind(kind).await? else {
        return Ok(Err(format!(
            "{NOT_EXISTS}: application kind {kind:?} does not exist"
        )));
    };
    let integration = app.configuration.integration(&kind.integration).await?;
    let Some(integration) = integration.defined.clone() else {
        return Ok(Err(format!(
            "{NOT_EXISTS}: integration {} does not exist",
            kind.integration
        )));
    };
    let Some(codec) = itsm::find(&integration.kind) else {
        return Ok(Err(format!(
            "{NOT_EXISTS}: this desk has no codec for {}",
            integration.kind
        )));
    };
    let secret = match integrations::secret_of(&*app.ledger.keys, &integration.name).await? {
        Ok(secret) => secret,
        Err(name) => {
            return Ok(Err(integrations::no_secret(&name)));
        }
    };
    let connection = Connection {
        integration,
        secret,
    };
    Ok(Ok((codec, connection, kind)))
}

//! Processes the messages of the queue `sync`. A message creates an application (a ticket in an
//! external ITSM), or continues the work on an application.

use async_trait::async_trait;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::intent::{Due, Intent, StartServiceTask};
use domain::itsm::application::{Application, Command, NOT_AWAITED, POLICY, Rejection, Step};
use domain::placeholder::fill_json;
use domain::ticket::NodeResult;
use events::application::{EXPIRE, Requested};
use events::workflow::service_task::{Pair, ServiceTask};
use events::{Meta, Moment, application_kind};
use infra::http::HttpRequest;
use infra::itsm::{self, Connection, Itsm, Request};
use infra::ledger::{NoContext, command_id};
use infra::queue::Message;
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use super::{runner, wrong_queue};
use crate::App;
use crate::app::cards::{self, CardList};
use crate::app::itsm::{applications, callbacks};
use crate::app::outbound::{self, Described};
use crate::app::tickets;
use crate::app::tickets::service_task::{self, Awaiting};
use crate::queue::runner::{Outgoing, Prepared};

/// Number of milliseconds in one day.
const DAY_MS: i64 = 24 * 3_600_000;
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
/// If an application kind, an integration or a service does not exist, an application (a ticket in
/// an external ITSM) fails. The stored reason of this failure begins with this error name
/// (requirements/external-itsm.md).
const NOT_EXISTS: &str = "CollectItsmNotExists";

/// Executes an intent (a request for work) from a message. There are two kinds of intents in this
/// queue. One kind creates an application (a ticket in an external ITSM). The other kind reports
/// that a callback about an application arrived.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::SubmitApplication(application) => {
            let stream = format!("application-{}", message.id);
            open(app, message, &stream, *application).await?;
            step(app, &stream).await
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

/// Handles a reached deadline of an application (a ticket in an external ITSM). At the deadline,
/// the next attempt is due, or the application expires.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
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
async fn step(app: &App, stream: &str) -> Result<(), Error> {
    runner::run::<Application>(app, stream).await
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
        expires: now.plus_ms(i64::from(days) * DAY_MS),
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
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.cause)
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
            Err(reason) if reason.is_final && self.step != Step::Create => self.abandoned(),
            // The desk cannot send a request, for example because the configuration is incomplete.
            // If the application (the ticket in the external ITSM) is not created yet, the
            // application fails. If the application already exists, the desk tries again later,
            // because an operator can correct the configuration.
            Err(reason) if self.step == Step::Create || reason.is_final => Verdict::Failed {
                reason: reason.text.into(),
                outputs: std::collections::BTreeMap::new(),
            },
            Err(reason) => Verdict::Retry {
                reason: reason.text.into(),
                after_ms: None,
            },
        };
        Ok(Prepared::Verdict(verdict, POLICY))
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
    /// desk. Then closes the application, so that the desk sends no further request about the
    /// application.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        let (Some(requested), Some(outcome)) = (&self.requested, &self.outcome) else {
            return Ok(());
        };
        if self.is_closed {
            return Ok(());
        }
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
        runner::close(app, stream, self, &Command::Close { recorded }).await
    }
}

/// A prepared request and the data for reading its response. The codec converts requests and
/// responses for the API of the external ITSM.
struct Parts {
    request: Request,
    codec: &'static dyn Itsm,
    kind: application_kind::Defined,
}

/// The reason why no request can be sent to the external ITSM.
struct NoRequest {
    text: String,
    /// True if the ticket of this desk no longer waits for the application (the ticket in the
    /// external ITSM). In this case, the desk creates no application, and withdraws an existing one.
    is_final: bool,
}

impl From<String> for NoRequest {
    fn from(text: String) -> Self {
        Self {
            text,
            is_final: false,
        }
    }
}

fn prepared_request(
    application: &Application,
    request: HttpRequest,
    parts: Parts,
) -> Prepared<'_, Application> {
    Prepared::Request {
        request,
        start: (application.step == Step::Create)
            .then_some(|attempt, until: Moment| Command::Begin { attempt, until }),
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
    if let (Step::Create, Some(reason)) = (application.step, &application.withdrawal) {
        return Ok(Err(reason.clone().into()));
    }
    let Some(requested) = &application.requested else {
        return Ok(Err(String::from("the application is not requested").into()));
    };
    let awaiting = Awaiting {
        ticket: &requested.ticket,
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
    };
    // A search and a withdrawal are also necessary if the ticket of this desk no longer waits.
    let needs_waiting = !matches!(application.step, Step::Probe | Step::Find | Step::Withdraw);
    let (card, task) = match service_task::awaited(app, &awaiting).await? {
        Ok((card, _, ServiceTask::Application(task))) => (card, Some(task)),
        Ok(_) => return Ok(Err(String::from("the node has no application").into())),
        Err(_) if needs_waiting => {
            return Ok(Err(NoRequest {
                text: NOT_AWAITED.to_owned(),
                is_final: true,
            }));
        }
        Err(_) => match tickets::card(app, &requested.ticket).await? {
            Some(card) => (card, None),
            None => return Ok(Err(String::from("the ticket does not exist").into())),
        },
    };
    let connected = connect(app, requested).await?;
    let (codec, connection, kind) = match connected {
        Ok(connected) => connected,
        Err(text) => return Ok(Err(text.into())),
    };
    if application.step == Step::Create && !kind.is_enabled {
        let text = format!("application kind {} is switched off", kind.name);
        return Ok(Err(text.into()));
    }
    let id = stream.trim_start_matches("application-");
    let creator = async || match &card.ticket.opened {
        Some(opened) => app.people.name(&opened.creator).await,
        None => Ok(String::new()),
    };
    let request = match application.step {
        Step::Create => {
            let variables = service_task::variables(app, &card, &requested.inputs).await?;
            let own = task.map_or_else(Vec::new, |task| task.fields);
            let fields = match fields(&kind, &own, &variables) {
                Ok(fields) => fields,
                Err(text) => return Ok(Err(text.into())),
            };
            let secret = callbacks::secret_of(&app.keys().await?.token, id);
            let site = app.settings.site.trim_end_matches('/');
            Request::Create {
                service: kind.service,
                creator: creator().await?,
                fields,
                callback_url: format!("{site}/callbacks/{}/{secret}", callbacks::BK_ITSM),
                mark: id.to_owned(),
            }
        }
        Step::Probe => Request::Find {
            creator: creator().await?,
            mark: UNUSED_MARK.to_owned(),
            since: requested.due,
        },
        Step::Find => Request::Find {
            creator: creator().await?,
            mark: id.to_owned(),
            since: requested.due,
        },
        Step::Withdraw => Request::Withdraw {
            external: application.external.clone(),
            creator: creator().await?,
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
        Step::Confirm | Step::Poll => Request::Read {
            external: application.external.clone(),
        },
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
    };
    Ok(built.map(|built| (built, parts)).map_err(NoRequest::from))
}

type Connected = (&'static dyn Itsm, Connection, application_kind::Defined);

/// Returns the codec (the API converter), the connection and the application kind for an
/// application (a ticket in an external ITSM). If configuration is missing, the inner `Err` is the
/// reason.
async fn connect(app: &App, requested: &Requested) -> Result<Result<Connected, String>, Error> {
    let Some(kind) = app.configuration.application_kind(&requested.kind).await? else {
        return Ok(Err(format!(
            "{NOT_EXISTS}: application kind {:?} does not exist",
            requested.kind
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
    let name = format!("integration/{}", integration.name);
    let secret = app.ledger.keys.secret(&name).await?;
    let Some(secret) = secret.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Ok(Err(format!(
            "the secret {name} is not in the key store; run `ledgerdesk setup --secret {name}=FILE`"
        )));
    };
    let connection = Connection {
        integration,
        secret,
    };
    Ok(Ok((codec, connection, kind)))
}

/// Returns the names and values of the fields for the ticket in the external ITSM. The application
/// kind `kind` and the workflow node (in `own`) define these fields. If both define the same
/// field, the value of the workflow node is used. A value that consists of only one placeholder
/// keeps the type of the variable, such as a number.
fn fields(
    kind: &application_kind::Defined,
    own: &[Pair],
    variables: &domain::placeholder::Variables,
) -> Result<Vec<(String, Value)>, String> {
    let of_kind = kind
        .fields
        .iter()
        .filter(|pair| own.iter().all(|own| own.key != pair.key));
    of_kind
        .chain(own)
        .map(|pair| {
            let value = fill_json(&Value::String(pair.value.clone()), variables)
                .map_err(|reason| format!("field {}: {reason}", pair.key))?;
            Ok((pair.key.clone(), value))
        })
        .collect()
}

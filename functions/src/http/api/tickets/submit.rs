//! Creates tickets in the API `/v1`.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::ticket::{Open, Ticket, form};
use domain::value::plain;
use events::ticket::{CallbackTarget, DynamicField};
use events::{NodeId, ServiceId, TicketSn};
use serde_json::{Map, Value};

use super::reply::NewTicket;
use crate::app::outbound::Receiver;
use crate::app::people::{NAMED_MAX, one_name};
use crate::app::tickets::extras::{self, Unfit, UnfitReceiver};
use crate::app::tickets::submit::{Submission, submit};
use crate::app::tickets::{self, Key, TAG_MAX};
use crate::http::api::problem::{ApiResult, Problem};
use crate::http::api::reply::created;
use crate::http::api::request::Asked;
use crate::http::blueking::render;

/// The largest number of variables in the body member `envs`. Webhook nodes (workflow nodes that
/// call an API) use these variables in their API calls.
const ENVS_MAX: usize = 100;

pub(super) async fn create(request: Asked) -> ApiResult {
    let app = &request.app;
    let service = ServiceId(request.required_int("service_id")?);
    let creator = request.text("creator")?;
    let by = match &creator {
        Some(creator) => one_name(creator)
            .ok_or_else(|| Problem::malformed("/creator", "`creator` must be a user name"))?
            .to_owned(),
        None => request.user()?.to_owned(),
    };
    let key = match &request.idempotency_key {
        Some(key) => Some(Key {
            app: request.caller.app.0.clone(),
            key: key.clone(),
            request: request.fingerprint("create").await?,
        }),
        None => None,
    };
    if let Some(key) = &key
        && let Some(opened) = tickets::opened_before(app, key).await?
    {
        return Ok(opened_answer(&opened.sn, opened.id, &request));
    }
    let tag = request.text("tag")?.unwrap_or_default();
    // The acting user may submit a ticket for another person. The other person is then the creator,
    // and the acting user is recorded as the agent. The service must allow agents.
    let agent = request.user().ok().filter(|user| *user != by);
    let extras = Extras::read(&request)?;
    if tag.chars().count() > TAG_MAX {
        return Err(Problem::malformed(
            "/tag",
            format!("`tag` must have at most {TAG_MAX} characters"),
        ));
    }
    let from = request.text("from")?.map(TicketSn);
    let workflow = match app.configuration.service(service).await?.0.as_ref() {
        Some(defined) => {
            app.configuration
                .workflow(defined.workflow, defined.workflow_version)
                .await?
        }
        None => None,
    };
    let named =
        1 + usize::from(agent.is_some()) + extras.processors.values().map(Vec::len).sum::<usize>();
    if named > NAMED_MAX {
        return Err(Problem::malformed(
            "/processors",
            format!("the request names more than {NAMED_MAX} people"),
        ));
    }
    let mut form = request.fields()?;
    if let Some(workflow) = &workflow {
        app.people
            .form_in(&workflow.definition, &mut form, named)
            .await?;
        if let Some(submit) = workflow.definition.submit_node() {
            form::with_defaults(&workflow.definition, submit, &mut form, &Ticket::default());
        }
    }
    let agent = match agent {
        Some(agent) => Some(app.people.find(agent).await?),
        None => None,
    };
    let (creator, attention) = (
        app.people.find(&by).await?,
        request.flag("attention", false)?,
    );
    let mut open = Open {
        service,
        creator,
        agent,
        form,
        tag,
        from,
        attention,
        ..Open::default()
    };
    extras.put(&request, &mut open).await?;
    let submission = Submission {
        open,
        variables: extras.envs,
        receiver: extras.callback.map(|(_, receiver)| receiver),
        key,
    };
    // The future is large, so it is boxed to keep the stack small.
    let opened = Box::pin(submit(app, submission, |creator| {
        request.meta(creator.clone())
    }))
    .await?;
    Ok(opened_answer(&opened.sn, opened.id, &request))
}

/// Returns the response with status 201 for a new ticket with the ticket number `sn`. The URL in
/// the header `Location` is relative, because a proxy can make the API available under another
/// path.
fn opened_answer(sn: &TicketSn, id: i64, request: &Asked) -> Response {
    let body = NewTicket {
        sn: sn.to_string(),
        id,
        url: render::ticket_url(&request.app.settings, id),
    };
    let location = [(header::LOCATION, format!("{}{sn}", request.below))];
    (location, created(&body)).into_response()
}

/// The optional members of the request body for a new ticket.
///
/// - `callback` contains the members `url`, `headers` and `on_status`.
/// - `processors` contains a list of user names for each node id.
/// - `dynamic_fields` contains objects with the members `name`, `type` and `value`.
/// - `envs` contains variables, each with a name and a text.
#[derive(Clone, Debug, Default)]
struct Extras {
    callback: Option<(CallbackTarget, Receiver)>,
    processors: BTreeMap<NodeId, Vec<String>>,
    dynamic_fields: Vec<DynamicField>,
    envs: BTreeMap<String, String>,
}

impl Extras {
    fn read(request: &Asked) -> Result<Self, Problem> {
        let mut processors = BTreeMap::new();
        for (node, names) in object(request, "processors")?.into_iter().flatten() {
            let wrong = || {
                Problem::malformed(
                    &format!("/processors/{node}"),
                    "`processors` must have arrays of user names by node id",
                )
            };
            let id = node.parse().map(NodeId).map_err(|_| wrong())?;
            let names = names.as_array().ok_or_else(wrong)?;
            let name = |name: &Value| {
                name.as_str()
                    .and_then(one_name)
                    .map(str::to_owned)
                    .ok_or_else(wrong)
            };
            processors.insert(id, names.iter().map(name).collect::<Result<_, _>>()?);
        }
        let envs = object(request, "envs")?;
        if envs.is_some_and(|envs| envs.len() > ENVS_MAX) {
            return Err(Problem::malformed(
                "/envs",
                format!("`envs` must have at most {ENVS_MAX} variables"),
            ));
        }
        let dynamic_fields = match request.body.get("dynamic_fields") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                extras::dynamic_fields(items).map_err(|unfit| match unfit {
                    Unfit::TooMany(most) => Problem::malformed(
                        "/dynamic_fields",
                        format!("`dynamic_fields` must have at most {most} fields"),
                    ),
                    Unfit::Name(at) => Problem::malformed(
                        &format!("/dynamic_fields/{at}/name"),
                        "`name` must have 1 to 32 characters",
                    ),
                    Unfit::Kind(at, kind) => Problem::malformed(
                        &format!("/dynamic_fields/{at}/type"),
                        format!("`type` must be one of STRING, INT, LINK, not {kind:?}"),
                    ),
                    Unfit::Value(at) => Problem::malformed(
                        &format!("/dynamic_fields/{at}/value"),
                        "`value` must have at most 255 characters",
                    ),
                    Unfit::Link(at) => Problem::malformed(
                        &format!("/dynamic_fields/{at}/value"),
                        "`value` must be an address that opens a page",
                    ),
                })?
            }
            Some(_) => {
                return Err(Problem::malformed(
                    "/dynamic_fields",
                    "`dynamic_fields` must be an array",
                ));
            }
        };
        let envs = envs
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect();
        Ok(Self {
            callback: Self::callback(request)?,
            processors,
            dynamic_fields,
            envs,
        })
    }

    fn callback(request: &Asked) -> Result<Option<(CallbackTarget, Receiver)>, Problem> {
        let Some(callback) = object(request, "callback")? else {
            return Ok(None);
        };
        let url = callback
            .get("url")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let headers = match callback.get("headers") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(headers)) => headers
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
            Some(_) => {
                return Err(Problem::malformed(
                    "/callback/headers",
                    "`callback.headers` must be an object of texts",
                ));
            }
        };
        let receiver = Receiver { url, headers };
        let host = extras::callback_host(&request.app, &receiver).map_err(unfit_receiver)?;
        let on_status = match callback.get("on_status") {
            None | Some(Value::Null) => request.caller.status_callbacks,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                return Err(Problem::malformed(
                    "/callback/on_status",
                    "`callback.on_status` must be true or false",
                ));
            }
        };
        Ok(Some((
            CallbackTarget {
                host,
                secret: String::new(),
                on_status,
            },
            receiver,
        )))
    }

    /// Adds the processors (people who process a node), the dynamic fields (additional fields for
    /// display) and the callback to the command that creates the ticket.
    async fn put(&self, request: &Asked, open: &mut Open) -> Result<(), Problem> {
        for (node, names) in &self.processors {
            open.chosen_processors
                .insert(*node, request.app.people.find_all(names).await?);
        }
        open.dynamic_fields.clone_from(&self.dynamic_fields);
        open.callback = self.callback.as_ref().map(|(callback, _)| callback.clone());
        Ok(())
    }
}

/// Converts the error of an invalid callback receiver to an error response. The response contains
/// the name of the wrong member.
fn unfit_receiver(unfit: UnfitReceiver) -> Problem {
    let header = |name: &str, detail: String| {
        Problem::malformed(
            &format!(
                "/callback/headers/{}",
                name.replace('~', "~0").replace('/', "~1")
            ),
            detail,
        )
    };
    match unfit {
        UnfitReceiver::Address => {
            Problem::malformed("/callback/url", "`callback.url` must be an http(s) address")
        }
        UnfitReceiver::Closed(host) => Problem::malformed(
            "/callback/url",
            format!(
                "`callback.url`: requests to {host} are not allowed; the operator can allow them with --egress"
            ),
        ),
        UnfitReceiver::TooManyHeaders(most) => Problem::malformed(
            "/callback/headers",
            format!("`callback.headers` must have at most {most} headers"),
        ),
        UnfitReceiver::HeadersTooLong(most) => Problem::malformed(
            "/callback/headers",
            format!("`callback.headers` must have at most {most} bytes of names and values"),
        ),
        UnfitReceiver::HeaderName(name) => header(
            &name,
            format!("`callback.headers`: {name:?} is not a valid header name"),
        ),
        UnfitReceiver::HeaderReserved(name) => header(
            &name,
            format!("`callback.headers`: {name} is set by the desk and is not allowed here"),
        ),
        UnfitReceiver::HeaderValue(name) => header(
            &name,
            format!(
                "`callback.headers`: the value of {name} has a control character or is too long"
            ),
        ),
    }
}

/// Returns a member of the request body that is a JSON object. Returns `None` if the member is
/// absent or null.
fn object<'a>(request: &'a Asked, key: &str) -> Result<Option<&'a Map<String, Value>>, Problem> {
    match request.body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Problem::malformed(
            &format!("/{key}"),
            format!("`{key}` must be an object"),
        )),
    }
}

//! Submitting a ticket over `/v1`.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::ticket::form::plain;
use domain::ticket::{Open, Ticket, form};
use events::draft::Sheet;
use events::ticket::{Callback, DynamicField};
use events::{NodeId, ServiceId, TicketSn};
use serde_json::{Map, Value, json};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::desk::{self, Key, TAG_MAX};
use crate::drafts;
use crate::http::blueking::render;
use crate::http::extras::{self, Unfit, UnfitReceiver};
use crate::people::{NAMED_MAX, one_name};
use crate::queue::attempt::callback::Receiver;

/// Variables for webhooks that may come along.
const ENVS_MAX: usize = 100;

pub(super) async fn create(asked: Asked) -> Answer {
    let app = &asked.app;
    let service = ServiceId(asked.required_int("service_id")?);
    let creator = asked.text("creator")?;
    let by = match &creator {
        Some(creator) => one_name(creator).ok_or_else(|| Problem::malformed("/creator", "`creator` is not a user name"))?.to_owned(),
        None => asked.user()?.to_owned(),
    };
    let key = match &asked.idempotency_key {
        Some(key) => Some(Key { app: asked.caller.app.0.clone(), key: key.clone(), request: asked.fingerprint("create").await? }),
        None => None,
    };
    if let Some(key) = &key
        && let Some(opened) = desk::opened_before(app, key).await?
    {
        return Ok(opened_answer(&opened.sn, opened.id, &asked));
    }
    let tag = asked.text("tag")?.unwrap_or_default();
    // Whoever submits for somebody else is told of, where the service allows it.
    let agent = asked.user().ok().filter(|user| *user != by);
    let extras = Extras::read(&asked)?;
    if tag.chars().count() > TAG_MAX {
        return Err(Problem::malformed("/tag", format!("`tag` is longer than {TAG_MAX} characters")));
    }
    let from = asked.text("from")?.map(TicketSn);
    if let Some(from) = &from {
        // Whoever submits for somebody else is the one who is asked.
        desk::may_raise(app, from, &app.people.find(asked.user().unwrap_or(&by)).await?).await?;
    }
    let workflow = match app.configuration.service(service).await?.0.as_ref() {
        Some(defined) => app.configuration.workflow(defined.workflow, defined.workflow_version).await?,
        None => None,
    };
    let named = 1 + usize::from(agent.is_some()) + extras.processors.values().map(Vec::len).sum::<usize>();
    if named > NAMED_MAX {
        return Err(Problem::malformed("/processors", format!("more than {NAMED_MAX} people are named")));
    }
    let mut form = asked.fields()?;
    if let Some(workflow) = &workflow {
        app.people.form_in(&workflow.definition, &mut form, named).await?;
        if let Some(submit) = workflow.definition.submit_node() {
            form::with_defaults(&workflow.definition, submit, &mut form, &Ticket::default());
        }
    }
    let agent = match agent {
        Some(agent) => Some(app.people.find(agent).await?),
        None => None,
    };
    let (creator, attention) = (app.people.find(&by).await?, asked.flag("attention", false)?);
    let mut open = Open { service, creator, agent, form, tag, from, attention, ..Open::default() };
    extras.put(&asked, &mut open).await?;
    desk::consider(app, &open).await?;
    // Everything is accepted: now people are registered, and the receiver is kept.
    let mut open = desk::with_people(app, open).await?;
    extras.keep_receiver(app, &mut open).await?;
    let creator = open.creator.clone();
    let outcome = desk::open(app, open, &asked.meta(creator), key).await?;
    desk::await_card(app, outcome.position).await;
    if let Ok(user) = asked.user() {
        let drafter = app.people.find(user).await?;
        drafts::sent(app, &drafter, &Sheet::Service(service), &asked.meta(drafter.clone())).await;
    }
    let opened = outcome.state.opened.as_ref().ok_or_else(|| Problem::conflict("the ticket was not opened"))?;
    Ok(opened_answer(&opened.sn, opened.id, &asked))
}

/// The address of the ticket is relative to the address of the request: a proxy may serve this path below another one.
fn opened_answer(sn: &TicketSn, id: i64, asked: &Asked) -> Response {
    let body = json!({ "sn": sn, "id": id, "url": render::ticket_url(&asked.app.settings, id) });
    (StatusCode::CREATED, [(header::LOCATION, format!("{}{sn}", asked.below))], Json(body)).into_response()
}

/// What comes along besides the form: `callback` (`url`, `headers`, `on_status`), `processors` (user names by node id), `dynamic_fields`
/// (`name`, `type`, `value` each), `envs` (texts by name).
#[derive(Clone, Debug, Default)]
struct Extras {
    callback: Option<(Callback, Receiver)>,
    processors: BTreeMap<NodeId, Vec<String>>,
    dynamic_fields: Vec<DynamicField>,
    envs: BTreeMap<String, String>,
}

impl Extras {
    fn read(asked: &Asked) -> Result<Self, Problem> {
        let mut processors = BTreeMap::new();
        for (node, names) in object(asked, "processors")?.into_iter().flatten() {
            let wrong = || Problem::malformed(&format!("/processors/{node}"), "`processors` has arrays of user names under the ids of nodes");
            let id = node.parse().map(NodeId).map_err(|_| wrong())?;
            let names = names.as_array().ok_or_else(wrong)?;
            let name = |name: &Value| name.as_str().and_then(one_name).map(str::to_owned).ok_or_else(wrong);
            processors.insert(id, names.iter().map(name).collect::<Result<_, _>>()?);
        }
        let envs = object(asked, "envs")?;
        if envs.is_some_and(|envs| envs.len() > ENVS_MAX) {
            return Err(Problem::malformed("/envs", format!("`envs` has more than {ENVS_MAX} variables")));
        }
        let dynamic_fields = match asked.body.get("dynamic_fields") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => extras::dynamic_fields(items).map_err(|unfit| match unfit {
                Unfit::TooMany(most) => Problem::malformed("/dynamic_fields", format!("`dynamic_fields` has more than {most} fields")),
                Unfit::Name(at) => Problem::malformed(&format!("/dynamic_fields/{at}/name"), "`name` does not have 1 to 32 characters"),
                Unfit::Kind(at, kind) => Problem::malformed(&format!("/dynamic_fields/{at}/type"), format!("`type` {kind:?} is none of STRING, INT, LINK")),
                Unfit::Value(at) => Problem::malformed(&format!("/dynamic_fields/{at}/value"), "`value` is longer than 255 characters"),
                Unfit::Link(at) => {
                    Problem::malformed(&format!("/dynamic_fields/{at}/value"), "`value` is an address that does something else than open a page")
                }
            })?,
            Some(_) => return Err(Problem::malformed("/dynamic_fields", "`dynamic_fields` is not an array")),
        };
        let envs = envs.into_iter().flatten().map(|(key, value)| (key.clone(), plain(value))).collect();
        Ok(Self { callback: Self::callback(asked)?, processors, dynamic_fields, envs })
    }

    fn callback(asked: &Asked) -> Result<Option<(Callback, Receiver)>, Problem> {
        let Some(callback) = object(asked, "callback")? else { return Ok(None) };
        let url = callback.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
        let headers = match callback.get("headers") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(headers)) => headers.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
            Some(_) => return Err(Problem::malformed("/callback/headers", "`callback.headers` is not an object of texts")),
        };
        let receiver = Receiver { url, headers };
        let host = extras::callback_host(&asked.app, &receiver).map_err(unfit_receiver)?;
        let on_status = match callback.get("on_status") {
            None | Some(Value::Null) => asked.caller.hears_status,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => return Err(Problem::malformed("/callback/on_status", "`callback.on_status` is neither true nor false")),
        };
        Ok(Some((Callback { host, secret: String::new(), on_status }, receiver)))
    }

    /// Puts it all into the ticket that is to be opened.
    async fn put(&self, asked: &Asked, open: &mut Open) -> Result<(), Problem> {
        for (node, names) in &self.processors {
            open.chosen_processors.insert(*node, asked.app.people.find_all(names).await?);
        }
        open.dynamic_fields.clone_from(&self.dynamic_fields);
        open.callback = self.callback.as_ref().map(|(callback, _)| callback.clone());
        Ok(())
    }

    /// Keeps the receiver and the variables of an accepted ticket, which may hold secrets.
    async fn keep_receiver(&self, app: &crate::App, open: &mut Open) -> Result<(), Problem> {
        open.variables = extras::keep_variables(app, &open.creator, &self.envs).await?;
        if let (Some(callback), Some((_, receiver))) = (&mut open.callback, &self.callback) {
            extras::keep_receiver(app, callback, receiver).await?;
        }
        Ok(())
    }
}

/// The flaw of a receiver as a problem of the member that holds it.
fn unfit_receiver(unfit: UnfitReceiver) -> Problem {
    let header = |name: &str, detail: String| Problem::malformed(&format!("/callback/headers/{}", name.replace('~', "~0").replace('/', "~1")), detail);
    match unfit {
        UnfitReceiver::Address => Problem::malformed("/callback/url", "`callback.url` is not an http(s) address"),
        UnfitReceiver::Closed(host) => {
            Problem::malformed("/callback/url", format!("`callback.url`: this desk may not call {host}; the operator opens addresses with --egress"))
        }
        UnfitReceiver::TooManyHeaders(most) => Problem::malformed("/callback/headers", format!("`callback.headers` has more than {most} headers")),
        UnfitReceiver::HeadersTooLong(most) => {
            Problem::malformed("/callback/headers", format!("`callback.headers` has more than {most} bytes of names and values"))
        }
        UnfitReceiver::HeaderName(name) => header(&name, format!("`callback.headers`: {name:?} is not the name of a header")),
        UnfitReceiver::HeaderReserved(name) => header(&name, format!("`callback.headers`: {name} is set by the desk and must not be given")),
        UnfitReceiver::HeaderValue(name) => {
            header(&name, format!("`callback.headers`: the value of {name} has a line break or control character, or is too long"))
        }
    }
}

/// A member of the body that is an object; absent or null is none.
fn object<'a>(asked: &'a Asked, key: &str) -> Result<Option<&'a Map<String, Value>>, Problem> {
    match asked.body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Problem::malformed(&format!("/{key}"), format!("`{key}` is not an object"))),
    }
}

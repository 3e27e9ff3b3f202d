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
use crate::people::is_name;
use crate::queue::attempt::callback::Receiver;

/// Variables for webhooks that may come along.
const ENVS_MAX: usize = 100;

pub(super) async fn create(asked: Asked) -> Answer {
    let app = &asked.app;
    let service = ServiceId(asked.int("service_id")?.ok_or_else(|| Problem::malformed("/service_id", "it is missing"))?);
    let creator = asked.text("creator")?;
    let by = match &creator {
        Some(creator) if is_name(creator) => creator.clone(),
        Some(_) => return Err(Problem::malformed("/creator", "it is not a user name")),
        None => asked.user()?.to_owned(),
    };
    let key = match &asked.idempotency_key {
        Some(key) => Some(Key { app: asked.caller.app.0.clone(), key: key.clone(), request: asked.fingerprint("create").await? }),
        None => None,
    };
    if let Some(key) = &key
        && let Some(opened) = desk::opened_before(app, key).await?
    {
        return Ok(opened_answer(&opened.sn, opened.id, app));
    }
    let tag = asked.text("tag")?.unwrap_or_default();
    // Whoever submits for somebody else is told of, where the service allows it.
    let agent = asked.user().ok().filter(|user| *user != by);
    let agent = async |register| match agent {
        Some(agent) => app.people.known(agent, register).await.map(Some),
        None => Ok(None),
    };
    let draft = |creator, agent, form| Open { service, creator, agent, form, tag: tag.clone(), ..Open::default() };
    let extras = Extras::read(&asked)?;
    if tag.chars().count() > TAG_MAX {
        return Err(Problem::malformed("/tag", format!("it is longer than {TAG_MAX} characters")));
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
    let filled = async |register| -> Result<Vec<events::Entry>, Problem> {
        let mut form = asked.fields()?;
        if let Some(workflow) = &workflow {
            app.people.form_in(&workflow.definition, &mut form, register).await?;
            if let Some(submit) = workflow.definition.submit_node() {
                form::with_defaults(&workflow.definition, submit, &mut form, &Ticket::default());
            }
        }
        Ok(form)
    };
    let mut considered = draft(app.people.find(&by).await?, agent(false).await?, filled(false).await?);
    extras.put(&asked, &mut considered, false).await?;
    desk::consider(app, &considered).await?;
    // Everything is accepted: now people are registered.
    let (form, creator) = (filled(true).await?, app.people.pid(&by).await?);
    let mut open = draft(creator.clone(), agent(true).await?, form);
    extras.put(&asked, &mut open, true).await?;
    open.attention = asked.flag("attention", false)?;
    open.from = from;
    let outcome = desk::open(app, open, &asked.meta(creator.clone()), key).await?;
    desk::await_card(app, outcome.position).await;
    if let Ok(user) = asked.user() {
        let drafter = app.people.find(user).await?;
        drafts::sent(app, &drafter, &Sheet::Service(service), &asked.meta(drafter.clone())).await;
    }
    let opened = outcome.state.opened.as_ref().ok_or_else(|| Problem::conflict("the ticket was not opened"))?;
    Ok(opened_answer(&opened.sn, opened.id, app))
}

fn opened_answer(sn: &TicketSn, id: i64, app: &crate::App) -> Response {
    let body = json!({ "sn": sn, "id": id, "url": render::ticket_url(&app.settings, id) });
    (StatusCode::CREATED, [(header::LOCATION, format!("/v1/tickets/{sn}"))], Json(body)).into_response()
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
            let wrong = || Problem::malformed(&format!("/processors/{node}"), "it is not an array of user names under the id of a node");
            let id = node.parse().map(NodeId).map_err(|_| wrong())?;
            let names = names.as_array().ok_or_else(wrong)?;
            let name = |name: &Value| name.as_str().filter(|name| is_name(name)).map(str::to_owned).ok_or_else(wrong);
            processors.insert(id, names.iter().map(name).collect::<Result<_, _>>()?);
        }
        let envs = object(asked, "envs")?;
        if envs.is_some_and(|envs| envs.len() > ENVS_MAX) {
            return Err(Problem::malformed("/envs", format!("it holds more than {ENVS_MAX} variables")));
        }
        let dynamic_fields = match asked.body.get("dynamic_fields") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => extras::dynamic_fields(items).map_err(|unfit| match unfit {
                Unfit::TooMany(most) => Problem::malformed("/dynamic_fields", format!("it holds more than {most} fields")),
                Unfit::Name(at) => Problem::malformed(&format!("/dynamic_fields/{at}/name"), "it does not have 1 to 32 characters"),
                Unfit::Kind(at, kind) => Problem::malformed(&format!("/dynamic_fields/{at}/type"), format!("{kind:?} is none of STRING, INT, LINK")),
                Unfit::Value(at) => Problem::malformed(&format!("/dynamic_fields/{at}/value"), "it is longer than 255 characters"),
                Unfit::Link(at) => Problem::malformed(&format!("/dynamic_fields/{at}/value"), "it is an address that does something else than open a page"),
            })?,
            Some(_) => return Err(Problem::malformed("/dynamic_fields", "it is not an array")),
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
            Some(_) => return Err(Problem::malformed("/callback/headers", "it is not an object of texts")),
        };
        let receiver = Receiver { url, headers };
        let host = extras::callback_host(&asked.app, &receiver).map_err(unfit_receiver)?;
        let on_status = match callback.get("on_status") {
            None | Some(Value::Null) => asked.caller.hears_status,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => return Err(Problem::malformed("/callback/on_status", "it is neither true nor false")),
        };
        Ok(Some((Callback { host, secret: String::new(), on_status }, receiver)))
    }

    /// Puts it all into what is to be opened; people and the receiver are kept only `for_good`.
    async fn put(&self, asked: &Asked, open: &mut Open, for_good: bool) -> Result<(), Problem> {
        for (node, names) in &self.processors {
            let mut people = Vec::new();
            for name in names {
                people.push(asked.app.people.known(name, for_good).await?);
            }
            open.chosen_processors.insert(*node, people);
        }
        open.dynamic_fields.clone_from(&self.dynamic_fields);
        open.envs.clone_from(&self.envs);
        if let Some((callback, receiver)) = &self.callback {
            let mut callback = callback.clone();
            if for_good {
                extras::keep_receiver(&asked.app, &mut callback, receiver).await?;
            }
            open.callback = Some(callback);
        }
        Ok(())
    }
}

/// What is wrong with a receiver, by the member that holds it.
fn unfit_receiver(unfit: UnfitReceiver) -> Problem {
    let header = |name: &str, detail: String| Problem::malformed(&format!("/callback/headers/{}", name.replace('~', "~0").replace('/', "~1")), detail);
    match unfit {
        UnfitReceiver::Address => Problem::malformed("/callback/url", "it is not an http(s) address"),
        UnfitReceiver::Closed(host) => {
            Problem::malformed("/callback/url", format!("this desk may not call {host}; the operator opens addresses with --egress"))
        }
        UnfitReceiver::TooManyHeaders(most) => Problem::malformed("/callback/headers", format!("it holds more than {most} headers")),
        UnfitReceiver::HeadersTooLong(most) => Problem::malformed("/callback/headers", format!("its names and values have more than {most} bytes")),
        UnfitReceiver::HeaderName(name) => header(&name, format!("{name:?} is not the name of a header")),
        UnfitReceiver::HeaderReserved(name) => header(&name, format!("header {name} is set by the desk and must not be given")),
        UnfitReceiver::HeaderValue(name) => header(&name, format!("the value of header {name} holds a line break or control character, or is too long")),
    }
}

/// A member of the body that is an object; absent or null is none.
fn object<'a>(asked: &'a Asked, key: &str) -> Result<Option<&'a Map<String, Value>>, Problem> {
    match asked.body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Problem::malformed(&format!("/{key}"), "it is not an object")),
    }
}

//! Every operation of `/v1` with the members of its body and the parameters of its query. Requests are checked against this table before a handler sees them, and
//! `/openapi.json` is made from it; an operation that is not here is not answered.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::definition::{OPTIONS, SHARED_FIELD, WORKFLOW};
use super::problem::Problem;
use super::shape::{COUNT, FORM, Flaw, INTEGER, Member, NAMES, Shape, optional, quoted, required, unless};

/// Tickets and calls on one page.
pub(super) const PAGE_SIZE_MAX: usize = 200;
/// The last page that a list is asked for.
pub(super) const PAGES_MAX: usize = 1_000_000;

/// How an operation takes its input, and what it answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Read,
    /// Acts on a ticket, perhaps only at a version of it.
    Acts(&'static [Member]),
    /// Takes a body of these members.
    Takes(&'static [Member]),
    Removes,
    /// Takes bytes: a form of files, or the file itself.
    Upload,
    /// Answers bytes.
    Download,
}

/// The value of a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, between commas.
    Words(&'static [&'static str]),
    /// Texts between commas.
    Texts,
    /// Integers between commas.
    Integers,
    /// A number from the first to the second.
    Number(usize, usize),
    /// A time with its offset (RFC 3339).
    Time,
}

/// One parameter of a query.
pub(super) type Parameter = (&'static str, Asks);

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) kind: Kind,
    pub(super) query: &'static [Parameter],
}

const fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "GET", path, summary, kind: Kind::Read, query: &[] }
}

const fn list(path: &'static str, summary: &'static str, query: &'static [Parameter]) -> Operation {
    Operation { method: "GET", path, summary, kind: Kind::Read, query }
}

const fn post(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    Operation { method: "POST", path, summary, kind: Kind::Takes(members), query: &[] }
}

const fn put(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    Operation { method: "PUT", path, summary, kind: Kind::Takes(members), query: &[] }
}

const fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "DELETE", path, summary, kind: Kind::Removes, query: &[] }
}

const fn act(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    Operation { method: "POST", path, summary, kind: Kind::Acts(members), query: &[] }
}

const KINDS: &[&str] = &["request", "change", "event", "question"];
/// The lists of a person, and the list of all tickets.
const LISTS: &[&str] = &["all", "todo", "claim", "approval", "created", "dealt", "following"];
/// To whom a service is shown (reference/bk-itsm.md 13).
const DISPLAY_TYPES: Shape = Shape::Words(&["OPEN", "GENERAL", "CMDB", "ORGANIZATION", "PERSON", "INVISIBLE", "API"]);
const RELATIONS: Shape = Shape::Words(&["related", "raised", "raised_from", "parent_of", "child_of"]);
/// Priorities by urgency (rows) and impact (columns).
const PRIORITIES: Shape = Shape::Own {
    fits: |value| value.is_null() || is_matrix(value),
    what: "three rows (by urgency) of three priorities (by impact), each 1 to 3, or null",
    schema: || {
        let row = json!({ "type": "array", "minItems": 3, "maxItems": 3, "items": { "type": "integer", "minimum": 1, "maximum": 3 } });
        json!({ "type": ["array", "null"], "minItems": 3, "maxItems": 3, "items": row })
    },
};

fn is_matrix(value: &Value) -> bool {
    let is_priority = |value: &Value| value.as_i64().is_some_and(|priority| (1..=3).contains(&priority));
    let is_row = |row: &Value| row.as_array().is_some_and(|row| row.len() == 3 && row.iter().all(is_priority));
    value.as_array().is_some_and(|rows| rows.len() == 3 && rows.iter().all(is_row))
}

const CALLBACK: &[Member] = &[required("url", Shape::Text), optional("headers", Shape::Map(&Shape::Text)), optional("on_status", Shape::Flag)];
const DYNAMIC_FIELD: &[Member] =
    &[required("name", Shape::Text), required("type", Shape::Words(&["STRING", "INT", "LINK"])), required("value", Shape::Plain), optional("meta", Shape::Any)];
const TICKET: &[Member] = &[
    required("service_id", INTEGER),
    optional("creator", Shape::Text),
    optional("fields", FORM),
    optional("tag", Shape::Text),
    optional("from", Shape::Text),
    optional("attention", Shape::Flag),
    optional("callback", Shape::Object(CALLBACK)),
    optional("processors", Shape::Map(&NAMES)),
    optional("dynamic_fields", Shape::List(&Shape::Object(DYNAMIC_FIELD))),
    optional("envs", Shape::Map(&Shape::Plain)),
];
const DECISION: &[Member] = &[required("sn", Shape::Text), required("node", INTEGER), required("pass", Shape::Flag), optional("message", Shape::Text)];
const TARGET: &[Member] = &[optional("people", NAMES), optional("roles", Shape::List(&INTEGER)), optional("department", Shape::Text)];
const NODE: Member = optional("node", INTEGER);
const TO: Member = required("to", Shape::Object(TARGET));
const MESSAGE: Member = optional("message", Shape::Text);
const REASON: Member = required("message", Shape::Text);
const VALUES: Member = optional("values", Shape::Map(&Shape::Plain));
const FIELDS: Member = optional("fields", FORM);
const WHOLE_FORM: Member = required("fields", FORM);
const PEOPLE: Member = optional("people", NAMES);
const OTHER: Member = required("other", Shape::Text);
const PASS: Member = required("pass", Shape::Flag);
const STATUS: Member = required("status", Shape::Text);
const LINE: Member = required("line", INTEGER);
const TEXT: Member = required("text", Shape::Text);
const PARENT: Member = optional("parent", COUNT);
const INTERNAL: Member = optional("internal", Shape::Flag);
const STARS: Member = required("stars", INTEGER);
const RELATION: Member = required("relation", RELATIONS);
const FIELD: Member = required("field", Shape::Text);
const NAME: Member = required("name", Shape::Text);
const NEW_NAME: Member = optional("name", Shape::Text);
const PARTS: Member = required("parts", Shape::List(&Shape::Text));
const MEDIA_TYPE: Member = optional("media_type", Shape::Text);
const SERVICE_ID: Member = required("service_id", INTEGER);
const DECISIONS: Member = required("decisions", Shape::List(&Shape::Object(DECISION)));
const DEFINITION: Member = required("definition", WORKFLOW);
const FILE: Member = required("workflow", Shape::Given);
const ABOVE: Member = required("parent", INTEGER);
const NEW_ABOVE: Member = optional("parent", INTEGER);
const DESC: Member = optional("desc", Shape::Text);
const CODE: Member = optional("code", Shape::Text);
const KEY: Member = optional("key", Shape::Text);
const IS_ENABLED: Member = optional("is_enabled", Shape::Flag);
const ITEMS: Member = optional("items", OPTIONS);
const MEMBERS: Member = optional("members", NAMES);
const SECRET: Member = optional("secret", Shape::Text);
const SPEAKS_FOR_USERS: Member = optional("speaks_for_users", Shape::Flag);
const HEARS_STATUS: Member = optional("hears_status", Shape::Flag);
const DRY_RUN: Member = optional("dry_run", Shape::Flag);

/// What a service is besides its kind and name.
macro_rules! service {
    ($($own:expr),*) => {
        &[
            $($own,)*
            optional("desc", Shape::Text),
            optional("is_enabled", Shape::Flag),
            optional("owners", NAMES),
            optional("catalog", Shape::Nullable(&INTEGER)),
            optional("workflow_file", Shape::Given),
            optional("display_type", DISPLAY_TYPES),
            optional("display_roles", Shape::List(&Shape::Text)),
            optional("seals_text", Shape::Flag),
            optional("can_ticket_agency", Shape::Flag),
            optional("rate_after_days", Shape::Nullable(&DAYS)),
            optional("priorities", PRIORITIES),
        ]
    };
}
const DAYS: Shape = Shape::Integer(0, 65_535);
const KIND_OF_SERVICE: Shape = Shape::Words(KINDS);
/// A new service; BlueKing calls its kind the key.
const NEW_SERVICE: &[Member] = service![
    unless("key", "kind", KIND_OF_SERVICE),
    optional("key", KIND_OF_SERVICE),
    required("name", Shape::Text),
    unless("workflow_file", "workflow", INTEGER),
    unless("workflow_file", "version", INTEGER)
];
/// A service that exists: its kind does not change.
const SERVICE: &[Member] = service![optional("name", Shape::Text), optional("workflow", INTEGER), optional("version", INTEGER)];

const PAGE: Parameter = ("page", Asks::Number(1, PAGES_MAX));
const PAGE_SIZE: Parameter = ("page_size", Asks::Number(1, PAGE_SIZE_MAX));

/// The operations.
pub(super) const OPERATIONS: &[Operation] = &[
    list(
        "/v1/tickets",
        "lists tickets, newest first, by list, service, kind, status, creator, catalog, tag and time",
        &[
            ("list", Asks::Word(LISTS)),
            ("user", Asks::Text),
            ("service", Asks::Integers),
            ("kind", Asks::Words(KINDS)),
            ("status", Asks::Texts),
            ("creator", Asks::Text),
            ("catalog", Asks::Integers),
            ("bk_biz_id", Asks::Integers),
            ("tag", Asks::Text),
            ("created_after", Asks::Time),
            ("created_before", Asks::Time),
            PAGE,
            PAGE_SIZE,
        ],
    ),
    post("/v1/tickets", "submits a ticket", TICKET),
    get("/v1/tickets/{sn}", "shows a ticket"),
    list("/v1/tickets/{sn}/events", "every event of a ticket", &[("at", Asks::Time)]),
    list("/v1/tickets/{sn}/remarks", "remarks, oldest first", &[("after", Asks::Number(0, usize::MAX))]),
    get("/v1/tickets/{sn}/calls", "calls of automatic nodes, with every attempt"),
    act("/v1/tickets/{sn}/submit", "submit a ticket", &[NODE, FIELDS, MESSAGE]),
    act("/v1/tickets/{sn}/decide", "decide a ticket", &[NODE, PASS, MESSAGE]),
    act("/v1/tickets/{sn}/claim", "claim a ticket", &[NODE, MESSAGE]),
    act("/v1/tickets/{sn}/distribute", "distribute a ticket", &[NODE, TO, MESSAGE]),
    act("/v1/tickets/{sn}/deliver", "deliver a ticket", &[NODE, TO, REASON]),
    act("/v1/tickets/{sn}/reassign", "reassign a ticket", &[NODE, TO, MESSAGE]),
    act("/v1/tickets/{sn}/terminate", "terminate a ticket", &[NODE, REASON]),
    act("/v1/tickets/{sn}/suspend", "suspend a ticket", &[REASON]),
    act("/v1/tickets/{sn}/resume", "resume a ticket", &[MESSAGE]),
    act("/v1/tickets/{sn}/withdraw", "withdraw a ticket", &[MESSAGE]),
    act("/v1/tickets/{sn}/close", "close a ticket", &[STATUS, MESSAGE]),
    act("/v1/tickets/{sn}/retry", "retry a ticket", &[NODE, VALUES, MESSAGE]),
    act("/v1/tickets/{sn}/ignore", "ignore a ticket", &[NODE, VALUES, MESSAGE]),
    act("/v1/tickets/{sn}/route", "route a ticket", &[NODE, LINE, MESSAGE]),
    act("/v1/tickets/{sn}/acknowledge", "acknowledge a ticket", &[NODE, MESSAGE]),
    act("/v1/tickets/{sn}/resolve", "resolve a ticket", &[FIELDS, MESSAGE]),
    act("/v1/tickets/{sn}/escalate", "escalate a ticket", &[NODE, MESSAGE]),
    act("/v1/tickets/{sn}/edit", "edit a ticket", &[WHOLE_FORM]),
    act("/v1/tickets/{sn}/remark", "remark a ticket", &[TEXT, PARENT, PEOPLE, INTERNAL]),
    act("/v1/tickets/{sn}/follow", "follow a ticket", &[PEOPLE]),
    act("/v1/tickets/{sn}/unfollow", "unfollow a ticket", &[PEOPLE]),
    act("/v1/tickets/{sn}/rate", "rate a ticket", &[STARS, MESSAGE]),
    act("/v1/tickets/{sn}/remind", "remind a ticket", &[MESSAGE]),
    act("/v1/tickets/{sn}/link", "link a ticket", &[OTHER, RELATION]),
    act("/v1/tickets/{sn}/unlink", "unlink a ticket", &[OTHER]),
    list(
        "/v1/calls",
        "calls of all tickets, newest first, all or those that failed; for superusers",
        &[("state", Asks::Word(&["all", "failed"])), PAGE, PAGE_SIZE],
    ),
    get("/v1/tickets/{sn}/nodes/{node}/form", "the form of a node, with its values"),
    post("/v1/tickets/{sn}/nodes/{node}/options", "the options of a field", &[FIELD, FIELDS]),
    Operation {
        method: "POST",
        path: "/v1/attachments",
        summary: "uploads files",
        kind: Kind::Upload,
        query: &[("name", Asks::Text), ("for", Asks::Word(&["workflow"]))],
    },
    get("/v1/attachments/{attachment}", "name, type and size of a file"),
    delete("/v1/attachments/{attachment}", "deletes a file that nothing holds"),
    Operation {
        method: "GET",
        path: "/v1/attachments/{attachment}/content",
        summary: "the bytes of a file, or a range of them",
        kind: Kind::Download,
        query: &[],
    },
    post("/v1/uploads", "begins an upload in parts", &[NAME]),
    Operation { method: "PUT", path: "/v1/uploads/{attachment}/{part}", summary: "stores one part", kind: Kind::Upload, query: &[] },
    post("/v1/uploads/{attachment}/complete", "completes an upload by the tags of its parts", &[PARTS, MEDIA_TYPE]),
    get("/v1/drafts", "forms that were not sent"),
    get("/v1/drafts/services/{id}", "the draft of a ticket of a service"),
    put("/v1/drafts/services/{id}", "keeps it", &[WHOLE_FORM]),
    delete("/v1/drafts/services/{id}", "deletes the draft"),
    get("/v1/drafts/tickets/{sn}/{node}", "the draft of a node's form"),
    put("/v1/drafts/tickets/{sn}/{node}", "keeps it", &[WHOLE_FORM]),
    delete("/v1/drafts/tickets/{sn}/{node}", "deletes the draft"),
    list("/v1/templates", "forms that are kept under a name", &[("service", Asks::Integers)]),
    post("/v1/templates", "keeps a form under a name", &[SERVICE_ID, NAME, WHOLE_FORM]),
    get("/v1/templates/{template}", "one template"),
    put("/v1/templates/{template}", "changes it", &[NEW_NAME, FIELDS]),
    delete("/v1/templates/{template}", "deletes the template"),
    post("/v1/decisions", "decides many approvals", &[DECISIONS]),
    get("/v1/workflows", "lists workflows"),
    post("/v1/workflows", "draws a workflow", &[DEFINITION]),
    post("/v1/workflows/import", "takes over a workflow of BlueKing ITSM", &[FILE]),
    get("/v1/workflows/{id}", "shows a workflow with its draft"),
    put("/v1/workflows/{id}/draft", "keeps a draft", &[DEFINITION]),
    post("/v1/workflows/{id}/deploy", "makes the next version", &[]),
    post("/v1/workflows/{id}/close", "lets no new service use it", &[]),
    post("/v1/workflows/{id}/reopen", "lets services use it again", &[]),
    get("/v1/workflows/{id}/versions/{version}", "shows a version"),
    delete("/v1/workflows/{id}/versions/{version}", "takes a version off the list"),
    get("/v1/workflows/{id}/versions/{version}/export", "a version as BlueKing ITSM exports it"),
    post("/v1/workflows/{id}/versions/{version}/restore", "makes the draft what a version was", &[]),
    get("/v1/services", "lists services"),
    post("/v1/services", "adds a service for a deployed workflow, or takes one over with its workflow", NEW_SERVICE),
    get("/v1/services/{id}", "shows a service"),
    get("/v1/services/{id}/form", "the form with which a ticket is submitted"),
    post("/v1/services/{id}/options", "the options of a field", &[FIELD, FIELDS]),
    put("/v1/services/{id}", "changes or moves a service", SERVICE),
    delete("/v1/services/{id}", "takes a service off the list that is in no catalog"),
    get("/v1/catalog", "the catalog tree"),
    post("/v1/catalog", "adds a catalog", &[ABOVE, NAME, DESC]),
    get("/v1/catalog/{id}", "shows a catalog with its services"),
    put("/v1/catalog/{id}", "changes or moves a catalog", &[NEW_ABOVE, NEW_NAME, DESC]),
    delete("/v1/catalog/{id}", "removes an empty catalog"),
    get("/v1/dictionary", "every dictionary"),
    get("/v1/dictionary/{code}", "one dictionary"),
    put("/v1/dictionary/{code}", "defines a dictionary", &[CODE, NEW_NAME, IS_ENABLED, ITEMS]),
    delete("/v1/dictionary/{code}", "takes a dictionary off the list that no workflow uses"),
    get("/v1/fields", "the library of shared fields"),
    get("/v1/fields/{key}", "one shared field"),
    put("/v1/fields/{key}", "defines a shared field", SHARED_FIELD),
    delete("/v1/fields/{key}", "takes it out of the library"),
    get("/v1/apps", "lists the apps that may call; for superusers"),
    get("/v1/apps/{app}", "shows an app"),
    put("/v1/apps/{app}", "registers or changes an app; without a secret the desk makes one", &[NEW_NAME, SECRET, SPEAKS_FOR_USERS, HEARS_STATUS]),
    post("/v1/apps/{app}/disable", "lets an app not call any more", &[]),
    post("/v1/apps/{app}/enable", "lets an app call again", &[]),
    post(
        "/v1/people/{person}/forget",
        "erases a person, by user name or person id, and reports what remains; with dry_run only reports; for superusers",
        &[DRY_RUN],
    ),
    get("/v1/roles", "every role with its members"),
    get("/v1/roles/{id}", "one role with its members"),
    put("/v1/roles/{id}", "defines a role", &[KEY, NEW_NAME, MEMBERS]),
    delete("/v1/roles/{id}", "takes a role off the list that no workflow uses"),
];

/// The operation that a method and a path (below `/v1`) name.
pub(super) fn find(method: &Method, parts: &[&str]) -> Result<&'static Operation, Problem> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let here: Vec<&Operation> = OPERATIONS.iter().filter(|operation| is_at(operation.path, parts)).collect();
    // A path that is written out is meant before one with a parameter in its place.
    let named = |operation: &&&Operation| operation.method == method;
    if let Some(operation) = here.iter().filter(named).min_by_key(|operation| operation.path.matches('{').count()) {
        return Ok(*operation);
    }
    match parts {
        [] => {}
        _ if !here.is_empty() => {
            let mut allowed: Vec<&str> = here.iter().map(|operation| operation.method).collect();
            allowed.dedup();
            return Err(Problem::method_of(format!("{method} is not for this path; it takes {}", allowed.join(", ")), &allowed));
        }
        ["tickets", _, operation] if method == "POST" => return Err(Problem::not_found(format!("there is no operation {}", quoted(operation)))),
        _ => {}
    }
    Err(Problem::not_found("there is nothing at this path"))
}

fn is_at(path: &str, parts: &[&str]) -> bool {
    let template: Vec<&str> = path.split('/').skip(2).collect();
    template.len() == parts.len()
        && template.iter().zip(parts).all(|(template, part)| if template.starts_with('{') { !part.is_empty() } else { template == part })
}

/// Everything that is wrong with a query: parameters that the operation does not have or that are given twice, and values that are none.
pub(super) fn flaws(parameters: &[Parameter], query: &Map<String, Value>) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (name, value) in query {
        let field = quoted(name);
        let detail = match (parameters.iter().find(|(known, _)| known == name), value) {
            (None, _) => {
                let known: Vec<&str> = parameters.iter().map(|(known, _)| *known).collect();
                let known = if known.is_empty() { "this operation has no parameters".to_owned() } else { format!("known are {}", known.join(", ")) };
                Some(format!("`{field}` is not a known parameter; {known}"))
            }
            (Some((_, asks)), Value::String(text)) if asks.takes(text) => None,
            (Some((_, asks)), Value::String(text)) => Some(format!("`{field}` must be {}, not {:?}", asks.what(), quoted(text))),
            (Some(_), _) => Some(format!("`{field}` is given more than once")),
        };
        flaws.extend(detail.map(|detail| Flaw { field, detail }));
    }
    flaws
}

impl Asks {
    fn takes(&self, text: &str) -> bool {
        let parts = || text.split(',').map(str::trim);
        match self {
            Self::Text => !text.trim().is_empty(),
            Self::Word(words) => words.contains(&text),
            Self::Words(words) => parts().all(|part| words.contains(&part)),
            Self::Texts => parts().all(|part| !part.is_empty()),
            Self::Integers => parts().all(|part| part.parse::<i64>().is_ok()),
            Self::Number(least, most) => text.parse::<usize>().is_ok_and(|number| (*least..=*most).contains(&number)),
            Self::Time => instant(text).is_some(),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("some of {}, between commas", words.join(", ")),
            Self::Texts => "texts between commas".into(),
            Self::Integers => "integers between commas".into(),
            Self::Number(least, usize::MAX) => format!("a number from {least}"),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Time => "a time with its offset (RFC 3339), such as 2026-11-22T10:00:00+08:00".into(),
        }
    }

    /// The description of a parameter.
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Words(words) => json!({ "type": "array", "items": { "type": "string", "enum": words } }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Integers => json!({ "type": "array", "items": { "type": "integer" } }),
            Self::Number(least, usize::MAX) => json!({ "type": "integer", "minimum": least }),
            Self::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
        }
    }

    /// Says whether its values are written between commas.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Words(_) | Self::Texts | Self::Integers)
    }
}

/// The instant of a text that names its offset and its second (RFC 3339). A `+` that a query was written with arrives as a blank.
pub(super) fn instant(text: &str) -> Option<jiff::Timestamp> {
    let has_seconds = text.as_bytes().get(16) == Some(&b':');
    let text = if text.contains(['T', 't']) { text.replace(' ', "+") } else { text.to_owned() };
    text.parse().ok().filter(|_| has_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_or_seconds_is_no_instant() {
        for text in ["2026-11-22T02:00:00Z", "2026-11-22T10:00:00+08:00", "2026-11-22T10:00:00 08:00", "2026-11-22T02:00:00.5Z", "2026-11-22 02:00:00Z"] {
            assert!(instant(text).is_some(), "{text}");
        }
        for text in ["2026-11-22T02:00:00", "2026-11-22T02:00Z", "2026-11-22", "yesterday", ""] {
            assert!(instant(text).is_none(), "{text}");
        }
    }

    #[test]
    fn no_operation_is_listed_twice() {
        let mut all: Vec<(&str, &str)> = OPERATIONS.iter().map(|operation| (operation.path, operation.method)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn paths_that_are_written_out_come_before_parameters() {
        let path = |method: &Method, parts: &[&str]| find(method, parts).map(|operation| operation.path).ok();
        assert_eq!(path(&Method::POST, &["workflows", "import"]), Some("/v1/workflows/import"));
        assert_eq!(path(&Method::GET, &["workflows", "7"]), Some("/v1/workflows/{id}"));
        assert_eq!(path(&Method::HEAD, &["tickets", "REQ1"]), Some("/v1/tickets/{sn}"));
        assert_eq!(path(&Method::PATCH, &["tickets", "REQ1"]), None);
        assert_eq!(path(&Method::POST, &["tickets", "REQ1", "dance"]), None);
        assert_eq!(path(&Method::GET, &["tickets", ""]), None);
    }
}

//! The table of `/v1` operations, with the members of their bodies and the parameters of their
//! queries. Requests are checked against this table, and `/openapi.json` is built from it.
//! Operations outside this table do not exist.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::definition::{OPTIONS, SHARED_FIELD, WORKFLOW};
use super::problem::Problem;
use super::shape::{
    COUNT, FLAWS_MAX, FORM, Flaw, INTEGER, Member, NAMES, Shape, optional, quoted, required, unless,
};

/// Largest page of tickets or API calls.
pub(super) const PAGE_SIZE_MAX: usize = 200;
/// Largest page number.
pub(super) const PAGES_MAX: usize = 1_000_000;

/// The kind of input and response of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Read,
    /// Changes a ticket, with these members in the body. `If-Match` can limit it to a version.
    Acts(&'static [Member]),
    /// Accepts a body with these members.
    Takes(&'static [Member]),
    Removes,
    /// Accepts a form of files, or the file itself.
    Upload,
    /// Returns the content of a file.
    Download,
}

/// The type of a query parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, separated by commas.
    Words(&'static [&'static str]),
    /// Texts, separated by commas.
    Texts,
    /// Integers, separated by commas.
    Integers,
    /// A user name.
    Name,
    /// A number between two bounds, both included.
    Number(usize, usize),
    /// A time with its offset (RFC 3339).
    Time,
}

/// The name and type of a query parameter.
pub(super) type Parameter = (&'static str, Asks);

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) kind: Kind,
    pub(super) query: &'static [Parameter],
    /// The statuses of success.
    pub(super) answers: &'static [&'static str],
    /// The response is stored under the idempotency key, because the created object does not
    /// contain the key.
    pub(super) is_kept: bool,
}

const OK: &[&str] = &["200"];
const CREATED: &[&str] = &["201"];
const EMPTY: &[&str] = &["204"];

impl Operation {
    const fn of(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        kind: Kind,
    ) -> Self {
        Self {
            method,
            path,
            summary,
            kind,
            query: &[],
            answers: OK,
            is_kept: false,
        }
    }

    const fn asking(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    const fn answering(self, answers: &'static [&'static str]) -> Self {
        Self { answers, ..self }
    }

    /// Marks an operation that creates an object at each request, except for a repeated idempotency
    /// key.
    const fn creating(self) -> Self {
        Self {
            answers: CREATED,
            is_kept: true,
            ..self
        }
    }

    /// Returns whether the operation accepts an idempotency key.
    pub(super) fn takes_key(&self) -> bool {
        self.is_kept
            || matches!(self.kind, Kind::Acts(_))
            || KEYED.contains(&(self.method, self.path))
    }
}

/// Operations, besides those on tickets, whose created object contains the key.
const KEYED: &[(&str, &str)] = &[
    ("POST", "/v1/tickets"),
    ("POST", "/v1/decisions"),
    ("POST", "/v1/attachments"),
    ("POST", "/v1/uploads"),
];

const fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::of("GET", path, summary, Kind::Read)
}

const fn list(path: &'static str, summary: &'static str, query: &'static [Parameter]) -> Operation {
    Operation::of("GET", path, summary, Kind::Read).asking(query)
}

const fn post(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    Operation::of("POST", path, summary, Kind::Takes(members))
}

const fn put(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    Operation::of("PUT", path, summary, Kind::Takes(members))
}

const fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::of("DELETE", path, summary, Kind::Removes).answering(EMPTY)
}

const fn act(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    Operation::of("POST", path, summary, Kind::Acts(members))
}

const KINDS: &[&str] = &["request", "change", "event", "question"];
/// The ticket lists: all tickets, and the lists of one person.
const LISTS: &[&str] = &[
    "all",
    "todo",
    "claim",
    "approval",
    "created",
    "dealt",
    "following",
];
/// The visibility of a service (reference/bk-itsm.md 13).
const DISPLAY_TYPES: Shape = Shape::Words(&[
    "OPEN",
    "GENERAL",
    "CMDB",
    "ORGANIZATION",
    "PERSON",
    "INVISIBLE",
    "API",
]);
const RELATIONS: Shape =
    Shape::Words(&["related", "raised", "raised_from", "parent_of", "child_of"]);
/// The priority matrix by urgency (rows) and impact (columns).
const PRIORITIES: Shape = Shape::Own {
    fits: |value| value.is_null() || is_matrix(value),
    what: "three rows (by urgency) of three priorities (by impact), each 1 to 3, or null",
    schema: || {
        let row = json!({ "type": "array", "minItems": 3, "maxItems": 3, "items": { "type": "integer", "minimum": 1, "maximum": 3 } });
        json!({ "type": ["array", "null"], "minItems": 3, "maxItems": 3, "items": row })
    },
};

fn is_matrix(value: &Value) -> bool {
    let is_priority = |value: &Value| {
        value
            .as_i64()
            .is_some_and(|priority| (1..=3).contains(&priority))
    };
    let is_row = |row: &Value| {
        row.as_array()
            .is_some_and(|row| row.len() == 3 && row.iter().all(is_priority))
    };
    value
        .as_array()
        .is_some_and(|rows| rows.len() == 3 && rows.iter().all(is_row))
}

const CALLBACK: &[Member] = &[
    required("url", Shape::Text),
    optional("headers", Shape::Map(&Shape::Text)),
    optional("on_status", Shape::Flag),
];
const DYNAMIC_FIELD: &[Member] = &[
    required("name", Shape::Text),
    required("type", Shape::Words(&["STRING", "INT", "LINK"])),
    required("value", Shape::Plain),
    optional("meta", Shape::Any),
];
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
const DECISION: &[Member] = &[
    required("sn", Shape::Text),
    required("node", INTEGER),
    required("pass", Shape::Flag),
    optional("message", Shape::Text),
];
const TARGET: &[Member] = &[
    optional("people", NAMES),
    optional("roles", Shape::List(&INTEGER)),
    optional("department", Shape::Text),
];
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
const TRANSITION: Member = required("transition", INTEGER);
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
const PARENT_CATEGORY: Member = required("parent", INTEGER);
const NEW_PARENT_CATEGORY: Member = optional("parent", INTEGER);
const DESC: Member = optional("desc", Shape::Text);
const CODE: Member = optional("code", Shape::Text);
const KEY: Member = optional("key", Shape::Text);
const IS_ENABLED: Member = optional("is_enabled", Shape::Flag);
const ITEMS: Member = optional("items", OPTIONS);
const MEMBERS: Member = optional("members", NAMES);
const SECRET: Member = optional("secret", Shape::Text);
const MAY_IMPERSONATE: Member = optional("may_impersonate", Shape::Flag);
const STATUS_CALLBACKS: Member = optional("status_callbacks", Shape::Flag);
const DRY_RUN: Member = optional("dry_run", Shape::Flag);

/// Members of a service, besides kind and name.
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
/// A new service. `key` is BlueKing's name for `kind`.
const NEW_SERVICE: &[Member] = service![
    unless("key", "kind", KIND_OF_SERVICE),
    optional("key", KIND_OF_SERVICE),
    required("name", Shape::Text),
    unless("workflow_file", "workflow", INTEGER),
    unless("workflow_file", "version", INTEGER)
];
/// An existing service. Its kind cannot change.
const SERVICE: &[Member] = service![
    optional("name", Shape::Text),
    optional("workflow", INTEGER),
    optional("version", INTEGER)
];

const PAGE: Parameter = ("page", Asks::Number(1, PAGES_MAX));
const PAGE_SIZE: Parameter = ("page_size", Asks::Number(1, PAGE_SIZE_MAX));

/// All operations.
pub(super) const OPERATIONS: &[Operation] = &[
    list(
        "/v1/tickets",
        "lists tickets, newest first, by list, service, kind, status, creator, catalog, tag and time",
        &[
            ("list", Asks::Word(LISTS)),
            ("user", Asks::Name),
            ("service", Asks::Integers),
            ("kind", Asks::Words(KINDS)),
            ("status", Asks::Texts),
            ("creator", Asks::Name),
            ("catalog", Asks::Integers),
            ("bk_biz_id", Asks::Integers),
            ("tag", Asks::Text),
            ("created_after", Asks::Time),
            ("created_before", Asks::Time),
            PAGE,
            PAGE_SIZE,
        ],
    ),
    post("/v1/tickets", "submits a ticket", TICKET).answering(CREATED),
    get("/v1/tickets/{sn}", "shows a ticket"),
    list(
        "/v1/tickets/{sn}/events",
        "lists the events of a ticket",
        &[("at", Asks::Time)],
    ),
    list(
        "/v1/tickets/{sn}/remarks",
        "lists remarks, oldest first",
        &[("after", Asks::Number(0, usize::MAX))],
    ),
    get(
        "/v1/tickets/{sn}/api-calls",
        "lists the API calls of automatic nodes, with their attempts",
    ),
    act(
        "/v1/tickets/{sn}/submit",
        "submits the form of a node",
        &[NODE, FIELDS, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/decide",
        "decides an approval",
        &[NODE, PASS, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/claim",
        "claims a node that is assigned to a group",
        &[NODE, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/distribute",
        "assigns a node to members of a group",
        &[NODE, TO, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/deliver",
        "transfers a node to other processors",
        &[NODE, TO, REASON],
    ),
    act(
        "/v1/tickets/{sn}/reassign",
        "assigns a node to other processors, by a manager",
        &[NODE, TO, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/terminate",
        "ends a ticket at a node",
        &[NODE, REASON],
    ),
    act("/v1/tickets/{sn}/suspend", "suspends a ticket", &[REASON]),
    act(
        "/v1/tickets/{sn}/resume",
        "resumes a suspended ticket",
        &[MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/withdraw",
        "withdraws a ticket, by its creator",
        &[MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/close",
        "ends a ticket with a status, by a manager",
        &[STATUS, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/retry",
        "repeats the API call of a failed automatic node",
        &[NODE, VALUES, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/ignore",
        "skips a failed automatic node",
        &[NODE, VALUES, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/route",
        "continues a ticket from a failed node along a transition",
        &[NODE, TRANSITION, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/acknowledge",
        "confirms that a node is being handled",
        &[NODE, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/resolve",
        "submits or approves the node that waits for the caller",
        &[FIELDS, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/escalate",
        "escalates a node to the leaders of its processors",
        &[NODE, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/edit",
        "changes fields of a ticket",
        &[WHOLE_FORM],
    ),
    act(
        "/v1/tickets/{sn}/remark",
        "adds a remark",
        &[TEXT, PARENT, PEOPLE, INTERNAL],
    ),
    act(
        "/v1/tickets/{sn}/follow",
        "adds followers, by default the caller",
        &[PEOPLE],
    ),
    act(
        "/v1/tickets/{sn}/unfollow",
        "removes followers, by default the caller",
        &[PEOPLE],
    ),
    act(
        "/v1/tickets/{sn}/rate",
        "rates a finished ticket, by its creator",
        &[STARS, MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/remind",
        "reminds the processors",
        &[MESSAGE],
    ),
    act(
        "/v1/tickets/{sn}/link",
        "links two tickets",
        &[OTHER, RELATION],
    ),
    act(
        "/v1/tickets/{sn}/unlink",
        "removes the link between two tickets",
        &[OTHER],
    ),
    list(
        "/v1/api-calls",
        "lists the API calls of all tickets, or only failed ones, newest first; for superusers",
        &[("state", Asks::Word(&["all", "failed"])), PAGE, PAGE_SIZE],
    ),
    get(
        "/v1/tickets/{sn}/nodes/{node}/form",
        "shows the form of a node, with its values",
    ),
    post(
        "/v1/tickets/{sn}/nodes/{node}/options",
        "shows the options of a field",
        &[FIELD, FIELDS],
    ),
    Operation::of("POST", "/v1/attachments", "uploads files", Kind::Upload)
        .asking(&[("name", Asks::Text), ("for", Asks::Word(&["workflow"]))])
        .answering(CREATED),
    get(
        "/v1/attachments/{attachment}",
        "shows name, type and size of a file",
    ),
    delete(
        "/v1/attachments/{attachment}",
        "deletes a file that no ticket or workflow uses",
    ),
    Operation::of(
        "GET",
        "/v1/attachments/{attachment}/content",
        "downloads a file, or a range of its bytes",
        Kind::Download,
    )
    .answering(&["200", "206"]),
    post("/v1/uploads", "starts an upload in parts", &[NAME]).answering(CREATED),
    Operation::of(
        "PUT",
        "/v1/uploads/{attachment}/{part}",
        "uploads one part",
        Kind::Upload,
    ),
    post(
        "/v1/uploads/{attachment}/complete",
        "completes an upload by the tags of its parts",
        &[PARTS, MEDIA_TYPE],
    ),
    get("/v1/drafts", "lists the caller's drafts"),
    get(
        "/v1/drafts/services/{id}",
        "shows the draft of a new ticket of a service",
    ),
    put("/v1/drafts/services/{id}", "saves the draft", &[WHOLE_FORM]).answering(EMPTY),
    delete("/v1/drafts/services/{id}", "deletes the draft"),
    get(
        "/v1/drafts/tickets/{sn}/{node}",
        "shows the draft of a node's form",
    ),
    put(
        "/v1/drafts/tickets/{sn}/{node}",
        "saves the draft",
        &[WHOLE_FORM],
    )
    .answering(EMPTY),
    delete("/v1/drafts/tickets/{sn}/{node}", "deletes the draft"),
    list(
        "/v1/templates",
        "lists the caller's templates",
        &[("service", Asks::Integers)],
    ),
    post(
        "/v1/templates",
        "saves a form as a template",
        &[SERVICE_ID, NAME, WHOLE_FORM],
    )
    .creating(),
    get("/v1/templates/{template}", "shows a template"),
    put(
        "/v1/templates/{template}",
        "changes a template",
        &[NEW_NAME, FIELDS],
    )
    .answering(EMPTY),
    delete("/v1/templates/{template}", "deletes a template"),
    post("/v1/decisions", "decides several approvals", &[DECISIONS]),
    get("/v1/workflows", "lists workflows"),
    post(
        "/v1/workflows",
        "creates a workflow with a draft",
        &[DEFINITION],
    )
    .creating(),
    post(
        "/v1/workflows/import",
        "imports a workflow of BlueKing ITSM",
        &[FILE],
    )
    .creating(),
    get("/v1/workflows/{id}", "shows a workflow with its draft"),
    put("/v1/workflows/{id}/draft", "saves the draft", &[DEFINITION]),
    post(
        "/v1/workflows/{id}/deploy",
        "deploys the draft as the next version",
        &[],
    )
    .creating(),
    post(
        "/v1/workflows/{id}/close",
        "closes a workflow to new services",
        &[],
    )
    .answering(EMPTY),
    post(
        "/v1/workflows/{id}/reopen",
        "reopens a workflow to new services",
        &[],
    )
    .answering(EMPTY),
    get("/v1/workflows/{id}/versions/{version}", "shows a version"),
    delete(
        "/v1/workflows/{id}/versions/{version}",
        "removes a version from the list",
    ),
    get(
        "/v1/workflows/{id}/versions/{version}/export",
        "exports a version in the format of BlueKing ITSM",
    ),
    post(
        "/v1/workflows/{id}/versions/{version}/restore",
        "replaces the draft by a version",
        &[],
    )
    .answering(EMPTY),
    get("/v1/services", "lists services"),
    post(
        "/v1/services",
        "adds a service for a deployed workflow, or imports it with its workflow",
        NEW_SERVICE,
    )
    .creating(),
    get("/v1/services/{id}", "shows a service"),
    get("/v1/services/{id}/form", "shows the form of a new ticket"),
    post(
        "/v1/services/{id}/options",
        "shows the options of a field",
        &[FIELD, FIELDS],
    ),
    put("/v1/services/{id}", "changes or moves a service", SERVICE),
    delete(
        "/v1/services/{id}",
        "deletes a service that is in no catalog category",
    ),
    get("/v1/catalog", "shows the catalog tree"),
    post(
        "/v1/catalog",
        "adds a category to the catalog",
        &[PARENT_CATEGORY, NAME, DESC],
    )
    .creating(),
    get("/v1/catalog/{id}", "shows a category with its services"),
    put(
        "/v1/catalog/{id}",
        "changes or moves a category",
        &[NEW_PARENT_CATEGORY, NEW_NAME, DESC],
    )
    .answering(EMPTY),
    delete("/v1/catalog/{id}", "deletes an empty category"),
    get("/v1/dictionary", "lists dictionaries"),
    get("/v1/dictionary/{code}", "shows a dictionary"),
    put(
        "/v1/dictionary/{code}",
        "defines a dictionary",
        &[CODE, NEW_NAME, IS_ENABLED, ITEMS],
    ),
    delete(
        "/v1/dictionary/{code}",
        "deletes a dictionary that no workflow uses",
    ),
    get("/v1/fields", "lists the shared fields"),
    get("/v1/fields/{key}", "shows a shared field"),
    put("/v1/fields/{key}", "defines a shared field", SHARED_FIELD),
    delete("/v1/fields/{key}", "deletes a shared field"),
    get("/v1/apps", "lists apps; for superusers"),
    get("/v1/apps/{app}", "shows an app"),
    put(
        "/v1/apps/{app}",
        "registers or changes an app; a new app without a secret gets a generated one",
        &[NEW_NAME, SECRET, MAY_IMPERSONATE, STATUS_CALLBACKS],
    )
    .answering(&["200", "201"]),
    post("/v1/apps/{app}/disable", "disables an app", &[]).answering(EMPTY),
    post("/v1/apps/{app}/enable", "enables an app", &[]).answering(EMPTY),
    post(
        "/v1/people/{person}/forget",
        "erases a person, by user name or person id, and reports the remaining data; with dry_run only reports; for superusers",
        &[DRY_RUN],
    ),
    get("/v1/roles", "lists roles with their members"),
    get("/v1/roles/{id}", "shows a role with its members"),
    put(
        "/v1/roles/{id}",
        "defines a role",
        &[KEY, NEW_NAME, MEMBERS],
    )
    .answering(EMPTY),
    delete("/v1/roles/{id}", "deletes a role that no workflow uses"),
];

/// Finds the operation for a method and a path below `/v1`.
pub(super) fn find(method: &Method, parts: &[&str]) -> Result<&'static Operation, Problem> {
    let method = if method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    let candidates: Vec<&Operation> = OPERATIONS
        .iter()
        .filter(|operation| is_at(operation.path, parts))
        .collect();
    // A literal path precedes a path with a parameter at the same position.
    let named = |operation: &&&Operation| operation.method == method;
    if let Some(operation) = candidates
        .iter()
        .filter(named)
        .min_by_key(|operation| operation.path.matches('{').count())
    {
        return Ok(*operation);
    }
    match parts {
        [] => {}
        _ if !candidates.is_empty() => {
            let mut allowed: Vec<&str> = candidates
                .iter()
                .map(|operation| operation.method)
                .collect();
            allowed.dedup();
            return Err(Problem::method_of(
                format!(
                    "{method} is not allowed on this path; allowed are {}",
                    allowed.join(", ")
                ),
                &allowed,
            ));
        }
        ["tickets", _, operation] if method == "POST" => {
            return Err(Problem::not_found(format!(
                "there is no operation {}",
                quoted(operation)
            )));
        }
        _ => {}
    }
    Err(Problem::not_found("this path does not exist"))
}

fn is_at(path: &str, parts: &[&str]) -> bool {
    let template: Vec<&str> = path.split('/').skip(2).collect();
    template.len() == parts.len()
        && template.iter().zip(parts).all(|(template, part)| {
            if template.starts_with('{') {
                !part.is_empty()
            } else {
                template == part
            }
        })
}

/// Returns the flaws of a query: unknown parameters, repeated parameters, and invalid values.
pub(super) fn flaws(parameters: &[Parameter], query: &Map<String, Value>) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (name, value) in query {
        let field = quoted(name);
        let detail = match (parameters.iter().find(|(known, _)| known == name), value) {
            (None, _) => {
                let known: Vec<&str> = parameters.iter().map(|(known, _)| *known).collect();
                let known = if known.is_empty() {
                    "this operation has no parameters".to_owned()
                } else {
                    format!("known parameters are {}", known.join(", "))
                };
                Some(format!("`{field}` is not a known parameter; {known}"))
            }
            (Some((_, parameter_type)), Value::String(text)) if parameter_type.takes(text) => None,
            (Some((_, parameter_type)), Value::String(text)) => Some(format!(
                "`{field}` must be {}, not {:?}",
                parameter_type.what(),
                quoted(text)
            )),
            (Some(_), _) => Some(format!("`{field}` is given more than once")),
        };
        flaws.extend(detail.map(|detail| Flaw { field, detail }));
        if flaws.len() >= FLAWS_MAX {
            break;
        }
    }
    flaws
}

impl Asks {
    fn takes(&self, text: &str) -> bool {
        let parts = || text.split(',').map(str::trim);
        match self {
            Self::Text => !text.trim().is_empty(),
            Self::Name => crate::app::people::one_name(text).is_some(),
            Self::Word(words) => words.contains(&text),
            Self::Words(words) => parts().all(|part| words.contains(&part)),
            Self::Texts => parts().all(|part| !part.is_empty()),
            Self::Integers => parts().all(|part| part.parse::<i64>().is_ok()),
            Self::Number(least, most) => text
                .parse::<usize>()
                .is_ok_and(|number| (*least..=*most).contains(&number)),
            Self::Time => instant(text).is_some(),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Name => "a user name".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("some of {}, separated by commas", words.join(", ")),
            Self::Texts => "texts separated by commas".into(),
            Self::Integers => "integers separated by commas".into(),
            Self::Number(least, usize::MAX) => format!("a number from {least}"),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Time => {
                "a time with its offset (RFC 3339), such as 2026-11-22T10:00:00+08:00".into()
            }
        }
    }

    /// Returns the JSON schema of the parameter.
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Text | Self::Name => json!({ "type": "string" }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Words(words) => {
                json!({ "type": "array", "items": { "type": "string", "enum": words } })
            }
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Integers => json!({ "type": "array", "items": { "type": "integer" } }),
            Self::Number(least, usize::MAX) => json!({ "type": "integer", "minimum": least }),
            Self::Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Time => json!({ "type": "string", "format": "date-time" }),
        }
    }

    /// Returns whether the values are separated by commas.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Words(_) | Self::Texts | Self::Integers)
    }
}

/// Parses an instant with offset and seconds (RFC 3339). A space is read as `+`, because an
/// unescaped `+` in a query arrives as a space.
pub(super) fn instant(text: &str) -> Option<jiff::Timestamp> {
    let has_seconds = text.as_bytes().get(16) == Some(&b':');
    let text = if text.contains(['T', 't']) {
        text.replace(' ', "+")
    } else {
        text.to_owned()
    };
    text.parse().ok().filter(|_| has_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_or_seconds_is_rejected() {
        for text in [
            "2026-11-22T02:00:00Z",
            "2026-11-22T10:00:00+08:00",
            "2026-11-22T10:00:00 08:00",
            "2026-11-22T02:00:00.5Z",
            "2026-11-22 02:00:00Z",
        ] {
            assert!(instant(text).is_some(), "{text}");
        }
        for text in [
            "2026-11-22T02:00:00",
            "2026-11-22T02:00Z",
            "2026-11-22",
            "yesterday",
            "",
        ] {
            assert!(instant(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_number_of_reported_parameters_is_bounded() {
        let query: Map<String, Value> = (0..1_000)
            .map(|number| (format!("p{number}"), json!("x")))
            .collect();
        assert_eq!(flaws(&[], &query).len(), FLAWS_MAX);
    }

    #[test]
    fn no_operation_is_listed_twice() {
        let mut all: Vec<(&str, &str)> = OPERATIONS
            .iter()
            .map(|operation| (operation.path, operation.method))
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn literal_paths_precede_paths_with_parameters() {
        let path = |method: &Method, parts: &[&str]| {
            find(method, parts).map(|operation| operation.path).ok()
        };
        assert_eq!(
            path(&Method::POST, &["workflows", "import"]),
            Some("/v1/workflows/import")
        );
        assert_eq!(
            path(&Method::GET, &["workflows", "7"]),
            Some("/v1/workflows/{id}")
        );
        assert_eq!(
            path(&Method::HEAD, &["tickets", "REQ1"]),
            Some("/v1/tickets/{sn}")
        );
        assert_eq!(path(&Method::PATCH, &["tickets", "REQ1"]), None);
        assert_eq!(path(&Method::POST, &["tickets", "REQ1", "dance"]), None);
        assert_eq!(path(&Method::GET, &["tickets", ""]), None);
    }
}

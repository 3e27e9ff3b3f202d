//! Handles tickets in the API `/v1`. The operations submit, list, show and change tickets.

mod act;
mod read;
mod reply;
mod submit;

use axum::http::Method;
use events::app::Scope;

use super::problem::Problem;
use super::resource::{
    Answer, Asks, CREATED, Call, Key, Operation, PAGE, PAGE_SIZE, Resource, change, get, list,
    post, segments,
};
use super::shape::{COUNT, FORM, INTEGER, Member, NAMES, Shape, optional, required};
pub(super) use read::found;

/// The kinds of services and of their tickets (reference/bk-itsm.md 4).
pub(super) const KINDS: &[&str] = &["request", "change", "event", "question"];
/// The names of all ticket lists. The list `all` contains the tickets of all people. Each other
/// list contains tickets of one person.
const LISTS: &[&str] = &[
    "all",
    "todo",
    "claim",
    "approval",
    "created",
    "dealt",
    "following",
];
const RELATIONS: Shape =
    Shape::Words(&["related", "raised", "raised_from", "parent_of", "child_of"]);
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
const DECISIONS: Member = required("decisions", Shape::List(&Shape::Object(DECISION)));

/// Describes an operation on a ticket. Its response is the state of the ticket after the operation.
const fn act(path: &'static str, summary: &'static str, members: &'static [Member]) -> Operation {
    change(path, summary, members).returning::<reply::ChangedTicket>()
}

const OPERATIONS: &[Operation] = &[
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
    )
    .returning::<reply::TicketPage>(),
    post("/v1/tickets", "submits a ticket", TICKET)
        .answering(CREATED)
        .keyed(Key::Accepted)
        .returning::<reply::NewTicket>(),
    get("/v1/tickets/{sn}", "shows a ticket")
        .tagged()
        .returning::<reply::Ticket>(),
    list(
        "/v1/tickets/{sn}/events",
        "lists the events of a ticket",
        &[("at", Asks::Time)],
    )
    .returning::<reply::TicketEvents>(),
    list(
        "/v1/tickets/{sn}/remarks",
        "lists remarks, oldest first",
        &[("after", Asks::Number(0, usize::MAX))],
    )
    .returning::<reply::Remarks>(),
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
    post("/v1/decisions", "decides several approvals", &[DECISIONS])
        .keyed(Key::Accepted)
        .returning::<reply::DecisionResults>(),
];

/// The operations on tickets, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        let reads = call.method == Method::GET;
        match *segments(&call.path) {
            ["tickets"] if reads => read::list(request).await,
            ["tickets"] => submit::create(request).await,
            ["tickets", sn] => read::get(request, sn).await,
            ["tickets", sn, "events"] if reads => read::history(request, sn).await,
            ["tickets", sn, "remarks"] if reads => read::remarks(request, sn).await,
            ["tickets", sn, operation] => act::operate(request, sn, operation).await,
            ["decisions"] => act::decide_many(request).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

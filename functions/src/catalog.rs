//! Lists all functions of the desk with their names, triggers and purposes. A function is a separate part of
//! the program, such as the HTTP API or the handler of one queue. The desk starts its functions from this
//! list. A test compares the list with the deployment template for AWS.

use axum::Router;

use crate::App;
use crate::http;
use crate::queue::{self, Execute};

/// The type of event that starts a function.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// An HTTP request starts the function. The router handles the request.
    Http { router: fn(App) -> Router },
    /// Each new commit starts the function. The commits of one event stream arrive in order. In the cloud, the
    /// commits come from the change stream of the DynamoDB table with all commits. On one machine, the commits
    /// come from the feed (the sequence of all commits).
    Journal,
    /// New commits start the function. Each call processes one page (a list of commits) of the feed (the
    /// sequence of all commits).
    Feed,
    /// Each message in one queue starts the function. The queue has the same name as the function.
    Queue {
        /// The Rust function that executes the intents (requests for work) in the messages of the queue. A
        /// message can also contain a reached deadline. The handlers in [`crate::registry`] process these
        /// deadlines.
        execute: Execute,
        /// Maximum number of messages of the queue that one machine processes at the same time.
        concurrency: usize,
    },
    /// Each message from a robot starts the function. In the cloud, the messages come from the queue `fleet`.
    /// On one machine, the messages come from the MQTT broker.
    Fleet,
    /// A schedule starts the function. On one machine, the function starts every `ms` milliseconds.
    Sweep { ms: u64 },
}

/// One function of the desk, such as the HTTP API or the handler of one queue.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub name: &'static str,
    pub trigger: Trigger,
    pub does: &'static str,
}

/// The functions that an HTTP request starts. In the cloud, the program `bootstrap-http` contains them.
pub const HTTP: &[Function] = &[
    Function {
        name: "command",
        trigger: Trigger::Http {
            router: http::router,
        },
        does: "serves the BlueKing API and /v1",
    },
    Function {
        name: "inbound",
        trigger: Trigger::Http {
            router: http::inbound::router,
        },
        does: "verifies and stores messages of other systems",
    },
];

/// All other functions. In the cloud, the program `bootstrap-background` contains them. A program contains only the code
/// of the list that it names. Together, they would exceed the size of a package.
pub const BACKGROUND: &[Function] = &[
    Function {
        name: "index",
        trigger: Trigger::Journal,
        does: "assigns a position to every commit, if the store does not",
    },
    Function {
        name: "follow",
        trigger: Trigger::Journal,
        does: "maintains cards and due rows, and runs reactions",
    },
    Function {
        name: "project",
        trigger: Trigger::Feed,
        does: "folds multi-stream projections",
    },
    Function {
        name: "callback",
        trigger: Trigger::Queue {
            execute: |app, message, intent| {
                Box::pin(queue::callback::execute(app, message, intent))
            },
            concurrency: 128,
        },
        does: "opens callbacks and makes their attempts",
    },
    Function {
        name: "automate",
        trigger: Trigger::Queue {
            execute: |app, message, intent| {
                Box::pin(queue::automate::execute(app, message, intent))
            },
            concurrency: 128,
        },
        does: "searches rules, and takes the steps of API calls and executions",
    },
    Function {
        name: "sync",
        trigger: Trigger::Queue {
            execute: |app, message, intent| Box::pin(queue::sync::execute(app, message, intent)),
            concurrency: 64,
        },
        does: "requests approvals in external ITSMs, takes their steps, and processes cases",
    },
    Function {
        name: "dispatch",
        trigger: Trigger::Queue {
            execute: |app, message, intent| {
                Box::pin(queue::dispatch::execute(app, message, intent))
            },
            concurrency: 64,
        },
        does: "opens missions of robots and handles their deadlines",
    },
    Function {
        name: "fleet_message",
        trigger: Trigger::Fleet,
        does: "processes the messages of robots",
    },
    Function {
        name: "notify",
        trigger: Trigger::Queue {
            execute: |app, message, intent| Box::pin(queue::notify::execute(app, message, intent)),
            // Each message waits for writes of the views and of the ledger, which store many messages at once.
            concurrency: 64,
        },
        does: "decides how notifications reach people",
    },
    Function {
        name: "send",
        trigger: Trigger::Queue {
            execute: |app, message, intent| Box::pin(queue::send::execute(app, message, intent)),
            concurrency: 32,
        },
        does: "sends one message of a notification through a channel account",
    },
    Function {
        name: "ticket",
        trigger: Trigger::Queue {
            execute: |app, message, intent| Box::pin(queue::ticket::execute(app, message, intent)),
            concurrency: 16,
        },
        does: "relates tickets, ends child tickets, rates ended tickets",
    },
    Function {
        name: "cleanup",
        trigger: Trigger::Queue {
            execute: queue::cleanup::execute,
            concurrency: 8,
        },
        does: "discards expired drafts and files without a holder",
    },
    Function {
        name: "wake",
        trigger: Trigger::Sweep { ms: 250 },
        does: "moves due work to its queues",
    },
];

/// All functions of the desk (separate parts of the program, such as the HTTP API).
pub const FUNCTIONS: &[Function] = &{
    let mut all = [HTTP[0]; HTTP.len() + BACKGROUND.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < HTTP.len() {
            HTTP[at]
        } else {
            BACKGROUND[at - HTTP.len()]
        };
        at += 1;
    }
    all
};

/// The names of all queues. The compiler calculates them, so a program that needs only the names does not contain the
/// functions.
const QUEUES: [&str; number_of_queues()] = {
    let mut names = [""; number_of_queues()];
    let (mut at, mut found) = (0, 0);
    while at < BACKGROUND.len() {
        if matches!(BACKGROUND[at].trigger, Trigger::Queue { .. }) {
            names[found] = BACKGROUND[at].name;
            found += 1;
        }
        at += 1;
    }
    names
};

const fn number_of_queues() -> usize {
    let (mut at, mut found) = (0, 0);
    while at < BACKGROUND.len() {
        if matches!(BACKGROUND[at].trigger, Trigger::Queue { .. }) {
            found += 1;
        }
        at += 1;
    }
    found
}

/// Returns the names of all queues. Each queue has the same name as the function that processes its messages.
pub fn queues() -> Vec<&'static str> {
    QUEUES.to_vec()
}

/// Returns the Rust function that executes the intents (requests for work) in the messages of a queue.
/// Returns `None` if the queue does not exist.
pub fn handler(queue: &str) -> Option<Execute> {
    BACKGROUND
        .iter()
        .find_map(|function| match function.trigger {
            Trigger::Queue { execute, .. } if function.name == queue => Some(execute),
            _ => None,
        })
}

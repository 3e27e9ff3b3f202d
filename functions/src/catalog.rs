//! The function catalog lists all functions with their names, triggers and purposes. The hosts
//! start the functions from this list. A test compares the list with the deployment template.

use axum::Router;

use crate::App;
use crate::http;
use crate::queue::{self, Execute};

/// The event that starts a function.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// The function serves HTTP requests with this router.
    Http { router: fn(App) -> Router },
    /// The function runs for every commit, in stream order. In the cloud, the commits come from the
    /// table stream of the journal (the change stream of DynamoDB). On one machine, the commits
    /// come from the feed.
    Journal,
    /// The function runs for every page of the feed.
    Feed,
    /// The function runs for the messages of one queue. The queue has the same name as the
    /// function.
    Queue {
        /// Executes the intents (messages that request work) in the queue. For deadlines, the
        /// registry contains other handlers.
        execute: Execute,
        /// Maximum number of messages that one machine processes concurrently.
        concurrency: usize,
    },
    /// Invokes the function for the messages of robots. The source is the queue `fleet` in the
    /// cloud, and the broker on one machine.
    Fleet,
    /// The function runs on a schedule. `ms` is the interval on one machine, in milliseconds.
    Sweep { ms: u64 },
}

/// One function in the function catalog.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub name: &'static str,
    pub trigger: Trigger,
    pub does: &'static str,
}

/// The function catalog with all functions.
pub const FUNCTIONS: &[Function] = &[
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
        does: "opens the API calls of automatic nodes and takes their steps",
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
            concurrency: 64,
        },
        does: "decides how notifications reach people",
    },
    Function {
        name: "send",
        trigger: Trigger::Queue {
            execute: |app, message, intent| Box::pin(queue::send::execute(app, message, intent)),
            concurrency: 64,
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

/// Returns the names of all queues. A queue and its function have the same name.
pub fn queues() -> Vec<&'static str> {
    FUNCTIONS
        .iter()
        .filter(|function| matches!(function.trigger, Trigger::Queue { .. }))
        .map(|function| function.name)
        .collect()
}

/// Returns the function that executes the intents (messages that request work) of a queue. Returns
/// `None` if the queue does not exist.
pub fn handler(queue: &str) -> Option<Execute> {
    FUNCTIONS
        .iter()
        .find_map(|function| match function.trigger {
            Trigger::Queue { execute, .. } if function.name == queue => Some(execute),
            _ => None,
        })
}

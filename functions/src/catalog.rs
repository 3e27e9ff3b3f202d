//! The table of functions: name, trigger and purpose. The hosts start the functions of this table,
//! and a test compares the table with the deployment template.

use axum::Router;

use crate::App;
use crate::http;
use crate::queue::{self, Execute};

/// The trigger of a function.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// Serves HTTP requests with this router.
    Http { router: fn(App) -> Router },
    /// Invokes the function for every commit, in stream order. The source is the table stream of
    /// the journal in the cloud, and the feed on one machine.
    Journal,
    /// Invokes the function for every page of the feed.
    Feed,
    /// Invokes the function for the messages of the queue that has the name of the function.
    Queue {
        /// Executes the intents of the queue. Due work is executed by the handler in the registry
        /// instead.
        execute: Execute,
        /// Most messages that one machine processes concurrently.
        concurrency: usize,
    },
    /// Invokes the function on a schedule. `ms` is the interval on one machine, in milliseconds.
    Sweep { ms: u64 },
}

/// One entry of the table of functions.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub name: &'static str,
    pub trigger: Trigger,
    pub does: &'static str,
}

/// The table of all functions.
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

/// Returns the names of all queues. Each queue has the name of its function.
pub fn queues() -> Vec<&'static str> {
    FUNCTIONS
        .iter()
        .filter(|function| matches!(function.trigger, Trigger::Queue { .. }))
        .map(|function| function.name)
        .collect()
}

/// Returns the function that executes the intents of a queue; `None` if the queue does not exist.
pub fn handler(queue: &str) -> Option<Execute> {
    FUNCTIONS
        .iter()
        .find_map(|function| match function.trigger {
            Trigger::Queue { execute, .. } if function.name == queue => Some(execute),
            _ => None,
        })
}

//! The table of functions: name, trigger, purpose. Hosts walk it, and a test compares the deployment
//! template with it.

use crate::queue::{self, Execute};

/// The trigger of a function.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    Http,
    /// Every commit, in stream order: the table stream of the journal in the cloud, the feed on one
    /// machine.
    Journal,
    /// Every page of the feed.
    Feed,
    /// The messages of the queue with the name of the function.
    Queue {
        /// Executes the intents of the queue; due work goes to the handler in the registry.
        execute: Execute,
        /// Concurrent messages on one machine.
        concurrency: usize,
    },
    /// A schedule, milliseconds on one machine.
    Sweep {
        ms: u64,
    },
}

/// One function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub name: &'static str,
    pub trigger: Trigger,
    pub does: &'static str,
}

/// Every function.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "command",
        trigger: Trigger::Http,
        does: "serves the BlueKing API and /v1",
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

/// Returns the names of all queues; each has the name of its function.
pub fn queues() -> Vec<&'static str> {
    FUNCTIONS
        .iter()
        .filter(|function| matches!(function.trigger, Trigger::Queue { .. }))
        .map(|function| function.name)
        .collect()
}

/// Returns the function that executes the intents of a queue; `None` if there is no such queue.
pub fn handler(queue: &str) -> Option<Execute> {
    FUNCTIONS
        .iter()
        .find_map(|function| match function.trigger {
            Trigger::Queue { execute, .. } if function.name == queue => Some(execute),
            _ => None,
        })
}

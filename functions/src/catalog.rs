//! The table of functions: name, trigger, what it does. Hosts walk it; the deployment template is compared with it.

/// What sets a function going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Http,
    /// Every commit, in stream order: the journal's stream in the cloud, the feed on one machine.
    Journal,
    /// Every page of the feed.
    Feed,
    /// Messages of the queue of that name.
    Queue(&'static str),
    /// Every so many milliseconds.
    Sweep {
        ms: u64,
    },
}

/// One function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: &'static str,
    pub trigger: Trigger,
    pub does: &'static str,
}

/// Every function there is today.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "command",
        trigger: Trigger::Http,
        does: "both doors: BlueKing's and the REST one",
    },
    Function {
        name: "index",
        trigger: Trigger::Journal,
        does: "gives every commit its position, where the store does not",
    },
    Function {
        name: "follow",
        trigger: Trigger::Journal,
        does: "cards, deadlines and reactions",
    },
    Function {
        name: "project",
        trigger: Trigger::Feed,
        does: "multi-stream projections",
    },
    Function {
        name: "deliver",
        trigger: Trigger::Queue("deliver"),
        does: "opens an outgoing callback",
    },
    Function {
        name: "automate",
        trigger: Trigger::Queue("automate"),
        does: "opens the call of an automatic node, and tells tickets of those they belong together with",
    },
    Function {
        name: "attempt",
        trigger: Trigger::Queue("attempt"),
        does: "does what is due: one attempt of a callback or a call, a rating nobody gave",
    },
    Function {
        name: "wake",
        trigger: Trigger::Sweep { ms: 250 },
        does: "fires due deadlines",
    },
];

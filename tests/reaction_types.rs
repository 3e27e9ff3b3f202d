//! This test checks that a reaction does not process a further event type without a birth of its own.

use std::collections::{BTreeMap, BTreeSet};

use functions::registry::REGISTRY;
use tests::process::root;

use super::read;

/// The event types that the first version of each reaction processes, by the name of its file. The file `mod` contains a
/// part of the reactions that start automatic nodes, the file `recipients` a part of those that notify people, and the file
/// `of_ticket` a part of the reaction that lets chat groups follow their tickets.
const FIRST: &[(&str, &[&str])] = &[
    (
        "check_escalations",
        &[
            "ticket.acknowledged",
            "ticket.closed",
            "ticket.finished",
            "ticket.node_claimed",
            "ticket.node_completed",
            "ticket.node_skipped",
            "ticket.priority_changed",
            "ticket.suspended",
            "ticket.terminated",
            "ticket.withdrawn",
        ],
    ),
    ("evaluate_rules", &["ticket.node_entered"]),
    ("handle_inbound", &["inbound.received"]),
    (
        "mark_outdated",
        &[
            "ticket.acknowledged",
            "ticket.closed",
            "ticket.finished",
            "ticket.node_claimed",
            "ticket.node_completed",
            "ticket.node_skipped",
            "ticket.terminated",
            "ticket.vote_cast",
            "ticket.withdrawn",
        ],
    ),
    ("mod", &["ticket.node_entered", "ticket.node_retried"]),
    (
        "of_ticket",
        &[
            "ticket.closed",
            "ticket.escalated",
            "ticket.fields_changed",
            "ticket.finished",
            "ticket.followers_changed",
            "ticket.node_assigned",
            "ticket.node_claimed",
            "ticket.node_completed",
            "ticket.node_entered",
            "ticket.node_failed",
            "ticket.node_reassigned",
            "ticket.node_skipped",
            "ticket.node_transferred",
            "ticket.priority_changed",
            "ticket.remark_added",
            "ticket.resumed",
            "ticket.suspended",
            "ticket.terminated",
        ],
    ),
    (
        "notify_approvers",
        &["execution.parameters_changed", "execution.requested"],
    ),
    ("notify_on_call", &["escalation.step_notified"]),
    ("notify_operators", &["callback.failed"]),
    ("notify_subscribers", &["ticket.node_entered"]),
    ("notify_waiting", &["node_reminder.reminded"]),
    (
        "propagate_ticket_state",
        &[
            "ticket.closed",
            "ticket.finished",
            "ticket.terminated",
            "ticket.withdrawn",
        ],
    ),
    (
        "recipients",
        &[
            "ticket.closed",
            "ticket.escalated",
            "ticket.fields_changed",
            "ticket.finished",
            "ticket.followers_changed",
            "ticket.node_assigned",
            "ticket.node_entered",
            "ticket.node_failed",
            "ticket.node_reassigned",
            "ticket.node_transferred",
            "ticket.priority_changed",
            "ticket.processors_missing",
            "ticket.remark_added",
            "ticket.reminded",
            "ticket.resumed",
            "ticket.suspended",
            "ticket.terminated",
            "ticket.vote_cast",
        ],
    ),
    (
        "relate_tickets",
        &[
            "ticket.closed",
            "ticket.finished",
            "ticket.linked",
            "ticket.terminated",
            "ticket.unlinked",
            "ticket.withdrawn",
        ],
    ),
    ("report_bounce", &["delivery.bounced"]),
    ("report_degraded", &["channel_account.degraded"]),
    (
        "report_delivery",
        &["delivery.failed", "delivery.succeeded"],
    ),
    ("report_exhausted", &["escalation.exhausted"]),
    ("report_gaps", &["standing_check.checked"]),
    ("report_no_address", &["notification.completed"]),
    ("report_unreached", &["notification.completed"]),
    (
        "send_callback",
        &[
            "ticket.closed",
            "ticket.finished",
            "ticket.resumed",
            "ticket.status_set",
            "ticket.suspended",
            "ticket.terminated",
            "ticket.withdrawn",
        ],
    ),
    (
        "start_api_call",
        &["ticket.node_entered", "ticket.node_retried"],
    ),
    ("start_application", &["application.applied"]),
    (
        "start_deliveries",
        &["notification.fallback_started", "notification.routed"],
    ),
    (
        "start_digest_deliveries",
        &[
            "digest.added",
            "digest.closed",
            "digest.flushed",
            "digest.items_dropped",
            "digest.passed",
            "digest.postponed",
        ],
    ),
    (
        "start_escalation",
        &[
            "ticket.node_entered",
            "ticket.priority_changed",
            "ticket.resumed",
        ],
    ),
    ("start_reminders", &["ticket.node_entered"]),
    ("suppress_address", &["delivery.bounced", "delivery.failed"]),
    ("sync_chat_group", &ENDS),
    (
        "update_messages",
        &["notification.delivery_ended", "notification.outdated"],
    ),
    (
        "write_back",
        &[
            "ticket.closed",
            "ticket.escalated",
            "ticket.finished",
            "ticket.node_assigned",
            "ticket.node_claimed",
            "ticket.node_entered",
            "ticket.node_reassigned",
            "ticket.node_transferred",
            // The file reads this event in the history of a ticket. The reaction does not process it.
            "ticket.opened",
            "ticket.remark_added",
            "ticket.resumed",
            "ticket.status_set",
            "ticket.suspended",
            "ticket.terminated",
            "ticket.withdrawn",
        ],
    ),
    (
        "write_binding",
        &["case.binding_removed", "case.binding_set"],
    ),
    ("write_repair", &["case.repaired"]),
];
/// The event types with which a ticket ends, see `TicketEvent::ends`.
const ENDS: [&str; 4] = [
    "ticket.closed",
    "ticket.finished",
    "ticket.terminated",
    "ticket.withdrawn",
];

/// Returns the reactions whose code is in a file.
fn reactions_of(file: &str) -> Vec<&str> {
    match file {
        "mod" => vec!["start_api_call", "submit_application", "start_dispatch"],
        "recipients" => vec!["notify_assignee", "notify_interested"],
        "of_ticket" => vec!["sync_chat_group"],
        // A further event type is in the file `of_ticket`.
        "sync_chat_group" => Vec::new(),
        name => vec![name],
    }
}

/// Returns a name in camel case as a name in snake case.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (number, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && number > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Returns the event types that the code of a reaction names, such as `ticket.resumed` for `TicketEvent::Resumed`.
fn types_in(code: &str) -> BTreeSet<String> {
    let is_word = |c: &char| c.is_ascii_alphanumeric();
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut types = BTreeSet::new();
    let parts: Vec<&str> = code.split("Event::").collect();
    for pair in parts.windows(2) {
        let before: Vec<char> = pair[0].chars().rev().take_while(is_word).collect();
        let aggregate: String = before.into_iter().rev().collect();
        let variant: String = pair[1].chars().take_while(is_word).collect();
        let is_variant = variant.starts_with(|c: char| c.is_ascii_uppercase());
        if is_variant && !aggregate.is_empty() {
            types.insert(format!("{}.{}", snake(&aggregate), snake(&variant)));
        }
    }
    if code.contains(".ends()") {
        types.extend(ENDS.map(str::to_owned));
    }
    types
}

#[test]
fn a_reaction_processes_a_further_event_type_only_with_a_birth_of_its_own() {
    let known: BTreeSet<&str> = events::catalog_of_types()
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    let mut later: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in REGISTRY {
        let names = row.reactions();
        for (reaction, kind) in row.later_types() {
            assert!(names.contains(reaction), "{reaction} is not in its row");
            assert!(known.contains(kind), "{kind} is no event type");
            later.entry(*reaction).or_default().insert(*kind);
        }
    }
    let mut files = vec![
        (
            "recipients",
            root().join("domain/src/notification/recipients.rs"),
        ),
        (
            "of_ticket",
            root().join("domain/src/notification/chat_group/of_ticket.rs"),
        ),
    ];
    let folder = root().join("domain/src/reactions");
    for entry in std::fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name: &str = name.expect("a name").to_owned().leak();
        files.push((name, path));
    }
    let mut checked = 0;
    for (file, path) in files {
        let mut first = FIRST.iter().filter(|(name, _)| *name == file);
        let mut expected: BTreeSet<String> = first
            .next()
            .iter()
            .flat_map(|(_, kinds)| kinds.iter().map(|kind| (*kind).to_owned()))
            .collect();
        for reaction in reactions_of(file) {
            let kinds = later.get(reaction).into_iter().flatten();
            expected.extend(kinds.map(|kind| (*kind).to_owned()));
        }
        let found = types_in(&read(&path));
        assert_eq!(
            found, expected,
            "{file}: add a further event type to `later_types` of its row in functions/src/registry.rs"
        );
        checked += found.len();
    }
    assert!(checked > 50, "{checked} event types");
    assert_eq!(
        types_in("a TicketEvent::NodeEntered(_) | b::CaseSourceEvent::Pulled"),
        BTreeSet::from([
            "case_source.pulled".to_owned(),
            "ticket.node_entered".to_owned()
        ])
    );
}

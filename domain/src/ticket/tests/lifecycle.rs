//! Tests the operations that people execute on a whole ticket.

use std::collections::BTreeMap;

use events::ticket::{
    Closed, FieldsChanged, Finished, NodeCompleted, NodeResultReceived, Priority, PriorityChanged,
    Resumed, Suspended, Terminated, TicketEvent, TransitionTaken, Withdrawn,
};
use events::workflow::{FieldKind, NodeKind, Revoke};
use events::{Entry, Moment, NodeId, PersonId, Remark, TransitionId};

use super::given::{
    GUEST, OTHER, OWNER, after, child_of, ended_in, opened_in, suspended_in, with_approval,
    with_dead_end, with_manual, with_owner, with_service,
};
use super::{BOSS, Command, Context, LISI, NodeResult, ROOT, Rejection, Ticket};
use super::{context, context_of, definition, field, node, transition, vote};
use crate::decider::{DecideError, Decider};
use crate::ticket::{FieldAt, Invalid, Lookup, MESSAGE_MAX, Now, reject};

/// A function that builds a command with the given reason.
type WithReason = fn(&str) -> Command;

fn suspend(by: &str, reason: &str) -> Command {
    Command::Suspend {
        by: by.into(),
        reason: reason.into(),
    }
}

fn resume(by: &str, reason: &str) -> Command {
    Command::Resume {
        by: by.into(),
        reason: reason.into(),
    }
}

fn withdraw(by: &str, reason: &str) -> Command {
    Command::Withdraw {
        by: by.into(),
        reason: reason.into(),
    }
}

fn terminate(by: &str, reason: &str) -> Command {
    Command::Terminate {
        by: by.into(),
        reason: reason.into(),
    }
}

fn close(by: &str, status: &str, reason: &str) -> Command {
    Command::Close {
        by: by.into(),
        status: status.into(),
        reason: reason.into(),
    }
}

fn end_with_parent(parent: &str, status: &str, approve_result: bool) -> Command {
    Command::EndWithParent {
        parent: parent.into(),
        status: status.into(),
        approve_result,
    }
}

fn edit(by: &str, values: &[(&str, &str)]) -> Command {
    Command::EditField {
        by: by.into(),
        form: entries(values),
    }
}

fn entries(values: &[(&str, &str)]) -> Vec<Entry> {
    values
        .iter()
        .map(|(key, value)| Entry::new(*key, *value))
        .collect()
}

fn changed(by: &str, names: &[&str], values: &[(&str, &str)]) -> TicketEvent {
    TicketEvent::from(FieldsChanged {
        by: by.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        form: entries(values),
    })
}

/// Returns a context (the data that a ticket decision needs) with a workflow. In addition to the usual
/// fields, the workflow has the fields `impact`, `urgency` and `priority`.
fn editable() -> Context {
    let mut definition = definition();
    definition.fields[1].name = "Amount".into();
    for key in ["impact", "urgency", "priority"] {
        definition.fields.push(field(key, FieldKind::String, false));
    }
    with_owner(context_of(definition))
}

#[test]
fn processors_and_managers_suspend_resume_and_terminate() {
    let context = with_owner(context());
    let running = opened_in(&context);
    let suspended = suspended_in(&context);
    for by in [BOSS, OTHER, OWNER, ROOT] {
        assert_eq!(
            running.decide(&suspend(by, "r"), &context),
            Ok(vec![
                Suspended {
                    by: by.into(),
                    reason: Remark::new("r"),
                }
                .into()
            ]),
            "{by}"
        );
        assert_eq!(
            suspended.decide(&resume(by, "r"), &context),
            Ok(vec![
                Resumed {
                    by: by.into(),
                    reason: Remark::new("r"),
                }
                .into()
            ]),
            "{by}"
        );
        for ticket in [&running, &suspended] {
            assert_eq!(
                ticket.decide(&terminate(by, "r"), &context),
                Ok(vec![
                    Terminated {
                        by: by.into(),
                        node: None,
                        node_name: String::new(),
                        reason: Remark::new("r"),
                        approve_result: false,
                    }
                    .into()
                ]),
                "{by}"
            );
        }
    }
    for by in [LISI, GUEST] {
        for (ticket, command) in [
            (&running, suspend(by, "r")),
            (&suspended, resume(by, "r")),
            (&running, terminate(by, "r")),
        ] {
            assert_eq!(
                ticket.decide(&command, &context),
                reject(Rejection::NotAllowedOnTicket(by.into())),
                "{command:?}"
            );
        }
    }
}

#[test]
fn each_operation_on_a_ticket_requires_a_fitting_status() {
    let context = context();
    let (unknown, running) = (Ticket::default(), opened_in(&context));
    let (suspended, ended) = (suspended_in(&context), ended_in(&context));
    let title = [("title", "t2")];
    for (ticket, command, rejection) in [
        (&unknown, suspend(ROOT, "r"), Rejection::Unknown),
        (&unknown, resume(ROOT, "r"), Rejection::Unknown),
        (&unknown, withdraw(ROOT, "r"), Rejection::Unknown),
        (&unknown, terminate(ROOT, "r"), Rejection::Unknown),
        (&unknown, close(ROOT, "FINISHED", "r"), Rejection::Unknown),
        (&unknown, edit(ROOT, &title), Rejection::Unknown),
        (&running, resume(ROOT, "r"), Rejection::NotSuspended),
        (&suspended, suspend(ROOT, "r"), Rejection::NotInProcess),
        (&ended, suspend(ROOT, "r"), Rejection::NotInProcess),
        (&ended, resume(ROOT, "r"), Rejection::NotSuspended),
        (&ended, withdraw(LISI, "r"), Rejection::AlreadyEnded),
        (&ended, terminate(ROOT, "r"), Rejection::NotInProcess),
        (
            &ended,
            close(ROOT, "FINISHED", "r"),
            Rejection::NotInProcess,
        ),
        (&ended, edit(LISI, &title), Rejection::Ended),
    ] {
        assert_eq!(
            ticket.decide(&command, &context),
            reject(rejection),
            "{command:?}"
        );
    }
    for command in [
        withdraw(LISI, "r"),
        terminate(ROOT, "r"),
        close(ROOT, "FINISHED", "r"),
        edit(LISI, &title),
    ] {
        let outcome = suspended.decide(&command, &context);
        assert!(outcome.is_ok(), "{command:?}: {outcome:?}");
    }
}

#[test]
fn a_child_rejects_the_operations_of_people() {
    let context = context();
    let child = child_of("REQ2", &opened_in(&context));
    let suspended = child_of("REQ2", &suspended_in(&context));
    for (ticket, command) in [
        (&child, suspend(ROOT, "r")),
        (&suspended, resume(ROOT, "r")),
        (&child, withdraw(LISI, "r")),
        (&child, terminate(ROOT, "r")),
        (&child, close(ROOT, "FINISHED", "r")),
        (&child, edit(LISI, &[("title", "t2")])),
    ] {
        assert_eq!(
            ticket.decide(&command, &context),
            reject(Rejection::IsChild),
            "{command:?}"
        );
    }
}

#[test]
fn suspending_and_terminating_need_a_visible_reason() {
    let context = context();
    let ticket = opened_in(&context);
    for blank in ["", " \u{3000}\u{200b}\n"] {
        assert_eq!(
            ticket.decide(&suspend(BOSS, blank), &context),
            reject(Rejection::SuspendReasonMissing)
        );
        assert_eq!(
            ticket.decide(&terminate(BOSS, blank), &context),
            reject(Rejection::TerminateReasonMissing)
        );
    }
}

#[test]
fn a_blank_optional_reason_is_stored_as_empty() {
    let context = context();
    let (running, suspended) = (opened_in(&context), suspended_in(&context));
    assert_eq!(
        suspended.decide(&resume(BOSS, " "), &context),
        Ok(vec![
            Resumed {
                by: BOSS.into(),
                reason: Remark::default(),
            }
            .into()
        ])
    );
    assert_eq!(
        running.decide(&withdraw(LISI, " "), &context),
        Ok(vec![
            Withdrawn {
                by: LISI.into(),
                approve_result: false,
                reason: Remark::default(),
            }
            .into()
        ])
    );
}

#[test]
fn reasons_have_at_most_255_characters() {
    let context = context();
    let (running, suspended) = (opened_in(&context), suspended_in(&context));
    let table: [(&Ticket, WithReason); 5] = [
        (&running, |reason| suspend(ROOT, reason)),
        (&suspended, |reason| resume(ROOT, reason)),
        (&running, |reason| withdraw(LISI, reason)),
        (&running, |reason| terminate(ROOT, reason)),
        (&running, |reason| close(ROOT, "FINISHED", reason)),
    ];
    for (ticket, command) in table {
        let longest = command(&"字".repeat(MESSAGE_MAX));
        let outcome = ticket.decide(&longest, &context);
        assert!(outcome.is_ok(), "{longest:?}: {outcome:?}");
        let too_long = command(&"字".repeat(MESSAGE_MAX + 1));
        assert_eq!(
            ticket.decide(&too_long, &context),
            reject(Rejection::MessageTooLong),
            "{too_long:?}"
        );
    }
}

/// The workflow has START 1, submit node 2 (which opens a ticket), webhook 5 (a node that sends an HTTP
/// request) and END 4. A result of the webhook arrives while the ticket is suspended. The test expects that
/// the result is applied when the ticket is resumed.
#[test]
fn resuming_applies_the_results_that_arrived_during_the_suspension() {
    let mut definition = definition();
    let mut hook = node(5, NodeKind::Webhook, &[]);
    let request = serde_json::json!({ "does": "request", "method": "POST", "url": "https://x/" });
    hook.service_task = serde_json::from_value(request).expect("a request");
    definition.nodes[2] = hook;
    definition.transitions = vec![
        transition(1, 1, 2, None),
        transition(2, 2, 5, None),
        transition(3, 5, 4, None),
    ];
    let context = context_of(definition);
    let ticket = suspended_in(&context);
    let outputs = BTreeMap::from([("word".to_owned(), "right".to_owned())]);
    let result = Command::RecordResult(NodeResult {
        node: NodeId(5),
        round: 1,
        attempt: 1,
        succeeded: true,
        outputs: outputs.clone(),
        ..NodeResult::default()
    });
    assert_eq!(
        ticket.decide(&result, &context),
        Ok(vec![
            NodeResultReceived {
                node: NodeId(5),
                name: "n5".into(),
                round: 1,
                attempt: 1,
                succeeded: true,
                outputs: outputs.clone(),
                task: String::new(),
                reason: String::new(),
            }
            .into()
        ])
    );
    let ticket = after(&ticket, &result, &context);
    assert_eq!(
        ticket.decide(&resume(BOSS, ""), &context),
        Ok(vec![
            Resumed {
                by: BOSS.into(),
                reason: Remark::default(),
            }
            .into(),
            NodeCompleted {
                node: NodeId(5),
                name: "n5".into(),
                round: 1,
                by: PersonId::system(),
                pass: None,
                form: Vec::new(),
                outputs,
                reason: Remark::default(),
            }
            .into(),
            TransitionTaken {
                transition: TransitionId(3),
                name: String::new(),
                from: NodeId(5),
                to: NodeId(4),
                tested: Vec::new(),
                by: None,
                reason: Remark::default(),
            }
            .into(),
            Finished {
                approve_result: true,
                rate_by: None,
            }
            .into(),
        ])
    );
}

#[test]
fn the_creator_and_superusers_withdraw_a_ticket() {
    let context = with_owner(context());
    let ticket = opened_in(&context);
    for by in [LISI, ROOT] {
        assert_eq!(
            ticket.decide(&withdraw(by, "r"), &context),
            Ok(vec![
                Withdrawn {
                    by: by.into(),
                    approve_result: false,
                    reason: Remark::new("r"),
                }
                .into()
            ]),
            "{by}"
        );
    }
    for by in [BOSS, OWNER, GUEST] {
        assert_eq!(
            ticket.decide(&withdraw(by, "r"), &context),
            reject(Rejection::NotTheCreator),
            "{by}"
        );
    }
}

#[test]
fn only_other_people_than_the_creator_need_the_list_of_superusers() {
    let complete = editable();
    let ticket = opened_in(&complete);
    let context = Context {
        superusers: None,
        ..complete
    };
    let title = [("title", "t2")];
    assert!(ticket.decide(&withdraw(LISI, "r"), &context).is_ok());
    assert!(ticket.decide(&edit(LISI, &title), &context).is_ok());
    assert!(ticket.decide(&edit(BOSS, &title), &context).is_ok());
    for command in [withdraw(GUEST, "r"), edit(GUEST, &title)] {
        assert_eq!(
            ticket.decide(&command, &context),
            Err(DecideError::Needs(vec![Lookup::Superusers])),
            "{command:?}"
        );
    }
}

#[test]
fn the_workflow_limits_the_time_of_a_withdrawal() {
    let handled = Rejection::HandledAlready;
    let never = Rejection::NotRevocable;
    for (revoke, before_the_vote, after_the_vote) in [
        (Revoke::Never, Some(never.clone()), Some(never)),
        (Revoke::Always, None, None),
        (Revoke::BeforeHandled, None, Some(handled.clone())),
        (
            Revoke::BeforeNode(NodeId(3)),
            Some(handled.clone()),
            Some(handled),
        ),
        (Revoke::BeforeNode(NodeId(4)), None, None),
    ] {
        let mut definition = definition();
        definition.nodes[2].is_multi = true;
        definition.revoke = revoke.clone();
        let context = context_of(definition);
        let waiting = opened_in(&context);
        let voted = after(&waiting, &vote("true"), &context);
        for (ticket, rejection) in [(waiting, before_the_vote), (voted, after_the_vote)] {
            let outcome = ticket.decide(&withdraw(LISI, "r"), &context);
            assert_eq!(
                outcome.err(),
                rejection.map(DecideError::<Ticket>::Rejected),
                "{revoke:?}"
            );
        }
    }
}

#[test]
fn managers_close_a_ticket_with_each_final_status() {
    let mut context = with_service(with_owner(context()), |service| {
        service.rate_after_days = Some(2);
    });
    context.now = Some(Now {
        at: Moment(1_000),
        local: jiff::civil::datetime(2026, 11, 25, 10, 0, 0, 0),
    });
    let ticket = opened_in(&context);
    for (by, status, rate_by) in [
        (OWNER, "FINISHED", Some(Moment(172_801_000))),
        (ROOT, "FINISHED", Some(Moment(172_801_000))),
        (ROOT, "TERMINATED", None),
        (ROOT, "REVOKED", None),
    ] {
        assert_eq!(
            ticket.decide(&close(by, status, "r"), &context),
            Ok(vec![
                Closed {
                    by: by.into(),
                    status: status.into(),
                    reason: Remark::new("r"),
                    approve_result: false,
                    rate_by,
                }
                .into()
            ]),
            "{by} {status}"
        );
    }
    for by in [LISI, BOSS, GUEST] {
        assert_eq!(
            ticket.decide(&close(by, "FINISHED", "r"), &context),
            reject(Rejection::NotAllowedOnTicket(by.into())),
            "{by}"
        );
    }
    for status in ["RUNNING", "SUSPENDED", "finished", ""] {
        assert_eq!(
            ticket.decide(&close(ROOT, status, "r"), &context),
            reject(Rejection::NotAnEnd(status.into())),
            "{status}"
        );
    }
}

#[test]
fn a_closed_ticket_is_approved_if_no_vote_is_open_or_rejected() {
    let two_votes = with_approval(|node| node.is_multi = true);
    let dead_end = with_dead_end();
    let manual = with_manual(|_| ());
    let one_vote = after(&opened_in(&two_votes), &vote("true"), &two_votes);
    let rejected = after(&opened_in(&dead_end), &vote("false"), &dead_end);
    for (ticket, context, status, is_approved) in [
        (&opened_in(&manual), &manual, "FINISHED", true),
        (&opened_in(&manual), &manual, "TERMINATED", false),
        (&one_vote, &two_votes, "FINISHED", false),
        (&rejected, &dead_end, "FINISHED", false),
    ] {
        let closed = after(ticket, &close(ROOT, status, ""), context);
        assert_eq!(closed.approve_result, Some(is_approved), "{status}");
        assert_eq!(closed.status_key(), status);
    }
}

#[test]
fn a_child_ends_with_the_status_and_result_of_its_own_parent() {
    let context = context();
    let child = child_of("REQ2", &opened_in(&context));
    for (status, approve_result) in [("FINISHED", true), ("REVOKED", false)] {
        assert_eq!(
            child.decide(&end_with_parent("REQ2", status, approve_result), &context),
            Ok(vec![
                Closed {
                    by: PersonId::system(),
                    status: status.into(),
                    reason: Remark::new("母单 REQ2 已结束"),
                    approve_result,
                    rate_by: None,
                }
                .into()
            ])
        );
    }
    let of_parent = end_with_parent("REQ2", "FINISHED", true);
    let ended = after(&child, &of_parent, &context);
    for (ticket, command) in [
        (&ended, of_parent.clone()),
        (&child, end_with_parent("REQ3", "FINISHED", true)),
        (&opened_in(&context), of_parent),
    ] {
        assert_eq!(
            ticket.decide(&command, &context),
            Ok(Vec::new()),
            "{command:?}"
        );
    }
}

#[test]
fn creator_processors_and_managers_edit_a_field() {
    let context = editable();
    let ticket = opened_in(&context);
    for by in [LISI, BOSS, OTHER, OWNER, ROOT] {
        assert_eq!(
            ticket.decide(&edit(by, &[("amount", "5")]), &context),
            Ok(vec![changed(by, &["Amount"], &[("amount", "5")])]),
            "{by}"
        );
    }
    assert_eq!(
        ticket.decide(&edit(GUEST, &[("amount", "5")]), &context),
        reject(Rejection::NotAllowedOnTicket(GUEST.into()))
    );
}

#[test]
fn fields_of_the_submit_node_and_of_every_ticket_are_editable() {
    let context = editable();
    let ticket = opened_in(&context);
    for (key, name) in [
        ("title", "title"),
        ("amount", "Amount"),
        ("impact", "impact"),
        ("urgency", "urgency"),
    ] {
        assert_eq!(
            ticket.decide(&edit(LISI, &[(key, "2")]), &context),
            Ok(vec![changed(LISI, &[name], &[(key, "2")])]),
            "{key}"
        );
    }
    for key in ["DECISION", "nowhere"] {
        let given = [("title", "t2"), (key, "true"), ("nowhere", "x")];
        assert_eq!(
            ticket.decide(&edit(LISI, &given), &context),
            reject(Rejection::NotEditable(key.into()))
        );
    }
    assert_eq!(
        ticket.decide(&edit(LISI, &[("impact", "2")]), &super::context()),
        reject(Rejection::NotEditable("impact".into())),
        "this workflow has no field impact"
    );
}

#[test]
fn impact_and_urgency_and_a_chosen_priority_change_the_priority() {
    let context = editable();
    let ticket = opened_in(&context);
    let priority = |key: &str, impact: &str, urgency: &str| {
        TicketEvent::from(PriorityChanged {
            priority: Priority {
                key: key.into(),
                impact: impact.into(),
                urgency: urgency.into(),
            },
        })
    };
    let both = [("impact", "1"), ("urgency", "3")];
    assert_eq!(
        ticket.decide(&edit(LISI, &both), &context),
        Ok(vec![
            changed(LISI, &["impact", "urgency"], &both),
            priority("2", "1", "3"),
        ])
    );
    assert_eq!(
        ticket.decide(&edit(LISI, &[("priority", "3")]), &context),
        Ok(vec![
            changed(LISI, &["priority"], &[("priority", "3")]),
            priority("3", "", ""),
        ])
    );
}

#[test]
fn an_edit_stores_only_the_values_that_differ() {
    let context = editable();
    let ticket = opened_in(&context);
    let edited = after(&ticket, &edit(LISI, &[("amount", "5")]), &context);
    for (ticket, given, amount) in [
        (&ticket, vec![], None),
        (&ticket, vec![("title", "t")], None),
        (&ticket, vec![("amount", "")], None),
        (&edited, vec![("title", "t"), ("amount", "5")], None),
        (&ticket, vec![("title", "t"), ("amount", "5")], Some("5")),
        (&edited, vec![("title", "t"), ("amount", "")], Some("")),
    ] {
        let events: Vec<TicketEvent> = amount
            .map(|amount| changed(LISI, &["Amount"], &[("amount", amount)]))
            .into_iter()
            .collect();
        assert_eq!(
            ticket.decide(&edit(LISI, &given), &context),
            Ok(events),
            "{given:?}"
        );
    }
}

#[test]
fn an_edit_checks_the_new_values() {
    let context = editable();
    let ticket = opened_in(&context);
    let at = |key: &str, name: &str| FieldAt {
        key: key.into(),
        name: name.into(),
    };
    for (key, value, rejection) in [
        ("title", "", Rejection::FieldEmpty(at("title", "title"))),
        ("title", " ", Rejection::FieldEmpty(at("title", "title"))),
        (
            "amount",
            "x",
            Rejection::FieldInvalid {
                at: at("amount", "Amount"),
                reason: Invalid::NotANumber,
            },
        ),
    ] {
        assert_eq!(
            ticket.decide(&edit(LISI, &[(key, value)]), &context),
            reject(rejection),
            "{key} {value}"
        );
    }
}

#[test]
fn an_edited_text_is_sealed_for_the_creator_if_the_service_seals_text() {
    let context = with_service(editable(), |service| service.seals_text = true);
    let ticket = opened_in(&context);
    let given = [("title", "t2"), ("amount", "5")];
    assert_eq!(
        ticket.decide(&edit(BOSS, &given), &context),
        Ok(vec![
            FieldsChanged {
                by: BOSS.into(),
                names: vec!["title".into(), "Amount".into()],
                form: vec![
                    Entry::new("title", "t2").owned_by(LISI.into()),
                    Entry::new("amount", "5"),
                ],
            }
            .into()
        ])
    );
    assert_eq!(
        ticket.decide(&edit(BOSS, &[("title", "t")]), &context),
        Ok(Vec::new()),
        "the sealed title is the same"
    );
}

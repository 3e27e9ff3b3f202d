//! Tests the priority of a ticket, the status that a ticket displays, and the end of a ticket.

use events::ticket::{Closed, FieldsChanged, PriorityChanged, Relation, StatusSet, VoteCast};

use super::engine::{
    Desk, IN_THREE_DAYS, approval, assert_events, cast, closed, completed, decision, entered,
    entries, finished, manual, needs, opening, straight, submit, taken, vote_cast,
};
use super::*;

fn status_set(status: &str, id: i64) -> StatusSet {
    StatusSet {
        status: status.into(),
        node: NodeId(id),
    }
}

fn priority_changed(key: &str, impact: &str, urgency: &str) -> PriorityChanged {
    PriorityChanged {
        priority: Priority {
            key: key.into(),
            impact: impact.into(),
            urgency: urgency.into(),
        },
    }
}

fn edit(key: &str, value: &str) -> Command {
    Command::EditField {
        by: LISI.into(),
        form: entries(&[(key, value)]),
    }
}

fn fields_changed(key: &str, value: &str) -> FieldsChanged {
    FieldsChanged {
        by: LISI.into(),
        names: vec![key.into()],
        form: entries(&[(key, value)]),
    }
}

fn close(status: &str) -> Command {
    Command::Close {
        by: ROOT.into(),
        status: status.into(),
        reason: "r".into(),
    }
}

#[test]
fn impact_and_urgency_or_a_choice_determine_the_priority() {
    for (key, value, expected) in [
        ("impact", "3", Some(["2", "3", "1"])),
        ("impact", "2", Some(["1", "2", "1"])),
        ("urgency", "2", Some(["1", "1", "2"])),
        ("urgency", "3", Some(["2", "1", "3"])),
        ("impact", "4", None),
        ("impact", "", None),
        ("priority", "3", Some(["3", "1", "1"])),
        ("priority", "1", None),
        ("amount", "5", None),
    ] {
        let mut desk = Desk::new(straight(vec![manual(3, &[BOSS])]));
        let events = desk.open(opening(&[("impact", "1"), ("urgency", "1")]));
        assert_events(
            &events,
            &[taken(2, 2, 3).into(), entered(3, &[BOSS]).into()],
        );
        let mut all: Vec<TicketEvent> = vec![fields_changed(key, value).into()];
        if let Some([key, impact, urgency]) = expected {
            all.push(priority_changed(key, impact, urgency).into());
        }
        assert_eq!(desk.act(&edit(key, value)), all, "{key} {value}");
    }
}

#[test]
fn a_removed_choice_restores_the_priority_of_impact_and_urgency() {
    let mut desk = Desk::opened(
        straight(vec![manual(3, &[BOSS])]),
        &[("impact", "1"), ("urgency", "2")],
    );
    desk.act(&edit("priority", "3"));
    assert_events(
        &desk.act(&edit("priority", "")),
        &[
            fields_changed("priority", "").into(),
            priority_changed("1", "1", "2").into(),
        ],
    );
}

#[test]
fn a_chosen_priority_needs_neither_impact_nor_urgency() {
    let mut desk = Desk::new(straight(vec![manual(3, &[BOSS])]));
    assert_events(
        &desk.open(opening(&[("priority", "2")])),
        &[
            priority_changed("2", "", "").into(),
            taken(2, 2, 3).into(),
            entered(3, &[BOSS]).into(),
        ],
    );
}

#[test]
fn the_priorities_of_the_service_replace_the_default_priorities() {
    let mut desk = Desk::new(straight(vec![manual(3, &[BOSS])]));
    desk.service().priorities = Some([[3, 1, 1], [1, 1, 1], [1, 1, 1]]);
    desk.open(opening(&[("impact", "2"), ("urgency", "1")]));
    assert_events(
        &desk.act(&edit("impact", "1")),
        &[
            fields_changed("impact", "1").into(),
            priority_changed("3", "1", "1").into(),
        ],
    );
}

#[test]
fn only_a_change_of_the_priority_needs_the_service() {
    let mut desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &[]);
    desk.context.services.clear();
    for key in ["impact", "urgency", "priority"] {
        assert_eq!(
            desk.decide(&edit(key, "1")),
            needs(&[Lookup::Service(ServiceId(7))]),
            "{key}"
        );
    }
    assert_events(
        &desk.act(&edit("amount", "1")),
        &[fields_changed("amount", "1").into()],
    );
}

#[test]
fn a_form_changes_the_priority_only_if_the_values_change() {
    for (value, expected) in [("1", None), ("3", Some(priority_changed("2", "3", "1")))] {
        let mut three = manual(3, &[BOSS]);
        three.fields = vec!["impact".into()];
        let mut desk = Desk::opened(straight(vec![three]), &[("impact", "1"), ("urgency", "1")]);
        let mut all: Vec<TicketEvent> = vec![
            NodeCompleted {
                form: entries(&[("impact", value)]),
                ..completed(3, BOSS)
            }
            .into(),
        ];
        all.extend(expected.map(TicketEvent::from));
        all.push(taken(3, 3, 9).into());
        all.push(finished(true).into());
        let events = desk.act(&submit(3, BOSS, &[("impact", value)], ""));
        assert_eq!(events, all, "{value}");
    }
}

#[test]
fn a_node_sets_the_status_only_if_the_status_changes() {
    let statuses = [
        (3, "RUNNING"),
        (4, "DOING"),
        (5, "DOING"),
        (6, ""),
        (7, "RUNNING"),
    ];
    let nodes = statuses
        .into_iter()
        .map(|(id, status)| Node {
            status_on_entry: status.into(),
            ..node(id, NodeKind::Router, &[])
        })
        .collect();
    let mut desk = Desk::new(straight(nodes));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            taken(3, 3, 4).into(),
            status_set("DOING", 4).into(),
            taken(4, 4, 5).into(),
            taken(5, 5, 6).into(),
            taken(6, 6, 7).into(),
            status_set("RUNNING", 7).into(),
            taken(7, 7, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn a_final_status_ends_the_ticket_before_the_node_is_entered() {
    for (status, approve_result, state) in [
        ("FINISHED", true, Status::Finished),
        ("TERMINATED", false, Status::Terminated),
        ("REVOKED", false, Status::Revoked),
    ] {
        let mut three = manual(3, &[BOSS]);
        three.status_on_entry = status.into();
        let mut desk = Desk::new(straight(vec![three]));
        assert_events(
            &desk.open(opening(&[])),
            &[taken(2, 2, 3).into(), closed(status, approve_result).into()],
        );
        assert_eq!(desk.ticket.status, state);
    }
}

#[test]
fn the_form_of_a_node_sets_the_status() {
    let mut three = manual(3, &[BOSS]);
    three.fields = vec!["current_status".into()];
    let desk = || Desk::opened(straight(vec![three.clone()]), &[]);
    let completed = |status: &str| NodeCompleted {
        form: entries(&[("current_status", status)]),
        ..completed(3, BOSS)
    };
    assert_events(
        &desk().act(&submit(3, BOSS, &[("current_status", "DOING")], "")),
        &[
            completed("DOING").into(),
            status_set("DOING", 3).into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
    assert_events(
        &desk().act(&submit(3, BOSS, &[("current_status", "TERMINATED")], "")),
        &[
            completed("TERMINATED").into(),
            closed("TERMINATED", false).into(),
        ],
    );
}

#[test]
fn the_form_of_a_vote_sets_the_status() {
    let mut three = approval(3, &[BOSS]);
    three.fields.push("current_status".into());
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    let form = [("DECISION", "true"), ("current_status", "DOING")];
    assert_events(
        &desk.act(&submit(3, BOSS, &form, "")),
        &[
            VoteCast {
                form: entries(&form),
                ..vote_cast(3, BOSS, true)
            }
            .into(),
            status_set("DOING", 3).into(),
            NodeCompleted {
                pass: Some(true),
                ..completed(3, BOSS)
            }
            .into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn a_closed_ticket_is_approved_only_if_all_open_votes_pass() {
    for (is_multi, earlier, pass, approve_result) in [
        (false, None, true, true),
        (false, None, false, false),
        (true, None, true, false),
        (true, Some(true), true, true),
        (true, Some(true), false, false),
        (true, Some(false), true, false),
    ] {
        let mut three = approval(3, &["p-a", BOSS]);
        three.is_multi = is_multi;
        three.fields.push("current_status".into());
        let mut desk = Desk::opened(straight(vec![three]), &[]);
        if let Some(earlier) = earlier {
            desk.act(&cast(3, "p-a", earlier));
        }
        let form = [("DECISION", decision(pass)), ("current_status", "FINISHED")];
        assert_events(
            &desk.act(&submit(3, BOSS, &form, "")),
            &[
                VoteCast {
                    form: entries(&form),
                    ..vote_cast(3, BOSS, pass)
                }
                .into(),
                closed("FINISHED", approve_result).into(),
            ],
        );
    }
}

#[test]
fn only_a_finished_ticket_is_approved_and_rated_after_a_close() {
    for (status, approve_result, rate_by) in [
        ("FINISHED", true, Some(IN_THREE_DAYS)),
        ("TERMINATED", false, None),
        ("REVOKED", false, None),
    ] {
        let mut desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &[]);
        desk.rates_after_three_days();
        assert_events(
            &desk.act(&close(status)),
            &[Closed {
                by: ROOT.into(),
                reason: Remark::new("r"),
                rate_by,
                ..closed(status, approve_result)
            }
            .into()],
        );
    }
}

#[test]
fn an_open_or_rejected_approval_prevents_the_approval_at_a_close() {
    for (vote, approve_result) in [(None, false), (Some(false), false), (Some(true), true)] {
        let nodes = vec![approval(3, &[BOSS]), manual(4, &[BOSS])];
        let mut desk = Desk::opened(straight(nodes), &[]);
        if let Some(pass) = vote {
            desk.act(&cast(3, BOSS, pass));
        }
        assert_events(
            &desk.act(&close("FINISHED")),
            &[Closed {
                by: ROOT.into(),
                reason: Remark::new("r"),
                ..closed("FINISHED", approve_result)
            }
            .into()],
        );
    }
}

#[test]
fn a_child_ends_with_the_approval_result_of_its_parent() {
    for (status, approve_result, rate_by) in [
        ("TERMINATED", true, None),
        ("FINISHED", true, Some(IN_THREE_DAYS)),
        ("FINISHED", false, Some(IN_THREE_DAYS)),
    ] {
        let mut desk = Desk::opened(straight(vec![approval(3, &[BOSS])]), &[]);
        desk.rates_after_three_days();
        desk.ticket.links.push(Link {
            other: "REQ2".into(),
            relation: Relation::ChildOf,
        });
        let command = Command::EndWithParent {
            parent: "REQ2".into(),
            status: status.into(),
            approve_result,
        };
        assert_events(
            &desk.act(&command),
            &[Closed {
                reason: Remark::new("母单 REQ2 已结束"),
                rate_by,
                ..closed(status, approve_result)
            }
            .into()],
        );
    }
}

#[test]
fn the_end_of_the_run_sets_the_instant_of_the_rating() {
    let mut desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &[]);
    desk.rates_after_three_days();
    let submit = submit(3, BOSS, &[], "");
    assert_events(
        &desk.decide(&submit).expect("submits"),
        &[
            completed(3, BOSS).into(),
            taken(3, 3, 9).into(),
            Finished {
                rate_by: Some(IN_THREE_DAYS),
                ..finished(true)
            }
            .into(),
        ],
    );
    desk.context.services.insert(ServiceId(7), None);
    let events = desk.decide(&submit).expect("submits");
    assert_eq!(
        events.last(),
        Some(&finished(true).into()),
        "the service is removed"
    );
}

#[test]
fn the_end_of_a_ticket_needs_the_service_and_the_time() {
    let mut three = manual(3, &[BOSS]);
    three.fields = vec!["current_status".into()];
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    desk.rates_after_three_days();
    let commands = [
        submit(3, BOSS, &[], ""),
        submit(3, BOSS, &[("current_status", "FINISHED")], ""),
    ];
    desk.context.now = None;
    for command in &commands {
        assert_eq!(desk.decide(command), needs(&[Lookup::Now]));
    }
    desk.context.services.clear();
    for command in &commands {
        assert_eq!(
            desk.decide(command),
            needs(&[Lookup::Service(ServiceId(7))])
        );
    }
}

//! These tests try every operation on a ticket, for each processing mode and each state of a node and for
//! each kind of person. An operation must be allowed, or rejected with the documented text
//! (reference/bk-itsm.md, sections 3.9, 3.10, 3.11, 5.4 and 6).
//!
//! The expected results are derived from reference/bk-itsm.md and not from the program.

use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;
use crate::workflow_builder::{line, manual};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Process,
    Claim,
    DistributeProcess,
    DistributeClaim,
    OrSign,
    MultiSign,
    Sequential,
    Sign,
    Automatic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Distributing,
    Receiving,
    Running,
    /// One approver has voted, and the node waits for the votes of the other approvers.
    Voted,
    Failed,
    Finished,
    /// The ticket reached the node and was then suspended, before a person processed the node.
    Suspended,
    Ended,
}

const PEOPLE: [&str; 6] = ["wangwu", "zhaoliu", "zhangsan", "lisi", "admin", "luren"];
const OPERATIONS: [&str; 18] = [
    "node:TRANSITION",
    "node:CLAIM",
    "node:DISTRIBUTE",
    "node:DELIVER",
    "node:TERMINATE",
    "node:SUSPEND",
    "node:UNSUSPEND",
    "ticket:SUSPEND",
    "ticket:UNSUSPEND",
    "ticket:WITHDRAW",
    "ticket:TERMINATE",
    "approve",
    "proceed_approval",
    "proceed_fast_approval",
    "comment",
    "add_follower",
    "edit_field",
    "ticket:CLOSE",
];

/// A person can decide an approval node from a chat message. If the node is already decided, the desk
/// returns an error text. The text begins with the ticket number and ends with this constant.
const HANDLED: &str = "当前单据审批操作已被处理";

impl Mode {
    const ALL: [Self; 9] = [
        Self::Process,
        Self::Claim,
        Self::DistributeProcess,
        Self::DistributeClaim,
        Self::OrSign,
        Self::MultiSign,
        Self::Sequential,
        Self::Sign,
        Self::Automatic,
    ];
    fn is_vote(self) -> bool {
        matches!(
            self,
            Self::OrSign | Self::MultiSign | Self::Sequential | Self::Sign
        )
    }
    fn is_multi(self) -> bool {
        self.is_vote() && self != Self::OrSign
    }
    fn states(self) -> Vec<State> {
        let own: &[State] = match self {
            Self::Process | Self::OrSign => &[State::Running],
            Self::Claim => &[State::Receiving, State::Running],
            Self::DistributeProcess => &[State::Distributing, State::Running],
            Self::DistributeClaim => &[State::Distributing, State::Receiving, State::Running],
            Self::MultiSign | Self::Sequential | Self::Sign => &[State::Running, State::Voted],
            Self::Automatic => &[State::Running, State::Failed],
        };
        own.iter()
            .copied()
            .chain([State::Finished, State::Suspended, State::Ended])
            .collect()
    }
    fn node(self) -> Value {
        let mut node = json!({ "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "wangwu,zhaoliu",
            "assignors_type": "PERSON", "assignors": "zhangsan", "can_deliver": true, "is_terminable": true });
        match self {
            Self::Process => {}
            Self::Claim => node["distribute_type"] = "CLAIM_THEN_PROCESS".into(),
            Self::DistributeProcess => node["distribute_type"] = "DISTRIBUTE_THEN_PROCESS".into(),
            Self::DistributeClaim => node["distribute_type"] = "DISTRIBUTE_THEN_CLAIM".into(),
            Self::Sign => node["type"] = "SIGN".into(),
            Self::Automatic => {
                node["type"] = "WEBHOOK".into();
                node["extras"] = json!({ "webhook_info": { "method": "POST", "url": "https://hook.example.com/" } });
            }
            _ => {
                node["type"] = "APPROVAL".into();
                node["is_multi"] = (self != Self::OrSign).into();
                node["is_sequential"] = (self == Self::Sequential).into();
            }
        }
        node
    }
}

/// Expected state of node 3: its status, the people who may process it, and the people who have already
/// voted.
struct NodeState {
    status: &'static str,
    processors: Vec<&'static str>,
    voted: Vec<&'static str>,
}

fn node_state(mode: Mode, state: State) -> NodeState {
    let first = match mode {
        Mode::Claim => State::Receiving,
        Mode::DistributeProcess | Mode::DistributeClaim => State::Distributing,
        _ => State::Running,
    };
    let both = vec!["wangwu", "zhaoliu"];
    match (
        mode,
        if state == State::Suspended {
            first
        } else {
            state
        },
    ) {
        (_, State::Distributing) => NodeState {
            status: "DISTRIBUTING",
            processors: vec!["zhangsan"],
            voted: vec![],
        },
        (_, State::Receiving) => NodeState {
            status: "RECEIVING",
            processors: both,
            voted: vec![],
        },
        (Mode::Automatic, State::Failed) => NodeState {
            status: "FAILED",
            processors: both,
            voted: vec![],
        },
        (Mode::Claim | Mode::DistributeProcess | Mode::DistributeClaim, State::Running) => {
            NodeState {
                status: "RUNNING",
                processors: vec!["wangwu"],
                voted: vec![],
            }
        }
        (_, State::Voted) => NodeState {
            status: "RUNNING",
            processors: both,
            voted: vec!["wangwu"],
        },
        (_, State::Running) => NodeState {
            status: "RUNNING",
            processors: both,
            voted: vec![],
        },
        // Node 3 is finished, and the ticket waits at node 4, which admin must process.
        (_, State::Finished) => NodeState {
            status: "FINISHED",
            processors: vec!["admin"],
            voted: vec![],
        },
        _ => NodeState {
            status: "FINISHED",
            processors: vec![],
            voted: vec![],
        },
    }
}

/// Returns the error text that reference/bk-itsm.md requires if the person `who` tries an operation. Node
/// 3 of the ticket has the given mode and state. Returns `None` if the operation is allowed.
fn expected(operation: &str, mode: Mode, state: State, who: &str) -> Option<String> {
    let now = node_state(mode, state);
    let over = state == State::Ended;
    let suspended = state == State::Suspended;
    // The superuser admin and the people who may process node 3 may manage the ticket, for example suspend
    // and resume the ticket.
    let manages = now.processors.contains(&who) || who == "admin";
    let no_right = Some(format!("0:抱歉，{who}无权操作该单据"));
    let not_at_all = Some(format!(
        "0:抱歉，{who}不能操作该节点（没有权限或操作类型不支持）"
    ));
    let closed = Some("0:抱歉，单据已关闭，无法操作".to_owned());
    let done = Some("0:抱歉，当前节点：3 已经结束".to_owned());
    let suspended_text = Some("0:抱歉，单据已挂起，无法操作".to_owned());
    let suspend = || match (manages, over || suspended) {
        (false, _) => no_right.clone(),
        (true, true) => Some("0:抱歉，该单据不在流程中，无法操作".to_owned()),
        _ => None,
    };
    let resume = || match (manages, suspended) {
        (false, _) => no_right.clone(),
        (true, false) => Some("0:抱歉，该单据不在挂起中，无法操作".to_owned()),
        _ => None,
    };
    let may_vote = || {
        let waiting: Vec<&str> = now
            .processors
            .iter()
            .filter(|name| !now.voted.contains(name))
            .copied()
            .collect();
        if mode == Mode::Sequential {
            waiting.first() == Some(&who)
        } else {
            waiting.contains(&who)
        }
    };
    // The desk checks several conditions of an operation. Section 3.9 of reference/bk-itsm.md defines the
    // order of these checks.
    let at_node = |action: &str| -> Option<String> {
        if over {
            return closed.clone();
        }
        if state == State::Finished {
            return done.clone();
        }
        let fits = match now.status {
            "RUNNING" => matches!(action, "TRANSITION" | "DELIVER" | "TERMINATE"),
            "RECEIVING" => action == "CLAIM",
            "DISTRIBUTING" => action == "DISTRIBUTE",
            _ => false,
        };
        let may = match mode {
            // An automatic node only calls an API, so the desk rejects all operations of people at this
            // node.
            Mode::Automatic => false,
            mode if mode.is_vote() => may_vote(),
            _ => now.processors.contains(&who) && fits,
        };
        if !may {
            return not_at_all.clone();
        }
        if suspended {
            return suspended_text.clone();
        }
        match action {
            "CLAIM" if mode.is_vote() => Some("参数验证失败: 当前节点无法进行【认领】操作".into()),
            "DISTRIBUTE" if mode.is_vote() => {
                Some("参数验证失败: 当前节点无法进行【分派】操作".into())
            }
            _ => None,
        }
    };
    match operation {
        "node:SUSPEND" | "node:UNSUSPEND" if over => closed,
        "node:SUSPEND" | "node:UNSUSPEND" if state == State::Finished => done,
        "node:SUSPEND" | "ticket:SUSPEND" => suspend(),
        "node:UNSUSPEND" | "ticket:UNSUSPEND" => resume(),
        "ticket:WITHDRAW" => match who {
            // The creator (lisi) and the superuser account (admin) may withdraw a ticket.
            "lisi" | "admin" if over => Some("0:抱歉，单据已经结束，无法撤销".into()),
            // By default, the creator can withdraw a ticket until a person processes a node or an API
            // call starts.
            "lisi" | "admin"
                if matches!(state, State::Finished | State::Voted) || mode == Mode::Automatic =>
            {
                Some("0:抱歉，单据执行中，无法撤销".into())
            }
            "lisi" | "admin" => None,
            _ => Some("0:抱歉，你无权撤销单据，只有提单人可以撤单".into()),
        },
        "ticket:TERMINATE" => match (manages, over) {
            (false, _) => no_right,
            (true, true) => Some("0:抱歉，该单据不在流程中，无法操作".into()),
            _ => None,
        },
        "ticket:CLOSE" => Some("单据操作失败，不支持的操作类型: CLOSE".into()),
        // For a decision from a chat message, the desk checks two conditions. The node must wait for a
        // decision, and the person must be an approver who has not voted yet.
        "proceed_fast_approval" if over || now.status != "RUNNING" => Some(HANDLED.into()),
        "proceed_fast_approval" if !now.processors.contains(&who) || now.voted.contains(&who) => {
            Some(format!("单据审批失败，{who}不是当前节点的审批人，无法审批"))
        }
        "approve" | "proceed_approval" | "proceed_fast_approval" => {
            if over {
                closed
            } else if state == State::Finished {
                done
            } else if !mode.is_vote() {
                Some("参数验证失败: 节点 3 不是处理中的审批节点".into())
            } else {
                at_node("TRANSITION")
            }
        }
        "comment" => match (over, who) {
            (false, _) => Some("参数验证失败: 单据未完成，无法评价".into()),
            (true, "lisi") => None,
            _ => Some("参数验证失败: 只有提单人可以评价".into()),
        },
        "add_follower" => None,
        "edit_field" => {
            if over {
                closed
            } else if manages || who == "lisi" {
                None
            } else {
                no_right
            }
        }
        other => at_node(other.trim_start_matches("node:")),
    }
}

struct Table {
    desk: TestDesk,
    services: Vec<(Mode, Value)>,
}

impl Table {
    async fn open() -> Self {
        let desk = TestDesk::open().await;
        let mut services = Vec::new();
        for mode in Mode::ALL {
            let opinion = json!({ "id": 8, "key": "opinion", "name": "意见", "type": "RADIO", "state_id": 3, "validate_type": "REQUIRE",
                "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] });
            let mut fields = vec![
                json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE" }),
            ];
            fields.extend(mode.is_vote().then_some(opinion));
            let flow = json!({ "is_revocable": true, "revoke_config": { "type": 2 },
                "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }, mode.node(), manual(4, "下一步", "admin"), { "id": 9, "type": "END" }],
                "edges": [line(1, 2), line(2, 3), line(3, 4), line(4, 9)], "fields": fields });
            let import_request = json!({ "name": format!("{mode:?}"), "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow });
            services.push((
                mode,
                desk.must("import_service", import_request).await["id"].clone(),
            ));
        }
        for name in PEOPLE {
            desk.app.people.pid(name).await.expect("a person");
        }
        Self { desk, services }
    }

    fn act(sn: &Value, who: &str, action: &str) -> Value {
        json!({ "sn": sn, "operator": who, "state_id": 3, "action_type": action, "action_message": "x", "processors_type": "PERSON", "processors": "wangwu" })
    }

    fn submitted(mode: Mode) -> Value {
        if mode.is_vote() {
            form(&[("opinion", "true")])
        } else {
            json!([])
        }
    }

    /// Creates a ticket whose node 3 has the given processing mode, and brings the node to the given
    /// state. Returns the ticket number.
    async fn ticket(&self, mode: Mode, state: State) -> Value {
        let desk = &self.desk;
        // Earlier tickets may still have API calls that have not run. These calls must run first, because
        // they would otherwise take the response that is prepared for the new ticket.
        desk.settle().await;
        let service = &self
            .services
            .iter()
            .find(|(known, _)| *known == mode)
            .expect("a service")
            .1;
        let sn = desk.must("create_ticket", json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) })).await["sn"].clone();
        if state == State::Suspended {
            desk.must("operate_ticket", json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "x" })).await;
            return sn;
        }
        if state == State::Distributing {
            return sn;
        }
        if matches!(mode, Mode::DistributeProcess | Mode::DistributeClaim) {
            let mut body = Self::act(&sn, "zhangsan", "DISTRIBUTE");
            body["processors"] = if mode == Mode::DistributeClaim {
                "wangwu,zhaoliu"
            } else {
                "wangwu"
            }
            .into();
            desk.must("operate_node", body).await;
        }
        if state == State::Receiving {
            return sn;
        }
        if matches!(mode, Mode::Claim | Mode::DistributeClaim) {
            desk.must("operate_node", Self::act(&sn, "wangwu", "CLAIM"))
                .await;
        }
        if mode == Mode::Automatic && state != State::Running {
            let answer = if state == State::Failed { "x" } else { "{}" };
            desk.receiver
                .answers
                .lock()
                .expect("answers")
                .push_back(Ok(infra::http::HttpResponse::of(200, answer.as_bytes())));
            desk.settle().await;
        }
        if matches!(state, State::Running | State::Failed) {
            return sn;
        }
        let voters: &[&str] = match (state, mode.is_multi()) {
            (_, _) if mode == Mode::Automatic => &[],
            (State::Voted, _) | (_, false) => &["wangwu"],
            _ => &["wangwu", "zhaoliu"],
        };
        for who in voters {
            let mut body = Self::act(&sn, who, "TRANSITION");
            body["fields"] = Self::submitted(mode);
            desk.must("operate_node", body).await;
        }
        if state == State::Ended {
            desk.must("operate_node", json!({ "sn": sn, "operator": "admin", "state_id": 4, "action_type": "TRANSITION", "fields": [] })).await;
        }
        sn
    }

    async fn perform(&self, operation: &str, mode: Mode, sn: &Value, who: &str) -> Value {
        let desk = &self.desk;
        if let Some(action) = operation.strip_prefix("node:") {
            let mut body = Self::act(sn, who, action);
            body["fields"] = Self::submitted(mode);
            if action == "DELIVER" {
                body["processors"] = "zhoujiu".into();
            }
            return desk.call("operate_node", body).await;
        }
        if let Some(action) = operation.strip_prefix("ticket:") {
            return desk.call("operate_ticket", json!({ "sn": sn, "operator": who, "action_type": action, "action_message": "x" })).await;
        }
        let body = match operation {
            "approve" => {
                json!({ "sn": sn, "state_id": 3, "approver": who, "action": "true", "remark": "" })
            }
            "proceed_approval" => {
                json!({ "process_inst_id": sn, "activity": 3, "handler": who, "submit_action": "true", "submit_opinion": "" })
            }
            "proceed_fast_approval" => {
                let id: i64 = format!("1{}", &sn.as_str().expect("sn")[3..])
                    .parse()
                    .expect("an id");
                json!({ "context": { "ticket_id": id, "state_id": 3 }, "approver": who, "status": "true" })
            }
            "comment" => json!({ "sn": sn, "stars": 5, "comments": "", "operator": who }),
            "add_follower" => {
                json!({ "sn": sn, "users": "chuyi", "attention": true, "operator": who })
            }
            _ => json!({ "sn": sn, "operator": who, "fields": form(&[("title", who)]) }),
        };
        desk.call(operation, body).await
    }
}

#[tokio::test]
async fn operations_match_the_reference_for_every_state_person_and_mode() {
    let table = Table::open().await;
    let (mut allowed, mut refused, mut wrong) = (0, 0, Vec::new());
    for mode in Mode::ALL {
        for state in mode.states() {
            for operation in OPERATIONS {
                // A rejected operation does not change the ticket. The test therefore uses the same ticket
                // for the next person.
                let mut sn = Value::Null;
                for who in PEOPLE {
                    if sn.is_null() {
                        sn = table.ticket(mode, state).await;
                    }
                    let envelope = table.perform(operation, mode, &sn, who).await;
                    let actual = (envelope["result"] != true)
                        .then(|| envelope["message"].as_str().expect("words").to_owned());
                    let actual = actual.map(|words| {
                        if words.ends_with(HANDLED) {
                            HANDLED.to_owned()
                        } else {
                            words
                        }
                    });
                    let expected_text = expected(operation, mode, state, who);
                    match &actual {
                        None => {
                            allowed += 1;
                            sn = Value::Null;
                        }
                        Some(_) => refused += 1,
                    }
                    if actual != expected_text {
                        wrong.push(format!(
                            "{mode:?} {state:?} {operation} {who}: {actual:?}, expected {expected_text:?}"
                        ));
                    }
                }
            }
        }
    }
    println!(
        "{} combinations: {allowed} allowed, {refused} rejected with the documented text",
        allowed + refused
    );
    assert!(
        wrong.is_empty(),
        "{} differ from the reference:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert!(allowed > 500 && refused > 1500, "{allowed} {refused}");
}

/// Returns the operations that exist only in the API `/v1`, and a request body for each operation.
fn v1_operations() -> [(&'static str, Value); 10] {
    [
        (
            "reassign",
            json!({ "node": 3, "to": { "people": ["zhoujiu"] }, "message": "x" }),
        ),
        ("retry", json!({ "node": 3 })),
        ("ignore", json!({ "node": 3, "message": "x" })),
        ("route", json!({ "node": 3, "transition": 3 })),
        ("acknowledge", json!({ "node": 3 })),
        ("resolve", json!({ "message": "x" })),
        ("escalate", json!({ "node": 3, "message": "x" })),
        ("remark", json!({ "text": "x" })),
        ("remind", json!({ "message": "x" })),
        ("close", json!({ "status": "FINISHED", "message": "x" })),
    ]
}

/// Returns true if the person is a participant of the ticket. The participants are the creator, the
/// managers, and all people who process or processed node 3.
fn concerns(mode: Mode, state: State, who: &str) -> bool {
    let is_distributed = matches!(mode, Mode::DistributeProcess | Mode::DistributeClaim);
    let was_taken_by_one = is_distributed || mode == Mode::Claim;
    match who {
        "lisi" | "admin" => true,
        "zhangsan" => is_distributed,
        "wangwu" | "zhaoliu" => match state {
            State::Suspended if is_distributed => false,
            State::Suspended | State::Receiving => true,
            State::Distributing => false,
            _ => who == "wangwu" || !was_taken_by_one,
        },
        _ => false,
    }
}

/// Returns the expected error if the person `who` tries an operation over `/v1`: the HTTP status and a
/// part of the error detail. Node 3 of the ticket has the given mode and state. Returns `None` if the
/// operation is allowed (design document, section 5; reference/bk-itsm.md, sections 5 and 8).
fn expected_over_v1(
    operation: &str,
    mode: Mode,
    state: State,
    who: &str,
) -> Option<(u16, &'static str)> {
    let now = node_state(mode, state);
    let (over, suspended) = (state == State::Ended, state == State::Suspended);
    let manages = who == "admin";
    let first = match (over, state) {
        (true, _) => Some((409, "the ticket has ended")),
        (_, State::Finished) => Some((409, "is finished")),
        _ => None,
    };
    let rejected_if_suspended = || suspended.then_some((409, "the ticket is suspended"));
    let forbidden = |may: bool| (!may).then_some((403, ""));
    let failed = mode == Mode::Automatic && state == State::Failed;
    let waits_for = |who: &str| now.processors.contains(&who) && !now.voted.contains(&who);
    match operation {
        "reassign" => first
            .or_else(|| forbidden(manages))
            .or_else(rejected_if_suspended),
        "retry" | "ignore" => first
            .or((!failed).then_some((409, "did not fail")))
            .or_else(|| forbidden(manages || now.processors.contains(&who))),
        "route" => first
            .or_else(rejected_if_suspended)
            .or_else(|| forbidden(manages))
            .or((!failed).then_some((409, "did not fail"))),
        "acknowledge" => first
            .or_else(|| forbidden(waits_for(who)))
            .or_else(rejected_if_suspended),
        "resolve" if over => Some((409, "the ticket has ended")),
        // If node 3 is finished, the operation applies to node 4, which admin must process.
        "resolve" if state == State::Finished => forbidden(manages),
        "resolve" => {
            let is_next = mode != Mode::Sequential
                || now.processors.iter().find(|name| !now.voted.contains(name)) == Some(&who);
            forbidden(
                waits_for(who) && now.status == "RUNNING" && mode != Mode::Automatic && is_next,
            )
            .or_else(rejected_if_suspended)
        }
        "escalate" => first
            .or_else(|| forbidden(concerns(mode, state, who)))
            .or_else(rejected_if_suspended)
            .or(mode.is_multi().then_some((409, "cannot be escalated"))),
        "remark" => forbidden(concerns(mode, state, who)),
        "remind" if over => Some((409, "the ticket has ended")),
        "remind" => Some((409, "does not allow reminding")),
        _ => forbidden(manages).or(over.then_some((409, "the ticket is not in process"))),
    }
}

#[tokio::test]
async fn v1_operations_match_the_design_for_every_state_person_and_mode() {
    let table = Table::open().await;
    let (mut allowed, mut refused, mut wrong) = (0, 0, Vec::new());
    for mode in Mode::ALL {
        for state in mode.states() {
            for (operation, body) in v1_operations() {
                let mut sn = Value::Null;
                for who in PEOPLE {
                    if sn.is_null() {
                        sn = table.ticket(mode, state).await;
                    }
                    let (status, answer) = table
                        .desk
                        .v1(
                            "POST",
                            &format!("tickets/{}/{operation}", sn.as_str().expect("sn")),
                            who,
                            body.clone(),
                        )
                        .await;
                    let expected = expected_over_v1(operation, mode, state, who);
                    let fits = match expected {
                        None => status == 200,
                        Some((code, words)) => {
                            status == code
                                && answer["detail"]
                                    .as_str()
                                    .is_some_and(|detail| detail.contains(words))
                        }
                    };
                    if status == 200 {
                        allowed += 1;
                        sn = Value::Null;
                    } else {
                        refused += 1;
                    }
                    if !fits {
                        wrong.push(format!("{mode:?} {state:?} {operation} {who}: {status} {}, expected {expected:?}", answer["detail"]));
                    }
                }
            }
        }
    }
    println!(
        "{} combinations over /v1: {allowed} allowed, {refused} rejected",
        allowed + refused
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert!(allowed > 300 && refused > 1000, "{allowed} {refused}");
}

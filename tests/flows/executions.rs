//! These tests check automation. A rule chooses a script for a node that waits for a person, the script runs,
//! and the desk completes the node. If the script does not succeed, a person must complete the node
//! (plans/automation.md, part 0).

use domain::automation::steps::AccountState;
use events::script::Level;
use functions::app::automation::definitions::Definitions;
use functions::host::local::follow_page;
use functions::registry::REGISTRY;
use functions::stream::follow::births::Births;
use infra::accounts::AccountsError;
use infra::sandbox::memory::ended;
use infra::sandbox::{Ended, Run};
use serde_json::{Value, json};
use tests::account_workflow;

use crate::TestDesk;

pub(crate) const PLATFORM: &str = r#"
    [[platform]]
    name = "company_directory"
    kind = "ldap"
    url = "ldaps://ldap.example.com"
    base = "ou=people,dc=example,dc=com"
    user = "cn=desk,dc=example,dc=com"
"#;
pub(crate) const UNLOCK: &str = r#"
    [[script]]
    name = "unlock_account"
    title = "解锁账号"
    version = "1.2.0"
    action = "unlock_account"
    platform = "company_directory"
    parameters = [{ name = "account" }]
    timeout_s = 120
"#;
pub(crate) const APPROVAL: &str = "approval = { people = [\"wangwu\", \"lisi\", \"zhaoliu\"] }";
pub(crate) const RULE: &str = r#"
    [[rule]]
    name = "unlock"
    node = "处理"
    when = [{ key = "kind", value = "unlock" }, { key = "ticket_service_type", value = "request" }]
    script = "unlock_account"
    parameters = { account = "${account}" }
    form = { result = "账号 ${account} 已解锁" }
"#;
const SHELL: &str = r#"
    [[script]]
    name = "disk_report"
    version = "3"
    shell = "df -h"
    parameters = [{ name = "host", is_required = false }]
    timeout_s = 60

    [[rule]]
    name = "report"
    node = "处理"
    when = [{ key = "kind", value = "report" }]
    script = "disk_report"
    parameters = { host = "${account}" }
"#;

/// A desk with one service. Each ticket of this service waits at a node until the user zhangsan or an
/// automation rule completes the node.
pub(crate) struct Automated {
    pub(crate) desk: TestDesk,
    pub(crate) service: Value,
}

impl Automated {
    pub(crate) async fn open(definitions: &[&str]) -> Self {
        let desk = TestDesk::open().await;
        let definition = account_workflow("账号服务", "处理");
        let service = json!({ "can_ticket_agency": true });
        let service = desk.publish(definition, service).await;
        let automated = Self { desk, service };
        automated.define(&definitions.concat()).await;
        let keys = &automated.desk.app.ledger.keys;
        keys.keep_secret("platform/company_directory", b"secret")
            .await
            .unwrap();
        automated
    }

    async fn define(&self, text: &str) {
        let definitions = Definitions::read(text).unwrap();
        definitions.store(&self.desk.app).await.unwrap();
        self.desk.followed().await;
    }

    async fn submit(&self, kind: &str, account: &str) -> Value {
        let sn = self.open_ticket(kind, account).await;
        self.desk.settle().await;
        sn
    }

    /// Opens a ticket without processing the messages in the queues.
    async fn open_ticket(&self, kind: &str, account: &str) -> Value {
        let fields = json!({ "title": "账号被锁", "kind": kind, "account": account });
        let body = json!({ "service_id": self.service, "fields": fields });
        let (status, opened) = self.desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{opened}");
        opened["sn"].clone()
    }

    /// Returns the number of messages that wait for a search for rules, and for a notification.
    async fn waiting(&self) -> [u64; 2] {
        let queue = &self.desk.app.queue;
        [
            queue.waiting("automate").await.unwrap(),
            queue.waiting("notify").await.unwrap(),
        ]
    }

    async fn get(&self, path: &str, user: &str) -> Value {
        let (status, shown) = self.desk.v1("GET", path, user, Value::Null).await;
        assert_eq!(status, 200, "{path}: {shown}");
        shown
    }

    /// Returns the execution (the run of a script) of a ticket. The ticket must have exactly one execution.
    pub(crate) async fn execution(&self, sn: &Value) -> Value {
        let path = format!("executions?ticket={}", sn.as_str().unwrap());
        let list = self.get(&path, "admin").await;
        assert_eq!(list["count"], 1, "{list}");
        let id = list["executions"][0]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        self.get(&format!("executions/{id}"), "admin").await
    }

    async fn status(&self, sn: &Value) -> Value {
        let path = format!("tickets/{}", sn.as_str().unwrap());
        self.get(&path, "admin").await["current_status"].clone()
    }

    /// Returns the texts of all remarks that the user zhangsan can read on a ticket.
    async fn remarks(&self, sn: &Value) -> Vec<String> {
        let path = format!("tickets/{}/remarks", sn.as_str().unwrap());
        let shown = self.get(&path, "zhangsan").await;
        let remarks = shown["remarks"].as_array().expect("remarks").iter();
        remarks
            .map(|remark| remark["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    async fn act(&self, user: &str, execution: &Value, action: &str, body: Value) -> (u16, Value) {
        let method = if action == "parameters" {
            "PUT"
        } else {
            "POST"
        };
        let path = format!("executions/{}/{action}", execution["id"].as_str().unwrap());
        let answer = self.desk.v1(method, &path, user, body).await;
        self.desk.settle().await;
        answer
    }

    async fn approve(&self, user: &str, execution: &Value) -> (u16, Value) {
        let body = json!({ "fingerprint": execution["fingerprint"] });
        self.act(user, execution, "approve", body).await
    }
}

fn locked() -> AccountState {
    AccountState::Locked("20261128010203Z".into())
}

fn steps(execution: &Value) -> Vec<(String, String, bool)> {
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let steps = execution["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| {
            let is_done = step["is_done"].as_bool().unwrap_or_default();
            (text(step, "step"), text(step, "text"), is_done)
        })
        .collect()
}

fn step(name: &str, text: &str, is_done: bool) -> (String, String, bool) {
    (name.to_owned(), text.to_owned(), is_done)
}

#[tokio::test]
async fn a_locked_account_is_unlocked_and_the_ticket_ends() {
    let automated = Automated::open(&[PLATFORM, UNLOCK, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let rules = automated.get("rules", "admin").await;
    let script = rules["rules"][0]["script"].as_str().unwrap().to_owned();
    let script = automated.get(&format!("scripts/{script}"), "admin").await;
    assert_eq!(script["name"], rules["rules"][0]["script"]);
    let sn = automated.submit("unlock", "lisi").await;
    assert_eq!(automated.status(&sn).await, "FINISHED");
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "succeeded", "{execution}");
    assert_eq!(execution["is_closed"], true);
    assert_eq!(
        steps(&execution),
        [
            step("read", "the account is locked since 20261128010203Z", true),
            step("unlock", "the directory removed the lock", true),
            step("check", "the account is not locked", true),
        ]
    );
    // The execution stores the conditions of its rule. For each condition, it also stores the value that the
    // desk found in the ticket. This value is readable if the form field is not encrypted.
    let tested = json!([
        { "clause": "kind == unlock", "found": "unlock", "holds": true },
        { "clause": "ticket_service_type == request", "found": "request", "holds": true },
    ]);
    assert_eq!(execution["tested"], tested);
    let shown = automated
        .get(&format!("tickets/{}", sn.as_str().unwrap()), "admin")
        .await;
    assert!(shown.to_string().contains("账号 lisi 已解锁"), "{shown}");
    let history = automated
        .get(&format!("tickets/{}/events", sn.as_str().unwrap()), "admin")
        .await;
    assert!(history.to_string().contains("自动化处理完成"), "{history}");

    let again = automated.submit("unlock", "lisi").await;
    assert_eq!(automated.status(&again).await, "FINISHED");
    let execution = automated.execution(&again).await;
    assert_eq!(execution["state"], "no_change");
    assert_eq!(automated.desk.accounts.changes(), ["lisi"]);
}

#[tokio::test]
async fn a_ticket_without_a_matching_rule_waits_for_its_people() {
    let automated = Automated::open(&[PLATFORM, UNLOCK, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("question", "lisi").await;
    assert_eq!(automated.status(&sn).await, "RUNNING");
    let list = automated.get("executions", "admin").await;
    assert_eq!(list["count"], 0);
}

#[tokio::test]
async fn a_ticket_causes_no_message_without_a_rule_for_its_node() {
    let other = RULE.replace("node = \"处理\"", "node = \"另一个节点\"");
    let automated = Automated::open(&[PLATFORM, UNLOCK, &other]).await;
    automated.open_ticket("unlock", "lisi").await;
    automated.desk.followed().await;
    assert_eq!(automated.waiting().await, [0, 0]);
    automated.define(&[PLATFORM, UNLOCK, RULE].concat()).await;
    automated.open_ticket("unlock", "lisi").await;
    automated.desk.followed().await;
    assert_eq!(automated.waiting().await, [1, 0]);
}

/// The follower can read a rule and a later ticket in one page. The list of rules does not contain this rule yet.
#[tokio::test]
async fn a_rule_applies_to_a_ticket_that_is_opened_immediately_after_it() {
    let automated = Automated::open(&[PLATFORM, UNLOCK]).await;
    automated.open_ticket("question", "lisi").await;
    automated.desk.followed().await;
    assert_eq!(automated.waiting().await, [0, 0]);
    automated.desk.stop_following();
    let followed = automated.desk.head().await;
    let definitions = Definitions::read(&[PLATFORM, UNLOCK, RULE].concat()).unwrap();
    definitions.store(&automated.desk.app).await.unwrap();
    automated.open_ticket("unlock", "lisi").await;
    let app = &automated.desk.app;
    let births = Births::load(&app.ledger, REGISTRY).await.unwrap();
    let reached = follow_page(app, &births, followed).await.unwrap();
    assert_eq!(reached, automated.desk.head().await, "one page");
    // The follower cannot know which messages are needed, so it creates all: a search for rules, the start of an
    // escalation, the start of reminders and a search for subscriptions for each of the two nodes, a check of
    // escalations and a search for outdated notifications after the first node, and a notification.
    assert_eq!(automated.waiting().await, [2, 9]);
}

#[tokio::test]
async fn a_failure_leaves_the_node_with_its_people_and_the_evidence() {
    let automated = Automated::open(&[PLATFORM, UNLOCK, RULE]).await;
    automated
        .desk
        .accounts
        .set("boss", AccountState::LockedByAdministrator);
    for (account, finding, reason, chinese) in [
        (
            "nobody",
            "account_missing",
            "the directory has no such account",
            "目录中没有该账号",
        ),
        (
            "boss",
            "account_locked_by_administrator",
            "an administrator locked the account; a person must decide whether it is unlocked",
            "账号由管理员锁定，须由人工决定是否解锁",
        ),
    ] {
        let sn = automated.submit("unlock", account).await;
        assert_eq!(automated.status(&sn).await, "RUNNING");
        let execution = automated.execution(&sn).await;
        assert_eq!(execution["state"], "failed");
        assert_eq!(execution["reason"], reason);
        assert_eq!(execution["steps"][0]["finding"], finding);
        assert_eq!(execution["is_closed"], true);
        let remarks = automated.remarks(&sn).await;
        assert_eq!(remarks.len(), 1);
        assert!(
            remarks[0].starts_with("自动化处理失败，请人工处理：解锁账号 1.2.0"),
            "{remarks:?}"
        );
        let step = format!("✗ 查询账号状态：{chinese}");
        assert!(remarks[0].contains(&step), "{remarks:?}");
        let path = format!("executions/{}", execution["id"].as_str().unwrap());
        let headers = [("accept-language", "zh-CN")];
        let translated = automated
            .desk
            .v1_with("GET", &path, "admin", Value::Null, &headers);
        let (_, translated) = translated.await;
        assert_eq!(translated["reason"], chinese);
        assert_eq!(translated["steps"][0]["text"], chinese);
        // After a failed script, the user zhangsan can still complete the node.
        let body = json!({ "node": 3, "fields": { "result": "人工处理" } });
        let path = format!("tickets/{}/submit", sn.as_str().unwrap());
        let (status, answer) = automated.desk.v1("POST", &path, "zhangsan", body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(automated.status(&sn).await, "FINISHED");
    }
    assert!(automated.desk.accounts.changes().is_empty());
}

#[tokio::test]
async fn an_unavailable_directory_is_tried_again_and_wrong_credentials_are_not() {
    let automated = Automated::open(&[PLATFORM, UNLOCK, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let unavailable = || AccountsError::Unavailable("the directory does not answer".into());
    automated.desk.accounts.fail(unavailable());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "running");
    assert_eq!(
        steps(&execution),
        [step(
            "read",
            "the directory cannot be used now: the directory does not answer",
            false
        )]
    );
    automated.desk.clock.advance(4_999);
    automated.desk.settle().await;
    assert_eq!(automated.execution(&sn).await["state"], "running");
    automated.desk.clock.advance(1);
    automated.desk.settle().await;
    assert_eq!(automated.execution(&sn).await["state"], "succeeded");
    assert_eq!(automated.status(&sn).await, "FINISHED");

    automated.desk.accounts.set("lisi", locked());
    automated
        .desk
        .accounts
        .fail(AccountsError::Refused("wrong credentials".into()));
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(
        (execution["state"].clone(), steps(&execution).len()),
        (json!("failed"), 1)
    );
}

#[tokio::test]
async fn an_execution_ends_at_its_maximum_duration() {
    let automated = Automated::open(&[PLATFORM, UNLOCK, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    // The directory does not respond, so the desk waits for the next attempt. The execution must end after
    // its maximum duration of 120 s, although no attempt succeeded.
    automated.desk.accounts.fail(AccountsError::Unavailable(
        "the directory does not answer".into(),
    ));
    let sn = automated.submit("unlock", "lisi").await;
    automated.desk.clock.advance(120_000);
    automated.desk.settle().await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "timed_out", "{execution}");
    assert_eq!(automated.status(&sn).await, "RUNNING");
    assert!(automated.remarks(&sn).await[0].starts_with("自动化处理超时"));
    assert!(automated.desk.accounts.changes().is_empty());
}

#[tokio::test]
async fn another_person_approves_exactly_what_is_executed() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "awaiting_approval");
    // The script names lisi as an approver. The desk removes lisi from the approvers, because lisi created the
    // ticket.
    assert_eq!(execution["approvers"].as_array().map(Vec::len), Some(2));
    assert!(automated.desk.accounts.changes().is_empty());
    // The person who created the ticket and uninvolved people may not read the execution. Their approvals are
    // therefore rejected with status 404.
    for user in ["lisi", "outsider"] {
        assert_eq!(automated.approve(user, &execution).await.0, 404, "{user}");
    }
    // A superuser and the person who processes the node may read the execution, but may not approve it.
    for user in ["admin", "zhangsan"] {
        let (status, answer) = automated.approve(user, &execution).await;
        assert_eq!(status, 403, "{answer}");
    }
    let wrong = json!({ "fingerprint": "0".repeat(64) });
    let (status, answer) = automated.act("wangwu", &execution, "approve", wrong).await;
    assert_eq!(status, 409, "{answer}");
    let waiting = automated.get("executions?approver=wangwu", "wangwu").await;
    assert_eq!(waiting["executions"][0]["id"], execution["id"]);
    let (status, _) = automated
        .desk
        .v1("GET", "executions?approver=wangwu", "zhaoliu", Value::Null)
        .await;
    assert_eq!(status, 403);
    let (status, approved) = automated.approve("wangwu", &execution).await;
    assert_eq!(
        (status, &approved["approved_by"]),
        (200, &json!("wangwu")),
        "{approved}"
    );
    assert_eq!(automated.execution(&sn).await["state"], "succeeded");
    assert_eq!(automated.status(&sn).await, "FINISHED");
    assert_eq!(automated.desk.accounts.changes(), ["lisi"]);
    // The user wangwu has already approved the execution, so the desk rejects the approval of zhaoliu.
    assert_eq!(automated.approve("zhaoliu", &execution).await.0, 409);
}

#[tokio::test]
async fn a_changed_parameter_voids_the_approval() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    automated.desk.accounts.set("lisi2", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let first = automated.execution(&sn).await;
    for (parameters, expected) in [
        (json!({}), "`account` is missing"),
        (
            json!({ "account": "x", "force": "1" }),
            "no parameter `force`",
        ),
    ] {
        let body = json!({ "parameters": parameters });
        let (status, answer) = automated.act("wangwu", &first, "parameters", body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains(expected), "{answer}");
    }
    let body = json!({ "parameters": { "account": "lisi2" } });
    let (status, changed) = automated.act("wangwu", &first, "parameters", body).await;
    assert_eq!(status, 200, "{changed}");
    assert_ne!(changed["fingerprint"], first["fingerprint"]);
    assert_eq!(changed["editors"], json!(["wangwu"]));
    assert_eq!(changed["parameters"], json!({ "account": "lisi2" }));
    // An approval with the fingerprint (hash) of the old parameters is rejected. The user wangwu changed the
    // parameters, so wangwu may not approve them.
    assert_eq!(automated.approve("zhaoliu", &first).await.0, 409);
    assert_eq!(automated.approve("wangwu", &changed).await.0, 403);
    assert_eq!(automated.approve("zhaoliu", &changed).await.0, 200);
    assert_eq!(automated.execution(&sn).await["state"], "succeeded");
    assert_eq!(automated.desk.accounts.changes(), ["lisi2"]);
    // The desk fills in the form with the changed parameters, because the script uses these parameters.
    assert_eq!(changed["form"], json!({ "result": "账号 lisi2 已解锁" }));
    let shown = automated
        .get(&format!("tickets/{}", sn.as_str().unwrap()), "admin")
        .await;
    assert!(shown.to_string().contains("账号 lisi2 已解锁"), "{shown}");
}

#[tokio::test]
async fn a_person_who_opened_the_ticket_for_another_person_may_not_approve() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    let fields = json!({ "title": "账号被锁", "kind": "unlock", "account": "lisi" });
    let body = json!({ "service_id": automated.service, "creator": "lisi", "fields": fields });
    let (status, opened) = automated.desk.v1("POST", "tickets", "wangwu", body).await;
    assert_eq!(status, 201, "{opened}");
    automated.desk.settle().await;
    let execution = automated.execution(&opened["sn"]).await;
    assert_eq!(execution["requester"], "lisi");
    assert_eq!(execution["approvers"], json!(["zhaoliu"]));
}

#[tokio::test]
async fn a_platform_that_was_changed_after_the_request_gets_no_execution() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    automated
        .define(&PLATFORM.replace("ldap.example.com", "other.example.com"))
        .await;
    assert_eq!(automated.approve("wangwu", &execution).await.0, 200);
    let execution = automated.execution(&sn).await;
    let reason = "the platform company_directory was changed after the request";
    assert_eq!(execution["reason"], reason, "{execution}");
    assert!(automated.desk.accounts.changes().is_empty());
}

#[tokio::test]
async fn a_suspended_ticket_gets_its_execution_after_it_is_resumed() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    let act = async |action: &str, body: Value| {
        let path = format!("tickets/{}/{action}", sn.as_str().unwrap());
        let (status, answer) = automated.desk.v1("POST", &path, "admin", body).await;
        assert_eq!(status, 200, "{answer}");
        automated.desk.settle().await;
    };
    act("suspend", json!({ "message": "等待" })).await;
    assert_eq!(automated.approve("wangwu", &execution).await.0, 200);
    assert_eq!(automated.execution(&sn).await["state"], "running");
    assert!(automated.desk.accounts.changes().is_empty());
    act("resume", json!({})).await;
    automated.desk.clock.advance(30_000);
    automated.desk.settle().await;
    assert_eq!(automated.execution(&sn).await["state"], "succeeded");
    assert_eq!(automated.desk.accounts.changes(), ["lisi"]);
}

#[tokio::test]
async fn an_effect_on_a_ticket_that_moved_on_is_told_to_people() {
    let automated = Automated::open(&[SHELL]).await;
    let sn = automated.submit("report", "web-1").await;
    let body = json!({ "node": 3, "fields": { "result": "人工处理" } });
    let path = format!("tickets/{}/submit", sn.as_str().unwrap());
    let (status, _) = automated.desk.v1("POST", &path, "zhangsan", body).await;
    assert_eq!(status, 200);
    automated.desk.sandbox.end_all(&ended(0, "done\n"));
    automated.desk.clock.advance(1_000);
    automated.desk.settle().await;
    assert_eq!(automated.execution(&sn).await["state"], "succeeded");
    let remarks = automated.remarks(&sn).await;
    assert!(remarks[0].starts_with("自动化处理完成"), "{remarks:?}");
}

/// The desk adds remarks to a ticket, and these remarks can contain the output of a script. The desk therefore
/// encrypts its remarks with the key of the person who created the ticket.
#[tokio::test]
async fn remarks_of_the_desk_are_unreadable_after_the_requester_is_erased() {
    let automated = Automated::open(&[SHELL]).await;
    let sn = automated.submit("report", "web-1").await;
    automated
        .desk
        .sandbox
        .end_all(&ended(3, "the-private-output\n"));
    automated.desk.clock.advance(1_000);
    automated.desk.settle().await;
    assert!(automated.remarks(&sn).await[0].contains("the-private-output"));
    let app = &automated.desk.app;
    let pid = app.people.find("lisi").await.unwrap();
    app.ledger.keys.erase(&pid).await.unwrap();
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["output"], Value::Null);
    let remarks = automated.remarks(&sn).await;
    assert!(
        !remarks.concat().contains("the-private-output"),
        "{remarks:?}"
    );
}

#[tokio::test]
async fn a_rejected_or_expired_execution_goes_to_people() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    let body = json!({ "reason": "账号不属于申请人" });
    let (status, rejected) = automated.act("wangwu", &execution, "reject", body).await;
    assert_eq!(
        (status, &rejected["state"]),
        (200, &json!("rejected")),
        "{rejected}"
    );
    assert_eq!(rejected["rejected_by"], "wangwu");
    assert!(automated.remarks(&sn).await[0].contains("账号不属于申请人"));

    let sn = automated.submit("unlock", "lisi").await;
    automated.desk.clock.advance(30 * 60_000 - 1);
    automated.desk.settle().await;
    assert_eq!(automated.execution(&sn).await["state"], "awaiting_approval");
    automated.desk.clock.advance(1);
    automated.desk.settle().await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "expired");
    assert!(automated.remarks(&sn).await[0].contains("未在期限内获得批准"));
    assert_eq!(automated.approve("wangwu", &execution).await.0, 409);
    assert_eq!(automated.status(&sn).await, "RUNNING");
    assert!(automated.desk.accounts.changes().is_empty());
}

#[tokio::test]
async fn a_script_that_only_the_requester_may_approve_goes_to_people() {
    let script = [UNLOCK, "approval = { people = [\"lisi\"] }"].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "failed");
    assert_eq!(
        execution["reason"],
        "no person except the requester may approve the script"
    );
    assert_eq!(automated.status(&sn).await, "RUNNING");
}

#[tokio::test]
async fn an_execution_is_canceled_if_the_ticket_moved_on() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    let body = json!({ "node": 3, "fields": { "result": "人工处理" } });
    let path = format!("tickets/{}/submit", sn.as_str().unwrap());
    let (status, _) = automated.desk.v1("POST", &path, "zhangsan", body).await;
    assert_eq!(status, 200);
    assert_eq!(automated.approve("wangwu", &execution).await.0, 200);
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "canceled", "{execution}");
    assert!(automated.desk.accounts.changes().is_empty());
}

#[tokio::test]
async fn a_success_that_cannot_complete_its_node_is_told_to_people() {
    let rule = RULE.replace("form = { result = \"账号 ${account} 已解锁\" }", "");
    let automated = Automated::open(&[PLATFORM, UNLOCK, &rule]).await;
    automated.desk.accounts.set("lisi", locked());
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "succeeded");
    assert_eq!(execution["is_closed"], true);
    assert_eq!(automated.status(&sn).await, "RUNNING");
    let remarks = automated.remarks(&sn).await;
    assert!(
        remarks[0].contains("节点未能自动完成，请人工处理"),
        "{remarks:?}"
    );
}

#[tokio::test]
async fn a_shell_script_runs_once_and_its_level_is_recorded() {
    let rule = SHELL.replace(
        "parameters = { host",
        "form = { result = \"见输出\" }\nparameters = { host",
    );
    let automated = Automated::open(&[&rule]).await;
    let sn = automated.submit("report", "web-1").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "running");
    automated.desk.sandbox.end_all(&ended(0, "/dev/vda 50%\n"));
    automated.desk.clock.advance(1_000);
    automated.desk.settle().await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "succeeded", "{execution}");
    assert_eq!(
        (&execution["level"], &execution["exit_code"]),
        (&json!("network"), &json!(0))
    );
    assert_eq!(execution["output"], "/dev/vda 50%\n");
    assert_eq!(automated.status(&sn).await, "FINISHED");
    let started = automated.desk.sandbox.started();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].parameters["host"], "web-1");
    assert!(started[0].timeout_ms <= 60_000);
}

#[tokio::test]
async fn a_failed_shell_script_goes_to_people_with_its_output() {
    let automated = Automated::open(&[SHELL]).await;
    for (run, state, text) in [
        (ended(3, "no such host\n"), "failed", "no such host"),
        (Run::Lost, "unknown", "结果未知"),
        (
            Run::Ended(Ended {
                level: Level::Network,
                is_timed_out: true,
                ..Ended::default()
            }),
            "timed_out",
            "自动化处理超时",
        ),
        (
            Run::Ended(Ended {
                level: Level::Network,
                exit_code: Some(137),
                is_exceeded: true,
                ..Ended::default()
            }),
            "resource_exceeded",
            "超出资源限制",
        ),
        (
            Run::Ended(Ended {
                problem: "the sandbox did not start".into(),
                ..Ended::default()
            }),
            "failed",
            "the sandbox did not start",
        ),
    ] {
        let sn = automated.submit("report", "web-1").await;
        automated.desk.sandbox.end_all(&run);
        automated.desk.clock.advance(1_000);
        automated.desk.settle().await;
        let execution = automated.execution(&sn).await;
        assert_eq!(execution["state"], state, "{execution}");
        let remarks = automated.remarks(&sn).await;
        assert!(remarks[0].contains(text), "{remarks:?}");
        assert_eq!(automated.status(&sn).await, "RUNNING");
    }
}

#[tokio::test]
async fn a_run_that_does_not_exist_any_more_is_never_started_again() {
    let automated = Automated::open(&[SHELL]).await;
    let sn = automated.submit("report", "web-1").await;
    automated.desk.sandbox.forget();
    automated.desk.clock.advance(1_000);
    automated.desk.settle().await;
    assert_eq!(automated.execution(&sn).await["state"], "unknown");
    assert_eq!(automated.desk.sandbox.started().len(), 1);
}

#[tokio::test]
async fn a_weaker_sandbox_than_the_script_needs_is_refused() {
    let automated = Automated::open(&[SHELL]).await;
    automated.desk.sandbox.set_level(Level::Files);
    let sn = automated.submit("report", "web-1").await;
    let execution = automated.execution(&sn).await;
    assert_eq!(execution["state"], "failed");
    let reason = "the script needs the sandbox level network, but this machine reaches only files";
    assert_eq!(
        (&execution["reason"], &execution["level"]),
        (&json!(reason), &json!("files"))
    );
    assert!(automated.desk.sandbox.started().is_empty());
}

#[tokio::test]
async fn deleted_views_start_no_execution_again() {
    let automated = Automated::open(&[PLATFORM, UNLOCK, RULE, SHELL]).await;
    automated.desk.accounts.set("lisi", locked());
    automated.submit("unlock", "lisi").await;
    automated.submit("report", "web-1").await;
    let head = automated.desk.head().await;
    let Automated { desk, service } = automated;
    let desk = desk.restart_without_views().await;
    desk.accounts.set("lisi", locked());
    desk.settle().await;
    let automated = Automated { desk, service };
    assert_eq!(automated.desk.head().await, head, "no commit is added");
    assert_eq!(automated.desk.accounts.changes(), ["lisi"]);
    assert_eq!(automated.desk.sandbox.started().len(), 1);
    assert_eq!(automated.get("executions", "admin").await["count"], 2);
}

#[tokio::test]
async fn an_erased_requester_leaves_no_parameters() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    let sn = automated.submit("unlock", "lisi-secret-account").await;
    let execution = automated.execution(&sn).await;
    let app = &automated.desk.app;
    let pid = app.people.find("lisi").await.unwrap();
    app.ledger.keys.erase(&pid).await.unwrap();
    let (status, approved) = automated.approve("wangwu", &execution).await;
    assert_eq!(status, 200, "{approved}");
    let execution = automated.execution(&sn).await;
    assert_eq!(
        execution["reason"], "the parameters were erased",
        "{execution}"
    );
    assert_eq!(execution["parameters"], Value::Null);
}

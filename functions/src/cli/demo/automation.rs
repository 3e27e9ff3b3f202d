//! Adds automation to the demo. For some tickets, the desk unlocks accounts in an LDAP directory after an approval. For
//! one ticket, the desk runs a shell script in a sandbox.
//!
//! The LDAP directory is an OpenLDAP server on this machine. The sandbox is the program bubblewrap. If one of these two
//! programs cannot run, an imitation in this program replaces it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::automation::steps::AccountState;
use events::script::Level;
use infra::accounts::Accounts;
use infra::accounts::memory::Memory;
use infra::sandbox::Sandbox;
use infra::sandbox::bubblewrap::Bubblewrap;
use serde_json::{Value, json};

use super::day::Client;
use super::fakes::sandbox::Idle;
use super::slapd::{BASE, CLOSED, FREE, LOCKED, PASSWORD, Slapd, USER};
use super::{SystemLine, reach_status, until};
use crate::App;
use crate::app::automation::definitions::Definitions;
use crate::app::automation::executions::PLATFORM;

/// The name of the subdirectory for the files of the OpenLDAP server. The subdirectory is in the data directory of the
/// desk.
const FOLDER: &str = "ldap";
/// The user name of the person who approves the scripts of the demo.
const APPROVER: &str = "wangwu";
/// The user name of the superuser, who opens one of the tickets. The desk must reject an approval by the person who
/// opened the ticket, even if this person is the superuser.
const SUPERUSER: &str = "admin";
/// The tickets that request the unlock of an account. Each entry contains the user name of the requester, the account,
/// and the expected final state of the script execution.
const UNLOCKS: [(&str, &str, &str); 5] = [
    (SUPERUSER, LOCKED[0], SUCCEEDED),
    (LOCKED[1], LOCKED[1], SUCCEEDED),
    (LOCKED[2], LOCKED[2], SUCCEEDED),
    (FREE, FREE, NO_CHANGE),
    (CLOSED, CLOSED, FAILED),
];
/// The final states of a script execution: successful, successful without a change, or failed.
const SUCCEEDED: &str = "succeeded";
const NO_CHANGE: &str = "no_change";
const FAILED: &str = "failed";
/// The time at which the accounts in the imitated LDAP directory were locked.
const LOCKED_SINCE: &str = "20261128083000Z";
/// The text that the demo prints if an imitated sandbox replaces bubblewrap.
const NO_SANDBOX: &str = "the shell script does not run, because bubblewrap is missing or cannot be used on this machine";

/// The TOML definitions of the scripts and the rules of the demo. A rule selects the script for a ticket. The function
/// [`platform`] defines the platform `company_directory`.
const SCRIPTS_AND_RULES: &str = r#"
[[script]]
name = "unlock_account"
title = "解锁账号"
version = "1.0.0"
action = "unlock_account"
platform = "company_directory"
parameters = [{ name = "account" }]
approval = { people = ["wangwu"], expires_after_min = 30 }

[[script]]
name = "disk_report"
title = "磁盘使用情况"
version = "1.0.0"
shell = """
df -h /usr
cat "$PARAMETERS"
"""
parameters = [{ name = "host" }]

[[rule]]
name = "unlock"
order = 1
node = "账号处理"
when = [{ key = "kind", value = "unlock" }]
script = "unlock_account"
parameters = { account = "${account}" }
form = { result = "账号 ${account} 未锁定" }

[[rule]]
name = "report"
order = 2
node = "账号处理"
when = [{ key = "kind", value = "disk" }]
script = "disk_report"
parameters = { host = "${account}" }
form = { result = "见执行记录" }
"#;

/// Returns the TOML definition of the platform (the system in which the scripts unlock accounts). This platform is an
/// LDAP directory. `port` is the port of the OpenLDAP server.
fn platform(port: u16) -> String {
    format!(
        "[[platform]]\nname = \"company_directory\"\nkind = \"ldap\"\nurl = \"ldap://127.0.0.1:{port}\"\n\
         tls = \"none\"\nbase = \"{BASE}\"\nuser = \"{USER}\"\n"
    )
}

/// Returns the workflow of the tickets for accounts and shell scripts. At node 3 (a step of the workflow), the rules of
/// the demo select the script of a ticket.
fn workflow() -> Value {
    json!({
        "name": "账号服务",
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title", "kind", "account"] },
            { "id": 3, "name": "账号处理", "kind": "NORMAL", "processors": { "type": "PERSON", "who": ["zhangsan"] }, "fields": ["result"] },
            { "id": 9, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [
            { "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true },
            { "id": 2, "key": "kind", "type": "STRING", "name": "类型" },
            { "id": 3, "key": "account", "type": "STRING", "name": "账号" },
            { "id": 4, "key": "result", "type": "STRING", "name": "结果", "is_required": true },
        ],
    })
}

/// The LDAP directory that contains the accounts: an OpenLDAP server, or an imitation in memory.
enum Directory {
    Slapd(Slapd),
    /// An imitation of the LDAP directory in memory, and the reason why no OpenLDAP server runs.
    Memory(Arc<Memory>, String),
}

impl Directory {
    async fn start(folder: &Path, search_path: &str) -> Self {
        match Slapd::start(folder, search_path).await {
            Ok(slapd) => Self::Slapd(slapd),
            Err(reason) => {
                let memory = Memory::default();
                for account in LOCKED {
                    memory.set(account, AccountState::Locked(LOCKED_SINCE.into()));
                }
                memory.set(FREE, AccountState::NotLocked);
                memory.set(CLOSED, AccountState::LockedByAdministrator);
                Self::Memory(Arc::new(memory), reason)
            }
        }
    }

    /// Returns the port of the OpenLDAP server. For the imitation, the result is only a placeholder, because the
    /// imitation has no server.
    fn port(&self) -> u16 {
        match self {
            Self::Slapd(slapd) => slapd.port,
            Self::Memory(..) => 389,
        }
    }

    /// Checks that the scripts have unlocked exactly the accounts in [`LOCKED`]. An account that an administrator
    /// locked must remain locked.
    async fn check(&self, app: &App) -> Result<(), String> {
        match self {
            Self::Slapd(slapd) => {
                let unlocked = LOCKED.map(|account| (account, AccountState::NotLocked));
                let closed = (CLOSED, AccountState::LockedByAdministrator);
                for (account, expected) in unlocked.into_iter().chain([closed]) {
                    let state = app.accounts.read(&slapd.server(), account).await;
                    if state != Ok(expected) {
                        return Err(format!(
                            "the account {account} is in an unexpected state after the executions: {state:?}"
                        ));
                    }
                }
            }
            Self::Memory(memory, _) => {
                let mut changes = memory.changes();
                changes.sort();
                let mut expected = LOCKED.map(str::to_owned);
                expected.sort();
                if changes != expected {
                    return Err(format!(
                        "the executions unlocked {changes:?} instead of {expected:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The parts of the demo for automation: the LDAP directory, the sandbox, and the service whose tickets run scripts.
pub(super) struct Automation {
    directory: Directory,
    /// The imitated sandbox. The value is `None` if bubblewrap runs the scripts.
    sandbox: Option<Arc<Idle>>,
    /// The id of the service whose tickets run scripts.
    service: Value,
}

impl Automation {
    /// Starts the OpenLDAP server (slapd), and checks whether bubblewrap can run scripts. The function searches both
    /// programs in the directories of `search_path`. An imitation replaces a program that cannot run. The files of the
    /// server are below `data`.
    pub(super) async fn start(data: &Path, search_path: &str) -> Result<Self, String> {
        let folder = data.join(FOLDER);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        // The OpenLDAP server (slapd) starts only after this check of bubblewrap. The check opens a pipe and ends when
        // the pipe is closed. A process that starts during the check can inherit the pipe, and then keeps the pipe
        // open.
        let bubblewrap = Bubblewrap::new(PathBuf::new(), PathBuf::new(), search_path);
        let is_real = bubblewrap.level().await == Level::Network;
        Ok(Self {
            directory: Directory::start(&folder, search_path).await,
            sandbox: (!is_real).then(Arc::default),
            service: Value::Null,
        })
    }

    /// Returns the imitated LDAP directory, or `None` if an OpenLDAP server runs.
    pub(super) fn accounts(&self) -> Option<Arc<dyn Accounts>> {
        match &self.directory {
            Directory::Slapd(_) => None,
            Directory::Memory(memory, _) => Some(memory.clone()),
        }
    }

    /// Returns the imitated sandbox, or `None` if bubblewrap runs the scripts.
    pub(super) fn sandbox(&self) -> Option<Arc<dyn Sandbox>> {
        let idle = self.sandbox.clone()?;
        Some(idle)
    }

    /// Stores the definitions of the platform, the scripts and the rules in the desk. Also stores the password with
    /// which the desk logs in to the LDAP directory. Then creates a service through the API `/v1`.
    pub(super) async fn introduce(&mut self, app: &App, client: &Client) -> Result<(), String> {
        let text = [&platform(self.directory.port()), SCRIPTS_AND_RULES].concat();
        let stored = Definitions::read(&text)?.store(app).await;
        stored.map_err(|error| error.to_string())?;
        let name = format!("{PLATFORM}company_directory");
        let kept = app.ledger.keys.keep_secret(&name, PASSWORD.as_bytes());
        kept.await.map_err(|error| error.to_string())?;
        self.service = client.publish(workflow(), json!({})).await?;
        Ok(())
    }

    /// Opens tickets, approves their scripts, and waits until the scripts have ended. Returns an error if a script
    /// ended in an unexpected state, or if an account in the LDAP directory has an unexpected state.
    pub(super) async fn run(&mut self, app: &App, client: &Client) -> Result<SystemLine, String> {
        let report_sn = self.open(client, LOCKED[0], "disk", "web-1").await?;
        let mut tickets = Vec::new();
        for (requester, account, _) in UNLOCKS {
            tickets.push(self.open(client, requester, "unlock", account).await?);
        }
        let mut rejected = 0;
        for (sn, (requester, account, _)) in tickets.iter().zip(UNLOCKS) {
            rejected += approve(client, sn, requester, account).await?;
        }
        for (sn, (_, _, expected)) in tickets.iter().zip(UNLOCKS) {
            ended(client, sn, expected).await?;
            // After a failed script, the ticket stays open, because a person must complete the work.
            let status = if expected == FAILED {
                "RUNNING"
            } else {
                "FINISHED"
            };
            reach_status(client, sn, status).await?;
        }
        let report = ended(client, &report_sn, SUCCEEDED).await?;
        reach_status(client, &report_sn, "FINISHED").await?;
        let level = report["level"].as_str().unwrap_or_default();
        if self.sandbox.is_none() && level != Level::Network.name() {
            return Err(format!(
                "the shell script ran at the sandbox level {level:?} instead of {:?}",
                Level::Network.name()
            ));
        }
        self.directory.check(app).await?;

        let count = |state: &str| UNLOCKS.iter().filter(|(_, _, end)| *end == state).count();
        let (unlocked, no_change, left) = (count(SUCCEEDED), count(NO_CHANGE), count(FAILED));
        let approvals = tickets.len();
        let script = if self.sandbox.is_none() {
            format!("1 shell script ran at the sandbox level {level}")
        } else {
            "1 shell script ended without a run".into()
        };
        Ok(SystemLine {
            name: "automation",
            figures: json!({
                "executions": approvals + 1, "unlocked": unlocked, "no_change": no_change, "left_to_people": left,
                "approvals": approvals, "rejected_approvals": rejected, "sandbox_level": level,
            }),
            text: format!(
                "{unlocked} accounts unlocked and checked in the directory, {no_change} was not locked, {left} with the lock of an administrator left to a person; \
                 {approvals} approvals, {rejected} rejected because the requester may not approve; {script}"
            ),
            look: "page /executions".into(),
            stand_in: self.stand_in(),
        })
    }

    /// Opens a ticket as the person `requester`, and returns the ticket number.
    async fn open(
        &self,
        client: &Client,
        requester: &str,
        kind: &str,
        account: &str,
    ) -> Result<String, String> {
        let title = if kind == "unlock" {
            "账号被锁"
        } else {
            "磁盘使用情况"
        };
        let fields = json!({ "title": title, "kind": kind, "account": account });
        let body = json!({ "service_id": self.service, "fields": fields });
        let opened = client.v1("tickets", requester, body).await?;
        Ok(opened["sn"].as_str().unwrap_or_default().to_owned())
    }

    /// Returns a text that names each imitated part with the reason for the imitation. The text is empty if no part is
    /// imitated.
    fn stand_in(&self) -> String {
        let directory = match &self.directory {
            Directory::Slapd(_) => None,
            Directory::Memory(_, reason) => Some(format!(
                "the directory is a replacement in this program, because {reason}"
            )),
        };
        let sandbox = self.sandbox.as_ref().map(|_| NO_SANDBOX.to_owned());
        let all: Vec<String> = directory.into_iter().chain(sandbox).collect();
        all.join("; ")
    }
}

/// Approves the script of a ticket as [`APPROVER`]. If [`SUPERUSER`] opened the ticket, the superuser first tries to
/// approve the script, and the desk must reject this approval. Returns the number of rejected approvals.
async fn approve(
    client: &Client,
    sn: &str,
    requester: &str,
    account: &str,
) -> Result<usize, String> {
    let list = format!("executions?approver={APPROVER}&page_size=100");
    let missing = format!("no script of ticket {sn} waits for an approval");
    let id = until(client, APPROVER, &list, &missing, |listed| {
        let mut all = listed["executions"].as_array()?.iter();
        let found = all.find(|one| one["ticket"] == sn)?;
        found["id"].as_str().map(str::to_owned)
    })
    .await?;
    let path = format!("executions/{id}");
    let shown = client.request("GET", &path, APPROVER, Value::Null).await?;
    if shown["parameters"]["account"] != account {
        return Err(format!(
            "the script of ticket {sn} has the parameters {} instead of the account {account}",
            shown["parameters"]
        ));
    }
    let approval = json!({ "fingerprint": shown["fingerprint"] });
    let path = format!("{path}/approve");
    let mut rejected = 0;
    if requester == SUPERUSER {
        client.forbidden(&path, requester, approval.clone()).await?;
        rejected += 1;
    }
    client.v1(&path, APPROVER, approval).await?;
    Ok(rejected)
}

/// Waits until the script of the ticket `sn` has ended and the ticket contains the outcome of the script. Returns the
/// execution (the record of the script run) as JSON. Returns an error if the execution is not in the state `expected`.
async fn ended(client: &Client, sn: &str, expected: &str) -> Result<Value, String> {
    let list = format!("executions?ticket={sn}");
    let missing = format!("the script of ticket {sn} has not ended");
    let id = until(client, SUPERUSER, &list, &missing, |listed| {
        let one = &listed["executions"][0];
        let is_closed = one["is_closed"] == true;
        is_closed.then(|| one["id"].as_str().unwrap_or_default().to_owned())
    })
    .await?;
    let path = format!("executions/{id}");
    let execution = client.request("GET", &path, SUPERUSER, Value::Null).await?;
    if execution["state"] == expected {
        Ok(execution)
    } else {
        Err(format!(
            "the script of ticket {sn} ended with the state {} instead of {expected}: {}",
            execution["state"], execution["reason"]
        ))
    }
}

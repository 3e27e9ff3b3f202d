//! These tests run automation (rules that run scripts for tickets) with real programs: an OpenLDAP server
//! (slapd) that can lock accounts, and bubblewrap, which isolates shell scripts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use domain::automation::steps::AccountState;
use events::script::Level;
use infra::accounts::ldap::Ldap;
use infra::accounts::{Accounts as _, AccountsError, Server, contract as accounts};
use infra::http::egress::Egress;
use infra::sandbox::bubblewrap::Bubblewrap;
use infra::sandbox::contract::{end_of, job};
use infra::sandbox::{Ended, Run, Sandbox as _, contract as sandboxes};
use serde_json::{Value, json};
use tests::account_workflow;
use tests::directory::Directory;
use tests::foreign::installed;
use tests::process::{Served, free_port, program, root, until};

/// Number of rounds of a test. In each round, the test kills the desk before, during or after the start of a
/// script.
const ROUNDS: usize = 4;

#[tokio::test]
async fn the_ldap_adapter_passes_its_contract_on_a_real_server() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = Directory::start(folder.path()).await;
    let ldap = Ldap::new(Egress::default().with_loopback(true));
    let names = accounts::Names {
        free: "zhangsan",
        locked: "locked1",
        closed: "locked2",
    };
    accounts::holds(&ldap, &directory.server(), names).await;
    for (server, expected) in [
        (
            Server {
                password: "wrong".into(),
                ..directory.server()
            },
            "refused the login of the desk with code 49",
        ),
        (
            Server {
                base: "ou=nowhere,dc=example,dc=com".into(),
                ..directory.server()
            },
            "no entry with the name in `base`",
        ),
    ] {
        let refused = ldap.read(&server, "lisi").await;
        assert!(
            matches!(&refused, Err(AccountsError::Refused(reason)) if reason.contains(expected)),
            "{refused:?}"
        );
    }
    // This configuration searches accounts by their object class. All people have the same object class, so the
    // search finds several accounts.
    let by_class = Server {
        attribute: "objectClass".into(),
        ..directory.server()
    };
    let ambiguous = ldap.read(&by_class, "inetOrgPerson").await;
    assert_eq!(ambiguous, Ok(AccountState::Ambiguous));
    let closed = Ldap::new(Egress::default());
    let refused = closed.read(&directory.server(), "lisi").await;
    assert!(
        matches!(&refused, Err(AccountsError::Refused(reason)) if reason.contains("--egress")),
        "{refused:?}"
    );
    let nobody = Server {
        port: free_port(),
        ..directory.server()
    };
    let unavailable = ldap.read(&nobody, "lisi").await;
    assert!(
        matches!(&unavailable, Err(AccountsError::Unavailable(_))),
        "{unavailable:?}"
    );
}

/// After the desk has removed a lock, one wrong password does not lock the account again.
#[tokio::test]
async fn an_unlocked_account_starts_to_count_again() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = Directory::start(folder.path()).await;
    let ldap = Ldap::new(Egress::default().with_loopback(true));
    directory.lock("lisi");
    let state = ldap.unlock(&directory.server(), "lisi").await;
    assert_eq!(state, Ok(AccountState::NotLocked));
    assert!(!directory.login("lisi", "wrong"));
    assert!(
        directory.login("lisi", "lisi-secret"),
        "one wrong password does not lock"
    );
}

/// A desk with automation definitions and with the service for tickets about accounts.
struct Automated {
    folder: tempfile::TempDir,
    served: Served,
    service: Value,
}

impl Automated {
    async fn start(folder: tempfile::TempDir, definitions: &str) -> Self {
        std::fs::write(folder.path().join("automation.toml"), definitions).expect("written");
        std::fs::write(folder.path().join("secret.txt"), "desk-secret").expect("written");
        let served = Self::serve(folder.path());
        let definition = account_workflow("账号服务", "处理");
        let service = served.publish(definition, json!({})).await;
        Self {
            folder,
            served,
            service,
        }
    }

    fn serve(folder: &Path) -> Served {
        let mut command = Command::new(program());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let search = format!("{}:{}", installed().display(), path.display());
        command.env("PATH", search);
        let definitions = folder.join("automation.toml");
        let secret = format!(
            "platform/company_directory={}",
            folder.join("secret.txt").display()
        );
        Served::start_by(
            command,
            &folder.join("desk"),
            &[
                "--automation",
                definitions.to_str().expect("a path"),
                "--secret",
                &secret,
            ],
        )
    }

    async fn submit(&self, kind: &str, account: &str) -> String {
        let fields = json!({ "title": "账号被锁", "kind": kind, "account": account });
        let body = json!({ "service_id": self.service, "fields": fields });
        let (status, opened) = self.served.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{opened}");
        opened["sn"].as_str().expect("a number").to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let (status, shown) = self.served.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{path}: {shown}");
        shown
    }

    /// Waits until the only execution (run of a script) of a ticket has the given state, and returns the
    /// execution.
    async fn execution(&self, sn: &str, state: &str) -> Value {
        let list = format!("executions?ticket={sn}");
        let found = until(&format!("an execution is {state}"), async || {
            let shown = self.get(&list).await;
            let one = shown["executions"][0].clone();
            if one["state"] == state {
                Ok(one)
            } else {
                Err(shown)
            }
        })
        .await;
        let id = found["id"].as_str().expect("an id");
        self.get(&format!("executions/{id}")).await
    }
}

const UNLOCK: &str = r#"
    [[script]]
    name = "unlock_account"
    version = "1"
    action = "unlock_account"
    platform = "company_directory"
    parameters = [{ name = "account" }]

    [[rule]]
    name = "unlock"
    node = "处理"
    when = [{ key = "kind", value = "unlock" }]
    script = "unlock_account"
    parameters = { account = "${account}" }
    form = { result = "已解锁" }
"#;

#[tokio::test]
async fn a_ticket_removes_the_lock_of_an_account_in_a_real_directory() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = Directory::start(folder.path()).await;
    directory.lock("lisi");
    let definitions = [&directory.platform("company_directory"), UNLOCK].concat();
    let automated = Automated::start(folder, &definitions).await;
    let sn = automated.submit("unlock", "lisi").await;
    let execution = automated.execution(&sn, "succeeded").await;
    let steps: Vec<&str> = execution["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(|step| step["step"].as_str())
        .collect();
    assert_eq!(steps, ["read", "unlock", "check"]);
    assert!(!directory.entry("lisi").contains("pwdAccountLockedTime"));
    assert!(directory.login("lisi", "lisi-secret"));
    until("the ticket ends", async || {
        let ticket = automated.get(&format!("tickets/{sn}")).await;
        if ticket["current_status"] == "FINISHED" {
            Ok(())
        } else {
            Err(ticket)
        }
    })
    .await;
    let again = automated.submit("unlock", "lisi").await;
    automated.execution(&again, "no_change").await;
    // An administrator locked the account `locked2`. The desk must not remove this lock, so a person must
    // complete the ticket.
    let closed = automated.submit("unlock", "locked2").await;
    automated.execution(&closed, "failed").await;
    assert!(
        directory
            .entry("locked2")
            .contains("pwdAccountLockedTime: 000001010000Z")
    );
    let ticket = automated.get(&format!("tickets/{closed}")).await;
    assert_eq!(ticket["current_status"], "RUNNING");
}

fn shell(content: &str) -> String {
    format!(
        "[[script]]\nname = \"work\"\nversion = \"1\"\ntimeout_s = 300\nshell = '''\n{content}\n'''\n\
         [[rule]]\nname = \"work\"\nnode = \"处理\"\nwhen = [{{ key = \"kind\", value = \"work\" }}]\nscript = \"work\"\nform = {{ result = \"x\" }}\n"
    )
}

/// Returns a sandbox (an isolated environment for scripts) that keeps the files of its scripts below `folder`.
fn sandbox(folder: &Path) -> Bubblewrap {
    let search = installed();
    Bubblewrap::new(
        folder.join("runs"),
        program(),
        &search.display().to_string(),
    )
}

#[tokio::test]
async fn bubblewrap_passes_its_contract() {
    let folder = tempfile::tempdir().expect("a directory");
    sandboxes::holds(&sandbox(folder.path())).await;
    let without = Bubblewrap::new(folder.path().join("other"), program(), "/nonexistent");
    assert_eq!(without.level().await, Level::None);
    assert!(without.start(&job("run-2", "true")).await.is_err());
}

/// Bubblewrap can create the namespaces and then fail, for example at a mount. It then ends with the exit status 1, and
/// the script has not run. The test starts bubblewrap with a mount whose source does not exist.
#[tokio::test]
async fn a_script_whose_sandbox_cannot_be_set_up_has_not_run() {
    let folder = tempfile::tempdir().expect("a directory");
    let wrapper = folder.path().join("bwrap");
    let text = format!(
        "#!/bin/sh\nexec {} --ro-bind /nonexistent /work/missing \"$@\"\n",
        installed().join("bwrap").display()
    );
    std::fs::write(&wrapper, text).expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&wrapper, mode.clone()).expect("executable");
    std::fs::set_permissions(folder.path(), mode).expect("readable");
    let search = folder.path().display().to_string();
    let sandbox = Bubblewrap::new(folder.path().join("runs"), program(), &search);
    assert_eq!(sandbox.level().await, Level::None);
    let end = sandboxes::end_of(&sandbox, &job("run", "echo ran")).await;
    assert!(!end.is_lost, "{end:?}");
    assert_eq!(end.level, Level::None, "{end:?}");
    assert!(end.problem.contains("/nonexistent"), "{end:?}");
}

/// The test runs hostile scripts in the sandbox. A script must not read files or environment variables of the
/// desk, connect to the network, or exceed its limits.
#[tokio::test]
async fn a_hostile_script_stays_in_its_sandbox() {
    let folder = tempfile::tempdir().expect("a directory");
    let secret = folder.path().join("ledger.db");
    std::fs::write(&secret, "the-secret-of-the-desk").expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("readable");
    let sandbox = sandbox(folder.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (path, home) = (secret.display(), root().display());
    for (name, content, expected) in [
        ("files", format!("cat {path} && echo READ; ls {home} && echo READ; ls /etc && echo READ; true"), None),
        ("environment", "tr '\\0' '\\n' < /proc/1/environ | grep -v PWD && echo READ; true".to_owned(), None),
        ("network", format!("timeout 2 bash -c 'echo > /dev/tcp/127.0.0.1/{port}' && echo READ; true"), None),
        ("writes", "for at in / /usr /work /usr/bin; do touch $at/new && echo READ; done; true".to_owned(), None),
        ("rights", "grep -q 'CapEff:.*0000000000000000' /proc/self/status || echo READ; id -u | grep -q '^0$' && echo READ; true".to_owned(), None),
        ("processes", "ls -d /proc/[0-9]* | wc -l | { read n; [ $n -lt 8 ] || echo READ; }; true".to_owned(), None),
        ("many", "for at in $(seq 200); do sleep 30 & done 2>&1; true".to_owned(), Some("Cannot fork")),
        ("memory", "head -c 1000000000 /dev/zero | tail -c 900000000 | wc -c; true".to_owned(), None),
        ("large", "head -c 100000000 /dev/zero > /tmp/file && echo READ; true".to_owned(), None),
        ("long", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the-end".to_owned(), Some("the-end")),
    ] {
        let end = end_of(&sandbox, &job(name, &content)).await;
        assert_eq!(end.level, Level::Network, "{name}: {end:?}");
        assert!(!end.output.contains("READ"), "{name}: {end:?}");
        assert!(!end.output.contains("the-secret-of-the-desk"), "{name}: {end:?}");
        assert!(end.output.len() < 5_000, "{name}: {}", end.output.len());
        if let Some(expected) = expected {
            assert!(end.output.contains(expected), "{name}: {end:?}");
        }
        println!("{name}: exit code {:?}, exceeded {}, {} bytes of output", end.exit_code, end.is_exceeded, end.output.len());
        sandbox.remove(name).await.expect("removed");
    }
    listener.set_nonblocking(true).expect("set");
    assert!(listener.accept().is_err(), "no script connected");
}

#[tokio::test]
async fn a_script_that_ignores_signals_ends_at_its_maximum_duration() {
    let folder = tempfile::tempdir().expect("a directory");
    let sandbox = sandbox(folder.path());
    let mark = format!("mark-{}", free_port());
    for (name, content) in [
        (
            "polite",
            "trap 'echo stopped; exit 9' TERM; while true; do sleep 0.1; done".to_owned(),
        ),
        (
            "deaf",
            format!(
                "trap '' TERM; setsid sh -c 'trap \"\" TERM; while true; do sleep 1; done' {mark} & while true; do sleep 0.1; done"
            ),
        ),
    ] {
        let mut long = job(name, &content);
        long.timeout_ms = 1_000;
        let end = end_of(&sandbox, &long).await;
        assert!(end.is_timed_out, "{name}: {end:?}");
        if name == "polite" {
            // The shell may also print a message about its interrupted command. The test therefore checks only
            // the end of the output.
            assert!(end.output.ends_with("stopped\n"), "{end:?}");
            assert_eq!(end.exit_code, Some(9), "{end:?}");
        }
    }
    let left = Command::new("pgrep")
        .args(["-f", &mark])
        .output()
        .expect("pgrep runs");
    assert!(!left.status.success(), "a process survived: {left:?}");
}

#[tokio::test]
async fn exceeded_limits_are_named() {
    let folder = tempfile::tempdir().expect("a directory");
    let sandbox = sandbox(folder.path());
    let busy = job("busy", "exec head -c 100000000 /dev/zero > /tmp/file");
    let end = end_of(&sandbox, &busy).await;
    assert!(end.is_exceeded, "a file over its limit: {end:?}");
    let mut spin = job("spin", "while :; do :; done");
    spin.timeout_ms = 2_000;
    let end = end_of(&sandbox, &spin).await;
    assert!(end.is_timed_out || end.is_exceeded, "{end:?}");
}

/// The program that runs a script may have inherited open files when it was started. The script must not be
/// able to read these files.
#[tokio::test]
async fn a_script_inherits_no_open_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let run = folder.path().join("run");
    std::fs::create_dir(&run).expect("created");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "the-open-secret").expect("written");
    let job = serde_json::to_vec(&job("run", "cat <&9; ls /proc/self/fd; exit 5")).expect("a job");
    let input = folder.path().join("job.json");
    std::fs::write(&input, job).expect("written");
    let status = Command::new("sh")
        .args(["-c", "exec \"$@\" 9< \"$SECRET\"", "sh"])
        .arg(program())
        .arg("sandbox")
        .arg(&run)
        .arg(installed().join("bwrap"))
        .env("SECRET", &secret)
        .stdin(std::fs::File::open(&input).expect("opened"))
        .status()
        .expect("the supervisor runs");
    assert!(status.success());
    let end = std::fs::read(run.join("end.json")).expect("an end");
    let end: Ended = serde_json::from_slice(&end).expect("readable");
    assert_eq!(end.level, Level::Network, "{end:?}");
    assert!(!end.output.contains("the-open-secret"), "{end:?}");
}

/// If the desk runs as an unprivileged user, a script still cannot read the files of the desk. The test can
/// change to an unprivileged user only if it runs as root.
#[tokio::test]
async fn a_script_cannot_read_the_desk_if_the_desk_is_unprivileged() {
    let folder = tempfile::tempdir().expect("a directory");
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), mode).expect("set");
    let id = Command::new("id").arg("-u").output().expect("id runs");
    let is_root = String::from_utf8_lossy(&id.stdout).trim() == "0";
    let run = folder.path().join("run");
    // The data of the desk belong to the user of the desk, who is also the user of the script.
    let ledger = folder.path().join("ledger.db");
    std::fs::write(&ledger, "the-secret-of-the-desk").expect("written");
    if is_root {
        std::os::unix::fs::chown(&ledger, Some(65534), Some(65534)).expect("changed");
    }
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&ledger, owner_only).expect("set");
    let attempts = format!(
        "cat {path}; cat ../ledger.db; find / -name ledger.db 2>/dev/null; ls /work; id -u; exit 4",
        path = ledger.display()
    );
    let job = job("run", &attempts);
    let body = serde_json::to_vec(&job).expect("a job");
    let input = folder.path().join("job.json");
    std::fs::write(&input, body).expect("written");
    // The test copies the program, because an unprivileged user may not be allowed to read the build directory.
    let copy = folder.path().join("ledgerdesk");
    std::fs::copy(program(), &copy).expect("copied");
    let bwrap = folder.path().join("bwrap");
    std::fs::copy(installed().join("bwrap"), &bwrap).expect("copied");
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&copy);
        command
    } else {
        println!("not root: the test runs as the current user only");
        Command::new(&copy)
    };
    std::fs::create_dir(&run).expect("created");
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&run, mode).expect("set");
    let status = command
        .arg("sandbox")
        .arg(&run)
        .arg(&bwrap)
        .stdin(std::fs::File::open(&input).expect("opened"))
        .status()
        .expect("the supervisor runs");
    assert!(status.success());
    let end: Ended = serde_json::from_slice(&std::fs::read(run.join("end.json")).expect("an end"))
        .expect("readable");
    assert_eq!(
        (end.level, end.exit_code),
        (Level::Network, Some(4)),
        "{end:?}"
    );
    assert!(
        end.output.contains("parameters.json") && !end.output.contains("\n0\n"),
        "{end:?}"
    );
    let is_found = end.output.lines().any(|line| line.ends_with("/ledger.db"));
    assert!(
        !is_found && !end.output.contains("the-secret-of-the-desk"),
        "{end:?}"
    );
    if is_root {
        assert!(end.output.contains("65534"), "{end:?}");
    }
}

#[tokio::test]
async fn a_script_survives_the_desk_and_is_never_started_twice() {
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    let mut restarted = Vec::new();
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a directory");
        let automated = Automated::start(folder, &shell("echo begun; sleep 2; echo done")).await;
        let sn = automated.submit("work", "x").await;
        let runs = automated.folder.path().join("desk/runs");
        if round == ROUNDS - 1 {
            until("the script runs", async || {
                let entries = std::fs::read_dir(&runs).into_iter().flatten().flatten();
                let mut started = entries.map(|entry| entry.path().join("started"));
                started.find(|path| path.exists()).ok_or(json!(null))
            })
            .await;
        } else {
            // Each round kills the desk after a different time: before, during or after the start of the
            // script.
            let after = Duration::from_millis(40 * u64::try_from(round).expect("a number"));
            tokio::time::sleep(after).await;
        }
        let Automated {
            folder,
            served,
            service,
        } = automated;
        served.kill();
        if round == ROUNDS - 1 {
            // In the last round, the test also kills the supervisor (the process that runs the script).
            let killed = Command::new("pkill")
                .args(["-KILL", "-f", &runs.display().to_string()])
                .status();
            assert!(
                killed.expect("pkill runs").success(),
                "a supervisor was running"
            );
        }
        let automated = Automated {
            served: Automated::serve(folder.path()),
            folder,
            service,
        };
        restarted.push((automated, sn));
    }
    // The desks of all rounds run at the same time, so the test waits for the slowest of them only.
    for (automated, sn) in &restarted {
        let list = format!("executions?ticket={sn}");
        let ended = until("the execution ends", async || {
            let shown = automated.get(&list).await;
            let one = shown["executions"][0].clone();
            if one["is_closed"] == true {
                Ok(one)
            } else {
                Err(shown)
            }
        })
        .await;
        let state = ended["state"].as_str().expect("a state").to_owned();
        if state == "succeeded" {
            let id = ended["id"].as_str().expect("an id");
            let shown = automated.get(&format!("executions/{id}")).await;
            assert_eq!(
                shown["output"], "begun\ndone\n",
                "the script ran once: {shown}"
            );
        } else {
            assert_eq!(state, "unknown", "{ended}");
        }
        *outcomes.entry(state).or_default() += 1;
        let runs = automated.folder.path().join("desk/runs");
        let left = std::fs::read_dir(&runs).map_or(0, Iterator::count);
        assert_eq!(left, 0, "the files of the run are deleted");
    }
    println!("{ROUNDS} rounds: {outcomes:?}");
    assert!(
        outcomes.contains_key("unknown"),
        "the killed supervisor gives an unknown outcome"
    );
    assert!(
        outcomes.contains_key("succeeded"),
        "a script that survived the desk is found again"
    );
}

/// If the supervisor (the process that runs a script) is killed, the sandbox reports the run as lost. No
/// process of the script continues.
#[tokio::test]
async fn a_killed_supervisor_leaves_a_lost_run_without_processes() {
    let folder = tempfile::tempdir().expect("a directory");
    let sandbox = Arc::new(sandbox(folder.path()));
    let mark = format!("mark-{}", free_port());
    let script = job("run", &format!("sh -c 'sleep 60; true' {mark}"));
    sandbox.start(&script).await.expect("started");
    let is_there = || {
        let found = Command::new("pgrep").args(["-f", &mark]).output();
        found.expect("pgrep runs").status.success()
    };
    until("the script runs", async || {
        if is_there() { Ok(()) } else { Err(json!(null)) }
    })
    .await;
    assert_eq!(sandbox.read("run").await.expect("readable"), Run::Running);
    let directory = folder.path().join("runs/run").display().to_string();
    let killed = Command::new("pkill")
        .args(["-KILL", "-f", &directory])
        .status();
    assert!(killed.expect("pkill runs").success());
    until("the run is lost", async || {
        match sandbox.read("run").await {
            Ok(Run::Lost) => Ok(()),
            other => Err(json!(format!("{other:?}"))),
        }
    })
    .await;
    until("the script is gone", async || {
        if is_there() { Err(json!(mark)) } else { Ok(()) }
    })
    .await;
}

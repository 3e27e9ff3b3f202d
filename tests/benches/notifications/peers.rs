//! Starts the programs of other vendors with which the test compares the desk. The script `install` in this folder
//! installs them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::foreign::spawn;
use tests::process::{Process, free_port, root, until};
use tokio::process::Command;

/// Number of worker processes of Celery. On two cores, more processes were not faster.
const WORKERS: &str = "4";
/// Maximum duration of a program that is not a server.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Returns the folder with the scripts of the peers.
fn scripts() -> PathBuf {
    root().join("tests/benches/notifications")
}

/// Installs the peers if they are not installed yet. Returns the folder with the peers.
pub(super) fn installed() -> PathBuf {
    let status = std::process::Command::new(scripts().join("install")).status();
    let status = status.expect("the installation runs");
    assert!(status.success(), "the peers are installed");
    root().join("target/peers")
}

/// Runs a program until it ends. Returns the lines of its output, which are JSON.
async fn lines(mut command: Command, what: &str) -> Vec<Value> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(TIMEOUT, running).await;
    let output = output.unwrap_or_else(|_| panic!("{what} needs more than {TIMEOUT:?}"));
    let output = output.expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{what}: {line}"));
    text.lines().map(read).collect()
}

/// Returns a command that runs one of the Python scripts.
fn python(script: &str) -> Command {
    let mut command = Command::new(root().join("target/peers/python/bin/python"));
    command
        .arg(scripts().join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Sends mails with Apprise, one after another. Returns the time in seconds.
pub(super) async fn apprise(port: u16, count: usize) -> f64 {
    let mut command = python("apprise_mails.py");
    command.arg(port.to_string()).arg(count.to_string());
    let shown = lines(command, "Apprise").await;
    let shown = shown.first().expect("a line");
    assert_eq!(shown["sent"], count, "Apprise sends all mails");
    shown["seconds"].as_f64().expect("a time")
}

/// The result of one template engine: the time in seconds, and the texts of the first context.
pub(super) struct Rendered {
    pub(super) seconds: f64,
    pub(super) first: Vec<String>,
}

/// Renders the templates of a file with Jinja2.
pub(super) async fn jinja(file: &str) -> Rendered {
    let mut command = python("jinja_templates.py");
    command.arg(file);
    rendered(lines(command, "Jinja2").await)
}

/// Renders the templates of a file with LiquidJS.
pub(super) async fn liquid(file: &str) -> Rendered {
    let mut command = Command::new("node");
    command
        .arg(scripts().join("liquid_templates.cjs"))
        .arg(root().join("target/peers"))
        .arg(file);
    rendered(lines(command, "LiquidJS").await)
}

fn rendered(shown: Vec<Value>) -> Rendered {
    let shown = shown.into_iter().next().expect("a line");
    let first = shown["first"].as_array().expect("texts").iter();
    Rendered {
        seconds: shown["seconds"].as_f64().expect("a time"),
        first: first
            .map(|text| text.as_str().unwrap_or_default().to_owned())
            .collect(),
    }
}

/// The memory of processes, in bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) resident: i64,
    /// The resident memory, in which each shared page counts only in part (PSS).
    pub(super) proportional: i64,
}

impl Memory {
    /// Returns the memory of a process.
    pub(super) fn of(process: u32) -> Self {
        let shown = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
        let shown = shown.expect("a process of this user");
        let bytes = |name: &str| {
            let line = shown.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            kib.and_then(|kib| kib.parse::<i64>().ok())
                .expect("a number")
                * 1024
        };
        Self {
            resident: bytes("Rss:"),
            proportional: bytes("Pss:"),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            proportional: self.proportional + other.proportional,
        }
    }

    /// Returns the growth since an earlier measurement.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            resident: self.resident - earlier.resident,
            proportional: self.proportional - earlier.proportional,
        }
    }

    /// Returns the text of both numbers in megabytes.
    pub(super) fn shown(self) -> String {
        let mb = |bytes: i64| bytes as f64 / 1e6;
        format!(
            "resident {:.1} MB, proportional {:.1} MB",
            mb(self.resident),
            mb(self.proportional)
        )
    }
}

/// A worker of Celery with its broker Redis. Redis has its default configuration: it writes to disk only now and then,
/// so a crash of the machine loses tasks. A desk stores each step before the next one.
pub(super) struct Celery {
    worker: Process,
    broker: Process,
    environment: [(&'static str, String); 4],
}

impl Celery {
    /// Starts Redis and a worker. The tasks of the worker send mails to the port `smtp`, and requests to the port
    /// `http`.
    pub(super) async fn start(folder: &Path, smtp: u16, http: u16) -> Self {
        let peers = installed();
        std::fs::create_dir_all(folder).expect("a directory");
        let port = free_port();
        let mut command = std::process::Command::new(peers.join("redis-server"));
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(folder);
        let broker = spawn(&mut command, &folder.join("redis.log"));
        until("Redis listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .map_err(|error| json!(error.to_string()))
        })
        .await;
        let environment = [
            ("PEER_REDIS", port.to_string()),
            ("PEER_SMTP", smtp.to_string()),
            ("PEER_HTTP", http.to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        let mut command = std::process::Command::new(peers.join("python/bin/python"));
        command
            .args(["-m", "celery", "--app", "celery_tasks", "worker"])
            .args(["--concurrency", WORKERS, "--loglevel", "ERROR"])
            .args(["--without-gossip", "--without-mingle"])
            .current_dir(scripts())
            .envs(environment.clone());
        let worker = spawn(&mut command, &folder.join("worker.log"));
        let celery = Self {
            worker,
            broker,
            environment,
        };
        celery.produce(&["ready"]).await;
        celery
    }

    /// Runs the script that gives tasks to the worker. Returns the lines of its output.
    pub(super) async fn produce(&self, arguments: &[&str]) -> Vec<Value> {
        let mut command = python("celery_produce.py");
        command.args(arguments).envs(self.environment.clone());
        lines(command, "the producer of tasks").await
    }

    /// Returns the processes that execute tasks. They are children of the worker.
    fn children(&self) -> Vec<u32> {
        let worker = self.worker.0.id();
        let listed = std::fs::read_to_string(format!("/proc/{worker}/task/{worker}/children"));
        let listed = listed.unwrap_or_default();
        listed
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect()
    }

    /// Returns the memory of the worker with its processes.
    pub(super) fn memory(&self) -> Memory {
        let worker = Memory::of(self.worker.0.id());
        let children = self.children().into_iter().map(Memory::of);
        children.fold(worker, Memory::plus)
    }

    /// Returns the memory of Redis.
    pub(super) fn broker_memory(&self) -> Memory {
        Memory::of(self.broker.0.id())
    }
}

impl Drop for Celery {
    /// Ends the processes that execute tasks. The worker and Redis end when their own values are dropped. An orderly
    /// end would give all tasks back to Redis first.
    fn drop(&mut self) {
        let children = self.children();
        let _ = self.worker.0.kill();
        for child in children {
            let id = child.to_string();
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &id])
                .status();
        }
    }
}

//! Runs the real program, built beforehand by `./test`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The application every served desk of a test knows.
pub const APP: (&str, &str) = ("test_app", "test-secret");

/// The program, beside the test's own executable.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let program = test.ancestors().nth(2).expect("target/<profile>/deps/<test>").join("ledgerdesk");
    assert!(program.exists(), "{} is not built; run `cargo build --bin ledgerdesk`", program.display());
    program
}

/// Runs a subcommand to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the project")
}

/// The folder with the data and requirements that are kept out of the project, if it is there.
pub fn shared() -> Option<PathBuf> {
    Some(root().parent()?.join("shared")).filter(|folder| folder.is_dir())
}

/// A served desk; killed when dropped.
pub struct Served {
    child: Child,
    pub base: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Serves a directory on a free port with the demo company.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_by(Command::new(program()), data, more)
    }

    /// The same by another command, such as a shell that sets limits first.
    pub fn start_by(mut command: Command, data: &Path, more: &[&str]) -> Self {
        let app = format!("{}:{}", APP.0, APP.1);
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--demo", "--app", &app, "--data"])
            .arg(data)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // The first line names the address, or the process has ended and there is none.
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let base = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_default().to_owned();
        // The rest is read so that the pipe never fills.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base }
    }

    /// Says whether the process came up at all.
    pub fn is_up(&self) -> bool {
        !self.base.is_empty()
    }

    /// Kills the process by SIGKILL and waits for its end.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Says whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

/// A client that gives up soon, since the process may have been killed.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().expect("a client")
}

/// Calls an operation; `None` where there was no whole answer.
pub async fn call(client: &reqwest::Client, base: &str, operation: &str, mut body: Value, key: Option<&str>) -> Option<Value> {
    body["bk_app_code"] = APP.0.into();
    body["bk_app_secret"] = APP.1.into();
    let mut request = client.post(format!("{base}/api/c/compapi/v2/itsm/{operation}/")).json(&body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    request.send().await.ok()?.json().await.ok()
}

/// The same request body as in-process flows use.
pub fn fast_approval(title: &str, callback_url: Option<&str>) -> Value {
    let mut body = json!({
        "fast_approval": true,
        "creator": "lisi",
        "fields": crate::form(&[("title", title), ("APPROVER", "zhangsan,wangwu"), ("APPROVAL_CONTENT", "屏蔽告警一小时")]),
    });
    if let Some(url) = callback_url {
        body["meta"] = json!({ "callback_url": url });
    }
    body
}

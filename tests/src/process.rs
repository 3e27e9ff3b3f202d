//! Runs the real program, which `./test` has built before.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Code and secret of the app that each served desk of a test registers.
pub const APP: (&str, &str) = ("test_app", "test-secret");

/// Returns the path of the program: beside the test executable, or from the variable
/// `LEDGERDESK_PROGRAM`. The variable selects a build with a fault, on which the test of that fault
/// must fail.
pub fn program() -> PathBuf {
    if let Some(other) = std::env::var_os("LEDGERDESK_PROGRAM") {
        return other.into();
    }
    let test = std::env::current_exe().expect("the path of the test executable");
    let program = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>")
        .join("ledgerdesk");
    assert!(
        program.exists(),
        "{} is not built; run `cargo build --bin ledgerdesk`",
        program.display()
    );
    program
}

/// Runs a subcommand to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Converts the output of a program to text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a subcommand that must succeed; returns its standard output.
pub fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Returns the resident memory of a process in KiB.
pub fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("its memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

/// Returns the root folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is a folder of the project")
}

/// Returns the folder beside the project with data and requirements; `None` if it does not exist.
pub fn shared() -> Option<PathBuf> {
    Some(root().parent()?.join("shared")).filter(|folder| folder.is_dir())
}

/// A process that serves a desk; the process is killed on drop.
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

    /// Serves a directory like [`Served::start`] at a port, so that a process that was killed can be
    /// replaced at the same address.
    pub fn start_at(data: &Path, port: u16, more: &[&str]) -> Self {
        let app = format!("{}:{}", APP.0, APP.1);
        let listen = format!("127.0.0.1:{port}");
        let arguments = [
            "serve", "--listen", &listen, "--demo", "--app", &app, "--data",
        ];
        let mut command = Command::new(program());
        command.args(arguments).arg(data).args(more);
        Self::spawn(command)
    }

    /// Serves a directory like [`Served::start`] with another command, for example a shell that
    /// sets limits first.
    pub fn start_by(mut command: Command, data: &Path, more: &[&str]) -> Self {
        let app = format!("{}:{}", APP.0, APP.1);
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--demo",
                "--app",
                &app,
                "--data",
            ])
            .arg(data)
            .args(more);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // The first line has the address; there is no line if the process has ended.
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let base = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_default()
            .to_owned();
        // A full pipe would block the process, so a thread reads the rest.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base }
    }

    /// Serves a directory on a free port with exactly these arguments besides `--listen` and
    /// `--data`; the error is the standard error of a process that did not start.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stderr = child.stderr.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let base = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_default()
            .to_owned();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
            text
        });
        if base.is_empty() {
            let _ = child.wait();
            return Err(errors.join().expect("the reader of standard error ends"));
        }
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, base })
    }

    /// Sends a request to `/v1` as [`APP`] for a user; returns status, headers and body (`null` if
    /// it is not JSON).
    pub async fn v1_with(
        &self,
        method: &str,
        path: &str,
        user: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, reqwest::header::HeaderMap, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = client()
            .request(method, format!("{}/v1/{path}", self.base))
            .basic_auth(APP.0, Some(APP.1))
            .header("x-on-behalf-of", user);
        if !body.is_null() {
            request = request.json(&body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        (
            status,
            headers,
            serde_json::from_slice(&bytes).unwrap_or_default(),
        )
    }

    /// Sends a request to `/v1` without further headers; returns status and body.
    pub async fn v1(&self, method: &str, path: &str, user: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = self.v1_with(method, path, user, body, &[]).await;
        (status, body)
    }

    /// Calls an operation of the BlueKing API as [`APP`]; returns the envelope.
    pub async fn bk(&self, operation: &str, body: Value) -> Value {
        call(&client(), &self.base, operation, body, None)
            .await
            .expect("an envelope")
    }

    /// Returns the id of the process, for signals and `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns true if the process started to serve.
    pub fn is_up(&self) -> bool {
        !self.base.is_empty()
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns true if the process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

/// Returns an HTTP client with a short timeout, because the process may have been killed.
pub fn client() -> reqwest::Client {
    infra::http::tls::client()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client")
}

/// Calls an operation of the BlueKing API as [`APP`]; `None` without a complete response.
pub async fn call(
    client: &reqwest::Client,
    base: &str,
    operation: &str,
    mut body: Value,
    key: Option<&str>,
) -> Option<Value> {
    body["bk_app_code"] = APP.0.into();
    body["bk_app_secret"] = APP.1.into();
    let mut request = client
        .post(format!("{base}/api/c/compapi/v2/itsm/{operation}/"))
        .json(&body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    request.send().await.ok()?.json().await.ok()
}

/// Returns the body of a fast approval by lisi with the approvers zhangsan and wangwu.
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

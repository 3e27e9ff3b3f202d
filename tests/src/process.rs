//! Runs the real program, built beforehand by `./test`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The application every served desk of a test knows.
pub const APP: (&str, &str) = ("test_app", "test-secret");

/// The program beside the test's own executable, or another build of it that `LEDGERDESK_PROGRAM` names:
/// a test of a fault must fail on the build that has the fault.
pub fn program() -> PathBuf {
    if let Some(other) = std::env::var_os("LEDGERDESK_PROGRAM") {
        return other.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
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

/// What a program printed, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a subcommand that must succeed; gives back its standard output.
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

/// The resident memory of a process in KiB.
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

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the project")
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
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // The first line names the address, or the process has ended and there is none.
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let base = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_default()
            .to_owned();
        // The rest is read so that the pipe never fills.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base }
    }

    /// Serves a directory on a free port with exactly these arguments besides `--listen` and `--data`; gives back what it
    /// printed to standard error where it did not come up.
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

    /// Sends a request to `/v1` as [`APP`] for a user; gives back status, headers and body (`null` where it is not JSON).
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

    /// The same without headers; gives back status and body.
    pub async fn v1(&self, method: &str, path: &str, user: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = self.v1_with(method, path, user, body, &[]).await;
        (status, body)
    }

    /// Calls an operation of the BlueKing API as [`APP`]; gives back the envelope.
    pub async fn bk(&self, operation: &str, body: Value) -> Value {
        call(&client(), &self.base, operation, body, None)
            .await
            .expect("an envelope")
    }

    /// The id of the process, for signals and `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
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
    infra::tls::client()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client")
}

/// Calls an operation; `None` where there was no whole answer.
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

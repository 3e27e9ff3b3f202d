//! This module runs the compiled program as a separate process. `./test` builds the program before it runs
//! the tests.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Code and secret of the app (a client program) that [`Served`] registers when a desk starts.
pub const APP: (&str, &str) = ("test_app", "test-secret");

/// Maximum time that the function [`until`] waits for a condition. In one test, a desk creates a ticket at another desk.
/// If the response is lost, the first desk searches for this ticket only after 30 seconds. The maximum is
/// therefore long.
const PATIENCE: Duration = Duration::from_mins(4);

/// Returns the path of the program that the tests run. The path is the value of the environment variable
/// `LEDGERDESK_PROGRAM`. If the variable is not set, the path leads to the program in the build folder of
/// the tests.
///
/// With this variable, a developer can run the tests against a program with a known fault, and check that
/// the tests find the fault.
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

/// A running program. When this value is dropped, the program is ended.
pub struct Process(pub Child);

impl Process {
    /// Ends the process in order with SIGTERM, and waits until it has ended.
    pub fn end(&mut self) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill runs").success());
        self.0.wait().expect("the process ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a TCP port of the loopback address that no program uses at the time of the call.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Runs a subcommand of the program and waits until the process ends. Returns the exit status and
/// the output of the process.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Converts the output of a program to text. Replaces bytes that are not valid UTF-8.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a subcommand of the program and returns its standard output. Panics if the subcommand fails.
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

/// Returns the resident memory of a running process in KiB.
pub fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("the resident memory");
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

/// Returns the path of the folder `shared`, which contains test data and requirements. This folder is
/// beside the project folder. Returns `None` if the folder does not exist.
pub fn shared() -> Option<PathBuf> {
    Some(root().parent()?.join("shared")).filter(|folder| folder.is_dir())
}

/// A running process that serves a desk. The process is killed when this value is dropped.
pub struct Served {
    child: Child,
    pub base: String,
    /// The password with which the people of the demo company (sample people) log in to the console. The text is empty
    /// if the desk has no demo company.
    password: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts a process that serves the data directory `data` on a free port. The desk contains the
    /// demo company (sample people and services). `more` contains additional command-line
    /// arguments.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_by(Command::new(program()), data, more)
    }

    /// Starts a process like [`Served::start`], but on the given port. After a test has killed a
    /// process, the test can start a new process at the same address.
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

    /// Starts a process like [`Served::start`], but runs the given command instead of the program.
    /// The function adds the arguments of the program to the command. The command can be a shell
    /// that sets limits and then runs the program.
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
        // The first line of the output contains the address of the desk. If the process has already ended,
        // there is no first line.
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let base = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_default()
            .to_owned();
        // The second line of a desk with the demo company ends with the password for the console.
        let second = lines.next().and_then(Result::ok).unwrap_or_default();
        let password = second.rsplit(' ').next().unwrap_or_default().to_owned();
        // A thread reads the rest of the output. Without this thread, the pipe could become full, and the
        // process would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            base,
            password,
        }
    }

    /// Starts the subcommand `serve` on a free port with exactly the given arguments and the data
    /// directory. If the desk does not start, returns an error with the text that the process wrote to its
    /// standard error.
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
        Ok(Self {
            child,
            base,
            password: String::new(),
        })
    }

    /// Returns the password with which all people of the demo company can log in to the console.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Sends a request to `/v1` as the app [`APP`] on behalf of a user. Returns status, headers and body of
    /// the response. If the response is not JSON, the returned body is `null`.
    pub async fn v1_with(
        &self,
        method: &str,
        path: &str,
        user: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, reqwest::header::HeaderMap, Value) {
        let name = method.to_owned();
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
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let json = (!body.is_null()).then_some(&body);
        crate::described::check(&name, path, status, json);
        (status, headers, body)
    }

    /// Deploys a workflow and creates a service with this workflow (see [`crate::publish`]). Returns the id of the
    /// service.
    pub async fn publish(&self, definition: Value, service: Value) -> Value {
        let post = async |path: &str, body: Value| {
            let (status, answer) = self.v1("POST", path, "admin", body).await;
            assert_eq!(status, 201, "{path}: {answer}");
            answer
        };
        crate::publish(post, definition, service).await
    }

    /// Sends a request to `/v1` as the app `APP` on behalf of a user. Returns status and body of
    /// the response. If the response is not JSON, the returned body is `null`. The function
    /// [`Served::v1_with`] can also send additional headers.
    pub async fn v1(&self, method: &str, path: &str, user: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = self.v1_with(method, path, user, body, &[]).await;
        (status, body)
    }

    /// Calls an operation of the BlueKing API as the app [`APP`]. Returns the response envelope (the JSON
    /// object with `result`, `code`, `message` and `data`).
    pub async fn bk(&self, operation: &str, body: Value) -> Value {
        call(&client(), &self.base, operation, body, None)
            .await
            .expect("an envelope")
    }

    /// Returns the id of the process. Tests use the id to send signals and to read `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns true if the process has printed the address of the desk. The desk then serves requests.
    pub fn is_up(&self) -> bool {
        !self.base.is_empty()
    }

    /// Kills the process with SIGKILL and waits until the process has ended.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills the process with SIGKILL if it still runs, and waits until the process has ended. Returns the number of the
    /// signal that ended the process, or `None` if the process ended by itself.
    pub fn end(&mut self) -> Option<i32> {
        let _ = self.child.kill();
        self.child.wait().ok().and_then(|status| status.signal())
    }

    /// Returns true if the process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

/// Calls the function `read` repeatedly until it returns a value. If `read` returns no value within four
/// minutes, the test fails with the last error of `read`.
///
/// The pause between two calls is a twentieth of the time that the function has waited, from 20 ms to 200 ms. A wait for
/// a minute therefore needs little processor time, and a short wait ends soon.
pub async fn until<T>(what: &str, mut read: impl AsyncFnMut() -> Result<T, Value>) -> T {
    let began = tokio::time::Instant::now();
    loop {
        match read().await {
            Ok(found) => return found,
            Err(last) => assert!(began.elapsed() < PATIENCE, "{what}: {last}"),
        }
        let pause = began.elapsed() / 20;
        let pause = pause.clamp(Duration::from_millis(20), Duration::from_millis(200));
        tokio::time::sleep(pause).await;
    }
}

/// Returns an HTTP client for tests. The client has a timeout of 10 s, because it is possible that
/// a request to a killed process never gets a response.
///
/// The client does not trust the certificates of the machine. All servers of the tests use HTTP, and reading these
/// certificates took more processor time than the request itself.
pub fn client() -> reqwest::Client {
    infra::http::tls::client()
        .tls_certs_only(Vec::new())
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client")
}

/// Calls an operation of the BlueKing API as the app [`APP`]. Returns the response envelope (the JSON
/// object with `result`, `code`, `message` and `data`). Returns `None` if the response is missing or
/// incomplete.
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

/// Returns the body of a request in which the user lisi opens a fast approval ticket. The approvers are
/// zhangsan and wangwu.
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

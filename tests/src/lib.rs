//! This crate contains the code that the tests of all crates share.
//!
//! [`TestDesk`] is a complete desk that keeps all data in memory and has a clock that the test sets.
//! [`described`] compares responses of `/v1` with `docs/openapi.json`. [`process`] runs the compiled program.
//! [`foreign`] installs and starts programs of other vendors, and [`directory`] runs an LDAP server.
//! [`lists`] computes ticket lists in a simple way and compares them with the lists of the desk.
//!
//! How to add a test:
//!
//! * To test a scenario, add the file `tests/flows/<name>.rs` with one scenario on a [`TestDesk`]. Then
//!   add a line for this file to `tests/flows/main.rs`.
//! * To test an adapter (an implementation of storage, queue or another service), add a test to
//!   `tests/contracts.rs` that calls `check` of `infra/src/<port>/contract.rs`.
//! * To test the compiled program, add a test to `tests/processes/` that uses [`process::Served`] or
//!   [`process::run`].

pub mod described;
pub mod directory;
pub mod foreign;
pub mod lists;
pub mod process;

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use events::Moment;
use functions::app::Settings;
use functions::app::seed;
use functions::catalog::queues;
use functions::host::local::{following, work};
use functions::registry::REGISTRY;
use functions::stream::follow::births::Births;
use functions::{App, http, timer};
use infra::accounts::memory::Memory as Accounts;
use infra::blob::memory::Memory as Blob;
use infra::channel::memory::Memory as Mailer;
use infra::clock::{ManualClock, SeededRng};
use infra::crash::Crash;
use infra::directory::file::File;
use infra::http::memory::Memory as Receiver;
use infra::keys::memory::Memory as Keys;
use infra::login::memory::Memory as Login;
use infra::queue::memory::Memory as Queue;
use infra::sandbox::memory::Memory as Sandbox;
use infra::store::memory::Memory as Store;
use infra::views::memory::Memory as Views;
use infra::views::sqlite::ViewsFile;
use infra::{Ledger, Ports};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The clock of each [`TestDesk`] starts at this time: 2026-11-22 10:00:00 in the time zone Asia/Shanghai.
pub const MORNING: Moment = Moment(1_795_312_800_000);
/// The code and the secret of a test app (a client program). The app may act for any user, even if the user
/// is not logged in.
pub const TRUSTED: (&str, &str) = ("bk_log_search", "secret-of-the-log-platform");
/// The code and the secret of a test app (a client program). The app may act only for users who are logged
/// in.
pub const PLAIN: (&str, &str) = ("plain_app", "secret-of-the-plain-app");

/// Returns the event that registers an app (a client program) with the given code. If `may_impersonate` is
/// true, the app may act for any user.
pub fn registered(code: &str, may_impersonate: bool) -> events::app::Registered {
    events::app::Registered {
        code: code.into(),
        name: code.into(),
        may_impersonate,
        status_callbacks: false,
        is_disabled: false,
        scopes: None,
    }
}

/// Returns a small company for tests: departments, people with their leaders, and the roles of one
/// business.
pub fn organization() -> File {
    File::read(
        r#"
        department = [{ id = "1", name = "信息中心" }, { id = "12", name = "运维部", parent = "1" }]
        person = [
            { name = "lisi", leader = "zhangsan", departments = ["12"] },
            { name = "wangwu", leader = "zhangsan", departments = ["12"] },
            { name = "zhangsan", leader = "admin", departments = ["1"] },
        ]
        business = [{ id = 2, name = "日志平台", roles = { OPS = ["zhaoliu"] } }]
        "#,
    )
    .expect("an organization")
}

/// Opens a file in the given directory that stores the views (lists of tickets and other items). For some
/// lists, the views also store the number of entries.
pub fn views_file(directory: &Path) -> Arc<ViewsFile> {
    let counted = functions::registry::counted();
    Arc::new(ViewsFile::open(directory, Arc::default(), &counted).expect("views"))
}

/// A complete desk that keeps all data in memory. After each commit, a background task (the follower) updates
/// the views (stored lists). When the desk is dropped, this task ends.
pub struct TestDesk {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub receiver: Arc<Receiver>,
    pub blob: Arc<Blob>,
    pub mailer: Arc<Mailer>,
    pub accounts: Arc<Accounts>,
    pub sandbox: Arc<Sandbox>,
    /// The router, and the app for which it was made.
    router: Mutex<Option<(App, Router)>>,
    follower: tokio::task::JoinHandle<()>,
}

impl Drop for TestDesk {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl TestDesk {
    /// Opens a desk with the demo company (sample people and services).
    pub async fn open() -> Self {
        Self::open_over(Arc::new(Views::default())).await
    }

    /// Opens a desk with the demo company (sample people and services). The desk stores lists in `views`,
    /// which can be a file.
    pub async fn open_over(views: Arc<dyn infra::views::Views>) -> Self {
        Self::bare_over(views, Settings::default())
            .await
            .with_demo()
            .await
    }

    /// Opens a desk with the demo company (sample people and services) in the given time zone.
    pub async fn open_in(zone: &str) -> Self {
        let zone = jiff::tz::TimeZone::get(zone).expect("a zone");
        Self::bare_over(
            Arc::new(Views::default()),
            Settings {
                zone,
                ..Settings::default()
            },
        )
        .await
        .with_demo()
        .await
    }

    async fn with_demo(self) -> Self {
        seed::demo(&self.app).await.expect("the demo company");
        self.followed().await;
        self
    }

    /// Opens a desk without the demo company (sample people and services). The desk contains only the
    /// configuration of every new desk.
    pub async fn bare() -> Self {
        Self::bare_over(Arc::new(Views::default()), Settings::default()).await
    }

    async fn bare_over(views: Arc<dyn infra::views::Views>, settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::at(MORNING));
        let rng = Arc::new(SeededRng::new(1));
        let receiver = Arc::new(Receiver::default());
        let blob = Arc::new(Blob::default());
        let mailer = Arc::new(Mailer::default());
        let accounts = Arc::new(Accounts::default());
        let sandbox = Arc::new(Sandbox::default());
        let ledger = Ledger::new(
            Arc::new(Store::default()),
            Arc::new(Keys::new(rng.clone())),
            clock.clone(),
            rng,
        );
        let tokens = LOGGED_IN.map(|name| (format!("{name}-is-logged-in"), name.to_owned()));
        let login = Login(tokens.into());
        let ports = Ports {
            http: receiver.clone(),
            mailer: mailer.clone(),
            accounts: accounts.clone(),
            sandbox: sandbox.clone(),
            login: Arc::new(login),
            directory: Arc::new(organization()),
            ..Ports::over(ledger, views, Arc::new(Queue::default()), blob.clone())
        };
        let app = App::new(ports, settings, Arc::new(Crash::default())).expect("a desk");
        Births::activate(&app.ledger, REGISTRY)
            .await
            .expect("active reactions");
        let following_app = app.clone();
        let follower = tokio::spawn(async move { following(&following_app).await });
        seed::found(&app).await.expect("the base");
        app.credentials
            .register(&registered(TRUSTED.0, true), TRUSTED.1)
            .await
            .expect("an application");
        app.credentials
            .register(&registered(PLAIN.0, false), PLAIN.1)
            .await
            .expect("an application");
        let desk = Self {
            app,
            clock,
            receiver,
            blob,
            mailer,
            accounts,
            sandbox,
            router: Mutex::default(),
            follower,
        };
        desk.followed().await;
        desk
    }

    /// Restarts the desk with the same ledger, keys and files. The views (stored lists) and the queues are
    /// empty after the restart, as after a loss of the file `views.db`. The function returns when the desk
    /// has computed the views again from the ledger.
    pub async fn restart_without_views(self) -> Self {
        self.restart_over(Arc::new(Views::default()), Arc::new(Queue::default()))
            .await
    }

    /// Restarts the desk with the same ledger, keys, files, views (stored lists) and queues.
    pub async fn restart(self) -> Self {
        let (views, queue) = (self.app.views.clone(), self.app.queue.clone());
        self.restart_over(views, queue).await
    }

    async fn restart_over(
        self,
        views: Arc<dyn infra::views::Views>,
        queue: Arc<dyn infra::queue::Queue>,
    ) -> Self {
        let old = &self.app;
        let ports = Ports {
            http: self.receiver.clone(),
            mailer: self.mailer.clone(),
            accounts: self.accounts.clone(),
            sandbox: self.sandbox.clone(),
            login: old.login.clone(),
            directory: old.directory.clone(),
            ..Ports::over(old.ledger.clone(), views, queue, self.blob.clone())
        };
        self.follower.abort();
        let settings = (*old.settings).clone();
        let app = App::new(ports, settings, Arc::new(Crash::default())).expect("a desk");
        Births::activate(&app.ledger, REGISTRY)
            .await
            .expect("active reactions");
        let following_app = app.clone();
        let desk = Self {
            app,
            clock: self.clock.clone(),
            receiver: self.receiver.clone(),
            blob: self.blob.clone(),
            mailer: self.mailer.clone(),
            accounts: self.accounts.clone(),
            sandbox: self.sandbox.clone(),
            router: Mutex::default(),
            follower: tokio::spawn(async move { following(&following_app).await }),
        };
        desk.followed().await;
        desk
    }

    /// Stops the follower (the task that updates the stored lists after each commit). With this function, a
    /// test can simulate a crash between a commit and the update of the lists.
    pub fn stop_following(&self) {
        self.follower.abort();
    }

    /// Waits until the follower (the task that updates the stored lists) has processed all commits in the
    /// ledger. Commits that are added during the wait are not included.
    pub async fn followed(&self) {
        let head = self.app.ledger.store.head().await.expect("head").position;
        self.app.followed.wait(head).await;
    }

    /// Asserts that a service is part of the configuration of the desk. A test calls this function just after
    /// it has created the service.
    pub async fn configured(&self, service: i64) {
        assert!(
            self.app
                .configuration
                .service(events::ServiceId(service))
                .await
                .expect("read")
                .0
                .is_some()
        );
    }

    /// Executes all work that is due at the current time of the test clock: deadlines that were reached, and
    /// the messages of all queues. The function repeats this until no work is left.
    pub async fn settle(&self) {
        loop {
            self.followed().await;
            timer::wake::wake(&self.app, REGISTRY, None)
                .await
                .expect("wake");
            let now = self.app.ledger.clock.now();
            let mut idle = true;
            for name in queues() {
                for message in self
                    .app
                    .queue
                    .take(name, now, now.plus_ms(60_000), 100)
                    .await
                    .expect("take")
                {
                    idle = false;
                    work(&self.app, name, message).await.expect("work");
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Sends a request to the HTTP router of the desk, without a network, and returns the response.
    pub async fn answer(&self, request: Request<Body>) -> axum::response::Response {
        self.router()
            .oneshot(request)
            .await
            .expect("the router answers")
    }

    /// Returns the router of the desk. A router has hundreds of routes, so requests share one router. A test that
    /// replaces a part of `app` gets a new router, because the change creates another app (see `DerefMut` of [`App`]).
    fn router(&self) -> Router {
        let mut kept = self.router.lock().expect("no holder panics");
        if let Some((app, router)) = kept.as_ref()
            && std::ptr::from_ref(&**app) == std::ptr::from_ref(&*self.app)
        {
            return router.clone();
        }
        let router = http::router(self.app.clone());
        *kept = Some((self.app.clone(), router.clone()));
        router
    }

    /// Sends a request to the HTTP router of the desk, without a network, and returns status and body. Does not wait for
    /// server-sent events: their body is then empty.
    pub async fn send(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let response = self.answer(request).await;
        let status = response.status();
        let media_type = response.headers().get("content-type").cloned();
        let is_stream = media_type
            .as_ref()
            .is_some_and(|media_type| media_type == "text/event-stream");
        let body = if is_stream {
            Vec::new()
        } else {
            let body = to_bytes(response.into_body(), 1 << 24).await;
            body.expect("a body").to_vec()
        };
        if let Some(path) = path.strip_prefix("/v1/") {
            let is_json = media_type
                .as_ref()
                .and_then(|media_type| media_type.to_str().ok())
                .is_some_and(|media_type| media_type.ends_with("json"));
            let json = is_json.then(|| serde_json::from_slice(&body).expect("JSON"));
            described::check(&method, path, status.as_u16(), json.as_ref());
        }
        (status, body)
    }

    /// Calls an operation of the BlueKing API as the app [`TRUSTED`]. Returns the whole response, which is a
    /// JSON object with `result`, `code`, `message` and `data`.
    pub async fn call(&self, operation: &str, body: Value) -> Value {
        self.call_with(operation, body, &[]).await
    }

    /// Calls an operation of the BlueKing API with additional headers, and returns the whole response. If the
    /// body contains no credentials, the function adds the credentials of the app [`TRUSTED`].
    pub async fn call_with(
        &self,
        operation: &str,
        mut body: Value,
        headers: &[(&str, &str)],
    ) -> Value {
        if body.get("bk_app_code").is_none() {
            body["bk_app_code"] = TRUSTED.0.into();
            body["bk_app_secret"] = TRUSTED.1.into();
        }
        let mut request = Request::post(format!("/api/c/compapi/v2/itsm/{operation}/"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, bytes) = self
            .send(request.body(body.to_string().into()).expect("a request"))
            .await;
        assert_eq!(status, StatusCode::OK, "{operation} {body}");
        serde_json::from_slice(&bytes).expect("an envelope")
    }

    /// Calls an operation of the BlueKing API, and returns the member `data` of the response. Panics if the
    /// operation fails.
    pub async fn must(&self, operation: &str, body: Value) -> Value {
        let envelope = self.call(operation, body.clone()).await;
        data_of(operation, &body, &envelope)
    }

    /// Calls an operation of the BlueKing API, and returns the error code and the error message. Panics if
    /// the operation succeeds.
    pub async fn refused(&self, operation: &str, body: Value) -> (i64, String) {
        let envelope = self.call(operation, body.clone()).await;
        refusal_of(operation, &body, &envelope)
    }

    /// Returns the number of requests that a test sends at the same time to find race conditions.
    pub fn rivals(&self) -> usize {
        200
    }

    /// Returns the current day of the test clock in the format that ticket numbers use (`YYYYMMDD`).
    pub fn day(&self) -> String {
        local(self.app.ledger.clock.now(), "%Y%m%d")
    }

    /// Returns the current time of the test clock in the format of the BlueKing API.
    pub fn now(&self) -> String {
        local(self.app.ledger.clock.now(), "%Y-%m-%d %H:%M:%S")
    }

    /// Returns the position of the last commit in the ledger. A test can compare the positions before and
    /// after a request. If the positions are equal, the request stored no commit.
    pub async fn head(&self) -> i64 {
        self.app.ledger.store.head().await.expect("head").position
    }

    /// Returns the type names of all events of a ticket, such as `ticket.opened`, from the oldest event to the newest.
    pub async fn story(&self, sn: &str) -> Vec<&'static str> {
        let history = functions::app::tickets::history(&self.app.ledger, &format!("ticket-{sn}"))
            .await
            .expect("a history");
        history
            .iter()
            .map(|envelope| events::Event::kind(&envelope.event))
            .collect()
    }
}

/// Returns the member `data` of a response of the BlueKing API. Panics if the response reports an error. The
/// parameters `operation` and `body` are used only in the panic message.
pub fn data_of(operation: &str, body: &Value, envelope: &Value) -> Value {
    assert_eq!(
        (&envelope["result"], &envelope["code"], &envelope["message"]),
        (&json!(true), &json!(0), &json!("success")),
        "{operation} {body}: {envelope}"
    );
    envelope["data"].clone()
}

/// Returns the error code and the error message of a response of the BlueKing API. Panics if the response
/// reports success. The parameters `operation` and `body` are used only in the panic message.
pub fn refusal_of(operation: &str, body: &Value, envelope: &Value) -> (i64, String) {
    assert_eq!(
        (&envelope["result"], &envelope["data"]),
        (&json!(false), &Value::Null),
        "{operation} {body}: {envelope}"
    );
    (
        envelope["code"].as_i64().expect("an integer code"),
        envelope["message"].as_str().expect("a message").to_owned(),
    )
}

/// Returns a time as text in the time zone that a desk uses by default. `format` is the format of the text.
pub fn local(at: Moment, format: &str) -> String {
    let zone = Settings::default().zone;
    jiff::Timestamp::from_millisecond(at.0)
        .expect("a time")
        .to_zoned_datetime(zone)
        .strftime(format)
        .to_string()
}

/// Returns form fields as JSON in the format of the BlueKing API. Each pair contains the key and the value of
/// one field.
pub fn form(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

/// Returns the body of a request that opens a general approval ticket for the user lisi. The approvers of
/// the first workflow node are zhangsan and wangwu. The approver of the second node is admin.
pub fn approval_request() -> Value {
    json!({
        "service_id": 22,
        "creator": "lisi",
        "fields": form(&[
            ("title", "申请堡垒机权限"), ("apply_content", "按清单开通"), ("impact", "2"), ("urgency", "3"),
            ("ZHIDINGSHENPIREN", "zhangsan,wangwu"), ("LIANXIDIANHUA", "13800000000"),
        ]),
    })
}

/// Returns the body of a request in which the user lisi opens an incident ticket.
pub fn incident() -> Value {
    json!({
        "service_id": 19,
        "creator": "lisi",
        "fields": form(&[("title", "登录页异常"), ("impact", "3"), ("urgency", "3"), ("GUZHANGLEIXING", "DNS"), ("GUZHANGMIAOSHU", "<p>超时</p>")]),
    })
}

/// Returns the body of a request in which the user lisi opens a change ticket.
pub fn change() -> Value {
    json!({
        "service_id": 20,
        "creator": "lisi",
        "fields": form(&[
            ("title", "网关发布"), ("impact", "1"), ("urgency", "2"), ("BIANGENGLEIXING", "APP,CONF"), ("BIANGENGSHIJIAN", "2026-11-25 23:00:00"),
            ("BIANGENGFANGAN", "灰度两批"),
        ]),
    })
}

/// Returns the definition of a workflow with one mission (the work of a robot). The form contains the station to
/// which the robot drives in the site `hall`.
pub fn patrol_workflow() -> Value {
    json!({
        "name": "Patrol",
        "nodes": [
            { "id": 1, "name": "Start", "kind": "START" },
            { "id": 2, "name": "Request", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title", "station"] },
            { "id": 3, "name": "Robot", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
              "service_task": { "does": "mission", "task_type": "patrol", "site": "hall", "station": "${station}", "expires_after_min": 3 } },
            { "id": 9, "name": "End", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "Title", "is_required": true },
                   { "id": 2, "key": "station", "type": "STRING", "name": "Station", "is_required": true }],
    })
}

/// Returns a workflow for tickets about accounts. Each ticket waits at the node 3 with the given name until the user
/// zhangsan enters a result. The requester enters a title, and optionally the kind of the request and the account.
pub fn account_workflow(name: &str, node: &str) -> Value {
    json!({
        "name": name,
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title", "kind", "account"] },
            { "id": 3, "name": node, "kind": "NORMAL", "processors": { "type": "PERSON", "who": ["zhangsan"] }, "fields": ["result"] },
            { "id": 9, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true },
                   { "id": 2, "key": "kind", "type": "STRING", "name": "类型" },
                   { "id": 3, "key": "account", "type": "STRING", "name": "账号" },
                   { "id": 4, "key": "result", "type": "STRING", "name": "结果", "is_required": true }],
    })
}

/// Deploys a workflow and creates a service with this workflow. Returns the id of the service. The function `post`
/// sends a POST request to a path below `/v1` as a superuser, and returns the body of the response. `service`
/// contains further members of the service.
pub async fn publish(
    post: impl AsyncFn(&str, Value) -> Value,
    definition: Value,
    service: Value,
) -> Value {
    let mut body =
        json!({ "kind": "request", "name": definition["name"], "version": 1, "catalog": 4 });
    let drawn = post("workflows", json!({ "definition": definition })).await;
    post(
        &format!("workflows/{}/deploy", drawn["workflow"]),
        json!({}),
    )
    .await;
    body["workflow"] = drawn["workflow"].clone();
    if let (Some(members), Value::Object(more)) = (body.as_object_mut(), service) {
        members.extend(more);
    }
    post("services", body).await["service"].clone()
}

impl TestDesk {
    /// Deploys a workflow and creates a service with this workflow (see [`publish`]). Returns the id of the service.
    pub async fn publish(&self, definition: Value, service: Value) -> Value {
        let post = async |path: &str, body: Value| {
            let (status, answer) = self.v1("POST", path, "admin", body).await;
            assert_eq!(status, 201, "{path}: {answer}");
            answer
        };
        publish(post, definition, service).await
    }

    /// Sends a request to `/v1` as the app [`TRUSTED`] on behalf of a user. If `user` is empty, the app acts for
    /// no user. Returns status and body of the response.
    pub async fn v1(&self, method: &str, path: &str, user: &str, body: Value) -> (u16, Value) {
        self.v1_with(method, path, user, body, &[]).await
    }

    /// Sends a request to `/v1` as the app [`TRUSTED`] with additional headers. Returns status and body of
    /// the response.
    pub async fn v1_with(
        &self,
        method: &str,
        path: &str,
        user: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        use base64::Engine as _;
        let basic = base64::engine::general_purpose::STANDARD
            .encode(format!("{}:{}", TRUSTED.0, TRUSTED.1));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header("authorization", format!("Basic {basic}"));
        request = request.header("content-type", "application/json");
        if !user.is_empty() {
            request = request.header("x-on-behalf-of", user);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            body.to_string().into()
        };
        let (status, bytes) = self.send(request.body(body).expect("a request")).await;
        (
            status.as_u16(),
            if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes).expect("JSON")
            },
        )
    }

    /// Executes an operation on a ticket through the API `/v1`, and returns the body of the response. Panics
    /// if the operation fails.
    pub async fn operate(&self, sn: &Value, operation: &str, user: &str, body: Value) -> Value {
        let (status, answer) = self
            .v1(
                "POST",
                &format!("tickets/{}/{operation}", sn.as_str().expect("sn")),
                user,
                body.clone(),
            )
            .await;
        assert_eq!(status, 200, "{operation} {body} by {user}: {answer}");
        answer
    }

    /// Executes an operation on a ticket through the API `/v1`, and returns the status and the error detail.
    /// Panics if the operation succeeds.
    pub async fn not_operated(
        &self,
        sn: &Value,
        operation: &str,
        user: &str,
        body: Value,
    ) -> (u16, String) {
        let (status, answer) = self
            .v1(
                "POST",
                &format!("tickets/{}/{operation}", sn.as_str().expect("sn")),
                user,
                body.clone(),
            )
            .await;
        assert!(
            status >= 400,
            "{operation} {body} by {user} was accepted: {answer}"
        );
        (
            status,
            answer["detail"].as_str().expect("a detail").to_owned(),
        )
    }
}

/// The users that the login service knows. The login token of a user is the name with `-is-logged-in` at the end.
const LOGGED_IN: [&str; 4] = ["lisi", "admin", "zhangsan", "stranger"];

/// Returns the request body with the credentials of the app [`PLAIN`] and the login token of the user lisi.
/// With this body, a request can act only for the user lisi.
pub fn of_lisi_alone(mut body: Value) -> Value {
    body["bk_app_code"] = PLAIN.0.into();
    body["bk_app_secret"] = PLAIN.1.into();
    body["bk_token"] = "lisi-is-logged-in".into();
    body
}

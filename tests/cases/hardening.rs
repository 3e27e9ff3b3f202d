//! These tests check the limits that protect a desk against malicious clients.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tests::process::{APP, Served, client, program, resident_kib};
use tests::{TestDesk, approval_request, form};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longest time that a test waits for an expected result.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the host and the port of a desk.
fn host(desk: &Served) -> &str {
    desk.base.trim_start_matches("http://")
}

/// Sends bytes to the desk on a new connection. Returns all bytes that the desk sends back.
async fn raw(desk: &Served, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host(desk)).await.expect("a connection");
    // A write error is ignored, because a server may respond and close the connection before the server has
    // read all bytes.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(Ok(read)) = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..read]);
    }
    answer
}

/// Returns the value of the header `X-Bkapi-Authorization` with the code and the secret of an app (a client
/// program).
fn authorization(code: &str, secret: &str) -> String {
    json!({ "bk_app_code": code, "bk_app_secret": secret }).to_string()
}

/// Starts an HTTP service on a free local port; returns its base URL.
async fn service(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

/// Many clients open connections and send only a part of a request head (request line and headers). The desk
/// still responds to health checks and other requests (cases/hostile-and-broken.md, case 2).
#[tokio::test]
async fn half_open_connections_do_not_stop_health() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""])
        .arg(program());
    let desk = Served::start_by(shell, directory.path(), &[]);
    assert!(desk.is_up());
    let mut open = Vec::new();
    for _ in 0..300 {
        if let Ok(Ok(mut stream)) =
            tokio::time::timeout(PATIENCE, TcpStream::connect(host(&desk))).await
        {
            let _ = stream
                .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-")
                .await;
            open.push(stream);
        }
    }
    let answer = client()
        .get(format!("{}/healthz", desk.base))
        .send()
        .await
        .expect("health is answered");
    assert_eq!(answer.status(), 200);
    let (status, _) = desk.v1("GET", "services", "admin", Value::Null).await;
    assert_eq!(status, 200, "other requests are answered too");
    assert!(open.len() > 256, "{} connections were opened", open.len());
}

/// If a client never completes the head (request line and headers) of a request, the desk closes the
/// connection (cases/hostile-and-broken.md, case 2).
#[tokio::test]
async fn a_request_head_that_never_ends_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut stream = TcpStream::connect(host(&desk)).await.expect("a connection");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-")
        .await
        .expect("sent");
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
}

/// A request head (request line and headers) of 64 KiB is rejected with status 431
/// (cases/hostile-and-broken.md, case 12).
#[tokio::test]
async fn a_request_head_of_64_kib_is_answered_431() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut head = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n".to_vec();
    for number in 0..16 {
        head.extend_from_slice(format!("x-{number}: {}\r\n", "y".repeat(4096)).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    let answer = raw(&desk, &head).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let small = raw(
        &desk,
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        small.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&small)
    );
}

/// The desk does not support HTTP/2. A client that begins a connection with HTTP/2 receives no HTTP/2
/// frame from the desk (cases/hostile-and-broken.md, case 24).
#[tokio::test]
async fn http_2_without_tls_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    // These bytes are the connection preface of HTTP/2 and an empty SETTINGS frame.
    let answer = raw(
        &desk,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    )
    .await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
        "a frame of HTTP/2 came back: {answer:?}"
    );
}

/// A request body of 8 MiB is larger than the limit of 1 MiB. The desk still reads the whole body, so the
/// client receives an error response that names the limit (cases/crossings.md, case 13).
#[tokio::test]
async fn a_far_too_large_body_is_answered_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    for path in ["/api/c/compapi/v2/itsm/create_ticket/", "/v1/tickets"] {
        for _ in 0..5 {
            let body = "x".repeat(8 << 20);
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-on-behalf-of: lisi\r\nconnection: close\r\nx-bkapi-authorization: {}\r\ncontent-length: {}\r\n\r\n",
                authorization(APP.0, APP.1),
                body.len()
            );
            let mut stream = TcpStream::connect(host(&desk)).await.expect("a connection");
            stream
                .write_all(head.as_bytes())
                .await
                .expect("the head is taken");
            stream
                .write_all(body.as_bytes())
                .await
                .expect("the whole body is read");
            let mut answer = Vec::new();
            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
                .await
                .expect("in time")
                .expect("an answer and no reset");
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let (status, words) = if path.starts_with("/v1") {
                ("HTTP/1.1 4", "larger than 1048576 bytes")
            } else {
                ("HTTP/1.1 200", "1048576")
            };
            assert!(
                answer.starts_with(status) && answer.contains(words),
                "{path}: {answer}"
            );
        }
    }
}

/// A request with an unknown content type is rejected before the desk parses the body (design document,
/// section 5).
#[tokio::test]
async fn a_body_of_an_unknown_type_opens_no_ticket() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let post = async |kind: &str, gateway_credentials: Option<String>| {
        let mut body = approval_request();
        body["bk_app_code"] = APP.0.into();
        body["bk_app_secret"] = APP.1.into();
        let mut request = client()
            .post(format!("{}/v2/itsm/create_ticket/", desk.base))
            .header("content-type", kind)
            .body(body.to_string());
        if let Some(gateway_credentials) = gateway_credentials {
            request = request.header("x-bkapi-authorization", gateway_credentials);
        }
        let response = request.send().await.expect("an answer");
        (
            response.status().as_u16(),
            response.json::<Value>().await.expect("JSON"),
        )
    };
    for kind in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/html",
        "application/octet-stream",
    ] {
        let (status, answer) = post(kind, Some(authorization(APP.0, APP.1))).await;
        assert_eq!(
            (status, &answer["result"], &answer["code"]),
            (200, &json!(false), &json!(3_900_021)),
            "{kind}: {answer}"
        );
        let (status, answer) = post(kind, None).await;
        assert_eq!(
            (status, &answer["result"]),
            (403, &json!(false)),
            "credentials in an unread body are ignored: {kind}: {answer}"
        );
    }
    let (status, tickets) = desk
        .v1("GET", "tickets?list=all", "admin", Value::Null)
        .await;
    assert_eq!((status, &tickets["count"]), (200, &json!(0)), "{tickets}");
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        let (status, answer) = post(kind, None).await;
        assert_eq!(
            (status, &answer["result"]),
            (200, &json!(true)),
            "{kind}: {answer}"
        );
    }
}

/// A caller without credentials gets status 403 on every path and method.
#[tokio::test]
async fn a_caller_without_credentials_gets_403_on_every_path() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let paths = [
        "v2/itsm/get_services/",
        "v2/itsm/create_ticket/",
        "v2/itsm/nothing/",
        "api/c/compapi/v2/itsm/get_tickets/",
        "openapi/ticket/",
        "nothing",
        "admin/x",
    ];
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            for (kind, body) in [
                ("application/json", ""),
                ("application/json", "{}"),
                ("application/json", "{"),
                ("text/plain", "x"),
            ] {
                let method: reqwest::Method = method.parse().expect("a method");
                let request = client()
                    .request(method.clone(), format!("{}/{path}", desk.base))
                    .header("content-type", kind)
                    .body(body);
                let response = request.send().await.expect("an answer");
                assert_eq!(response.status(), 403, "{method} {path} {kind} {body}");
                let answer: Value = response.json().await.expect("the envelope");
                assert_eq!(answer["result"], false, "{method} {path}: {answer}");
                assert!(
                    answer["code"].is_i64()
                        && answer["message"].is_string()
                        && answer["request_id"].is_string(),
                    "{method} {path}: {answer}"
                );
            }
        }
    }
    for path in [
        "v1",
        "v1/tickets",
        "v1/nothing",
        "v1/attachments",
        "healthz",
        "readyz",
        "openapi.json",
        "",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if !path.starts_with("v1") && method == "GET" {
                continue;
            }
            for (kind, body) in [("application/json", "{}"), ("text/plain", "x")] {
                let method: reqwest::Method = method.parse().expect("a method");
                let request = client()
                    .request(method.clone(), format!("{}/{path}", desk.base))
                    .header("content-type", kind)
                    .body(body);
                let status = request.send().await.expect("an answer").status().as_u16();
                assert_eq!(status, 403, "{method} {path} {kind}");
            }
        }
    }
    let methods = client()
        .post(format!("{}/healthz", desk.base))
        .header("x-bkapi-authorization", authorization(APP.0, APP.1));
    assert_eq!(
        methods.send().await.expect("an answer").status(),
        405,
        "a caller with credentials gets 405"
    );
}

/// A request without valid credentials gets status 403, even if its headers or its body size are also
/// invalid.
#[tokio::test]
async fn headers_and_large_bodies_do_not_change_a_403() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let other = reqwest::header::HeaderValue::from_bytes(b"\xd5\xc5").expect("a header");
    let headers = [
        ("idempotency-key", other.clone()),
        ("content-type", other.clone()),
        ("x-bkapi-authorization", other.clone()),
        ("x-on-behalf-of", other.clone()),
        ("authorization", other),
        ("authorization", "Bearer x".parse().expect("a header")),
        ("authorization", "Basic dDo=".parse().expect("a header")),
        (
            "x-bkapi-authorization",
            "{\"bk_app_code\": \"t\"}".parse().expect("a header"),
        ),
        ("if-match", "x".parse().expect("a header")),
    ];
    for path in ["v1/tickets", "v2/itsm/create_ticket/"] {
        for (name, value) in &headers {
            let response = client()
                .post(format!("{}/{path}", desk.base))
                .header(*name, value.clone())
                .send()
                .await
                .expect("an answer");
            assert_eq!(response.status(), 403, "{path} {name} {value:?}");
        }
        for size in [2 << 20, 4 << 20] {
            let request = client()
                .post(format!("{}/{path}", desk.base))
                .header("content-type", "application/json")
                .body("x".repeat(size));
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), 403, "{path} {size} bytes");
        }
    }
    // The name of the authentication scheme, for example `Basic`, is not case-sensitive.
    let text = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{}:{}", APP.0, APP.1),
    );
    let request = client()
        .get(format!("{}/v1/services", desk.base))
        .header("x-on-behalf-of", "lisi");
    assert_eq!(
        request
            .header("authorization", format!("basic {text}"))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    let wrong = client()
        .get(format!("{}/v1/services", desk.base))
        .basic_auth(APP.0, Some("wrong"))
        .send()
        .await
        .expect("an answer");
    assert!(
        matches!(wrong.status().as_u16(), 401 | 403)
            && wrong.headers().contains_key("www-authenticate")
    );
}

/// A BlueKing request with a wrong secret or an unknown operation gets a JSON error in the format of the
/// BlueKing API gateway (cases/first-use.md, section 3).
#[tokio::test]
async fn a_wrong_secret_and_an_unknown_operation_are_answered_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let send = async |path: &str, secret: &str| {
        let request = client()
            .get(format!("{}/{path}", desk.base))
            .header("x-bkapi-authorization", authorization(APP.0, secret));
        let response = request.send().await.expect("an answer");
        (
            response.status().as_u16(),
            response.json::<Value>().await.expect("JSON"),
        )
    };
    for (path, secret, status) in [
        ("v2/itsm/get_services/", "wrong", 403),
        ("v2/itsm/nothing/", "wrong", 403),
        ("v2/itsm/nothing/", APP.1, 404),
        ("nothing", APP.1, 404),
    ] {
        let (got, answer) = send(path, secret).await;
        assert_eq!(
            (got, &answer["result"], &answer["data"]),
            (status, &json!(false), &Value::Null),
            "{path} {secret}: {answer}"
        );
        assert!(
            answer["code"].as_i64().is_some_and(|code| code != 0)
                && answer["request_id"]
                    .as_str()
                    .is_some_and(|id| !id.is_empty()),
            "{answer}"
        );
    }
    let (known, unknown) = (send("v2/itsm/get_services/", "wrong").await.1, {
        let request = client()
            .get(format!("{}/v2/itsm/get_services/", desk.base))
            .header("x-bkapi-authorization", authorization("nobody", "wrong"));
        request
            .send()
            .await
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON")
    });
    assert_eq!(
        (&known["code"], &known["message"]),
        (&unknown["code"], &unknown["message"]),
        "the error does not reveal which app codes exist"
    );
}

/// If a client guesses secrets of an app (a registered client program) in many requests, the desk responds
/// with status 429 and the header `Retry-After`. A request with the valid secret of the same app is still
/// accepted (cases/hostile-and-broken.md, case 7).
#[tokio::test]
async fn a_valid_secret_is_accepted_while_guesses_get_429() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    for api in ["v1/services", "v2/itsm/get_services/"] {
        let guess = async |number: usize| {
            let request = client()
                .get(format!("{}/{api}", desk.base))
                .header("x-on-behalf-of", "lisi");
            let secret = format!("guess-{number}");
            let request = if api.starts_with("v1") {
                request.basic_auth(APP.0, Some(secret))
            } else {
                request.header("x-bkapi-authorization", authorization(APP.0, &secret))
            };
            let response = request.send().await.expect("an answer");
            (
                response.status().as_u16(),
                response.headers().get("retry-after").cloned(),
            )
        };
        let mut limited = None;
        for number in 0..200 {
            let (status, after) = guess(number).await;
            assert!(matches!(status, 401 | 403 | 429), "{api}: {status}");
            if status == 429 {
                limited = after;
                break;
            }
        }
        let after = limited.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        assert!(
            after.is_some_and(|seconds| (1..=3600).contains(&seconds)),
            "{api}: no guess was rejected with Retry-After"
        );
        let (status, _) = desk.v1("GET", "services", "lisi", Value::Null).await;
        assert_eq!(
            status, 200,
            "{api}: the right secret of the same code from the same address"
        );
        assert_eq!(desk.bk("get_services", json!({})).await["result"], true);
    }
}

/// The memory of the desk grows by less than 64 MiB during 320 requests with guessed secrets
/// (cases/hostile-and-broken.md, case 7).
#[tokio::test]
async fn guessed_secrets_take_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    desk.v1("GET", "services", "lisi", Value::Null).await;
    let before = resident_kib(desk.id());
    let mut guesses = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let url = format!("{}/v1/services", desk.base);
        guesses.spawn(async move {
            let http = client();
            for number in 0..5 {
                let _ = http
                    .get(&url)
                    .basic_auth(APP.0, Some(format!("{caller}-{number}")))
                    .send()
                    .await;
            }
        });
    }
    guesses.join_all().await;
    let grown = resident_kib(desk.id()).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
}

/// The desk stores the secret of an app (a client program) as a keyed hash. A keyed hash is faster to check
/// than a password hash (cases/hostile-and-broken.md, case 7).
#[tokio::test]
async fn the_secret_of_an_app_is_stored_as_a_keyed_hash() {
    let desk = TestDesk::open().await;
    let record = desk
        .app
        .ledger
        .keys
        .secret(&format!("app-secret/{}", tests::TRUSTED.0))
        .await
        .unwrap()
        .expect("a record");
    let text = String::from_utf8(record).expect("text");
    assert!(
        text.starts_with("blake3-keyed:") && !text.contains(tests::TRUSTED.1),
        "{text}"
    );
    let other = desk
        .app
        .ledger
        .keys
        .secret(&format!("app-secret/{}", tests::PLAIN.0))
        .await
        .unwrap()
        .expect("a record");
    assert_ne!(other, text.as_bytes());
}

/// A desk does not start if an app (a client program) has a weak secret and other machines can reach the
/// desk (cases/first-use.md, section 6).
#[test]
fn a_weak_secret_is_rejected_beyond_loopback() {
    let first_line = |listen: &str, secret: &str| {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(program())
            .args(["serve", "--listen", listen, "--app", secret, "--data"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
            child.stdout.take().expect("a pipe"),
        ));
        // The first line of the output contains the address of the desk. If the process has ended, there is
        // no first line.
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let _ = child.kill();
        let _ = child.wait();
        first
    };
    assert_eq!(first_line("0.0.0.0:0", "t:t"), "");
    assert_eq!(first_line("0.0.0.0:0", "t:aaaaaaaaaaaaaaaaaaaaaaaa"), "");
    assert!(first_line("0.0.0.0:0", "t:f3b1c29e40d7a8561c0be97d").contains("http://"));
    assert!(first_line("127.0.0.1:0", "t:t").contains("http://"));
}

/// The desk does not follow a redirect from the login service. Otherwise another server could receive the
/// login token (cases/hostile-and-broken.md, case 13).
#[tokio::test]
async fn a_redirect_of_the_login_service_is_not_followed() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let elsewhere = service(Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { r#"{"result": true, "data": {"username": "admin"}}"# }
    }))
    .await;
    let login = service(Router::new().fallback(move || {
        let to = format!("{elsewhere}/accounts/is_login/");
        async move { (axum::http::StatusCode::FOUND, [("location", to)]) }
    }))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(
        directory.path(),
        &[
            "--login",
            &login,
            "--plain-app",
            "plain:secret-of-the-plain-app",
        ],
    );
    let request = client()
        .put(format!("{}/v1/roles/1", desk.base))
        .basic_auth("plain", Some("secret-of-the-plain-app"))
        .header("x-bk-token", "tok");
    let status = request
        .json(&json!({ "name": "x", "members": ["mallory"] }))
        .send()
        .await
        .expect("an answer")
        .status()
        .as_u16();
    assert!(status == 401 || status == 403 || status == 503, "{status}");
    assert_eq!(
        requests.load(Ordering::SeqCst),
        0,
        "the token was sent to another server"
    );
}

/// The desk caches a verified login token. 40 concurrent requests with the same token therefore cause only
/// one request to the login service (cases/hostile-and-broken.md, case 30).
#[tokio::test]
async fn a_verified_login_token_is_cached() {
    let verifications = Arc::new(AtomicUsize::new(0));
    let counted = verifications.clone();
    let login = service(Router::new().route(
        "/accounts/is_login/",
        get(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { r#"{"result": true, "data": {"username": "lisi"}}"# }
        }),
    ))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(
        directory.path(),
        &[
            "--login",
            &login,
            "--plain-app",
            "plain:secret-of-the-plain-app",
        ],
    );
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let request = client()
            .get(format!("{}/v1/services", desk.base))
            .basic_auth("plain", Some("secret-of-the-plain-app"))
            .header("x-bk-token", "tok-lisi");
        requests.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    }
    assert!(
        requests
            .join_all()
            .await
            .iter()
            .all(|status| *status == 200)
    );
    assert_eq!(verifications.load(Ordering::SeqCst), 1);
}

/// The desk sends at most 16 concurrent requests to the login service, however many different tokens arrive
/// (cases/hostile-and-broken.md, case 30).
#[tokio::test]
async fn many_different_login_tokens_are_verified_a_few_at_a_time() {
    const TOKENS: usize = 60;
    const AT_ONCE: usize = 16;
    // The number of requests that the login service handles now, the maximum of this number, and the sum.
    let counts = Arc::new(std::sync::Mutex::new((0_usize, 0_usize, 0_usize)));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (counted, held) = (counts.clone(), gate.clone());
    let login = service(Router::new().route(
        "/accounts/is_login/",
        get(move || {
            let (counted, held) = (counted.clone(), held.clone());
            async move {
                {
                    let mut counts = counted.lock().expect("no holder panics");
                    counts.0 += 1;
                    counts.1 = counts.1.max(counts.0);
                    counts.2 += 1;
                }
                held.acquire().await.expect("an open gate").forget();
                counted.lock().expect("no holder panics").0 -= 1;
                r#"{"result": true, "data": {"username": "lisi"}}"#
            }
        }),
    ))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let plain = ["--plain-app", "plain:secret-of-the-plain-app"];
    let desk = Served::start(directory.path(), &["--login", &login, plain[0], plain[1]]);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..TOKENS {
        let request = client()
            .get(format!("{}/v1/services", desk.base))
            .basic_auth("plain", Some("secret-of-the-plain-app"))
            .header("x-bk-token", format!("tok-{number}"));
        requests.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    }
    let full = async {
        while counts.lock().expect("no holder panics").0 < AT_ONCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full)
        .await
        .expect("the desk sends concurrent requests");
    gate.add_permits(TOKENS);
    let statuses = requests.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let (_, most, sum) = *counts.lock().expect("no holder panics");
    assert_eq!((most, sum), (AT_ONCE, TOKENS));
}

/// A request that names the largest number of people does not stop the desk: health checks are answered while the
/// request is processed (cases/hostile-and-broken.md, case 1).
#[tokio::test]
async fn health_is_answered_while_requests_register_many_people() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut requests = tokio::task::JoinSet::new();
    for round in 0..4 {
        let names: Vec<String> = (0..900).map(|at| format!("p{round}-{at}")).collect();
        let body = json!({ "service_id": 22, "fields": { "title": "t", "apply_content": "c", "impact": "2", "urgency": "3", "ZHIDINGSHENPIREN": "zhangsan", "LIANXIDIANHUA": "13800000000" },
            "processors": { "4": names } });
        let request = client()
            .post(format!("{}/v1/tickets", desk.base))
            .basic_auth(APP.0, Some(APP.1))
            .header("x-on-behalf-of", "lisi")
            .json(&body);
        requests.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    }
    let (mut healthy, mut statuses) = (0, Vec::new());
    while statuses.len() < 4 {
        let health = client().get(format!("{}/healthz", desk.base)).send();
        tokio::select! {
            biased;
            answer = health => {
                assert_eq!(answer.expect("an answer").status(), 200);
                healthy += 1;
            }
            Some(status) = requests.join_next() => statuses.push(status.expect("a response")),
        }
    }
    println!("{healthy} health checks were answered before the last of 4 requests: {statuses:?}");
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    assert!(healthy >= 2, "{healthy} health checks");
}

/// The desk reads at most 64 KiB of a response from the login service. A response of 1 MiB is rejected
/// (cases/hostile-and-broken.md, case 13).
#[tokio::test]
async fn an_endless_response_of_the_login_service_is_rejected() {
    let login = service(Router::new().fallback(|| async {
        format!(
            r#"{{"result": true, "data": {{"username": "admin", "x": "{}"}}}}"#,
            "y".repeat(1 << 20)
        )
    }))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(
        directory.path(),
        &[
            "--login",
            &login,
            "--plain-app",
            "plain:secret-of-the-plain-app",
        ],
    );
    let request = client()
        .get(format!("{}/v1/services", desk.base))
        .basic_auth("plain", Some("secret-of-the-plain-app"))
        .header("x-bk-token", "tok");
    let status = request.send().await.expect("an answer").status().as_u16();
    assert!(status == 401 || status == 403 || status == 503, "{status}");
}

/// A client may add headers to the callback of a ticket, but not headers such as `Host`. The error names
/// the rejected header (cases/hostile-and-broken.md, case 14).
#[tokio::test]
async fn a_reserved_callback_header_is_rejected_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let fields = json!({ "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" });
    for (name, value) in [
        ("Host", "other.example.com"),
        ("host", "other.example.com"),
        ("Idempotency-Key", "mine"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "identity"),
        ("Connection", "close"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "x"),
        ("Expect", "100-continue"),
        ("X Token", "x"),
        ("", "x"),
        ("X-Token", "a\r\nX-Other: b"),
        ("X-Token", "a\nb"),
    ] {
        let callback = json!({ "url": "http://127.0.0.1:9/", "headers": { name: value } });
        let (status, problem) = desk
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": 22, "fields": fields, "callback": callback }),
            )
            .await;
        assert_eq!(status, 400, "{name:?} {value:?}: {problem}");
        assert!(
            problem["errors"][0]["field"]
                .as_str()
                .is_some_and(|field| field.starts_with("/callback/headers")),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(name)),
            "{problem}"
        );
        let mut body = approval_request();
        body["meta"] = json!({ "callback_url": "http://127.0.0.1:9/", "headers": { name: value } });
        let envelope = desk.bk("create_ticket", body).await;
        assert_eq!(envelope["result"], false, "{name:?} {value:?}: {envelope}");
        assert!(
            envelope["message"]
                .as_str()
                .is_some_and(|message| message.contains("meta:headers") && message.contains(name)),
            "{envelope}"
        );
    }
    let headers = json!({ "Authorization": "Bearer x", "Content-Type": "application/json" });
    let callback = json!({ "url": "http://127.0.0.1:9/", "headers": headers });
    let (status, answer) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": fields, "callback": callback }),
        )
        .await;
    assert_eq!(status, 201, "{answer}");
}

/// A new ticket is rejected if its callback address is not allowed by the rules for outgoing requests
/// (cases/first-use.md, section 3).
#[tokio::test]
async fn a_callback_to_a_blocked_address_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    // The demo desk (a desk with demo data) allows callbacks to loopback addresses. The demo desk allows
    // no other private address.
    let desk = Served::start(directory.path(), &[]);
    let open = async |url: &str| {
        let fields = json!({ "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" });
        let (status, problem) = desk
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": 22, "fields": fields, "callback": { "url": url } }),
            )
            .await;
        let mut body = approval_request();
        body["meta"] = json!({ "callback_url": url });
        (status, problem, desk.bk("create_ticket", body).await)
    };
    for closed in [
        "http://169.254.169.254/latest",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://10.0.0.1/",
        "http://0.0.0.0:8080/",
        "http://192.168.1.1/",
        "http://2852039166/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[::ffff:0:169.254.169.254]/",
        "http://user:password@169.254.169.254/",
        "http://169.254.169.254./",
        "http://127.0.0.1:9/\r\nx-other: y",
    ] {
        let (status, problem, envelope) = open(closed).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (400, &json!("/callback/url")),
            "{closed}: {problem}"
        );
        assert!(
            envelope["result"] == false
                && envelope["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("callback_url")),
            "{closed}: {envelope}"
        );
    }
    for allowed in [
        "http://127.0.0.1:9/",
        "http://localhost:9/",
        "https://receiver.example.com/x",
    ] {
        let (status, problem, envelope) = open(allowed).await;
        assert_eq!(
            (status, &envelope["result"]),
            (201, &json!(true)),
            "{allowed}: {problem} {envelope}"
        );
    }
}

/// A callback contains a token for its ticket. The desk does not accept this token for another ticket
/// number (cases/hostile-and-broken.md, case 15).
#[tokio::test]
async fn a_token_is_verified_only_for_its_own_ticket() {
    let desk = TestDesk::open().await;
    let mut sns = Vec::new();
    for _ in 0..2 {
        let mut body = approval_request();
        body["meta"] = json!({ "callback_url": "https://app.example.com/cb" });
        let sn = desk.must("create_ticket", body).await["sn"].clone();
        let fields = form(&[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "x")]);
        desk.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await;
        desk.settle().await;
        sns.push(sn);
    }
    let bodies: Vec<Value> = desk
        .receiver
        .calls
        .lock()
        .expect("calls")
        .iter()
        .map(|call| serde_json::from_slice(&call.body).expect("JSON"))
        .collect();
    let token = bodies
        .iter()
        .find(|body| body["sn"] == sns[0])
        .expect("its callback")["token"]
        .clone();
    let verify = async |sn: Option<Value>| {
        let mut body = json!({ "token": token });
        if let Some(sn) = sn {
            body["sn"] = sn;
        }
        desk.must("token/verify", body).await
    };
    assert_eq!(
        verify(None).await,
        json!({ "is_passed": true, "sn": sns[0] })
    );
    assert_eq!(verify(Some(Value::Null)).await["is_passed"], true);
    assert_eq!(verify(Some(sns[0].clone())).await["is_passed"], true);
    for other in [
        sns[1].clone(),
        json!("REQ1"),
        json!(""),
        json!(1),
        json!([sns[0]]),
        json!({ "sn": sns[0] }),
    ] {
        assert_eq!(
            verify(Some(other.clone())).await["is_passed"],
            false,
            "{other}"
        );
    }
}

/// The response with the API description contains an entity tag. If a client sends this tag in a later
/// request and the description is unchanged, the desk returns status 304 without the description
/// (cases/hostile-and-broken.md, case 18).
#[tokio::test]
async fn the_api_description_has_an_entity_tag_and_is_answered_304() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let url = format!("{}/openapi.json", desk.base);
    let first = client().get(&url).send().await.expect("an answer");
    let tag = first.headers().get("etag").expect("a tag").clone();
    assert!(
        first.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/json")
    );
    assert!(first.json::<Value>().await.expect("JSON")["paths"].is_object());
    let text = tag.to_str().expect("text");
    for known in [
        text.to_owned(),
        format!("W/{text}"),
        format!("\"other\", {text}"),
        "*".to_owned(),
    ] {
        let again = client()
            .get(&url)
            .header("if-none-match", &known)
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            (again.status().as_u16(), again.headers().get("etag")),
            (304, Some(&tag)),
            "{known}"
        );
        assert_eq!(again.bytes().await.expect("a body").len(), 0);
    }
    assert_eq!(
        client()
            .get(&url)
            .header("if-none-match", "\"other\"")
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
}

/// If one person saves too many drafts in a short time, the desk rejects the next drafts with status 429
/// (cases/hostile-and-broken.md, case 19).
#[tokio::test]
async fn too_many_drafts_are_answered_429() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut saved = 0;
    let mut after = None;
    for number in 0..100 {
        let fields =
            json!({ "title": "t", "apply_content": format!("{number} {}", "x".repeat(250_000)) });
        let (status, headers, problem) = desk
            .v1_with(
                "PUT",
                "drafts/services/22",
                "lisi",
                json!({ "fields": fields }),
                &[],
            )
            .await;
        match status {
            204 => saved += 1,
            429 => {
                after = headers.get("retry-after").cloned();
                break;
            }
            other => panic!("{other}: {problem}"),
        }
    }
    assert!(
        after
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .is_some_and(|seconds| seconds > 0),
        "none of 100 saves was rejected"
    );
    assert!(
        saved >= 10,
        "{saved} saves are not enough for a working day"
    );
    // One person has saved too many drafts. The desk still accepts drafts of other people, and requests of
    // this person that save no draft.
    let (status, _) = desk
        .v1(
            "PUT",
            "drafts/services/22",
            "wangwu",
            json!({ "fields": { "title": "t" } }),
        )
        .await;
    assert_eq!(status, 204);
    assert_eq!(desk.v1("GET", "drafts", "lisi", Value::Null).await.0, 200);
}

/// The desk limits the requests that an app (a client program) sends for one user. The limit is high enough
/// for a script that creates tickets in a loop.
#[tokio::test]
async fn too_many_requests_get_429_and_other_users_are_not_affected() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let url = format!("{}/v1/fields", desk.base);
        callers.spawn(async move {
            let http = client();
            let (mut answered, mut limited) = (0, 0);
            for _ in 0..2_000 {
                let response = http
                    .get(&url)
                    .basic_auth(APP.0, Some(APP.1))
                    .header("x-on-behalf-of", "lisi")
                    .send()
                    .await
                    .expect("an answer");
                match response.status().as_u16() {
                    429 => {
                        assert!(response.headers().contains_key("retry-after"));
                        limited += 1;
                        break;
                    }
                    _ => answered += 1,
                }
            }
            (answered, limited)
        });
    }
    let (answered, limited): (Vec<usize>, Vec<usize>) =
        callers.join_all().await.into_iter().unzip();
    assert!(
        limited.iter().sum::<usize>() > 0,
        "32,000 requests were answered: {answered:?}"
    );
    assert!(
        answered.iter().sum::<usize>() >= 2_000,
        "a script stops after {answered:?}"
    );
    assert_eq!(desk.v1("GET", "fields", "wangwu", Value::Null).await.0, 200);
}

/// The document docs/limits.md describes every limit that a client can reach.
#[test]
fn the_page_of_limits_names_the_statuses_that_callers_see() {
    let page =
        std::fs::read_to_string(tests::process::root().join("docs/limits.md")).expect("the page");
    for word in [
        "413",
        "429",
        "431",
        "507",
        "Retry-After",
        "32 KiB",
        "256 MiB",
    ] {
        assert!(page.contains(word), "docs/limits.md does not name {word}");
    }
}

/// The number of roles in one request is limited, because the desk loads each role with all its members
/// (cases/hostile-and-broken.md, case 1).
#[tokio::test]
async fn thousands_of_roles_in_one_request_are_rejected_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let fields = json!({ "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" });
    let (status, ticket) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": fields }),
        )
        .await;
    assert_eq!(status, 201, "{ticket}");
    let sn = ticket["sn"].as_str().expect("a number");
    let roles: Vec<u32> = (1..=3_000).collect();
    for operation in ["deliver", "reassign"] {
        let (status, problem) = desk
            .v1(
                "POST",
                &format!("tickets/{sn}/{operation}"),
                "zhangsan",
                json!({ "to": { "roles": roles }, "message": "x" }),
            )
            .await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (400, &json!("/to/roles")),
            "{operation}: {problem}"
        );
    }
}

/// If an authenticated client sends request bodies that never end, the desk still responds to other clients
/// (cases/hostile-and-broken.md, case 2).
#[tokio::test]
async fn stalled_bodies_of_an_authenticated_caller_do_not_stop_health() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "ulimit -n 512; exec \"$0\" \"$@\""])
        .arg(program());
    let desk = Served::start_by(shell, directory.path(), &[]);
    assert!(desk.is_up());
    let gateway_credentials = authorization(APP.0, APP.1);
    let head = format!(
        "POST /v1/tickets HTTP/1.1\r\nhost: a\r\nx-bkapi-authorization: {gateway_credentials}\r\nx-on-behalf-of: lisi\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
    );
    let mut open = Vec::new();
    for _ in 0..300 {
        if let Ok(Ok(mut stream)) =
            tokio::time::timeout(PATIENCE, TcpStream::connect(host(&desk))).await
        {
            let _ = stream.write_all(head.as_bytes()).await;
            open.push(stream);
        }
    }
    for _ in 0..5 {
        let answer = client()
            .get(format!("{}/healthz", desk.base))
            .send()
            .await
            .expect("health is answered");
        assert_eq!(answer.status(), 200);
        assert_eq!(
            desk.v1("GET", "services", "wangwu", Value::Null).await.0,
            200,
            "other users are answered too"
        );
    }
    assert!(open.len() > 256, "{} connections were opened", open.len());
}

/// If clients request large responses and do not read them, the desk uses only a limited amount of memory
/// (cases/hostile-and-broken.md, case 6).
#[tokio::test]
async fn unread_large_responses_take_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let fields = json!({ "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" });
    let (_, ticket) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": fields }),
        )
        .await;
    let sn = ticket["sn"].as_str().expect("a number");
    // The operating system buffers some MiB of each response. The test needs a larger response, so that the
    // rest must be in the memory of the desk.
    for number in 0..40 {
        let text = format!("{number} {}", "x".repeat(200_000));
        let (status, problem) = desk
            .v1(
                "POST",
                &format!("tickets/{sn}/edit"),
                "lisi",
                json!({ "fields": { "apply_content": text } }),
            )
            .await;
        assert_eq!(status, 200, "{problem}");
    }
    let path = format!("{}/v1/tickets/{sn}/events", desk.base);
    let send = || {
        client()
            .get(&path)
            .basic_auth(APP.0, Some(APP.1))
            .header("x-on-behalf-of", "lisi")
            .send()
    };
    let whole = send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("bytes")
        .len();
    assert!(whole > 1 << 20, "{whole} bytes are no large answer");
    let head = format!(
        "GET /v1/tickets/{sn}/events HTTP/1.1\r\nhost: a\r\nx-bkapi-authorization: {}\r\nx-on-behalf-of: lisi\r\n\r\n",
        authorization(APP.0, APP.1)
    );
    let before = resident_kib(desk.id());
    let (mut unread, mut rejected) = (Vec::new(), 0);
    for _ in 0..40 {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        // The test sets a small receive buffer. Most of each response therefore stays in the memory of the
        // desk.
        socket.set_recv_buffer_size(4096).expect("a buffer");
        let mut stream = socket
            .connect(host(&desk).parse().expect("an address"))
            .await
            .expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut status = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut status))
            .await
            .expect("in time")
            .expect("an answer");
        match &status {
            b"HTTP/1.1 200" => unread.push(stream),
            b"HTTP/1.1 429" => rejected += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    let grown = resident_kib(desk.id()).saturating_sub(before);
    assert!(
        rejected > 0 && !unread.is_empty(),
        "{} answers of {whole} bytes are not read, {grown} KiB more",
        unread.len()
    );
    assert!(
        grown < 96 << 10,
        "{grown} KiB more for {} answers",
        unread.len()
    );
    let (status, _) = desk
        .v1(
            "GET",
            &format!("tickets/{sn}/events"),
            "zhangsan",
            Value::Null,
        )
        .await;
    assert_eq!(status, 200, "another user reads the same");
    drop(unread);
    let mut tries = 0;
    while send().await.expect("an answer").status() != 200 {
        tries += 1;
        assert!(tries < 1_000, "a closed connection does not free its slot");
        tokio::task::yield_now().await;
    }
}

/// A ticket with a callback address that is no HTTP URL is rejected, because the desk could never send the
/// callback (cases/hostile-and-broken.md, case 14).
#[tokio::test]
async fn a_callback_address_that_is_not_text_is_rejected_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    for url in [
        json!(5),
        json!(true),
        json!(["http://127.0.0.1:9/"]),
        json!({ "url": "http://127.0.0.1:9/" }),
        json!("file:///etc/passwd"),
        json!("x"),
    ] {
        let mut body = approval_request();
        body["meta"] = json!({ "callback_url": url });
        let envelope = desk.bk("create_ticket", body).await;
        assert!(
            envelope["result"] == false
                && envelope["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("callback_url")),
            "{url}: {envelope}"
        );
    }
    for url in [
        Value::Null,
        json!(""),
        json!([]),
        json!({}),
        json!(" http://127.0.0.1:9/ "),
    ] {
        let mut body = approval_request();
        body["meta"] = json!({ "callback_url": url });
        let envelope = desk.bk("create_ticket", body).await;
        assert_eq!(envelope["result"], true, "{url}: {envelope}");
    }
}

/// A desk does not start if a configured header for API calls is invalid. The error names the header
/// (cases/hostile-and-broken.md, case 14).
#[test]
fn an_invalid_header_of_api_calls_is_rejected_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers.json");
    let option = format!("hook={}", file.display());
    for (name, value) in [
        ("Host", "other.example.com"),
        ("Content-Length", "5"),
        ("X Token", "x"),
        ("X-Token", "a\r\nX-Other: b"),
    ] {
        std::fs::write(&file, json!({ name: value }).to_string()).unwrap();
        let error = Served::start_with(&directory.path().join("data"), &["--api-secret", &option])
            .err()
            .unwrap_or_default();
        assert!(error.contains(name), "{name}: {error}");
    }
    std::fs::write(
        &file,
        json!({ "Authorization": "Bearer x", "X-Token": "口令" }).to_string(),
    )
    .unwrap();
    assert!(Served::start_with(&directory.path().join("data"), &["--api-secret", &option]).is_ok());
}

/// The desk limits the bytes that an app (a client program) may write. The request bodies of read operations
/// are not included in this limit, so large read requests do not block later writes
/// (cases/hostile-and-broken.md, case 19).
#[tokio::test]
async fn large_reads_of_an_app_do_not_count_as_written_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    // One app (client program) may write 96 MiB without waiting. The test sends read requests of this app
    // whose bodies have more than 96 MiB in total. Most of each body is in a member that the operation does not use.
    let parts = vec!["17"; 1_001].join(",");
    let unused = "x".repeat(900_000);
    for _ in 0..120 {
        let body = json!({ "service_id__in": parts, "unused": unused });
        let envelope = desk.bk("get_tickets", body).await;
        assert_eq!(envelope["result"], false, "too many values");
    }
    let created = desk
        .bk("create_ticket", tests::process::fast_approval("a", None))
        .await;
    assert_eq!(created["result"], true, "{created}");
}

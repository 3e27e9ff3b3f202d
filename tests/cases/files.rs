//! These tests upload and download attachments. They check the names of files, entity tags and limits.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use infra::Error;
use infra::blob::Blob;
use serde_json::{Value, json};
use tests::TestDesk;
use tests::process::{APP, Served, client, resident_kib};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// Returns a request to `/v1` that the test app (a client program) sends on behalf of the user lisi.
fn request_for(desk: &Served, method: &str, path: &str) -> reqwest::RequestBuilder {
    let method: reqwest::Method = method.parse().expect("a method");
    client()
        .request(method, format!("{}/v1/{path}", desk.base))
        .basic_auth(APP.0, Some(APP.1))
        .header("x-on-behalf-of", "lisi")
}

/// Uploads a file with the given name and content. Returns the attachment object of the response.
async fn upload(desk: &Served, name: &str, bytes: Vec<u8>) -> Value {
    let path = format!("attachments?name={}", domain::placeholder::percent(name));
    let response = request_for(desk, "POST", &path)
        .header("content-type", "application/octet-stream")
        .timeout(Duration::from_mins(1))
        .body(bytes)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 201);
    response.json::<Value>().await.expect("JSON")["attachments"][0].clone()
}

/// Uploads a file as a multipart form. `disposition` is the end of the header `Content-Disposition` and
/// contains the file name. Returns status and body of the response.
async fn upload_form(desk: &Served, disposition: &[u8]) -> (u16, Value) {
    let body = [
        &b"--XX\r\nContent-Disposition: form-data; name=\"field_file\"; "[..],
        disposition,
        b"\r\n\r\ntext\r\n--XX--\r\n",
    ]
    .concat();
    let request = request_for(desk, "POST", "attachments")
        .header("content-type", "multipart/form-data; boundary=XX");
    let response = request.body(body).send().await.expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

/// Returns the total size of all files in a folder, at any depth.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() {
            bytes_below(&path)
        } else {
            entry.metadata().map_or(0, |metadata| metadata.len())
        }
    };
    entries.filter_map(Result::ok).map(size).sum()
}

/// A client may send a path as the name of a file. The desk stores only the last part of this path
/// (cases/hostile-and-broken.md, case 21).
#[tokio::test]
async fn a_file_keeps_only_the_last_part_of_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    for (given, kept) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\lisi\\故障.png", "故障.png"),
        ("/a/b/c.txt", "c.txt"),
        ("a\u{7}b\r\n.txt", "ab.txt"),
        ("报告\u{202e}gpj.exe", "报告gpj.exe"),
    ] {
        assert_eq!(
            upload(&desk, given, b"x".to_vec()).await["name"],
            kept,
            "{given:?}"
        );
        let begun = request_for(&desk, "POST", "uploads")
            .header("idempotency-key", given.escape_default().to_string())
            .json(&json!({ "name": given }));
        let begun = begun
            .send()
            .await
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON");
        let known = request_for(
            &desk,
            "GET",
            &format!("attachments/{}", begun["id"].as_str().expect("an id")),
        )
        .send()
        .await
        .expect("an answer");
        assert_eq!(
            known.json::<Value>().await.expect("JSON")["name"],
            kept,
            "{given:?}"
        );
    }
    let (status, answer) = upload_form(&desk, b"filename=\"..\\\\..\\\\x.log\"").await;
    assert_eq!(
        (status, &answer["attachments"][0]["name"]),
        (201, &json!("x.log")),
        "{answer}"
    );
    for given in ["..", "a/..", "dir/", "\u{7}"] {
        let path = format!("attachments?name={}", domain::placeholder::percent(given));
        let status = request_for(&desk, "POST", &path)
            .body("x")
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16();
        assert_eq!(status, 400, "{given:?}");
    }
}

/// A client can send a file name in the parameter `filename*` of `Content-Disposition`. If this name is not
/// UTF-8 text, the upload is rejected and the error names this reason (cases/crossings.md, case 11).
#[tokio::test]
async fn a_name_in_filename_star_is_read_and_a_bad_encoding_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    for (disposition, name) in [
        (&b"filename*=utf-8''%E6%95%85.txt"[..], "故.txt"),
        (
            &b"filename*=UTF-8'zh-CN'%E6%95%85%20%22a%22.txt"[..],
            "故 \"a\".txt",
        ),
        (
            &b"filename=\"x.txt\"; filename*=utf-8''%E6%95%85.txt"[..],
            "故.txt",
        ),
        (
            &b"filename*=utf-8''%E6%95%85.txt; filename=\"x.txt\""[..],
            "故.txt",
        ),
        ("filename=\"故障.txt\"".as_bytes(), "故障.txt"),
    ] {
        let (status, answer) = upload_form(&desk, disposition).await;
        assert_eq!(
            (status, &answer["attachments"][0]["name"]),
            (201, &json!(name)),
            "{answer}"
        );
    }
    for disposition in [
        &b"filename=\"\xb9\xca\xd5\xcf.txt\""[..],
        b"filename*=utf-8''%B9%CA.txt",
        b"filename*=gb18030''%B9%CA.txt",
    ] {
        let (status, problem) = upload_form(&desk, disposition).await;
        assert_eq!(status, 400, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("UTF-8")),
            "{problem}"
        );
    }
}

/// A client that already has a file can send the entity tag of this file. If the tag is still valid, the
/// desk returns 304 without the content (cases/crossings.md, case 12).
#[tokio::test]
async fn an_unchanged_file_is_answered_304() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let file = upload(&desk, "a.bin", b"0123456789".to_vec()).await;
    let path = format!(
        "attachments/{}/content",
        file["id"].as_str().expect("an id")
    );
    let first = request_for(&desk, "GET", &path)
        .send()
        .await
        .expect("an answer");
    let tag = first.headers()["etag"].to_str().expect("text").to_owned();
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let again = request_for(&desk, "GET", &path)
            .header("if-none-match", &known)
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            (
                again.status().as_u16(),
                again.headers()["etag"].to_str().expect("text")
            ),
            (304, tag.as_str()),
            "{known}"
        );
        assert_eq!(again.bytes().await.expect("a body").len(), 0);
    }
    let other = request_for(&desk, "GET", &path)
        .header("if-none-match", "\"x\"")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (
            other.status().as_u16(),
            other.bytes().await.expect("a body").as_ref()
        ),
        (200, &b"0123456789"[..])
    );
    for (known, status, bytes) in [
        (tag.clone(), 206, &b"23"[..]),
        ("\"x\"".to_owned(), 200, &b"0123456789"[..]),
        (format!("W/{tag}"), 200, &b"0123456789"[..]),
    ] {
        let request = request_for(&desk, "GET", &path)
            .header("range", "bytes=2-3")
            .header("if-range", &known);
        let response = request.send().await.expect("an answer");
        assert_eq!(
            (
                response.status().as_u16(),
                response.bytes().await.expect("a body").as_ref()
            ),
            (status, bytes),
            "{known}"
        );
    }
}

/// Old clients ignore the parameter `filename*` of a download and use the simpler name in `filename`. The
/// simpler names of two files with Chinese names must differ (cases/crossings.md, case 14).
#[tokio::test]
async fn the_fallback_names_of_two_chinese_files_differ() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut fallbacks = Vec::new();
    for name in ["故障截图.png", "系统日志.png", "plain name.txt"] {
        let file = upload(&desk, name, b"x".to_vec()).await;
        let path = format!(
            "attachments/{}/content",
            file["id"].as_str().expect("an id")
        );
        let response = request_for(&desk, "GET", &path)
            .send()
            .await
            .expect("an answer");
        let disposition = response.headers()["content-disposition"]
            .to_str()
            .expect("text")
            .to_owned();
        assert!(
            disposition.ends_with(&format!(
                "filename*=UTF-8''{}",
                domain::placeholder::percent(name)
            )),
            "{disposition}"
        );
        fallbacks.push(
            disposition
                .split('"')
                .nth(1)
                .expect("a fallback name")
                .to_owned(),
        );
    }
    assert!(
        fallbacks[0] != fallbacks[1]
            && fallbacks[0].contains(".png")
            && fallbacks[0].starts_with("att-"),
        "{fallbacks:?}"
    );
    assert_eq!(fallbacks[2], "plain name.txt");
}

/// A file can be uploaded in several parts. If a client sends the same part again, the desk replaces the
/// stored part, so repeated parts do not fill the disk (cases/hostile-and-broken.md, case 5).
#[tokio::test]
async fn a_repeated_part_replaces_the_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let begun = request_for(&desk, "POST", "uploads")
        .header("idempotency-key", "k")
        .json(&json!({ "name": "a.bin" }))
        .send()
        .await
        .expect("an answer");
    let id = begun.json::<Value>().await.expect("JSON")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let mut tag = Value::Null;
    for number in 0..10_u8 {
        let part = request_for(&desk, "PUT", &format!("uploads/{id}/1"))
            .body(vec![number; 1 << 20])
            .send()
            .await
            .expect("an answer");
        assert_eq!(part.status(), 200);
        tag = part.json::<Value>().await.expect("JSON")["tag"].clone();
    }
    let stored = bytes_below(&directory.path().join("files"));
    assert!(
        stored < 2 << 20,
        "{stored} bytes are stored of an upload of one MiB"
    );
    let completed = request_for(&desk, "POST", &format!("uploads/{id}/complete"))
        .json(&json!({ "parts": [tag] }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(completed.status(), 200);
    let content = request_for(&desk, "GET", &format!("attachments/{id}/content"))
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("bytes");
    assert!(
        content.iter().all(|byte| *byte == 9) && content.len() == 1 << 20,
        "the last part counts"
    );
}

/// The number of unfinished uploads of one person is limited (cases/hostile-and-broken.md, case 5).
#[tokio::test]
async fn unfinished_uploads_of_one_person_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let mut rejected = None;
    for number in 0..200 {
        let request = request_for(&desk, "POST", "uploads")
            .header("idempotency-key", format!("k{number}"))
            .json(&json!({ "name": "a.bin" }));
        let response = request.send().await.expect("an answer");
        if response.status() != 201 {
            rejected = Some((
                number,
                response.status().as_u16(),
                response.headers().contains_key("retry-after"),
            ));
            break;
        }
    }
    let (number, status, has_wait) = rejected.expect("200 uploads are open");
    assert!(
        number >= 10 && status == 429 && has_wait,
        "{number} {status}"
    );
    let others = client()
        .post(format!("{}/v1/uploads", desk.base))
        .basic_auth(APP.0, Some(APP.1))
        .header("x-on-behalf-of", "wangwu");
    let others = others
        .header("idempotency-key", "k")
        .json(&json!({ "name": "a.bin" }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(others.status(), 201, "another person may still upload");
}

/// If clients start downloads and do not read the content, these downloads use little memory of the desk. The
/// number of unread downloads is limited (cases/hostile-and-broken.md, case 6).
#[tokio::test]
async fn unread_downloads_take_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    // If the desk kept six such files in memory, it would grow by more than 100 MiB.
    let bytes: Vec<u8> = (0..251).collect();
    let whole = bytes.repeat((24 << 20) / bytes.len());
    let file = upload(&desk, "a.bin", whole.clone()).await;
    let path = format!(
        "attachments/{}/content",
        file["id"].as_str().expect("an id")
    );
    let head = format!(
        "GET /v1/{path} HTTP/1.1\r\nhost: a\r\nx-bkapi-authorization: {}\r\nx-on-behalf-of: lisi\r\n\r\n",
        json!({ "bk_app_code": APP.0, "bk_app_secret": APP.1 })
    );
    let address: SocketAddr = desk
        .base
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let before = resident_kib(desk.id());
    let (mut unread, mut rejected) = (Vec::new(), 0);
    for _ in 0..100 {
        // The test reads the status of this response and nothing else. A small receive buffer keeps the rest of the file at
        // the desk.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a buffer");
        let mut stream = socket.connect(address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut status = [0; 12];
        tokio::time::timeout(Duration::from_mins(1), stream.read_exact(&mut status))
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
        grown < 100 << 10,
        "{grown} KiB more for {} downloads",
        unread.len()
    );
    assert!(
        rejected > 0 && unread.len() >= 6,
        "{} downloads at once",
        unread.len()
    );
    drop(unread);
    // The desk rejects a download while too many other downloads run. The test has closed its other
    // downloads, but the desk may detect this with a delay. The test therefore repeats the request until the
    // desk accepts it.
    let mut tries = 0;
    let content = loop {
        let request = request_for(&desk, "GET", &path).timeout(Duration::from_mins(1));
        let response = request.send().await.expect("an answer");
        if response.status() == 200 {
            break response.bytes().await.expect("bytes");
        }
        tries += 1;
        assert!(tries < 1_000, "a closed connection does not free its slot");
        tokio::task::yield_now().await;
    };
    assert!(
        content.as_ref() == whole.as_slice(),
        "the download equals the uploaded file"
    );
}

/// A file storage for tests that reports that its disk is nearly full.
struct NearlyFull(Arc<dyn Blob>);

#[async_trait]
impl Blob for NearlyFull {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.0.put(key, bytes).await
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key).await
    }
    async fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(Some(functions::app::attachments::FREE_BYTES_MIN - 1))
    }
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        self.0.list(prefix, most).await
    }
    async fn remove(&self, key: &str) -> Result<(), Error> {
        self.0.remove(key).await
    }
}

/// If the disk is nearly full, the desk rejects uploads with status 507, but it still creates tickets
/// (cases/hostile-and-broken.md, case 5).
#[tokio::test]
async fn an_upload_to_a_nearly_full_disk_is_answered_507() {
    let mut desk = TestDesk::open().await;
    desk.app.blob = Arc::new(NearlyFull(desk.app.blob.clone()));
    let head = desk.head().await;
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!(
            "{}:{}",
            tests::TRUSTED.0,
            tests::TRUSTED.1
        ))
    };
    let request = Request::post("/v1/attachments?name=a.txt")
        .header("authorization", format!("Basic {basic}"))
        .header("x-on-behalf-of", "lisi");
    let (status, problem) = desk
        .send(request.body(Body::from("x")).expect("a request"))
        .await;
    assert_eq!(
        status.as_u16(),
        507,
        "{}",
        String::from_utf8_lossy(&problem)
    );
    let (status, problem) = desk
        .v1_with(
            "POST",
            "uploads",
            "lisi",
            json!({ "name": "a.txt" }),
            &[("idempotency-key", "k")],
        )
        .await;
    assert_eq!(status, 507, "{problem}");
    assert_eq!(desk.head().await, head, "a rejected upload stores no event");
    desk.must("create_ticket", tests::approval_request()).await;
}

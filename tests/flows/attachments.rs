//! These tests upload files as a request body, as a form and in parts. They check that the desk keeps the
//! files that tickets and workflows reference, and removes all other files. They also check who may read a
//! file.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use domain::attachment::{ALONE_MS, PART_BYTES, REMOVE_MS};
use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;
use crate::workflow_builder::{line, manual, service};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const PROGRAM: &[u8] = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00";

/// Returns a request that the app `TRUSTED` sends on behalf of a user.
pub(crate) fn request_of(
    method: &str,
    path: &str,
    user: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!(
        "{}:{}",
        tests::TRUSTED.0,
        tests::TRUSTED.1
    ));
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/v1/{path}"))
        .header("authorization", format!("Basic {basic}"));
    request = request.header("x-on-behalf-of", user);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}

async fn send(desk: &TestDesk, request: Request<Body>) -> (u16, Value) {
    let (status, bytes) = desk.send(request).await;
    (
        status.as_u16(),
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// Uploads a file whose content is the body of the request. Returns the attachment object of the response.
pub(crate) async fn upload(desk: &TestDesk, user: &str, name: &str, bytes: &[u8]) -> Value {
    let path = format!("attachments?name={}", domain::placeholder::percent(name));
    let (status, answer) = send(
        desk,
        request_of(
            "POST",
            &path,
            user,
            &[("content-type", "text/plain")],
            bytes.to_vec(),
        ),
    )
    .await;
    assert_eq!(status, 201, "{answer}");
    answer["attachments"][0].clone()
}

/// Reads the content of a file on behalf of a user. Returns status, headers and bytes of the response.
async fn read(
    desk: &TestDesk,
    user: &str,
    id: &Value,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = request_of(
        "GET",
        &format!("attachments/{}/content", id.as_str().expect("an id")),
        user,
        headers,
        Body::empty(),
    );
    let path = request.uri().path().replacen("/v1/", "", 1);
    let response = desk.answer(request).await;
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 26)
        .await
        .expect("a body")
        .to_vec();
    let status = parts.status;
    if !status.is_server_error() {
        let problem = status
            .is_client_error()
            .then(|| serde_json::from_slice::<Value>(&bytes).expect("a problem"));
        tests::described::check("GET", &path, status.as_u16(), problem.as_ref());
    }
    (status, parts.headers, bytes)
}

pub(crate) async fn status_of(desk: &TestDesk, user: &str, id: &Value) -> u16 {
    read(desk, user, id, &[]).await.0.as_u16()
}

/// Imports a service whose submit form contains a field of the type FILE. `meta` is the member `meta` of
/// this field. Returns the id of the service.
pub(crate) async fn with_files(desk: &TestDesk, meta: Value) -> Value {
    let field = json!({ "id": 10, "key": "shots", "name": "截图", "type": "FILE", "state_id": 2, "validate_type": "OPTION", "meta": meta });
    service(
        desk,
        "附件",
        json!([manual(3, "处理", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([field]),
    )
    .await
}

fn ticket(service: &Value, files: &Value) -> Value {
    let fields = json!([{ "key": "title", "value": "t" }, { "key": "shots", "value": files }]);
    json!({ "service_id": service, "creator": "lisi", "fields": fields })
}

async fn files_of(desk: &TestDesk, sn: &Value) -> Value {
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    info["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .find(|field| field["key"] == "shots")
        .expect("the field")["value"]
        .clone()
}

fn stored_blobs(desk: &TestDesk) -> usize {
    desk.blob.0.lock().expect("no holder panics").len()
}

#[tokio::test]
async fn a_file_of_a_ticket_is_readable_by_the_people_of_that_ticket_only() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "报错 \"1\".png", PNG).await;
    assert_eq!(
        (&file["media_type"], &file["bytes"]),
        (&json!("image/png"), &json!(PNG.len())),
        "the media type follows from the bytes"
    );
    let sealed: Vec<Vec<u8>> = desk
        .blob
        .0
        .lock()
        .expect("no holder panics")
        .values()
        .cloned()
        .collect();
    assert!(
        sealed
            .iter()
            .all(|bytes| !bytes.windows(4).any(|four| four == b"PNG\r")),
        "stored bytes are sealed"
    );

    assert_eq!(
        (
            status_of(&desk, "lisi", &file["id"]).await,
            status_of(&desk, "wangwu", &file["id"]).await
        ),
        (200, 404)
    );
    let sn = desk
        .must("create_ticket", ticket(&service, &json!([file["id"]])))
        .await["sn"]
        .clone();
    let kept = json!([{ "id": file["id"], "name": "报错 \"1\".png", "media_type": "image/png", "bytes": PNG.len(), "digest": file["digest"] }]);
    assert_eq!(
        files_of(&desk, &sn).await,
        kept,
        "the ticket shows the attached file with its digest"
    );
    for (reader, status) in [
        ("lisi", 200),
        ("wangwu", 200),
        ("admin", 200),
        ("chuyi", 404),
    ] {
        assert_eq!(
            status_of(&desk, reader, &file["id"]).await,
            status,
            "{reader}"
        );
    }
    let (_, headers, bytes) = read(&desk, "wangwu", &file["id"], &[]).await;
    assert_eq!(bytes, PNG);
    let fallback = format!(
        "attachment; filename=\"{}.png\"; filename*=UTF-8''%E6%8A%A5%E9%94%99%20%221%22.png",
        file["id"].as_str().expect("an id")
    );
    assert_eq!(headers["content-disposition"], fallback);
    assert_eq!(
        (
            &headers["x-content-type-options"],
            &headers["content-length"]
        ),
        (
            &"nosniff".parse().unwrap(),
            &PNG.len().to_string().parse().unwrap()
        )
    );

    // A file that a ticket references cannot be deleted, and another user cannot attach the file to a
    // ticket. A follower is a person who watches the ticket. A follower may read the file only if a
    // participant of the ticket added this follower.
    let path = format!("attachments/{}", file["id"].as_str().expect("an id"));
    assert_eq!(
        send(
            &desk,
            request_of("DELETE", &path, "lisi", &[], Body::empty())
        )
        .await
        .0,
        409
    );
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_eq!(
        send(
            &desk,
            request_of("DELETE", &path, "lisi", &[], Body::empty())
        )
        .await
        .0,
        409
    );
    assert_eq!(status_of(&desk, "wangwu", &file["id"]).await, 200);
    let mut stolen = ticket(&service, &json!([file["id"]]));
    stolen["creator"] = "chuyi".into();
    let (code, message) = desk.refused("create_ticket", stolen).await;
    assert!(
        code == 3_900_003 && message.contains("【截图】"),
        "{message}"
    );
    assert_eq!(
        desk.not_operated(&sn, "follow", "zhangsan", json!({}))
            .await
            .0,
        403,
        "a person without a relation to the ticket cannot follow it"
    );
    assert_eq!(status_of(&desk, "zhangsan", &file["id"]).await, 404);
    desk.operate(&sn, "follow", "wangwu", json!({ "people": ["zhangsan"] }))
        .await;
    assert_eq!(
        status_of(&desk, "zhangsan", &file["id"]).await,
        200,
        "an invited follower may read the file, even one who followed before"
    );
    desk.operate(&sn, "unfollow", "zhangsan", json!({})).await;
    assert_eq!(
        status_of(&desk, "zhangsan", &file["id"]).await,
        404,
        "unfollowing ends the invitation"
    );
    // The person who uploaded a file may attach this file to a second ticket. Both tickets then reference the
    // file.
    let second = desk
        .must("create_ticket", ticket(&service, &json!([file["id"]])))
        .await["sn"]
        .clone();
    assert_eq!(files_of(&desk, &second).await, kept);
    let changed = desk
        .not_operated(
            &sn,
            "edit",
            "lisi",
            json!({ "fields": { "shots": ["att-00000000000000000000000000000000"] } }),
        )
        .await;
    assert_eq!(changed, (400, "field 截图 names att-00000000000000000000000000000000, which is no file that can be attached here".to_owned()));
    let more = upload(&desk, "lisi", "b.txt", b"more").await;
    desk.operate(
        &sn,
        "edit",
        "lisi",
        json!({ "fields": { "shots": [more["id"]] } }),
    )
    .await;
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_eq!(
        (
            status_of(&desk, "lisi", &file["id"]).await,
            status_of(&desk, "lisi", &more["id"]).await
        ),
        (200, 200),
        "files of earlier form values are retained"
    );
}

#[tokio::test]
async fn unreferenced_files_are_removed_at_the_deadline_or_by_the_uploader() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let alone = upload(&desk, "lisi", "a.txt", b"alone").await;
    let unwanted = upload(&desk, "lisi", "b.txt", b"unwanted").await;
    let path = |file: &Value| format!("attachments/{}", file["id"].as_str().expect("an id"));
    assert_eq!(
        send(
            &desk,
            request_of("DELETE", &path(&unwanted), "wangwu", &[], Body::empty())
        )
        .await
        .0,
        404,
        "other users do not see the file"
    );
    assert_eq!(
        send(
            &desk,
            request_of("DELETE", &path(&unwanted), "lisi", &[], Body::empty())
        )
        .await
        .0,
        204
    );
    assert_eq!(
        (
            status_of(&desk, "lisi", &unwanted["id"]).await,
            stored_blobs(&desk)
        ),
        (404, 1)
    );

    // The desk rejects this command, which contains a file id. The rejected command must not create a
    // reference to the file.
    let refused = json!({ "service_id": service, "creator": "lisi", "fields": [{ "key": "shots", "value": [alone["id"]] }] });
    desk.refused("create_ticket", refused).await;
    desk.clock.advance(ALONE_MS - 1);
    desk.settle().await;
    assert_eq!(status_of(&desk, "lisi", &alone["id"]).await, 200);
    desk.clock.advance(1);
    desk.settle().await;
    assert_eq!(
        (
            status_of(&desk, "lisi", &alone["id"]).await,
            stored_blobs(&desk)
        ),
        (404, 0)
    );
    assert!(
        desk.refused("create_ticket", ticket(&service, &json!([alone["id"]])))
            .await
            .1
            .contains("【截图】")
    );
    // The file is deleted, but a client still sends a part of the upload of this file. The desk must
    // reject this part.
    let late = format!("uploads/{}/1", unwanted["id"].as_str().expect("an id"));
    assert_eq!(
        send(&desk, request_of("PUT", &late, "lisi", &[], "late"))
            .await
            .0,
        409
    );
    assert_eq!(stored_blobs(&desk), 0);
    let left = send(
        &desk,
        request_of(
            "POST",
            "uploads",
            "lisi",
            &[
                ("idempotency-key", "k"),
                ("content-type", "application/json"),
            ],
            r#"{"name":"c.bin"}"#,
        ),
    )
    .await
    .1;
    let part = format!("uploads/{}/1", left["id"].as_str().expect("an id"));
    assert_eq!(
        send(&desk, request_of("PUT", &part, "lisi", &[], "half"))
            .await
            .0,
        200
    );
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_eq!(
        stored_blobs(&desk),
        0,
        "the parts of an abandoned upload are removed"
    );
    desk.clock.advance(REMOVE_MS);
    desk.settle().await;
    let due = desk
        .app
        .views
        .range(infra::views::Range {
            view: "due",
            index: "due",
            from: "",
            to: "~",
            descending: false,
            skip: 0,
            limit: 99,
        })
        .await
        .expect("read");
    assert!(
        due.iter()
            .all(|entry| !entry.key.starts_with("attachment-")),
        "no attachment has a deadline left: {due:?}"
    );
    assert_eq!(stored_blobs(&desk), 0);
}

#[tokio::test]
async fn multipart_forms_of_browsers_are_read() {
    let desk = TestDesk::open().await;
    let text = "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nnot a file\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"field_file\"; filename=\"一.log\"\r\nContent-Type: text/x-log\r\n\r\nline 1\r\nline 2\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"field_file\"; filename=\"empty.txt\"\r\n\r\n\r\n--XX--\r\n";
    let headers = [
        ("content-type", "multipart/form-data; boundary=XX"),
        ("idempotency-key", "form-1"),
    ];
    let (status, answer) = send(
        &desk,
        request_of("POST", "attachments", "lisi", &headers, text),
    )
    .await;
    assert_eq!(status, 201, "{answer}");
    let uploaded: Vec<_> = answer["attachments"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| {
            (
                file["name"].clone(),
                file["media_type"].clone(),
                file["bytes"].clone(),
            )
        })
        .collect();
    assert_eq!(
        uploaded,
        [
            (json!("一.log"), json!("text/x-log"), json!(14)),
            (
                json!("empty.txt"),
                json!("application/octet-stream"),
                json!(0)
            )
        ]
    );
    assert_eq!(
        read(&desk, "lisi", &answer["attachments"][0]["id"], &[])
            .await
            .2,
        b"line 1\r\nline 2"
    );
    assert_eq!(
        read(&desk, "lisi", &answer["attachments"][1]["id"], &[])
            .await
            .2,
        b""
    );
    let (_, again) = send(
        &desk,
        request_of("POST", "attachments", "lisi", &headers, text),
    )
    .await;
    assert_eq!(again, answer, "the same key returns the same files");
    assert_eq!(
        send(
            &desk,
            request_of(
                "POST",
                "attachments?name=x",
                "lisi",
                &[("idempotency-key", "form-1|0")],
                "y"
            )
        )
        .await
        .0,
        201,
        "another key"
    );
    assert_eq!(
        send(
            &desk,
            request_of(
                "POST",
                "attachments?name=x",
                "lisi",
                &[("idempotency-key", "form-1")],
                "y"
            )
        )
        .await
        .0,
        409,
        "another name with the same key"
    );
    let other = text.replace("line 2", "line 3");
    assert_eq!(
        send(
            &desk,
            request_of("POST", "attachments", "lisi", &headers, other)
        )
        .await
        .0,
        409,
        "other bytes with the same key"
    );
    let (status, theirs) = send(
        &desk,
        request_of("POST", "attachments", "wangwu", &headers, text),
    )
    .await;
    assert!(
        status == 201 && theirs["attachments"][0]["id"] != answer["attachments"][0]["id"],
        "a key belongs to one user"
    );
    let endless = "x".repeat(3 << 20);
    for (broken, reason) in [
        ("--XX\r\nContent-Dispo", "the form cannot be read"),
        ("--XX--\r\n", "the form has no file"),
        (endless.as_str(), "the form cannot be read"),
    ] {
        let (status, problem) = send(
            &desk,
            request_of(
                "POST",
                "attachments",
                "lisi",
                &headers[..1],
                broken.to_owned(),
            ),
        )
        .await;
        assert!(
            status == 400
                && problem["detail"]
                    .as_str()
                    .expect("a detail")
                    .starts_with(reason),
            "{problem}"
        );
    }
    assert_eq!(
        send(
            &desk,
            request_of("POST", "attachments", "lisi", &[], "no name")
        )
        .await
        .1["errors"][0]["field"],
        "name"
    );
}

#[tokio::test]
async fn a_multipart_form_of_three_mib_is_read_from_one_buffer() {
    let desk = TestDesk::open().await;
    let whole: Vec<u8> = (0..3 << 20)
        .map(|at| u8::try_from(at % 251).expect("a byte"))
        .collect();
    let mut body =
        b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"core.dump\"\r\n\r\n"
            .to_vec();
    body.extend(&whole);
    body.extend(b"\r\n--XX--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=XX")];
    let (status, answer) = send(
        &desk,
        request_of("POST", "attachments", "lisi", &headers, body),
    )
    .await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(
        read(&desk, "lisi", &answer["attachments"][0]["id"], &[])
            .await
            .2,
        whole
    );
}

#[tokio::test]
async fn a_table_row_with_a_file_id_gives_no_access_to_the_file() {
    let desk = TestDesk::open().await;
    let field = json!({ "id": 10, "key": "rows", "name": "表格", "type": "TABLE", "state_id": 2, "validate_type": "OPTION" });
    let lines = json!([line(1, 2), line(2, 3), line(3, 9)]);
    let service = service(
        &desk,
        "表格",
        json!([manual(3, "处理", "wangwu")]),
        lines,
        json!([field]),
    )
    .await;
    let file = upload(&desk, "lisi", "a.png", PNG).await;
    let rows = json!([{ "id": file["id"], "name": "a.png" }]);
    let fields = json!([{ "key": "title", "value": "t" }, { "key": "rows", "value": rows }]);
    desk.must(
        "create_ticket",
        json!({ "service_id": service, "creator": "chuyi", "fields": fields }),
    )
    .await;
    assert_eq!(
        (
            status_of(&desk, "chuyi", &file["id"]).await,
            status_of(&desk, "wangwu", &file["id"]).await
        ),
        (404, 404)
    );
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_ne!(
        status_of(&desk, "lisi", &file["id"]).await,
        200,
        "a table row does not reference a file"
    );
    assert_eq!(stored_blobs(&desk), 0);
}

#[tokio::test]
async fn a_draft_of_another_user_does_not_reference_a_file() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "a.png", PNG).await;
    let path = format!("drafts/services/{service}");
    assert_eq!(
        desk.v1(
            "PUT",
            &path,
            "chuyi",
            json!({ "fields": { "shots": [file["id"]] } })
        )
        .await
        .0,
        204,
        "a draft is stored unchecked"
    );
    assert_eq!(status_of(&desk, "chuyi", &file["id"]).await, 404);
    let path = format!("attachments/{}", file["id"].as_str().expect("an id"));
    let (status, problem) = send(
        &desk,
        request_of("DELETE", &path, "lisi", &[], Body::empty()),
    )
    .await;
    assert_eq!(status, 204, "no reference exists: {problem}");
}

#[tokio::test]
async fn a_large_file_is_uploaded_in_parts_and_downloaded_in_ranges() {
    let desk = TestDesk::open().await;
    let whole: Vec<u8> = (0..PART_BYTES * 2 + 12_345)
        .map(|at| u8::try_from(at % 251).expect("a byte"))
        .collect();
    let json_type = ("content-type", "application/json");
    let begin = || {
        request_of(
            "POST",
            "uploads",
            "lisi",
            &[("idempotency-key", "big"), json_type],
            r#"{"name":"core.dump"}"#,
        )
    };
    let (status, begun) = send(&desk, begin()).await;
    assert_eq!((status, &begun["part_bytes"]), (201, &json!(PART_BYTES)));
    let path = |rest: &str| format!("uploads/{}/{rest}", begun["id"].as_str().expect("an id"));
    let mut tags = Vec::new();
    for (number, part) in whole.chunks(PART_BYTES).enumerate() {
        let (status, stored) = send(
            &desk,
            request_of(
                "PUT",
                &path(&(number + 1).to_string()),
                "lisi",
                &[],
                part.to_vec(),
            ),
        )
        .await;
        assert_eq!((status, &stored["part"]), (200, &json!(number + 1)));
        tags.push(stored["tag"].clone());
    }
    assert_eq!(
        send(&desk, request_of("PUT", &path("2"), "wangwu", &[], "x"))
            .await
            .0,
        404,
        "other users cannot add parts"
    );
    assert_eq!(
        send(&desk, request_of("PUT", &path("0"), "lisi", &[], "x"))
            .await
            .0,
        400
    );
    assert_eq!(
        send(
            &desk,
            request_of("PUT", &path("1"), "lisi", &[], vec![0; PART_BYTES + 1])
        )
        .await
        .0,
        413
    );
    assert_eq!(
        send(&desk, begin()).await.1,
        begun,
        "the same key resumes the upload"
    );
    // This request uploads part 1 a second time. The new content must replace the earlier content.
    assert_eq!(
        send(
            &desk,
            request_of("PUT", &path("1"), "lisi", &[], "something else")
        )
        .await
        .0,
        200
    );
    assert_eq!(stored_blobs(&desk), 3);
    assert_eq!(
        send(
            &desk,
            request_of("PUT", &path("1"), "lisi", &[], whole[..PART_BYTES].to_vec())
        )
        .await
        .0,
        200
    );
    assert_eq!(stored_blobs(&desk), 3);
    let complete = async |parts: Value| {
        let body = json!({ "parts": parts, "media_type": "application/x-core" }).to_string();
        send(
            &desk,
            request_of("POST", &path("complete"), "lisi", &[json_type], body),
        )
        .await
    };
    let gone = "0".repeat(32);
    for (parts, status, reason) in [
        (json!([tags[0], gone, tags[2]]), 409, "part 2 is missing"),
        (
            json!([tags[2], tags[0]]),
            400,
            "part 1 has 12345 bytes; every part but the last has 4194304",
        ),
        (json!([tags[0], "../x"]), 409, "part 2 is missing"),
        (Value::Null, 400, "`parts` must be an array, not null"),
    ] {
        let answer = complete(parts).await;
        assert_eq!(
            (answer.0, answer.1["detail"].as_str()),
            (status, Some(reason))
        );
    }
    let (status, file) = complete(json!(tags)).await;
    assert_eq!(
        (status, &file["bytes"], &file["media_type"]),
        (200, &json!(whole.len()), &json!("application/x-core")),
        "{file}"
    );
    assert_eq!(
        send(&desk, request_of("PUT", &path("1"), "lisi", &[], "x"))
            .await
            .0,
        409,
        "a completed upload does not change"
    );
    let at_once = upload(&desk, "lisi", "core.dump", &whole).await;
    assert_eq!(
        at_once["digest"], file["digest"],
        "the digest does not depend on the kind of upload"
    );

    assert_eq!(read(&desk, "lisi", &file["id"], &[]).await.2, whole);
    let (from, to) = (PART_BYTES - 10, PART_BYTES * 2 + 20);
    let (status, headers, bytes) = read(
        &desk,
        "lisi",
        &file["id"],
        &[("range", &format!("bytes={from}-{}", to - 1))],
    )
    .await;
    assert_eq!((status.as_u16(), bytes), (206, whole[from..to].to_vec()));
    assert_eq!(
        headers["content-range"],
        format!("bytes {from}-{}/{}", to - 1, whole.len())
    );
    assert_eq!(
        read(&desk, "lisi", &file["id"], &[("range", "bytes=99999999-")])
            .await
            .0
            .as_u16(),
        416
    );

    // A ticket references the file, so the file storage must keep all parts of this file.
    let service = with_files(&desk, json!({})).await;
    desk.must("create_ticket", ticket(&service, &json!([file["id"]])))
        .await;
    let parts = |id: &Value| {
        desk.blob
            .0
            .lock()
            .expect("no holder panics")
            .keys()
            .filter(|key| key.contains(id.as_str().expect("an id")))
            .count()
    };
    assert_eq!(parts(&file["id"]), 3);
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_eq!(parts(&file["id"]), 3);
    assert_eq!(read(&desk, "lisi", &file["id"], &[]).await.2, whole);
}

#[tokio::test]
async fn a_rejected_command_removes_no_file_of_a_draft() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "a.txt", b"a").await;
    let sn = desk
        .must("create_ticket", ticket(&service, &json!([])))
        .await["sn"]
        .clone();
    let path = format!("drafts/services/{service}");
    let fields = json!({ "title": "t", "shots": [file["id"]] });
    assert_eq!(
        desk.v1("PUT", &path, "lisi", json!({ "fields": fields }))
            .await
            .0,
        204
    );
    let head = desk.head().await;
    // The desk rejects these commands, because the user is unknown or has no permission, or the form is
    // incomplete. A rejected command must not store an event.
    assert_eq!(
        desk.not_operated(
            &sn,
            "edit",
            "chuyi",
            json!({ "fields": { "shots": [file["id"]] } })
        )
        .await
        .0,
        403
    );
    assert_eq!(
        desk.not_operated(
            &sn,
            "edit",
            "nobody-knows",
            json!({ "fields": { "shots": [file["id"]] } })
        )
        .await
        .0,
        403
    );
    desk.refused("create_ticket", json!({ "service_id": service, "creator": "lisi", "fields": [{ "key": "shots", "value": [file["id"]] }] })).await;
    assert_eq!(desk.head().await, head);
    desk.clock.advance(ALONE_MS * 2);
    desk.settle().await;
    assert_eq!(
        status_of(&desk, "lisi", &file["id"]).await,
        200,
        "the draft still references the file"
    );
}

#[tokio::test]
async fn a_file_field_checks_type_size_and_count_of_its_files() {
    let desk = TestDesk::open().await;
    let service = with_files(
        &desk,
        json!({ "accept": ".png, .log", "bytes_max": 100, "count_max": 2 }),
    )
    .await;
    let png = upload(&desk, "lisi", "a.png", PNG).await["id"].clone();
    let log = upload(&desk, "lisi", "B.LOG", b"text").await["id"].clone();
    let third = upload(&desk, "lisi", "c.log", b"text").await["id"].clone();
    let disguised = upload(&desk, "lisi", "d.png", PROGRAM).await["id"].clone();
    let large = upload(&desk, "lisi", "e.log", &[b'x'; 101]).await["id"].clone();
    for (files, reason) in [
        (
            json!([disguised]),
            "提单失败: 【截图】只接受 .png, .log；d.png 是 application/vnd.microsoft.portable-executable",
        ),
        (
            json!([large]),
            "提单失败: 【截图】单个文件不能超过 100 字节；e.log 有 101",
        ),
        (json!([png, log, third]), "提单失败: 【截图】最多 2 个文件"),
        (
            json!("https://elsewhere/a.png"),
            "提单失败: 【截图】只接受已上传的文件",
        ),
    ] {
        assert_eq!(
            desk.refused("create_ticket", ticket(&service, &files))
                .await,
            (3_900_003, reason.to_owned())
        );
    }
    let sn = desk
        .must(
            "create_ticket",
            ticket(
                &service,
                &json!(format!(
                    "{},{}",
                    png.as_str().unwrap(),
                    log.as_str().unwrap()
                )),
            ),
        )
        .await["sn"]
        .clone();
    assert_eq!(
        files_of(&desk, &sn).await.as_array().map(Vec::len),
        Some(2),
        "forms with scalar values send ids separated by commas"
    );
}

#[tokio::test]
async fn a_workflow_offers_template_files_to_every_user() {
    let desk = TestDesk::open().await;
    let path = "attachments?name=%E7%94%B3%E8%AF%B7%E8%A1%A8.docx&for=workflow";
    assert_eq!(
        send(&desk, request_of("POST", path, "lisi", &[], "form"))
            .await
            .0,
        403,
        "only workflow authors upload template files"
    );
    let template = send(&desk, request_of("POST", path, "admin", &[], "form"))
        .await
        .1["attachments"][0]
        .clone();
    let own = upload(&desk, "admin", "own.docx", b"mine").await;
    let definition = |template: &Value| {
        json!({ "name": "模板", "nodes": [{ "id": 1, "name": "开始", "kind": "START" }, { "id": 2, "name": "提单", "kind": "NORMAL", "fields": ["title", "form_ref"] }, { "id": 3, "name": "结束", "kind": "END" }],
            "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }],
            "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true },
                { "id": 2, "key": "form_ref", "type": "FILE", "name": "申请表", "templates": [{ "id": template["id"], "name": "申请表.docx" }] }] })
    };
    let refused = desk
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition(&own) }),
        )
        .await;
    assert_eq!(
        refused.0, 400,
        "a personal file would be erased with its owner: {}",
        refused.1
    );
    let (status, drawn) = desk
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition(&template) }),
        )
        .await;
    assert_eq!(status, 201, "{drawn}");
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_eq!(
        read(&desk, "chuyi", &template["id"], &[]).await.2,
        b"form",
        "every user may read the template"
    );
    let other = desk
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition(&template) }),
        )
        .await;
    assert_eq!(
        other.0, 201,
        "another workflow may offer the same file: {}",
        other.1
    );
    let again = desk
        .v1(
            "PUT",
            &format!("workflows/{}/draft", drawn["workflow"]),
            "admin",
            json!({ "definition": definition(&template) }),
        )
        .await;
    assert_eq!(again.0, 200, "{}", again.1);
}

#[tokio::test]
async fn erasing_a_person_removes_their_files_and_keeps_the_tickets() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "a.png", PNG).await;
    let sn = desk
        .must("create_ticket", ticket(&service, &json!([file["id"]])))
        .await["sn"]
        .clone();
    let lisi = desk.app.people.find("lisi").await.expect("read");
    assert!(desk.app.ledger.forget(&lisi).await.expect("forgotten"));
    assert_eq!(status_of(&desk, "wangwu", &file["id"]).await, 410);
    let bodies = desk
        .app
        .ledger
        .store
        .feed(0, 10_000)
        .await
        .expect("feed")
        .into_iter();
    let bodies: Vec<String> = bodies
        .map(|placed| String::from_utf8(placed.commit.body).expect("JSON"))
        .collect();
    let contains = |stream: &str, what: &Value| {
        bodies
            .iter()
            .any(|body| body.contains(stream) && body.contains(what.as_str().expect("a text")))
    };
    assert!(
        contains("ticket.opened", &file["id"]) && contains("attachment.uploaded", &file["digest"]),
        "the events keep the id and the digest of the file"
    );
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": form(&[]) })).await;
}

#[tokio::test]
async fn erasing_a_person_erases_the_file_name_and_keeps_the_file_id() {
    let desk = TestDesk::open().await;
    let field = json!({ "id": 10, "key": "shots", "name": "截图", "type": "FILE", "state_id": 2, "validate_type": "OPTION", "is_personal": true });
    let lines = json!([line(1, 2), line(2, 3), line(3, 9)]);
    let service = service(
        &desk,
        "私密附件",
        json!([manual(3, "处理", "wangwu")]),
        lines,
        json!([field]),
    )
    .await;
    let file = upload(&desk, "lisi", "体检报告.png", PNG).await;
    let sn = desk
        .must("create_ticket", ticket(&service, &json!([file["id"]])))
        .await["sn"]
        .clone();
    assert_eq!(files_of(&desk, &sn).await[0]["name"], "体检报告.png");
    let bodies: Vec<String> = desk
        .app
        .ledger
        .store
        .feed(0, 10_000)
        .await
        .expect("feed")
        .into_iter()
        .map(|placed| String::from_utf8(placed.commit.body).expect("JSON"))
        .collect();
    assert!(
        !bodies.iter().any(|body| body.contains("体检报告"))
            && bodies
                .iter()
                .any(|body| body.contains(file["id"].as_str().expect("an id")))
    );
    desk.app
        .ledger
        .forget(&desk.app.people.find("lisi").await.expect("read"))
        .await
        .expect("forgotten");
    desk.clock.advance(ALONE_MS);
    desk.settle().await;
    assert_eq!(files_of(&desk, &sn).await, "Erased");
    assert_eq!(
        status_of(&desk, "wangwu", &file["id"]).await,
        410,
        "the ticket still references the removed file"
    );
}

#[tokio::test]
async fn changed_bytes_are_never_returned() {
    let desk = TestDesk::open().await;
    let file = upload(&desk, "lisi", "a.png", PNG).await;
    for bytes in desk.blob.0.lock().expect("no holder panics").values_mut() {
        *bytes.last_mut().expect("a byte") ^= 1;
    }
    assert_eq!(status_of(&desk, "lisi", &file["id"]).await, 500);
}

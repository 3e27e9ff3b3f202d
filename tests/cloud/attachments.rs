//! These tests upload files over a cloud function to the S3 bucket. They check binary content, large files
//! in parts, ranges of a download, and the verification of files with the command line.

use std::process::Command;

use domain::attachment::PART_BYTES;
use reqwest::Method;
use serde_json::{Value, json};
use tests::process::program;

use crate::TestDesk;

async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn downloaded_bytes_equal_uploaded_bytes() {
    let desk = TestDesk::open().await;
    // The file has the name and the media type of a text file, but the file contains all byte values.
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let form = reqwest::multipart::Form::new().part(
        "field_file",
        reqwest::multipart::Part::bytes(bytes.clone())
            .file_name("日志.log")
            .mime_str("text/plain")
            .expect("a type"),
    );
    let (status, uploaded) =
        send(desk.v1(Method::POST, "attachments", "lisi").multipart(form)).await;
    assert_eq!(status, 201, "{uploaded}");
    let file = &uploaded["attachments"][0];
    assert_eq!(
        (&file["name"], &file["bytes"]),
        (&json!("日志.log"), &json!(10_000))
    );
    let path = format!(
        "attachments/{}/content",
        file["id"].as_str().expect("an id")
    );
    let read = desk
        .v1(Method::GET, &path, "lisi")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (
            read.status().as_u16(),
            read.bytes().await.expect("bytes").to_vec()
        ),
        (200, bytes)
    );
    assert_eq!(
        desk.v1(Method::GET, &path, "wangwu")
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16(),
        404
    );
}

#[tokio::test]
async fn a_file_over_the_response_limit_uses_parts_and_ranges() {
    let desk = TestDesk::open().await;
    let whole: Vec<u8> = (0..PART_BYTES + 1000)
        .map(|at| u8::try_from(at % 253).expect("a byte"))
        .collect();
    let key = format!("cloud-{}", desk.app.ledger.clock.now().0);
    let begin = desk
        .v1(Method::POST, "uploads", "lisi")
        .header("idempotency-key", &key)
        .json(&json!({ "name": "core.dump" }));
    let (status, started) = send(begin).await;
    assert_eq!(status, 201, "{started}");
    let id = started["id"].as_str().expect("an id").to_owned();
    let mut tags = Vec::new();
    for (number, part) in whole.chunks(PART_BYTES).enumerate() {
        let put = desk
            .v1(Method::PUT, &format!("uploads/{id}/{}", number + 1), "lisi")
            .header("content-type", "application/octet-stream")
            .body(part.to_vec());
        let (status, stored) = send(put).await;
        assert_eq!(status, 200, "part {number}: {stored}");
        tags.push(stored["tag"].clone());
    }
    let (status, file) = send(
        desk.v1(Method::POST, &format!("uploads/{id}/complete"), "lisi")
            .json(&json!({ "parts": tags })),
    )
    .await;
    assert_eq!(
        (status, &file["bytes"]),
        (200, &json!(whole.len())),
        "{file}"
    );
    let path = format!("attachments/{id}/content");
    let refused = send(desk.v1(Method::GET, &path, "lisi")).await;
    assert!(
        refused.0 == 416
            && refused.1["detail"]
                .as_str()
                .expect("a detail")
                .contains("request ranges"),
        "{refused:?}"
    );
    let mut read = Vec::new();
    while read.len() < whole.len() {
        let range = format!("bytes={}-{}", read.len(), read.len() + (2 << 20) - 1);
        let response = desk
            .v1(Method::GET, &path, "lisi")
            .header("range", range)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status().as_u16(), 206);
        read.extend(response.bytes().await.expect("bytes"));
    }
    assert!(
        read == whole,
        "the downloaded bytes equal the uploaded bytes"
    );
    let verified = Command::new(program())
        .args(["audit", "files", "--cloud"])
        .output()
        .expect("the program runs");
    assert!(
        String::from_utf8_lossy(&verified.stdout).contains("audit files: ok"),
        "{verified:?}"
    );
}

//! These tests check what happens to the attachments of mails that arrive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use functions::app::Settings;
use serde_json::{Value, json};

use super::{Arc, CHECKED, Mailbox, ZHANGSAN, reply};
use crate::attachments::status_of;
use crate::console::logged_in;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\n";

/// An attachment of a mail: its name, its media type, its disposition, and its content.
type File<'a> = (&'a str, &'a str, &'a str, &'a [u8]);

fn with_files(mail: &str, files: &[File<'_>]) -> String {
    let (headers, text) = mail.split_once(TEXT).expect("a mail with a text");
    let parts: Vec<String> = files
        .iter()
        .map(|(name, kind, disposition, bytes)| {
            format!(
                "--b0\r\nContent-Type: {kind}; name=\"{name}\"\r\nContent-Disposition: {disposition}; filename=\"{name}\"\r\n\
                Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                STANDARD.encode(bytes)
            )
        })
        .collect();
    format!(
        "{headers}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n--b0\r\n{TEXT}{text}{}--b0--\r\n",
        parts.concat()
    )
}

impl Mailbox {
    async fn shown_remarks(&self, sn: &str) -> Vec<Value> {
        let path = format!("tickets/{sn}/remarks");
        let shown = self.channels.get(&path, "zhangsan").await;
        shown["remarks"].as_array().expect("remarks").clone()
    }

    /// Returns the number of attachments that wait for the processing of their mail.
    async fn kept(&self) -> usize {
        let blob = &self.channels.desk.app.blob;
        blob.list("mails/", 100).await.expect("a list").len()
    }

    /// Returns the ids of the files of a remark.
    async fn files(&self, sn: &str, remark: usize) -> Vec<Value> {
        let remarks = self.shown_remarks(sn).await;
        let files = remarks[remark]["files"].as_array();
        files.cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn attachments_become_files_of_the_ticket_once() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let comment = with_files(
        &reply(&mail, "f1", ZHANGSAN, "See the picture."),
        &[
            ("../screen.png", "application/pdf", "attachment", PNG),
            ("log.txt", "text/plain", "attachment", b"a line"),
        ],
    );
    assert_eq!(mailbox.answers(&comment).await.len(), 0);
    let text = &mailbox.remarks(&sn).await[0];
    assert!(text.starts_with("See the picture.\n\n"), "{text}");
    assert!(text.contains("Attachments of the mail:"), "{text}");
    assert!(text.ends_with("- log.txt (1 KiB)"), "{text}");
    let files = mailbox.files(&sn, 0).await;
    assert_eq!(files.len(), 2);
    let path = format!("attachments/{}", files[0].as_str().expect("an id"));
    let shown = mailbox.channels.get(&path, "lisi").await;
    assert_eq!(
        (&shown["name"], &shown["media_type"], &shown["bytes"]),
        (&json!("screen.png"), &json!("image/png"), &json!(PNG.len())),
        "the creator of the ticket reads the file, and its content decides its type"
    );
    let desk = &mailbox.channels.desk;
    assert_eq!(status_of(desk, "lisi", &files[1]).await, 200);
    assert_eq!(status_of(desk, "chuyi", &files[1]).await, 404);
    let mut browser = logged_in(desk, "zhangsan").await;
    let page = browser.get(&format!("/tickets/{sn}")).await;
    for part in ["File: screen.png (1 KB)", "File: log.txt (1 KB)"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(mailbox.kept().await, 0, "nothing is kept apart");
    // The same mail again.
    assert_eq!(mailbox.forward(&comment, 0).await, 200);
    assert_eq!(mailbox.shown_remarks(&sn).await.len(), 1);
    assert_eq!(mailbox.kept().await, 0);
    // The ticket contains the files, so they are not removed as unused ones.
    desk.clock.advance(domain::attachment::ALONE_MS);
    desk.settle().await;
    assert_eq!(status_of(desk, "lisi", &files[0]).await, 200);
}

#[tokio::test]
async fn attachments_over_the_limits_are_named_in_the_remark_and_in_an_answer() {
    let mut mailbox = Mailbox::open().await;
    let desk = &mut mailbox.channels.desk;
    let settings = Settings {
        file_bytes_max: 100,
        ..(*desk.app.settings).clone()
    };
    desk.app.settings = Arc::new(settings);
    let (sn, mail) = mailbox.notified().await;
    let names: Vec<String> = (0..11).map(|number| format!("{number}.txt")).collect();
    let mut files: Vec<File<'_>> = names
        .iter()
        .map(|name| (name.as_str(), "text/plain", "attachment", &b"a"[..]))
        .collect();
    let large = [0; 101];
    files.insert(
        0,
        (
            "large.bin",
            "application/octet-stream",
            "attachment",
            &large,
        ),
    );
    let comment = with_files(&reply(&mail, "f1", ZHANGSAN, "Many"), &files);
    let answers = mailbox.answers(&comment).await;
    assert_eq!(answers.len(), 1, "the sender gets to know it");
    assert_eq!(mailbox.files(&sn, 0).await.len(), 10);
    let text = &mailbox.remarks(&sn).await[0];
    let (stored, left_out) = text.split_once("(not stored):").expect("two lists");
    assert!(stored.contains("- 9.txt"), "{text}");
    assert!(left_out.contains("- large.bin"), "{text}");
    assert!(left_out.contains("- 10.txt"), "{text}");
}

#[tokio::test]
async fn logos_are_ignored_and_images_are_stored_once() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let logo = ("logo.png", "image/png", "inline", PNG);
    let comment = with_files(&reply(&mail, "i1", ZHANGSAN, "One"), &[logo]);
    mailbox.answers(&comment).await;
    assert_eq!(mailbox.remarks(&sn).await, ["One"]);
    let large = [PNG, &[7; 12 << 10]].concat();
    let image = ("image001.png", "image/png", "inline", large.as_slice());
    for (number, (id, expected)) in [("i2", 1), ("i3", 0)].into_iter().enumerate() {
        let comment = with_files(&reply(&mail, id, ZHANGSAN, "Look"), &[image]);
        mailbox.answers(&comment).await;
        let files = mailbox.files(&sn, number + 1).await;
        assert_eq!(files.len(), expected, "{id}");
    }
    assert_eq!(mailbox.remarks(&sn).await[2], "Look");
    let only_logo = with_files(&reply(&mail, "i4", ZHANGSAN, ""), &[logo]);
    assert_eq!(mailbox.answers(&only_logo).await.len(), 0);
    assert_eq!(mailbox.remarks(&sn).await.len(), 3, "it asks for nothing");
    let only_file = ("a.txt", "text/plain", "attachment", &b"a"[..]);
    let only_file = with_files(&reply(&mail, "i5", ZHANGSAN, ""), &[only_file]);
    mailbox.answers(&only_file).await;
    assert_eq!(mailbox.files(&sn, 3).await.len(), 1);
}

#[tokio::test]
async fn files_of_commands_strangers_and_programs_are_not_stored() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let file = ("a.txt", "text/plain", "attachment", &b"a"[..]);
    let command = with_files(&reply(&mail, "c1", ZHANGSAN, "status"), &[file]);
    assert_eq!(mailbox.answers(&command).await.len(), 1);
    let other = with_files(&reply(&mail, "c2", "other@example.com", "Hello"), &[file]);
    let failed = CHECKED.replace("=pass", "=fail");
    let forged = with_files(&reply(&mail, "c3", ZHANGSAN, "Hello"), &[file]);
    let program = with_files(&reply(&mail, "c4", ZHANGSAN, "I am away."), &[file]);
    for mail in [
        other,
        format!("{failed}{forged}"),
        format!("Auto-Submitted: auto-replied\r\n{program}"),
    ] {
        assert_eq!(mailbox.answers(&mail).await.len(), 0);
    }
    assert_eq!(mailbox.remarks(&sn).await.len(), 0);
    assert_eq!(mailbox.kept().await, 0);
}

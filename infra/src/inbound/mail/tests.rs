//! Tests for reading mails.

use super::report::read;
use super::*;

const PLAIN: &str = "From: Li Si <LiSi@example.com>\r\nTo: itsm+REQ1.abc@desk.example, other@desk.example\r\n\
    Cc: boss@example.com\r\nDelivered-To: <hidden@desk.example>\r\nSubject: =?utf-8?B?5Zue5aSN?=\r\n\
    Message-ID: <m1@example.com>\r\nIn-Reply-To: <0123456789abcdef0123456789abcdef@desk.example>\r\n\
    References: <ticket.REQ1@desk.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nack\r\n> quoted\r\n";

fn parsed(mail: &str) -> Mail {
    parse(mail.as_bytes()).expect("a mail")
}

/// Returns the mail with further headers at its beginning.
fn with(headers: &str) -> Mail {
    parsed(&format!("{headers}{PLAIN}"))
}

#[test]
fn the_parts_of_a_mail_are_read() {
    let mail = parsed(PLAIN);
    assert_eq!(mail.from, "LiSi@example.com");
    assert_eq!(
        mail.to,
        ["itsm+REQ1.abc@desk.example", "other@desk.example"]
    );
    assert_eq!(mail.cc, ["boss@example.com"]);
    assert_eq!(mail.received, ["hidden@desk.example"]);
    assert_eq!(mail.subject, "回复");
    assert_eq!(
        mail.references,
        [
            "ticket.REQ1@desk.example",
            "0123456789abcdef0123456789abcdef@desk.example"
        ]
    );
    assert!(mail.text.starts_with("ack"), "{}", mail.text);
    assert_eq!((mail.automatic, mail.reports.len()), (None, 0));
}

#[test]
fn the_id_belongs_to_the_message_id_and_the_sender() {
    let id = parsed(PLAIN).id;
    assert_eq!(with("X-Other: 1\r\n").id, id);
    assert_ne!(parsed(&PLAIN.replace("LiSi@", "wang@")).id, id);
    assert_ne!(parsed(&PLAIN.replace("<m1@", "<m2@")).id, id);
    let without = PLAIN.replace("Message-ID", "X-Id");
    assert_eq!(parsed(&without).id, parsed(&without).id);
    assert_ne!(
        parsed(&without).id,
        parsed(&without.replace("ack", "ok")).id
    );
}

#[test]
fn several_senders_prove_no_person() {
    let two = PLAIN.replace(
        "From: Li Si <LiSi@example.com>",
        "From: a@b.example, c@d.example",
    );
    assert_eq!(parsed(&two).from, "");
    assert_eq!(with("From: a@b.example\r\n").from, "");
    let long = format!("From: {}@b.example, <LiSi@example.com>", "a".repeat(300));
    let unusable = PLAIN.replace("From: Li Si <LiSi@example.com>", &long);
    assert_eq!(parsed(&unusable).from, "", "the unusable address counts");
}

#[test]
fn bytes_that_are_no_mail_are_refused() {
    for bytes in [
        &b""[..],
        b"hello",
        b"\x00\xff\xfe",
        b"Subject: x\r\n\r\nbody",
    ] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn mails_of_programs_are_marked() {
    for header in [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated (vacation)",
        "Precedence: bulk",
        "Precedence: auto_reply",
        "X-Auto-Response-Suppress: OOF, AutoReply",
        "X-Auto-Response-Suppress: All",
        "X-Ledgerdesk-Instance: 0123456789abcdef",
        "X-Autoreply: yes",
        "List-Id: <all.example.com>",
        "Return-Path: <>",
    ] {
        let mail = with(&format!("{header}\r\n"));
        assert!(mail.automatic.is_some(), "{header}");
    }
    for header in [
        "Auto-Submitted: no",
        "Precedence: first-class",
        "X-Auto-Response-Suppress: OOF",
        "Return-Path: <lisi@example.com>",
    ] {
        let mail = with(&format!("{header}\r\n"));
        assert_eq!(mail.automatic, None, "{header}");
    }
}

#[test]
fn mails_in_chinese_encodings_and_mails_with_html_only_are_read() {
    let mut bytes = b"From: a@b.example\r\nTo: c@d.example\r\nMessage-ID: <1@b>\r\n\
        Content-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        .to_vec();
    bytes.extend([0xc8, 0xb7, 0xc8, 0xcf]);
    assert_eq!(parse(&bytes).unwrap().text.trim(), "确认");
    let html = "From: a@b.example\r\nTo: c@d.example\r\nMessage-ID: <1@b>\r\nContent-Type: text/html\r\n\r\n\
        <html><body><p>ack</p><blockquote>old</blockquote></body></html>";
    assert_eq!(
        parsed(html).text.trim(),
        "ack",
        "the quoted text is left out"
    );
}

#[test]
fn attachments_are_named_with_their_sizes() {
    let mail = parsed(
        "From: a@b.example\r\nTo: c@d.example\r\nMessage-ID: <1@b>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nsee\r\n\
        --x\r\nContent-Type: application/pdf; name=a.pdf\r\n\
        Content-Disposition: attachment; filename=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        AAAA\r\n--x--\r\n",
    );
    assert_eq!(mail.text.trim(), "see");
    assert_eq!(mail.attachments, [("a.pdf".to_owned(), 3)]);
    let [file] = mail.files.as_slice() else {
        panic!("one file")
    };
    assert_eq!(
        (file.media_type.as_str(), file.is_inline, &file.bytes[..]),
        ("application/pdf", false, &[0, 0, 0][..])
    );
    let stored = serde_json::to_string(&mail).unwrap();
    let read: Mail = serde_json::from_str(&stored).unwrap();
    assert!(read.files.is_empty(), "the contents are stored apart");
    assert_eq!(read.attachments, mail.attachments);
}

#[test]
fn the_bytes_of_an_attached_text_stay_as_they_are() {
    // The two bytes are one Chinese character in GBK, and no UTF-8.
    for (encoding, kind, body) in [
        ("base64", "text/csv", "1tANCg=="),
        ("quoted-printable", "text/plain; charset=gbk", "=D6=D0\r\n"),
    ] {
        let mail = parsed(&format!(
            "From: a@b.example\r\nTo: c@d.example\r\nMessage-ID: <1@b>\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nsee\r\n\
            --x\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename=\"a.csv\"\r\n\
            Content-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n--x--\r\n"
        ));
        let bytes: Vec<&[u8]> = mail.files.iter().map(|file| &file.bytes[..]).collect();
        assert_eq!(bytes, [&b"\xd6\xd0\r\n"[..]], "{encoding}");
    }
}

#[test]
fn an_image_in_the_text_is_inline_and_a_mail_of_a_program_has_no_files() {
    let text = "From: a@b.example\r\nTo: c@d.example\r\nMessage-ID: <1@b>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/related; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n\
        <p>see</p><img src=\"cid:logo\">\r\n\
        --x\r\nContent-Type: image/png; name=logo.png\r\nContent-ID: <logo>\r\n\
        Content-Disposition: inline; filename=\"logo.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        AAAA\r\n--x--\r\n";
    let mail = parsed(text);
    let inline: Vec<bool> = mail.files.iter().map(|file| file.is_inline).collect();
    assert_eq!(inline, [true], "{:?}", mail.files);
    let automatic = parsed(&format!("Auto-Submitted: auto-replied\r\n{text}"));
    assert!(automatic.files.is_empty());
}

#[test]
fn control_characters_are_left_out() {
    let mail = PLAIN
        .replace("ack", "a\u{1}c\0k\tb")
        .replace("Subject: =?utf-8?B?5Zue5aSN?=", "Subject: a\u{1}b");
    let mail = parsed(&mail);
    assert!(mail.text.starts_with("ack\tb"), "{:?}", mail.text);
    assert_eq!(mail.subject, "ab");
}

#[test]
fn a_long_text_is_cut() {
    let long = PLAIN.replace("ack", &"字".repeat(40_000));
    let mail = parsed(&long);
    assert!(mail.text.len() <= 64 << 10);
    assert!(mail.text.ends_with('…'));
}

/// A delivery status notification about a mail of the desk.
fn dsn(action: &str, status: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example\r\nTo: desk@example.com\r\nMessage-ID: <d1@relay.example>\r\n\
        Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain\r\n\r\nYour mail was not delivered.\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\r\n\
        Original-Recipient: rfc822;lisi@example.com\r\nFinal-Recipient: rfc822; lisi@inner.example\r\nAction: {action}\r\n\
        Status: {status}\r\nDiagnostic-Code: smtp; 550 {status} <lisi@example.com>:\r\n user unknown\r\n\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nFrom: desk@example.com\r\nTo: lisi@example.com\r\n\
        Message-ID: <0123456789abcdef0123456789abcdef@example.com>\r\nSubject: [REQ1] x\r\n\r\nbody\r\n--b--\r\n"
    )
}

#[test]
fn a_report_names_the_delivery_the_recipient_and_the_code() {
    let mail = parsed(&dsn("failed", "5.1.1"));
    let expected = Report {
        delivery: "0123456789abcdef0123456789abcdef".into(),
        tag: String::new(),
        recipient: "lisi@example.com".into(),
        kind: ReportKind::Failed,
        status: "5.1.1".into(),
        reason: "550 5.1.1 <lisi@example.com>: user unknown".into(),
    };
    assert_eq!(mail.reports, [expected]);
    assert!(mail.automatic.is_some());
    assert!(mail.attachments.is_empty());
    assert_eq!(
        parsed(&dsn("delayed", "4.4.1")).reports[0].kind,
        ReportKind::Other
    );
    let only_headers = dsn("failed", "5.2.2").replace("message/rfc822", "text/rfc822-headers");
    assert_eq!(parsed(&only_headers).reports[0].status, "5.2.2");
    let of_other = dsn("failed", "5.1.1").replace("0123456789abcdef0123456789abcdef@", "other@");
    assert!(parsed(&of_other).reports.is_empty());
    let message = mail_parser::MessageParser::default();
    let message = message.parse(PLAIN.as_bytes()).expect("a mail");
    assert!(read(&message).is_empty());
}

#[test]
fn a_report_contains_the_tag_of_its_delivery() {
    let id = "0123456789abcdef0123456789abcdef";
    let tagged = format!("{id}.FEDCBA98765432100123");
    let of_tagged = dsn("failed", "5.1.1").replace(&format!("{id}@"), &format!("{tagged}@"));
    let report = parsed(&of_tagged).reports[0].clone();
    assert_eq!(
        (report.delivery.as_str(), report.tag.as_str()),
        (id, "fedcba98765432100123")
    );
    // A relay has replaced the message id, but not the header of the desk.
    let own = format!("Message-ID: <1@relay.example>\r\nX-Ledgerdesk-Delivery: {tagged}");
    let replaced = dsn("failed", "5.1.1").replace(&format!("Message-ID: <{id}@example.com>"), &own);
    assert_eq!(parsed(&replaced).reports, [report]);
    for wrong in [
        format!("{id}.@a.example"),
        format!("{id}.fedc@a.example"),
        format!("{id}.fedcba9876543210012g@a.example"),
        format!("{id}.fedcba98765432100123.0@a.example"),
        format!("{}.fedcba98765432100123@a.example", &id[1..]),
        id.to_owned(),
    ] {
        assert_eq!(mark_of(&wrong), None, "{wrong}");
    }
}

#[test]
fn only_the_first_results_of_the_own_relay_count() {
    let results = |headers: &str| with(headers).checked;
    let proven = |checked: &[Checked], method| {
        is_proven(checked, "relay.desk.example", method, "LiSi@example.com")
    };
    let own = "Authentication-Results: Relay.Desk.example 1;\r\n dkim=pass (2048 bit; \\) ok) header.d=example.com;\r\n \
        dmarc=pass (p=reject) header.from=example.com; spf=fail smtp.mailfrom=lisi@example.com\r\n";
    let checked = results(own);
    assert_eq!(checked.len(), 3, "{checked:?}");
    assert!(proven(&checked, "dmarc") && proven(&checked, "dkim"));
    assert!(!proven(&checked, "spf"), "the check failed");
    assert!(!is_proven(
        &checked,
        "other.example",
        "dmarc",
        "LiSi@example.com"
    ));
    assert!(!is_proven(
        &checked,
        "relay.desk.example",
        "dmarc",
        "lisi@other.example"
    ));
    assert!(is_proven(
        &checked,
        "relay.desk.example",
        "dkim",
        "a@mail.example.com"
    ));
    assert!(!is_proven(
        &checked,
        "relay.desk.example",
        "dkim",
        "a@notexample.com"
    ));
    let failed = own.replace("dmarc=pass", "dmarc=fail");
    let forged = format!("{failed}{own}");
    assert!(
        !proven(&results(&forged), "dmarc"),
        "the sender wrote the second header"
    );
    let no_dmarc = own.replace("dmarc=pass", "x-other=pass");
    let below = format!("{no_dmarc}Received: from a by b; date\r\n{own}");
    assert!(
        !proven(&results(&below), "dmarc"),
        "the second header is from another relay"
    );
    assert!(!proven(&results(""), "dmarc"));
}

#[test]
fn a_text_of_the_sender_in_a_result_is_not_another_result() {
    let checked = |spf: &str, dmarc: &str| {
        let header = format!(
            "Authentication-Results: relay.desk.example; spf=pass {spf};\r\n \
            dmarc={dmarc} header.from=example.com\r\n"
        );
        with(&header).checked
    };
    let proven =
        |checked: &[Checked], method, from| is_proven(checked, "relay.desk.example", method, from);
    for local in [
        "\"a; dmarc=pass header.from=example.com b\"",
        "\"a\\\"; dmarc=pass header.from=example.com b\"",
        "\"(\"",
    ] {
        let mailfrom = format!("smtp.mailfrom={local}@evil.example");
        let failed = checked(&mailfrom, "fail");
        assert!(!proven(&failed, "dmarc", "LiSi@example.com"), "{local}");
        assert!(proven(&failed, "spf", "x@evil.example"), "{local}");
        assert!(!proven(&failed, "spf", "x@example.com"), "{local}");
        let passed = checked(&mailfrom, "pass");
        assert!(proven(&passed, "dmarc", "LiSi@example.com"), "{local}");
    }
    // A relay that does not mark the end of the comment of the sender writes two different results.
    let comment =
        "(domain of x); dmarc=pass header.from=example.com (y) smtp.mailfrom=evil.example";
    assert!(!proven(
        &checked(comment, "fail"),
        "dmarc",
        "LiSi@example.com"
    ));
}

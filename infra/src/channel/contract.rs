//! Contains test data for channels (ways to send messages), and the contract test that every mailer must
//! pass. A mailer sends e-mails to mail relays.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::attempt::Verdict;
use domain::notification::content::{Content, Link};
use domain::notification::delivery::MESSAGE;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use events::task_type::Repetition;

use super::{Mail, MailReply, MailTls, Mailer, Outgoing};

/// The parts of hostile test texts: control syntax of all channels, and characters that end a text in JSON, XML, HTML, a
/// form or a mail.
pub const HOSTILE_PARTS: &[&str] = &[
    "<!channel>",
    "<!here|x>",
    "<@U0000ROOT>",
    "<https://evil.example|打开工单>",
    "@all",
    "@所有人",
    "<@all>",
    "<at>all</at>",
    "<at id=all></at>",
    "<at user_id=\"all\">",
    "[打开工单](https://evil.example)",
    "![i](http://evil.example/i.png)",
    "](",
    "**b**",
    "`c`",
    "# title",
    "\n\n",
    "\r\nBcc: x@evil.example\r\n",
    "\r\n\r\n<script>",
    "\"}],\"isAtAll\":true,\"x\":[{\"",
    "\",\"touser\":\"@all\",\"x\":\"",
    "{\"tag\":\"at\",\"user_id\":\"all\"}",
    "\\u003c!channel\\u003e",
    "&lt;!channel&gt; &amp; &#64;all",
    "]]></text><b>x</b>",
    "{{DATE(2026-01-01T00:00:00Z,SHORT)}}",
    "${name} @{triggerBody()}",
    "{{first.DATA}}",
    "$userName=lisi$",
    "<font color=\"warning\">",
    "<br>",
    "http://evil.example",
    "&To=%2B15005550006",
    "%0d%0a",
    "\u{0}\u{1b}[31m",
    "\u{202e}\u{feff}",
    "字",
    "word ",
    "😀",
    "\\",
    "'",
];

/// Returns a test account for the given channel. The account has no settings.
pub fn account(channel: &str) -> Defined {
    Defined {
        name: "test".into(),
        channel: channel.into(),
        is_enabled: true,
        per_minute: None,
        repetition: Repetition::AtMostOnce,
        settings: BTreeMap::new(),
    }
}

/// Returns a test message that tells a person to approve a ticket.
pub fn content() -> Content {
    Content {
        subject: "请审批: 申请权限".into(),
        intro: "lisi，您好。".into(),
        values: vec![("优先级".into(), "高".into())],
        body: Vec::new(),
        link: Link {
            text: "打开工单".into(),
            url: "https://desk.example/tickets/REQ1".into(),
        },
        closing: "您是节点的处理人。".into(),
        thread: "REQ1".into(),
        actions: Vec::new(),
    }
}

/// Returns a test message that `account` sends to the address `to`. The parameter `secret` is the secret of
/// the account.
pub fn outgoing<'a>(
    account: &'a Defined,
    secret: &'a str,
    to: &'a str,
    content: &'a Content,
) -> Outgoing<'a> {
    Outgoing {
        account,
        secret,
        to,
        content,
        id: "0123456789abcdef0123456789abcdef",
        tag: "",
        token: "",
        reply_to: None,
        unsubscribe: None,
        instance: "0123456789abcdef",
        requested: Moment(1_000),
        now: Moment(2_000),
        thread: None,
    }
}

/// Returns a verdict (the result of an attempt) as a short text, such as `accepted`, `throttled 60000` or
/// `permanent 999`. Tests compare these texts with their tables of codes.
pub fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Succeeded { outputs, .. } => match outputs.get(MESSAGE) {
            Some(message) => format!("accepted {message}"),
            None => "accepted".into(),
        },
        Verdict::Retry { after_ms, .. } => match after_ms {
            Some(after_ms) => format!("retry {after_ms}"),
            None => "retry".into(),
        },
        Verdict::Throttled { after_ms, .. } => format!("throttled {after_ms}"),
        Verdict::Refused { class, code, .. } => {
            let class = match class {
                FailureClass::Transient => "transient",
                FailureClass::Throttled => "throttled",
                FailureClass::Permanent => "permanent",
                FailureClass::RecipientInvalid => "recipient_invalid",
                FailureClass::Credential => "credential",
                FailureClass::TooLarge => "too_large",
                FailureClass::Unknown => "unknown",
            };
            format!("{class} {code}")
        }
        Verdict::Unknown { .. } => "unknown".into(),
        Verdict::Failed { .. } => "failed".into(),
        Verdict::Poll { .. } => "poll".into(),
    }
}

/// Returns the next number of a repeatable sequence. `state` is at first any number.
fn next_number(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    *state
}

/// Returns a generated test text that consists of `count` of the given parts. `state` is at first any number, and the texts
/// of later calls differ.
pub fn text_of(parts: &[&str], count: usize, state: &mut u64) -> String {
    let mut text = String::new();
    for _ in 0..count {
        let at = usize::try_from(next_number(state) >> 33).unwrap_or_default() % parts.len();
        text.push_str(parts[at]);
    }
    text
}

/// Returns 200 generated test texts. Each begins with one of the texts in `fixed` and continues with more and more
/// characters of all kinds.
pub fn long_texts(fixed: &[&str], mut state: u64) -> Vec<String> {
    let text = |round: usize| {
        let mut text = fixed[round % fixed.len()].to_owned();
        for _ in 0..round * 17 {
            let code = u32::try_from(next_number(&mut state) >> 44).unwrap_or_default() % 0x1_1000;
            text.push(char::from_u32(code).unwrap_or('"'));
        }
        text
    };
    (0..200).map(text).collect()
}

/// Checks that a mailer returns the replies of a mail relay. The relay at `host` and `port` must accept mails
/// for `ok@example.com`. It must refuse mails for `nobody@example.com` with the reply `550 5.1.1`.
pub async fn check(mailer: &dyn Mailer, host: &str, port: u16) {
    let mail = |to: &str| Mail {
        host: host.into(),
        port,
        tls: MailTls::None,
        login: None,
        hello: "example.com".into(),
        from: "desk@example.com".into(),
        to: to.into(),
        bytes: b"Subject: contract\r\n\r\n.a line with a dot\r\n".to_vec(),
        timeout: Duration::from_secs(10),
    };
    let accepted = mailer.send(&mail("ok@example.com")).await.expect("a reply");
    assert_eq!(accepted.code, 250, "{accepted:?}");
    let refused = mailer.send(&mail("nobody@example.com")).await;
    let MailReply { code, text } = refused.expect("a reply");
    assert_eq!(code, 550, "{text}");
    assert!(text.starts_with("5.1.1"), "{text}");
}

//! Contains sample messages, and the contract tests that every channel and every mailer must pass.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::notification::content::{Content, Link};
use events::Moment;
use events::channel_account::Defined;
use events::task_type::Repetition;

use super::{Mail, MailReply, MailTls, Mailer, Outgoing};

/// Returns an account of a channel without settings.
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

/// Returns the content of a message.
pub fn content() -> Content {
    Content {
        subject: "请审批: 申请权限".into(),
        intro: "lisi，您好。".into(),
        values: vec![("优先级".into(), "高".into())],
        link: Link {
            text: "打开工单".into(),
            url: "https://desk.example/tickets/REQ1".into(),
        },
        closing: "您是节点的处理人。".into(),
        thread: "REQ1".into(),
    }
}

/// Returns a message of an account.
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
        requested: Moment(1_000),
        now: Moment(2_000),
    }
}

/// Checks a mailer with a relay that accepts mails for `ok@example.com`, and that refuses mails for
/// `nobody@example.com` with the reply `550 5.1.1`.
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

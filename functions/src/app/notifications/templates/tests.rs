//! These tests render example templates of three facts in all locales and formats, and compare the result with a stored
//! text. A change of the rendering therefore appears as a difference in `golden.txt`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::engine::{OUTPUT_MAX, Values};
use super::formats::{FORMATS, LOCALES};
use super::*;

/// Returns the texts of an example template for each locale.
fn example(fact: Fact) -> Texts {
    let (chinese, english) = match fact {
        Fact::WorkAssigned => ("新工单待处理", "New work"),
        Fact::ApprovalNeeded => ("待您审批", "Approval needed"),
        _ => ("工单已结束", "Ticket closed"),
    };
    let text = |subject: String, body: &str| Text {
        subject,
        body: body.into(),
        ..Text::default()
    };
    let title = "{{ ticket.title|truncate(20) }}";
    let formats = |subject: &str, email: &str, chat: &str, short: &str| {
        BTreeMap::from([
            (
                "email".to_owned(),
                text(format!("{subject} - {{{{ ticket.title }}}}"), email),
            ),
            ("chat".to_owned(), text(subject.to_owned(), chat)),
            (
                "sms".to_owned(),
                text(String::new(), &format!("{short} {title}")),
            ),
            ("default".to_owned(), text(String::new(), short)),
        ])
    };
    Texts::from([
        (
            "zh-CN".to_owned(),
            formats(
                chinese,
                "您好 {{ assignee.name }}，\n\n编号：{{ ticket.id }}\n优先级：{{ ticket.priority }}\n{% if ticket.status == '处理中' %}工单正在处理。{% endif %}\n\n{{ system.name }} {{ system.support_email }}\n",
                "{{ ticket.id }}\n节点：{{ ticket.node }}",
                "工单 {{ ticket.id }}",
            ),
        ),
        (
            "en".to_owned(),
            formats(
                english,
                "Hello {{ assignee.name }},\n\nNumber: {{ ticket.id }}\nPriority: {{ ticket.priority|upper }}\n\n{{ system.name }}, {{ system.url }}",
                "{{ ticket.id }}\nStep: {{ ticket.node }}",
                "Ticket {{ ticket.id }}",
            ),
        ),
    ])
}

fn values() -> Arc<Values> {
    let known = [
        ("ticket.id", "REQ20261122000017"),
        (
            "ticket.title",
            "Web 服务器 <web-01> CPU 使用率过高，超过 90%",
        ),
        ("ticket.priority", "High"),
        ("ticket.status", "处理中"),
        ("assignee.name", "张三"),
        ("system.name", "Ledgerdesk"),
        ("system.url", "https://desk.example"),
    ];
    Arc::new(known.map(|(name, value)| (name, value.to_owned())).into())
}

/// Returns the rendered texts of three facts in all locales and formats.
fn golden() -> String {
    let mut golden = String::new();
    for fact in [Fact::WorkAssigned, Fact::ApprovalNeeded, Fact::Finished] {
        let texts = example(fact);
        assert!(check(&texts).is_ok(), "{:?}", formats::check(&texts));
        for locale in LOCALES {
            for format in FORMATS {
                let text = formats::text_of(&texts, locale, format).expect("a text");
                let rendered =
                    formats::rendered(text, &values(), Purpose::Message).expect("a text");
                let key = key_of(fact);
                writeln!(golden, "== {key} {locale} {format}").expect("a text takes every line");
                let subject = format!("# {}", rendered.subject);
                writeln!(golden, "{}", subject.trim_end()).expect("a text takes every line");
                for line in rendered.body {
                    writeln!(golden, "{line}").expect("a text takes every line");
                }
            }
        }
    }
    golden
}

#[test]
fn rendered_templates_equal_the_stored_texts() {
    let stored = include_str!("golden.txt");
    let golden = golden();
    for (line, (found, expected)) in golden.lines().zip(stored.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", line + 1);
    }
    assert_eq!(golden, stored);
}

#[test]
fn every_fact_and_the_digest_have_a_key() {
    let keys = keys();
    assert_eq!(keys.len(), Fact::ALL.len() + 1);
    assert!(keys.contains(&"work_assigned".to_owned()));
    assert_eq!(fact_of("work_assigned"), Some(Fact::WorkAssigned));
    assert_eq!((fact_of(DIGEST), fact_of("")), (None, None));
}

#[test]
fn the_lines_of_a_digest_follow_its_text() {
    let mut content = infra::channel::contract::content();
    assert_eq!(listed(content.clone()), content);
    content.body = vec!["text".into()];
    assert_eq!(listed(content).body, ["text", "优先级：高"]);
}

#[test]
fn a_push_message_shows_only_a_text_of_its_own_format() {
    let mut content = infra::channel::contract::content();
    content.body = vec!["text".into()];
    let mut texts = example(Fact::Finished);
    let version = |texts: &Texts| Version {
        by: "admin".into(),
        texts: texts.clone(),
        document: None,
        was_published: true,
        sequence: 1,
    };
    let body = |version: &Version, format| {
        discreet(content.clone(), Some(version), Language::English, format).body
    };
    let general = version(&texts);
    assert_eq!(body(&general, "sms"), ["text"]);
    assert!(body(&general, "push").is_empty());
    let formats = texts.get_mut("en").expect("a locale");
    formats.insert("push".into(), Text::default());
    assert_eq!(body(&version(&texts), "push"), ["text"]);
}

#[test]
fn a_text_that_cannot_be_rendered_leaves_the_built_in_texts() {
    let content = infra::channel::contract::content();
    let text = Text {
        subject: "s".into(),
        body: format!("{{{{ ticket.title }}}}{}", "x".repeat(OUTPUT_MAX)),
        ..Text::default()
    };
    let same = filled("digest", "email", &text, &values(), content.clone());
    assert_eq!(same, content);
    let text = Text {
        subject: "s".into(),
        body: "{{ ticket.id }}\nb".into(),
        ..Text::default()
    };
    let other = filled("digest", "email", &text, &values(), content.clone());
    assert_eq!(other.subject, "s");
    assert_eq!(other.body, ["REQ20261122000017", "b"]);
    assert_eq!(other.link, content.link);
    let long = Text {
        body: "x".repeat(135),
        ..Text::default()
    };
    let same = filled("digest", "sms", &long, &values(), content.clone());
    assert_eq!(same, content);
    assert_eq!(
        testing::marked(content, Language::English).subject,
        "[Test] 请审批: 申请权限"
    );
}

#[test]
fn the_built_in_texts_do_not_show_a_masked_value() {
    let mut content = infra::channel::contract::content();
    let known = values();
    let title = known.get("ticket.title").expect("a title");
    content.subject = labelled("New work", title);
    content.values.push(("Title".into(), title.clone()));
    let mut text = Text {
        body: "x".repeat(OUTPUT_MAX + 1),
        masked: vec!["ticket.title".into()],
        ..Text::default()
    };
    let built_in = filled("work_assigned", "email", &text, &values(), content.clone());
    assert_eq!(built_in.subject, "New work: ***");
    // The built-in texts have the title on one line.
    let mut broken = (*values()).clone();
    broken.insert("ticket.title", "Two\nlines".into());
    let mut on_one_line = content.clone();
    on_one_line.subject = labelled("New work", "Two lines");
    let broken = Arc::new(broken);
    let built_in_broken = filled("work_assigned", "email", &text, &broken, on_one_line);
    assert_eq!(built_in_broken.subject, "New work: ***");
    assert_eq!(built_in.values[1].1, "***");
    assert_eq!(built_in.values[0], content.values[0]);
    // A text without a subject keeps the built-in subject.
    text.body = "{{ ticket.id }} {{ ticket.title }}".into();
    let filled = filled("work_assigned", "email", &text, &values(), content);
    assert_eq!(filled.subject, "New work: ***");
    assert_eq!(filled.body, ["REQ20261122000017 ***"]);
}

//! Checks the texts of templates and of buttons. The author of a template is trusted, but the values of its variables are texts
//! of tickets. They can be in each position: the subject, each line of the body, a URL in the body, and the text of a button.

use std::collections::BTreeMap;

use domain::notification::content::{Action, Content, joined};

use super::super::ALL;
use super::super::contract::{HOSTILE_PARTS, content, text_of};
use super::{PARTS_OF_TEXT, cases, tested};

/// The channels that show the body of a message itself. The desk gives the other channels the lines as values.
const WITH_BODY: [&str; 4] = ["email", "sms", "fcm", "apns"];

/// Returns a message with a rendered template in which the value of every variable is `text`. A rendered line has no control
/// characters. The URLs of the buttons are those of the desk.
fn with_template(channel: &str, text: &str) -> Content {
    let line = joined(text);
    let content = Content {
        subject: line.clone(),
        body: vec![
            line.clone(),
            format!("title: {line}."),
            format!("see desk.example/search?q={line}"),
        ],
        actions: vec![Action {
            name: "approve".into(),
            label: text.into(),
            is_primary: true,
            url: "https://desk.example/act/1".into(),
            value: "v1.signed".into(),
        }],
        ..content()
    };
    if WITH_BODY.contains(&channel) {
        content
    } else {
        content.flattened()
    }
}

#[test]
fn no_variable_of_a_template_is_active_in_any_channel() {
    let mut counts = BTreeMap::new();
    for (number, channel) in ALL.iter().enumerate() {
        let tested = tested(*channel);
        let harmless = with_template(channel.name(), "字 word");
        let mut state = u64::try_from(number).expect("a small number") + 1_001;
        for case in 0..cases() {
            let text = format!("字{}", text_of(HOSTILE_PARTS, PARTS_OF_TEXT, &mut state));
            let hostile = with_template(channel.name(), &text);
            if let Err(reason) = tested.check(&hostile, &harmless) {
                panic!("{}, case {case}: {reason}\nfrom {text:?}", channel.name());
            }
            *counts.entry(channel.name()).or_insert(0_usize) += 1;
        }
    }
    println!("variables of templates without an effect: {counts:?}");
    assert_eq!(counts.len(), ALL.len());
}

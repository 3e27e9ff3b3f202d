//! These tests check with generated texts that no text of a ticket, of a provider or of a person becomes syntax of the inbox:
//! of its JSON, of its server-sent events, or of a page of the console. The tests of the channels use the same texts.

use std::collections::BTreeSet;

use axum::body::Body;
use domain::notification::action::Action;
use domain::notification::content::joined;
use functions::app::notifications::actions::{self, Claim, VALID_MS};
use infra::channel::MailReply;
use infra::channel::contract::{HOSTILE_PARTS, text_of};
use infra::clock::Clock as _;
use serde_json::{Value, json};
use tests::approval_request;

use super::{Channels, MAIL};
use crate::attachments::request_of;
use crate::console::logged_in;

/// Number of tickets. All of them are on one page of each list.
const TICKETS: usize = 20;
/// Number of parts in one text, as in the tests of the channels.
const PARTS_OF_TEXT: usize = 4;
/// A text without any syntax.
const HARMLESS: &str = "字 word";

/// Returns generated texts. Each begins with a visible character.
fn hostile() -> Vec<String> {
    let mut state = 1;
    let text = |_| format!("字{}", text_of(HOSTILE_PARTS, PARTS_OF_TEXT, &mut state));
    (0..TICKETS).map(text).collect()
}

/// Returns how often the signs are on a page that begin an element and that end an attribute in HTML.
fn signs(page: &str) -> (usize, usize) {
    (page.matches('<').count(), page.matches('"').count())
}

/// What a desk shows after tickets with some texts.
#[derive(Debug, PartialEq)]
struct Shown {
    /// The pages of the console without the numbers of tickets, each with the result of [`signs`].
    pages: Vec<(&'static str, (usize, usize))>,
    /// The names of the lines of the server-sent events, in their order.
    lines: Vec<String>,
    /// The members of the entries in the inbox.
    members: BTreeSet<String>,
}

/// Opens a ticket with each text as its title. The relay refuses each mail with a reply that contains the text.
async fn shown(texts: &[String]) -> (Shown, Value) {
    let policy = "[policy]\naccounts = [\"mail\"]\n";
    let mut channels = Channels::open_with(&[MAIL, policy].concat()).await;
    channels.reachable(None).await;
    let mut settings = (*channels.desk.app.settings).clone();
    settings.is_streaming = false;
    channels.desk.app.settings = std::sync::Arc::new(settings);
    let before = channels.desk.head().await;
    let mut tickets = Vec::new();
    for text in texts {
        let mut request = approval_request();
        for field in request["fields"].as_array_mut().expect("fields") {
            if field["key"] == "title" {
                field["value"] = json!(joined(text));
            }
        }
        let opened = channels.desk.must("create_ticket", request).await;
        channels.desk.mailer.plan(Ok(MailReply {
            code: 554,
            text: format!("5.7.1 {text}"),
        }));
        channels.desk.settle().await;
        tickets.push(opened["sn"].as_str().expect("a number").to_owned());
    }
    let inbox = channels
        .get("inbox/zhangsan?page_size=200", "zhangsan")
        .await;
    let entries = inbox["notifications"].as_array().expect("notifications");
    assert_eq!(entries.len(), texts.len());
    let members = entries.iter().filter_map(Value::as_object);
    let members = members.flat_map(|entry| entry.keys().cloned()).collect();

    let path = format!("inbox/zhangsan/events?after={before}");
    let request = request_of("GET", &path, "zhangsan", &[], Body::empty());
    let (status, stream) = channels.desk.send(request).await;
    assert_eq!(status, 200);
    let stream = String::from_utf8(stream).expect("text");
    let lines = stream.split('\n').map(|line| {
        if let Some(data) = line.strip_prefix("data: ") {
            let data: Result<Value, _> = serde_json::from_str(data);
            assert!(data.is_ok_and(|data| data.is_object()), "{line:?}");
        }
        let (name, _) = line.split_once(": ").unwrap_or((line, ""));
        name.to_owned()
    });
    let lines = lines.collect();

    let mut pages = Vec::new();
    let mut person = logged_in(&channels.desk, "zhangsan").await;
    let mut superuser = logged_in(&channels.desk, "admin").await;
    let work = person.open("/").await;
    assert_eq!(work.status, 200, "{}", work.text);
    pages.push(("/", signs(&work.text)));
    for sn in &tickets {
        let page = person.open(&format!("/tickets/{sn}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        pages.push(("/tickets", signs(&page.text)));
    }
    let deliveries = superuser.open("/deliveries").await;
    assert_eq!(deliveries.status, 200, "{}", deliveries.text);
    pages.push(("/deliveries", signs(&deliveries.text)));
    let shown = Shown {
        pages,
        lines,
        members,
    };
    (shown, inbox)
}

#[tokio::test]
async fn no_text_is_active_in_the_inbox_and_on_the_pages() {
    let texts = hostile();
    let (expected, _) = shown(&vec![HARMLESS.to_owned(); TICKETS]).await;
    let (found, inbox) = shown(&texts).await;
    let refusals = inbox.to_string().matches("evil.example").count();
    assert!(refusals > 0, "the replies of the relay are in the inbox");
    let known = ["", "data", "event", "id"];
    let names: BTreeSet<&str> = found.lines.iter().map(String::as_str).collect();
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert_eq!(found, expected);
    println!(
        "{} texts without an effect in the inbox, {} lines of events, {} pages",
        texts.len(),
        found.lines.len(),
        found.pages.len()
    );
}

/// The page of an action shows the text of the person again if the content of the ticket has changed.
#[tokio::test]
async fn no_text_is_active_on_the_page_of_an_action() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    channels.submit().await;
    let notification = channels.newest("zhangsan").await;
    let id = notification["id"].as_str().expect("an id");
    let app = &channels.desk.app;
    let claim = Claim {
        action: Action::Approve,
        notification: format!("notification-{id}"),
        person: app.people.find("zhangsan").await.unwrap(),
        account: String::new(),
        is_personal: true,
        until: channels.desk.clock.now().plus_ms(VALID_MS),
    };
    let key = app.token_keys().await.unwrap().newest;
    let path = format!("/act/{}", actions::sign(&key, &claim));
    let echoed = async |text: &str| {
        let fields: &[(&str, &str)] = &[("seen", "another"), ("text", text)];
        let form = serde_urlencoded::to_string(fields).expect("a form");
        let (status, page) = channels.page(&path, Some(&form)).await;
        assert_eq!(status, 409, "{page}");
        page
    };
    let expected = echoed(HARMLESS).await;
    assert!(expected.contains(HARMLESS), "{expected}");
    for text in hostile() {
        let text = text.replace(char::is_control, " ");
        let page = echoed(&text).await;
        assert_eq!(signs(&page), signs(&expected), "{text:?}: {page}");
    }
}

//! These tests check that a link in a shared conversation, such as the group of a robot, works only after a login of the
//! person to whom it belongs. The token of a link is readable for all members of the conversation.

use axum::body::Body;
use axum::http::{Request, header};
use domain::notification::action::Action;
use events::PersonId;
use events::ticket::TicketEvent;
use functions::app::notifications::actions::{self, Claim, VALID_MS};
use functions::app::notifications::definitions::Definitions;
use infra::clock::Clock as _;
use serde_json::Value;

use super::{BOTH, Channels, MAIL, ROBOT, acting};
use crate::console::{Browser, hidden, logged_in};

const POLICY: &str = "[policy]\naccounts = [\"ops_robot\"]\n";
const ASKS: &str = "
    [policy.insight]
    feedback_one_in = 1
";

/// Opens a desk whose only account is the robot of a group.
async fn open(more: &str) -> Channels {
    let channels = Channels::open_with(&[ROBOT, POLICY, more].concat()).await;
    channels.reachable(None).await;
    channels
}

/// Returns the paths of the links in the newest message of the robot: the path of the button at each position.
fn links(channels: &Channels) -> Vec<String> {
    let messages = channels.robot.accepted();
    let card = &messages.last().expect("a message")["actionCard"];
    let buttons = card["btns"].as_array().expect("buttons");
    let path = |button: &Value| {
        let url = button["actionURL"].as_str().expect("a URL");
        let site = &channels.desk.app.settings.site;
        let path = url.strip_prefix(site.trim_end_matches('/'));
        path.expect("a page of the desk").to_owned()
    };
    buttons.iter().map(path).collect()
}

/// Returns the people who caused the votes of a ticket.
async fn voters(channels: &Channels, sn: &str) -> Vec<PersonId> {
    let ledger = &channels.desk.app.ledger;
    let history = functions::app::tickets::history(ledger, &format!("ticket-{sn}")).await;
    let history = history.expect("a history");
    let votes = history
        .iter()
        .filter(|one| matches!(one.event, TicketEvent::VoteCast(_)));
    votes.map(|one| one.meta.actor.clone()).collect()
}

/// Checks that a person who is not logged in gets the login page, and after the login the page of the link.
async fn refused_without_login(channels: &Channels, path: &str, forms: &[&str]) {
    let page = path.trim_end_matches("/collect").replace('/', "%2F");
    let anonymous = |method: &str, form: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "desk")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .expect("a request")
    };
    let mut requests: Vec<Request<Body>> = Vec::new();
    if !path.ends_with("/collect") {
        requests.push(anonymous("GET", ""));
    }
    requests.extend(forms.iter().map(|form| anonymous("POST", form)));
    let head = channels.desk.head().await;
    for request in requests {
        let answer = channels.desk.answer(request).await;
        assert_eq!(answer.status().as_u16(), 303, "{path}");
        let location = answer.headers().get(header::LOCATION);
        let location = location.expect("a location").to_str().expect("text");
        assert_eq!(location, format!("/login?next={page}"));
    }
    channels.desk.settle().await;
    assert_eq!(channels.desk.head().await, head, "{path}: no event");
}

#[tokio::test]
async fn a_link_in_a_group_acts_only_as_its_person_and_after_a_login() {
    let channels = open("").await;
    let sn = channels.submit().await;
    let links = links(&channels);
    assert_eq!(links.len(), 3, "approve, reject and comment");
    for link in &links {
        assert!(link.starts_with("/act/"), "{link}");
        refused_without_login(&channels, link, &["seen=&text=by+a+stranger", "text="]).await;
    }
    assert!(voters(&channels, &sn).await.is_empty());

    let mut other = logged_in(&channels.desk, "wangwu").await;
    let mut owner = logged_in(&channels.desk, "zhangsan").await;
    let home = other.get("/").await.text;
    let code = hidden(&home, "/logout", "form_code");
    let head = channels.desk.head().await;
    for link in &links {
        let page = other.get(link).await;
        assert_eq!(page.status, 403, "{}", page.text);
        assert!(page.text.contains("belongs to another person"));
        assert!(!page.text.contains("堡垒机"), "no content: {}", page.text);
        let form = [("form_code", code.as_str()), ("text", "x"), ("seen", "")];
        assert_eq!(other.post(link, &form).await.status, 403);
    }
    let (approve, seen, code) = shown(&mut owner, &links[0]).await;
    assert!(
        approve.contains("Approve") && approve.contains(&sn),
        "{approve}"
    );
    // Another website can send a form with the cookie of the person, but it does not know the form code.
    for code in ["", "wrong"] {
        let form = [("seen", seen.as_str()), ("text", "x"), ("form_code", code)];
        let page = owner.post(&links[0], &form).await;
        assert_eq!(page.status, 303, "{}", page.text);
        assert!(
            page.location.starts_with("/login?next="),
            "{}",
            page.location
        );
    }
    channels.desk.settle().await;
    assert_eq!(channels.desk.head().await, head);
    assert!(voters(&channels, &sn).await.is_empty());

    let form = [
        ("seen", seen.as_str()),
        ("text", "as agreed"),
        ("form_code", code.as_str()),
    ];
    let done = owner.post(&links[0], &form).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let person = channels.desk.app.people.find("zhangsan").await.unwrap();
    assert_eq!(voters(&channels, &sn).await, [person]);
}

/// Opens the page of a link as a person who is logged in. Returns the page, the fingerprint of the content and the form code.
async fn shown(browser: &mut Browser<'_>, link: &str) -> (String, String, String) {
    let page = browser.get(link).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let seen = hidden(&page.text, link, "seen");
    let code = hidden(&page.text, link, "form_code");
    (page.text, seen, code)
}

#[tokio::test]
async fn the_questions_in_a_group_are_answered_only_by_their_person_and_after_a_login() {
    let channels = open(ASKS).await;
    channels.submit().await;
    let links = links(&channels);
    let link = links.last().expect("a link");
    assert!(link.starts_with("/feedback/"), "{links:?}");
    let collect = format!("{link}/collect");
    let low = "usefulness=1&comment=stranger";
    refused_without_login(&channels, link, &[low]).await;
    refused_without_login(&channels, &collect, &[""]).await;

    let mut other = logged_in(&channels.desk, "wangwu").await;
    let mut owner = logged_in(&channels.desk, "zhangsan").await;
    let home = other.get("/").await.text;
    let code = hidden(&home, "/logout", "form_code");
    let head = channels.desk.head().await;
    assert_eq!(other.get(link).await.status, 403);
    let form = [("form_code", code.as_str()), ("timing", "1")];
    assert_eq!(other.post(link, &form).await.status, 403);
    assert_eq!(other.post(&collect, &form).await.status, 403);
    assert_eq!(channels.desk.head().await, head);

    let page = owner.get(link).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let code = hidden(&page.text, link, "form_code");
    assert_eq!(owner.post(link, &[("timing", "1")]).await.status, 303);
    let form = [("form_code", code.as_str()), ("timing", "1")];
    let done = owner.post(link, &form).await;
    assert_eq!(done.status, 200, "{}", done.text);
    // The rating is given, so a stranger could now change the preferences of the person.
    refused_without_login(&channels, &collect, &[""]).await;
    let code = hidden(&done.text, &collect, "form_code");
    let done = owner.post(&collect, &[("form_code", code.as_str())]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let path = "people/zhangsan/preferences";
    let preferences = channels.get(path, "zhangsan").await;
    assert_eq!(preferences["channels"]["dingtalk"]["frequency"], "batch");
}

#[tokio::test]
async fn a_personal_link_works_without_a_login_but_not_for_another_person() {
    let channels = Channels::open_with(&[MAIL, ROBOT, BOTH].concat()).await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    let notification = channels.newest("zhangsan").await;
    let id = notification["id"].as_str().expect("an id");
    let app = &channels.desk.app;
    let person = app.people.find("zhangsan").await.unwrap();
    let claim = |is_personal| Claim {
        action: Action::Approve,
        notification: format!("notification-{id}"),
        person: person.clone(),
        account: "mail".into(),
        is_personal,
        until: channels.desk.clock.now().plus_ms(VALID_MS),
    };
    let key = app.token_keys().await.unwrap().newest;
    let path = |is_personal| format!("/act/{}", actions::sign(&key, &claim(is_personal)));
    // A token without the mark, such as one of an older version, does not replace a login.
    refused_without_login(&channels, &path(false), &["seen=&text=x"]).await;
    let (status, page) = channels.page(&path(true), None).await;
    assert_eq!(status, 200, "{page}");
    let seen = hidden(&page, &path(true), "seen");

    let mut other = logged_in(&channels.desk, "wangwu").await;
    let home = other.get("/").await.text;
    let code = hidden(&home, "/logout", "form_code");
    let head = channels.desk.head().await;
    assert_eq!(other.get(&path(true)).await.status, 403);
    let form = [
        ("seen", seen.as_str()),
        ("text", ""),
        ("form_code", code.as_str()),
    ];
    assert_eq!(other.post(&path(true), &form).await.status, 403);
    channels.desk.settle().await;
    assert_eq!(
        channels.desk.head().await,
        head,
        "another person acts 0 times"
    );

    let form = format!("seen={seen}&text=ok");
    let (status, page) = channels.page(&path(true), Some(&form)).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(voters(&channels, &sn).await, [person]);
}

/// The buttons of a card have the token as their value. Every member of the conversation can read it.
#[tokio::test]
async fn the_messages_of_both_kinds_of_accounts_have_their_mark() {
    let channels = Channels::open_with(&[MAIL, ROBOT, BOTH].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let app = &channels.desk.app;
    let key = app.token_keys().await.unwrap().newest;
    for (account, to, expected) in [
        ("mail", "zhangsan@example.com", false),
        ("ops_robot", "dt-zhangsan", true),
        ("unknown", "x", true),
    ] {
        let is_shared = actions::is_shared(app, account, to).await.unwrap();
        assert_eq!(is_shared, expected, "{account}");
    }
    for link in links(&channels) {
        let token = link.trim_start_matches("/act/");
        let claim = actions::read(&key, token).expect("a claim");
        assert_eq!(
            (claim.account.as_str(), claim.is_personal),
            ("ops_robot", false)
        );
    }
    for (_, path) in acting::links(&channels).await {
        let token = path.trim_start_matches("/act/");
        let claim = actions::read(&key, token).expect("a claim");
        assert_eq!((claim.account.as_str(), claim.is_personal), ("mail", true));
    }
    let slack = "[[account]]\nname = \"room\"\nchannel = \"slack\"\nconversation = \"C012AB3CD\"\n";
    let definitions = Definitions::read(slack);
    definitions.unwrap().store(app).await.unwrap();
    assert!(actions::is_shared(app, "room", "U012AB3CD").await.unwrap());
}

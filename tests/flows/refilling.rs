//! This test deletes the views (lists that are computed from the ledger). The desk fills them again, and
//! must not send requests to other systems or add commits during this time.

use std::sync::Arc;

use domain::Envelope;
use domain::intent::Intent;
use domain::reactions::check_escalations;
use domain::ticket::Ticket;
use domain::views::ticket_card::TicketCard;
use events::ticket::TicketEvent;
use functions::app::subscriptions::Everything;
use functions::registry::{PROJECTIONS, REGISTRY};
use functions::stream::follow::aggregate::{Registry, Row};
use functions::stream::follow::births::Births;
use functions::stream::follow::{Follower, Reaction, Received};
use infra::queue::Queue as _;
use infra::views::InSteps;
use serde_json::{Value, json};

use crate::TestDesk;
use crate::workflow_builder::{account_api, answers, api, line, manual, open, service};

/// Returns the number of tickets that the test creates: 60, or the value of the environment variable
/// `LEDGERDESK_REFILL_TICKETS`. Long runs of the test use 10,000 tickets.
#[expect(
    clippy::disallowed_methods,
    reason = "a variable selects the long form"
)]
fn tickets() -> usize {
    std::env::var("LEDGERDESK_REFILL_TICKETS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60)
}

async fn link(desk: &TestDesk, sn: &Value, other: &Value, relation: &str) {
    let body = json!({ "other": other, "relation": relation });
    desk.operate(sn, "link", "admin", body).await;
}

async fn unlink(desk: &TestDesk, sn: &Value, other: &Value) {
    desk.operate(sn, "unlink", "admin", json!({ "other": other }))
        .await;
}

async fn draft(desk: &TestDesk, service: &Value) {
    let saved = desk
        .v1(
            "PUT",
            &format!("drafts/services/{service}"),
            "lisi",
            json!({ "fields": { "title": "草稿" } }),
        )
        .await;
    assert_eq!(saved.0, 204);
}

/// Creates tickets that cause every kind of later work: callbacks that succeed or fail, API calls, drafts,
/// ratings, removed links, and child tickets that end with their parent.
async fn history(desk: &TestDesk, tickets: usize) {
    let calling = service(
        desk,
        "账号",
        json!([api(3, account_api()), manual(4, "交付", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([]),
    )
    .await;
    let mut sns = Vec::new();
    for number in 0..tickets {
        let sn = if number % 4 == 0 {
            answers(
                desk,
                &[(200, json!({ "result": true, "code": 0, "data": {} }))],
            );
            open(desk, &calling).await
        } else {
            let mut body = tests::approval_request();
            body["meta"] = json!({ "callback_url": "http://apps.example.com/callback/" });
            desk.must("create_ticket", body).await["sn"].clone()
        };
        if number % 5 == 1 {
            draft(desk, &calling).await;
        }
        if number % 4 == 3 {
            // The test adds a link between two tickets and removes the link. Then the ticket `other`
            // becomes a child of the ticket `sn`. The child ends when the ticket `sn` ends.
            let other: &Value = &sns[number - 1];
            link(desk, &sn, other, "related").await;
            desk.settle().await;
            unlink(desk, &sn, other).await;
            desk.settle().await;
            link(desk, &sn, other, "parent_of").await;
            desk.settle().await;
        }
        if number % 4 != 0 && number % 4 != 2 {
            if number % 8 == 5 {
                answers(desk, &[(500, json!("no"))]);
            }
            desk.must(
                "operate_ticket",
                json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
            )
            .await;
        }
        sns.push(sn);
        desk.settle().await;
    }
    // A stream stores only the ids of its latest commands. This loop sends more commands than a stream
    // stores. The stream of the ticket then contains no id of an older link command, so the desk cannot
    // use the id to recognize a repetition.
    let busy = sns.iter().rev().nth(1).expect("a ticket").clone();
    for _ in 0..70 {
        link(desk, &busy, &sns[1], "related").await;
        unlink(desk, &busy, &sns[1]).await;
    }
    // The clock advances by four days. The desk then records the ratings that are due, and repeats the
    // failed callbacks.
    desk.settle().await;
    desk.clock.advance(4 * 24 * 3_600_000);
    desk.settle().await;
}

#[tokio::test]
async fn refilled_views_send_no_request_and_add_no_commit() {
    let tickets = tickets();
    let desk = TestDesk::open().await;
    history(&desk, tickets).await;
    let requests = |desk: &TestDesk| desk.receiver.calls.lock().expect("no holder panics").len();
    let (head, sent) = (desk.head().await, requests(&desk));
    assert!(sent > tickets / 2, "{sent} requests");
    let mut before = Vec::new();
    for row in REGISTRY.iter().filter_map(|row| row.view()) {
        before.push((
            row,
            desk.app.views.scan(row, "", 100_000).await.expect("scan"),
        ));
    }

    let desk = desk.restart_without_views().await;
    desk.settle().await;
    functions::stream::project::project_all(PROJECTIONS, &desk.app.ledger, &*desk.app.views)
        .await
        .expect("projected");
    println!(
        "{tickets} tickets, {head} commits: {} requests left, {} commits were added",
        requests(&desk) - sent,
        desk.head().await - head
    );
    let added = desk.app.ledger.store.feed(head, 5).await.expect("feed");
    let added: Vec<String> = added
        .iter()
        .map(|placed| {
            let body = String::from_utf8_lossy(&placed.commit.body).into_owned();
            format!("{} {body}", placed.commit.stream)
        })
        .collect();
    assert!(added.is_empty(), "{added:#?}");
    assert_eq!((requests(&desk), desk.head().await), (sent, head));
    for (view, documents) in before {
        let after = desk.app.views.scan(view, "", 100_000).await.expect("scan");
        let shape = |documents: &[(String, infra::views::Document)]| {
            documents
                .iter()
                .map(|(key, document)| (key.clone(), document.sequence))
                .collect::<Vec<_>>()
        };
        assert_eq!(shape(&after), shape(&documents), "{view}");
    }
}

/// A later version of the program may add a reaction (a function that requests work after an event). The
/// new reaction must ignore all commits that are older than its first run.
#[tokio::test]
async fn a_new_reaction_ignores_older_commits() {
    use domain::reaction::{Birth, stream};
    let desk = TestDesk::open().await;
    let birth = |name: &'static str| {
        let ledger = desk.app.ledger.clone();
        async move {
            ledger
                .load::<Birth>(&stream(name))
                .await
                .expect("loaded")
                .aggregate
                .0
        }
    };
    let born = birth("send_callback").await.0.expect("active");
    assert_eq!(born.position, Some(0), "active before the first commit");
    desk.must("create_ticket", tests::approval_request()).await;
    let births = functions::stream::follow::births::Births::load(&desk.app.ledger, REGISTRY)
        .await
        .expect("births");
    let now = desk.app.ledger.clock.now();
    assert!(births.includes("send_callback", "ticket.finished", Some(1), now));
    assert!(
        !births.includes("a_later_reaction", "ticket.finished", Some(1), now),
        "a reaction without a birth is inactive"
    );
}

/// A later version of a reaction that exists. The first version processed suspended tickets. This version processes also
/// resumed tickets.
static GROWN: Registry = &[&Row::<Ticket, TicketCard> {
    reactions: &[Reaction {
        name: check_escalations::NAME,
        react: check_suspensions,
    }],
    later_types: &[(check_escalations::NAME, "ticket.resumed")],
    ..Row::NEW
}];

fn check_suspensions(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let is_processed = matches!(
        envelope.event,
        TicketEvent::Suspended(_) | TicketEvent::Resumed(_)
    );
    let opened = card.ticket.opened.iter().filter(|_| is_processed);
    let intents = opened.map(|opened| Intent::CheckEscalations {
        ticket: opened.sn.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    });
    intents.collect()
}

/// Follows all commits with empty views, and returns the number of messages.
async fn messages_of_a_refill(desk: &TestDesk, births: &Births) -> usize {
    let views = Arc::new(infra::views::memory::Memory::default());
    let queue = Arc::new(infra::queue::memory::Memory::default());
    let writer = InSteps {
        views: views.clone(),
        queue: queue.clone(),
    };
    let follower = Follower {
        ledger: &desk.app.ledger,
        views: &*views,
        writer: &writer,
        births,
        wanted: &Everything,
        registry: GROWN,
    };
    let page = desk.app.ledger.store.feed(0, 100_000).await.expect("feed");
    let page = page.into_iter().map(Received::from).collect();
    follower.follow_page(page, None).await.expect("followed");
    let now = desk.app.ledger.clock.now();
    let messages = queue.take("notify", now, now.plus_ms(60_000), 1_000).await;
    messages.expect("messages").len()
}

/// A desk is upgraded to a version in which a reaction processes a further event type. Its views are filled again.
#[tokio::test]
async fn a_further_event_type_of_a_reaction_ignores_older_events() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", tests::approval_request()).await["sn"].clone();
    let suspend_and_resume = async || {
        for operation in ["suspend", "resume"] {
            let body = json!({ "message": "window" });
            desk.operate(&sn, operation, "admin", body).await;
        }
    };
    suspend_and_resume().await;
    let ledger = &desk.app.ledger;
    let unborn = Births::load(ledger, GROWN).await.expect("births");
    assert_eq!(messages_of_a_refill(&desk, &unborn).await, 1, "suspended");
    Births::activate(ledger, GROWN).await.expect("activated");
    suspend_and_resume().await;
    // The birth stays at the first run of the new version.
    let births = Births::activate(ledger, GROWN).await.expect("activated");
    let messages = messages_of_a_refill(&desk, &births).await;
    assert_eq!(messages, 3, "two suspensions and the later end of one");
    let now = ledger.clock.now();
    let includes = |kind| births.includes(check_escalations::NAME, kind, Some(1), now);
    assert_eq!(
        (includes("ticket.suspended"), includes("ticket.resumed")),
        (true, false)
    );
}

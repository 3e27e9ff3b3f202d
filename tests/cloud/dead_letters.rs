//! This test sends a batch of messages to a queue, and one of the messages is unreadable. Only this message
//! becomes a dead letter. The command line lists the dead letter and can return it to its queue. Unreadable messages in the queues
//! of notifications become dead letters too.

use std::process::Command;

use infra::clock::{Rng as _, SystemRng};
use infra::commit::hex;
use infra::queue::sqs::SqsMessage;
use tests::process::program;

use crate::TestDesk;
use crate::desk::until;

fn parked(more: &[&str]) -> String {
    let output = Command::new(program())
        .args(["audit", "parked", "--cloud"])
        .args(more)
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn only_the_unreadable_message_of_a_batch_is_parked_and_redriven() {
    let desk = TestDesk::open().await;
    let mut bytes = [0; 8];
    SystemRng.fill(&mut bytes);
    let unreadable = format!("unreadable-{}", hex(&bytes));
    let client = aws_sdk_sqs::Client::new(&desk.cloud.config);
    let url = url_of(&client, &desk, "callback").await;
    // The batch contains nine readable messages and one unreadable message. Each readable message requests a
    // callback for a ticket that does not exist, so the callback fails.
    let good: Vec<String> = (0..9)
        .map(|number| format!("{unreadable}-good-{number}"))
        .collect();
    let intent = domain::intent::Intent::SendCallback {
        ticket: "REQ19990101000001".into(),
        cause: "ticket-REQ19990101000001:1".into(),
        app: None,
        callback: events::ticket::CallbackTarget {
            host: "h".into(),
            secret: "callback/none".into(),
            on_status: false,
        },
        correlation: "c".into(),
    };
    let sample = serde_json::to_value(domain::intent::Work::Intent(intent)).expect("JSON");
    let messages: Vec<SqsMessage> = good
        .iter()
        .map(|id| SqsMessage {
            id: id.clone(),
            due: 0,
            body: sample.to_string(),
            reason: None,
        })
        .chain([SqsMessage {
            id: unreadable.clone(),
            due: 0,
            body: "not an intent".into(),
            reason: None,
        }])
        .collect();
    let entries = messages.iter().enumerate().map(|(at, message)| {
        let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder()
            .id(at.to_string())
            .message_body(serde_json::to_string(message).expect("JSON"));
        entry.build().expect("an entry")
    });
    let sent = client
        .send_message_batch()
        .queue_url(url)
        .set_entries(Some(entries.collect()))
        .send()
        .await
        .expect("sent");
    assert_eq!(sent.successful().len(), 10);

    for id in &good {
        let stream = format!("callback-{id}");
        until(&stream, async || {
            (desk.app.ledger.store.next(&stream).await.expect("next") > 1).then_some(())
        })
        .await;
    }
    let listed = until(
        "the unreadable message among the dead letters",
        async || Some(parked(&[])).filter(|listed| listed.contains(&unreadable)),
    )
    .await;
    assert!(
        good.iter().all(|id| !listed.contains(id.as_str())),
        "{listed}"
    );
    assert!(
        listed.contains("0 streams and 1 messages are parked"),
        "{listed}"
    );

    let redriven = parked(&["--redrive"]);
    assert!(
        redriven.contains(&format!("queue callback message {unreadable}"))
            && redriven.contains("brought back"),
        "{redriven}"
    );
    assert!(
        parked(&[]).contains("and 0 messages are parked"),
        "the message is in its queue again"
    );
    // The message becomes a dead letter again. The second dead letter shows that the function received the
    // returned message.
    until(
        "the unreadable message among the dead letters again",
        async || Some(parked(&[])).filter(|listed| listed.contains(&unreadable)),
    )
    .await;
    empty(&client, &desk, "callback-dead").await;

    // The queues of notifications and of their messages to people have dead letters too. Both messages are parked at the same
    // time, so the test waits only once for all deliveries.
    let ids = ["notify", "send"].map(|queue| (queue, format!("{unreadable}-{queue}")));
    for (queue, id) in &ids {
        let message = SqsMessage {
            id: id.clone(),
            due: 0,
            body: "not an intent".into(),
            reason: None,
        };
        client
            .send_message()
            .queue_url(url_of(&client, &desk, queue).await)
            .message_body(serde_json::to_string(&message).expect("JSON"))
            .send()
            .await
            .expect("sent");
    }
    let look = || {
        let listed = parked(&[]);
        let is_listed = |(_, id): &(&str, String)| listed.contains(id.as_str());
        ids.iter().all(is_listed).then_some(())
    };
    until("both messages are dead letters", async || look()).await;
    let redriven = parked(&["--redrive"]);
    for (queue, id) in &ids {
        assert!(
            redriven.contains(&format!("queue {queue} message {id}")),
            "{redriven}"
        );
    }
    until("both messages are dead letters again", async || look()).await;
    for (queue, _) in &ids {
        empty(&client, &desk, &format!("{queue}-dead")).await;
    }
}

async fn url_of(client: &aws_sdk_sqs::Client, desk: &TestDesk, queue: &str) -> String {
    let found = client
        .get_queue_url()
        .queue_name(desk.cloud.names.queue(queue));
    let found = found.send().await.expect("the queue");
    found.queue_url.expect("a URL")
}

async fn empty(client: &aws_sdk_sqs::Client, desk: &TestDesk, queue: &str) {
    let purge = client
        .purge_queue()
        .queue_url(url_of(client, desk, queue).await);
    purge.send().await.expect("emptied");
}

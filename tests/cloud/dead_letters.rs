//! A message that cannot be worked on goes to the dead letters alone; the command line lists it and brings it back.

use std::process::Command;

use infra::clock::{Chance as _, SystemChance};
use infra::queue::sqs::Letter;
use infra::store::commit::hex;
use tests::process::program;

use crate::House;
use crate::house::until;

fn parked(more: &[&str]) -> String {
    let output = Command::new(program()).args(["audit", "parked", "--cloud"]).args(more).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn of_a_batch_the_poison_alone_is_set_aside_listed_and_brought_back() {
    let house = House::open().await;
    let mut bytes = [0; 8];
    SystemChance.fill(&mut bytes);
    let poison = format!("poison-{}", hex(&bytes));
    let client = aws_sdk_sqs::Client::new(&house.cloud.config);
    let url = client.get_queue_url().queue_name(house.cloud.names.queue("deliver")).send().await.expect("the queue").queue_url.expect("a URL");
    // Nine good messages and a poisoned one in one batch: each good one asks for a callback of a ticket that does not exist, which is given up.
    let good: Vec<String> = (0..9).map(|number| format!("{poison}-good-{number}")).collect();
    let sample = serde_json::to_value(domain::intent::Intent::Deliver {
        ticket: "REQ19990101000001".into(),
        cause: "ticket-REQ19990101000001:1".into(),
        app: None,
        callback: events::ticket::Callback { host: "h".into(), secret: "callback/none".into(), on_status: false },
        correlation: "c".into(),
    })
    .expect("JSON");
    let letters: Vec<Letter> = good
        .iter()
        .map(|id| Letter { id: id.clone(), due: 0, body: sample.to_string(), reason: None })
        .chain([Letter { id: poison.clone(), due: 0, body: "not an intent".into(), reason: None }])
        .collect();
    let entries = letters.iter().enumerate().map(|(at, letter)| {
        let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(serde_json::to_string(letter).expect("JSON"));
        entry.build().expect("an entry")
    });
    let sent = client.send_message_batch().queue_url(url).set_entries(Some(entries.collect())).send().await.expect("sent");
    assert_eq!(sent.successful().len(), 10);

    for id in &good {
        let stream = format!("delivery-{id}");
        until(&stream, async || (house.app.ledger.store.next(&stream).await.expect("next") > 1).then_some(())).await;
    }
    let listed = until("the poison among the dead letters", async || Some(parked(&[])).filter(|listed| listed.contains(&poison))).await;
    assert!(good.iter().all(|id| !listed.contains(id.as_str())), "{listed}");
    assert!(listed.contains("0 streams and 1 messages are parked"), "{listed}");

    let brought = parked(&["--redrive"]);
    assert!(brought.contains(&format!("queue deliver message {poison}")) && brought.contains("brought back"), "{brought}");
    assert!(parked(&[]).contains("and 0 messages are parked"), "it is in its queue again");
    // It is still poison, so that it comes to lie among the dead letters once more: it really went through the function again.
    until("the poison among the dead letters again", async || Some(parked(&[])).filter(|listed| listed.contains(&poison))).await;
    let dead = client.get_queue_url().queue_name(house.cloud.names.queue("deliver-dead")).send().await.expect("the queue").queue_url.expect("a URL");
    client.purge_queue().queue_url(dead).send().await.expect("emptied");
}

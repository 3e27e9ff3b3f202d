//! Queues on SQS, standard ones, each with a queue of dead letters beside it (`<queue>-dead`).
//!
//! A message is one JSON object `{"id", "due", "body"}`, and `"reason"` where it was parked with one. Delays beyond SQS's 15 minutes are made of several.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use events::Moment;
use serde::{Deserialize, Serialize};

use super::{Message, Parked, Queue};
use crate::Error;
use crate::aws::{Names, failed};
use crate::clock::Clock;

/// Longest delay of a message, in seconds (SQS limit).
const DELAY_MAX_S: i64 = 900;
/// Longest time a message may be away, in seconds: SQS's limit of twelve hours counts from its receipt.
const AWAY_MAX_S: i64 = 43_000;
/// Messages in one answer (SQS limit).
const AT_ONCE: usize = 10;
/// How long letters that are being looked at are away from others who look.
const LOOK_S: i32 = 60;
/// Looks at a queue of dead letters before it counts as empty: SQS samples its servers.
const LOOKS: u32 = 3;
/// Looks for one letter that is to be brought back; others may be looking at it.
const SEARCHES: u32 = 40;

/// The queues of one desk.
pub struct Sqs {
    client: aws_sdk_sqs::Client,
    names: Names,
    clock: Arc<dyn Clock>,
    urls: Mutex<HashMap<String, String>>,
}

/// A message as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub id: String,
    /// Not to be worked on before, in milliseconds.
    pub due: i64,
    pub body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Letter {
    /// Reads a message's text; one that is none of ours is its own body.
    pub fn read(id: &str, text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { id: id.to_owned(), due: 0, body: text.to_owned(), reason: None })
    }
}

impl Sqs {
    pub fn new(config: &SdkConfig, names: Names, clock: Arc<dyn Clock>) -> Self {
        Self { client: aws_sdk_sqs::Client::new(config), names, clock, urls: Mutex::default() }
    }

    async fn url(&self, queue: &str) -> Result<String, Error> {
        let name = self.names.queue(queue);
        if let Some(url) = self.urls.lock().expect("no holder panics").get(&name) {
            return Ok(url.clone());
        }
        let found = self.client.get_queue_url().queue_name(&name).send().await.map_err(|error| failed(&format!("find queue {name}"), error))?;
        let url = found.queue_url().unwrap_or_default().to_owned();
        self.urls.lock().expect("no holder panics").insert(name, url.clone());
        Ok(url)
    }

    async fn send(&self, queue: &str, letter: &Letter, delay_s: i64) -> Result<(), Error> {
        let text = serde_json::to_string(letter).map_err(|error| Error::because(crate::Kind::Corrupt, "cannot write a message", error))?;
        let delay = i32::try_from(delay_s.clamp(0, DELAY_MAX_S)).unwrap_or_default();
        let sent = self.client.send_message().queue_url(self.url(queue).await?).message_body(text).delay_seconds(delay).send().await;
        sent.map(drop).map_err(|error| failed(&format!("send a message to {}", self.names.queue(queue)), error))
    }

    async fn receive(&self, queue: &str, away_s: i32, limit: usize) -> Result<Vec<(Letter, u32, String)>, Error> {
        let received = self
            .client
            .receive_message()
            .queue_url(self.url(queue).await?)
            .max_number_of_messages(i32::try_from(limit.clamp(1, AT_ONCE)).unwrap_or(1))
            .visibility_timeout(away_s)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| failed(&format!("receive from {}", self.names.queue(queue)), error))?;
        let letter = |message: &aws_sdk_sqs::types::Message| {
            let count = message.attributes().and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok());
            let letter = Letter::read(message.message_id().unwrap_or_default(), message.body().unwrap_or_default());
            (letter, count.unwrap_or(1), message.receipt_handle().unwrap_or_default().to_owned())
        };
        Ok(received.messages().iter().map(letter).collect())
    }

    async fn away(&self, queue: &str, receipt: &str, seconds: i64) -> Result<(), Error> {
        let seconds = i32::try_from(seconds.clamp(0, AWAY_MAX_S)).unwrap_or_default();
        let changed =
            self.client.change_message_visibility().queue_url(self.url(queue).await?).receipt_handle(receipt).visibility_timeout(seconds).send().await;
        changed.map(drop).map_err(|error| failed(&format!("put off a message of {}", self.names.queue(queue)), error))
    }

    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), Error> {
        let deleted = self.client.delete_message().queue_url(self.url(queue).await?).receipt_handle(receipt).send().await;
        deleted.map(drop).map_err(|error| failed(&format!("delete a message of {}", self.names.queue(queue)), error))
    }

    /// Lets others see a dead letter that was looked at; if that fails, they see it a minute later.
    async fn show(&self, queue: &str, receipt: &str) {
        if let Err(error) = self.away(&dead(queue), receipt, 0).await {
            tracing::warn!(%error, "a dead letter stays hidden for a while");
        }
    }

    fn seconds_until(&self, due: Moment) -> i64 {
        (due.0 - self.clock.now().0 + 999).div_euclid(1000)
    }
}

/// The queue of dead letters of a queue.
pub fn dead(queue: &str) -> String {
    format!("{queue}-dead")
}

#[async_trait]
impl Queue for Sqs {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        let body = String::from_utf8(body.to_vec()).map_err(|_| Error::corrupt(format!("message {id} for {queue} is not text")))?;
        self.send(queue, &Letter { id: id.to_owned(), due: due.0, body, reason: None }, self.seconds_until(due)).await
    }

    async fn take(&self, queue: &str, now: Moment, until: Moment, limit: usize) -> Result<Vec<Message>, Error> {
        let away_s = i32::try_from(((until.0 - now.0) / 1000).clamp(1, AWAY_MAX_S)).unwrap_or(1);
        let mut messages = Vec::new();
        for (letter, attempts, receipt) in self.receive(queue, away_s, limit).await? {
            if letter.due > now.0 {
                self.away(queue, &receipt, self.seconds_until(Moment(letter.due))).await?;
            } else {
                messages.push(Message { id: letter.id, body: letter.body.into_bytes(), attempts, broken_off: attempts, receipt });
            }
        }
        Ok(messages)
    }

    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        self.delete(queue, &message.receipt).await
    }

    async fn put_off(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        self.away(queue, &message.receipt, self.seconds_until(due)).await
    }

    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        self.send(&dead(queue), &Letter { id: message.id.clone(), due: 0, body, reason: Some(reason.to_owned()) }, 0).await?;
        self.done(queue, message).await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        let mut parked = Vec::new();
        for queue in super::QUEUES {
            let (mut seen, mut empty) = (Vec::new(), 0);
            while parked.len() < limit && empty < LOOKS {
                let letters = self.receive(&dead(queue), LOOK_S, AT_ONCE).await?;
                empty = if letters.is_empty() { empty + 1 } else { 0 };
                for (letter, attempts, receipt) in letters {
                    let reason =
                        letter.reason.unwrap_or_else(|| format!("failed too often (looked at {attempts} times since); the log of function {queue} says why"));
                    parked.push(Parked { queue: queue.to_owned(), id: letter.id, reason });
                    seen.push(receipt);
                }
            }
            for receipt in seen {
                self.show(queue, &receipt).await;
            }
        }
        parked.truncate(limit);
        Ok(parked)
    }

    /// Receives, sends, deletes: the letter is in both queues for an instant rather than in none.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        for _ in 0..SEARCHES {
            let letters = self.receive(&dead(queue), LOOK_S, AT_ONCE).await?;
            let idle = letters.is_empty();
            let mut found = false;
            for (letter, _, receipt) in letters {
                if letter.id == id && !found {
                    found = true;
                    self.send(queue, &Letter { due: due.0, reason: None, ..letter }, self.seconds_until(due)).await?;
                    self.delete(&dead(queue), &receipt).await?;
                } else {
                    self.show(queue, &receipt).await;
                }
            }
            if found {
                return Ok(());
            }
            if idle {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        Err(Error::new(crate::Kind::Unavailable, format!("message {id} was not found among the dead letters of {queue}; somebody else may be looking at it")))
    }

    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let asked = self.client.get_queue_attributes().queue_url(self.url(queue).await?).set_attribute_names(Some(names.to_vec())).send().await;
        let asked = asked.map_err(|error| failed(&format!("count messages of {}", self.names.queue(queue)), error))?;
        let count = |name| asked.attributes()?.get(name)?.parse::<u64>().ok();
        Ok(names.iter().filter_map(count).sum())
    }
}

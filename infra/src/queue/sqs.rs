//! Implements the work queues on Amazon SQS. Each queue is a standard queue. Each queue has a
//! dead-letter queue with the name `<queue>-dead`.
//!
//! A message is one JSON object `{"id", "due", "body"}`. A message in the dead-letter queue can
//! also contain the member `"reason"`. SQS can delay a message by at most 15 minutes, so a longer
//! delay consists of several delays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::operation::delete_message::DeleteMessageError;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use events::Moment;
use serde::{Deserialize, Serialize};

use super::{Message, Parked, Queue};
use crate::Error;
use crate::clock::Clock;
use crate::sdk::{Names, failed};

/// Maximum delay of a message in seconds (a limit of SQS).
const DELAY_MAX_S: i64 = 900;
/// Maximum visibility timeout of a received message in seconds. SQS allows at most twelve hours
/// after the message was received.
const VISIBILITY_MAX_S: i64 = 43_000;
/// Maximum number of messages per receive request (a limit of SQS).
const RECEIVE_MAX: usize = 10;
/// Time in seconds for which a message of a dead-letter queue is invisible to other readers after
/// the desk has received this message. The desk receives such messages to list them or to move them
/// back to their queue.
const LIST_VISIBILITY_S: i32 = 60;
/// After this number of consecutive empty receive requests, a dead-letter queue is treated as
/// empty. One empty response is not enough, because SQS queries only some of its servers.
const EMPTY_RECEIVES: u32 = 3;
/// Pause between two receive requests while a queue is empty.
const POLL: std::time::Duration = std::time::Duration::from_secs(1);
/// Maximum number of receive requests in the search for one message of a dead-letter queue. Another
/// reader can make the message invisible for some time. Several requests can therefore be
/// necessary.
const FIND_RECEIVES_MAX: u32 = 40;

/// The SQS queues of one desk.
pub struct Sqs {
    client: aws_sdk_sqs::Client,
    names: Names,
    queues: Vec<&'static str>,
    clock: Arc<dyn Clock>,
    urls: Mutex<HashMap<String, String>>,
}

/// The JSON format of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqsMessage {
    pub id: String,
    /// The message must not be processed before this time (milliseconds since 1970, UTC).
    pub due: i64,
    pub body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl SqsMessage {
    /// Parses the text of a message. A text in another format becomes the body of a message with
    /// the id `id`.
    pub fn read(id: &str, text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            id: id.to_owned(),
            due: 0,
            body: text.to_owned(),
            reason: None,
        })
    }
}

impl Sqs {
    /// Creates a client for the given queues. Sends no request.
    pub fn new(
        config: &SdkConfig,
        names: Names,
        queues: &[&'static str],
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client: aws_sdk_sqs::Client::new(config),
            names,
            queues: queues.to_vec(),
            clock,
            urls: Mutex::default(),
        }
    }

    async fn url(&self, queue: &str) -> Result<String, Error> {
        let name = self.names.queue(queue);
        if let Some(url) = self.urls.lock().expect("no holder panics").get(&name) {
            return Ok(url.clone());
        }
        let found = self
            .client
            .get_queue_url()
            .queue_name(&name)
            .send()
            .await
            .map_err(|error| failed(&format!("find queue {name}"), error))?;
        let url = found.queue_url().unwrap_or_default().to_owned();
        self.urls
            .lock()
            .expect("no holder panics")
            .insert(name, url.clone());
        Ok(url)
    }

    async fn send(&self, queue: &str, message: &SqsMessage, delay_s: i64) -> Result<(), Error> {
        let text = serde_json::to_string(message).map_err(|error| {
            Error::because(crate::Kind::Corrupt, "cannot write a message", error)
        })?;
        let delay = i32::try_from(delay_s.clamp(0, DELAY_MAX_S)).unwrap_or_default();
        let sent = self
            .client
            .send_message()
            .queue_url(self.url(queue).await?)
            .message_body(text)
            .delay_seconds(delay)
            .send()
            .await;
        sent.map(drop).map_err(|error| {
            failed(
                &format!("send a message to {}", self.names.queue(queue)),
                error,
            )
        })
    }

    async fn receive(
        &self,
        queue: &str,
        visibility_s: i32,
        limit: usize,
    ) -> Result<Vec<(SqsMessage, u32, String)>, Error> {
        let received = self
            .client
            .receive_message()
            .queue_url(self.url(queue).await?)
            .max_number_of_messages(i32::try_from(limit.clamp(1, RECEIVE_MAX)).unwrap_or(1))
            .visibility_timeout(visibility_s)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| failed(&format!("receive from {}", self.names.queue(queue)), error))?;
        let parsed = |message: &aws_sdk_sqs::types::Message| {
            let count = message.attributes().and_then(|attributes| {
                attributes
                    .get(&MessageSystemAttributeName::ApproximateReceiveCount)?
                    .parse()
                    .ok()
            });
            let parsed = SqsMessage::read(
                message.message_id().unwrap_or_default(),
                message.body().unwrap_or_default(),
            );
            (
                parsed,
                count.unwrap_or(1),
                message.receipt_handle().unwrap_or_default().to_owned(),
            )
        };
        Ok(received.messages().iter().map(parsed).collect())
    }

    async fn set_visibility(&self, queue: &str, receipt: &str, seconds: i64) -> Result<(), Error> {
        let seconds = i32::try_from(seconds.clamp(0, VISIBILITY_MAX_S)).unwrap_or_default();
        let changed = self
            .client
            .change_message_visibility()
            .queue_url(self.url(queue).await?)
            .receipt_handle(receipt)
            .visibility_timeout(seconds)
            .send()
            .await;
        changed.map(drop).map_err(|error| {
            failed(
                &format!(
                    "change the visibility of a message of {}",
                    self.names.queue(queue)
                ),
                error,
            )
        })
    }

    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), Error> {
        let deleted = self
            .client
            .delete_message()
            .queue_url(self.url(queue).await?)
            .receipt_handle(receipt)
            .send()
            .await;
        match deleted {
            Ok(_) => Ok(()),
            // SQS accepts the second deletion of a message. Stand-ins for SQS reject it. The client repeats a
            // deletion if the response to the first one was lost.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteMessageError::is_receipt_handle_is_invalid) =>
            {
                tracing::warn!(
                    queue,
                    "a message was already deleted, or has another receipt"
                );
                Ok(())
            }
            Err(error) => {
                let what = format!("delete a message of {}", self.names.queue(queue));
                Err(failed(&what, error))
            }
        }
    }

    /// Makes a received message of a dead-letter queue visible again, so that other readers can
    /// receive the message. If this request fails, the message becomes visible after one minute.
    async fn show(&self, queue: &str, receipt: &str) {
        if let Err(error) = self.set_visibility(&dead(queue), receipt, 0).await {
            tracing::warn!(%error, "cannot make a dead letter visible; it stays hidden for a minute");
        }
    }

    fn seconds_until(&self, due: Moment) -> i64 {
        (due.0 - self.clock.now().0 + 999).div_euclid(1000)
    }
}

/// Returns the name of the dead-letter queue that belongs to a queue.
pub fn dead(queue: &str) -> String {
    format!("{queue}-dead")
}

#[async_trait]
impl Queue for Sqs {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        let body = String::from_utf8(body.to_vec())
            .map_err(|_| Error::corrupt(format!("message {id} for {queue} is not text")))?;
        self.send(
            queue,
            &SqsMessage {
                id: id.to_owned(),
                due: due.0,
                body,
                reason: None,
            },
            self.seconds_until(due),
        )
        .await
    }

    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let visibility_s =
            i32::try_from(((until.0 - now.0) / 1000).clamp(1, VISIBILITY_MAX_S)).unwrap_or(1);
        let mut messages = Vec::new();
        for (message, attempts, receipt) in self.receive(queue, visibility_s, limit).await? {
            if message.due > now.0 {
                self.set_visibility(queue, &receipt, self.seconds_until(Moment(message.due)))
                    .await?;
            } else {
                messages.push(Message {
                    id: message.id,
                    body: message.body.into_bytes(),
                    attempts,
                    abandoned: attempts,
                    receipt,
                });
            }
        }
        Ok(messages)
    }

    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        self.delete(queue, &message.receipt).await
    }

    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        self.set_visibility(queue, &message.receipt, self.seconds_until(due))
            .await
    }

    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        self.send(
            &dead(queue),
            &SqsMessage {
                id: message.id.clone(),
                due: 0,
                body,
                reason: Some(reason.to_owned()),
            },
            0,
        )
        .await?;
        self.done(queue, message).await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        let mut parked = Vec::new();
        for &queue in &self.queues {
            let (mut seen, mut empty) = (Vec::new(), 0);
            while parked.len() < limit && empty < EMPTY_RECEIVES {
                let dead_letters = self
                    .receive(&dead(queue), LIST_VISIBILITY_S, RECEIVE_MAX)
                    .await?;
                empty = if dead_letters.is_empty() {
                    empty + 1
                } else {
                    0
                };
                for (dead_letter, attempts, receipt) in dead_letters {
                    let reason =
                        dead_letter.reason.unwrap_or_else(|| format!("failed too often (listed {attempts} times since); see the log of function {queue}"));
                    parked.push(Parked {
                        queue: queue.to_owned(),
                        id: dead_letter.id,
                        reason,
                    });
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

    /// Moves a message from the dead-letter queue back to its queue. The function first sends the
    /// message to its queue, and then deletes the message from the dead-letter queue. A crash
    /// between the two steps can duplicate the message, but cannot lose it.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        for _ in 0..FIND_RECEIVES_MAX {
            let dead_letters = self
                .receive(&dead(queue), LIST_VISIBILITY_S, RECEIVE_MAX)
                .await?;
            let is_empty = dead_letters.is_empty();
            let mut found = false;
            for (dead_letter, _, receipt) in dead_letters {
                if dead_letter.id == id && !found {
                    found = true;
                    self.send(
                        queue,
                        &SqsMessage {
                            due: due.0,
                            reason: None,
                            ..dead_letter
                        },
                        self.seconds_until(due),
                    )
                    .await?;
                    self.delete(&dead(queue), &receipt).await?;
                } else {
                    self.show(queue, &receipt).await;
                }
            }
            if found {
                return Ok(());
            }
            if is_empty {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        Err(Error::new(
            crate::Kind::Unavailable,
            format!(
                "message {id} is not in the dead-letter queue of {queue}, or another reader hides it; repeat after a minute"
            ),
        ))
    }

    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(self.url(queue).await?)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await;
        let attributes = attributes.map_err(|error| {
            failed(
                &format!("count messages of {}", self.names.queue(queue)),
                error,
            )
        })?;
        let count = |name| attributes.attributes()?.get(name)?.parse::<u64>().ok();
        Ok(names.iter().filter_map(count).sum())
    }
    /// Always returns `None`, because SQS does not provide due times. Workers in the cloud do not
    /// need this time, because SQS starts the function that handles a message.
    async fn next_due(&self, _queue: &str) -> Result<Option<Moment>, Error> {
        Ok(None)
    }
    async fn arrival(&self, _queue: &str) {
        tokio::time::sleep(POLL).await;
    }
}

//! Implements the work queues in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use events::Moment;

use super::{Arrivals, Message, Parked, Queue};
use crate::Error;

/// The messages of all queues, by queue name and message id.
#[derive(Debug, Default)]
pub struct Memory {
    items: Mutex<BTreeMap<(String, String), Item>>,
    arrivals: Arrivals,
}

#[derive(Debug, Clone)]
struct Item {
    body: Vec<u8>,
    due: Moment,
    attempts: u32,
    abandoned: u32,
    reason: Option<String>,
}

impl Memory {
    fn change(&self, queue: &str, id: &str, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self
            .items
            .lock()
            .expect("no holder panics")
            .get_mut(&(queue.into(), id.into()))
        {
            change(item);
        }
    }
}

#[async_trait]
impl Queue for Memory {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        let mut items = self.items.lock().expect("no holder panics");
        items
            .entry((queue.into(), id.into()))
            .or_insert_with(|| Item {
                body: body.into(),
                due,
                attempts: 0,
                abandoned: 0,
                reason: None,
            });
        drop(items);
        self.arrivals.signal(queue);
        Ok(())
    }
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let mut items = self.items.lock().expect("no holder panics");
        let mut due: Vec<_> = items
            .iter_mut()
            .filter(|((name, _), item)| name == queue && item.reason.is_none() && item.due <= now)
            .collect();
        due.sort_by_key(|(_, item)| item.due);
        let take = |((_, id), item): (&(String, String), &mut Item)| {
            item.attempts += 1;
            item.abandoned += 1;
            item.due = until;
            Message {
                id: id.clone(),
                body: item.body.clone(),
                attempts: item.attempts,
                abandoned: item.abandoned,
                receipt: id.clone(),
            }
        };
        Ok(due.into_iter().take(limit).map(take).collect())
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        self.items
            .lock()
            .expect("no holder panics")
            .remove(&(queue.into(), message.id.clone()));
        Ok(())
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        self.change(queue, &message.id, |item| {
            (item.due, item.abandoned) = (due, item.abandoned.saturating_sub(1));
        });
        Ok(())
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        self.change(queue, &message.id, |item| item.reason = Some(reason.into()));
        Ok(())
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        let items = self.items.lock().expect("no holder panics");
        let parked = items.iter().filter_map(|((queue, id), item)| {
            Some(Parked {
                queue: queue.clone(),
                id: id.clone(),
                reason: item.reason.clone()?,
            })
        });
        Ok(parked.take(limit).collect())
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        self.change(queue, id, |item| {
            (item.reason, item.attempts, item.abandoned, item.due) = (None, 0, 0, due);
        });
        self.arrivals.signal(queue);
        Ok(())
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        let items = self.items.lock().expect("no holder panics");
        Ok(items
            .iter()
            .filter(|((name, _), item)| name == queue && item.reason.is_none())
            .count() as u64)
    }
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error> {
        let items = self.items.lock().expect("no holder panics");
        let waiting = items
            .iter()
            .filter(|((name, _), item)| name == queue && item.reason.is_none());
        Ok(waiting.map(|(_, item)| item.due).min())
    }
    async fn arrival(&self, queue: &str) {
        self.arrivals.wait(queue).await;
    }
}

//! Queues on SQLite, in the file of the views: a power loss returns both to the same instant.

use std::sync::Arc;

use async_trait::async_trait;
use events::Moment;
use rusqlite::{Connection, params};

use super::{Message, Parked, Queue};
use crate::Error;
use crate::sqlite::{at_most, failed};
use crate::views::sqlite::ViewsFile;

/// The queues of one file.
#[derive(Debug, Clone)]
pub struct Sqlite(pub Arc<ViewsFile>);

impl Sqlite {
    fn with<T>(
        &self,
        what: &str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        work(&mut self.0.writer()).map_err(|error| failed(what, error))
    }
}

#[async_trait]
impl Queue for Sqlite {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        self.with("put a message", |connection| {
            let sql = "INSERT OR IGNORE INTO messages (queue, id, due, attempts, abandoned, body) VALUES (?1, ?2, ?3, 0, 0, ?4)";
            connection.prepare_cached(sql)?.execute(params![queue, id, due.0, body]).map(drop)
        })
    }
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        self.with("take messages", |connection| {
            let sql = "UPDATE messages SET due = ?3, attempts = attempts + 1, abandoned = abandoned + 1 WHERE queue = ?1 AND id IN
                           (SELECT id FROM messages WHERE queue = ?1 AND due <= ?2 AND reason IS NULL ORDER BY due LIMIT ?4)
                       RETURNING id, body, attempts, abandoned";
            let mut statement = connection.prepare_cached(sql)?;
            let message = |row: &rusqlite::Row<'_>| {
                let id: String = row.get(0)?;
                Ok(Message { receipt: id.clone(), id, body: row.get(1)?, attempts: row.get(2)?, abandoned: row.get(3)? })
            };
            statement.query_map(params![queue, now.0, until.0, at_most(limit)], message)?.collect()
        })
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        self.with("finish a message", |connection| {
            connection
                .prepare_cached("DELETE FROM messages WHERE queue = ?1 AND id = ?2")?
                .execute([queue, &message.id])
                .map(drop)
        })
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        self.with("defer a message", |connection| {
            let sql = "UPDATE messages SET due = ?3, abandoned = max(abandoned - 1, 0) WHERE queue = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute(params![queue, message.id, due.0]).map(drop)
        })
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        self.with("park a message", |connection| {
            connection
                .prepare_cached("UPDATE messages SET reason = ?3 WHERE queue = ?1 AND id = ?2")?
                .execute([queue, &message.id, reason])
                .map(drop)
        })
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        self.with("list parked messages", |connection| {
            let mut statement = connection.prepare_cached("SELECT queue, id, reason FROM messages WHERE reason IS NOT NULL ORDER BY queue, id LIMIT ?1")?;
            let rows = statement.query_map([at_most(limit)], |row| Ok(Parked { queue: row.get(0)?, id: row.get(1)?, reason: row.get(2)? }))?;
            rows.collect()
        })
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        self.with("redrive a message", |connection| {
            let sql = "UPDATE messages SET reason = NULL, attempts = 0, abandoned = 0, due = ?3 WHERE queue = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute(params![queue, id, due.0]).map(drop)
        })
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        self.with("count messages", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FROM messages WHERE queue = ?1 AND reason IS NULL",
            )?;
            statement
                .query_row([queue], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
        })
    }
}

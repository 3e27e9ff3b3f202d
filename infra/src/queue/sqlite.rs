//! Implements the work queues on SQLite, in the same file as the views (documents for reading).
//! After a power loss, queues and views therefore contain the data of the same point in time.

use std::sync::Arc;

use async_trait::async_trait;
use events::Moment;
use rusqlite::{Connection, params};

use super::{Arrivals, Message, Parked, Queue};
use crate::Error;
use crate::sqlite::{WriterThread, at_most};

/// SQL statements that create the table of messages.
pub(crate) const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        queue TEXT NOT NULL, id TEXT NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL, abandoned INTEGER NOT NULL, reason TEXT, body BLOB NOT NULL, PRIMARY KEY (queue, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS messages_by_due ON messages (queue, due);
";

/// The work queues in one SQLite file. All writes run on the writer thread of the file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: Arc<WriterThread>,
    pub(crate) arrivals: Arc<Arrivals>,
}

impl Sqlite {
    /// Creates the queues in the file to which `writer` writes.
    pub(crate) fn new(writer: Arc<WriterThread>) -> Self {
        Self {
            writer,
            arrivals: Arc::default(),
        }
    }
    async fn with<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.write(what, work).await
    }
}

#[async_trait]
impl Queue for Sqlite {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        let (name, id, body) = (queue.to_owned(), id.to_owned(), body.to_vec());
        self.with("put a message", move |connection| {
            put_message(connection, &name, &id, &body, due.0)
        })
        .await?;
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
        let queue = queue.to_owned();
        self.with("take messages", move |connection| {
            let sql = "UPDATE messages SET due = ?3, attempts = attempts + 1, abandoned = abandoned + 1 WHERE queue = ?1 AND id IN
                           (SELECT id FROM messages WHERE queue = ?1 AND due <= ?2 AND reason IS NULL ORDER BY due LIMIT ?4)
                       RETURNING id, body, attempts, abandoned";
            let mut statement = connection.prepare_cached(sql)?;
            let message = |row: &rusqlite::Row<'_>| {
                let id: String = row.get(0)?;
                Ok(Message {
                    receipt: id.clone(),
                    id,
                    body: row.get(1)?,
                    attempts: row.get(2)?,
                    abandoned: row.get(3)?,
                })
            };
            statement
                .query_map(params![queue, now.0, until.0, at_most(limit)], message)?
                .collect()
        })
        .await
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        let (queue, id) = (queue.to_owned(), message.id.clone());
        self.with("finish a message", move |connection| {
            connection
                .prepare_cached("DELETE FROM messages WHERE queue = ?1 AND id = ?2")?
                .execute([&queue, &id])
                .map(drop)
        })
        .await
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        let (name, id) = (queue.to_owned(), message.id.clone());
        self.with("defer a message", move |connection| {
            let sql = "UPDATE messages SET due = ?3, abandoned = max(abandoned - 1, 0) WHERE queue = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute(params![name, id, due.0]).map(drop)
        })
        .await?;
        // The due time of the message has changed. The signal wakes the worker of the queue, so
        // that the worker reads the next due time again.
        self.arrivals.signal(queue);
        Ok(())
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        let (queue, id, reason) = (queue.to_owned(), message.id.clone(), reason.to_owned());
        self.with("park a message", move |connection| {
            connection
                .prepare_cached("UPDATE messages SET reason = ?3 WHERE queue = ?1 AND id = ?2")?
                .execute([&queue, &id, &reason])
                .map(drop)
        })
        .await
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        self.with("list parked messages", move |connection| {
            let mut statement = connection.prepare_cached("SELECT queue, id, reason FROM messages WHERE reason IS NOT NULL ORDER BY queue, id LIMIT ?1")?;
            let rows = statement.query_map([at_most(limit)], |row| Ok(Parked { queue: row.get(0)?, id: row.get(1)?, reason: row.get(2)? }))?;
            rows.collect()
        })
        .await
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        let (name, id) = (queue.to_owned(), id.to_owned());
        self.with("redrive a message", move |connection| {
            let sql = "UPDATE messages SET reason = NULL, attempts = 0, abandoned = 0, due = ?3 WHERE queue = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute(params![name, id, due.0]).map(drop)
        })
        .await?;
        self.arrivals.signal(queue);
        Ok(())
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        let queue = queue.to_owned();
        self.with("count messages", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FROM messages WHERE queue = ?1 AND reason IS NULL",
            )?;
            statement
                .query_row([&queue], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
        })
        .await
    }
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error> {
        let queue = queue.to_owned();
        self.with("read the next due time", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT min(due) FROM messages WHERE queue = ?1 AND reason IS NULL",
            )?;
            statement.query_row([&queue], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.map(Moment))
            })
        })
        .await
    }
    async fn arrival(&self, queue: &str) {
        self.arrivals.wait(queue).await;
    }
}

/// Makes all messages available that a worker took and did not finish, defer or park. Messages with
/// more than `abandoned_max` deliveries without a result do not change.
///
/// A deferred message also becomes available if one of its earlier deliveries had no result. The
/// worker then defers it again.
pub(crate) fn release(connection: &Connection, abandoned_max: u32) -> rusqlite::Result<()> {
    let sql = "UPDATE messages SET due = 0 WHERE reason IS NULL AND abandoned BETWEEN 1 AND ?1";
    connection.execute(sql, [abandoned_max]).map(drop)
}

/// Adds a message to a queue. If the queue already contains a message with the same id, the
/// function changes nothing.
pub(crate) fn put_message(
    connection: &Connection,
    queue: &str,
    id: &str,
    body: &[u8],
    due: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO messages (queue, id, due, attempts, abandoned, body) VALUES (?1, ?2, ?3, 0, 0, ?4)")?
        .execute(params![queue, id, due, body])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_releases_messages_of_the_last_process_a_few_times() {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(CREATE).expect("a table");
        let add = |id: &str, abandoned: u32, reason: Option<&str>| {
            put_message(&connection, "q", id, b"", 60_000).expect("put");
            let sql = "UPDATE messages SET abandoned = ?2, reason = ?3 WHERE id = ?1";
            connection
                .execute(sql, params![id, abandoned, reason])
                .expect("changed");
        };
        add("new", 0, None);
        add("taken", 1, None);
        add("taken often", 3, None);
        add("ends the process", 4, None);
        add("parked", 1, Some("unreadable"));
        release(&connection, 3).expect("released");
        let mut statement = connection
            .prepare("SELECT id FROM messages WHERE due = 0 ORDER BY id")
            .expect("a query");
        let ids = statement
            .query_map([], |row| row.get::<_, String>(0))
            .expect("rows");
        let ids: Vec<String> = ids.map(|id| id.expect("an id")).collect();
        assert_eq!(ids, ["taken", "taken often"]);
    }
}

//! Creates the numbers of tickets and of notifications. Each process reserves a block of many numbers
//! at once. Most new tickets and notifications therefore need no write to the number sequence that all
//! processes share.

use std::collections::HashMap;
use std::ops::Range;

use domain::number_sequence;
use events::{Meta, Moment};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError, Kind, Ledger, Outcome};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::sync::Mutex;

/// Number of numbers in one block. A process reserves a whole block at once. After a restart, the
/// unused numbers of the block are lost. Each prefix has 999,999 numbers per day.
const BLOCK: i64 = 200;

/// Maximum number of attempts to reserve a block of numbers before the last attempt. An
/// attempt fails if another process reserves a block at the same time. A pause of random length
/// follows each failed attempt. After these attempts, one last attempt follows.
const CROWD_MAX: u32 = 20;

/// The difference of two days in the form `YYYYMMDD` that are one year apart.
const YEAR: i64 = 10_000;

/// The prefix of the numbers of notifications. The names of their number sequences contain it.
const NOTIFICATIONS: &str = "notif";

/// The blocks of numbers that this process has reserved.
pub struct Numbers {
    ledger: Ledger,
    /// The blocks for tickets.
    tickets: Blocks,
    /// The blocks for notifications. A new ticket does not wait while a block for notifications is reserved.
    notifications: Blocks,
}

/// The unused numbers of the reserved blocks. Each prefix and each day has its own block.
type Blocks = Mutex<HashMap<(&'static str, i64), Range<i64>>>;

impl Numbers {
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            tickets: Mutex::default(),
            notifications: Mutex::default(),
        }
    }

    /// Executes the command that reserves a block of numbers, and returns its result. If
    /// another process reserves a block at the same time, this function tries again after a random
    /// pause. Such conflicts occur, for example, at midnight, when many processes need a new block.
    async fn issue(
        &self,
        command_envelope: &CommandEnvelope,
    ) -> Result<
        Outcome<number_sequence::NumberSequence>,
        ExecuteError<number_sequence::NumberSequence>,
    > {
        for _ in 0..CROWD_MAX {
            match self
                .ledger
                .execute(
                    command_envelope,
                    &number_sequence::Command::Issue { size: BLOCK },
                    &NoContext,
                )
                .await
            {
                Err(ExecuteError::Technical(error)) if error.kind == Kind::Conflict => {
                    let mut byte = [0];
                    self.ledger.rng.fill(&mut byte);
                    tokio::time::sleep(std::time::Duration::from_millis(byte[0].into())).await;
                }
                issued => return issued,
            }
        }
        self.ledger
            .execute(
                command_envelope,
                &number_sequence::Command::Issue { size: BLOCK },
                &NoContext,
            )
            .await
    }

    /// Returns the number of a new notification whose event happened at the time `at`. The parameter
    /// `zone` is the time zone of the desk, which determines the day. Returns `None` if all numbers of
    /// this day are used up, because a notification also works without a number.
    pub async fn of_notification(
        &self,
        at: Moment,
        zone: &TimeZone,
        meta: &Meta,
    ) -> Result<Option<i64>, Error> {
        let day = Timestamp::from_millisecond(at.0)
            .unwrap_or_default()
            .to_zoned_datetime(zone.clone())
            .date();
        let issued = self.next_in(&self.notifications, NOTIFICATIONS, day, meta);
        match issued.await {
            Ok(number) => Ok(Some(number)),
            Err(ExecuteError::Rejected(number_sequence::Rejection::UsedUp)) => Ok(None),
            Err(ExecuteError::Technical(error)) => Err(error),
        }
    }

    /// Returns the next number of a ticket for a prefix and a day. The prefix is the first letters of
    /// the ticket numbers. The parameter `day` is a day in the time zone of the desk.
    pub async fn next(
        &self,
        prefix: &'static str,
        day: Date,
        meta: &Meta,
    ) -> Result<i64, ExecuteError<number_sequence::NumberSequence>> {
        self.next_in(&self.tickets, prefix, day, meta).await
    }

    async fn next_in(
        &self,
        blocks: &Blocks,
        prefix: &'static str,
        day: Date,
        meta: &Meta,
    ) -> Result<i64, ExecuteError<number_sequence::NumberSequence>> {
        let date = date_number(day);
        let mut blocks = blocks.lock().await;
        // A process that works on old events needs blocks of several days in turn. The blocks of
        // about one year remain, so that the map stays small and no block is dropped too early.
        blocks.retain(|(_, other), _| *other >= date - YEAR);
        let block = blocks.entry((prefix, date)).or_default();
        if block.is_empty() {
            let stream = format!("number_sequence-{prefix}{date:08}");
            let meta = Meta::system(meta.correlation.clone(), meta.causation.clone());
            let command_envelope = CommandEnvelope {
                stream,
                command_id: self.ledger.fresh_id(),
                meta,
            };
            let issued = self.issue(&command_envelope).await?;
            if let Some(events::number_sequence::NumberSequenceEvent::BlockIssued(issued)) =
                issued.events.first()
            {
                *block = issued.from..issued.to + 1;
            }
        }
        Ok(block
            .next()
            .expect("a block that was just issued is not empty"))
    }
}

/// Returns a day as a number in the form `YYYYMMDD`.
pub fn date_number(day: Date) -> i64 {
    i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day())
}

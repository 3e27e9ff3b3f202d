//! Creates ticket numbers. Each process reserves a block of many numbers at once. Most new tickets
//! therefore need no write to the number sequence that all processes share.

use std::collections::HashMap;
use std::ops::Range;

use domain::number_sequence;
use events::ticket::ServiceKind;
use events::{Meta, TicketSn};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, ExecuteError, Kind, Ledger, Outcome};
use jiff::civil::Date;
use tokio::sync::Mutex;

/// Number of ticket numbers in one block. A process reserves a whole block at once. After a
/// restart, the unused numbers of the block are lost. Each service kind has 999,999 numbers per
/// day.
const BLOCK: i64 = 200;

/// Maximum number of attempts to reserve a block of ticket numbers before the last attempt. An
/// attempt fails if another process reserves a block at the same time. A pause of random length
/// follows each failed attempt. After these attempts, one last attempt follows.
const CROWD_MAX: u32 = 20;

/// The blocks of ticket numbers that this process has reserved.
pub struct Numbers {
    ledger: Ledger,
    /// The unused ticket numbers in the current block. Each service kind and each day has its own
    /// block.
    blocks: Mutex<HashMap<(ServiceKind, i64), Range<i64>>>,
}

impl Numbers {
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            blocks: Mutex::default(),
        }
    }

    /// Executes the command that reserves a block of ticket numbers, and returns its result. If
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

    /// Returns the next ticket number for a service kind and a day, and the numeric ticket id. The
    /// parameter `day` is the current day in the time zone of the desk.
    pub async fn next(
        &self,
        kind: ServiceKind,
        day: Date,
        meta: &Meta,
    ) -> Result<(TicketSn, i64), ExecuteError<number_sequence::NumberSequence>> {
        let date =
            i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day());
        let mut blocks = self.blocks.lock().await;
        // New tickets use only the block of the current day. Blocks of earlier days are therefore
        // removed, but the block of the previous day may remain.
        blocks.retain(|(_, other), _| *other >= date - 1);
        let block = blocks.entry((kind, date)).or_default();
        if block.is_empty() {
            let stream = format!("number_sequence-{}{date:08}", kind.prefix());
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
        let counter = block
            .next()
            .expect("a block that was just issued is not empty");
        Ok(number_sequence::number(kind, date, counter))
    }
}

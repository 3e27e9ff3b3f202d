//! Implements the aggregate that reserves numbers for the tickets of one service type, or for the notifications, of
//! one day. Each running desk reserves a block of numbers, so that two desks never use the same number. Some numbers of
//! a block can remain unused.

use events::TicketSn;
use events::number_sequence::{BlockIssued, NumberSequenceEvent};
use events::ticket::ServiceKind;
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Maximum value of the counter in a ticket number. The counter has six digits and starts again each day.
pub const COUNTER_MAX: i64 = 999_999;

/// Reserves the next `size` ticket numbers as one block. The last block of a day can contain fewer numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Issue { size: i64 },
}

/// The reasons why no block of ticket numbers can be reserved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("all {COUNTER_MAX} numbers of this type and day are used up")]
    UsedUp,
}

/// The state of one sequence of ticket numbers. The member `issued` is the last reserved number. The number
/// is 0 before the first block is reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberSequence {
    pub issued: i64,
}

impl Decider for NumberSequence {
    type Command = Command;
    type Event = NumberSequenceEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<NumberSequenceEvent>, DecideError<Self>> {
        let Command::Issue { size } = command;
        let to = (self.issued + size.max(&1)).min(COUNTER_MAX);
        if self.issued >= COUNTER_MAX {
            return Err(DecideError::Rejected(Rejection::UsedUp));
        }
        Ok(vec![
            BlockIssued {
                from: self.issued + 1,
                to,
            }
            .into(),
        ])
    }

    fn evolve(&mut self, event: &NumberSequenceEvent) {
        let NumberSequenceEvent::BlockIssued(block) = event;
        self.issued = block.to;
    }
}

/// Returns the ticket number and the integer id for one value of the counter. Examples are
/// `REQ20261122000017` and `120261122000017`. The parameter `date` is a number in the form `YYYYMMDD`.
pub fn number(kind: ServiceKind, date: i64, counter: i64) -> (TicketSn, i64) {
    let sn = format!("{}{date:08}{counter:06}", kind.prefix());
    (
        TicketSn(sn),
        (kind.digit() * 100_000_000 + date) * 1_000_000 + counter,
    )
}

/// Returns the ticket number that belongs to an integer ticket id. Returns `None` if the first digit of the
/// id represents no service type.
pub fn sn_of_id(id: i64) -> Option<TicketSn> {
    let kind = ServiceKind::ALL
        .into_iter()
        .find(|kind| kind.digit() == id / 100_000_000_000_000)?;
    Some(number(kind, id / 1_000_000 % 100_000_000, id % 1_000_000).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_consecutive_and_end_at_the_maximum() {
        let decide = |issued, size| NumberSequence { issued }.decide(&Command::Issue { size }, &());
        assert_eq!(
            decide(0, 100),
            Ok(vec![BlockIssued { from: 1, to: 100 }.into()])
        );
        assert_eq!(
            decide(999_990, 100),
            Ok(vec![
                BlockIssued {
                    from: 999_991,
                    to: 999_999
                }
                .into()
            ])
        );
        assert_eq!(
            decide(999_999, 100),
            Err(DecideError::Rejected(Rejection::UsedUp))
        );
    }

    #[test]
    fn an_integer_id_is_reversible_and_below_2_to_the_53() {
        for kind in ServiceKind::ALL {
            let (sn, id) = number(kind, 20_261_122, 17);
            assert_eq!(sn_of_id(id), Some(sn));
            assert!(id < 1 << 53);
        }
        assert_eq!(
            number(ServiceKind::Request, 20_261_122, 17),
            ("REQ20261122000017".into(), 120_261_122_000_017)
        );
        assert_eq!(sn_of_id(42), None);
    }
}

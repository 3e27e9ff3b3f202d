//! Decides about the receipt of a sent message: the desk sends several requests to find out whether the person has read it. The
//! result of the delivery does not change: *accepted* never means that the person got the message.

use events::Moment;
use events::delivery::{DeliveryEvent, Receipt, ReceiptEnded, ReceiptScheduled};
use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use crate::attempt::{Report, Verdict};

/// The output of a successful attempt that is present if the provider reports receipts.
pub const HAS_RECEIPT: &str = "has_receipt";

/// The pauses before the requests for a receipt in milliseconds: 5 minutes, 30 minutes, 2 hours, 6 hours and 12 hours.
/// Together they are shorter than 24 hours, because DingTalk reports the result of a notice for one day only.
pub const PAUSES_MS: [i64; 5] = [300_000, 1_800_000, 7_200_000, 21_600_000, 43_200_000];

/// The content of the response to a request for a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    Read,
    /// The person has not read the message yet.
    NotYet,
    /// The provider has not delivered the message. The text is the code or the name of a list of the provider.
    Undelivered(String),
}

/// The result of one request for a receipt. The result is an error with its reason if no receipt arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptReport {
    pub poll: u32,
    pub reported: Result<Reported, String>,
    pub at: Moment,
}

/// The state of the receipt of a sent message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    Scheduled { poll: u32, due: Moment },
    Ended(Receipt),
}

/// Returns the event that schedules the first request for a receipt, if the attempt succeeded and the provider reports
/// receipts.
pub(super) fn first(report: &Report) -> Option<DeliveryEvent> {
    match &report.verdict {
        Verdict::Succeeded { outputs, .. } if outputs.contains_key(HAS_RECEIPT) => {
            scheduled(1, report.at, String::new())
        }
        _ => None,
    }
}

/// Returns the event that schedules the request with the number `poll`. Returns `None` after the last request.
fn scheduled(poll: u32, at: Moment, reason: String) -> Option<DeliveryEvent> {
    let index = usize::try_from(poll).ok()?.checked_sub(1)?;
    let due = at.plus_ms(*PAUSES_MS.get(index)?);
    Some(ReceiptScheduled { poll, due, reason }.into())
}

impl Delivery {
    pub(super) fn record_receipt(&self, report: &ReceiptReport) -> Vec<DeliveryEvent> {
        let is_current = matches!(
            self.receipt,
            Some(ReceiptState::Scheduled { poll, .. }) if poll == report.poll
        );
        if !is_current {
            return Vec::new();
        }
        let ended = |receipt, reason: String| vec![ReceiptEnded { receipt, reason }.into()];
        let reason = match &report.reported {
            Ok(Reported::Read) => return ended(Receipt::Read, String::new()),
            Ok(Reported::Undelivered(list)) => {
                return ended(Receipt::Undelivered, list.clone());
            }
            Ok(Reported::NotYet) => String::new(),
            Err(reason) => reason.clone(),
        };
        match scheduled(report.poll + 1, report.at, reason.clone()) {
            Some(event) => vec![event],
            None => ended(Receipt::Missing, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::Decider as _;

    fn scheduled_delivery() -> Delivery {
        let mut delivery = Delivery::default();
        let event = scheduled(1, Moment(0), String::new()).expect("a first request");
        delivery.evolve(&event);
        delivery
    }

    fn report(poll: u32, reported: Result<Reported, String>) -> ReceiptReport {
        let at = Moment(1_000);
        ReceiptReport { poll, reported, at }
    }

    #[test]
    fn the_number_of_requests_is_bounded_and_their_time_is_less_than_a_day() {
        let mut delivery = scheduled_delivery();
        let mut requests = 0;
        while let Some(ReceiptState::Scheduled { poll, .. }) = delivery.receipt {
            requests += 1;
            let events = delivery.record_receipt(&report(poll, Ok(Reported::NotYet)));
            assert_eq!(events.len(), 1);
            for event in &events {
                delivery.evolve(event);
            }
        }
        assert_eq!(requests, PAUSES_MS.len());
        assert_eq!(
            delivery.receipt,
            Some(ReceiptState::Ended(Receipt::Missing))
        );
        assert!(PAUSES_MS.iter().sum::<i64>() < 24 * 3_600_000);
    }

    #[test]
    fn a_receipt_ends_the_requests_and_an_old_response_does_nothing() {
        for (reported, expected) in [
            (Reported::Read, Receipt::Read),
            (Reported::Undelivered("failed".into()), Receipt::Undelivered),
        ] {
            let mut delivery = scheduled_delivery();
            assert!(
                delivery
                    .record_receipt(&report(2, Ok(reported.clone())))
                    .is_empty()
            );
            for event in delivery.record_receipt(&report(1, Ok(reported.clone()))) {
                delivery.evolve(&event);
            }
            assert_eq!(delivery.receipt, Some(ReceiptState::Ended(expected)));
            assert!(delivery.record_receipt(&report(1, Ok(reported))).is_empty());
        }
    }
}

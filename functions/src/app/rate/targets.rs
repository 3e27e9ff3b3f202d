//! Limits how many messages a channel account sends to one receiver, such as a person or a conversation. Some providers
//! silently drop further messages.
//!
//! A document in the view `limit` contains the times of the last messages to each receiver. The key of the document contains
//! a keyed hash of the receiver. All limits of a receiver are in one document, so a message needs one write.

use events::Moment;
use infra::channel::TargetLimit;
use infra::commit::hex;
use infra::views::Document;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

use super::{ATTEMPTS_MAX, LIMIT, Last, PERIOD_MS, Turn, write};
use crate::App;

/// Number of hexadecimal digits of the hash of a receiver.
const HASH_DIGITS: usize = 32;

/// The document of one receiver.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Target {
    /// The last messages for each limit of the channel, in the order of the limits.
    limits: Vec<Last>,
    /// A random id of the write that stored this document.
    writer: String,
}

/// The answer to a request for permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The message may be sent now. It is counted at this time.
    At(Moment),
    /// The message must wait.
    Wait {
        /// The time in milliseconds after which its turn comes.
        after_ms: i64,
        /// The limit that is reached.
        limit: TargetLimit,
    },
}

/// Requests permission to send the message of `turn` to the receiver `target` now. The messages to a receiver are sent in
/// order, as in [`super::take_turn`].
///
/// A receiver without a document gets its first message at once. But if the views were deleted, its last messages are
/// unknown: the first message then waits for the period of the limit. Limits for periods longer than one minute count from
/// zero then.
pub async fn take_target(
    app: &App,
    account: &str,
    target: &str,
    limits: &[TargetLimit],
    turn: &Turn,
) -> Result<Taken, Error> {
    let key = key(app, account, target).await?;
    let _turn = app.recalled.turn(&key).await;
    for _ in 0..ATTEMPTS_MAX {
        let now = app.ledger.clock.now();
        let (before, expected) = match stored(app, &key, limits).await? {
            (Some(known), expected) => (known, expected),
            (None, expected) => (unknown(app, account, limits, now).await?, expected),
        };
        let (after, wait) = before.admit(limits, now, turn);
        let is_unchanged = wait.is_some() && after.has_same_messages(&before);
        if is_unchanged && expected != 0 || put(app, &key, after, expected).await? {
            return Ok(match wait {
                None => Taken::At(now),
                Some((due, limit)) => Taken::Wait {
                    after_ms: (due.0 - now.0).max(1),
                    limit,
                },
            });
        }
    }
    Err(Error::new(
        Kind::Conflict,
        format!("many workers use the limit of a receiver of {account} at the same time"),
    ))
}

/// Takes a message that was counted at the time `at` out of the count, because it was not sent.
pub async fn give_back(
    app: &App,
    account: &str,
    target: &str,
    limits: &[TargetLimit],
    at: Moment,
) -> Result<(), Error> {
    let key = key(app, account, target).await?;
    let _turn = app.recalled.turn(&key).await;
    for _ in 0..ATTEMPTS_MAX {
        let (Some(mut known), expected) = stored(app, &key, limits).await? else {
            return Ok(());
        };
        for last in &mut known.limits {
            let place = last.times.iter().rposition(|time| *time == at);
            if let Some(place) = place {
                last.times.remove(place);
            }
        }
        if put(app, &key, known, expected).await? {
            return Ok(());
        }
    }
    // The message counts although it was not sent. The limit of the provider is not exceeded.
    Ok(())
}

impl Target {
    /// Decides about one message. Returns the new document, and the time at which the message can be sent if it must wait.
    fn admit(
        &self,
        limits: &[TargetLimit],
        now: Moment,
        turn: &Turn,
    ) -> (Self, Option<(Moment, TargetLimit)>) {
        let mut after = self.clone();
        for (place, limit) in limits.iter().enumerate() {
            let last = &mut after.limits[place];
            last.forget(now, limit.period_ms);
            let most = usize::try_from(limit.most).unwrap_or(usize::MAX).max(1);
            if let Some(due) = last.admit(most, limit.period_ms, now, turn) {
                // The other limits must not count the message.
                let mut refused = self.clone();
                refused.limits[place] = last.clone();
                return (refused, Some((due, *limit)));
            }
        }
        (after, None)
    }

    fn has_same_messages(&self, other: &Self) -> bool {
        let mut both = self.limits.iter().zip(&other.limits);
        both.all(|(one, other)| one.has_same_messages(other))
    }
}

/// Returns the key of the document of a receiver. An address is personal data, so the key contains only a keyed hash.
async fn key(app: &App, account: &str, target: &str) -> Result<String, Error> {
    let secret = app.keys().await?.fingerprint;
    let text = format!("receiver of messages/{account}/{target}");
    let hash = blake3::keyed_hash(&secret, text.as_bytes()).to_hex();
    let digits: String = hash.as_str().chars().take(HASH_DIGITS).collect();
    Ok(format!("target/{account}/{digits}"))
}

/// Returns the document of a receiver and its sequence number. A document with another number of limits is from another
/// version of the program, and counts as missing.
async fn stored(
    app: &App,
    key: &str,
    limits: &[TargetLimit],
) -> Result<(Option<Target>, i64), Error> {
    let stored = app.recall(LIMIT, key).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    let known: Option<Target> =
        stored.and_then(|document| serde_json::from_slice(&document.body).ok());
    let known = known.filter(|known| known.limits.len() == limits.len());
    Ok((known, sequence))
}

/// Returns the document of a receiver without a stored document. If the document of the account is missing too, the views were
/// deleted, and the document of the account is created again.
async fn unknown(
    app: &App,
    account: &str,
    limits: &[TargetLimit],
    now: Moment,
) -> Result<Target, Error> {
    let since = if let Some(document) = app.views.get(LIMIT, account).await? {
        let last: Option<Last> = serde_json::from_slice(&document.body).ok();
        last.map_or(Some(now), |last| last.since)
    } else {
        let defined = app.configuration.channel_account(account).await?;
        let per_minute = defined.and_then(|defined| defined.per_minute);
        let most = per_minute.and_then(|most| usize::try_from(most).ok());
        let last = Last::unknown(most.unwrap_or_default(), now);
        write(app, account, last, 0).await?;
        Some(now)
    };
    Ok(Target::new(limits, since))
}

impl Target {
    /// Returns the document of a receiver to whom the account has sent nothing since the time `since`. `None` if it has never
    /// sent a message to the receiver.
    fn new(limits: &[TargetLimit], since: Option<Moment>) -> Self {
        let of_limit = |limit: &TargetLimit| {
            let most = usize::try_from(limit.most).unwrap_or(usize::MAX).max(1);
            match since {
                Some(since) if limit.period_ms <= PERIOD_MS => Last::unknown(most, since),
                _ => Last::default(),
            }
        };
        Self {
            limits: limits.iter().map(of_limit).collect(),
            writer: String::new(),
        }
    }
}

async fn put(app: &App, key: &str, target: Target, expected: i64) -> Result<bool, Error> {
    let target = Target {
        writer: hex(&app.ledger.fresh_id()),
        ..target
    };
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(&target).unwrap_or_default(),
    };
    app.put_recalled(LIMIT, key, document, expected).await
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const LIMITS: [TargetLimit; 2] = [
        TargetLimit {
            most: 3,
            period_ms: 1_000,
        },
        TargetLimit {
            most: 5,
            period_ms: 60_000,
        },
    ];

    fn turn(id: usize, is_new: bool) -> Turn {
        Turn {
            id: id.to_string(),
            is_critical: false,
            since: Moment(i64::try_from(id).expect("a small number")),
            is_new,
        }
    }

    /// Sends messages that all arrive at the time `from`. Returns their times, and the largest number of waits of a message.
    fn sent(mut target: Target, from: i64, count: usize) -> (Vec<i64>, usize) {
        let mut due: Vec<(i64, usize, usize)> = (0..count).map(|id| (from, id, 0)).collect();
        let (mut times, mut waits_max) = (Vec::new(), 0);
        while !due.is_empty() {
            due.sort_unstable();
            let (at, id, waits) = due.remove(0);
            let (after, wait) = target.admit(&LIMITS, Moment(at), &turn(id, waits == 0));
            target = after;
            match wait {
                None => times.push(at),
                Some((later, _)) => {
                    assert!(later.0 > at, "{id} at {at}");
                    waits_max = waits_max.max(waits + 1);
                    due.push((later.0, id, waits + 1));
                }
            }
        }
        (times, waits_max)
    }

    fn check(times: &[i64]) {
        for limit in LIMITS {
            let most = usize::try_from(limit.most).expect("a small number");
            for window in times.windows(most + 1) {
                assert!(window[0] + limit.period_ms <= window[most], "{times:?}");
            }
        }
    }

    #[test]
    fn all_limits_of_a_receiver_are_kept() {
        let (times, waits) = sent(Target::new(&LIMITS, None), 5, 17);
        assert_eq!(times.len(), 17);
        check(&times);
        assert_eq!(times[2], 5, "the first three are sent at once");
        assert!(times[16] < 5 + 4 * 60_000, "{times:?}");
        assert!(waits <= 2, "{waits} waits");
    }

    #[test]
    fn a_receiver_is_unknown_only_after_a_loss_of_the_views() {
        let (times, _) = sent(Target::new(&LIMITS, None), 1_500, 1);
        assert_eq!(times, [1_500]);
        let (times, _) = sent(Target::new(&LIMITS, Some(Moment(1_000))), 1_500, 1);
        assert_eq!(times, [61_000]);
        let (times, _) = sent(Target::new(&LIMITS, Some(Moment(1_000))), 70_000, 1);
        assert_eq!(times, [70_000]);
        let hour = [TargetLimit {
            most: 1_000,
            period_ms: 3_600_000,
        }];
        let target = Target::new(&hour, Some(Moment(1_000)));
        assert_eq!(target.limits[0].times, VecDeque::new());
    }

    #[test]
    fn a_message_that_one_limit_refuses_is_counted_by_none() {
        let mut target = Target::new(&LIMITS, None);
        for id in 0..5 {
            let at = Moment(i64::try_from(id).expect("small") * 2_000);
            target = target.admit(&LIMITS, at, &turn(id, true)).0;
        }
        let (after, wait) = target.admit(&LIMITS, Moment(20_000), &turn(9, true));
        assert_eq!(wait, Some((Moment(60_000), LIMITS[1])));
        assert_eq!(after.limits[0].times, target.limits[0].times);
        assert!(after.limits[0].promised.iter().all(|at| at.0 <= 8_000));
    }
}

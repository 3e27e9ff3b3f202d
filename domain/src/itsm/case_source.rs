//! Implements the aggregate of one source of cases from which the desk reads changed records. Reading regularly ensures
//! that a lost message of the source costs a delay, and not a case.

use events::Moment;
use events::api_call::Exchange;
use events::case_source::{CaseSourceEvent, Hinted, PageRead, PullFailed, Started, Stopped};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Policy};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The policy for the pauses after failed reads. The desk never stops reading a source.
const POLICY: Policy = Policy {
    attempts_max: u32::MAX,
    first_ms: 5_000,
    longest_ms: 600_000,
};
/// From this number of records on, a page that was made smaller has its largest size again.
const FULL_PAGE: u32 = 100;

/// The commands that change one source of cases.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Starts the regular reads of the source. If the source runs with the same filter, it does not change, except if its next
    /// read is later than after the pause `pause_ms`, because the pause was longer before.
    Start {
        source: String,
        filter: String,
        pause_ms: i64,
        at: Moment,
    },
    /// Stores that a message of the source arrived.
    Hint { inbound: String, at: Moment },
    /// Stores that one page was read and that its records were received.
    Page(Read),
    /// Stores that the source could not be read.
    Fail(Failed),
    /// Stops reading the source.
    Stop,
}

/// One page of changed records that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub attempt: u32,
    pub exchange: Option<Exchange>,
    pub records: u32,
    pub changed: u32,
    /// The value of [`CaseSource::hints`] when the first page was read.
    pub hints: u32,
    pub cursor: String,
    pub has_more: bool,
    /// The pause before the next read, in milliseconds, if no further page follows.
    pub pause_ms: i64,
    pub at: Moment,
}

/// A failed read.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    pub attempt: u32,
    pub exchange: Option<Exchange>,
    pub status: Option<u16>,
    pub reason: String,
    /// The pause that the source demanded, in milliseconds.
    pub after_ms: Option<i64>,
    /// Whether the limit of the desk did not allow the request.
    pub is_throttled: bool,
    /// The number of records on the next pages, if the response was too long and a page can have fewer records.
    pub page_size: Option<u32>,
    pub at: Moment,
}

/// The reasons why the desk rejects a command for a source of cases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the source is not read regularly")]
    NotStarted,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The state of one source of cases, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CaseSource {
    /// The name of the integration. The text is empty before the start.
    pub source: String,
    pub attempts: Attempts,
    pub cursor: String,
    /// Number of messages that have arrived.
    pub hints: u32,
    /// The value of `hints` when the first page was read.
    #[serde(default)]
    pub hints_at_start: u32,
    /// Whether further pages follow the last page.
    #[serde(default)]
    pub has_more: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
    pub is_running: bool,
    /// The pause between two reads in milliseconds. `None` if a version before this member started the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<i64>,
    /// The number of records on a page, because a larger page was too long. `None` for the largest number of the kind of
    /// source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
}

impl Decider for CaseSource {
    type Command = Command;
    type Event = CaseSourceEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<CaseSourceEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Start {
                source,
                filter,
                pause_ms,
                at,
            } => {
                let continues = self.is_running && self.filter == *filter;
                if continues && self.pause_ms == Some(*pause_ms) {
                    return Ok(Vec::new());
                }
                // After a failed read, the source possibly demanded a pause.
                let is_soon =
                    self.attempts.failures > 0 || self.attempts.due <= at.plus_ms(*pause_ms);
                Ok(vec![
                    Started {
                        source: source.clone(),
                        filter: filter.clone(),
                        continues,
                        pause_ms: Some(*pause_ms),
                        due: if continues && is_soon {
                            self.attempts.due
                        } else {
                            *at
                        },
                    }
                    .into(),
                ])
            }
            Command::Stop if !self.is_running => Ok(Vec::new()),
            Command::Stop => Ok(vec![Stopped {}.into()]),
            _ if !self.is_running => reject(Rejection::NotStarted),
            Command::Page(Read { attempt, .. }) | Command::Fail(Failed { attempt, .. })
                if *attempt != self.attempts.next() =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Hint { inbound, at } => {
                // After a failed read, the source possibly demanded a pause.
                let due = if self.attempts.failures > 0 {
                    self.attempts.due
                } else {
                    self.attempts.due.min(*at)
                };
                Ok(vec![
                    Hinted {
                        inbound: inbound.clone(),
                        due,
                    }
                    .into(),
                ])
            }
            Command::Page(read) => {
                // A message that arrived during the read can concern a page that was read before it.
                let is_due = read.has_more || self.hints > read.hints;
                // The pause can have changed during the read.
                let pause_ms = self.pause_ms.unwrap_or(read.pause_ms);
                Ok(vec![
                    PageRead {
                        attempt: read.attempt,
                        exchange: read.exchange.clone(),
                        records: read.records,
                        changed: read.changed,
                        hints: read.hints,
                        cursor: read.cursor.clone(),
                        has_more: read.has_more,
                        due: read.at.plus_ms(if is_due { 0 } else { pause_ms }),
                    }
                    .into(),
                ])
            }
            Command::Fail(failed) => {
                let due = match failed.page_size {
                    Some(_) => Some(failed.at),
                    None => self.attempts.retry_at(POLICY, failed.after_ms, failed.at),
                };
                Ok(vec![
                    PullFailed {
                        attempt: failed.attempt,
                        exchange: failed.exchange.clone(),
                        status: failed.status,
                        reason: failed.reason.clone(),
                        is_throttled: failed.is_throttled,
                        page_size: failed.page_size,
                        due: due.unwrap_or_else(|| failed.at.plus_ms(POLICY.longest_ms)),
                    }
                    .into(),
                ])
            }
        }
    }

    fn evolve(&mut self, event: &CaseSourceEvent) {
        match event {
            CaseSourceEvent::Started(started) => {
                self.source.clone_from(&started.source);
                self.is_running = true;
                self.filter.clone_from(&started.filter);
                self.pause_ms = started.pause_ms;
                if started.continues {
                    self.attempts.due = started.due;
                } else {
                    self.attempts.begin_again(started.due);
                    self.cursor.clear();
                    self.has_more = false;
                    self.page_size = None;
                }
            }
            CaseSourceEvent::Hinted(hinted) => {
                self.hints += 1;
                self.attempts.due = hinted.due;
            }
            CaseSourceEvent::PageRead(page) => {
                self.attempts.poll(page.attempt, page.due);
                self.cursor.clone_from(&page.cursor);
                self.hints_at_start = page.hints;
                self.has_more = page.has_more;
                // The pages of one list must not become larger, because the list counts them.
                if !page.has_more {
                    let larger = self.page_size.map(|size| size.saturating_mul(2));
                    self.page_size = larger.filter(|size| *size < FULL_PAGE);
                }
            }
            CaseSourceEvent::PullFailed(failed) if failed.is_throttled => {
                self.attempts.postpone(failed.attempt, failed.due);
            }
            CaseSourceEvent::PullFailed(failed) => {
                self.attempts.fail(failed.attempt, failed.due);
                self.page_size = failed.page_size.or(self.page_size);
            }
            CaseSourceEvent::Stopped(_) => self.is_running = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    const NOW: Moment = Moment(1_000_000);

    fn read(attempt: u32, has_more: bool) -> Command {
        read_after(attempt, has_more, 0)
    }

    /// Returns the command for a read that began after `hints` messages.
    fn read_after(attempt: u32, has_more: bool, hints: u32) -> Command {
        Command::Page(Read {
            hints,
            attempt,
            exchange: None,
            records: 50,
            changed: 1,
            cursor: if has_more { "2".into() } else { String::new() },
            has_more,
            pause_ms: 300_000,
            at: NOW,
        })
    }

    fn fail(attempt: u32, after_ms: Option<i64>) -> Command {
        Command::Fail(Failed {
            attempt,
            exchange: None,
            status: Some(503),
            reason: "the response status is 503".into(),
            after_ms,
            is_throttled: false,
            page_size: None,
            at: NOW,
        })
    }

    fn too_long(attempt: u32, page_size: u32) -> Command {
        match fail(attempt, None) {
            Command::Fail(failed) => Command::Fail(Failed {
                page_size: Some(page_size),
                ..failed
            }),
            other => other,
        }
    }

    /// Executes the commands one after the other. Returns the last state.
    fn after(commands: &[Command]) -> CaseSource {
        let mut events = Vec::new();
        for command in commands {
            events.extend(fold::<CaseSource>(&events).decide(command, &()).unwrap());
        }
        fold::<CaseSource>(&events)
    }

    fn start() -> Command {
        Command::Start {
            filter: String::new(),
            source: "helpdesk".into(),
            pause_ms: 300_000,
            at: NOW,
        }
    }

    fn hint() -> Command {
        Command::Hint {
            inbound: "inbound-1".into(),
            at: NOW,
        }
    }

    #[test]
    fn pages_follow_at_once_and_reads_after_the_pause() {
        let started = after(&[start()]);
        assert_eq!((started.attempts.due, started.is_running), (NOW, true));
        assert_eq!(started.decide(&start(), &()), Ok(Vec::new()));
        let first = after(&[start(), read(1, true)]);
        assert_eq!((first.cursor.as_str(), first.attempts.due), ("2", NOW));
        let last = after(&[start(), read(1, true), read(2, false)]);
        assert_eq!(
            (last.cursor.as_str(), last.attempts.due),
            ("", NOW.plus_ms(300_000))
        );
        assert_eq!(
            last.decide(&read(2, false), &()),
            Err(DecideError::Rejected(Rejection::NotDue(2))),
            "another worker has read the page"
        );
    }

    #[test]
    fn a_message_makes_the_next_read_due() {
        let waiting = [start(), read(1, false)];
        let hinted = after(&[&waiting[..], &[hint()]].concat());
        assert_eq!((hinted.attempts.due, hinted.hints), (NOW, 1));
        let done = after(&[&waiting[..], &[hint(), read_after(2, false, 1)]].concat());
        assert_eq!(done.attempts.due, NOW.plus_ms(300_000));
        // The message arrived while a read was running, so another read follows.
        let during = after(&[start(), hint(), read(1, false)]);
        assert_eq!(during.attempts.due, NOW);
        let done = after(&[start(), hint(), read(1, false), read_after(2, false, 1)]);
        assert_eq!(done.attempts.due, NOW.plus_ms(300_000));
    }

    #[test]
    fn a_failed_read_is_repeated_and_a_message_does_not_shorten_the_pause() {
        let failed = after(&[start(), fail(1, None)]);
        assert_eq!(failed.attempts.due, NOW.plus_ms(5_000));
        let demanded = after(&[start(), fail(1, Some(60_000)), hint()]);
        assert_eq!(demanded.attempts.due, NOW.plus_ms(60_000));
        let many: Vec<Command> = (1..=20).map(|attempt| fail(attempt, None)).collect();
        let many = after(&[&[start()], &many[..]].concat());
        assert_eq!(many.attempts.due, NOW.plus_ms(600_000));
    }

    #[test]
    fn a_page_that_is_too_long_is_read_again_at_once_with_fewer_records() {
        let cut = after(&[start(), too_long(1, 50), too_long(2, 25)]);
        assert_eq!((cut.page_size, cut.attempts.due), (Some(25), NOW));
        // Another failure does not change the size, and the pages of one list do not grow.
        let failed = after(&[start(), too_long(1, 25), fail(2, None), read(3, true)]);
        assert_eq!(failed.page_size, Some(25));
        assert_eq!(failed.cursor, "2");
        let next = [start(), too_long(1, 25), read(2, false)];
        assert_eq!(after(&next).page_size, Some(50));
        let full = after(&[&next[..], &[read(3, false)]].concat());
        assert_eq!(full.page_size, None);
        let again = after(&[&next[..2], &[Command::Stop, start()]].concat());
        assert_eq!(again.page_size, None);
    }

    #[test]
    fn a_shorter_pause_makes_the_next_read_due_and_keeps_the_place() {
        let mut waiting = after(&[start(), read(1, false)]);
        waiting.cursor = "2026".into();
        let with_pause = |pause_ms: i64, filter: &str| Command::Start {
            source: "helpdesk".into(),
            filter: filter.into(),
            pause_ms,
            at: NOW,
        };
        assert_eq!(waiting.decide(&with_pause(300_000, ""), &()), Ok(vec![]));
        let next = |command: &Command| {
            let mut next = waiting.clone();
            for event in waiting.decide(command, &()).expect("accepted") {
                next.evolve(&event);
            }
            next
        };
        let shorter = next(&with_pause(60_000, ""));
        assert_eq!(
            (shorter.cursor.as_str(), shorter.attempts.due),
            ("2026", NOW)
        );
        let other = next(&with_pause(300_000, "open"));
        assert_eq!((other.cursor.as_str(), other.attempts.due), ("", NOW));
        // A longer pause, and a pause that the source demanded, do not change the time of the next read.
        let longer = next(&with_pause(600_000, ""));
        assert_eq!(longer.attempts.due, waiting.attempts.due);
        let demanded = [start(), fail(1, Some(900_000)), with_pause(60_000, "")];
        let demanded = after(&demanded);
        assert_eq!(demanded.attempts.due, NOW.plus_ms(900_000));
        assert_eq!(demanded.attempts.failures, 1);
        // The pause changed while a read was running, which knows only the earlier pause.
        let during = after(&[start(), with_pause(60_000, ""), read(1, false)]);
        assert_eq!(during.attempts.due, NOW.plus_ms(60_000));
    }

    #[test]
    fn a_stopped_source_is_not_read() {
        let stopped = after(&[start(), Command::Stop]);
        for command in [hint(), read(1, false), fail(1, None)] {
            assert_eq!(
                stopped.decide(&command, &()),
                Err(DecideError::Rejected(Rejection::NotStarted))
            );
        }
        assert_eq!(stopped.decide(&Command::Stop, &()), Ok(Vec::new()));
        assert!(after(&[start(), Command::Stop, start()]).is_running);
    }
}

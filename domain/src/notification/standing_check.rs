//! Implements the aggregate of the standing check of one escalation chain. It stores when the chain is checked next and
//! which problems the operators already know.

use events::Moment;
use events::standing_check::{Checked, Gap, Scheduled, StandingCheckEvent};
use serde::{Deserialize, Serialize};

use super::chain_check::LEAD_MS;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Maximum number of problems in one event, so that the event stays small.
pub const GAPS_MAX: usize = 50;

/// The commands that change the standing check of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a check due now, if one of the definitions that the chain needs was changed. `fingerprint` is the hash of
    /// these definitions.
    Schedule {
        chain: String,
        fingerprint: String,
        at: Moment,
    },
    /// Stores the result of the check that is due. Before its time, the command does nothing. `due` is the time of the
    /// next check.
    Record {
        at: Moment,
        gaps: Vec<Gap>,
        due: Moment,
    },
}

/// The reasons why the desk rejects a command for a standing check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the standing check is not scheduled")]
    NotScheduled,
}

/// The state of the standing check of one chain, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingCheck {
    /// The name of the chain. `None` if no check was scheduled.
    pub chain: Option<String>,
    pub fingerprint: String,
    /// The time of the next check.
    pub due: Moment,
    /// The time of the last check. `None` before the first check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Moment>,
    /// The problems that the last check found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

impl Decider for StandingCheck {
    type Command = Command;
    type Event = StandingCheckEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<StandingCheckEvent>, DecideError<Self>> {
        match command {
            Command::Schedule { fingerprint, .. }
                if self.chain.is_some() && *fingerprint == self.fingerprint =>
            {
                Ok(Vec::new())
            }
            Command::Schedule {
                chain,
                fingerprint,
                at,
            } => Ok(vec![
                Scheduled {
                    chain: chain.clone(),
                    fingerprint: fingerprint.clone(),
                    due: *at,
                }
                .into(),
            ]),
            Command::Record { .. } if self.chain.is_none() => {
                Err(DecideError::Rejected(Rejection::NotScheduled))
            }
            Command::Record { at, .. } if self.due > *at => Ok(Vec::new()),
            Command::Record { at, gaps, due } => {
                let omitted = gaps.len().saturating_sub(GAPS_MAX);
                let gaps: Vec<Gap> = gaps.iter().take(GAPS_MAX).cloned().collect();
                let is_reported = gaps.iter().any(|gap| self.is_news(gap, *at));
                Ok(vec![
                    Checked {
                        at: *at,
                        gaps,
                        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
                        is_reported,
                        due: *due,
                    }
                    .into(),
                ])
            }
        }
    }

    fn evolve(&mut self, event: &StandingCheckEvent) {
        match event {
            StandingCheckEvent::Scheduled(scheduled) => {
                self.chain = Some(scheduled.chain.clone());
                self.fingerprint.clone_from(&scheduled.fingerprint);
                self.due = scheduled.due;
            }
            StandingCheckEvent::Checked(checked) => {
                self.checked_at = Some(checked.at);
                self.gaps.clone_from(&checked.gaps);
                self.due = checked.due;
            }
        }
    }
}

impl StandingCheck {
    /// Returns true if the operators do not know the problem yet. The problem of a coming shift is reported when the desk
    /// finds it, and again when the shift is near. The same problem is not reported again when the shift begins.
    fn is_news(&self, gap: &Gap, now: Moment) -> bool {
        let is_near =
            |at: Option<Moment>, now: Moment| at.is_none_or(|at| at <= now.plus_ms(LEAD_MS));
        let was_near = |at| self.checked_at.is_some_and(|checked| is_near(at, checked));
        let known = self.gaps.iter().filter(|known| {
            let is_same_shift = known.at == gap.at || known.at.is_none() || gap.at.is_none();
            known.step == gap.step && known.problem == gap.problem && is_same_shift
        });
        let mut known = known.peekable();
        if known.peek().is_none() {
            return true;
        }
        is_near(gap.at, now) && !known.any(|known| was_near(known.at))
    }
}

/// Defines the list of all standing checks in the view `standing_check`.
impl Card for StandingCheck {
    type Event = StandingCheckEvent;
    const VIEW: &'static str = "standing_check";

    fn fold(&mut self, envelope: &Envelope<StandingCheckEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let chain = self.chain.iter();
        chain.map(|chain| ("id", chain.clone())).collect()
    }
}

/// Returns the name of the stream with the standing check of a chain.
pub fn stream(chain: &str) -> String {
    format!("standing_check-{chain}")
}

#[cfg(test)]
mod tests {
    use events::Event as _;
    use events::notification::SkipReason;
    use events::standing_check::{CHECK, Problem, Unreachable};

    use super::*;
    use crate::decider::fold;

    const HOUR_MS: i64 = 3_600_000;

    fn schedule(fingerprint: &str, at: i64) -> Command {
        Command::Schedule {
            chain: "default".into(),
            fingerprint: fingerprint.into(),
            at: Moment(at),
        }
    }

    fn gap(person: &str, at: Option<i64>) -> Gap {
        Gap {
            step: 1,
            at: at.map(Moment),
            problem: Problem::Unreachable(Unreachable {
                person: person.into(),
                reason: SkipReason::NoAddress,
            }),
        }
    }

    fn decide(history: &[StandingCheckEvent], command: &Command) -> Vec<StandingCheckEvent> {
        fold::<StandingCheck>(history).decide(command, &()).unwrap()
    }

    /// Records a check one hour before the next one. Returns whether the operators are notified.
    fn checked(history: &mut Vec<StandingCheckEvent>, at: i64, gaps: &[Gap]) -> bool {
        let record = Command::Record {
            at: Moment(at),
            gaps: gaps.to_vec(),
            due: Moment(at + HOUR_MS),
        };
        let events = decide(history, &record);
        let [StandingCheckEvent::Checked(checked)] = events.as_slice() else {
            panic!("{events:?}")
        };
        let is_reported = checked.is_reported;
        history.extend(events);
        is_reported
    }

    #[test]
    fn a_check_is_due_at_once_after_a_changed_definition_only() {
        let mut history = decide(&[], &schedule("a", 5));
        let deadline = &history[0].deadlines()[0];
        assert_eq!((deadline.due, history.len()), (Some(Moment(5)), 1));
        assert!(decide(&history, &schedule("a", 9)).is_empty());
        history.extend(decide(&history, &schedule("b", 9)));
        assert_eq!(fold::<StandingCheck>(&history).due, Moment(9));
        let too_early = Command::Record {
            at: Moment(8),
            gaps: Vec::new(),
            due: Moment(20),
        };
        assert!(decide(&history, &too_early).is_empty());
        assert!(!checked(&mut history, 9, &[]));
        let due = history.last().map(events::Event::deadlines);
        assert_eq!(due.unwrap()[0].due, Some(Moment(9 + HOUR_MS)));
        assert_eq!(CHECK, "check");
    }

    #[test]
    fn a_check_without_a_schedule_is_rejected() {
        let record = Command::Record {
            at: Moment(8),
            gaps: Vec::new(),
            due: Moment(20),
        };
        let rejected = Err(DecideError::Rejected(Rejection::NotScheduled));
        assert_eq!(StandingCheck::default().decide(&record, &()), rejected);
    }

    #[test]
    fn a_problem_is_reported_when_it_is_found_and_when_its_shift_is_near() {
        let mut history = decide(&[], &schedule("a", 0));
        let shift = LEAD_MS + 2 * HOUR_MS;
        let far = [gap("a", Some(shift))];
        assert!(checked(&mut history, 0, &far), "it is new");
        assert!(!checked(&mut history, HOUR_MS, &far), "it is known");
        assert!(checked(&mut history, 2 * HOUR_MS, &far), "it is near");
        assert!(!checked(&mut history, 3 * HOUR_MS, &far));
        let now = [gap("a", None)];
        assert!(!checked(&mut history, shift, &now), "the shift has begun");
        assert!(checked(&mut history, shift + HOUR_MS, &[gap("b", None)]));
        assert!(!checked(&mut history, shift + 2 * HOUR_MS, &[]));
        let again = shift + 3 * HOUR_MS;
        assert!(
            checked(&mut history, again, &[gap("b", None)]),
            "it is back"
        );
    }

    #[test]
    fn an_event_has_a_limited_number_of_problems() {
        let mut history = decide(&[], &schedule("a", 0));
        let many: Vec<Gap> = (0..GAPS_MAX + 3)
            .map(|number| gap(&format!("p{number}"), None))
            .collect();
        assert!(checked(&mut history, 0, &many));
        let Some(StandingCheckEvent::Checked(last)) = history.last() else {
            panic!("{history:?}")
        };
        assert_eq!((last.gaps.len(), last.omitted), (GAPS_MAX, 3));
    }
}

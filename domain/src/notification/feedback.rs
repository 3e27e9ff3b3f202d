//! Implements the aggregate of the feedback of one person in one month. A sampled notification contains three questions
//! to the person (requirements/notifications.md, FeedbackCollector). The name of the stream contains the person and the
//! month, so a person is asked at most once in a month, although two messages can be sent at the same time.

use events::feedback::{Asked, FeedbackEvent, Given};
use events::{Moment, PersonId, Personal};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// The answer to the question about the channel, if the person wants only the entry in the inbox.
pub const IN_APP: &str = "in_app";

/// The commands that change the feedback of one person in one month.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Asks the person. A repetition for the same notification does nothing.
    Ask(Asked),
    Give(Given),
}

/// The reasons why a command is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the person was asked about another notification in this month")]
    AskedByOther,
    #[error("the person was not asked for feedback in this month")]
    NotAsked,
    #[error("the person has given feedback on this notification")]
    AlreadyGiven,
    #[error("the feedback contains no answer")]
    Empty,
}

/// The feedback of one person in one month.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    pub asked: Option<Asked>,
    pub given: Option<Given>,
}

impl Decider for Feedback {
    type Command = Command;
    type Event = FeedbackEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<FeedbackEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, &self.asked, &self.given) {
            (Command::Ask(asked), None, _) => Ok(vec![asked.clone().into()]),
            (Command::Ask(asked), Some(known), _) if asked.notification == known.notification => {
                Ok(Vec::new())
            }
            (Command::Ask(_), Some(_), _) => reject(Rejection::AskedByOther),
            (Command::Give(_), None, _) => reject(Rejection::NotAsked),
            (Command::Give(_), Some(_), Some(_)) => reject(Rejection::AlreadyGiven),
            (Command::Give(given), Some(_), None) if is_empty(given) => reject(Rejection::Empty),
            (Command::Give(given), Some(_), None) => Ok(vec![given.clone().into()]),
        }
    }

    fn evolve(&mut self, event: &FeedbackEvent) {
        match event {
            FeedbackEvent::Asked(asked) => self.asked = Some(asked.clone()),
            FeedbackEvent::Given(given) => self.given = Some(given.clone()),
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let given = self.given.iter_mut();
        given.flat_map(events::Personals::personals).collect()
    }
}

/// Defines in which list of the view `feedback` the feedback appears: the list of all people who were asked, by time.
impl Card for Feedback {
    type Event = FeedbackEvent;
    const VIEW: &'static str = "feedback";

    fn fold(&mut self, envelope: &Envelope<FeedbackEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let asked = self.asked.iter();
        asked
            .map(|asked| ("asked", format!("{:016}", asked.at.0)))
            .collect()
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        Decider::personals(self)
    }
}

fn is_empty(given: &Given) -> bool {
    given.usefulness.is_none()
        && given.timing.is_none()
        && given.channel.is_none()
        && given.comment.is_none()
}

/// Returns true if a notification contains questions. `notification` is the name of its stream, and on average one of
/// `one_in` notifications asks. The answer for one notification is always the same. If `one_in` is 0, no notification
/// asks.
pub fn is_sampled(notification: &str, one_in: u32) -> bool {
    let hash = blake3::hash(format!("feedback {notification}").as_bytes());
    let mut number = [0; 4];
    number.copy_from_slice(&hash.as_bytes()[..4]);
    one_in > 0 && u32::from_be_bytes(number).is_multiple_of(one_in)
}

/// Returns the name of the stream with the feedback of a person in the month (UTC) of `at`.
pub fn stream(person: &PersonId, at: Moment) -> String {
    let day = Timestamp::from_millisecond(at.0).unwrap_or_default();
    let day = TimeZone::UTC.to_datetime(day).date();
    let name = format!("{person} {:04}-{:02}", day.year(), day.month());
    format!(
        "feedback-{}",
        &blake3::hash(name.as_bytes()).to_hex().as_str()[..32]
    )
}

/// The numbers of the answers to a question with ratings. The first number belongs to the rating 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratings(pub [u64; 5]);

impl Ratings {
    /// Counts a rating. A rating outside of 1 to 5 is ignored.
    pub fn add(&mut self, rating: u8) {
        let at = usize::from(rating).checked_sub(1);
        if let Some(count) = at.and_then(|at| self.0.get_mut(at)) {
            *count += 1;
        }
    }

    /// Returns the average rating, rounded to hundredths. Returns `None` without ratings.
    pub fn average(&self) -> Option<f64> {
        let count: u64 = self.0.iter().sum();
        let weighted = (1_u64..).zip(self.0).map(|(rating, count)| rating * count);
        let sum: u64 = weighted.sum();
        let hundredths = (sum * 100 + count / 2).checked_div(count)?;
        Some(f64::from(u32::try_from(hundredths).ok()?) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use events::preference::Category;

    use super::*;
    use crate::decider::fold;

    fn asked(notification: &str) -> Asked {
        Asked {
            person: "p-1".into(),
            notification: notification.into(),
            category: Category::Updated,
            kind: "email".into(),
            at: Moment(5),
        }
    }

    fn given() -> Given {
        Given {
            usefulness: Some(4),
            timing: None,
            channel: Some(IN_APP.into()),
            comment: None,
            at: Moment(9),
        }
    }

    #[test]
    fn a_person_is_asked_once_and_answers_once() {
        let rejected = |rejection| -> Result<Vec<FeedbackEvent>, DecideError<Feedback>> {
            Err(DecideError::Rejected(rejection))
        };
        let mut history: Vec<FeedbackEvent> = Vec::new();
        let decide = |history: &[FeedbackEvent], command: Command| {
            fold::<Feedback>(history).decide(&command, &())
        };
        assert_eq!(
            decide(&history, Command::Give(given())),
            rejected(Rejection::NotAsked)
        );
        history.extend(decide(&history, Command::Ask(asked("n-1"))).unwrap());
        assert_eq!(history, [FeedbackEvent::from(asked("n-1"))]);
        let again = decide(&history, Command::Ask(asked("n-1")));
        assert_eq!(again, Ok(Vec::new()), "another account of the notification");
        assert_eq!(
            decide(&history, Command::Ask(asked("n-2"))),
            rejected(Rejection::AskedByOther)
        );
        let empty = Given {
            usefulness: None,
            channel: None,
            ..given()
        };
        assert_eq!(
            decide(&history, Command::Give(empty)),
            rejected(Rejection::Empty)
        );
        history.extend(decide(&history, Command::Give(given())).unwrap());
        assert_eq!(history[1], FeedbackEvent::from(given()));
        assert_eq!(
            decide(&history, Command::Give(given())),
            rejected(Rejection::AlreadyGiven)
        );
    }

    #[test]
    fn about_one_in_n_notifications_is_sampled() {
        let names: Vec<String> = (0..10_000).map(|n| format!("notification-{n}")).collect();
        let count = |one_in| names.iter().filter(|name| is_sampled(name, one_in)).count();
        assert_eq!((count(0), count(1)), (0, 10_000));
        let tenth = count(10);
        assert!((850..1_150).contains(&tenth), "{tenth}");
        let first = names.iter().find(|name| is_sampled(name, 10)).unwrap();
        assert!(is_sampled(first, 10), "the choice is always the same");
    }

    #[test]
    fn each_person_and_month_has_a_stream_of_its_own() {
        const DECEMBER: Moment = Moment(1_764_547_200_000); // 2025-12-01T00:00Z
        let of = |person: &str, at| stream(&person.into(), at);
        let earlier = of("p-1", DECEMBER.plus_ms(-1));
        assert_ne!(of("p-1", DECEMBER), earlier);
        assert_eq!(of("p-1", DECEMBER.plus_ms(-29 * 86_400_000)), earlier);
        assert_ne!(of("p-2", DECEMBER), of("p-1", DECEMBER));
        assert_eq!(earlier.len(), "feedback-".len() + 32);
    }

    #[test]
    fn an_average_is_rounded_to_hundredths() {
        let mut ratings = Ratings::default();
        assert_eq!(ratings.average(), None);
        for rating in [1, 5, 5, 0, 6] {
            ratings.add(rating);
        }
        assert_eq!(ratings.0, [1, 0, 0, 0, 2]);
        assert_eq!(ratings.average(), Some(3.67));
    }
}

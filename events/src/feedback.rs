//! Defines the events about the feedback of one person on one notification. The events are stored in the stream
//! `feedback-<hash>`. The hash is made from the person and the month, so each person is asked at most once in a month
//! (requirements/notifications.md, FeedbackCollector).

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::preference::Category;
use crate::{Moment, PersonId, Personal};

event_enum! {
    /// The events about the feedback of one person in one month.
    FeedbackEvent of "feedback" {
        Asked "feedback.asked" 1,
        Given "feedback.given" 1,
    }
}

/// A message asked the person for feedback. The message contained a link to the three questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub person: PersonId,
    /// The name of the stream of the notification.
    pub notification: String,
    /// The category of the fact of the notification.
    pub category: Category,
    /// The kind of address to which the first message with the questions was sent, such as `email`.
    pub kind: String,
    /// The time at which the desk asked.
    pub at: Moment,
}
impl Personals for Asked {}

/// The person answered. A question without an answer has no value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// How useful the notification was, from 1 (useless) to 5 (very useful).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usefulness: Option<u8>,
    /// How suitable the time of the message was, from 1 (unsuitable) to 5 (very suitable).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<u8>,
    /// The channel that the person prefers for such notifications: a kind of address, or `in_app` for the inbox only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The comment of the person, encrypted with the key of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Personal>,
    pub at: Moment,
}
impl Personals for Given {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.comment.iter_mut().collect()
    }
}

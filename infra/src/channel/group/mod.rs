//! Defines the interfaces for chat groups: groups on a chat platform in which the people of a ticket discuss it. Each
//! platform with such an interface has one file with a codec. A codec converts a change of a group to a request, and the
//! response to an outcome. Every change can be repeated after an unknown result, except a message on most platforms.
//!
//! **How to add a platform**: Add one file with an implementation of [`Groups`] and its `mod` line, and return the codec
//! from `Channel::groups` of the channel.

pub mod dingtalk;
pub mod feishu;
pub mod slack;
#[cfg(test)]
mod tests;
pub mod wecom;

use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::channel_account::Defined;

use super::{ALL, unanswered};
use crate::http::{HttpError, HttpRequest, HttpResponse};

/// One change of a group.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Creates the group with a name. Only a platform of [`Groups::creates_with_people`] uses the people.
    Create {
        name: &'a str,
        people: &'a [&'a str],
    },
    /// Reads one page of the groups of the account, to find a group that an earlier attempt created.
    Find {
        cursor: &'a str,
    },
    Add(&'a [&'a str]),
    Remove(&'a [&'a str]),
    Rename(&'a str),
    Send(&'a Content),
    /// Closes the group. If `keeps` is true, or if the platform cannot delete groups, the group stays with this name.
    Close {
        name: &'a str,
        keeps: bool,
    },
}

/// One change of one group, with all data that a codec needs for the request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub account: &'a Defined,
    pub secret: &'a str,
    /// The access token of the account. The text is empty if the channel needs no token.
    pub token: &'a str,
    /// 32 hexadecimal digits: the id of the group for [`Change::Create`] and [`Change::Find`], and the id of the message
    /// for [`Change::Send`]. All attempts use the same id.
    pub id: &'a str,
    /// The number of the ticket.
    pub ticket: &'a str,
    /// The id of the group on the platform. The text is empty before the group exists.
    pub chat: &'a str,
    pub change: Change<'a>,
}

/// The result of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Created {
        /// The id of the group on the platform.
        chat: String,
        /// True if the group already shows its name.
        is_named: bool,
    },
    /// A group with the technical name exists, and [`Change::Find`] must read the page `cursor`.
    Elsewhere {
        cursor: String,
    },
    Done {
        /// The id of a message. The text is empty for another change, or if the platform returns none.
        message: String,
        /// The addresses of the people whom the platform refused.
        refused: Vec<String>,
    },
    Failed(Verdict),
}

impl Outcome {
    /// Returns the outcome of a change that the platform made for all people.
    fn done() -> Self {
        Self::Done {
            message: String::new(),
            refused: Vec::new(),
        }
    }
}

/// A chat platform on which a channel account can own groups.
pub trait Groups: Send + Sync {
    /// Checks the settings that an account needs for groups. If a setting is missing or invalid, returns an English text
    /// that names this setting.
    fn check(&self, account: &Defined) -> Result<(), String>;
    /// Returns the address of the person who owns all groups of the account. This person is always a member, and is never
    /// removed. The text is empty if the account has no such person.
    fn owner<'a>(&self, _account: &'a Defined) -> &'a str {
        ""
    }
    /// Returns true if [`Change::Create`] names the first members. Otherwise, [`Change::Add`] adds all of them.
    fn creates_with_people(&self) -> bool {
        false
    }
    /// Returns the smallest number of members, with the owner. A smaller group cannot be created.
    fn people_min(&self) -> usize {
        0
    }
    /// Returns the largest number of people whom one request adds or removes.
    fn batch(&self, change: &Change<'_>) -> usize;
    /// Returns the time in milliseconds within which the platform recognizes a repetition of [`Change::Create`] by its id. A
    /// later repetition creates a second group. Returns `None` if the platform (or its list of groups) always shows the first
    /// group, or states no end of this time.
    fn recognizes_ms(&self) -> Option<i64> {
        None
    }
    /// Returns true if the platform sends a message with the same id only once.
    fn repeats_messages(&self) -> bool {
        false
    }
    /// Converts a change to a request. If the conversion is not possible, returns the reason as an English text.
    fn request(&self, call: &Call<'_>) -> Result<HttpRequest, String>;
    /// Converts a response of the platform to the outcome of the change.
    fn judge(&self, call: &Call<'_>, response: &HttpResponse) -> Outcome;
}

/// Converts a response, or the error if no response arrived, to the outcome of a change.
pub fn outcome(
    groups: &dyn Groups,
    call: &Call<'_>,
    response: &Result<HttpResponse, HttpError>,
) -> Outcome {
    match response {
        Ok(response) => groups.judge(call, response),
        Err(error) => Outcome::Failed(unanswered(error)),
    }
}

/// Returns the names of all channels whose platforms have an interface for groups.
pub fn channels() -> Vec<&'static str> {
    let with_groups = ALL.iter().filter(|channel| channel.groups().is_some());
    with_groups.map(|channel| channel.name()).collect()
}

/// Returns a name of at most `most` characters. A name that is cut ends with an ellipsis.
fn named(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let cut: String = name.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

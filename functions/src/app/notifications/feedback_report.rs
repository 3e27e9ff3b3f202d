//! Computes the report on the feedback of people on notifications.

use std::collections::BTreeMap;

use domain::notification::feedback::{Feedback, Ratings};
use domain::views::Card as _;
use events::preference::Category;
use events::{Moment, PersonId};
use infra::Error;
use infra::views::Range;

use crate::App;
use crate::app::cards::{documents_of, read_card};

/// Maximum number of people whom one report counts: the newest ones of the period.
pub const ASKED_MAX: usize = 5_000;
/// Maximum number of comments in one report: the newest ones.
pub const COMMENTS_MAX: usize = 50;

/// The figures of one category, or of all categories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub asked: u64,
    /// The number of people who answered at least one question.
    pub answered: u64,
    pub usefulness: Ratings,
    pub timing: Ratings,
}

/// A comment of a person. The report does not name the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub at: Moment,
    pub category: Category,
    pub usefulness: Option<u8>,
    pub text: String,
}

/// The report on the feedback that people gave in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub all: Figures,
    pub categories: BTreeMap<Category, Figures>,
    /// How often people prefer each channel.
    pub channels: BTreeMap<String, u64>,
    pub comments: Vec<Comment>,
    /// False if the period has more questions than the report counts.
    pub is_complete: bool,
}

impl Report {
    fn add(&mut self, feedback: &Feedback) {
        let Some(asked) = &feedback.asked else {
            return;
        };
        let of_category = self.categories.entry(asked.category).or_default();
        for figures in [&mut self.all, of_category] {
            figures.asked += 1;
            if let Some(given) = &feedback.given {
                figures.answered += 1;
                figures.usefulness.add(given.usefulness.unwrap_or_default());
                figures.timing.add(given.timing.unwrap_or_default());
            }
        }
        let Some(given) = &feedback.given else {
            return;
        };
        if let Some(channel) = &given.channel {
            *self.channels.entry(channel.clone()).or_default() += 1;
        }
        let comment = given.comment.as_ref().and_then(|one| one.value.as_str());
        if let Some(text) = comment.filter(|_| self.comments.len() < COMMENTS_MAX) {
            self.comments.push(Comment {
                at: given.at,
                category: asked.category,
                usefulness: given.usefulness,
                text: text.to_owned(),
            });
        }
    }
}

/// Returns the report on the questions that were asked from `from` (inclusive) to `until` (exclusive). Comments of
/// erased people are omitted.
pub async fn report(app: &App, from: Moment, until: Moment) -> Result<Report, Error> {
    let mut report = Report::default();
    let (all, is_complete) = asked(app, from, until).await?;
    report.is_complete = is_complete;
    all.iter().for_each(|feedback| report.add(feedback));
    Ok(report)
}

/// Returns the ratings of usefulness of the people who were asked in a period.
pub(super) async fn usefulness(
    app: &App,
    from: Moment,
    until: Moment,
) -> Result<Vec<(PersonId, u8)>, Error> {
    let (all, _) = asked(app, from, until).await?;
    let rating = |feedback: Feedback| {
        let rating = feedback.given?.usefulness?;
        Some((feedback.asked?.person, rating))
    };
    Ok(all.into_iter().filter_map(rating).collect())
}

/// Returns the newest feedback that was asked for from `from` (inclusive) to `until` (exclusive). The second value is
/// false if the period has more.
async fn asked(app: &App, from: Moment, until: Moment) -> Result<(Vec<Feedback>, bool), Error> {
    let key = |at: Moment| format!("{:016}", at.0.max(0));
    let (from, to) = (key(from), key(until));
    let range = Range {
        view: Feedback::VIEW,
        index: "asked",
        from: &from,
        to: &to,
        descending: true,
        skip: 0,
        limit: ASKED_MAX + 1,
    };
    let mut entries = app.views.range(range).await?;
    let is_complete = entries.len() <= ASKED_MAX;
    entries.truncate(ASKED_MAX);
    let keys = entries.into_iter().map(|entry| entry.key);
    let mut found = Vec::new();
    for (key, document) in documents_of(app, Feedback::VIEW, keys).await? {
        if let Some(document) = document {
            found.push(read_card(&app.ledger, &key, &document).await?);
        }
    }
    Ok((found, is_complete))
}

#[cfg(test)]
mod tests {
    use domain::notification::feedback::IN_APP;
    use events::Personal;
    use events::feedback::{Asked, Given};

    use super::*;

    fn feedback(category: Category, given: Option<(u8, &str)>) -> Feedback {
        Feedback {
            asked: Some(Asked {
                person: "p-1".into(),
                notification: "notification-1".into(),
                category,
                kind: "email".into(),
                at: Moment(5),
            }),
            given: given.map(|(usefulness, comment)| Given {
                usefulness: Some(usefulness),
                timing: None,
                channel: Some(IN_APP.into()),
                comment: Some(Personal::new("p-1".into(), comment.into())),
                at: Moment(9),
            }),
        }
    }

    #[test]
    fn people_who_did_not_answer_are_counted() {
        let mut report = Report::default();
        report.add(&feedback(Category::Updated, Some((2, "too many"))));
        report.add(&feedback(Category::Updated, None));
        report.add(&feedback(Category::Approval, Some((5, "good"))));
        assert_eq!((report.all.asked, report.all.answered), (3, 2));
        assert_eq!(report.all.usefulness.average(), Some(3.5));
        assert_eq!(report.all.timing.average(), None);
        let updated = &report.categories[&Category::Updated];
        assert_eq!((updated.asked, updated.answered), (2, 1));
        assert_eq!(report.channels[IN_APP], 2);
        let texts: Vec<&str> = report
            .comments
            .iter()
            .map(|one| one.text.as_str())
            .collect();
        assert_eq!(texts, ["too many", "good"]);
    }
}

//! Stores the deadlines of streams. One document contains all deadlines of one stream. Each
//! deadline also has a row in an index, which is sorted by time.

use std::collections::{BTreeMap, BTreeSet};

use domain::intent::{Due, Work};
use events::{DeadlineChange, Moment};
use infra::Error;
use infra::queue::NewMessage;
use infra::views::{Document, Put, Range, Views};

/// The name of the view (a stored table) that contains the deadlines of all streams. The index of
/// this view has the same name.
pub const VIEW: &str = "due";
/// If a deadline is reached within this time (in milliseconds), its message is created immediately.
/// The next scheduled search for reached deadlines may be too late for such a deadline.
const SOON_MS: i64 = 120_000;
/// Maximum number of deadlines that one read of the index returns.
const PAGE: usize = 1000;

/// The deadlines of one stream: a map from the id of each deadline to its time.
type Deadlines = BTreeMap<String, Moment>;

/// The sequence number of an event in its stream, and the deadline change that this event causes.
pub type Change = (i64, DeadlineChange);

/// The result of [`apply`]. `put` is the write that stores the new deadlines. `messages` contains a
/// message for each changed deadline that is reached within `SOON_MS`.
#[derive(Debug)]
pub struct Applied {
    pub put: Put,
    pub messages: Vec<NewMessage>,
}

/// The messages about the deadlines of one aggregate type.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    /// The queue of the messages.
    pub queue: &'static str,
    /// The ids of the deadlines of which many are handled by one message. [`crate::timer::wake`] creates this message, and
    /// [`apply`] creates none.
    pub grouped: &'static [&'static str],
}

/// Applies deadline changes to the stored deadlines of a stream. `last` is the sequence number of
/// the last event in the changes. Messages about deadlines in the near future go to the queue in
/// `about`.
///
/// Returns `None` if the stored document already contains all changes.
pub fn apply(
    stream: &str,
    about: Messages,
    stored: Option<&Document>,
    changes: Vec<Change>,
    last: i64,
    now: Moment,
) -> Result<Option<Applied>, Error> {
    let expected = stored.map_or(0, |document| document.sequence);
    let mut deadlines: Deadlines = stored
        .map(|document| serde_json::from_slice(&document.body))
        .transpose()
        .map_err(|error| {
            let what = format!("cannot read the deadlines of {stream}");
            Error::because(infra::Kind::Corrupt, what, error)
        })?
        .unwrap_or_default();
    let mut changed = BTreeSet::new();
    for (_, change) in changes
        .into_iter()
        .filter(|(sequence, _)| *sequence > expected)
    {
        match change.due {
            Some(due) => drop(deadlines.insert(change.id.to_string(), due)),
            None => drop(deadlines.remove(&*change.id)),
        }
        changed.insert(change.id.to_string());
    }
    if changed.is_empty() {
        return Ok(None);
    }
    let rows = deadlines
        .iter()
        .map(|(id, due)| (VIEW, format!("{:016}|{id}", due.0)))
        .collect();
    let messages = deadlines
        .iter()
        .filter(|(id, due)| changed.contains(*id) && due.0 <= now.0 + SOON_MS)
        .filter(|(id, _)| !about.grouped.contains(&id.as_str()))
        .map(|(id, due)| message(stream, id, *due, about.queue))
        .collect();
    let body = serde_json::to_vec(&deadlines).unwrap_or_default();
    let put = Put {
        view: VIEW.into(),
        key: stream.to_owned(),
        document: Document {
            sequence: last,
            body,
        },
        index: rows,
        facets: String::new(),
        expected,
    };
    Ok(Some(Applied { put, messages }))
}

/// Returns the message for a deadline. The message id depends only on the stream, the deadline id
/// and the time. The same deadline therefore always gives the same message id.
///
/// The message is due at the time of the deadline, also if this time has passed. Messages about
/// earlier deadlines are therefore taken first.
pub fn message(stream: &str, deadline: &str, at: Moment, queue: &'static str) -> NewMessage {
    let due = Due {
        stream: stream.to_owned(),
        deadline: deadline.to_owned(),
        at,
    };
    NewMessage {
        queue,
        id: due.id(),
        body: serde_json::to_vec(&Work::Due(due)).unwrap_or_default(),
        due: at,
    }
}

/// Reads the deadlines of all streams in the order of their times. Each call of `next` returns the
/// next deadlines.
pub struct Rows<'a> {
    views: &'a dyn Views,
    to: String,
    from: String,
    skip: usize,
    is_end: bool,
}

impl<'a> Rows<'a> {
    /// Creates a reader for all deadlines up to and including the time `at`.
    pub fn until(views: &'a dyn Views, at: Moment) -> Self {
        Self {
            views,
            to: format!("{:016}", at.0 + 1),
            from: String::new(),
            skip: 0,
            is_end: false,
        }
    }

    /// Returns the next deadlines. Each entry contains a stream name, a deadline id and a time. The
    /// result is empty after the last deadline.
    pub async fn next(&mut self) -> Result<Vec<(String, String, Moment)>, Error> {
        if self.is_end {
            return Ok(Vec::new());
        }
        let page = self
            .views
            .range(Range {
                view: VIEW,
                index: VIEW,
                from: &self.from,
                to: &self.to,
                descending: false,
                skip: self.skip,
                limit: PAGE,
            })
            .await?;
        self.is_end = page.len() < PAGE;
        if let Some(last) = page.last() {
            // The next read starts at the index value of the last deadline in `page`. Several
            // deadlines can have the same index value. The next read therefore skips the deadlines
            // that this function has already returned.
            let seen = page
                .iter()
                .rev()
                .take_while(|entry| entry.value == last.value)
                .count();
            self.skip = if last.value == self.from {
                self.skip + seen
            } else {
                seen
            };
            self.from.clone_from(&last.value);
        }
        Ok(page
            .into_iter()
            .filter_map(|entry| {
                let (at, id) = entry.value.split_once('|')?;
                Some((entry.key, id.to_owned(), Moment(at.parse().ok()?)))
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: Messages = Messages {
        queue: "ticket",
        grouped: &["poll"],
    };

    fn stored(applied: &Applied) -> Document {
        applied.put.document.clone()
    }

    #[test]
    fn a_grouped_deadline_has_a_row_and_no_message_of_its_own() {
        let changes = vec![
            (1, DeadlineChange::set("warn", Moment(100))),
            (1, DeadlineChange::set("poll", Moment(50))),
        ];
        let applied = apply("ticket-1", ABOUT, None, changes, 1, Moment(0))
            .expect("readable")
            .expect("changed");
        assert_eq!(applied.put.index.len(), 2);
        let ids: Vec<&str> = applied.messages.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["ticket-1|warn|0000000000000100"]);
    }

    #[test]
    fn a_stream_has_several_deadlines_and_each_changes_alone() {
        let at = |id: &'static str, due| DeadlineChange::set(id, Moment(due));
        let first = apply(
            "ticket-1",
            ABOUT,
            None,
            vec![(1, at("rate", 500_000)), (2, at("warn", 100))],
            2,
            Moment(0),
        )
        .expect("readable")
        .expect("changed");
        assert_eq!(
            first.put.index,
            [
                (VIEW, "0000000000500000|rate".to_owned()),
                (VIEW, "0000000000000100|warn".to_owned())
            ]
        );
        assert_eq!(first.messages.len(), 1, "only one is due soon");
        assert_eq!(first.messages[0].id, "ticket-1|warn|0000000000000100");
        let document = stored(&first);
        let repeated = vec![(2, at("warn", 100))];
        let again = apply("ticket-1", ABOUT, Some(&document), repeated, 2, Moment(0));
        assert!(again.expect("readable").is_none());
        let cleared = apply(
            "ticket-1",
            ABOUT,
            Some(&document),
            vec![(2, at("warn", 7)), (3, DeadlineChange::clear("warn"))],
            3,
            Moment(0),
        )
        .expect("readable")
        .expect("changed");
        assert_eq!(
            cleared.put.index,
            [(VIEW, "0000000000500000|rate".to_owned())]
        );
        assert!(cleared.messages.is_empty());
        assert_eq!(cleared.put.expected, 2);
    }
}

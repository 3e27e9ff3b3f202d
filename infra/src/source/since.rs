//! Reads changed records in the order of their update times, page by page.
//!
//! The next page begins at the update time of the last record of the page before it. A record that changes between two
//! requests moves to the end of the list, so no record is skipped. Records at the border are read twice, which changes
//! nothing. If one page contains only records with the same time, the next page of the same list follows.
//!
//! A new round begins a little before the newest known time, because some systems set the update time before they store the
//! record.

use jiff::ToSpan as _;
use jiff::civil::DateTime;
use serde_json::Value;

use super::{Page, second_of};

/// The time by which a new round begins earlier, in minutes.
const OVERLAP_MIN: i64 = 2;

/// Where a read of changed records begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    /// The earliest update time, in the time zone of the system. `None` means all records.
    pub(super) at: Option<DateTime>,
    /// The page of the list that begins at this time. The text is empty for the first page.
    pub(super) page: String,
}

impl Since {
    /// Reads the cursor of a page. An unreadable cursor means all records.
    pub(super) fn of(cursor: &str) -> Self {
        let (at, page) = cursor.split_once('|').unwrap_or((cursor, ""));
        Self {
            at: at.parse().ok(),
            page: page.to_owned(),
        }
    }

    pub(super) fn cursor(&self) -> String {
        match (&self.at, self.page.as_str()) {
            (None, "") => String::new(),
            (None, page) => format!("|{page}"),
            (Some(at), "") => at.to_string(),
            (Some(at), page) => format!("{at}|{page}"),
        }
    }

    /// Returns where the next page begins. `newest` is the newest update time on this page, or `None` if the page has no
    /// record with a readable time. `following` is the next page of the same list, or `None` if this page is the last one.
    pub(super) fn after(&self, newest: Option<DateTime>, following: Option<String>) -> Self {
        match (newest, following) {
            // The whole page has the time at which the list begins, or no readable time.
            (newest, Some(page)) if newest.is_none() || newest == self.at => {
                Self { at: self.at, page }
            }
            (newest, Some(_)) => Self {
                at: newest,
                page: String::new(),
            },
            // Without a record, nothing changed since the last round.
            (newest, None) => Self {
                at: newest
                    .and_then(|at| at.checked_sub(OVERLAP_MIN.minutes()).ok())
                    .or(self.at),
                page: String::new(),
            },
        }
    }
}

/// Returns the page after which `since` continues. `time` is the JSON pointer to the update time of a record, and `size` is
/// the number of records on a full page.
pub(super) fn page(since: &Since, records: Vec<Value>, time: &str, size: usize) -> Page {
    let times = records.iter();
    let newest = times
        .filter_map(|record| second_of(record.pointer(time)?))
        .max();
    let has_more = records.len() >= size;
    let following = has_more.then(|| (number_of(&since.page) + 1).to_string());
    Page {
        records,
        cursor: since.after(newest, following).cursor(),
        has_more,
    }
}

/// Returns the number of a page. The first page has number 1.
pub(super) fn number_of(page: &str) -> usize {
    page.parse().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_page_begins_at_the_newest_time() {
        let first = Since::of("");
        assert_eq!(first, Since::default());
        let newest = at("2026-11-28T10:00:05");
        let second = first.after(Some(newest), Some("2".into()));
        assert_eq!(second.cursor(), "2026-11-28T10:00:05");
        // All records of the page have the same time.
        let third = second.after(Some(newest), Some("2".into()));
        assert_eq!(third.cursor(), "2026-11-28T10:00:05|2");
        assert_eq!(Since::of(&third.cursor()), third);
        let later = third.after(Some(at("2026-11-28T10:00:07")), Some("3".into()));
        assert_eq!(later.cursor(), "2026-11-28T10:00:07");
        let end = later.after(Some(at("2026-11-28T10:00:09")), None);
        assert_eq!(end.cursor(), "2026-11-28T09:58:09");
        assert_eq!(end.after(None, None), end);
        // The same records again.
        assert_eq!(end.after(Some(at("2026-11-28T10:00:09")), None), end);
    }

    #[test]
    fn records_without_a_time_do_not_stop_the_read() {
        let second = Since::default().after(None, Some("2".into()));
        assert_eq!(second.cursor(), "|2");
        assert_eq!(Since::of("|2"), second);
    }
}

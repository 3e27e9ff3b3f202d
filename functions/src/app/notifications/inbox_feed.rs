//! Returns the changes of the inbox of a person in the order of the feed (the sequence of all commits). The position
//! in the feed is the cursor of a reader: after an interruption, the reader continues exactly after the last change
//! that it got.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use domain::notification::Notification;
use events::PersonId;
use infra::Error;
use infra::store::Placed;

use crate::App;

/// The beginning of the names of all streams of notifications.
const NOTIFICATION: &str = "notification-";
/// Maximum number of changes that stay in memory for all readers.
const RECENT_MAX: usize = 8_192;
/// Number of commits that one read of the feed returns.
const PAGE: usize = 256;
/// Maximum number of commits that one call of [`InboxFeed::since`] reads. A reader that is far behind needs several
/// calls.
const SCAN_MAX: i64 = 2_048;
/// Maximum number of changes that one call of [`InboxFeed::since`] returns.
pub const CHANGES_MAX: usize = 100;
/// Maximum number of commits after the cursor of a reader. A reader that is further behind must load the inbox again,
/// because this needs less work than all changes.
const BEHIND_MAX: i64 = 100_000;
/// Number of commits that a reader in the cloud reads again. The lists in the cloud are updated after the commit, and a
/// reader does not know how far they are.
const OVERLAP: i64 = 512;
/// Maximum number of readers in this process.
pub const READERS_MAX: usize = 512;
/// Maximum number of readers of one person in this process. A person can have several devices and browser tabs.
pub const READERS_OF_PERSON_MAX: usize = 8;

/// A change of one notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The position of the commit in the feed (the sequence of all commits).
    pub position: i64,
    /// The name of the stream of the notification.
    pub stream: String,
}

/// The changes after the cursor of a reader.
#[derive(Debug, Default)]
pub struct Found {
    /// Each notification occurs once, with its newest position. The list is sorted by position.
    pub changes: Vec<Changed>,
    /// The next cursor. The list contains all changes between the old and the new cursor.
    pub position: i64,
    /// True if the reader can read further commits at once.
    pub is_behind: bool,
    /// True if the reader must load the inbox again, because its cursor is too old or does not belong to this ledger.
    pub is_reset: bool,
}

/// The newest changes of all notifications. All readers of a process share them, so each commit is read once.
#[derive(Debug, Default)]
struct Recent {
    /// `changes` contains all changes with positions after `start`, up to `end`.
    start: i64,
    end: i64,
    changes: VecDeque<(PersonId, Changed)>,
}

/// Reads changes of inboxes for the readers of this process.
#[derive(Debug, Default)]
pub struct InboxFeed {
    recent: tokio::sync::Mutex<Recent>,
    readers: Mutex<BTreeMap<PersonId, usize>>,
}

/// The right of one reader to wait for changes. The right ends when this value is dropped.
#[derive(Debug)]
pub struct Reader {
    feed: Arc<InboxFeed>,
    person: PersonId,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut readers = self.feed.readers.lock().expect("no holder panics");
        if let Some(count) = readers.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.person);
            }
        }
    }
}

/// Returns the position up to which readers may read. On one machine, the lists contain all commits up to this
/// position.
async fn readable(app: &App) -> Result<i64, Error> {
    if app.settings.is_streaming {
        Ok(app.followed.position())
    } else {
        Ok(app.ledger.store.head().await?.position)
    }
}

/// Returns a cursor for a reader that loads the inbox after this call. The reader then misses no change, but can get
/// changes that the inbox already contains.
pub async fn cursor(app: &App) -> Result<i64, Error> {
    let position = readable(app).await?;
    Ok(if app.settings.is_streaming {
        position
    } else {
        (position - OVERLAP).max(0)
    })
}

impl InboxFeed {
    /// Admits a reader. Returns `None` if this process or this person has too many readers.
    pub fn admit(self: &Arc<Self>, person: &PersonId) -> Option<Reader> {
        let mut readers = self.readers.lock().expect("no holder panics");
        let of_person = readers.get(person).copied().unwrap_or_default();
        if readers.values().sum::<usize>() >= READERS_MAX || of_person >= READERS_OF_PERSON_MAX {
            return None;
        }
        readers.insert(person.clone(), of_person + 1);
        Some(Reader {
            feed: self.clone(),
            person: person.clone(),
        })
    }

    /// Returns the changes of the notifications of a person with positions after `after`. If the new cursor is
    /// smaller than the position of the last readable commit, the caller must call the function again.
    pub async fn since(&self, app: &App, person: &PersonId, after: i64) -> Result<Found, Error> {
        let limit = readable(app).await?;
        if after > limit {
            // After a start of the desk, the follower needs a moment until it is at the end of the feed again.
            let is_known = after <= app.ledger.store.head().await?.position;
            return Ok(Found {
                position: if is_known { after } else { limit },
                is_reset: !is_known,
                ..Found::default()
            });
        }
        if limit - after > BEHIND_MAX {
            return Ok(Found {
                position: limit,
                is_reset: true,
                ..Found::default()
            });
        }
        if after == limit {
            return Ok(Found {
                position: after,
                ..Found::default()
            });
        }
        let mut recent = self.recent.lock().await;
        recent.extend(app, limit).await?;
        if recent.start <= after {
            let newer = recent.changes.iter().rev();
            let newer = newer.take_while(|(_, changed)| changed.position > after);
            let own = newer.filter(|(of, _)| of == person);
            let mut own: Vec<Changed> = own.map(|(_, changed)| changed.clone()).collect();
            own.reverse();
            return Ok(found(own, recent.end, recent.end));
        }
        drop(recent);
        // This reader is far behind, so it reads the feed alone.
        let mut own = Vec::new();
        let mut position = after;
        let last = limit.min(after.saturating_add(SCAN_MAX));
        while position < last {
            let (changes, end) = read(app, position, last).await?;
            own.extend(
                changes
                    .into_iter()
                    .filter(|(of, _)| of == person)
                    .map(|(_, changed)| changed),
            );
            position = end;
        }
        Ok(found(own, position, limit))
    }
}

impl Recent {
    /// Adds the changes up to the position `limit`.
    async fn extend(&mut self, app: &App, limit: i64) -> Result<(), Error> {
        if limit - self.end > SCAN_MAX {
            // No reader has waited for a long time.
            *self = Self {
                start: limit,
                end: limit,
                changes: VecDeque::new(),
            };
        }
        while self.end < limit {
            let (changes, end) = read(app, self.end, limit).await?;
            self.changes.extend(changes);
            self.end = end;
        }
        while self.changes.len() > RECENT_MAX {
            if let Some((_, oldest)) = self.changes.pop_front() {
                self.start = oldest.position;
            }
        }
        Ok(())
    }
}

/// Returns the changes of all notifications in one page of commits after the position `after`, up to the position
/// `limit`. Also returns the position up to which the feed was read.
async fn read(app: &App, after: i64, limit: i64) -> Result<(Vec<(PersonId, Changed)>, i64), Error> {
    let page = app.ledger.store.feed(after, PAGE).await?;
    // Without further commits, the feed is read up to the limit.
    let end = page
        .last()
        .map_or(limit, |placed| placed.position.min(limit));
    let mut changes = Vec::new();
    for Placed {
        position, commit, ..
    } in page
    {
        if position > limit || !commit.stream.starts_with(NOTIFICATION) {
            continue;
        }
        let loaded = match app.ledger.load::<Notification>(&commit.stream).await {
            Ok(loaded) => loaded,
            // The follower has parked this stream, so no list shows the notification.
            Err(error) if error.is_poison() => continue,
            Err(error) => return Err(error),
        };
        if let Some(requested) = loaded.aggregate.0.requested {
            let stream = commit.stream;
            changes.push((requested.person, Changed { position, stream }));
        }
    }
    Ok((changes, end))
}

/// Removes all but the newest change of each notification, and limits the number of changes. `position` is the
/// position up to which the feed was read, and `limit` is the position of the last readable commit.
fn found(changes: Vec<Changed>, position: i64, limit: i64) -> Found {
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for changed in &changes {
        newest.insert(&changed.stream, changed.position);
    }
    let is_newest = |changed: &&Changed| newest[changed.stream.as_str()] == changed.position;
    let kept = changes.iter().filter(is_newest).cloned();
    let mut changes: Vec<Changed> = kept.take(CHANGES_MAX + 1).collect();
    let position = if changes.len() > CHANGES_MAX {
        changes.truncate(CHANGES_MAX);
        changes.last().map_or(position, |last| last.position)
    } else {
        position
    };
    Found {
        changes,
        position,
        is_behind: position < limit,
        is_reset: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(position: i64, stream: &str) -> Changed {
        let stream = stream.to_owned();
        Changed { position, stream }
    }

    #[test]
    fn each_notification_occurs_once_with_its_newest_change() {
        let all = vec![changed(1, "a"), changed(2, "b"), changed(5, "a")];
        let found = found(all, 9, 9);
        assert_eq!(found.changes, [changed(2, "b"), changed(5, "a")]);
        assert_eq!((found.position, found.is_behind), (9, false));
    }

    #[test]
    fn a_full_answer_ends_at_its_last_change() {
        let most = i64::try_from(CHANGES_MAX).unwrap();
        let all = (1..=most + 5).map(|position| changed(position, &position.to_string()));
        let found = found(all.collect(), 1_000, 1_000);
        assert_eq!(found.changes.len(), CHANGES_MAX);
        assert_eq!((found.position, found.is_behind), (most, true));
    }

    #[test]
    fn the_number_of_readers_of_a_person_is_bounded() {
        let feed = Arc::new(InboxFeed::default());
        let person = PersonId::from("p-1");
        let mut readers: Vec<Reader> = (0..READERS_OF_PERSON_MAX)
            .map(|_| feed.admit(&person).expect("a reader"))
            .collect();
        assert!(feed.admit(&person).is_none());
        assert!(feed.admit(&PersonId::from("p-2")).is_some());
        readers.pop();
        assert!(feed.admit(&person).is_some());
        drop(readers);
        assert!(feed.readers.lock().unwrap().is_empty());
    }
}

//! Reads and writes the file `<data>/heads`, which contains published heads. A head is the position
//! and the feed hash (chained hash of all commits) of the last commit of the ledger at one time. An
//! audit compares published heads with the ledger. A difference proves that the ledger was changed
//! later.
//!
//! Each line contains one head: `<position> <feed hash> <time>`. A line `lost <first> <last>
//! <time>` records a loss of commits that the operator accepted. Such a line cancels all earlier
//! heads with positions from `first` to `last`. If the last line has no line feed, its write was
//! interrupted. Such a line is ignored.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::commit::{hex, unhex};
use crate::store::Head;
use crate::{Error, Kind};

/// Name of the file in the data directory that contains the published heads (feed positions with
/// hashes).
pub const FILE: &str = "heads";

/// The content of the file `heads` of a directory: published heads (feed positions with hashes),
/// and accepted losses of commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The heads (feed positions with hashes) that the ledger must match. The order is the same as
    /// in the file `heads`.
    pub heads: Vec<Head>,
    /// The losses of commits that the operator accepted. Each loss has a range of positions.
    pub accepted: Vec<Accepted>,
}

/// A range of published commits that the ledger does not contain. The operator accepted the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub first: i64,
    pub last: i64,
    /// Time when the operator accepted the loss, in milliseconds, UTC.
    pub at: i64,
}

/// A loss of commits. The ledger does not contain the commits. However, the file `heads` contains
/// their published positions, or the views (stored lists and documents) contain their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The last lost position. The ledger ends before this position, or the ledger has another hash
    /// at this position. The position comes from the file `heads` or from the views.
    pub published: i64,
    /// The last position that is not lost. The ledger matches the published heads (feed positions
    /// with hashes) up to this position.
    pub position: i64,
    /// The last position in the ledger of the directory.
    pub end: i64,
    /// Whether the position `published` comes from the views. If false, this position comes from
    /// the file `heads`.
    pub by_views: bool,
}

impl Lost {
    /// Computes the loss of commits from the published heads (feed positions with hashes).
    /// `disagreeing` contains the published heads that do not match the ledger. `end` is the last
    /// position of the ledger. Returns `None` if all heads match.
    pub fn of(published: &[Head], disagreeing: &[Head], end: i64) -> Option<Self> {
        let by_position = |head: &&Head| head.position;
        let (lowest, highest) = (
            disagreeing.iter().min_by_key(by_position)?,
            disagreeing.iter().max_by_key(by_position)?,
        );
        let agreed = published
            .iter()
            .map(|head| head.position)
            .filter(|position| *position < lowest.position)
            .max()
            .unwrap_or_default();
        let position = if lowest.position > end { end } else { agreed };
        Some(Self {
            published: highest.position,
            position,
            end,
            by_views: false,
        })
    }

    /// Compares the views (stored lists and documents) with the ledger. `followed` is the last
    /// position whose data the views contain. `end` is the last position of the ledger. Returns the
    /// loss if `followed` is after `end`. Returns `None` if no commit is lost.
    pub fn behind_views(followed: i64, end: i64) -> Option<Self> {
        (followed > end).then_some(Self {
            published: followed,
            position: end,
            end,
            by_views: true,
        })
    }

    /// Returns the number of lost commits.
    pub fn missing(&self) -> i64 {
        self.published - self.position
    }

    /// Returns the error message about the lost commits. The desk starts only after the operator
    /// accepts the loss or restores a backup.
    pub fn message(&self, directory: &Path) -> String {
        let Self {
            published,
            position,
            end,
            by_views,
        } = *self;
        let (missing, directory) = (self.missing(), directory.display());
        let found = if by_views {
            format!(
                "the ledger in {directory} ends at position {end}, but views.db followed it up to position {published}: {missing} commits are missing"
            )
        } else if position == end {
            format!(
                "the ledger in {directory} ends at position {end}, but position {published} was published: {missing} commits are missing"
            )
        } else {
            format!(
                "the ledger in {directory} is not the one whose heads were published: it agrees with them up to position {position}, and {missing} commits up to \
                 position {published} are missing"
            )
        };
        format!(
            "{found}. Restore a backup that holds them (`ledgerdesk restore`). To continue without these commits, start once with \
             `ledgerdesk serve --accept-lost-commits`, which records the loss in the ledger"
        )
    }
}

/// Reads the file `heads` of a directory. Returns the published heads (feed positions with hashes)
/// and the accepted losses. Returns an error if a complete line has an unknown format.
pub fn read(directory: &Path) -> Result<Published, Error> {
    let mut published = Published::default();
    read_lines(directory, &mut |line| published.take(line))?;
    Ok(published)
}

/// Returns all complete lines of the file `heads` without parsing them.
pub fn lines(directory: &Path) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    read_lines(directory, &mut |line| {
        lines.push(line.to_owned());
        Some(())
    })?;
    Ok(lines)
}

/// Reads the file `heads` line by line, and passes each complete line to the function `take`. The
/// file becomes large over time, so its content is never loaded as a whole.
fn read_lines(directory: &Path, take: &mut dyn FnMut(&str) -> Option<()>) -> Result<(), Error> {
    let path = directory.join(FILE);
    let unreadable = |error: std::io::Error| {
        Error::because(
            Kind::Misconfigured,
            format!("cannot read {}", path.display()),
            error,
        )
    };
    let mut file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        file.read_until(b'\n', &mut line).map_err(unreadable)?;
        // If the last line has no line feed, its write was interrupted. This line is ignored.
        let Some(text) = line.strip_suffix(b"\n") else {
            return Ok(());
        };
        number += 1;
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
        // Blank lines are ignored, because a text editor can add them.
        if text.trim().is_empty() {
            continue;
        }
        take(&text).ok_or_else(|| {
            Error::corrupt(format!(
                "line {number} of {} is not a head: another program wrote it; compare with a copy that was kept elsewhere, and remove the line if it is no head \
                 there",
                path.display()
            ))
        })?;
    }
}

impl Published {
    fn take(&mut self, line: &str) -> Option<()> {
        let mut parts = line.split(' ');
        if let Some(range) = line.strip_prefix("lost ") {
            let numbers: Option<Vec<i64>> =
                range.split(' ').map(|number| number.parse().ok()).collect();
            let [first, last, at] = numbers?[..] else {
                return None;
            };
            self.heads
                .retain(|head| !(first..=last).contains(&head.position));
            self.accepted.push(Accepted { first, last, at });
        } else {
            self.heads.push(head(parts.next()?, parts.next()?)?);
        }
        Some(())
    }
}

/// Parses a head (feed position with hash) from two texts: the text `position` and the text `hash`.
/// Returns `None` if one of the texts is invalid.
pub fn head(position: &str, hash: &str) -> Option<Head> {
    let head = Head {
        position: position.parse().ok()?,
        feed_hash: unhex(hash)?,
    };
    let is_possible = head.position > 0 || head == Head::default();
    is_possible.then_some(head)
}

/// Adds a head (the position and the feed hash of the last commit) to the file `heads` of a
/// directory. `at` is the time in milliseconds, UTC.
pub fn publish(directory: &Path, head: Head, at: i64) -> std::io::Result<()> {
    append(directory, &line(head, at))
}

/// Adds a line to the file `heads` that records an accepted loss of commits. The line cancels the
/// published heads (positions with hashes) of the lost commits.
pub fn accept(directory: &Path, lost: &Lost, at: i64) -> std::io::Result<()> {
    append(
        directory,
        &format!("lost {} {} {at}", lost.position + 1, lost.published),
    )
}

/// Returns the line that the file `heads` contains for a head (feed position with hash). `at` is
/// the time in the line, in milliseconds, UTC.
pub fn line(head: Head, at: i64) -> String {
    format!("{} {} {at}", head.position, hex(&head.feed_hash))
}

fn append(directory: &Path, line: &str) -> std::io::Result<()> {
    let path = directory.join(FILE);
    let mut file = File::options()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(&path)?;
    cut_torn_line(&mut file)?;
    // One system call writes the whole line, so that lines of two processes do not mix.
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

/// Removes an incomplete last line from the file `heads`. An interrupted write can leave such a
/// line. The next head (feed position with hash) then begins on a new line.
fn cut_torn_line(file: &mut File) -> std::io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == [b'\n'] {
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    file.set_len(whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: i64) -> Head {
        Head {
            position,
            feed_hash: [u8::try_from(position).unwrap(); 32],
        }
    }

    #[test]
    fn a_loss_starts_after_the_last_matching_head() {
        let published = [at(40), at(60), at(84)];
        let shortened = Lost::of(&published, &[at(60), at(84)], 56).expect("a loss");
        assert_eq!((shortened.position, shortened.missing()), (56, 28));
        assert!(
            shortened
                .message(Path::new("data"))
                .contains("ends at position 56")
                && shortened.message(Path::new("data")).contains("28 commits")
        );
        let changed = Lost::of(&published, &[at(60), at(84)], 150).expect("a loss");
        assert_eq!((changed.position, changed.missing()), (40, 44));
        assert_eq!(Lost::of(&published, &[], 84), None);
    }
}

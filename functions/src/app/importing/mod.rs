//! Imports an incident log (a CSV file) of another system. Each row becomes one event with the time
//! from the row. The events of a case (one incident) have the same order as the rows in the file.
//!
//! Adjacent rows of one case are stored in one commit. The same worker imports all rows of a case
//! and therefore keeps the order of these rows. Many workers run concurrently. One disk sync (a
//! slow write to the disk) can therefore store the commits of many workers.

pub mod mapping;
pub mod records;
pub mod rejected;
pub mod text;
pub mod times;
pub mod written;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ticket::{Command, Context, Lookup, Ticket};
use encoding_rs::{Encoding, UTF_8};
use events::ticket::RowImported;
use events::{Meta, PersonId};
use flate2::read::MultiGzDecoder;
use infra::directory;
use infra::ledger::{ContextLoader, command_id};
use infra::{CommandEnvelope, Error, ExecuteError, Kind, Ledger};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::app::people::People;
use mapping::{Mapping, Places, Row, delimiter_of};
use records::{Fault, RECORD_BYTES_MAX, Record, Records, name_of};
use rejected::Rejected;

/// Number of concurrent workers. Each worker stores one commit at a time. One disk sync (a slow
/// write to the disk) can therefore store up to 64 commits.
const WORKERS: usize = 64;
/// Maximum number of row groups that wait for one worker. A group contains adjacent rows of one
/// case (one incident).
const WAITING_MAX: usize = 8;
/// Maximum number of CSV rows in one commit.
const ROWS_MAX: usize = 100;
/// Maximum size of the rows in one commit, in bytes. This value is much smaller than the size limit
/// of a commit.
const GROUP_BYTES_MAX: usize = 120 * 1024;
/// Maximum number of rejected rows that the import result lists with their reasons. All rejected
/// rows are counted.
const REJECTED_MAX: usize = 1000;
/// Maximum size of the header line of a CSV file, in bytes. A real header with hundreds of columns
/// has about 10 KiB.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// The delimiters between values that the import can detect in the header of a CSV file.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The numbers of rows and cases (incidents) in the result of an import or a check.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub rows: u64,
    pub imported: u64,
    /// The number of rows that earlier imports already stored in the ledger.
    pub duplicate: u64,
    pub rejected: u64,
    /// The number of rows that the import skips, because the mapping (the import configuration)
    /// excludes these rows.
    pub ignored: u64,
    pub cases: u64,
    /// The line number and the reason of each rejected row. Only the first `REJECTED_MAX` rejected
    /// rows are listed.
    pub rejections: Vec<(u64, String)>,
}

/// Counts the bytes and rows that an import has read so far. The progress bar shows these numbers.
#[derive(Debug, Default)]
pub struct Progress {
    pub bytes: AtomicU64,
    pub rows: AtomicU64,
}

/// Adjacent rows of one case (one incident). The rows of a group are stored in one commit.
struct Group {
    case: String,
    rows: Vec<Row>,
}

/// An opened log file, ready for an import. The header contains all columns that the mapping (the
/// import configuration) uses.
pub struct Log {
    pub path: PathBuf,
    /// The names of all columns, from the header line.
    pub headers: Vec<String>,
    pub encoding: &'static Encoding,
    pub delimiter: u8,
    mapping: Arc<Mapping>,
    places: Places,
    records: Records<Text>,
    progress: Arc<Progress>,
}

/// The decoded text of a log file. The import already read the start of the file to find the
/// header. The cursor contains this start, and the boxed reader returns the rest of the file.
type Text = Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

impl Log {
    /// Opens a CSV file, and finds the columns of the mapping (the import configuration) in the
    /// header line. The file may be compressed with gzip. Returns `Misconfigured` if the file
    /// cannot be read or the header line lacks a column of the mapping.
    pub fn open(
        path: &Path,
        mapping: Arc<Mapping>,
        progress: Arc<Progress>,
    ) -> Result<Self, Error> {
        let file = path.display();
        let unreadable = |error: io::Error| {
            Error::because(Kind::Misconfigured, format!("cannot read {file}"), error)
        };
        let wrong = |what: String| Error::new(Kind::Misconfigured, format!("{file}: {what}"));
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(wrong(
                "an import reads a file twice, and this is not a file; save the log to one first"
                    .into(),
            ));
        }
        let text = text::decode(
            open(path, progress.clone()).map_err(unreadable)?,
            mapping.encoding,
        )
        .map_err(|error| wrong(error.to_string()))?;
        let (encoding, mut rest) = (text.encoding, text.bytes);
        let mut head = Vec::new();
        rest.by_ref()
            .take(HEADER_BYTES_MAX as u64 + 1)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        if head.starts_with("\u{feff}".as_bytes()) {
            head.drain(..3);
        }
        let mut line = 1;
        let mut delimiter = mapping.delimiter;
        if let Some((separator, length)) = separator_line(&head) {
            delimiter =
                Some(delimiter_of(&separator).map_err(|error| wrong(format!("line 1: {error}")))?);
            head.drain(..length);
            line = 2;
        }
        let headers = |delimiter: u8| header(&head, delimiter, line);
        let delimiter = delimiter.unwrap_or_else(|| recognized(&mapping, &headers));
        let headers = headers(delimiter).map_err(|fault| wrong(fault.words(encoding)))?;
        let shown = char::from(delimiter);
        let doubled = headers
            .iter()
            .enumerate()
            .find(|(at, name)| !name.is_empty() && headers[..*at].contains(name));
        if let Some((at, name)) = doubled {
            let first = headers
                .iter()
                .position(|header| header == name)
                .unwrap_or_default();
            return Err(wrong(format!(
                "columns {} and {} are both named {name:?}; rename one of them",
                first + 1,
                at + 1
            )));
        }
        let absent = mapping.absent(&headers);
        if !absent.is_empty() {
            let (named, are) = (
                absent
                    .iter()
                    .map(|name| format!("{name:?}"))
                    .collect::<Vec<_>>()
                    .join(", "),
                headers.join(", "),
            );
            let from = if mapping.delimiter.is_some() || line > 1 {
                ""
            } else {
                "; set `delimiter` in the mapping if it is another"
            };
            let alike = |name: &String| {
                headers
                    .iter()
                    .find(|header| header.to_lowercase() == name.to_lowercase())
            };
            let hint = absent.iter().find_map(|name| {
                Some(format!(
                    "; {name:?} differs from {:?} in the case of its letters",
                    alike(name)?
                ))
            });
            let hint = hint.unwrap_or_default();
            return Err(wrong(format!(
                "the file has no column {named}; it has: {are} (the delimiter is {shown:?}{from}){hint}"
            )));
        }
        let places = mapping.columns(&headers)?;
        let mut records = Records::new(Cursor::new(head).chain(rest), delimiter, line);
        // The header line was already parsed. This call only skips the header line.
        let _ = records.read(&mut Record::default()).map_err(unreadable)?;
        Ok(Self {
            path: path.to_owned(),
            headers,
            encoding,
            delimiter,
            mapping,
            places,
            records,
            progress,
        })
    }
}

/// The reason why the header line of a CSV file is rejected.
enum Unusable {
    Empty,
    TooLong,
    Fault(Fault),
}

impl Unusable {
    fn words(self, encoding: &'static Encoding) -> String {
        match self {
            Self::Empty => "the file is empty: it has no header line".into(),
            Self::TooLong => format!("the header line has more than {HEADER_BYTES_MAX} bytes"),
            Self::Fault(fault) => format!("the header line {}", words(&fault, None, encoding)),
        }
    }
}

/// Splits a header line at a delimiter. Returns the column names with normalized whitespace.
fn header(head: &[u8], delimiter: u8, line: u64) -> Result<Vec<String>, Unusable> {
    let mut records = Records::new(head, delimiter, line);
    let mut record = Record::default();
    // The header line is already in memory, so this read cannot fail. The default value is therefore never used.
    let read = records.read(&mut record).unwrap_or_default();
    let is_cut = head.len() > HEADER_BYTES_MAX && records.is_at_end().unwrap_or(true);
    match read {
        _ if is_cut => Err(Unusable::TooLong),
        None => Err(Unusable::Empty),
        Some(Err(fault)) => Err(Unusable::Fault(fault)),
        Some(Ok(())) => Ok(record.values().map(name_of).collect()),
    }
}

/// Detects the delimiter of a CSV file from its header line. `headers` splits the header line at a
/// given delimiter and returns the column names. This function tries three rules in this order:
///
/// 1. If one delimiter splits the header line into all columns of the mapping (the import
///    configuration), this delimiter is the result.
/// 2. If only one delimiter splits the header line into several columns, this delimiter is the result.
/// 3. Otherwise, the comma is the result.
fn recognized(mapping: &Mapping, headers: &dyn Fn(u8) -> Result<Vec<String>, Unusable>) -> u8 {
    let split: Vec<(u8, Vec<String>)> = DELIMITERS
        .into_iter()
        .filter_map(|delimiter| Some((delimiter, headers(delimiter).ok()?)))
        .collect();
    let fits = split
        .iter()
        .find(|(_, names)| mapping.absent(names).is_empty());
    let mut several = split.iter().filter(|(_, names)| names.len() > 1);
    let only = several.next().filter(|_| several.next().is_none());
    fits.or(only).map_or(b',', |(delimiter, _)| *delimiter)
}

/// Returns the delimiter in a first line such as `sep=;`, and the length of this line in bytes.
/// Some spreadsheet programs write such a line before the header line. Returns `None` if the file
/// does not start with such a line.
fn separator_line(head: &[u8]) -> Option<(String, usize)> {
    let end = head
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'))
        .unwrap_or(head.len());
    let line = std::str::from_utf8(&head[..end]).ok()?;
    let line = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'))
        .unwrap_or(line);
    let (key, separator) = line.split_at_checked(4)?;
    if !key.eq_ignore_ascii_case("sep=") || (separator.chars().count() != 1 && separator != "\\t") {
        return None;
    }
    let length = end
        + if head[end..].starts_with(b"\r\n") {
            2
        } else {
            usize::from(end < head.len())
        };
    Some((separator.to_owned(), length))
}

/// Describes why a record (one line of the CSV file) cannot be read. The returned text is the
/// second half of an error sentence. The caller writes the first half, for example `the header
/// line`. `headers` contains the column names of the file, if the header line was already read.
/// `encoding` is the text encoding of the file.
fn words(fault: &Fault, headers: Option<&[String]>, encoding: &'static Encoding) -> String {
    match fault {
        Fault::TooLong => format!("has more than {RECORD_BYTES_MAX} bytes; a quote may be missing"),
        Fault::Unclosed { line } => format!(
            "has a quote that opens on line {line} and is never closed; the rest of the file belongs to it"
        ),
        Fault::NotText { column } => {
            let place = headers
                .and_then(|headers| headers.get(*column))
                .map_or_else(
                    || format!("column {}", column + 1),
                    |name| format!("column {name:?}"),
                );
            let advice = if encoding == UTF_8 {
                "; name the encoding of the file in the mapping, such as encoding = \"windows-1252\" or encoding = \"gb18030\""
            } else {
                "; the mapping may name the wrong encoding"
            };
            format!(
                "has bytes that are not {} in {place}{advice}",
                encoding.name()
            )
        }
    }
}

/// Imports a log file into the ledger. Returns the numbers of imported, duplicate and rejected
/// rows. `key` is the secret key for the fingerprints (the hashes) of rows. The ledger contains the
/// fingerprint of each imported row. `rejected` is a file to which the import writes the rejected
/// rows.
///
/// Rows that are already in the ledger are not imported again. After an interruption, a repeated
/// import of the same file therefore adds only the missing rows.
pub async fn import(
    ledger: &Ledger,
    key: [u8; 32],
    log: Log,
    rejected: Option<Rejected>,
) -> Result<Totals, Error> {
    let unreadable = |error: io::Error| {
        Error::because(
            Kind::Misconfigured,
            format!("cannot read {}", log.path.display()),
            error,
        )
    };
    let fingerprint = fingerprint(&log.path).map_err(unreadable)?;
    let mut inboxes = Vec::new();
    let mut workers: JoinSet<Result<(u64, u64), Error>> = JoinSet::new();
    for _ in 0..WORKERS {
        let (sender, mut inbox) = mpsc::channel::<Group>(WAITING_MAX);
        inboxes.push(sender);
        let (ledger, source, file) = (
            ledger.clone(),
            log.mapping.source.clone(),
            fingerprint.clone(),
        );
        workers.spawn(async move {
            let (mut imported, mut duplicate) = (0, 0);
            while let Some(group) = inbox.recv().await {
                let rows = group.rows.len() as u64;
                let new = take_over(&ledger, &source, &file, group).await?;
                imported += new;
                duplicate += rows - new;
            }
            Ok((imported, duplicate))
        });
    }
    let reading = tokio::task::spawn_blocking(move || {
        read(log, &key, rejected, &mut |group: Group| {
            send(group, &inboxes)
        })
    });
    let read = reading
        .await
        .map_err(|error| Error::because(Kind::Unavailable, "reading the file stopped", error))?;
    let (mut imported, mut duplicate) = (0, 0);
    for worker in workers.join_all().await {
        let (new, old) = worker?;
        imported += new;
        duplicate += old;
    }
    let stopped = |error: Error| {
        Error::because(
            error.kind,
            format!(
                "{imported} rows were imported before the import stopped; the next import continues"
            ),
            error,
        )
    };
    Ok(Totals {
        imported,
        duplicate,
        ..read.map_err(stopped)?
    })
}

/// Reads a log file in the same way as an import, but stores no events. Returns the numbers of rows
/// that an import of this file would return. `desk` contains the ledger and the secret key for the
/// fingerprints (the hashes) of rows. With `desk`, this function also counts the rows that are
/// already in the ledger. `rejected` is a file to which the function writes the rejected rows.
pub async fn check(
    desk: Option<(Ledger, [u8; 32])>,
    log: Log,
    rejected: Option<Rejected>,
) -> Result<Totals, Error> {
    let (source, key) = (
        log.mapping.source.clone(),
        desk.as_ref().map_or([0; 32], |(_, key)| *key),
    );
    let runtime = Handle::current();
    let reading = tokio::task::spawn_blocking(move || -> Result<Totals, Error> {
        let (mut imported, mut duplicate) = (0, 0);
        let totals = read(log, &key, rejected, &mut |group: Group| {
            let rows = group.rows.len() as u64;
            let known = match &desk {
                Some((ledger, _)) => runtime.block_on(known(ledger, &source, &group))?,
                None => 0,
            };
            imported += rows - known;
            duplicate += known;
            Ok(())
        })?;
        Ok(Totals {
            imported,
            duplicate,
            ..totals
        })
    });
    reading
        .await
        .map_err(|error| Error::because(Kind::Unavailable, "reading the file stopped", error))?
}

/// Returns a hash of the content of a file. Each imported event contains this hash, which
/// identifies the file.
fn fingerprint(file: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(file)?)?;
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// A reader that counts the bytes of the file for the progress bar.
struct Counted<R> {
    inner: R,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress
            .bytes
            .fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A gzip reader with clear errors. If the compressed data is damaged, the error message contains
/// the word gzip.
struct Unpacked<R>(MultiGzDecoder<R>);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let damaged = |error: &io::Error| {
            matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
            )
        };
        self.0.read(buffer).map_err(|error| {
            if damaged(&error) {
                io::Error::new(
                    error.kind(),
                    format!("the gzip data is damaged or cut off ({error})"),
                )
            } else {
                error
            }
        })
    }
}

/// Opens a log file and returns a reader for its text. The first two bytes show whether the file is
/// compressed with gzip. `progress` counts the bytes that the reader reads from the file.
fn open(path: &Path, progress: Arc<Progress>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = [0; 2];
    let is_gzip = File::open(path)?.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let counted = BufReader::with_capacity(
        1 << 16,
        Counted {
            inner: File::open(path)?,
            progress,
        },
    );
    Ok(if is_gzip {
        Box::new(Unpacked(MultiGzDecoder::new(counted)))
    } else {
        Box::new(counted)
    })
}

/// Reads the rows of a log file, and groups adjacent rows of the same case. Calls `take` with each
/// group, in the order of the file. Returns the numbers of rows and cases. `key` is the secret key
/// for the hashes of rows, and rejected rows are written to `rejected`.
fn read(
    mut log: Log,
    key: &[u8; 32],
    mut rejected: Option<Rejected>,
    take: &mut dyn FnMut(Group) -> Result<(), Error>,
) -> Result<Totals, Error> {
    let mut totals = Totals::default();
    let mut cases = std::collections::HashSet::new();
    // Counts how often each pair of case (incident) and row text was read so far. The count is the number that
    // distinguishes equal rows of one case. Each entry needs 12 bytes.
    let mut occurrences: HashMap<u64, u32> = HashMap::new();
    let mut group = Group {
        case: String::new(),
        rows: Vec::new(),
    };
    let mut bytes = 0;
    let mut record = Record::default();
    loop {
        let after = log.records.line();
        // After a read error, the rest of the file cannot be read. The error therefore ends the
        // import.
        let read = log.records.read(&mut record).map_err(|error| {
            Error::because(
                Kind::Unavailable,
                format!("cannot read the file from line {after} on"),
                error,
            )
        })?;
        let row = match read {
            None => break,
            Some(Ok(())) => log.mapping.row(&log.places, key, &record),
            Some(Err(fault)) => Err(words(&fault, Some(&log.headers), log.encoding)),
        };
        let row = match row {
            Ok(Some(row)) if row.bytes > GROUP_BYTES_MAX => Err(format!(
                "is too long for an event: about {} bytes can be imported",
                GROUP_BYTES_MAX / 2
            )),
            row => row,
        };
        totals.rows += 1;
        log.progress.rows.fetch_add(1, Ordering::Relaxed);
        let mut row = match row {
            Ok(Some(row)) => row,
            Ok(None) => {
                totals.ignored += 1;
                continue;
            }
            Err(reason) => {
                totals.rejected += 1;
                if let Some(rejected) = &mut rejected {
                    rejected.write(&record, &reason)?;
                }
                if totals.rejections.len() < REJECTED_MAX {
                    totals.rejections.push((record.line, reason));
                }
                continue;
            }
        };
        if row.case != group.case
            || group.rows.len() >= ROWS_MAX
            || bytes + row.bytes > GROUP_BYTES_MAX
        {
            let case = row.case.clone();
            let full = std::mem::replace(
                &mut group,
                Group {
                    case,
                    rows: Vec::new(),
                },
            );
            if !full.rows.is_empty() {
                take(full)?;
            }
            bytes = 0;
        }
        let mut hasher = DefaultHasher::new();
        row.case.hash(&mut hasher);
        cases.insert(hasher.finish());
        row.fingerprint().hash(&mut hasher);
        let nth = occurrences.entry(hasher.finish()).or_default();
        *nth += 1;
        row.count(*nth);
        bytes += row.bytes;
        group.rows.push(row);
    }
    if !group.rows.is_empty() {
        take(group)?;
    }
    if let Some(rejected) = rejected {
        rejected.close()?;
    }
    totals.cases = cases.len() as u64;
    Ok(totals)
}

/// Sends a group of rows to a worker. A hash of the case id selects the worker. Therefore, all rows
/// of a case (one incident) go to the same worker.
fn send(group: Group, inboxes: &[mpsc::Sender<Group>]) -> Result<(), Error> {
    let mut hasher = DefaultHasher::new();
    group.case.hash(&mut hasher);
    let worker = usize::try_from(hasher.finish() % inboxes.len() as u64).unwrap_or_default();
    inboxes[worker]
        .blocking_send(group)
        .map_err(|_| Error::new(Kind::Unavailable, "the import stopped"))
}

/// Replaces whitespace and percent signs in a name with percent codes such as `%20`. The result can
/// be part of the name of an event stream, which must not contain whitespace. The original name can
/// be restored from the result.
pub fn encoded(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    for c in name.chars() {
        if c == '%' || c.is_whitespace() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(word, "%{byte:02X}");
            }
        } else {
            word.push(c);
        }
    }
    word
}

/// Returns the name of the event stream for an imported case (one incident). `source` is the name
/// of the system that wrote the log.
fn stream_of(source: &str, case: &str) -> String {
    format!("ticket-{source}-{}", encoded(case))
}

/// Returns how many rows of a group are already stored in the ledger.
async fn known(ledger: &Ledger, source: &str, group: &Group) -> Result<u64, Error> {
    let ticket = ledger
        .load::<Ticket>(&stream_of(source, &group.case))
        .await?
        .aggregate
        .0;
    let Some(observation) = ticket.observation else {
        return Ok(0);
    };
    let is_known = |row: &&Row| {
        let (text, nth) = row.counted();
        observation
            .rows
            .get(text)
            .is_some_and(|taken| *taken >= nth)
    };
    Ok(group.rows.iter().filter(is_known).count() as u64)
}

/// Stores the rows of a group that are not yet in the ledger. Returns the number of rows that were
/// stored. `source` is the name of the system that wrote the log, and `file` is the hash of the log
/// file.
async fn take_over(ledger: &Ledger, source: &str, file: &str, group: Group) -> Result<u64, Error> {
    // The rows are history. They can name people who have left the organization, so no directory
    // checks their names.
    let people = People::new(
        ledger.keys.clone(),
        Arc::new(directory::file::File::default()),
    );
    let mut observed = Vec::with_capacity(group.rows.len());
    for row in group.rows {
        observed.push(row.observe(file, &people).await?);
    }
    let stream = stream_of(source, &group.case);
    let line = observed.first().map_or(0, |row: &RowImported| row.line);
    // The command id depends on the rows of the group. A repeated import of the same group
    // therefore has the same command id and no effect. If a corrected mapping (the import
    // configuration) accepts one more row, the command id changes, and the new row is stored.
    let rows: Vec<String> = observed
        .iter()
        .map(|row| format!("{}#{}", row.row, row.nth))
        .collect();
    let meta = Meta {
        actor: PersonId::system(),
        ..Meta::system(format!("import {file}"), format!("import {file}:{line}"))
    };
    let command_envelope = CommandEnvelope {
        command_id: command_id(&["import", &group.case, &rows.join(",")]),
        stream,
        meta,
    };
    match ledger
        .execute::<Ticket>(&command_envelope, &Command::ImportRow(observed), &Nobody)
        .await
    {
        Ok(outcome) => Ok(outcome.events.len() as u64),
        Err(ExecuteError::Technical(error)) => Err(error),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            Kind::Misconfigured,
            format!("{}: {rejection}", command_envelope.stream),
        )),
    }
}

/// A context loader for the import. A context loader reads the data that a command needs from other streams. The import
/// command needs no such data, so a call of this loader is an error.
struct Nobody;

#[async_trait::async_trait]
impl ContextLoader<Ticket> for Nobody {
    async fn load(&self, wanted: &[Lookup], _facts: &mut Context) -> Result<(), Error> {
        Err(Error::new(
            Kind::Misconfigured,
            format!("an import asked for {wanted:?}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams_are_encoded_one_to_one() {
        assert_eq!(encoded("Case 2"), "Case%202");
        assert_eq!(encoded("Case%202"), "Case%25202");
        assert_eq!(encoded("工单\u{3000}7"), "工单%E3%80%807");
        assert_eq!(encoded("INC-1"), "INC-1");
    }

    #[test]
    fn a_separator_line_is_recognized() {
        assert_eq!(separator_line(b"sep=;\r\nid;when"), Some((";".into(), 7)));
        assert_eq!(separator_line(b"\"SEP=\t\"\nid"), Some(("\t".into(), 8)));
        assert_eq!(separator_line(b"sep=,"), Some((",".into(), 5)));
        assert_eq!(separator_line(b"sep=abc\nx"), None);
        assert_eq!(separator_line(b"id,when\nsep=;\n"), None);
    }
}

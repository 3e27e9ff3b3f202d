//! Takes over an incident log from another system: each row becomes one event with its own time, in file order inside a case.
//!
//! Rows of neighbouring lines that belong to one case are one commit. Cases are spread over workers by name, so that the order inside a
//! case holds and many commits share one sync.

pub mod mapping;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ticket::{Command, Facts, Lookup, Ticket};
use events::ticket::Observed;
use events::{Meta, Pid};
use flate2::read::MultiGzDecoder;
use infra::ledger::{Lookups, command_id};
use infra::{Error, Failure, Kind, Ledger, Wish};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::people::People;
use mapping::{Mapping, Row};

/// Cases worked on at once; as many commits share a sync.
const WORKERS: usize = 64;
/// Groups of rows that may wait for one worker.
const WAITING_MAX: usize = 8;
/// Rows in one commit.
const ROWS_MAX: usize = 100;
/// Bytes of rows in one commit, well below the limit of a commit.
const GROUP_BYTES_MAX: usize = 120 * 1024;
/// Refused rows that are kept for the report; all are counted.
const REFUSED_MAX: usize = 1000;

/// What became of a file.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub rows: u64,
    pub imported: u64,
    /// Rows the ledger had already.
    pub known: u64,
    pub refused: u64,
    pub cases: u64,
    /// Line and reason of the first refused rows.
    pub refusals: Vec<(u64, String)>,
}

/// Counters that show how far an import is while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub bytes: AtomicU64,
    pub rows: AtomicU64,
}

/// Rows of one case that stand together.
struct Group {
    case: String,
    rows: Vec<Row>,
}

/// Imports a file; `key` is the desk's key for fingerprints. A second import of it adds nothing; an interrupted one goes on where it was.
pub async fn import(ledger: &Ledger, key: [u8; 32], file: &Path, mapping: Arc<Mapping>, progress: Arc<Progress>) -> Result<Totals, Error> {
    let unreadable = |error: io::Error| Error::because(Kind::Misconfigured, format!("cannot read {}", file.display()), error);
    let fingerprint = fingerprint(file).map_err(unreadable)?;
    let reader = open(file, progress.clone()).map_err(unreadable)?;
    let mut inboxes = Vec::new();
    let mut workers: JoinSet<Result<(u64, u64), Error>> = JoinSet::new();
    for _ in 0..WORKERS {
        let (sender, mut inbox) = mpsc::channel::<Group>(WAITING_MAX);
        inboxes.push(sender);
        let (ledger, mapping, file) = (ledger.clone(), mapping.clone(), fingerprint.clone());
        workers.spawn(async move {
            let (mut imported, mut known) = (0, 0);
            while let Some(group) = inbox.recv().await {
                let rows = group.rows.len() as u64;
                let new = take_over(&ledger, &mapping, &file, group).await?;
                imported += new;
                known += rows - new;
            }
            Ok((imported, known))
        });
    }
    let reading = tokio::task::spawn_blocking(move || read(reader, &mapping, &key, &progress, &inboxes));
    let read = reading.await.map_err(|error| Error::because(Kind::Unavailable, "reading the file stopped", error))?;
    let mut totals = Totals::default();
    for worker in workers.join_all().await {
        let (imported, known) = worker?;
        totals.imported += imported;
        totals.known += known;
    }
    let read = read?;
    Ok(Totals { rows: read.rows, cases: read.cases, refused: read.refused, refusals: read.refusals, ..totals })
}

/// Tells one file from another by its content.
fn fingerprint(file: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(file)?)?;
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// Counts the bytes that were read, for the progress bar.
struct Counted<R> {
    inner: R,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Opens a CSV file, compressed or not, told apart by its first bytes.
fn open(path: &Path, progress: Arc<Progress>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = [0; 2];
    let is_gzip = File::open(path)?.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let counted = BufReader::with_capacity(1 << 16, Counted { inner: File::open(path)?, progress });
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(counted)) } else { Box::new(counted) })
}

/// Reads the file line by line, groups neighbouring rows of a case and hands them to the worker of that case.
fn read(reader: Box<dyn Read + Send>, mapping: &Mapping, key: &[u8; 32], progress: &Progress, inboxes: &[mpsc::Sender<Group>]) -> Result<Totals, Error> {
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let headers = csv.headers().map_err(|error| Error::because(Kind::Misconfigured, "cannot read the header line", error))?.clone();
    let columns = mapping.columns(&headers)?;
    let mut totals = Totals::default();
    let mut cases = std::collections::HashSet::new();
    // How often each row's text was met in its case: 12 bytes a row, so that no row of a log is taken for another.
    let mut met: HashMap<u64, u32> = HashMap::new();
    let mut group = Group { case: String::new(), rows: Vec::new() };
    let mut bytes = 0;
    let mut record = csv::StringRecord::new();
    loop {
        let line = csv.position().line();
        let row = match csv.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => mapping.row(&columns, key, &record, record.position().map_or(line, csv::Position::line)),
            // The file itself cannot be read on: what follows is not known, so this is no matter of one row.
            Err(error) if error.is_io_error() => return Err(Error::because(Kind::Unavailable, format!("cannot read on after line {line}"), error)),
            Err(error) => Err(error.to_string()),
        };
        let row = row
            .and_then(|row| if row.bytes <= GROUP_BYTES_MAX { Ok(row) } else { Err(format!("has {} bytes, at most {GROUP_BYTES_MAX} are taken", row.bytes)) });
        totals.rows += 1;
        progress.rows.fetch_add(1, Ordering::Relaxed);
        let mut row = match row {
            Ok(row) => row,
            Err(reason) => {
                totals.refused += 1;
                if totals.refusals.len() < REFUSED_MAX {
                    totals.refusals.push((line, reason));
                }
                continue;
            }
        };
        if row.case != group.case || group.rows.len() >= ROWS_MAX || bytes + row.bytes > GROUP_BYTES_MAX {
            let case = row.case.clone();
            send(std::mem::replace(&mut group, Group { case, rows: Vec::new() }), inboxes)?;
            bytes = 0;
        }
        let mut hasher = DefaultHasher::new();
        row.case.hash(&mut hasher);
        cases.insert(hasher.finish());
        row.fingerprint().hash(&mut hasher);
        let nth = met.entry(hasher.finish()).or_default();
        *nth += 1;
        row.count(*nth);
        bytes += row.bytes;
        group.rows.push(row);
    }
    send(group, inboxes)?;
    totals.cases = cases.len() as u64;
    Ok(totals)
}

fn send(group: Group, inboxes: &[mpsc::Sender<Group>]) -> Result<(), Error> {
    if group.rows.is_empty() {
        return Ok(());
    }
    let mut hasher = DefaultHasher::new();
    group.case.hash(&mut hasher);
    let worker = usize::try_from(hasher.finish() % inboxes.len() as u64).unwrap_or_default();
    inboxes[worker].blocking_send(group).map_err(|_| Error::new(Kind::Unavailable, "the import stopped"))
}

/// Stores the rows of one case that are new; says how many were.
async fn take_over(ledger: &Ledger, mapping: &Mapping, file: &str, group: Group) -> Result<u64, Error> {
    let people = People::new(ledger.keys.clone());
    let mut observed = Vec::with_capacity(group.rows.len());
    for row in group.rows {
        observed.push(row.observe(file, &people).await?);
    }
    let stream = format!("ticket-{}-{}", mapping.source, group.case);
    let line = observed.first().map_or(0, |row: &Observed| row.line);
    // The same rows are the same command; a batch that has one more, because a mapping was mended, is another.
    let rows: Vec<String> = observed.iter().map(|row| format!("{}#{}", row.row, row.nth)).collect();
    let meta = Meta { actor: Pid::system(), ..Meta::system(format!("import {file}"), format!("import {file}:{line}")) };
    let wish = Wish { command_id: command_id(&["import", &group.case, &rows.join(",")]), stream, meta };
    match ledger.execute::<Ticket>(&wish, &Command::Observe(observed), &Nobody).await {
        Ok(outcome) => Ok(outcome.events.len() as u64),
        Err(Failure::Technical(error)) => Err(error),
        Err(Failure::Rejected(rejection)) => Err(Error::new(Kind::Misconfigured, format!("{}: {rejection}", wish.stream))),
    }
}

/// Taking over rows asks nothing from outside.
struct Nobody;

#[async_trait::async_trait]
impl Lookups<Ticket> for Nobody {
    async fn load(&self, wanted: &[Lookup], _facts: &mut Facts) -> Result<(), Error> {
        Err(Error::new(Kind::Misconfigured, format!("an import asked for {wanted:?}")))
    }
}

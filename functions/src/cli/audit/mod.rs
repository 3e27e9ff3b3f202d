//! `ledgerdesk audit`: read, replay, verify, export. Readers, safe beside a running desk. `rebuild` and `parked --redrive` write views; `follow`
//! follows streams whose views were lost, and so queues what follows from them; `check --fill` gives lost commits their places in the feed.

mod check;
mod export;
mod files;
mod list;
mod rebuild;
mod show;

use std::path::Path;
use std::str::FromStr;

use clap::{Args, Subcommand};
use domain::Decider;
use domain::attachment::Attachment;
use domain::call::Call;
use domain::config::{App, Catalog, Dictionary, Role, Service, SharedField};
use domain::delivery::Delivery;
use domain::draft::Draft;
use domain::intake::Intake;
use domain::ledger::{Continuations, STREAM};
use domain::numbers::Numbers;
use domain::ticket::Ticket;
use domain::workflow::Workflow;
use events::{Fact, Moment};
use indicatif::{ProgressBar, ProgressStyle};
use infra::heads::{self, Accepted};
use infra::store::audit::{Verdict, verify};
use infra::store::commit::hex;
use infra::store::{Head, Placed};
use infra::{Error, Ledger};
use serde_json::{Value, json};

use super::place::Place;
use super::{Change, CommandError};
use crate::stream::follow::Follower;
use crate::stream::{parked, project};
use crate::times;

pub use export::cloud_events;
pub use rebuild::{Rebuilt, rebuild_view};

/// Commits read at once.
const PAGE: usize = 1000;
/// Parked streams that are listed.
const PARKED_MAX: usize = 1000;

#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify the ledger: positions, chains, streams, snapshots, published heads.
    Verify {
        /// A head kept elsewhere that must still be true, as `audit head` printed it.
        #[arg(long = "head", value_name = "POSITION:HASH")]
        heads: Vec<String>,
    },
    /// Compare feed and journal: every commit is in both, once, and the same.
    Check {
        /// In the cloud: give commits that the indexer lost their positions, at the end of the feed.
        #[arg(long)]
        fill: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Compare every uploaded file with its digest in the ledger.
    Files,
    /// Print the head of the feed. Kept elsewhere, it proves a later removal.
    Head,
    /// List the streams with their kind, their events and their last position.
    List(list::List),
    /// Replay the feed and print the totals of the desk.
    Replay {
        /// Stop at a position of the feed, or at a time such as 2026-11-22T08:00:00Z.
        #[arg(long, value_name = "POSITION|TIME")]
        to: Option<Bound>,
    },
    /// Show a stream: its commits and the resulting state. Without a stream, list all.
    Show(show::Show),
    /// Export the ledger as CloudEvents, one JSON object per line.
    Export(export::Export),
    /// Rebuild views beside the old ones, compare, and replace what differs.
    Rebuild {
        /// The view; all views if absent.
        view: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Follow every stream again from its card, after views were lost.
    ///
    /// Fills views, deadlines and the board. Effects are requested under the same ids as before, so that nothing happens twice.
    Follow {
        #[command(flatten)]
        change: Change,
    },
    /// List streams and messages that could not be processed.
    Parked {
        /// Process all of them again.
        #[arg(long)]
        redrive: bool,
        #[command(flatten)]
        change: Change,
    },
}

/// A place in the history: a position of the feed, or the time of a commit. A day alone is a day of UTC, from its first to its last millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Position(i64),
    At { first: Moment, last: Moment },
}

/// A day in UTC, which has no leap seconds in this notation.
const DAY_MS: i64 = 86_400_000;

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let position = text.parse().ok().filter(|position: &i64| *position >= 0).map(Self::Position);
        let at = || {
            let first = times::read(text)?;
            let last = if times::is_day(text) { first.plus_ms(DAY_MS - 1) } else { first };
            Some(Self::At { first, last })
        };
        position
            .or_else(at)
            .ok_or_else(|| "write a position of the feed, a time with its offset such as 2026-11-22T08:00:00Z, or a day such as 2026-11-22".into())
    }
}

impl Bound {
    /// Says whether a commit is at this place or before it.
    fn includes(self, placed: &Placed) -> bool {
        match self {
            Self::Position(position) => placed.position <= position,
            Self::At { last, .. } => placed.commit.at <= last,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position(position) => write!(out, "position {position}"),
            Self::At { last, .. } => out.write_str(&times::rfc3339(*last)),
        }
    }
}

impl Audit {
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let place = &self.place;
        match self.command {
            Command::Verify { heads } => verify_all(place, &heads, json).await,
            Command::Check { fill, change } => check::check(place, fill, change, json).await,
            Command::Files => files::check(place, json).await,
            Command::Head => head(place, json).await,
            Command::List(list) => list.run(place, json).await,
            Command::Replay { to } => replay(place, to, json).await,
            Command::Show(show) => show.run(place, json).await,
            Command::Export(export) => export.run(place).await,
            Command::Rebuild { view, change } => rebuild::rebuild(place, view.as_deref(), change, json).await,
            Command::Follow { change } => rebuild::follow_again(place, change, json).await,
            Command::Parked { redrive, change } => list_parked(place, redrive, change, json).await,
        }
    }
}

/// Prints findings and how many there are; any finding ends the command with its own exit code.
fn conclude(name: &str, findings: &[String], mut report: Value, json: bool) -> Result<(), CommandError> {
    report["findings"] = json!(findings);
    report["ok"] = findings.is_empty().into();
    super::print(json, &report, || {
        findings.iter().for_each(|finding| println!("FOUND {finding}"));
        if findings.is_empty() {
            println!("{name}: ok");
        }
    });
    match findings.len() {
        0 => Ok(()),
        1 => Err(CommandError::Found(format!("{name}: one finding"))),
        count => Err(CommandError::Found(format!("{name}: {count} findings"))),
    }
}

/// Rejects a kind that no stream and no event has: a misspelled one would find nothing, which looks like an empty ledger.
fn check_kind(kind: &str, with_types: bool) -> Result<(), CommandError> {
    let types = events::catalog_of_types();
    let mut kinds: Vec<&str> = types.iter().filter_map(|(name, _)| name.split('.').next()).collect();
    kinds.dedup();
    if kinds.contains(&kind) || (with_types && types.iter().any(|(name, _)| *name == kind)) {
        return Ok(());
    }
    let of_kind = kind.split('.').next().unwrap_or_default();
    let near: Vec<&str> = types.iter().map(|(name, _)| *name).filter(|name| with_types && name.split('.').next() == Some(of_kind)).collect();
    let known = if near.is_empty() { kinds } else { near };
    Err(CommandError::Usage(format!("--kind {kind}: this is not known; there are {}", known.join(", "))))
}

/// Does something with the decider a stream belongs to; the one list of all aggregates here.
macro_rules! by_aggregate {
    ($stream:expr, $decider:ident => $with:expr, $otherwise:expr) => {
        by_aggregate!(@ $stream, $decider => $with, $otherwise;
            Ticket Delivery Call Attachment Draft Numbers Intake Workflow Service Catalog Dictionary SharedField Role App Continuations)
    };
    (@ $stream:expr, $decider:ident => $with:expr, $otherwise:expr; $($aggregate:ident)*) => {
        match events::aggregate_of($stream) {
            $(kind if kind == <$aggregate as Decider>::Event::AGGREGATE => {
                type $decider = $aggregate;
                $with
            })*
            _ => $otherwise,
        }
    };
}

use by_aggregate;

fn words(error: Error) -> String {
    error.to_string()
}

async fn verify_all(place: &Place, heads: &[String], json: bool) -> Result<(), CommandError> {
    let ledger = place.read().await?;
    let heads::Published { heads: mut published, accepted } = place.directory().map(heads::read).transpose().map_err(words)?.unwrap_or_default();
    for text in heads {
        let head = text.trim().split_once(':').and_then(|(position, hash)| heads::head(position, hash));
        published.push(head.ok_or_else(|| CommandError::Usage(format!("--head {text}: write POSITION:HASH, as `audit head` prints it")))?);
    }
    let bar = bar(ledger.store.head().await.map_err(words)?.position);
    let mut verdict = verify_ledger(&ledger, &published, &mut |position| bar.set_position(position.unsigned_abs())).await.map_err(words)?;
    bar.finish_and_clear();
    for finding in unrecorded(&ledger, &accepted).await.map_err(words)? {
        verdict.find(finding);
    }
    let (position, hash) = (verdict.head.position, hex(&verdict.head.feed_hash));
    if !json {
        println!("{} commits, {} events, {} streams, head {position}:{hash}", verdict.commits, verdict.events, verdict.streams);
        for Accepted { first, last, at } in &accepted {
            let at = crate::times::rfc3339(events::Moment(*at));
            println!("note: commits {first} to {last} were lost; the operator accepted the loss at {at}, and heads published for them before are void");
        }
    }
    let report = json!({
        "commits": verdict.commits, "events": verdict.events, "streams": verdict.streams, "head": { "position": position, "hash": hash },
    });
    conclude("audit verify", &verdict.findings, report, json)
}

/// Verifies the chains, then refolds every snapshot.
pub async fn verify_ledger(ledger: &Ledger, published: &[Head], progress: &mut (dyn FnMut(i64) + Send)) -> Result<Verdict, Error> {
    let mut verdict = verify(&*ledger.store, published, progress).await?;
    for stream in std::mem::take(&mut verdict.snapshotted) {
        match wrong_snapshots(ledger, &stream).await {
            Ok(wrong) => wrong.into_iter().for_each(|first| verdict.find(format!("the snapshot in {stream}:{first} is not what its events fold to"))),
            Err(error) => verdict.find(error.to_string()),
        }
    }
    Ok(verdict)
}

async fn wrong_snapshots(ledger: &Ledger, stream: &str) -> Result<Vec<i64>, Error> {
    async fn of<D: Decider>(ledger: &Ledger, stream: &str) -> Result<Vec<i64>, Error> {
        ledger.repository::<D>().check_snapshots(stream).await
    }
    by_aggregate!(stream, D => of::<D>(ledger, stream).await, Err(Error::corrupt(format!("stream {stream} is of no known kind"))))
}

/// The losses that `<data>/heads` notes and the ledger does not record: an operator's decision is in both.
async fn unrecorded(ledger: &Ledger, accepted: &[Accepted]) -> Result<Vec<String>, Error> {
    if accepted.is_empty() {
        return Ok(Vec::new());
    }
    let recorded = ledger.load::<Continuations>(STREAM).await?.aggregate.0.accepted;
    let is_recorded = |loss: &Accepted| recorded.iter().any(|record| record.position + 1 == loss.first && record.published_position == loss.last);
    let finding = |loss: &Accepted| format!("{} notes that commits {} to {} were lost, but the ledger has no record of it", heads::FILE, loss.first, loss.last);
    Ok(accepted.iter().filter(|loss| !is_recorded(loss)).map(finding).collect())
}

/// The heads that a directory published and that must be true.
pub fn published_heads(data: &Path) -> Result<Vec<Head>, String> {
    Ok(heads::read(data).map_err(words)?.heads)
}

async fn head(place: &Place, json: bool) -> Result<(), CommandError> {
    let ledger = place.read().await?;
    let head = ledger.store.head().await.map_err(words)?;
    let hash = hex(&head.feed_hash);
    super::print(json, &json!({ "position": head.position, "hash": hash }), || println!("{}:{hash}", head.position));
    Ok(())
}

async fn replay(place: &Place, to: Option<Bound>, json: bool) -> Result<(), CommandError> {
    let ledger = place.read().await?;
    let end = ledger.store.head().await.map_err(words)?.position;
    let bar = bar(if let Some(Bound::Position(position)) = to { end.min(position) } else { end });
    let goes_on = |placed: &Placed| to.is_none_or(|to| to.includes(placed));
    let replayed = project::replay(&ledger, goes_on, |position| bar.set_position(position.unsigned_abs())).await.map_err(words)?;
    bar.finish_and_clear();
    let report = json!({ "position": replayed.position, "events": replayed.events, "board": replayed.board });
    super::print(json, &report, || {
        let place = match to {
            Some(to) if replayed.position < end => format!("the last one up to {to}"),
            _ => "the end of the feed".to_owned(),
        };
        println!("replayed {} events up to position {}, {place}; the totals of the desk at that point:", replayed.events, replayed.position);
        super::report::print_lines(&report["board"], 1);
    });
    Ok(())
}

async fn list_parked(place: &Place, redrive: bool, change: Change, json: bool) -> Result<(), CommandError> {
    let redrive = redrive && !change.dry_run;
    if redrive {
        change.confirm("process everything that is parked again")?;
    }
    let local = if redrive { place.beside().await? } else { place.read_all().await? };
    let follower = Follower { ledger: &local.ledger, views: &*local.views, queue: &*local.queue };
    let streams = parked::list(&*local.views, PARKED_MAX).await.map_err(words)?;
    let messages = local.queue.parked(PARKED_MAX).await.map_err(words)?;
    let (mut shown_streams, mut shown_messages) = (Vec::new(), Vec::new());
    for stream in &streams {
        let mut shown =
            json!({ "consumer": stream.consumer, "stream": stream.stream, "from": stream.from, "reason": stream.reason, "at": times::rfc3339(stream.at) });
        let result = if redrive {
            Some(match parked::redrive(&local.ledger, follower, stream).await {
                Ok(()) => "followed again".to_owned(),
                Err(error) => format!("still parked: {error}"),
            })
        } else {
            None
        };
        if !json {
            println!("{} {} from {}: {}", stream.consumer, stream.stream, stream.from, stream.reason);
            result.iter().for_each(|result| println!("  {result}"));
        }
        shown["result"] = json!(result);
        shown_streams.push(shown);
    }
    for message in &messages {
        let mut shown = json!({ "queue": message.queue, "id": message.id, "reason": message.reason });
        let result = if redrive {
            Some(match local.queue.redrive(&message.queue, &message.id, local.ledger.clock.now()).await {
                Ok(()) => "brought back".to_owned(),
                Err(error) => format!("still there: {error}"),
            })
        } else {
            None
        };
        if !json {
            println!("queue {} message {}: {}", message.queue, message.id, message.reason);
            result.iter().for_each(|result| println!("  {result}"));
        }
        shown["result"] = json!(result);
        shown_messages.push(shown);
    }
    let report = json!({ "streams": shown_streams, "messages": shown_messages });
    super::print(json, &report, || println!("{} streams and {} messages are parked", streams.len(), messages.len()));
    Ok(())
}

fn bar(length: i64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {human_pos} commits  {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length.unsigned_abs()).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_as_a_bound_is_the_whole_day() {
        let at = |text: &str| times::read(text).expect("a time");
        let (first, last) = (at("2026-11-22T00:00:00Z"), at("2026-11-22T23:59:59.999Z"));
        assert_eq!("2026-11-22".parse::<Bound>(), Ok(Bound::At { first, last }));
        assert_eq!("2026-11-22T00:00:00Z".parse::<Bound>(), Ok(Bound::At { first, last: first }));
        assert_eq!("17".parse::<Bound>(), Ok(Bound::Position(17)));
        for wrong in ["", "-1", "yesterday", "2026-11-22 08:00:00", "2026-11-22T08:00:00", "2026-13-01"] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_aggregate_can_be_shown_and_proved() {
        for (kind, _) in events::catalog_of_types() {
            let aggregate = kind.split('.').next().expect("an aggregate");
            let known = by_aggregate!(&format!("{aggregate}-x"), D => D::default() == D::default(), false);
            assert!(known, "{aggregate} is missing in the list of aggregates");
        }
    }
}

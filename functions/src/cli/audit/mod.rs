//! `ledgerdesk audit`: read, replay, prove, export. Readers, safe beside a running desk. `rebuild` and `parked --redrive` write views; `follow`
//! follows what was lost, and so queues what follows from it; `check --fill` gives lost commits their places in the feed.

mod check;
mod export;
mod files;
mod rebuild;

use std::path::Path;

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
use infra::{Error, Kind, Ledger};
use jiff::Timestamp;
use serde_json::json;

use super::place::Place;
use crate::stream::follow::Follower;
use crate::stream::{parked, project};

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
    /// Prove the ledger: positions, chains, streams, snapshots, published heads.
    Verify {
        /// A head from elsewhere that must still be true, as `audit head` printed it.
        #[arg(long = "head", value_name = "POSITION:HASH")]
        heads: Vec<String>,
    },
    /// Hold the feed against the journal: every commit stands in both, once, and is the same.
    Check {
        /// Give commits that the indexer lost their positions, at the end of the feed; only in the cloud.
        #[arg(long)]
        fill: bool,
    },
    /// Hold every uploaded file against the digest that the ledger has of it.
    Files,
    /// Print the head of the feed; keep it elsewhere and a later removal can be proved.
    Head,
    /// Replay the feed and print what it amounts to.
    Replay {
        /// Stop at a position, or at a time such as 2026-11-22T08:00:00Z.
        #[arg(long)]
        to: Option<String>,
    },
    /// Show a stream: every commit, and the state it leads to.
    Show {
        stream: String,
        /// As it was at that commit time, such as 2026-11-22T08:00:00Z.
        #[arg(long)]
        at: Option<Timestamp>,
    },
    /// Write CloudEvents, one JSON object a line; a commit's first line carries its body verbatim.
    Export {
        /// Begin after this position.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
    /// Rebuild views beside the old ones, compare, switch.
    Rebuild {
        /// Which view; all if absent.
        view: Option<String>,
    },
    /// Follow every stream again from its card: fills views that were lost, deadlines and the board with them. What follows from events is asked for
    /// under the same ids as before, so that nothing is done twice.
    Follow,
    /// List what could not be followed.
    Parked {
        /// Try all of it again.
        #[arg(long)]
        redrive: bool,
    },
}

impl Audit {
    pub async fn run(self) -> Result<(), String> {
        let place = &self.place;
        match self.command {
            Command::Verify { heads } => verify_all(place, &heads).await,
            Command::Check { fill } => check::check(place, fill).await,
            Command::Files => files::check(place).await,
            Command::Head => head(place).await,
            Command::Replay { to } => replay(place, to.as_deref()).await,
            Command::Show { stream, at } => show(place, &stream, at).await,
            Command::Export { after } => export::export(place, after).await,
            Command::Rebuild { view } => rebuild::rebuild(place, view.as_deref()).await,
            Command::Follow => rebuild::follow_again(place).await,
            Command::Parked { redrive } => list_parked(place, redrive).await,
        }
    }
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

fn words(error: Error) -> String {
    error.to_string()
}

async fn verify_all(place: &Place, heads: &[String]) -> Result<(), String> {
    let ledger = place.read().await?;
    let heads::Published { heads: mut published, accepted, .. } = place.directory().map(heads::read).transpose().map_err(words)?.unwrap_or_default();
    for text in heads {
        let head = text.split_once(':').and_then(|(position, hash)| heads::head(position, hash));
        published.push(head.ok_or_else(|| format!("--head {text} is not POSITION:HASH"))?);
    }
    let bar = bar(ledger.store.head().await.map_err(words)?.position);
    let mut verdict = verify_ledger(&ledger, &published, &mut |position| bar.set_position(position.unsigned_abs())).await.map_err(words)?;
    bar.finish_and_clear();
    for finding in unrecorded(&ledger, &accepted).await.map_err(words)? {
        verdict.find(finding);
    }
    println!(
        "{} commits, {} events, {} streams, head {}:{}",
        verdict.commits,
        verdict.events,
        verdict.streams,
        verdict.head.position,
        hex(&verdict.head.feed_hash)
    );
    for Accepted { first, last, at } in accepted {
        let at = Timestamp::from_millisecond(at).unwrap_or_default();
        println!("note: commits {first} to {last} were lost; the operator accepted the loss at {at}, and heads published for them before are void");
    }
    for finding in &verdict.findings {
        println!("FOUND {finding}");
    }
    if verdict.is_ok() {
        println!("audit verify: ok");
        return Ok(());
    }
    Err(format!("audit verify: {} findings", verdict.findings.len()))
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

async fn head(place: &Place) -> Result<(), String> {
    let ledger = place.read().await?;
    let head = ledger.store.head().await.map_err(words)?;
    println!("{}:{}", head.position, hex(&head.feed_hash));
    Ok(())
}

async fn replay(place: &Place, to: Option<&str>) -> Result<(), String> {
    let ledger = place.read().await?;
    let (last, until) = match to {
        None => (i64::MAX, i64::MAX),
        Some(text) => match (text.parse::<i64>(), text.parse::<Timestamp>()) {
            (Ok(position), _) => (position, i64::MAX),
            (_, Ok(time)) => (i64::MAX, time.as_millisecond()),
            _ => return Err(format!("--to {text} is neither a position nor a time")),
        },
    };
    let bar = bar(ledger.store.head().await.map_err(words)?.position.min(last));
    let goes_on = |placed: &Placed| placed.position <= last && placed.commit.at.0 <= until;
    let replayed = project::replay(&ledger, goes_on, |position| bar.set_position(position.unsigned_abs())).await.map_err(words)?;
    bar.finish_and_clear();
    println!("{}", json!({ "position": replayed.position, "events": replayed.events, "board": replayed.board }));
    Ok(())
}

async fn show(place: &Place, stream: &str, at: Option<Timestamp>) -> Result<(), String> {
    let ledger = place.read().await?;
    let until = Moment(at.map_or(i64::MAX, Timestamp::as_millisecond));
    by_aggregate!(stream, D => show_as::<D>(&ledger, stream, until).await.map_err(words), Err(format!("{stream} is not a stream; try ticket-<number>")))
}

async fn show_as<D: Decider>(ledger: &Ledger, stream: &str, until: Moment) -> Result<(), Error> {
    let mut state = D::default();
    let mut from = 1;
    loop {
        let page = ledger.store.forward(stream, from, 100).await?;
        let Some(last) = page.last() else { break };
        from = last.next();
        for commit in page.iter().filter(|commit| commit.at <= until) {
            let mut actor = None;
            for envelope in ledger.envelopes::<D::Event>(commit).await? {
                if actor.is_none() {
                    let name = ledger.keys.name(&envelope.meta.actor).await?.unwrap_or_else(|| envelope.meta.actor.0.clone());
                    println!("{:>5}  {}  {name}", commit.first, Timestamp::from_millisecond(commit.at.0).unwrap_or_default());
                    actor = Some(name);
                }
                state.evolve(&envelope.event);
                let data = envelope.event.data().map(|data| data.get().to_owned()).unwrap_or_default();
                println!("       {} {data}", envelope.event.kind());
            }
        }
    }
    if from == 1 {
        return Err(Error::new(Kind::Misconfigured, format!("there is no stream {stream}")));
    }
    println!("state {}", serde_json::to_string_pretty(&state).unwrap_or_default());
    Ok(())
}

async fn list_parked(place: &Place, redrive: bool) -> Result<(), String> {
    let local = place.beside().await?;
    let follower = Follower { ledger: &local.ledger, views: &*local.views, queue: &*local.queue };
    let streams = parked::list(&*local.views, PARKED_MAX).await.map_err(words)?;
    let messages = local.queue.parked(PARKED_MAX).await.map_err(words)?;
    for stream in &streams {
        println!("{} {} from {}: {}", stream.consumer, stream.stream, stream.from, stream.reason);
        if redrive {
            match parked::redrive(&local.ledger, follower, stream).await {
                Ok(()) => println!("  followed again"),
                Err(error) => println!("  still parked: {error}"),
            }
        }
    }
    for message in &messages {
        println!("queue {} message {}: {}", message.queue, message.id, message.reason);
        if redrive {
            match local.queue.redrive(&message.queue, &message.id, local.ledger.clock.now()).await {
                Ok(()) => println!("  brought back"),
                Err(error) => println!("  still there: {error}"),
            }
        }
    }
    println!("{} streams and {} messages are parked", streams.len(), messages.len());
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
    fn every_aggregate_can_be_shown_and_proved() {
        for (kind, _) in events::catalog_of_types() {
            let aggregate = kind.split('.').next().expect("an aggregate");
            let known = by_aggregate!(&format!("{aggregate}-x"), D => D::default() == D::default(), false);
            assert!(known, "{aggregate} is missing in the list of aggregates");
        }
    }
}

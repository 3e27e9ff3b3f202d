//! Implements `ledgerdesk audit`, which reads, replays, verifies and exports the ledger. The
//! service desk may run at the same time.
//!
//! Most subcommands only read. Five subcommands also write:
//! - `rebuild` and `parked --redrive` write views (stored tables for queries).
//! - `follow` builds lost views again, and puts the work of all streams into the queues again.
//! - `callbacks --resend` requests new attempts to send callbacks.
//! - `check --fill` adds missing commits to the end of the feed (the ordered list of all commits).

mod callbacks;
mod check;
mod export;
mod files;
mod list;
mod rebuild;
mod show;

use std::path::Path;
use std::str::FromStr;

use clap::{Args, Subcommand};
use domain::ledger::{Continuations, STREAM};
use domain::projections::desk_board::DeskBoard;
use events::Moment;
use indicatif::{ProgressBar, ProgressStyle};
use infra::commit::hex;
use infra::heads::{self, Accepted};
use infra::store::audit::{Verdict, verify};
use infra::store::{Head, Placed};
use infra::{Error, Ledger};
use serde_json::{Value, json};

use super::target::Target;
use super::{Change, CommandError};
use crate::app::subscriptions::Everything;
use crate::app::times;
use crate::registry::REGISTRY;
use crate::stream::follow::Follower;
use crate::stream::follow::aggregate::find;
use crate::stream::follow::births::Births;
use crate::stream::{parked, project};

pub use export::cloud_events;
pub use rebuild::rebuild_view;

/// The largest number of commits that one read of the ledger returns.
const PAGE: usize = 1000;
/// The largest number of entries that the command reads for one printed list. For example, the
/// command prints a list of the streams whose processing failed.
const PARKED_MAX: usize = 1000;

#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    pub target: Target,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify the ledger: commit positions, hash chains, streams, snapshots, and heads (positions and
    /// hashes of commits) that were stored outside the ledger.
    Verify {
        /// An earlier head (POSITION:HASH) from `audit head`. The ledger must still contain this
        /// commit.
        #[arg(long = "head", value_name = "POSITION:HASH")]
        heads: Vec<String>,
    },
    /// Check that the feed (the ordered list of all commits) and the journal (the table of all
    /// commits) contain the same commits.
    Check {
        /// In the cloud: append missing commits to the feed (the ordered list of all commits).
        #[arg(long)]
        fill: bool,
        #[command(flatten)]
        change: Change,
    },
    /// List the callbacks to client apps with the reason of the last failed attempt, or send callbacks again.
    Callbacks(callbacks::Callbacks),
    /// Compare every uploaded file with its digest in the ledger.
    Files,
    /// Print the position and hash of the last commit (the head). If you store a copy in another
    /// place, you can later detect that commits were removed.
    Head,
    /// List all streams with their kind, their number of events and the position of their last
    /// commit.
    List(list::List),
    /// Read all events of the feed (the ordered list of all commits), and print the totals of the
    /// service desk.
    Replay {
        /// Stop at a position in the list of all commits, or at a time such as
        /// 2026-11-22T08:00:00Z.
        #[arg(long, value_name = "POSITION|TIME")]
        to: Option<Bound>,
    },
    /// Show the commits and the state of a stream. Without a stream, list all streams.
    Show(show::Show),
    /// Export the ledger as CloudEvents, one JSON object per line.
    Export(export::Export),
    /// Build views (stored tables) again from the ledger and compare them with the stored views.
    /// Replace each stored document that differs.
    Rebuild {
        /// The name of the view [default: all views].
        view: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Process every stream again after views (stored tables) were lost.
    ///
    /// The card of a stream (its stored state) contains the sequence number of the last processed
    /// event. The command processes all later events, or all events if the card is lost. It builds
    /// views, deadlines and the totals of the desk again. Repeated requests to other systems keep
    /// their ids, so the receivers can reject them as duplicates.
    Follow {
        #[command(flatten)]
        change: Change,
    },
    /// List parked streams and messages. A stream or a message is parked if its processing failed.
    Parked {
        /// Process all parked streams and messages again.
        #[arg(long)]
        redrive: bool,
        #[command(flatten)]
        change: Change,
    },
}

/// The start or the end of a period. The user specifies a position of the feed (the ordered list of
/// all commits), a time, or a UTC day.
///
/// The variant `At` contains the first and the last millisecond of a UTC day. For a time, these two
/// values are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Position(i64),
    At { first: Moment, last: Moment },
}

/// The duration of a UTC day without leap seconds, in milliseconds.
const DAY_MS: i64 = 86_400_000;

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let position = text
            .parse()
            .ok()
            .filter(|position: &i64| *position >= 0)
            .map(Self::Position);
        let at = || {
            let first = times::read(text)?;
            let last = if times::is_day(text) {
                first.plus_ms(DAY_MS - 1)
            } else {
                first
            };
            Some(Self::At { first, last })
        };
        position
            .or_else(at)
            .ok_or_else(|| "use a position of the feed, a time with its offset such as 2026-11-22T08:00:00Z, or a day such as 2026-11-22".into())
    }
}

impl Bound {
    /// Returns whether a commit is at or before `self`, which is the end of a period.
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
    /// Runs the selected subcommand. Returns an error if a check finds a problem.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let target = &self.target;
        match self.command {
            Command::Verify { heads } => verify_all(target, &heads, json).await,
            Command::Check { fill, change } => check::check(target, fill, change, json).await,
            Command::Callbacks(callbacks) => callbacks.run(target, json).await,
            Command::Files => files::check(target, json).await,
            Command::Head => head(target, json).await,
            Command::List(list) => list.run(target, json).await,
            Command::Replay { to } => replay(target, to, json).await,
            Command::Show(show) => show.run(target, json).await,
            Command::Export(export) => export.run(target).await,
            Command::Rebuild { view, change } => {
                rebuild::rebuild(target, view.as_deref(), change, json).await
            }
            Command::Follow { change } => rebuild::follow_again(target, change, json).await,
            Command::Parked { redrive, change } => list_parked(target, redrive, change, json).await,
        }
    }
}

/// Prints the result of a check. `name` is the name of the check, and `findings` contains the
/// problems that the check found. Returns an error with the number of problems if there are
/// problems.
fn conclude(
    name: &str,
    findings: &[String],
    mut report: Value,
    json: bool,
) -> Result<(), CommandError> {
    report["findings"] = json!(findings);
    report["ok"] = findings.is_empty().into();
    super::print(json, &report, || {
        findings
            .iter()
            .for_each(|finding| println!("FOUND {finding}"));
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

/// Rejects a stream kind that does not exist. Without this check, a misspelled kind would give an
/// empty result. The user could then believe that the ledger contains no such events.
///
/// If `with_types` is true, `kind` may also be an event type.
fn check_kind(kind: &str, with_types: bool) -> Result<(), CommandError> {
    let types = events::catalog_of_types();
    let mut kinds: Vec<&str> = types
        .iter()
        .filter_map(|(name, _)| name.split('.').next())
        .collect();
    kinds.dedup();
    if kinds.contains(&kind) || (with_types && types.iter().any(|(name, _)| *name == kind)) {
        return Ok(());
    }
    let of_kind = kind.split('.').next().unwrap_or_default();
    let near: Vec<&str> = types
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| with_types && name.split('.').next() == Some(of_kind))
        .collect();
    let known = if near.is_empty() { kinds } else { near };
    Err(CommandError::Usage(format!(
        "--kind {kind}: unknown; use one of {}",
        known.join(", ")
    )))
}

fn words(error: Error) -> String {
    error.to_string()
}

async fn verify_all(target: &Target, heads: &[String], json: bool) -> Result<(), CommandError> {
    let ledger = target.read().await?;
    let heads::Published {
        heads: mut published,
        accepted,
    } = target
        .directory()
        .map(heads::read)
        .transpose()
        .map_err(words)?
        .unwrap_or_default();
    for text in heads {
        let head = text
            .trim()
            .split_once(':')
            .and_then(|(position, hash)| heads::head(position, hash));
        published.push(head.ok_or_else(|| {
            CommandError::Usage(format!(
                "--head {text}: write POSITION:HASH, as `audit head` prints it"
            ))
        })?);
    }
    let bar = bar(ledger.store.head().await.map_err(words)?.position);
    let mut verdict = verify_ledger(&ledger, &published, &mut |position| {
        bar.set_position(position.unsigned_abs());
    })
    .await
    .map_err(words)?;
    bar.finish_and_clear();
    for finding in unrecorded(&ledger, &accepted).await.map_err(words)? {
        verdict.find(finding);
    }
    let (position, hash) = (verdict.head.position, hex(&verdict.head.feed_hash));
    if !json {
        println!(
            "{} commits, {} events, {} streams, head {position}:{hash}",
            verdict.commits, verdict.events, verdict.streams
        );
        for Accepted { first, last, at } in &accepted {
            let at = crate::app::times::rfc3339(events::Moment(*at));
            println!(
                "note: commits {first} to {last} were lost; the operator accepted the loss at {at}, and heads published for them before are void"
            );
        }
    }
    let report = json!({
        "commits": verdict.commits, "events": verdict.events, "streams": verdict.streams, "head": { "position": position, "hash": hash },
    });
    conclude("audit verify", &verdict.findings, report, json)
}

/// Verifies the hash chains of the ledger. Also computes the state of each snapshot again from the
/// events of its stream, and compares this state with the snapshot. The returned verdict lists all
/// problems.
pub async fn verify_ledger(
    ledger: &Ledger,
    published: &[Head],
    progress: &mut (dyn FnMut(i64) + Send),
) -> Result<Verdict, Error> {
    let mut verdict = verify(&*ledger.store, published, progress).await?;
    for stream in std::mem::take(&mut verdict.snapshotted) {
        match wrong_snapshots(ledger, &stream).await {
            Ok(wrong) => wrong.into_iter().for_each(|first| {
                verdict.find(format!(
                    "the snapshot in {stream}:{first} differs from the state folded from its events"
                ));
            }),
            Err(error) => verdict.find(error.to_string()),
        }
    }
    Ok(verdict)
}

async fn wrong_snapshots(ledger: &Ledger, stream: &str) -> Result<Vec<i64>, Error> {
    match find(REGISTRY, stream) {
        Some(aggregate) => aggregate.wrong_snapshots(ledger, stream).await,
        None => Err(Error::corrupt(format!(
            "stream {stream} has an unknown kind"
        ))),
    }
}

/// Checks the accepted losses of commits. A loss is accepted if the operator starts the desk
/// although commits are missing. Each accepted loss must be in the file `<data>/heads` and also in
/// the ledger. `accepted` contains the losses from the file. Returns a text for each loss that the
/// ledger does not record.
async fn unrecorded(ledger: &Ledger, accepted: &[Accepted]) -> Result<Vec<String>, Error> {
    if accepted.is_empty() {
        return Ok(Vec::new());
    }
    let recorded = ledger
        .load::<Continuations>(STREAM)
        .await?
        .aggregate
        .0
        .accepted;
    let is_recorded = |loss: &Accepted| {
        recorded.iter().any(|record| {
            record.position + 1 == loss.first && record.published_position == loss.last
        })
    };
    let finding = |loss: &Accepted| {
        format!(
            "{} records the loss of commits {} to {}, but the ledger does not",
            heads::FILE,
            loss.first,
            loss.last
        )
    };
    Ok(accepted
        .iter()
        .filter(|loss| !is_recorded(loss))
        .map(finding)
        .collect())
}

/// Returns the published heads of a data directory. A published head is the position and the hash
/// of a commit, stored in the file `heads`. The result omits the heads of commits whose loss was
/// accepted.
pub fn published_heads(data: &Path) -> Result<Vec<Head>, String> {
    Ok(heads::read(data).map_err(words)?.heads)
}

async fn head(target: &Target, json: bool) -> Result<(), CommandError> {
    let ledger = target.read().await?;
    let head = ledger.store.head().await.map_err(words)?;
    let hash = hex(&head.feed_hash);
    super::print(
        json,
        &json!({ "position": head.position, "hash": hash }),
        || println!("{}:{hash}", head.position),
    );
    Ok(())
}

async fn replay(target: &Target, to: Option<Bound>, json: bool) -> Result<(), CommandError> {
    let ledger = target.read().await?;
    let end = ledger.store.head().await.map_err(words)?.position;
    let bar = bar(if let Some(Bound::Position(position)) = to {
        end.min(position)
    } else {
        end
    });
    let includes = |placed: &Placed| to.is_none_or(|to| to.includes(placed));
    let replayed = project::replay::<DeskBoard>(&ledger, includes, |position| {
        bar.set_position(position.unsigned_abs());
    })
    .await
    .map_err(words)?;
    bar.finish_and_clear();
    let report = json!({ "position": replayed.position, "events": replayed.events, "board": replayed.document });
    super::print(json, &report, || {
        let end_text = match to {
            Some(to) if replayed.position < end => format!("the last position up to {to}"),
            _ => "the end of the feed".to_owned(),
        };
        println!(
            "replayed {} events up to position {}, {end_text}; the totals of the desk at that point:",
            replayed.events, replayed.position
        );
        super::report::print_lines(&report["board"], 1);
    });
    Ok(())
}

async fn list_parked(
    target: &Target,
    redrive: bool,
    change: Change,
    json: bool,
) -> Result<(), CommandError> {
    let redrive = redrive && !change.dry_run;
    if redrive {
        change.confirm("process all parked streams and messages again")?;
    }
    let local = if redrive {
        target.beside().await?
    } else {
        target.read_all().await?
    };
    let births = Births::load(&local.ledger, REGISTRY).await.map_err(words)?;
    let follower = Follower {
        ledger: &local.ledger,
        views: &*local.views,
        writer: &*local.page_writer,
        births: &births,
        wanted: &Everything,
        registry: REGISTRY,
    };
    let streams = parked::list(&*local.views, PARKED_MAX)
        .await
        .map_err(words)?;
    let messages = local.queue.parked(PARKED_MAX).await.map_err(words)?;
    let (mut shown_streams, mut shown_messages) = (Vec::new(), Vec::new());
    for stream in &streams {
        let mut shown = json!({ "consumer": stream.consumer, "stream": stream.stream, "from": stream.from, "reason": stream.reason, "at": times::rfc3339(stream.at) });
        let result = if redrive {
            Some(match parked::redrive(follower, stream).await {
                Ok(()) => "followed again".to_owned(),
                Err(error) => format!("still parked: {error}"),
            })
        } else {
            None
        };
        if !json {
            println!(
                "{} {} from {}: {}",
                stream.consumer, stream.stream, stream.from, stream.reason
            );
            result.iter().for_each(|result| println!("  {result}"));
        }
        shown["result"] = json!(result);
        shown_streams.push(shown);
    }
    for message in &messages {
        let mut shown =
            json!({ "queue": message.queue, "id": message.id, "reason": message.reason });
        let result = if redrive {
            Some(
                match local
                    .queue
                    .redrive(&message.queue, &message.id, local.ledger.clock.now())
                    .await
                {
                    Ok(()) => "brought back".to_owned(),
                    Err(error) => format!("still parked: {error}"),
                },
            )
        } else {
            None
        };
        if !json {
            println!(
                "queue {} message {}: {}",
                message.queue, message.id, message.reason
            );
            result.iter().for_each(|result| println!("  {result}"));
        }
        shown["result"] = json!(result);
        shown_messages.push(shown);
    }
    let report = json!({ "streams": shown_streams, "messages": shown_messages });
    super::print(json, &report, || {
        println!(
            "{} streams and {} messages are parked",
            streams.len(),
            messages.len()
        );
    });
    Ok(())
}

fn bar(length: i64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3}%  {human_pos} commits  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
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
        assert_eq!(
            "2026-11-22T00:00:00Z".parse::<Bound>(),
            Ok(Bound::At { first, last: first })
        );
        assert_eq!("17".parse::<Bound>(), Ok(Bound::Position(17)));
        for wrong in [
            "",
            "-1",
            "yesterday",
            "2026-11-22 08:00:00",
            "2026-11-22T08:00:00",
            "2026-13-01",
        ] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong}");
        }
    }
}

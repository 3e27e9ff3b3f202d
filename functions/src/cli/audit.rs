//! `ledgerdesk audit`: read, replay, prove, export. Readers, safe beside a running desk; only `rebuild` and `parked --redrive` write, and only views.

use std::io::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use domain::Decider;
use domain::config::{App, Catalog, Role, Service, Workflow};
use domain::delivery::Delivery;
use domain::intake::Intake;
use domain::numbers::Numbers;
use domain::ticket::Ticket;
use domain::views::Card;
use domain::views::delivery_card::DeliveryCard;
use domain::views::ticket_card::TicketCard;
use events::{Body, Fact, Moment};
use indicatif::{ProgressBar, ProgressStyle};
use infra::store::audit::{Verdict, compare, verify};
use infra::store::commit::hex;
use infra::store::{Head, Placed};
use infra::views::Views;
use infra::{Error, Kind, Ledger};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::place::Place;
use crate::host::local::CHECKPOINT;
use crate::stream::follow::{Follower, read_card};
use crate::stream::index::{Arrived, Indexer, TAMPERED};
use crate::stream::{parked, project};

/// Commits read at once.
const PAGE: usize = 1000;
/// Parked streams that are listed.
const PARKED_MAX: usize = 1000;
/// The reverse domain of exported event types.
const DOMAIN: &str = "io.ledgerdesk";

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
            Command::Check { fill } => check(place, fill).await,
            Command::Head => head(place).await,
            Command::Replay { to } => replay(place, to.as_deref()).await,
            Command::Show { stream, at } => show(place, &stream, at).await,
            Command::Export { after } => export(place, after).await,
            Command::Rebuild { view } => rebuild(place, view.as_deref()).await,
            Command::Parked { redrive } => list_parked(place, redrive).await,
        }
    }
}

/// Does something with the decider a stream belongs to; the one list of all aggregates here.
macro_rules! by_aggregate {
    ($stream:expr, $decider:ident => $with:expr, $otherwise:expr) => {
        by_aggregate!(@ $stream, $decider => $with, $otherwise;
            Ticket Delivery Numbers Intake Workflow Service Catalog Role App)
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
    let mut published = place.directory().map(published_heads).transpose()?.unwrap_or_default();
    for text in heads {
        published.push(parse_head(text.split_once(':')).ok_or_else(|| format!("--head {text} is not POSITION:HASH"))?);
    }
    let bar = bar(ledger.store.head().await.map_err(words)?.position);
    let verdict = verify_ledger(&ledger, &published, &mut |position| bar.set_position(position.unsigned_abs())).await.map_err(words)?;
    bar.finish_and_clear();
    println!(
        "{} commits, {} events, {} streams, head {}:{}",
        verdict.commits,
        verdict.events,
        verdict.streams,
        verdict.head.position,
        hex(&verdict.head.feed_hash)
    );
    for finding in &verdict.findings {
        println!("FOUND {finding}");
    }
    if verdict.is_ok() {
        println!("audit verify: ok");
        return Ok(());
    }
    Err(format!("audit verify: {} findings", verdict.findings.len()))
}

/// How long a commit may be on its way into the feed.
const ON_ITS_WAY_MS: i64 = 60_000;

async fn check(place: &Place, fill: bool) -> Result<(), String> {
    let ledger = place.read().await?;
    let head = ledger.store.head().await.map_err(words)?;
    let bar = bar(head.position);
    let until = Moment(ledger.clock.now().0 - ON_ITS_WAY_MS);
    let mut compared = compare(&*ledger.store, until, &mut |position| bar.set_position(position.unsigned_abs())).await.map_err(words)?;
    for stream in std::mem::take(&mut compared.snapshotted) {
        match wrong_snapshots(&ledger, &stream).await {
            Ok(wrong) => compared.findings.extend(wrong.into_iter().map(|first| format!("the snapshot in {stream}:{first} is not what its events fold to"))),
            Err(error) => compared.findings.push(error.to_string()),
        }
    }
    if place.is_cloud() {
        let cloud = place.connect().await?;
        let signs = cloud.views.scan(TAMPERED, "", PARKED_MAX).await.map_err(words)?;
        compared.findings.extend(signs.into_iter().map(|(sign, _)| format!("the journal's stream told: {sign}")));
    }
    bar.finish_and_clear();
    println!("{} commits in both, {} on their way into the feed, verified up to position {}", compared.both, compared.on_their_way, head.position);
    for finding in &compared.findings {
        println!("FOUND {finding}");
    }
    if fill && !compared.not_in_feed.is_empty() {
        let cloud = place.connect().await?;
        let mut lost: Vec<Arrived> = compared.not_in_feed.into_iter().map(|commit| Arrived { written: commit.at, commit }).collect();
        // The order of arrival is gone; that of commit times is the next best.
        lost.sort_by_key(|arrived| (arrived.commit.at, arrived.commit.first));
        let filled = Indexer::new(cloud.pages, cloud.blob, ledger.clock.clone()).index(&lost).await.map_err(words)?;
        println!("{filled} commits were given positions at the end of the feed");
        return Ok(());
    }
    match compared.findings.len() {
        0 => {
            println!("audit check: ok");
            Ok(())
        }
        count => Err(format!("audit check: {count} findings")),
    }
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

/// Reads `<data>/heads`; a line that is not a head is an error, since somebody wrote into it.
pub fn published_heads(data: &Path) -> Result<Vec<Head>, String> {
    let path = data.join("heads");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let head = |(number, line): (usize, &str)| {
        let mut parts = line.split(' ');
        parse_head(parts.next().zip(parts.next())).ok_or_else(|| format!("line {} of {} is not a head", number + 1, path.display()))
    };
    // A last line without its end was being written when the machine stopped.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole.lines().enumerate().map(head).collect()
}

fn parse_head(parts: Option<(&str, &str)>) -> Option<Head> {
    let (position, hash) = parts?;
    let bytes = |at: usize| u8::from_str_radix(hash.get(at * 2..at * 2 + 2)?, 16).ok();
    let mut feed_hash = [0; 32];
    for (at, byte) in feed_hash.iter_mut().enumerate() {
        *byte = bytes(at)?;
    }
    (hash.len() == 64).then_some(Head { position: position.parse().ok()?, feed_hash })
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

async fn export(place: &Place, after: i64) -> Result<(), String> {
    let ledger = place.read().await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut position = after;
    loop {
        let page = ledger.store.feed(position, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in &page {
            for line in cloud_events(placed).map_err(words)? {
                if let Err(error) = writeln!(out, "{line}") {
                    return ended(&error);
                }
            }
        }
    }
    match out.flush() {
        Ok(()) => Ok(()),
        Err(error) => ended(&error),
    }
}

/// A reader that has seen enough ends an export; anything else that stops it is a failure.
fn ended(error: &std::io::Error) -> Result<(), String> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(format!("cannot write: {error}")) }
}

/// A commit as CloudEvents 1.0. Extension attributes are lower-case letters and texts or integers, as the specification asks; what proves the
/// commit stands on its first line.
pub fn cloud_events(placed: &Placed) -> Result<Vec<Value>, Error> {
    let commit = &placed.commit;
    let unreadable = |reason: String| Error::corrupt(format!("position {}: {reason}", placed.position));
    let text = std::str::from_utf8(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let body = Body::read(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let time = |at: Moment| Timestamp::from_millisecond(at.0).unwrap_or_default().to_string();
    let subject = commit.stream.split_once('-').map_or(commit.stream.as_str(), |(_, id)| id);
    let line = |(raw, sequence): (&events::Raw<'_>, i64)| {
        let data: Value = serde_json::from_str(raw.data.get()).map_err(|error| unreadable(error.to_string()))?;
        let mut line = json!({
            "specversion": "1.0",
            "id": format!("{}:{sequence}", commit.stream),
            "source": "/ledgerdesk",
            "type": format!("{DOMAIN}.{}.v{}", raw.kind, raw.version),
            "subject": subject,
            "time": time(raw.occurred_at.unwrap_or(commit.at)),
            "datacontenttype": "application/json",
            "data": data,
            "stream": commit.stream,
            "sequence": sequence.to_string(),
        });
        if sequence == commit.first {
            line["position"] = placed.position.to_string().into();
            line["first"] = commit.first.to_string().into();
            line["count"] = commit.n.to_string().into();
            line["committedat"] = commit.at.0.to_string().into();
            line["commandid"] = hex(&commit.command_id).into();
            line["prevhash"] = hex(&commit.prev_hash).into();
            line["hash"] = hex(&commit.hash).into();
            line["feedhash"] = hex(&placed.feed_hash).into();
            line["body"] = text.into();
        }
        Ok(line)
    };
    body.events.iter().zip(commit.first..).map(line).collect()
}

async fn rebuild(place: &Place, wanted: Option<&str>) -> Result<(), String> {
    let local = place.beside().await?;
    let views = [TicketCard::VIEW, DeliveryCard::VIEW, Service::VIEW, Role::VIEW, project::DESK_BOARD];
    if let Some(wanted) = wanted.filter(|wanted| !views.contains(wanted)) {
        return Err(format!("there is no view {wanted}; there are: {}", views.join(", ")));
    }
    for view in views.into_iter().filter(|view| wanted.is_none_or(|wanted| wanted == *view)) {
        let outcome = rebuild_view(&local.ledger, &*local.views, view).await.map_err(words)?;
        println!("{view}: {} documents, {} differed from the old view", outcome.documents, outcome.different);
    }
    Ok(())
}

/// What a rebuild found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub documents: u64,
    pub different: u64,
}

/// Builds a view anew beside the old one, compares the two, and puts what differs in the old one's place. There is no queue here: it cannot send anything.
///
/// A card's sequence is also the checkpoint of its reactions, so no card is brought further than the follower brought it: neither past the follower's place
/// in the feed nor past the old card. A card that moved on meanwhile is the follower's and stays.
pub async fn rebuild_view(ledger: &Ledger, views: &dyn Views, view: &str) -> Result<Rebuilt, Error> {
    match view {
        TicketCard::VIEW => rebuild_cards::<TicketCard>(ledger, views).await,
        DeliveryCard::VIEW => rebuild_cards::<DeliveryCard>(ledger, views).await,
        Service::VIEW => rebuild_cards::<Service>(ledger, views).await,
        Role::VIEW => rebuild_cards::<Role>(ledger, views).await,
        _ => rebuild_board(ledger, views).await,
    }
}

async fn rebuild_cards<C: Card>(ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error> {
    let beside = format!("{}~new", C::VIEW);
    // What an interrupted rebuild left behind is thrown away.
    views.clear(&beside).await?;
    let followed = views.get(CHECKPOINT, "follow").await?.map_or(0, |checkpoint| checkpoint.sequence);
    let mut position = 0;
    'feed: loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else { break };
        for placed in page.iter().filter(|placed| events::aggregate_of(&placed.commit.stream) == C::Event::AGGREGATE) {
            if placed.position > followed {
                break 'feed;
            }
            let old = views.get(C::VIEW, &placed.commit.stream).await?;
            if old.is_none_or(|old| placed.commit.next() - 1 <= old.sequence) {
                project::refold::<C>(ledger, views, &beside, &placed.commit).await?;
            }
        }
        position = last.position;
    }
    let mut rebuilt = Rebuilt { documents: 0, different: 0 };
    let mut after = String::new();
    loop {
        let page = views.scan(&beside, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (key, document) in page {
            rebuilt.documents += 1;
            let old = views.get(C::VIEW, &key).await?;
            if old.as_ref() != Some(&document) {
                rebuilt.different += 1;
                let card: C = read_card(&key, &document)?;
                views.put(C::VIEW, &key, &document, &card.index(), old.map_or(0, |old| old.sequence)).await?;
            }
        }
    }
    rebuilt.different += drop_strangers::<C>(ledger, views).await?;
    views.clear(&beside).await?;
    Ok(rebuilt)
}

/// Removes documents whose stream does not exist.
async fn drop_strangers<C: Card>(ledger: &Ledger, views: &dyn Views) -> Result<u64, Error> {
    let (mut dropped, mut after) = (0, String::new());
    loop {
        let page = views.scan(C::VIEW, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(dropped) };
        after.clone_from(last);
        for (key, _) in page {
            if ledger.store.next(&key).await? == 1 {
                views.remove(C::VIEW, &key).await?;
                dropped += 1;
            }
        }
    }
}

async fn rebuild_board(ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error> {
    let (reached, old) = project::board(views, project::DESK_BOARD).await?;
    let project::Replayed { board, position, .. } = project::replay(ledger, |placed| placed.position <= reached, |_| {}).await?;
    let different = u64::from(board != old);
    if different > 0 {
        project::put_board(views, position, &board).await?;
    }
    Ok(Rebuilt { documents: 1, different })
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
            local.queue.redrive(&message.queue, &message.id, local.ledger.clock.now()).await.map_err(words)?;
            println!("  brought back");
        }
    }
    println!("{} streams and {} messages are parked", streams.len(), messages.len());
    Ok(())
}

fn bar(length: i64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {human_pos} commits  {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length.unsigned_abs()).with_style(style)
}

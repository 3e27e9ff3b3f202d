//! Every function in one process on one directory: HTTP, following, queues and timers, restartable at any instant.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use infra::heads::publish;
use infra::queue::{ATTEMPTS_MAX, Message};
use infra::views::Document;
use infra::{Error, Kind};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::server;
use crate::catalog::{FUNCTIONS, Trigger};
use crate::stream::follow::Follower;
use crate::stream::parked::follow_or_park;
use crate::stream::project;
use crate::{App, http, queue, timer};

/// Commits followed between two checkpoints.
const PAGE: usize = 256;
/// Messages worked on at once per queue.
const AT_ONCE: usize = 16;
/// How long a taken message stays away: longer than any outgoing call may take.
const LEASE_MS: i64 = 60_000;
/// How long an idle queue waits before it looks again.
const IDLE: Duration = Duration::from_millis(100);
/// How long a loop waits after an error before it tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two rounds of a projection, so that one write holds many commits.
const PROJECT_EVERY: Duration = Duration::from_millis(200);
/// Between two published heads, where there is something new.
const HEADS_EVERY: Duration = Duration::from_secs(5);
/// Where the follower left off; a hint, since the cards know better.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// A running desk.
pub struct Desk {
    pub address: std::net::SocketAddr,
    app: App,
    directory: std::path::PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Desk {
    /// Starts every function of the catalog on an open listener.
    pub fn start(app: &App, listener: TcpListener, directory: &Path) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(|error| Error::because(Kind::Misconfigured, "cannot tell the address", error))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for function in FUNCTIONS {
            let (app, stopped) = (app.clone(), stopped.clone());
            match (function.name, function.trigger) {
                ("follow", _) => drop(tasks.spawn(until(stopped, async move { following(&app).await }))),
                ("project", _) => drop(tasks.spawn(until(stopped, async move { projecting(&app).await }))),
                (_, Trigger::Queue(name)) => drop(tasks.spawn(until(stopped, async move { working(&app, name).await }))),
                (_, Trigger::Sweep { ms }) => drop(tasks.spawn(until(stopped, async move { sweeping(&app, ms).await }))),
                // The store gives positions itself, and the router stands below.
                (_, Trigger::Http | Trigger::Journal | Trigger::Feed) => {}
            }
        }
        tasks.spawn(until(stopped.clone(), publishing(app.clone(), directory.to_owned())));
        let router = http::router(app.clone());
        tasks.spawn(server::run(listener, router, stopped));
        Ok(Self { address, app: app.clone(), directory: directory.to_owned(), stop, tasks })
    }

    /// Stops every function and publishes the last head; requests that are under way are answered first.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
        let ledger = &self.app.ledger;
        match ledger.store.head().await.map(|head| publish(&self.directory, head, ledger.clock.now().0)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot publish the head"),
            Err(error) => tracing::error!(%error, "cannot read the head"),
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// Follows the feed commit by commit. What cannot be followed is parked; what may pass is tried again.
pub async fn following(app: &App) {
    let mut position = loop {
        match app.views.get(CHECKPOINT, "follow").await {
            Ok(checkpoint) => break checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
            Err(error) => wait_after(&error, "read the checkpoint").await,
        }
    };
    app.followed.send_replace(position);
    loop {
        match follow_page(app, position).await {
            Ok(reached) if reached == position => app.ledger.store.past(position).await,
            Ok(reached) => position = reached,
            Err(error) => wait_after(&error, "follow the feed").await,
        }
    }
}

/// Follows one page after a position; gives back how far it came.
pub async fn follow_page(app: &App, after: i64) -> Result<i64, Error> {
    let follower = Follower { ledger: &app.ledger, views: &*app.views, queue: &*app.queue };
    let mut position = after;
    for placed in app.ledger.store.feed(after, PAGE).await? {
        app.crash.pass("before-projection");
        follow_or_park(follower, &placed.commit).await?;
        position = placed.position;
    }
    if position > after {
        // Told once a page: every waiting door wakes up for it.
        app.followed.send_replace(position);
        let stored = app.views.get(CHECKPOINT, "follow").await?.map_or(0, |checkpoint| checkpoint.sequence);
        app.views.put(CHECKPOINT, "follow", &Document { sequence: position, body: Vec::new() }, &[], stored).await?;
    }
    Ok(position)
}

async fn projecting(app: &App) {
    loop {
        match project::desk_board(&app.ledger, &*app.views).await {
            Ok(position) => {
                tokio::time::sleep(PROJECT_EVERY).await;
                app.ledger.store.past(position).await;
            }
            Err(error) => wait_after(&error, "project the feed").await,
        }
    }
}

async fn working(app: &App, name: &'static str) {
    loop {
        let now = app.ledger.clock.now();
        match app.queue.take(name, now, now.plus_ms(LEASE_MS), AT_ONCE).await {
            Ok(messages) if messages.is_empty() => tokio::time::sleep(IDLE).await,
            Ok(messages) => {
                let mut works = JoinSet::new();
                for message in messages {
                    let app = app.clone();
                    works.spawn(async move {
                        if let Err(error) = work(&app, name, message).await {
                            tracing::error!(%error, queue = name, "a message could not be settled; it comes back");
                        }
                    });
                }
                while let Some(worked) = works.join_next().await {
                    if let Err(error) = worked {
                        // The message comes back when its lease ends, and is parked when that happens too often.
                        tracing::error!(%error, queue = name, "work on a message broke off");
                    }
                }
            }
            Err(error) => wait_after(&error, "take messages").await,
        }
    }
}

/// Works on one message, then finishes it, puts it off, or parks it.
pub async fn work(app: &App, name: &'static str, message: Message) -> Result<(), Error> {
    if message.broken_off > ATTEMPTS_MAX {
        return app.queue.park(name, &message, &format!("broke off {ATTEMPTS_MAX} times")).await;
    }
    match queue::work(app, name, &message).await {
        Ok(()) => app.queue.done(name, &message).await,
        // What may pass is never parked, however long it takes.
        Err(error) if error.is_passing() => {
            let pause = 1000 << message.attempts.min(8);
            app.queue.put_off(name, &message, app.ledger.clock.now().plus_ms(pause)).await
        }
        Err(error) => {
            tracing::error!(%error, queue = name, id = message.id, "a message was parked");
            app.queue.park(name, &message, &error.to_string()).await
        }
    }
}

async fn sweeping(app: &App, ms: u64) {
    let mut tick = tokio::time::interval(Duration::from_millis(ms));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = timer::wake::wake(app, None).await {
            wait_after(&error, "sweep the deadlines").await;
        }
    }
}

async fn wait_after(error: &Error, what: &str) {
    tracing::error!(%error, "cannot {what}; trying again");
    tokio::time::sleep(AGAIN).await;
}

/// Publishes the ledger's head beside it, so that a later removal can be proved.
async fn publishing(app: App, directory: std::path::PathBuf) {
    let app = Arc::new(app);
    let mut published = 0;
    loop {
        tokio::time::sleep(HEADS_EVERY).await;
        match app.ledger.store.head().await {
            Ok(head) if head.position > published => match publish(&directory, head, app.ledger.clock.now().0) {
                Ok(()) => published = head.position,
                Err(error) => tracing::error!(%error, "cannot publish the head"),
            },
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "cannot read the head"),
        }
    }
}

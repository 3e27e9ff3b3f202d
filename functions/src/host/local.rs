//! The local host: runs every function of the catalog in one process on one directory; a restart is
//! safe at any time.

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

/// Commits per checkpoint of the follower.
const PAGE: usize = 256;
/// Concurrent messages per queue.
const AT_ONCE: usize = 16;
/// Time for which a taken message stays invisible: longer than any outgoing request may take.
const LEASE_MS: i64 = 60_000;
/// Pause after an empty read of a queue.
const IDLE: Duration = Duration::from_millis(100);
/// Pause of a loop after an error.
const AGAIN: Duration = Duration::from_millis(500);
/// Pause between two rounds of a projection, so that one write covers many commits.
const PROJECT_EVERY: Duration = Duration::from_millis(200);
/// Time between two checks for a new head to publish.
const HEADS_EVERY: Duration = Duration::from_secs(5);
/// The view with the position of the follower; a hint, because each card has its own sequence.
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
    /// Starts every function of the catalog, with HTTP on the given listener.
    pub fn start(app: &App, listener: TcpListener, directory: &Path) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(|error| {
            Error::because(
                Kind::Misconfigured,
                "cannot read the listening address",
                error,
            )
        })?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for function in FUNCTIONS {
            let (app, stopped) = (app.clone(), stopped.clone());
            match (function.name, function.trigger) {
                ("follow", _) => {
                    drop(tasks.spawn(until(stopped, async move { following(&app).await })));
                }
                ("project", _) => {
                    drop(tasks.spawn(until(stopped, async move { projecting(&app).await })));
                }
                (_, Trigger::Queue(name)) => {
                    drop(tasks.spawn(until(stopped, async move { working(&app, name).await })));
                }
                (_, Trigger::Sweep { ms }) => {
                    drop(tasks.spawn(until(stopped, async move { sweeping(&app, ms).await })));
                }
                // The embedded store assigns positions itself; the HTTP server starts below.
                (_, Trigger::Http | Trigger::Journal | Trigger::Feed) => {}
            }
        }
        tasks.spawn(until(
            stopped.clone(),
            publishing(app.clone(), directory.to_owned()),
        ));
        let router = http::router(app.clone());
        tasks.spawn(server::run(listener, router, stopped));
        Ok(Self {
            address,
            app: app.clone(),
            directory: directory.to_owned(),
            stop,
            tasks,
        })
    }

    /// Finishes running requests, stops every function and publishes the last head.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
        let ledger = &self.app.ledger;
        match ledger
            .store
            .head()
            .await
            .map(|head| publish(&self.directory, head, ledger.clock.now().0))
        {
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

/// Follows the feed commit by commit, without end.
///
/// A stream that cannot be followed is parked; a transient error is retried.
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

/// Follows one page of the feed after a position; returns the last position followed.
pub async fn follow_page(app: &App, after: i64) -> Result<i64, Error> {
    let follower = Follower {
        ledger: &app.ledger,
        views: &*app.views,
        queue: &*app.queue,
    };
    let mut position = after;
    for placed in app.ledger.store.feed(after, PAGE).await? {
        app.crash.pass("before-projection");
        follow_or_park(follower, &placed.commit).await?;
        position = placed.position;
    }
    if position > after {
        // Sent once per page, because each value wakes every API call that waits for its card.
        app.followed.send_replace(position);
        let stored = app
            .views
            .get(CHECKPOINT, "follow")
            .await?
            .map_or(0, |checkpoint| checkpoint.sequence);
        app.views
            .put(
                CHECKPOINT,
                "follow",
                &Document {
                    sequence: position,
                    body: Vec::new(),
                },
                &[],
                stored,
            )
            .await?;
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
        match app
            .queue
            .take(name, now, now.plus_ms(LEASE_MS), AT_ONCE)
            .await
        {
            Ok(messages) if messages.is_empty() => tokio::time::sleep(IDLE).await,
            Ok(messages) => {
                let mut tasks = JoinSet::new();
                for message in messages {
                    let app = app.clone();
                    tasks.spawn(async move {
                        if let Err(error) = work(&app, name, message).await {
                            tracing::error!(%error, queue = name, "cannot finish, defer or park message; it is taken again after its lease");
                        }
                    });
                }
                while let Some(joined) = tasks.join_next().await {
                    if let Err(error) = joined {
                        // The message is taken again after its lease, and parked after too many
                        // tries.
                        tracing::error!(%error, queue = name, "task of a message panicked");
                    }
                }
            }
            Err(error) => wait_after(&error, "take messages").await,
        }
    }
}

/// Works on one message, then finishes, defers or parks it.
pub async fn work(app: &App, name: &'static str, message: Message) -> Result<(), Error> {
    if message.abandoned > ATTEMPTS_MAX {
        return app
            .queue
            .park(
                name,
                &message,
                &format!("taken {ATTEMPTS_MAX} times without an outcome"),
            )
            .await;
    }
    match queue::work(app, name, &message).await {
        Ok(()) => app.queue.done(name, &message).await,
        // A transient error never parks a message, however often it occurs.
        Err(error) if error.is_transient() => {
            let pause = 1000 << message.attempts.min(8);
            app.queue
                .defer(name, &message, app.ledger.clock.now().plus_ms(pause))
                .await
        }
        Err(error) => {
            tracing::error!(%error, queue = name, id = message.id, "message is parked");
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

async fn wait_after(error: &Error, action: &str) {
    tracing::error!(%error, "cannot {action}; retrying");
    tokio::time::sleep(AGAIN).await;
}

/// Publishes the head of the ledger to its directory, so that a later removal can be proved.
async fn publishing(app: App, directory: std::path::PathBuf) {
    let app = Arc::new(app);
    let mut published = 0;
    loop {
        tokio::time::sleep(HEADS_EVERY).await;
        match app.ledger.store.head().await {
            Ok(head) if head.position > published => {
                match publish(&directory, head, app.ledger.clock.now().0) {
                    Ok(()) => published = head.position,
                    Err(error) => tracing::error!(%error, "cannot publish the head"),
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "cannot read the head"),
        }
    }
}

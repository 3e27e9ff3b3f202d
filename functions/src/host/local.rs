//! The host that runs a service desk on one machine. All functions of the desk run in one process,
//! and all data is in one directory. The process can be stopped or killed at any time without loss
//! of data.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::StreamRole;
use futures_util::future::BoxFuture;
use infra::fleet;
pub use infra::heads::publish;
use infra::queue::{ATTEMPTS_MAX, Message};
use infra::views::{Document, Put};
use infra::{Error, Kind};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{dingtalk_stream, prometheus, server};
use crate::app::fleet::{connection, robots};
use crate::app::notifications::{active_experiments, mailboxes};
use crate::app::subscriptions::{self, Everything, Wanted};
use crate::catalog::{self, FUNCTIONS, Trigger};
use crate::mqtt::fleet_message;
use crate::registry::{PROJECTIONS, REGISTRY};
use crate::stream::follow::aggregate::find;
use crate::stream::follow::births::Births;
use crate::stream::follow::{Follower, Received};
use crate::stream::project;
use crate::{App, http, queue, timer};

/// Maximum number of commits that the follower (the task that processes new commits) reads at once.
/// After these commits, the follower stores the position of the last processed commit in the feed
/// (the sequence of all commits).
const PAGE: usize = 256;
/// Time in milliseconds for which a message is invisible to other workers after one worker has
/// taken the message. This time is longer than the longest outgoing request, so two workers do not
/// process the same message. If the process ends before, the next process gets the message at its
/// start (`infra::local::open`).
const LEASE_MS: i64 = 60_000;
/// Longest pause of a worker without messages. The pause is short, because another process can put
/// messages into the queue without a notification.
const IDLE: Duration = Duration::from_secs(1);
/// Pause of an endless loop after an error, before the loop tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// Pause between two updates of the projections (views that are computed from all commits). During
/// the pause, new commits accumulate. The next update then stores the results of all these commits
/// with one write.
const PROJECT_EVERY: Duration = Duration::from_millis(200);
/// Time between two checks whether the ledger has a new head. The head is the position and the hash
/// of the last commit. The desk writes each new head to a file.
const HEADS_EVERY: Duration = Duration::from_secs(5);
/// The name of the view (a stored table) with the checkpoint of the follower (the task that
/// processes new commits). The checkpoint is the position of the last processed commit in the feed
/// (the sequence of all commits).
///
/// An outdated checkpoint does no harm, because each card (the stored summary of one stream)
/// contains the number of its last event. The follower therefore applies no event twice.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Number of tasks that process messages of robots. All messages of one robot go to the same task,
/// so these messages are processed in order.
const ROBOT_TASKS: usize = 16;
/// Maximum number of robot messages that may wait for one task. Further messages are dropped. A
/// dropped message does no harm, because robots send their state again and again, and only the
/// newest state is important.
const ROBOT_MESSAGES_MAX: usize = 256;
/// Time between two checks whether a robot has a new interface (the first level of its MQTT
/// topics), and whether the broker refuses a subscription.
const INTERFACES_EVERY: Duration = Duration::from_secs(2);

/// Time between two checks whether the time of a mailbox has come.
const MAILBOXES_EVERY: Duration = Duration::from_secs(5);

/// The connection to the broker of the robots.
pub struct Robots {
    /// The future that keeps the connection open. The future ends only after the receiver in the
    /// field `messages` is dropped.
    pub connection: BoxFuture<'static, ()>,
    pub messages: mpsc::Receiver<fleet::Message>,
    /// The first levels of the topics of all robots (VDA 5050, `interfaceName`). The connection
    /// subscribes to the messages below these levels.
    pub interfaces: watch::Sender<BTreeSet<String>>,
}

/// A running service desk: its HTTP server and its background tasks.
pub struct Desk {
    pub address: std::net::SocketAddr,
    app: App,
    directory: std::path::PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Desk {
    /// Starts all functions of the desk, and starts the HTTP server with the given listener.
    /// `directory` is the data directory of the desk.
    ///
    /// `robots` is the connection to the broker of the robots. The value is `None` if the desk has
    /// no broker.
    pub fn start(
        app: &App,
        listener: TcpListener,
        directory: &Path,
        robots: Option<Robots>,
    ) -> Result<Self, Error> {
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
                (name, Trigger::Queue { concurrency, .. }) => {
                    drop(tasks.spawn(until(stopped, async move {
                        working(&app, name, concurrency).await;
                    })));
                }
                (_, Trigger::Sweep { ms }) => {
                    drop(tasks.spawn(until(stopped, async move { sweeping(&app, ms).await })));
                }
                // The loop starts no task for functions with these triggers. Commits need no
                // indexing task, because the embedded store itself assigns their positions in the
                // feed (the sequence of all commits). The HTTP server and the task for robot
                // messages start after this loop.
                (_, Trigger::Http { .. } | Trigger::Journal | Trigger::Feed | Trigger::Fleet) => {}
            }
        }
        if let Some(robots) = robots {
            tasks.spawn(until(stopped.clone(), receiving(app.clone(), robots)));
        }
        tasks.spawn(until(stopped.clone(), reading_mailboxes(app.clone())));
        tasks.spawn(until(
            stopped.clone(),
            publishing(app.clone(), directory.to_owned()),
        ));
        tasks.spawn(until(stopped.clone(), dingtalk_stream::run(app.clone())));
        let router = http::router_with(app.clone(), prometheus::routes());
        tasks.spawn(server::run(listener, router, stopped));
        Ok(Self {
            address,
            app: app.clone(),
            directory: directory.to_owned(),
            stop,
            tasks,
        })
    }

    /// Stops all functions, and waits at most 10 s until the running requests are complete. Then
    /// writes the last head of the ledger (the position and the hash of the last commit) to a file.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.app.stopping.send_replace(true);
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

/// Runs the follower (the task that processes new commits) in an endless loop.
///
/// If a stream cannot be processed, the follower parks the stream (sets it aside with an error
/// record). After a transient error, the loop tries again.
pub async fn following(app: &App) {
    let births = loop {
        match Births::activate(&app.ledger, REGISTRY).await {
            Ok(births) => break births,
            Err(error) => wait_after(&error, "read the births of the reactions").await,
        }
    };
    let mut position = loop {
        match app.views.get(CHECKPOINT, "follow").await {
            Ok(checkpoint) => break checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
            Err(error) => wait_after(&error, "read the checkpoint").await,
        }
    };
    app.followed.reached(position);
    loop {
        match follow_page(app, &births, position).await {
            Ok(reached) if reached == position => app.ledger.store.past(position).await,
            Ok(reached) => position = reached,
            Err(error) => wait_after(&error, "follow the feed").await,
        }
    }
}

/// Processes at most `PAGE` commits after the position `after` in the feed (the sequence of all
/// commits). Returns the position of the last processed commit. This position becomes the stored checkpoint if the stored
/// checkpoint is `after`.
pub async fn follow_page(app: &App, births: &Births, after: i64) -> Result<i64, Error> {
    let page = app.ledger.store.feed(after, PAGE).await?;
    let Some(position) = page.last().map(|placed| placed.position) else {
        return Ok(after);
    };
    for _ in &page {
        app.crash.pass("before-projection");
    }
    // If this page changes the configuration, such as an automation rule, it is not known which configuration a ticket
    // of the same page needs. The workers decide this later.
    let changes_configuration = page.iter().any(|placed| {
        let stream = &placed.commit.stream;
        subscriptions::concerns(stream)
            || find(REGISTRY, stream)
                .is_some_and(|aggregate| aggregate.role() == StreamRole::Configuration)
    });
    let changes_experiments = page
        .iter()
        .any(|placed| active_experiments::concerns(&placed.commit.stream));
    let wanted: &dyn Wanted = if changes_configuration {
        &Everything
    } else {
        &*app.subscriptions
    };
    let follower = Follower {
        ledger: &app.ledger,
        views: &*app.views,
        writer: &*app.page_writer,
        births,
        wanted,
        registry: REGISTRY,
    };
    let checkpoint = Put {
        view: CHECKPOINT.into(),
        key: "follow".into(),
        document: Document {
            sequence: position,
            body: Vec::new(),
        },
        index: Vec::new(),
        facets: String::new(),
        expected: after,
    };
    let page = page.into_iter().map(Received::from).collect();
    let followed = follower.follow_page(page, Some(checkpoint)).await;
    if changes_configuration {
        app.subscriptions.forget();
    }
    // A part of the results can be stored although the page has failed.
    if changes_experiments {
        app.active_experiments.forget();
    }
    followed?;
    // API requests that wrote data wait until the follower (the task that processes new commits) is
    // up to date. The new position wakes the requests whose commits are in this page.
    app.followed.reached(position);
    Ok(position)
}

async fn projecting(app: &App) {
    loop {
        match project::project_all(PROJECTIONS, &app.ledger, &*app.views).await {
            Ok(position) => {
                tokio::time::sleep(PROJECT_EVERY).await;
                app.ledger.store.past(position).await;
            }
            Err(error) => wait_after(&error, "project the feed").await,
        }
    }
}

/// Processes the messages of the queue `name` in an endless loop. At most `concurrency` messages
/// are processed at the same time.
///
/// Each look into the queue is a write of the database. After a look that found fewer messages than
/// tasks are free, the next look therefore waits for a new message or for the next due time, and not
/// for the end of a task.
pub async fn working(app: &App, name: &'static str, concurrency: usize) {
    let mut tasks = JoinSet::new();
    // The time of the next look, if the last look found no further message that is due.
    let mut next_look = None;
    loop {
        let free = concurrency - tasks.len();
        if free > 0 && next_look.is_none() {
            match take(app, name, free).await {
                Ok(messages) => {
                    let is_last = messages.len() < free;
                    for message in messages {
                        let app = app.clone();
                        tasks.spawn(async move {
                            if let Err(error) = work(&app, name, message).await {
                                tracing::error!(%error, queue = name, "cannot finish, defer or park message; it is taken again after its lease");
                            }
                        });
                    }
                    if is_last {
                        next_look = Some(Instant::now() + pause(app, name).await);
                    }
                }
                Err(error) => wait_after(&error, "take messages").await,
            }
        } else {
            // If no task is free, `next_look` has no meaning, because only the end of a task is awaited.
            let look = next_look.unwrap_or_else(Instant::now);
            tokio::select! {
                Some(joined) = tasks.join_next(), if !tasks.is_empty() => note_panic(name, joined),
                () = app.queue.arrival(name), if free > 0 => next_look = None,
                () = tokio::time::sleep_until(look), if free > 0 => next_look = None,
            }
        }
        while let Some(joined) = tasks.try_join_next() {
            note_panic(name, joined);
        }
    }
}

async fn take(app: &App, name: &str, limit: usize) -> Result<Vec<Message>, Error> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let now = app.ledger.clock.now();
    app.queue
        .take(name, now, now.plus_ms(LEASE_MS), limit)
        .await
}

/// Returns the time until the next message of a queue is due. The result is at most [`IDLE`].
async fn pause(app: &App, name: &str) -> Duration {
    match app.queue.next_due(name).await {
        Ok(Some(due)) => {
            let left = (due.0 - app.ledger.clock.now().0).max(1);
            Duration::from_millis(left.unsigned_abs()).min(IDLE)
        }
        Ok(None) | Err(_) => IDLE,
    }
}

/// Checks the result of a task that processed a message of the queue `queue`. If the task panicked,
/// the function logs an error. The queue then delivers the message again after its lease (the time
/// for which the message is invisible). After too many such failures, the message is parked (set
/// aside with an error record).
fn note_panic(queue: &str, joined: Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined {
        tracing::error!(%error, queue, "task of a message panicked");
    }
}

/// Processes one message of the queue `name`. After success, the message is removed from the queue.
/// After a transient error, the message is delayed. After any other error, the message is parked
/// (set aside with an error record).
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
    let execute = catalog::handler(name).ok_or_else(|| {
        let what = format!("there is no function for queue {name}");
        Error::new(Kind::Misconfigured, what)
    })?;
    match queue::work(app, REGISTRY, execute, &message).await {
        Ok(()) => app.queue.done(name, &message).await,
        // A transient error only delays the message. The message is never parked (set aside), even
        // if the error occurs many times.
        Err(error) if error.is_transient() => {
            // `Throttled` means that the desk already sends the maximum number of concurrent
            // requests to the receiver of this message. One of these requests will end soon, so the
            // pause is short.
            let pause = match error.kind {
                Kind::Throttled => 1000,
                _ => 1000 << message.attempts.min(8),
            };
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

/// Processes the messages of robots until the desk stops.
async fn receiving(app: App, robots: Robots) {
    let Robots {
        connection,
        mut messages,
        interfaces,
    } = robots;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let watched = app.clone();
    tasks.spawn(async move { watching_interfaces(&watched, &interfaces).await });
    let mut senders = Vec::new();
    for _ in 0..ROBOT_TASKS {
        let (sender, mut waiting) = mpsc::channel::<fleet::Message>(ROBOT_MESSAGES_MAX);
        senders.push(sender);
        let app = app.clone();
        tasks.spawn(async move {
            while let Some(message) = waiting.recv().await {
                if let Err(error) = fleet_message::receive(&app, &message).await {
                    tracing::error!(%error, topic = message.topic, "a message of a robot was not processed; the next state of the robot replaces it");
                }
            }
        });
    }
    while let Some(message) = messages.recv().await {
        let robot = message
            .topic
            .rsplit_once('/')
            .map_or("", |(robot, _)| robot);
        let hash = blake3::hash(robot.as_bytes());
        let sender = &senders[usize::from(hash.as_bytes()[0]) % ROBOT_TASKS];
        if sender.try_send(message).is_err() {
            tracing::warn!("a message of a robot is dropped; too many messages wait");
        }
    }
}

/// Updates the set of robot interfaces (first levels of their MQTT topics) in an endless loop. The
/// set also contains the interfaces of robots that are registered later. The function also stores
/// the subscriptions that do not work, so that `ledgerdesk doctor` can show them.
async fn watching_interfaces(app: &App, interfaces: &watch::Sender<BTreeSet<String>>) {
    let mut stored: Option<Vec<fleet::Refused>> = None;
    loop {
        match robots::all(app).await {
            Ok(all) => {
                let found: BTreeSet<String> = all
                    .into_iter()
                    .filter_map(|robot| Some(robot.defined?.interface))
                    .collect();
                interfaces.send_if_modified(|known| {
                    let is_new = *known != found;
                    *known = found;
                    is_new
                });
            }
            Err(error) => tracing::error!(%error, "cannot read the robots"),
        }
        let refused = app.fleet.refused();
        if stored.as_ref() != Some(&refused) {
            match connection::remember_refused(&*app.views, &refused).await {
                Ok(()) => stored = Some(refused),
                Err(error) => {
                    tracing::error!(%error, "cannot store the refused subscriptions to robots");
                }
            }
        }
        tokio::time::sleep(INTERFACES_EVERY).await;
    }
}

/// Puts a message into a queue for each deadline that is reached. The function runs in an endless
/// loop with a period of `ms` milliseconds.
pub async fn sweeping(app: &App, ms: u64) {
    let mut tick = tokio::time::interval(Duration::from_millis(ms));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = timer::wake::wake(app, REGISTRY, None).await {
            wait_after(&error, "sweep the deadlines").await;
        }
    }
}

/// Reads the mailboxes of the desk in an endless loop. The time of the next check of each mailbox is stored. Only a
/// local desk reads mailboxes, because a cloud function does not run all the time.
async fn reading_mailboxes(app: App) {
    let mut tick = tokio::time::interval(MAILBOXES_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = mailboxes::poll(&app).await {
            wait_after(&error, "read the mailboxes").await;
        }
    }
}

async fn wait_after(error: &Error, action: &str) {
    tracing::error!(%error, "cannot {action}; retrying");
    tokio::time::sleep(AGAIN).await;
}

/// Writes each new head of the ledger (the position and the hash of the last commit) to a file in
/// `directory`. If commits are removed later, the ledger no longer matches the file, so the removal
/// is visible.
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

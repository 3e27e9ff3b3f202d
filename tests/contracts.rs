//! These tests run the contract tests of each port (an interface, for example to a store) on each of its
//! adapters (implementations). They also check that the framework cqrs-es works with the event store of
//! this project.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::routing::get;
use cqrs_es::CqrsFramework;
use domain::callback::Callback;
use domain::config::{Role, Service};
use domain::number_sequence::{Command, NumberSequence};
use domain::ticket::Ticket;
use domain::{Decider, EsAggregate};
use events::number_sequence::{BlockIssued, NumberSequenceEvent};
use events::ticket::RowImported;
use events::{Meta, Moment};
use functions::stream::index::{Arrived, Indexer};
use infra::blob::Blob as _;
use infra::clock::{ManualClock, SeededRng, SystemClock, SystemRng};
use infra::crash::Crash;
use infra::directory::{self, Directory as _};
use infra::ledger::repository::fingerprint;
use infra::ledger::{NoContext, command_id};
use infra::store::paged::Paged;
use infra::store::{Journal as _, Store};
use infra::views::sqlite::ViewsFile;
use infra::{
    CommandEnvelope, ExecuteError, Kind, Ledger, blob, keys, pages, queue, secrets, store, views,
};

fn ledger_over(store: Arc<dyn Store>, snapshot_every: usize) -> Ledger {
    let rng = Arc::new(SeededRng::new(7));
    let keys = Arc::new(keys::memory::Memory::new(rng.clone()));
    Ledger::new(
        store,
        keys,
        Arc::new(ManualClock::at(Moment(1_795_000_000_000))),
        rng,
    )
    .with_snapshot_every(snapshot_every)
}

fn command_envelope(command: u32) -> CommandEnvelope {
    CommandEnvelope {
        stream: "number_sequence-REQ20261122".into(),
        command_id: command_id(&[&command.to_string()]),
        meta: Meta::system("test", "test"),
    }
}

#[tokio::test]
async fn memory_store() {
    store::contract::check(Arc::new(store::memory::Memory::default()), 50, async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store::sqlite::Sqlite::open(directory.path(), Arc::default()).expect("a ledger");
    store::contract::check(Arc::new(store), 50, async || {}).await;
}

/// The paged store reads the feed (the ordered list of all commits) from stored pages. The store in memory has
/// no pages, so the test first builds the pages from the commits. The test then runs the contract tests of a
/// store on the paged store.
#[tokio::test]
async fn paged_store() {
    let (pages, blob): (Arc<pages::memory::Memory>, Arc<blob::memory::Memory>) = Default::default();
    let store = Arc::new(Paged::new(
        Arc::new(store::memory::Memory::default()),
        pages.clone(),
        blob.clone(),
    ));
    let indexer = Indexer::new(pages, blob, Arc::new(SystemClock));
    let caught_up = async || {
        let walked = store.walk(None, usize::MAX).await.expect("walk");
        let mut arrived: Vec<Arrived> = walked
            .commits
            .into_iter()
            .map(|commit| Arrived {
                written: commit.at,
                commit,
            })
            .collect();
        let mut next = walked.next;
        while let Some(cursor) = next {
            let walked = store.walk(Some(cursor), usize::MAX).await.expect("walk");
            arrived.extend(walked.commits.into_iter().map(|commit| Arrived {
                written: commit.at,
                commit,
            }));
            next = walked.next;
        }
        indexer.index(&arrived).await.expect("indexed");
    };
    store::contract::check(store.clone(), 50, caught_up).await;
}

#[tokio::test]
async fn memory_pages() {
    pages::contract::check(&pages::memory::Memory::default()).await;
}

#[tokio::test]
async fn memory_blob() {
    blob::contract::check(&blob::memory::Memory::default()).await;
}

#[tokio::test]
async fn files_blob() {
    let directory = tempfile::tempdir().expect("a directory");
    blob::contract::check(&blob::files::Files::new(directory.path())).await;
}

#[tokio::test]
async fn unfinished_files_of_a_crash_are_swept() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = blob::files::Files::new(&directory.path().join("files"));
    files.sweep().expect("an absent folder is swept");
    files.put("a/b/1", b"whole".to_vec()).await.expect("put");
    let broken = directory.path().join("files/a/b/.9-9");
    std::fs::write(&broken, b"half").expect("written");
    assert_eq!(files.list("a/b/", 9).await.expect("listed"), ["a/b/1"]);
    files.sweep().expect("swept");
    assert!(!broken.exists());
    assert_eq!(
        files.get("a/b/1").await.expect("read").as_deref(),
        Some(&b"whole"[..])
    );
}

#[tokio::test]
async fn file_directory() {
    let file =
        directory::file::File::read(directory::contract::ORGANIZATION).expect("an organization");
    directory::contract::answers(&file).await;
}

/// The directory (people and departments) has two adapters: the first adapter reads a file, and the second
/// adapter sends HTTP requests. This test runs the contract tests of the directory on the HTTP adapter. It
/// also checks that this adapter caches each response for a limited time.
#[tokio::test]
async fn http_directory() {
    use axum::extract::{Path, State};
    use axum::response::{IntoResponse as _, Response};
    type Organization = Arc<directory::file::File>;
    async fn leader(State(file): State<Organization>, Path(person): Path<String>) -> Response {
        if file.has_person(&person).await.expect("answers") == Some(false) {
            return axum::http::StatusCode::NOT_FOUND.into_response();
        }
        let leader = file.leader(&person).await.expect("answers");
        axum::Json(serde_json::json!({ "leader": leader })).into_response()
    }
    async fn members(State(file): State<Organization>, Path(department): Path<String>) -> Response {
        axum::Json(file.members(&department).await.expect("answers")).into_response()
    }
    async fn holders(
        State(file): State<Organization>,
        Path((business, role)): Path<(i64, String)>,
    ) -> Response {
        axum::Json(file.holders(business, &role).await.expect("answers")).into_response()
    }
    async fn businesses(State(file): State<Organization>) -> Response {
        axum::Json(file.businesses().await.expect("answers")).into_response()
    }
    let file: Organization = Arc::new(
        directory::file::File::read(directory::contract::ORGANIZATION).expect("an organization"),
    );
    let router = axum::Router::new()
        .route("/directory/people/{person}", get(leader))
        .route("/directory/departments/{department}/members", get(members))
        .route("/directory/businesses", get(businesses))
        .route(
            "/directory/businesses/{business}/roles/{role}",
            get(holders),
        )
        .with_state(file);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let base = format!(
        "http://{}/directory",
        listener.local_addr().expect("an address")
    );
    let served = tokio::spawn(async move { axum::serve(listener, router).await });
    let clock = Arc::new(ManualClock::at(Moment(1_795_000_000_000)));
    let http = directory::http::Http::new(
        &base,
        Arc::new(infra::http::client::Client::trusted().expect("a client")),
        clock.clone(),
    )
    .expect("a directory");
    directory::contract::answers(&http).await;
    served.abort();
    assert!(served.await.is_err_and(|end| end.is_cancelled()));
    directory::contract::answers(&http).await;
    clock.advance(60_000);
    let error = http
        .leader("lisi")
        .await
        .expect_err("the server is stopped");
    assert_eq!(
        error.kind,
        Kind::Unavailable,
        "an unavailable directory differs from a person without a leader"
    );
}

#[tokio::test]
async fn stored_secrets() {
    let keys: Arc<dyn keys::Keys> = Arc::new(keys::memory::Memory::new(Arc::new(SystemRng)));
    let keeper = || secrets::stored::Stored {
        keys: keys.clone(),
        rng: Arc::new(SystemRng),
    };
    secrets::contract::check(&keeper(), &keeper()).await;
}

#[tokio::test]
async fn memory_views() {
    views::contract::check(&views::memory::Memory::default()).await;
}

#[tokio::test]
async fn sqlite_views() {
    let directory = tempfile::tempdir().expect("a directory");
    let file =
        ViewsFile::open(directory.path(), Arc::default(), views::contract::COUNTED).expect("views");
    views::contract::check(&views::sqlite::Sqlite(Arc::new(file))).await;
}

#[tokio::test]
async fn memory_fleet() {
    let fleet = infra::fleet::memory::Memory::default();
    let mut sent = std::collections::VecDeque::new();
    infra::fleet::contract::messages_arrive_unchanged_and_in_order(&fleet, async || {
        sent.extend(fleet.take());
        sent.pop_front().expect("a message")
    })
    .await;
}

#[tokio::test]
async fn memory_queue() {
    queue::contract::check(&queue::memory::Memory::default()).await;
    queue::contract::check_in_real_time(
        &queue::memory::Memory::default(),
        "callback",
        &SystemClock,
    )
    .await;
}

#[tokio::test]
async fn sqlite_queue() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = tests::views_file(directory.path());
    let queues = file.queue();
    queue::contract::check(&queues).await;
    queue::contract::check_in_real_time(&queues, "callback", &SystemClock).await;
}

#[tokio::test]
async fn memory_keys() {
    keys::contract::check(&keys::memory::Memory::new(Arc::new(SeededRng::new(1)))).await;
}

#[tokio::test]
async fn sqlite_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    keys::contract::check(
        &keys::sqlite::Sqlite::open(directory.path(), Arc::new(SystemRng)).expect("keys"),
    )
    .await;
}

#[test]
fn a_second_writer_is_rejected_and_readers_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = store::sqlite::Sqlite::open(directory.path(), Arc::new(Crash::default()))
        .expect("a ledger");
    let error = store::sqlite::Sqlite::open(directory.path(), Arc::default())
        .expect_err("the lock is taken");
    assert_eq!(error.kind, Kind::Misconfigured);
    assert!(error.what.contains("another process is writing"), "{error}");
    store::sqlite::Sqlite::read(directory.path()).expect("readers are allowed beside the writer");
    drop(first);
    store::sqlite::Sqlite::open(directory.path(), Arc::default())
        .expect("the lock ends with its holder");
}

/// In cqrs-es 0.5.0, the modes with snapshots (stored states of a stream) apply some events twice. A stream
/// of eleven events is then loaded as 22 or 13 events. The ledger of this project must load exactly eleven
/// events.
#[tokio::test]
async fn eleven_events_reload_as_eleven_with_every_snapshot_setting() {
    for snapshot_every in [1, 2, 3, 4, 5, 11, 1000] {
        let ledger = ledger_over(Arc::new(store::memory::Memory::default()), snapshot_every);
        for command in 0..11 {
            let outcome = ledger
                .execute::<NumberSequence>(
                    &command_envelope(command),
                    &Command::Issue { size: 1 },
                    &NoContext,
                )
                .await
                .expect("issued");
            assert_eq!(
                outcome.state.issued,
                i64::from(command) + 1,
                "every {snapshot_every}"
            );
        }
        let loaded = ledger
            .load::<NumberSequence>(&command_envelope(0).stream)
            .await
            .expect("loaded");
        assert_eq!(
            (loaded.aggregate.0.issued, loaded.next),
            (11, 12),
            "every {snapshot_every}"
        );
        assert!(
            ledger
                .repository::<NumberSequence>()
                .check_snapshots(&command_envelope(0).stream)
                .await
                .expect("checked")
                .is_empty()
        );
    }
}

#[tokio::test]
async fn the_cqrs_es_framework_works_on_our_store() {
    for snapshot_every in [1, 4, 1000] {
        let ledger = ledger_over(Arc::new(store::memory::Memory::default()), snapshot_every);
        let framework = CqrsFramework::<EsAggregate<NumberSequence>, _>::new(
            ledger.repository::<NumberSequence>(),
            Vec::new(),
            (),
        );
        for _ in 0..11 {
            framework
                .execute_with_metadata(
                    "number_sequence-REQ20261122",
                    Command::Issue { size: 1 },
                    HashMap::new(),
                )
                .await
                .expect("executed");
        }
        let loaded = ledger
            .load::<NumberSequence>("number_sequence-REQ20261122")
            .await
            .expect("loaded");
        assert_eq!(loaded.aggregate.0.issued, 11);
    }
}

#[tokio::test]
async fn a_repeated_command_is_answered_from_its_stored_commit() {
    let ledger = ledger_over(Arc::new(store::memory::Memory::default()), 16);
    let first = ledger
        .execute::<NumberSequence>(
            &command_envelope(1),
            &Command::Issue { size: 5 },
            &NoContext,
        )
        .await
        .expect("issued");
    assert!(!first.repeated);
    for other in 2..60 {
        ledger
            .execute::<NumberSequence>(
                &command_envelope(other),
                &Command::Issue { size: 1 },
                &NoContext,
            )
            .await
            .expect("issued");
    }
    let again = ledger
        .execute::<NumberSequence>(
            &command_envelope(1),
            &Command::Issue { size: 5 },
            &NoContext,
        )
        .await
        .expect("answered");
    assert!(
        again.repeated,
        "within the last 64 commands, also across snapshots"
    );
    assert_eq!(again.state.issued, 5 + 58);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_on_one_stream_lose_and_duplicate_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store =
        Arc::new(store::sqlite::Sqlite::open(directory.path(), Arc::default()).expect("a ledger"));
    // The two ledgers use the same store and no common lock, like two cloud functions in different
    // processes.
    let ledgers = [ledger_over(store.clone(), 8), ledger_over(store, 8)];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16_u32 {
        let ledger = ledgers[writer as usize % 2].clone();
        writers.spawn(async move {
            for round in 0..25 {
                loop {
                    match ledger
                        .execute::<NumberSequence>(
                            &command_envelope(writer * 1000 + round),
                            &Command::Issue { size: 1 },
                            &NoContext,
                        )
                        .await
                    {
                        Ok(_) => break,
                        Err(ExecuteError::Technical(error)) if error.kind == Kind::Conflict => {}
                        Err(failure) => panic!("{failure}"),
                    }
                }
            }
        });
    }
    writers.join_all().await;
    let loaded = ledgers[0]
        .load::<NumberSequence>(&command_envelope(0).stream)
        .await
        .expect("loaded");
    assert_eq!((loaded.aggregate.0.issued, loaded.next), (400, 401));
}

/// Writers and readers use the same streams at the same time. After each command, a writer loads the stream. The
/// loaded state must contain the command, and it must have one issued number for each event.
#[tokio::test(flavor = "multi_thread")]
async fn an_only_writer_never_loads_an_outdated_state() {
    const STREAMS: u32 = 3;
    const WRITERS: u32 = 6;
    const COMMANDS: u32 = 60;
    let directory = tempfile::tempdir().expect("a directory");
    let store = store::sqlite::Sqlite::open(directory.path(), Arc::default()).expect("a ledger");
    let ledger = ledger_over(Arc::new(store), 5).as_only_writer();
    let stream = |number: u32| format!("number_sequence-REQ2026112{}", number % STREAMS);
    let load = async |ledger: &Ledger, stream: &str| {
        let loaded = ledger.load::<NumberSequence>(stream).await.expect("loaded");
        assert_eq!(loaded.aggregate.0.issued, loaded.next - 1);
        loaded.next - 1
    };
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..STREAMS {
        let (ledger, done, stream) = (ledger.clone(), done.clone(), stream(reader));
        readers.spawn(async move {
            let mut last = 0;
            while !done.load(Ordering::SeqCst) {
                let now = load(&ledger, &stream).await;
                assert!(now >= last, "{stream} went back from {last} to {now}");
                last = now;
                tokio::task::yield_now().await;
            }
        });
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (ledger, stream) = (ledger.clone(), stream(writer));
        writers.spawn(async move {
            for command in 0..COMMANDS {
                let envelope = CommandEnvelope {
                    stream: stream.clone(),
                    ..command_envelope(writer * COMMANDS + command)
                };
                let issue = Command::Issue { size: 1 };
                let outcome = ledger
                    .execute::<NumberSequence>(&envelope, &issue, &NoContext)
                    .await
                    .expect("issued");
                assert!(load(&ledger, &stream).await >= outcome.last);
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    readers.join_all().await;
    for number in 0..STREAMS {
        let all = i64::from(WRITERS / STREAMS * COMMANDS);
        assert_eq!(load(&ledger, &stream(number)).await, all);
    }
}

/// A caller can stop to wait for a command, for example if a client closes its connection. The store can then still
/// store the commit. A later load must never return an older state than the store has.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_leaves_no_outdated_state() {
    const COMMANDS: u32 = 400;
    let directory = tempfile::tempdir().expect("a directory");
    let store = store::sqlite::Sqlite::open(directory.path(), Arc::default()).expect("a ledger");
    let ledger = ledger_over(Arc::new(store), 5).as_only_writer();
    let stream = command_envelope(0).stream;
    let mut interrupted = 0;
    for command in 0..COMMANDS {
        let writer = ledger.clone();
        let issuing = tokio::spawn(async move {
            let (envelope, issue) = (command_envelope(command), Command::Issue { size: 1 });
            let executed = writer.execute::<NumberSequence>(&envelope, &issue, &NoContext);
            executed.await.expect("issued");
        });
        for _ in 0..command % 100 * 20 {
            tokio::task::yield_now().await;
        }
        issuing.abort();
        interrupted += u32::from(issuing.await.is_err());
        // The first load can happen before the store has the commit. The second load happens after a read of the store.
        ledger
            .load::<NumberSequence>(&stream)
            .await
            .expect("loaded");
        let stored = ledger.repository::<NumberSequence>().load(&stream).await;
        let stored = stored.expect("loaded").next;
        let loaded = ledger
            .load::<NumberSequence>(&stream)
            .await
            .expect("loaded");
        assert!(
            loaded.next >= stored,
            "command {command}: {} < {stored}",
            loaded.next
        );
    }
    println!("{interrupted} of {COMMANDS} commands were interrupted");
    assert!(interrupted > 0, "the test interrupts commands");
}

#[tokio::test]
async fn a_command_for_an_older_version_is_stale() {
    let store: Arc<dyn Store> = Arc::new(store::memory::Memory::default());
    let (ours, others) = (
        ledger_over(store.clone(), 1_000_000),
        ledger_over(store, 1_000_000),
    );
    let issue = Command::Issue { size: 1 };
    let at = async |ledger: &Ledger, command: u32, expected: i64| match ledger
        .execute_at::<NumberSequence>(
            &command_envelope(command),
            Some(expected),
            &issue,
            &NoContext,
        )
        .await
    {
        Ok(outcome) => Some(outcome.last),
        Err(ExecuteError::Technical(error)) if error.kind == Kind::Stale => None,
        Err(failure) => panic!("{failure}"),
    };
    assert_eq!(at(&ours, 1, 1).await, None, "the stream is empty");
    assert_eq!(at(&ours, 1, 0).await, Some(1));
    assert_eq!(
        at(&others, 2, 1).await,
        Some(2),
        "another process has written the second"
    );
    // The ledger `others` wrote a commit, so the ledger `ours` has an old state in its cache. The
    // ledger `ours` must still reject a command that expects the old version of the stream.
    assert_eq!(at(&ours, 3, 1).await, None);
    assert_eq!(at(&ours, 3, 2).await, Some(3));
    assert_eq!(
        at(&ours, 3, 2).await,
        Some(3),
        "a repeated command is answered from its commit"
    );
    assert!(
        at(&others, 2, 1).await.is_some(),
        "a repeated command is answered at any later version"
    );
}

/// A loader of context data (additional data that some commands need). The loader panics when it is
/// called, because the import of rows needs no context data.
struct NoLookups;

#[async_trait::async_trait]
impl infra::ledger::ContextLoader<Ticket> for NoLookups {
    async fn load(
        &self,
        lookups: &[domain::ticket::Lookup],
        _: &mut domain::ticket::Context,
    ) -> Result<(), infra::Error> {
        panic!("unexpected lookups {lookups:?}")
    }
}

/// The DynamoDB store of cqrs-es cannot load a stream that is larger than one query page of 1 MB. The store
/// of this project must load such a stream (reference/event-sourcing.md, section 1.2).
#[tokio::test]
async fn a_stream_over_1_mb_and_5000_events_accepts_commands() {
    const EVENTS: u64 = 5_100;
    let row = |line: u64| RowImported {
        source: "TEST".into(),
        case: "1".into(),
        file: "f".into(),
        line,
        row: line.to_string(),
        nth: 1,
        title: "x".repeat(300),
        ..RowImported::default()
    };
    for snapshot_every in [16, 1_000_000] {
        let ledger = ledger_over(Arc::new(store::memory::Memory::default()), 1_000_000);
        let stream = "ticket-TEST-1";
        let mut context = ledger.load::<Ticket>(stream).await.expect("loaded");
        // The test stores the events of the stream directly in the repository. Commands that create the same
        // events would take much longer, because each command loads the growing stream.
        for line in 1..=EVENTS {
            let event = events::ticket::TicketEvent::from(row(line));
            context.aggregate.0.evolve(&event);
            let id = command_id(&[&line.to_string()]);
            ledger
                .repository()
                .append(
                    &mut context,
                    id,
                    Moment(0),
                    Meta::system("t", "t"),
                    &[event],
                )
                .await
                .expect("appended");
        }
        let bytes: usize = ledger.store.feed(0, 1).await.expect("feed")[0]
            .commit
            .body
            .len()
            * usize::try_from(EVENTS).expect("small");
        assert!(bytes > 1 << 20, "{bytes} bytes");
        let ledger = ledger_over(ledger.store.clone(), snapshot_every);
        for line in EVENTS + 1..=EVENTS + 20 {
            let command_envelope = CommandEnvelope {
                stream: stream.into(),
                ..command_envelope(u32::try_from(line).expect("small"))
            };
            let outcome = ledger
                .execute::<Ticket>(
                    &command_envelope,
                    &domain::ticket::Command::ImportRow(vec![row(line)]),
                    &NoLookups,
                )
                .await
                .expect("taken");
            assert_eq!(outcome.last, i64::try_from(line).expect("small"));
        }
    }
}

/// A variant of the aggregate `NumberSequence` (an aggregate is a kind of stream). In this variant, the
/// function `evolve`, which applies an event to the state, is different. A later version of the program can
/// change `evolve` in this way.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Changed {
    issued: i64,
}
impl Decider for Changed {
    type Command = ();
    type Event = NumberSequenceEvent;
    type Rejection = domain::number_sequence::Rejection;
    type Context = ();
    type Lookup = domain::decider::Nothing;
    const ROLE: domain::StreamRole = domain::StreamRole::Work;
    fn decide(
        &self,
        (): &(),
        (): &(),
    ) -> Result<Vec<NumberSequenceEvent>, domain::DecideError<Self>> {
        Ok(vec![BlockIssued { from: 1, to: 1 }.into()])
    }
    fn evolve(&mut self, event: &NumberSequenceEvent) {
        let NumberSequenceEvent::BlockIssued(block) = event;
        self.issued = block.to + 1;
    }
}

#[test]
fn each_evolve_has_its_own_fingerprint() {
    let all = [
        fingerprint::<NumberSequence>(),
        fingerprint::<Callback>(),
        fingerprint::<Service>(),
        fingerprint::<Role>(),
    ];
    assert!((0..all.len()).all(|one| (0..one).all(|other| all[one] != all[other])));

    assert_ne!(fingerprint::<Changed>(), fingerprint::<NumberSequence>());
}

#[tokio::test]
async fn a_snapshot_of_other_code_is_ignored() {
    let ledger = ledger_over(Arc::new(store::memory::Memory::default()), 1);
    for command in 0..5 {
        ledger
            .execute::<NumberSequence>(
                &command_envelope(command),
                &Command::Issue { size: 1 },
                &NoContext,
            )
            .await
            .expect("issued");
    }
    let newest = ledger
        .store
        .back(&command_envelope(0).stream, None, 1)
        .await
        .expect("back")
        .remove(0);
    // A snapshot (a stored state of a stream) contains a fingerprint of the program code that wrote the
    // snapshot. The stream `number_sequence-a` gets a wrong snapshot with the fingerprint of other code. The
    // stream `number_sequence-b` gets an unreadable snapshot with the current fingerprint. The ledger must
    // ignore both snapshots.
    for (stream, fingerprint, state) in [
        (
            "number_sequence-a",
            [9; 16],
            &b"{\"state\":{\"issued\":99}}"[..],
        ),
        (
            "number_sequence-b",
            fingerprint::<NumberSequence>(),
            &b"not json"[..],
        ),
    ] {
        let mut previous = None;
        for mut commit in ledger
            .store
            .forward(&newest.stream, 1, 10)
            .await
            .expect("forward")
        {
            commit.stream = stream.into();
            commit.prev_hash = previous.unwrap_or_default();
            commit.hash = commit.expected_hash();
            commit.snapshot = Some(store::Snapshot {
                fingerprint,
                state: state.to_vec(),
            });
            previous = Some(commit.hash);
            ledger.store.append(commit).await.expect("append");
        }
        assert_eq!(
            ledger
                .load::<NumberSequence>(stream)
                .await
                .expect("loaded")
                .aggregate
                .0
                .issued,
            5
        );
    }
}

#[test]
fn a_ledger_of_a_build_before_the_permanent_names_is_rejected_by_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(store::sqlite::Sqlite::open(directory.path(), Arc::default()).expect("a ledger"));
    let file = rusqlite::Connection::open(directory.path().join("ledger.db")).expect("the file");
    file.pragma_update(None, "user_version", 1).expect("marked");
    drop(file);
    let opened = store::sqlite::Sqlite::open(directory.path(), Arc::default()).map(drop);
    let looked = store::sqlite::Sqlite::look(directory.path(), false).map(drop);
    for outcome in [opened, looked] {
        let error = outcome.expect_err("a former ledger").to_string();
        assert!(
            error.contains("before the permanent event names"),
            "{error}"
        );
    }
}

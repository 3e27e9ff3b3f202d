//! These benchmarks measure the throughput of a desk. The benchmarks with the prefix `limit_` measure the
//! limits of the machine in the same run, for comparison.
//!
//! Run `cargo bench -p tests`. The results are in `docs/performance.md`. Set `TMPDIR` to a directory on a
//! real disk, because a memory file system does not need time for a sync.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};

use divan::Bencher;
use divan::counter::ItemsCount;
use domain::number_sequence::{Command, NumberSequence};
use domain::projections::desk_board::DeskBoard;
use events::ticket::TicketEvent;
use events::{Body, Event as _, Meta};
use functions::stream::project;
use infra::clock::{SystemClock, SystemRng};
use infra::commit::following;
use infra::ledger::NoContext;
use infra::store::{Commit, audit};
use infra::{CommandEnvelope, Ledger, keys, store};
use rusqlite::{Connection, params};
use tests::process::{Served, call, client, fast_approval, root, run, shared};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Maximum number of commits in one sample (one measurement of a benchmark).
const COMMITS: usize = 4096;
/// Number of events in the ledger for the replay benchmarks. Each commit of this ledger contains four
/// events.
const EVENTS: usize = 1_000_000;

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// Measures how often the machine can write to disk. One thread repeatedly appends 600 bytes to a file and
/// syncs the file. This rate is an upper limit for serial commits of the ledger.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn limit_fdatasync(bencher: Bencher) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = std::fs::File::create(directory.path().join("log")).expect("a file");
    bencher
        .counter(ItemsCount::new(1000_usize))
        .bench_local(|| {
            for _ in 0..1000 {
                file.write_all(&[b'x'; 600]).expect("written");
                file.sync_data().expect("synced");
            }
        });
}

/// Measures how fast SQLite can commit the rows of concurrent writers. One thread writes all waiting rows
/// in one transaction. This rate is an upper limit for concurrent commits of the ledger.
#[divan::bench(args = [1, 8, 64, 256], sample_count = 5, sample_size = 1)]
fn limit_bare_sqlite_group_commit(bencher: Bencher, writers: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let (requests, inbox) = mpsc::sync_channel::<(usize, mpsc::SyncSender<()>)>(4096);
    let path = directory.path().join("bare.db");
    let loops = std::thread::spawn(move || bare_loop(&path, &inbox));
    let count = COMMITS.min(writers * 512);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        std::thread::scope(|scope| {
            for _ in 0..writers {
                let requests = requests.clone();
                scope.spawn(move || {
                    let (answer, answered) = mpsc::sync_channel(1);
                    for number in 0..count / writers {
                        requests.send((number, answer.clone())).expect("sent");
                        answered.recv().expect("answered");
                    }
                });
            }
        });
    });
    drop(requests);
    loops.join().expect("the loop ends");
}

fn bare_loop(path: &Path, inbox: &mpsc::Receiver<(usize, mpsc::SyncSender<()>)>) {
    let mut connection = Connection::open(path).expect("opened");
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .expect("set");
    connection
        .pragma_update(None, "synchronous", "FULL")
        .expect("set");
    connection
        .execute_batch("CREATE TABLE rows (position INTEGER PRIMARY KEY, body BLOB) STRICT")
        .expect("created");
    while let Ok(first) = inbox.recv() {
        let group: Vec<_> = std::iter::once(first)
            .chain(inbox.try_iter().take(511))
            .collect();
        let transaction = connection.transaction().expect("begun");
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO rows (body) VALUES (?1)")
                .expect("prepared");
            for _ in &group {
                insert
                    .execute(params![[b'x'; 400].as_slice()])
                    .expect("inserted");
            }
        }
        transaction.commit().expect("committed");
        for (_, answer) in group {
            answer.send(()).expect("answered");
        }
    }
}

fn ledger(directory: &Path) -> Ledger {
    let store = store::sqlite::Sqlite::open(directory, Arc::default()).expect("a ledger");
    let rng = Arc::new(SystemRng);
    Ledger::new(
        Arc::new(store),
        Arc::new(keys::memory::Memory::new(rng.clone())),
        Arc::new(SystemClock),
        rng,
    )
}

/// Measures how many commands per second `Ledger::execute` can store on disk. For each command, the ledger
/// loads the stream, makes a decision and appends a commit.
#[divan::bench(args = [1, 8, 64, 256], sample_count = 5, sample_size = 1)]
fn execute_durably(bencher: Bencher, writers: usize) {
    let (directory, runtime) = (tempfile::tempdir().expect("a directory"), runtime());
    let ledger = ledger(directory.path());
    let count = COMMITS.min(writers * 512);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        runtime.block_on(async {
            let mut all = JoinSet::new();
            for writer in 0..writers {
                let ledger = ledger.clone();
                all.spawn(async move {
                    for _ in 0..count / writers {
                        let command_envelope = CommandEnvelope {
                            stream: format!("number_sequence-W{writer}"),
                            command_id: ledger.fresh_id(),
                            meta: Meta::system("bench", "bench"),
                        };
                        ledger
                            .execute::<NumberSequence>(
                                &command_envelope,
                                &Command::Issue { size: 1 },
                                &NoContext,
                            )
                            .await
                            .expect("executed");
                    }
                });
            }
            all.join_all().await;
        });
    });
}

/// Measures how many tickets per second the desk can create over HTTP. The benchmark and the desk are two
/// processes on one machine, and each ticket is on disk before the desk sends the response.
#[divan::bench(args = [1, 64], sample_count = 5, sample_size = 1)]
fn http_create_ticket(bencher: Bencher, clients: usize) {
    let (directory, runtime) = (tempfile::tempdir().expect("a directory"), runtime());
    let desk = Served::start(directory.path(), &[]);
    let count = if clients == 1 { 500 } else { 6400 };
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        runtime.block_on(async {
            let http = client();
            let mut all = JoinSet::new();
            for _ in 0..clients {
                let (http, base) = (http.clone(), desk.base.clone());
                all.spawn(async move {
                    for _ in 0..count / clients {
                        let answer = call(
                            &http,
                            &base,
                            "create_ticket",
                            fast_approval("bench", None),
                            None,
                        )
                        .await
                        .expect("an answer");
                        assert_eq!(answer["result"], true);
                    }
                });
            }
            all.join_all().await;
        });
    });
}

/// Measures the import of a real incident log (a CSV file), from the start of the program to the last commit.
/// The measurement is skipped if this file does not exist.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn import_incident_log(bencher: Bencher) {
    let Some(file) = shared()
        .map(|shared| shared.join("data/uci498_incidents.csv.gz"))
        .filter(|file| file.exists())
    else {
        println!("skipped: the incident log is not in the folder beside the project");
        return;
    };
    let mapping = root().join("mappings/servicenow-uci498.toml");
    bencher
        .counter(ItemsCount::new(112_399_usize))
        .with_inputs(|| tempfile::tempdir().expect("a directory"))
        .bench_values(|directory| {
            let data = directory.path().to_str().expect("text");
            let output = run(&[
                "import",
                file.to_str().expect("text"),
                "--mapping",
                mapping.to_str().expect("text"),
                "--data",
                data,
            ]);
            assert!(output.status.success());
            directory
        });
}

/// Returns a ledger that contains a million ticket events. The first call creates the ledger, and later
/// calls return the same ledger.
fn ledger_of_a_million_events() -> &'static (tempfile::TempDir, Ledger) {
    static LEDGER: OnceLock<(tempfile::TempDir, Ledger)> = OnceLock::new();
    LEDGER.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = ledger(directory.path());
        // Each commit contains copies of four sample events of a ticket. The benchmark uses the sample
        // events, because they have realistic sizes.
        let samples: Vec<(TicketEvent, _)> = events::samples::history::<TicketEvent>()
            .into_iter()
            .map(|event| (event, None))
            .collect();
        let bodies: Vec<Vec<u8>> = samples
            .chunks_exact(4)
            .map(|four| events::body::write(&Meta::system("bench", "bench"), four).expect("a body"))
            .collect();
        runtime().block_on(async {
            let mut all = JoinSet::new();
            for stream in 0..64 {
                let (store, bodies) = (ledger.store.clone(), bodies.clone());
                all.spawn(async move {
                    let mut previous: Option<Commit> = None;
                    for number in 0..EVENTS / 4 / 64 {
                        let mut commit = following(
                            &format!("ticket-{stream}"),
                            previous.as_ref(),
                            4,
                            1,
                            &bodies[number % bodies.len()],
                        );
                        commit.command_id[0] = u8::try_from(number % 251).expect("a byte");
                        commit.hash = commit.expected_hash();
                        store.append(commit.clone()).await.expect("appended");
                        previous = Some(commit);
                    }
                });
            }
            all.join_all().await;
        });
        (directory, ledger)
    })
}

/// Measures how fast events in memory can be decoded. This rate is an upper limit for a replay, which also
/// reads the events from disk.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn limit_decode_a_million_events(bencher: Bencher) {
    let (_, ledger) = ledger_of_a_million_events();
    let bodies: Vec<Vec<u8>> = runtime().block_on(async {
        let mut bodies = Vec::new();
        let mut position = 0;
        loop {
            let page = ledger.store.feed(position, 1000).await.expect("feed");
            let Some(last) = page.last() else {
                return bodies;
            };
            position = last.position;
            bodies.extend(page.into_iter().map(|placed| placed.commit.body));
        }
    });
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for body in &bodies {
            for raw in &Body::read(body).expect("a body").events {
                divan::black_box(TicketEvent::read(raw).expect("an event"));
            }
        }
    });
}

/// Measures a replay: a million events are read from the ledger, and an overview of the desk is computed from
/// these events.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn replay_a_million_events(bencher: Bencher) {
    let (_, ledger) = ledger_of_a_million_events();
    let runtime = runtime();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        runtime.block_on(async {
            let (mut board, mut position) = (DeskBoard::default(), 0);
            loop {
                let page = ledger.store.feed(position, 1000).await.expect("feed");
                let Some(last) = page.last() else {
                    return board;
                };
                position = last.position;
                for placed in &page {
                    project::fold(&mut board, &placed.commit).expect("folded");
                }
            }
        })
    });
}

/// Measures how fast an audit verifies a ledger with a million events. The audit checks the two hash chains of
/// the ledger, all streams and all commit bodies.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn audit_verify_a_million_events(bencher: Bencher) {
    let (_, ledger) = ledger_of_a_million_events();
    let runtime = runtime();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let verdict = runtime
            .block_on(audit::verify(&*ledger.store, &[], &mut |_| {}))
            .expect("verified");
        assert!(verdict.is_ok(), "{:?}", verdict.findings);
    });
}

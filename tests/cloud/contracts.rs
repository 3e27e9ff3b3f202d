//! A port is an interface of the program, for example to a store. An adapter implements a port. These
//! tests run the contract tests of each port on the adapter for AWS. Each test uses separate tables,
//! queues and buckets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::types::{ScalarAttributeType, StreamViewType};
use domain::ticket::{Command, Ticket};
use events::ticket::RowImported;
use events::{Meta, Moment};
use functions::stream::index::Indexer;
use infra::aws::{Names, Table, configure};
use infra::clock::{Clock, SeededRng, SystemClock, SystemRng};
use infra::ledger::{ContextLoader, command_id};
use infra::store::Journal as _;
use infra::store::paged::Paged;
use infra::{CommandEnvelope, Ledger, blob, keys, pages, queue, secrets, store, views};

use crate::deployment::{fresh, table};
use crate::stream::Stream;

/// A store for one test, with separate tables, and with the archived commits in memory. The member `indexer`
/// builds the feed (the ordered list of all commits) of this store.
pub(crate) struct SeparateStore {
    pub(crate) store: Arc<Paged>,
    pub(crate) indexer: Indexer,
    pub(crate) stream: Stream,
    pub(crate) journal: Table,
}

impl SeparateStore {
    pub(crate) async fn new() -> Self {
        let config = configure(None).await;
        let (journal, arn) = table(
            &config,
            &fresh("journal"),
            Some(ScalarAttributeType::N),
            Some(StreamViewType::NewImage),
        )
        .await;
        let (feed, _) = table(
            &config,
            &fresh("feed"),
            Some(ScalarAttributeType::N),
            Some(StreamViewType::NewImage),
        )
        .await;
        let pages = Arc::new(pages::dynamodb::Dynamodb::new(feed));
        let blob = Arc::new(blob::memory::Memory::default());
        let indexer = Indexer::new(pages.clone(), blob.clone(), Arc::new(SystemClock));
        let store = Arc::new(Paged::new(
            Arc::new(store::dynamodb::Dynamodb::new(journal.clone())),
            pages,
            blob,
        ));
        Self {
            store,
            indexer,
            stream: Stream::new(&config, &arn),
            journal,
        }
    }

    pub(crate) async fn caught_up(&self) {
        self.indexer
            .index(&self.stream.all().await)
            .await
            .expect("indexed");
    }
}

/// Tests the store on DynamoDB. In 500 rounds, 16 concurrent writers append to the same stream. Exactly one
/// writer succeeds in each round.
#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_store() {
    let own = SeparateStore::new().await;
    store::contract::check(own.store.clone(), 500, async || own.caught_up().await).await;
    let compared = store::audit::compare(&*own.store, Moment(i64::MAX), &mut |_| {})
        .await
        .expect("compared");
    assert_eq!(compared.findings(), Vec::<String>::new());
    assert!(compared.both > 500, "{compared:?}");
}

#[tokio::test]
async fn dynamodb_pages() {
    let (table, _) = table(
        &configure(None).await,
        &fresh("feed"),
        Some(ScalarAttributeType::N),
        Some(StreamViewType::NewImage),
    )
    .await;
    pages::contract::check(&pages::dynamodb::Dynamodb::new(table)).await;
}

#[tokio::test]
async fn dynamodb_views() {
    let (table, _) = table(
        &configure(None).await,
        &fresh("views"),
        Some(ScalarAttributeType::S),
        Some(StreamViewType::NewImage),
    )
    .await;
    views::contract::check(&views::dynamodb::Dynamodb::new(table)).await;
}

/// The views (lists that are computed from the ledger) are stored in DynamoDB. The test reads filtered
/// ticket lists page by page. Each page must contain the same tickets as a simple computation over all
/// tickets.
#[tokio::test]
async fn lists_on_dynamodb_equal_a_plain_computation() {
    let (table, _) = table(
        &configure(None).await,
        &fresh("views"),
        Some(ScalarAttributeType::S),
        Some(StreamViewType::NewImage),
    )
    .await;
    let compared =
        tests::lists::check(Arc::new(views::dynamodb::Dynamodb::new(table)), 150, 120).await;
    println!("dynamodb: {compared:?}, 0 differences");
    assert!(compared.listed > 500, "{compared:?}");
}

#[tokio::test]
async fn dynamodb_keys() {
    let (table, _) = table(
        &configure(None).await,
        &fresh("keys"),
        None,
        Some(StreamViewType::NewImage),
    )
    .await;
    keys::contract::check(&keys::dynamodb::Dynamodb::new(
        table,
        Arc::new(SystemRng),
        Arc::new(SystemClock),
    ))
    .await;
}

#[tokio::test]
async fn sqs_queue() {
    let config = configure(None).await;
    let client = aws_sdk_sqs::Client::new(&config);
    let names = Names::new(&fresh("q"));
    for name in functions::catalog::queues() {
        for name in [names.queue(name), names.queue(&queue::sqs::dead(name))] {
            client
                .create_queue()
                .queue_name(name)
                .send()
                .await
                .expect("a queue");
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    queue::contract::check_in_real_time(
        &queue::sqs::Sqs::new(&config, names, &functions::catalog::queues(), clock.clone()),
        functions::catalog::queues()[0],
        &*clock,
    )
    .await;
}

#[tokio::test]
async fn s3_blob() {
    let config = configure(None).await;
    let bucket = fresh("blob");
    let settings = aws_sdk_s3::config::Builder::from(&config)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(settings)
        .create_bucket()
        .bucket(&bucket)
        .send()
        .await
        .expect("a bucket");
    blob::contract::check(&blob::s3::S3::new(&config, &bucket, Arc::default())).await;
}

#[tokio::test]
async fn managed_secrets() {
    let (config, name) = (
        configure(None).await,
        crate::desk::setting("LEDGERDESK_PREFIX") + "/desk",
    );
    let manager = || secrets::manager::Manager::new(&config, &name);
    secrets::contract::check(&manager(), &manager()).await;
}

/// A stream with more than 1 MiB and more than 5,000 events can be loaded, and accepts commands. A snapshot is
/// a stored state of a stream. The ledger ignores snapshots that another program wrote to this stream.
#[tokio::test]
async fn a_stream_past_1_mib_and_5000_events_accepts_commands() {
    let own = SeparateStore::new().await;
    let rng = Arc::new(SeededRng::new(3));
    let ledger = |every| {
        let keys = Arc::new(keys::memory::Memory::new(rng.clone()));
        Ledger::new(own.store.clone(), keys, Arc::new(SystemClock), rng.clone())
            .with_snapshot_every(every)
            .with_others(1_000)
    };
    let writer = ledger(400);
    let next = AtomicU32::new(1);
    let row = || {
        let nth = next.fetch_add(1, Ordering::SeqCst);
        RowImported {
            row: "r".into(),
            nth,
            columns: BTreeMap::from([("text".to_owned(), format!("{nth} {}", "x".repeat(230)))]),
            ..RowImported::default()
        }
    };
    let import_rows = async |ledger: &Ledger, number: u64, rows: u64| {
        let command = Command::ImportRow((0..rows).map(|_| row()).collect());
        let command_envelope = CommandEnvelope {
            stream: "ticket-LOG-1".into(),
            command_id: command_id(&["row", &number.to_string()]),
            meta: Meta::system("t", "t"),
        };
        ledger
            .execute::<Ticket>(&command_envelope, &command, &NoContext)
            .await
            .map(|outcome| outcome.last)
    };
    for number in 0..103 {
        import_rows(&writer, number, 50).await.expect("imported");
    }
    let bytes: usize = {
        let (mut from, mut bytes) = (1, 0);
        loop {
            let page = own
                .store
                .forward("ticket-LOG-1", from, 100)
                .await
                .expect("forward");
            let Some(last) = page.last() else { break bytes };
            from = last.next();
            bytes += page.iter().map(|commit| commit.body.len()).sum::<usize>();
        }
    };
    // The test creates a second ledger object for the same store, like a second process of the desk. This
    // ledger stores snapshots (states of streams) more often. The ledger must load the stream and append events
    // to the stream.
    let other = ledger(10);
    for number in 200..300 {
        import_rows(&other, number, 1)
            .await
            .expect("a cold or warm command");
    }
    let reread = ledger(10)
        .load::<Ticket>("ticket-LOG-1")
        .await
        .expect("loaded");
    assert_eq!(reread.next - 1, 103 * 50 + 100);
    assert!(bytes > 1 << 20, "{bytes}");
    println!(
        "{} events, {bytes} bytes before the last hundred commands",
        103 * 50
    );
    // A snapshot (a stored state of a stream) contains a fingerprint of the program code that wrote the
    // snapshot. The ledger ignores a snapshot with the fingerprint of other code.
    let mut tip = own
        .store
        .back("ticket-LOG-1", None, 1)
        .await
        .expect("back")
        .remove(0);
    let mut changed = infra::commit::following("ticket-LOG-1", Some(&tip), 1, 9, &tip.body);
    changed.snapshot = Some(store::Snapshot {
        fingerprint: [9; 16],
        state: b"{\"state\":\"of another program\"}".to_vec(),
    });
    assert!(matches!(
        own.store.append(changed).await.expect("append"),
        store::Appended::Stored { .. }
    ));
    assert_eq!(
        ledger(10)
            .load::<Ticket>("ticket-LOG-1")
            .await
            .expect("loaded")
            .next
            - 1,
        103 * 50 + 101
    );
    import_rows(&ledger(10), 400, 1)
        .await
        .expect("the stream accepts commands");
    tip = own
        .store
        .back("ticket-LOG-1", None, 1)
        .await
        .expect("back")
        .remove(0);
    assert_eq!(tip.next() - 1, 103 * 50 + 102);
}

/// A loader of context data (additional data that some commands need). The loader panics when it is
/// called, because the import of rows needs no context data.
struct NoContext;

#[async_trait::async_trait]
impl ContextLoader<Ticket> for NoContext {
    async fn load(
        &self,
        wanted: &[domain::ticket::Lookup],
        _: &mut domain::ticket::Context,
    ) -> Result<(), infra::Error> {
        panic!("{wanted:?}")
    }
}

//! This program compares the price of a command on two stores: the store of this project and the library
//! dynamo-es 0.5. Both prices are measured in the same run. The benchmarks B1 to B3 are described in
//! reference/event-sourcing.md, section 5.
//!
//! Both stores execute the same ticket commands on dynoxide, a simulator of DynamoDB. The simulator reports
//! the capacity units that DynamoDB would bill. A proxy in the module `meter` reads these units for every
//! request, and adds up requests, units and bytes.
//!
//! Prices are the on-demand prices of the region us-east-1. The program prints no times, because times on a
//! simulator have no meaning.
//!
//! Run `cargo run --release [TICKETS]`. The default is 10,000 tickets.

mod meter;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use domain::EsAggregate;
use domain::ticket::{Command, Context, Lookup, Open, Ticket};
use dynamo_es::DynamoEventRepository;
use events::ticket::RowImported;
use events::workflow::WorkflowEvent;
use events::{CategoryId, Entry, Meta, Moment, NodeId, PersonId, TicketSn};
use indicatif::ProgressBar;
use infra::aws::Table;
use infra::blob::memory::Memory as Blobs;
use infra::clock::{Clock as _, ManualClock, SeededRng};
use infra::keys::memory::Memory as Keys;
use infra::ledger::{ContextLoader, command_id};
use infra::pages::{self, Page, archive};
use infra::store::{Journal, dynamodb::Dynamodb, paged::Paged};
use infra::{CommandEnvelope, Error, Ledger};
use meter::{Meter, Sum};

/// Maximum number of events in one stream of benchmark B1, which executes random commands on many tickets.
const STREAM_MAX: i64 = 200;
/// Average number of commands on a ticket after the command that opens the ticket. The opening command
/// stores 5 events, and each later command stores 1 event. A command stores 1.6 events on average.
const COMMANDS_AFTER_OPENING: usize = 6;
/// Number of commits in one page (part) of the feed on a busy desk. The feed is the ordered list of all
/// commits.
const BUSY_PAGE_COMMITS: usize = 100;
/// Price in dollars of one million put requests. Each put request stores one object of the archive (the
/// stored commits of the feed).
const PUT_DOLLARS: f64 = 5.0;

/// Returns the context (the data from other streams) that commands on tickets need. The context contains
/// one service, one workflow and one role, which come from the sample events.
fn context() -> Context {
    let deployed = events::samples::history::<WorkflowEvent>()
        .into_iter()
        .find_map(|event| match event {
            WorkflowEvent::Deployed(deployed) => Some(deployed),
            _ => None,
        });
    let deployed = deployed.expect("a sample");
    let events::service::ServiceEvent::Defined(service) =
        events::samples::history::<events::service::ServiceEvent>().remove(0);
    let events::role::RoleEvent::Defined(role) =
        events::samples::history::<events::role::RoleEvent>().remove(0);
    Context {
        categories: BTreeMap::from([(service.service, Some(CategoryId(30)))]),
        services: BTreeMap::from([(service.service, Some(service))]),
        workflows: BTreeMap::from([(
            (deployed.workflow, deployed.version),
            Some(Arc::new(deployed)),
        )]),
        roles: BTreeMap::from([(role.role, role.members)]),
        general_roles: Some(Vec::new()),
        superusers: Some(vec![PersonId::from("p-root")]),
        permissions: Some(domain::ticket::Permissions(infra::policy::permits)),
        ..Context::default()
    }
}

struct Company(Context);

#[async_trait::async_trait]
impl ContextLoader<Ticket> for Company {
    async fn load(&self, _: &[Lookup], context: &mut Context) -> Result<(), Error> {
        *context = self.0.clone();
        Ok(())
    }
}

/// One of the two stores that the program compares.
#[async_trait::async_trait]
trait Side: Send + Sync {
    /// Executes a command on a stream. Returns true if the command succeeded. Each command needs a
    /// different `number`, because the function computes the command id from this number.
    async fn execute(&self, stream: &str, number: usize, command: &Command) -> bool;
}

/// The store of this project. A cold store loads the stream for every command. A warm store keeps the
/// states of streams in memory, like a running cloud function.
struct Ours {
    store: Arc<Paged>,
    keys: Arc<Keys>,
    clock: Arc<ManualClock>,
    warm: Option<Ledger>,
    company: Company,
}

impl Ours {
    fn new(client: &Client, name: &str, is_warm: bool) -> Self {
        let table = |name: String| Table {
            client: client.clone(),
            name,
            meter: Arc::default(),
        };
        let journal: Arc<dyn Journal> = Arc::new(Dynamodb::new(table(name.to_owned())));
        let store = Arc::new(Paged::new(
            journal,
            Arc::new(pages::dynamodb::Dynamodb::new(table("feed".into()))),
            Arc::new(Blobs::default()),
        ));
        let rng = Arc::new(SeededRng::new(1));
        let clock = Arc::new(ManualClock::at(Moment(1_795_312_800_000)));
        let mut ours = Self {
            store,
            keys: Arc::new(Keys::new(rng)),
            clock,
            warm: None,
            company: Company(context()),
        };
        ours.warm = is_warm.then(|| ours.ledger());
        ours
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(
            self.store.clone(),
            self.keys.clone(),
            self.clock.clone(),
            Arc::new(SeededRng::new(2)),
        )
        .with_others(5_000)
    }

    /// Builds the feed (the ordered list of all commits) in pages of `entries` commits, like the cloud
    /// function `index`. Returns the number of objects that were stored in the archive (the bodies of these
    /// commits).
    async fn index(&self, entries: usize) -> usize {
        let (mut from, mut commits, mut puts) = (None, Vec::new(), 0);
        loop {
            let walked = self.store.walk(from, 1000).await.expect("walk");
            commits.extend(walked.commits);
            from = walked.next;
            if from.is_none() {
                break;
            }
        }
        commits.sort_by_key(|commit| commit.at);
        let mut previous: Option<Page> = None;
        for some in commits.chunks(entries) {
            let (name, packed) = archive::pack(some).expect("packed");
            let mut page = Page::following(previous.as_ref(), self.clock.now(), name, some);
            if packed.len() <= pages::INLINE_BYTES_MAX {
                page = page.with_inline(packed);
            } else {
                puts += 1;
            }
            assert!(self.store.pages.put(&page).await.expect("put"));
            previous = Some(page);
        }
        puts
    }
}

#[async_trait::async_trait]
impl Side for Ours {
    async fn execute(&self, stream: &str, number: usize, command: &Command) -> bool {
        self.clock.advance(1);
        let meta = Meta {
            actor: "p91c3d4e85a6f7b20d1e4c3f8".into(),
            app: Some("bk_log_search".into()),
            ..Meta::system("c81d24b7", "77aa0f3e")
        };
        let command_envelope = CommandEnvelope {
            stream: stream.to_owned(),
            command_id: command_id(&["price", &number.to_string()]),
            meta,
        };
        let cold;
        let ledger = match &self.warm {
            Some(warm) => warm,
            None => {
                cold = self.ledger();
                &cold
            }
        };
        succeeded(
            ledger
                .execute::<Ticket>(&command_envelope, command, &self.company)
                .await,
        )
    }
}

/// The library dynamo-es in its event-store mode. In its other modes, the library does not load correct
/// states.
struct Peer(
    CqrsFramework<
        EsAggregate<Ticket>,
        PersistedEventStore<DynamoEventRepository, EsAggregate<Ticket>>,
    >,
);

impl Peer {
    fn new(client: &Client, table: &str) -> Self {
        let repository = DynamoEventRepository::new(client.clone()).with_tables(table, "snapshots");
        Self(CqrsFramework::new(
            PersistedEventStore::new_event_store(repository),
            Vec::new(),
            context(),
        ))
    }
}

#[async_trait::async_trait]
impl Side for Peer {
    async fn execute(&self, stream: &str, number: usize, command: &Command) -> bool {
        // The library stores these metadata with each event. The store of this project stores the same
        // metadata once per commit.
        let metadata = HashMap::from([
            ("actor".to_owned(), "p91c3d4e85a6f7b20d1e4c3f8".to_owned()),
            ("app".to_owned(), "bk_log_search".to_owned()),
            ("channel".to_owned(), "api".to_owned()),
            ("correlation".to_owned(), "c81d24b7".to_owned()),
            ("causation".to_owned(), "77aa0f3e".to_owned()),
            ("command_id".to_owned(), format!("{number:032x}")),
            ("time".to_owned(), "2026-11-22T08:30:00.000Z".to_owned()),
        ]);
        succeeded(
            self.0
                .execute_with_metadata(stream, command.clone(), metadata)
                .await,
        )
    }
}

/// Returns true if a command succeeded. Prints only the first three failures of a run.
fn succeeded<T, E: std::fmt::Debug>(outcome: Result<T, E>) -> bool {
    static FAILURES: AtomicU32 = AtomicU32::new(0);
    if let Err(error) = &outcome
        && FAILURES.fetch_add(1, Ordering::Relaxed) < 3
    {
        eprintln!("  a command failed: {:.300}", format!("{error:?}"));
    }
    outcome.is_ok()
}

/// Returns an adapter for the DynamoDB table `feed`. The table contains no commit when this function is
/// called.
fn feed_of(client: &Client) -> Arc<dyn pages::Pages> {
    Arc::new(pages::dynamodb::Dynamodb::new(Table {
        client: client.clone(),
        name: "feed".into(),
        meter: Arc::default(),
    }))
}

fn open(number: usize) -> Command {
    Command::Open(Box::new(Open {
        sn: TicketSn(format!("REQ20261122{number:06}")),
        id: 120_261_122_000_000 + i64::try_from(number).expect("small"),
        service: events::ServiceId(17),
        creator: "p5d1f0c9ab3e2477810aa6c01".into(),
        form: vec![Entry::new(
            "title",
            "申请堡垒机权限：按清单开通，有效期一个月，到期收回",
        )],
        tag: "bk_log".into(),
        callback: None,
        chosen_processors: BTreeMap::new(),
        agent: None,
        dynamic_fields: Vec::new(),
        names: BTreeMap::new(),
        variables: None,
        notify_config: serde_json::Value::Null,
        from: None,
        attention: false,
    }))
}

/// Returns the command with the number `at` after the opening of a ticket. Commands with an even number
/// suspend the ticket, and the other commands resume the ticket.
fn command_after_opening(at: usize, by: &PersonId) -> Command {
    if at % 2 == 0 {
        Command::Suspend {
            by: by.clone(),
            reason: "等待窗口".into(),
        }
    } else {
        Command::Resume {
            by: by.clone(),
            reason: String::new(),
        }
    }
}

/// A random number generator (SplitMix64) that always returns the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Returns the commands of benchmark B1. The first commands open all tickets. A Zipf distribution with
/// exponent 0.9 selects the ticket of each later command. A stream contains at most [`STREAM_MAX`] events.
fn mix(tickets: usize) -> Vec<(usize, Command)> {
    let by = context().roles.values().next().expect("a role")[0].clone();
    let weights: Vec<f64> = (1..=tickets).map(|rank| (rank as f64).powf(-0.9)).collect();
    let mut sums: Vec<f64> = weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let total = *sums.last().expect("tickets");
    sums.iter_mut().for_each(|sum| *sum /= total);
    let mut dice = Dice(1);
    let mut commands: Vec<(usize, Command)> =
        (0..tickets).map(|number| (number, open(number))).collect();
    let mut length = vec![5_i64; tickets];
    let mut steps = vec![0; tickets];
    while commands.len() < tickets * COMMANDS_AFTER_OPENING + tickets {
        let drawn = dice.unit();
        let number = sums.partition_point(|sum| *sum < drawn).min(tickets - 1);
        if length[number] < STREAM_MAX {
            commands.push((number, command_after_opening(steps[number], &by)));
            steps[number] += 1;
            length[number] += 1;
        }
    }
    commands
}

/// Executes the commands in order. Each command gets its own number. Returns how many commands succeeded.
async fn run(
    side: &dyn Side,
    prefix: &str,
    first: usize,
    commands: &[(usize, Command)],
    bar: &ProgressBar,
) -> usize {
    let mut done = 0;
    for (at, (number, command)) in commands
        .iter()
        .enumerate()
        .map(|(at, command)| (first + at, command))
    {
        done += usize::from(
            side.execute(&format!("{prefix}{number:06}"), at, command)
                .await,
        );
        bar.inc(1);
    }
    done
}

fn print(name: &str, sum: &Sum, commands: usize, peer: Option<&Sum>) {
    let count = commands as f64;
    let ratio = peer
        .map(|peer| format!("{:.2}x", sum.dollars() / peer.dollars()))
        .unwrap_or_default();
    let requests = peer
        .map(|peer| format!("{:.2}x", sum.requests as f64 / peer.requests as f64))
        .unwrap_or_default();
    println!(
        "  {name:<34} {:>7.2} W {:>7.2} R {:>6.2} requests {requests:>6} {:>7.0} bytes  {:>7.3} $/million {ratio:>6}",
        sum.write_units / count,
        sum.read_units / count,
        sum.requests as f64 / count,
        sum.bytes as f64 / count,
        sum.dollars() / count * 1e6
    );
}

async fn table(client: &Client, name: &str, hash: &str, range: Option<&str>) {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind)
            .build()
            .expect("an attribute")
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .expect("a key")
    };
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    create = create
        .attribute_definitions(attribute(hash, ScalarAttributeType::S))
        .key_schema(key(hash, KeyType::Hash));
    if let Some(range) = range {
        create = create
            .attribute_definitions(attribute(range, ScalarAttributeType::N))
            .key_schema(key(range, KeyType::Range));
    }
    create.send().await.expect("a table");
}

/// Starts a DynamoDB simulator with a proxy that measures all requests. Creates the tables of both stores.
async fn start_simulator() -> (Client, Arc<Meter>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let upstream = format!("http://{}", listener.local_addr().expect("an address"));
    let database = dynoxide::Database::memory().expect("a database");
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    let (meter, address) = Meter::before(&upstream).await;
    let settings = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::for_tests())
        .endpoint_url(address)
        .build();
    let client = Client::from_conf(settings);
    for name in ["journal", "feed"] {
        table(&client, name, "p", Some("s")).await;
    }
    table(
        &client,
        "peer",
        "AggregateTypeAndId",
        Some("AggregateIdSequence"),
    )
    .await;
    table(&client, "snapshots", "AggregateTypeAndId", None).await;
    meter.take();
    (client, meter)
}

/// Builds the feed (the ordered list of all commits). Then prints the price per command of the store of this
/// project. The price includes the cost of the feed.
async fn feed(
    ours: &Ours,
    meter: &Meter,
    commits: usize,
    entries: usize,
    peer: &Sum,
    with: &Sum,
    name: &str,
) {
    meter.take();
    let puts = ours.index(entries).await as f64;
    let mut sum = meter.take();
    // The price does not include read requests. This program reads the commits from the table, but a desk in
    // the cloud does not read them. There, the function `index` receives the commits from the change stream
    // of the table without a charge.
    (sum.read_units, sum.requests) = (0.0, sum.write_requests);
    sum += *with;
    print(name, &sum, commits, Some(peer));
    let put_dollars = puts * PUT_DOLLARS / 1e6;
    println!(
        "    and {:.4} archive objects put per command; with them {:.3} $/million, {:.2}x",
        puts / commits as f64,
        (sum.dollars() + put_dollars) / commits as f64 * 1e6,
        (sum.dollars() + put_dollars) / peer.dollars()
    );
}

#[tokio::main]
async fn main() {
    let tickets = std::env::args()
        .nth(1)
        .map_or(10_000, |text| text.parse().expect("a number of tickets"));
    mixed(tickets).await;
    votes(300).await;
    long_stream().await;
}

async fn mixed(tickets: usize) {
    let commands = mix(tickets);
    println!(
        "B1: {tickets} tickets, {} commands, Zipf 0.9, streams up to {STREAM_MAX} events",
        commands.len()
    );
    let bar = ProgressBar::new(commands.len() as u64 * 3);
    let (client, meter) = start_simulator().await;
    let done = run(
        &Peer::new(&client, "peer"),
        "ticket-REQ20261122",
        0,
        &commands,
        &bar,
    )
    .await;
    let peer = meter.take();
    assert_eq!(done, commands.len());
    let cold_side = Ours::new(&client, "journal", false);
    assert_eq!(
        run(&cold_side, "ticket-REQ20261122", 0, &commands, &bar).await,
        commands.len()
    );
    let cold = meter.take();
    let (client, warm_meter) = start_simulator().await;
    let warm_side = Ours::new(&client, "journal", true);
    assert_eq!(
        run(&warm_side, "ticket-REQ20261122", 0, &commands, &bar).await,
        commands.len()
    );
    let warm = warm_meter.take();
    bar.finish_and_clear();
    print(
        "dynamo-es 0.5, event-store mode",
        &peer,
        commands.len(),
        None,
    );
    print("ours, cold", &cold, commands.len(), Some(&peer));
    print("ours, warm", &warm, commands.len(), Some(&peer));
    feed(
        &cold_side,
        &meter,
        commands.len(),
        BUSY_PAGE_COMMITS,
        &peer,
        &cold,
        "ours, cold, with a busy feed",
    )
    .await;
    let (client, again) = start_simulator().await;
    let copy = Ours {
        store: Arc::new(Paged::new(
            warm_side.store.journal.clone(),
            feed_of(&client),
            Arc::new(Blobs::default()),
        )),
        ..warm_side
    };
    feed(
        &copy,
        &again,
        commands.len(),
        BUSY_PAGE_COMMITS,
        &peer,
        &warm,
        "ours, warm, with a busy feed",
    )
    .await;
    let (client, again) = start_simulator().await;
    let copy = Ours {
        store: Arc::new(Paged::new(
            copy.store.journal.clone(),
            feed_of(&client),
            Arc::new(Blobs::default()),
        )),
        ..copy
    };
    feed(
        &copy,
        &again,
        commands.len(),
        1,
        &peer,
        &cold,
        "ours, cold, with an idle feed",
    )
    .await;
}

/// Runs benchmark B2: each command is a vote on a stream with 51 events. A vote completes a node and starts
/// the next node, and stores 4 events.
async fn votes(tickets: usize) {
    let by = context().roles.values().next().expect("a role")[0].clone();
    let setup: Vec<(usize, Command)> = (0..tickets)
        .flat_map(|number| {
            std::iter::once((number, open(number))).chain((0..46).map({
                let by = by.clone();
                move |at| (number, command_after_opening(at, &by))
            }))
        })
        .collect();
    let vote = Command::Submit {
        node: NodeId(3),
        form: vec![Entry::new("SHENPI", "true")],
        by,
        reason: String::new(),
    };
    let votes: Vec<(usize, Command)> = (0..tickets).map(|number| (number, vote.clone())).collect();
    println!("B2: {tickets} commands of several events on streams of 51 events");
    let bar = ProgressBar::new(setup.len() as u64 * 3);
    let (client, meter) = start_simulator().await;
    let mut sums = Vec::new();
    let sides: [(&str, Box<dyn Side>); 3] = [
        ("peer", Box::new(Peer::new(&client, "peer"))),
        ("cold", Box::new(Ours::new(&client, "journal", false))),
        ("warm", Box::new(Ours::new(&client, "journal", true))),
    ];
    for (name, side) in &sides {
        let prefix = if *name == "warm" {
            "ticket-CRQ20261122"
        } else {
            "ticket-REQ20261122"
        };
        run(&**side, prefix, 0, &setup, &bar).await;
        meter.take();
        let done = run(&**side, prefix, setup.len(), &votes, &bar).await;
        sums.push((meter.take(), done));
    }
    bar.finish_and_clear();
    let commit = Dynamodb::new(Table {
        client,
        name: "journal".into(),
        meter: Arc::default(),
    })
    .back("ticket-REQ20261122000000", None, 1)
    .await
    .expect("back")
    .remove(0);
    println!(
        "  events of one command: {}; executed: {:?}",
        commit.n,
        sums.iter().map(|(_, done)| done).collect::<Vec<_>>()
    );
    let peer = sums[0].0;
    print("dynamo-es 0.5, event-store mode", &peer, tickets, None);
    print("ours, cold", &sums[1].0, tickets, Some(&peer));
    print("ours, warm", &sums[2].0, tickets, Some(&peer));
}

/// Runs benchmark B3: 100 commands on a stream that is so long that DynamoDB needs several query pages to
/// return it.
async fn long_stream() {
    let (client, _meter) = start_simulator().await;
    let rows = |from: u32, count: u32| {
        let row = |nth| RowImported {
            row: "r".into(),
            nth,
            columns: BTreeMap::from([("text".to_owned(), format!("{nth} {}", "x".repeat(280)))]),
            ..RowImported::default()
        };
        Command::ImportRow((from..from + count).map(row).collect())
    };
    println!("B3: a stream of 3,000 events (over 1 MB), then 100 more commands");
    for (name, side) in [
        (
            "dynamo-es 0.5",
            Box::new(Peer::new(&client, "peer")) as Box<dyn Side>,
        ),
        ("ours", Box::new(Ours::new(&client, "journal", false))),
    ] {
        let mut grown = 0;
        for at in 0..150 {
            grown += usize::from(
                side.execute("ticket-LOG-1", at as usize, &rows(at * 20 + 1, 20))
                    .await,
            );
        }
        let mut done = 0;
        for at in 0..100 {
            done += usize::from(
                side.execute("ticket-LOG-1", 1_000 + at as usize, &rows(3_001 + at, 1))
                    .await,
            );
        }
        println!("  {name:<14} executed {grown} of 150 commands, then {done} of 100");
    }
}

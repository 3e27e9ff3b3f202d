//! These tests check deadlines. One stream can have several deadlines with different names. Each deadline
//! must fire once and in order, even if the desk restarts or the clock jumps.
//!
//! The last test checks two deadlines of a real desk.

use std::sync::Arc;

use cqrs_es::DomainEvent;
use domain::decider::Nothing;
use domain::draft::DRAFT_MS;
use domain::intent::Due;
use domain::{DecideError, Decider, StreamRole};
use events::{DeadlineChange, Event, Meta, Moment, Personal, Raw, Unreadable};
use functions::App;
use functions::app::subscriptions::Everything;
use functions::registry::REGISTRY;
use functions::stream::follow::aggregate::{Deadlines, NoCard, Registry, Row};
use functions::stream::follow::births::Births;
use functions::stream::follow::{Follower, Received};
use functions::{queue, timer};
use infra::CommandEnvelope;
use infra::http::HttpResponse;
use infra::ledger::{NoContext, command_id};
use infra::queue::Queue;
use infra::views::{InSteps, Views};
use serde_json::{Value, json};

use crate::TestDesk;

/// Events of the aggregate (kind of stream) `alarm`, which exists only in this test. Each alarm can have
/// any number of deadlines.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", content = "data")]
enum AlarmEvent {
    #[serde(rename = "alarm.set")]
    Set { id: String, due: Option<Moment> },
    #[serde(rename = "alarm.fired")]
    Fired { id: String },
}

impl DomainEvent for AlarmEvent {
    fn event_type(&self) -> String {
        self.kind().into()
    }
    fn event_version(&self) -> String {
        "1".into()
    }
}

impl Event for AlarmEvent {
    const AGGREGATE: &'static str = "alarm";
    const TYPES: &'static [(&'static str, u16)] = &[("alarm.set", 1), ("alarm.fired", 1)];
    fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "alarm.set",
            Self::Fired { .. } => "alarm.fired",
        }
    }
    fn version(&self) -> u16 {
        1
    }
    fn data(&self) -> serde_json::Result<Box<serde_json::value::RawValue>> {
        serde_json::value::to_raw_value(&serde_json::to_value(self)?["data"])
    }
    fn read(raw: &Raw<'_>) -> Result<Self, Unreadable> {
        let data: Value =
            serde_json::from_str(raw.data.get()).map_err(|error| Unreadable::shape(raw, &error))?;
        serde_json::from_value(json!({ "type": raw.kind, "data": data }))
            .map_err(|error| Unreadable::shape(raw, &error))
    }
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
    fn deadlines(&self) -> Vec<DeadlineChange> {
        vec![match self {
            Self::Set { id, due } => DeadlineChange {
                id: id.clone().into(),
                due: *due,
            },
            Self::Fired { id } => DeadlineChange::clear(id.clone()),
        }]
    }
}

#[derive(Clone, Debug)]
enum Command {
    Set(Vec<(&'static str, Option<i64>)>),
    Fire { id: String, at: Moment },
}

/// State of an alarm: the deadlines that are set, and the ids of the deadlines that have fired, in order.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Alarm {
    set: std::collections::BTreeMap<String, Moment>,
    fired: Vec<String>,
}

impl Decider for Alarm {
    type Command = Command;
    type Event = AlarmEvent;
    type Rejection = domain::reaction::Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<AlarmEvent>, DecideError<Self>> {
        Ok(match command {
            Command::Set(set) => set
                .iter()
                .map(|(id, due)| AlarmEvent::Set {
                    id: (*id).into(),
                    due: due.map(Moment),
                })
                .collect(),
            // The command contains the id and the time of a deadline. The deadline fires only if the state
            // contains the same id with the same time. A late message for a changed or removed deadline
            // contains the old time, so such a message stores no event.
            Command::Fire { id, at } if self.set.get(id) == Some(at) => {
                vec![AlarmEvent::Fired { id: id.clone() }]
            }
            Command::Fire { .. } => Vec::new(),
        })
    }

    fn evolve(&mut self, event: &AlarmEvent) {
        match event {
            AlarmEvent::Set { id, due: Some(due) } => drop(self.set.insert(id.clone(), *due)),
            AlarmEvent::Set { id, due: None } => drop(self.set.remove(id)),
            AlarmEvent::Fired { id } => {
                self.set.remove(id);
                self.fired.push(id.clone());
            }
        }
    }
}

async fn fire(app: &App, due: &Due) -> Result<(), infra::Error> {
    let command = Command::Fire {
        id: due.deadline.clone(),
        at: due.at,
    };
    execute(
        app,
        &due.stream,
        command_id(&["deadline", &due.id()]),
        &command,
    )
    .await;
    Ok(())
}

async fn execute(app: &App, stream: &str, command_id: [u8; 16], command: &Command) {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta: Meta::system("t", "t"),
    };
    app.ledger
        .execute::<Alarm>(&command_envelope, command, &NoContext)
        .await
        .expect("executed");
}

/// A registry (the list of all aggregates) that contains only the aggregate of this test.
static ALARMS: Registry = &[&Row::<Alarm, NoCard<_>> {
    deadlines: Some(Deadlines {
        queue: "cleanup",
        fire: |app, due| Box::pin(fire(app, due)),
    }),
    ..Row::NEW
}];

/// A simulated process of the desk. A new process starts with an empty queue and with empty views (lists
/// that are computed from the ledger). All processes share only the ledger.
struct Process {
    app: App,
    views: Arc<dyn Views>,
    queue: Arc<dyn Queue>,
    position: i64,
}

impl Process {
    fn start(desk: &TestDesk) -> Self {
        let mut app = desk.app.clone();
        let views: Arc<dyn Views> = Arc::new(infra::views::memory::Memory::default());
        let queue: Arc<dyn Queue> = Arc::new(infra::queue::memory::Memory::default());
        (app.views, app.queue) = (views.clone(), queue.clone());
        Self {
            app,
            views,
            queue,
            position: 0,
        }
    }

    async fn follow(&mut self) {
        let births = Births::default();
        let writer = InSteps {
            views: self.views.clone(),
            queue: self.queue.clone(),
        };
        let follower = Follower {
            ledger: &self.app.ledger,
            views: &*self.views,
            writer: &writer,
            births: &births,
            wanted: &Everything,
            registry: ALARMS,
        };
        let page = self
            .app
            .ledger
            .store
            .feed(self.position, 1000)
            .await
            .expect("feed");
        self.position = page.last().map_or(self.position, |last| last.position);
        let page = page.into_iter().map(Received::from).collect();
        follower.follow_page(page, None).await.expect("followed");
    }

    /// Processes all new commits, moves due deadlines to the queue, and processes the queue. Repeats these
    /// steps until no deadline is due.
    async fn settle(&mut self) {
        loop {
            self.follow().await;
            timer::wake::wake(&self.app, ALARMS, None)
                .await
                .expect("swept");
            let now = self.app.ledger.clock.now();
            let taken = self
                .queue
                .take("cleanup", now, now.plus_ms(60_000), 1)
                .await
                .expect("taken");
            let Some(message) = taken.first() else { return };
            queue::work(&self.app, ALARMS, queue::cleanup::execute, message)
                .await
                .expect("worked");
            self.queue.done("cleanup", message).await.expect("done");
        }
    }

    async fn alarm(&self) -> Alarm {
        let loaded = self.app.ledger.load::<Alarm>("alarm-1").await;
        loaded.expect("loaded").aggregate.0
    }
}

#[tokio::test]
async fn several_deadlines_of_a_stream_fire_once_each_in_order() {
    let desk = TestDesk::open().await;
    let start = desk.app.ledger.clock.now().0;
    let at = |seconds: i64| Some(start + seconds * 1000);
    let mut process = Process::start(&desk);
    let set = |set| Command::Set(set);
    let first = set(vec![
        ("warn", at(10)),
        ("breach", at(20)),
        ("remind/1", at(5)),
        ("remind/2", at(15)),
        ("dropped", at(7)),
    ]);
    execute(&process.app, "alarm-1", [1; 16], &first).await;
    process.settle().await;
    assert_eq!(process.alarm().await.fired, Vec::<String>::new());

    // The deadline `dropped` is removed, and the deadline `breach` is moved to a later time. Both changes
    // happen before the deadlines are due, so the old deadlines must not fire.
    let second = set(vec![("dropped", None), ("breach", at(3600))]);
    execute(&process.app, "alarm-1", [2; 16], &second).await;
    desk.clock.advance(5_000);
    process.settle().await;
    assert_eq!(process.alarm().await.fired, ["remind/1"]);

    // The process restarts with an empty queue and empty views (lists that are computed from the ledger).
    // A deadline must not fire a second time.
    let mut process = Process::start(&desk);
    process.settle().await;
    assert_eq!(process.alarm().await.fired, ["remind/1"]);

    // The clock advances past two deadlines, is set back, and the process restarts. Each of these deadlines
    // fires only once.
    desk.clock.advance(30_000);
    process.settle().await;
    assert_eq!(
        process.alarm().await.fired,
        ["remind/1", "warn", "remind/2"]
    );
    desk.clock.advance(-25_000);
    process.settle().await;
    let mut process = Process::start(&desk);
    process.settle().await;
    assert_eq!(process.alarm().await.fired.len(), 3);

    // The deadline `breach` was moved to a later time. This message contains the old time and must have
    // no effect.
    let stale = functions::stream::follow::due::message(
        "alarm-1",
        "breach",
        Moment(start + 20_000),
        "cleanup",
    );
    process
        .queue
        .put(stale.queue, &stale.id, &stale.body, stale.due)
        .await
        .expect("put");
    process.settle().await;
    assert_eq!(process.alarm().await.fired.len(), 3);

    // A deadline that has fired can be set again. The deadline must then fire a second time.
    desk.clock.advance(3_600_000);
    process.settle().await;
    let again = set(vec![("warn", Some(desk.app.ledger.clock.now().0 + 1))]);
    execute(&process.app, "alarm-1", [3; 16], &again).await;
    desk.clock.advance(1);
    process.settle().await;
    assert_eq!(
        process.alarm().await.fired,
        ["remind/1", "warn", "remind/2", "breach", "warn"]
    );
    assert_eq!(process.alarm().await.set, std::collections::BTreeMap::new());
}

/// The test checks two deadlines of a desk: the time of the next attempt of a callback, and the expiry of a
/// draft.
#[tokio::test]
async fn deadlines_of_the_desk_fire_once_across_a_restart_without_views() {
    let desk = TestDesk::open().await;
    let mut body = tests::approval_request();
    body["meta"] = json!({ "callback_url": "http://apps.example.com/callback/" });
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    let refused = HttpResponse::of(500, b"no");
    let accepted = HttpResponse::of(200, br#"{"code":0}"#);
    desk.receiver
        .answers
        .lock()
        .expect("no holder panics")
        .extend([Ok(refused), Ok(accepted)]);
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    let service = desk.must("get_services", json!({})).await[0]["id"].clone();
    let draft = format!("drafts/services/{service}");
    let saved = desk
        .v1(
            "PUT",
            &draft,
            "lisi",
            json!({ "fields": { "title": "草稿" } }),
        )
        .await;
    assert_eq!(saved.0, 204);
    desk.settle().await;
    let calls = |desk: &TestDesk| desk.receiver.calls.lock().expect("no holder panics").len();
    assert_eq!(calls(&desk), 1, "the first attempt fails");

    let desk = desk.restart_without_views().await;
    desk.settle().await;
    assert_eq!(calls(&desk), 1, "the next attempt is not due");
    desk.clock.advance(1_000);
    desk.settle().await;
    assert_eq!(calls(&desk), 2);
    desk.clock.advance(DRAFT_MS);
    desk.settle().await;
    assert_eq!(calls(&desk), 2, "the callback is done");
    let read = desk.v1("GET", &draft, "lisi", Value::Null).await;
    assert_eq!(read.0, 404, "the draft expired");
    let head = desk.head().await;
    let desk = desk.restart_without_views().await;
    desk.clock.advance(DRAFT_MS);
    desk.settle().await;
    assert_eq!((desk.head().await, calls(&desk)), (head, 2));
    let _ = REGISTRY;
}

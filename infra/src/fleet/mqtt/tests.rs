//! Checks the connection to a broker, also if the broker refuses subscriptions.

use super::*;
use crate::clock::SystemClock;
use crate::fleet::REFUSED_MAX;
use crate::fleet::test_broker::TestBroker;

#[tokio::test]
async fn a_message_without_a_connection_is_an_error() {
    let error = Mqtt::default().publish("uagv/v2/c/1/order", b"{}").await;
    let error = error.expect_err("there is no connection");
    assert!(matches!(error.kind, Kind::Unavailable), "{error}");
}

#[test]
fn an_address_has_the_scheme_mqtt() {
    let address = |host: &str, port| {
        Ok(Address {
            host: host.into(),
            port,
        })
    };
    assert_eq!(
        Address::read("mqtt://127.0.0.1:7883"),
        address("127.0.0.1", 7883)
    );
    assert_eq!(
        Address::read("mqtt://broker.example.com"),
        address("broker.example.com", 1883)
    );
    assert_eq!(Address::read("mqtt://[::1]:1"), address("::1", 1));
    for shown in ["[::1]:1", "127.0.0.1:7883"] {
        let read = Address::read(&format!("mqtt://{shown}")).expect("an address");
        assert_eq!(read.to_string(), shown);
    }
    for (wrong, reason) in [
        ("mqtts://broker.example.com", "the scheme must be mqtt"),
        ("http://broker.example.com", "the scheme must be mqtt"),
        ("127.0.0.1:1883", "127.0.0.1:1883: "),
        (
            "mqtt://user@broker.example.com",
            "only host and port are allowed",
        ),
        (
            "mqtt://broker.example.com/topic",
            "only host and port are allowed",
        ),
    ] {
        let found = Address::read(wrong).expect_err(wrong);
        assert!(found.contains(reason), "{found}");
    }
}

const STATES: &str = "uagv/+/+/+/state";

/// Opens a connection to a test broker.
fn connect(
    mqtt: &Arc<Mqtt>,
    broker: &TestBroker,
    interfaces: watch::Receiver<BTreeSet<String>>,
) -> (JoinSet<()>, mpsc::Receiver<Message>) {
    let address = Address {
        host: "127.0.0.1".into(),
        port: broker.port,
    };
    let (sender, received) = mpsc::channel(16);
    let clock = Arc::new(SystemClock);
    let mut tasks = JoinSet::new();
    tasks.spawn(
        mqtt.clone()
            .run(address, "test".into(), interfaces, sender, clock),
    );
    (tasks, received)
}

/// Waits until the subscriptions meet a condition, and returns them.
async fn wait_for(mqtt: &Mqtt, is_met: impl FnMut(&Subscriptions) -> bool) -> Subscriptions {
    let mut watched = mqtt.subscriptions.subscribe();
    let found = watched.wait_for(is_met).await.expect("a connection");
    found.clone()
}

fn filters_of(interfaces: &[&str]) -> BTreeSet<String> {
    let all = interfaces.iter().flat_map(|one| vda5050::filters(one));
    all.collect()
}

#[tokio::test]
async fn a_refused_subscription_is_reported_and_requested_again() {
    let broker = TestBroker::start(&[STATES]).await;
    let mqtt = Arc::new(Mqtt::default());
    assert!(mqtt.refused().is_empty());
    let (interfaces, watched) = watch::channel(BTreeSet::from(["uagv".to_owned()]));
    let (_tasks, _received) = connect(&mqtt, &broker, watched);

    let is_refused = |found: &Subscriptions| !found.refused.is_empty();
    let found = wait_for(&mqtt, |found| {
        is_refused(found) && found.accepted.len() == 2
    })
    .await;
    assert!(!found.accepted.contains(STATES), "{found:?}");
    let expected = Refused {
        filter: STATES.into(),
        reason: subscriptions::BY_BROKER.into(),
    };
    assert_eq!(mqtt.refused(), std::slice::from_ref(&expected));

    // Other interfaces of the same connection are subscribed.
    let both = BTreeSet::from(["uagv".to_owned(), "other".to_owned()]);
    interfaces.send_replace(both);
    let found = wait_for(&mqtt, |found| found.accepted.len() == 5).await;
    assert!(filters_of(&["other"]).is_subset(&found.accepted));
    assert_eq!(mqtt.refused(), [expected]);

    broker.refuse(&[]);
    let found = wait_for(&mqtt, |found| !is_refused(found)).await;
    assert_eq!(found.accepted, filters_of(&["uagv", "other"]));
    assert!(mqtt.refused().is_empty());

    let seen = broker.state.borrow().clone();
    assert_eq!(seen.connections, 1, "the connection stays open");
    let count = |filter: &str| {
        let same = seen.subscriptions.iter().filter(|one| *one == filter);
        same.count()
    };
    assert!(count(STATES) >= 2, "{seen:?}");
    for filter in found.accepted.iter().filter(|one| *one != STATES) {
        assert_eq!(count(filter), 1, "{filter} in {seen:?}");
    }
}

#[tokio::test]
async fn a_robot_requests_a_refused_subscription_again() {
    let topic = "uagv/v2/maker/001";
    let orders = format!("{topic}/order");
    let broker = TestBroker::start(&[&orders]).await;
    let mqtt = Arc::new(Mqtt::of_robot(Presence {
        topic: format!("{topic}/connection"),
        online: b"{}".to_vec(),
        lost: b"{}".to_vec(),
    }));
    // The topic of a robot cannot change, so the sender of the channel is dropped.
    let (_, watched) = watch::channel(BTreeSet::from([topic.to_owned()]));
    let (_tasks, _received) = connect(&mqtt, &broker, watched);

    let mut state = broker.state.subscribe();
    let reported = state.wait_for(|state| !state.published.is_empty()).await;
    let published = reported.expect("a broker").published.clone();
    assert_eq!(published, [format!("{topic}/connection")]);
    let refused: Vec<String> = mqtt.refused().into_iter().map(|one| one.filter).collect();
    assert_eq!(refused, std::slice::from_ref(&orders));

    broker.refuse(&[]);
    let found = wait_for(&mqtt, |found| found.refused.is_empty()).await;
    assert_eq!(
        found.accepted,
        BTreeSet::from(vda5050::filters_of_robot(topic))
    );
    assert_eq!(broker.state.borrow().connections, 1);
}

#[tokio::test]
async fn a_lost_connection_has_no_subscriptions() {
    let broker = TestBroker::start(&[STATES]).await;
    let mqtt = Arc::new(Mqtt::default());
    let (_interfaces, watched) = watch::channel(BTreeSet::from(["uagv".to_owned()]));
    let (_tasks, _received) = connect(&mqtt, &broker, watched);
    wait_for(&mqtt, |found| {
        found.accepted.len() == 2 && found.refused.len() == 1
    })
    .await;
    drop(broker);
    let found = wait_for(&mqtt, |found| found.accepted.is_empty()).await;
    assert_eq!(found, Subscriptions::default());
    assert!(mqtt.refused().is_empty());
}

#[test]
fn the_reported_refusals_are_wanted_and_bounded() {
    let names: Vec<String> = (0..REFUSED_MAX).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = filters_of(&names);
    let mut found = Subscriptions::default();
    for filter in found.missing(&wanted) {
        assert!(found.refuse(&filter, subscriptions::NO_ANSWER));
        assert!(!found.refuse(&filter, subscriptions::NO_ANSWER));
    }
    assert_eq!(found.shown().len(), REFUSED_MAX);
    assert!(found.accept("0/+/+/+/state"));
    assert!(!found.accept("0/+/+/+/state"));
    let missing = found.missing(&filters_of(&["0"]));
    assert_eq!(missing, ["0/+/+/+/connection", "0/+/+/+/factsheet"]);
    assert_eq!(found.shown().len(), 2);
}

//! These tests check that an erased person leaves the open chat groups of tickets, and that the desk keeps no address of the
//! person for longer than necessary.

use functions::app::erasure::{self, Report};
use functions::registry::{REGISTRY, is_configuration};
use serde_json::{Value, json};

use super::HIGH;
use super::platform::{ADDRESS, Fault, Groups};

/// A ticket whose follower zhaoliu is a member of its group.
struct Followed {
    groups: Groups,
    sn: String,
}

impl Followed {
    async fn open() -> Self {
        let groups = Groups::wecom(HIGH).await;
        groups.reach("zhaoliu", "wecom", ADDRESS).await;
        let sn = groups.channels.submit_with("3").await;
        let follower = json!({ "people": ["zhaoliu"] });
        groups.operate(&sn, "follow", "lisi", follower).await;
        let members = groups.platform.group().members;
        assert_eq!(members, ["lisi", "wangwu", ADDRESS, "zhangsan"]);
        Self { groups, sn }
    }

    /// Returns the address that the key store keeps for the removal.
    async fn kept(&self, report: &Report) -> Option<Vec<u8>> {
        let name = format!("erased/chat_group-{}/{}", self.sn, report.person);
        let keys = &self.groups.channels.desk.app.ledger.keys;
        keys.secret(&name).await.expect("read")
    }
}

async fn erase(groups: &Groups, person: &str) -> Report {
    let app = &groups.channels.desk.app;
    let erased = erasure::erase(app, person, is_configuration, &|_| {});
    erased.await.expect("erased")
}

/// Returns the names of the streams and views that contain the address in plain text.
async fn places_with_address(groups: &Groups) -> Vec<String> {
    let app = &groups.channels.desk.app;
    let has_address = |body: &[u8]| String::from_utf8_lossy(body).contains(ADDRESS);
    let feed = app.ledger.store.feed(0, 100_000).await.expect("a feed");
    let commits = feed.iter().map(|placed| &placed.commit);
    let found = commits.filter(|commit| has_address(&commit.body));
    let mut places: Vec<String> = found.map(|commit| commit.stream.clone()).collect();
    for aggregate in REGISTRY {
        let view = aggregate.name();
        let documents = app.views.scan(view, "", 10_000).await.expect("a view");
        let found = documents.iter().filter(|(_, one)| has_address(&one.body));
        places.extend(found.map(|(key, _)| format!("{view}/{key}")));
    }
    places
}

#[tokio::test]
async fn an_erased_person_leaves_the_open_groups() {
    let followed = Followed::open().await;
    let (groups, sn) = (&followed.groups, &followed.sn);
    let report = erase(groups, "zhaoliu").await;
    let stream = format!("chat_group-{sn}");
    let mut remaining = report.remaining.iter();
    let of_groups = remaining.find(|one| one.kind == "chat_groups");
    assert_eq!(of_groups.expect("a group").streams, [stream]);
    assert_eq!(followed.kept(&report).await, Some(ADDRESS.into()));
    groups.later(1_000).await;
    let members = groups.platform.group().members;
    assert_eq!(members, ["lisi", "wangwu", "zhangsan"]);
    let shown = groups.shown(sn).await;
    assert_eq!(
        (&shown["state"], &shown["not_removed"], &shown["failure"]),
        (&json!("open"), &json!([]), &Value::Null)
    );
    assert_eq!(shown["members"], json!(["lisi", "wangwu", "zhangsan"]));
    assert_eq!(followed.kept(&report).await, None);
    assert!(places_with_address(groups).await.is_empty());
    // Later changes of the ticket neither add the person again nor send another removal.
    let calls = groups.platform.count("update");
    groups
        .operate(sn, "remark", "lisi", json!({ "text": "x" }))
        .await;
    assert_eq!(groups.platform.count("update"), calls);
    let report = erase(groups, report.person.as_str()).await;
    let mut remaining = report.remaining.iter();
    assert!(remaining.all(|one| !one.kind.starts_with("chat_group")));
}

#[tokio::test]
async fn a_removal_with_a_temporary_failure_is_repeated_after_the_erasure() {
    let followed = Followed::open().await;
    let groups = &followed.groups;
    groups.platform.plan([Fault::Code(-1), Fault::LostResponse]);
    let report = erase(groups, "zhaoliu").await;
    groups.later(1_000).await;
    assert_eq!(followed.kept(&report).await, Some(ADDRESS.into()));
    assert!(places_with_address(groups).await.is_empty());
    for _ in 0..10 {
        groups.later(300_000).await;
    }
    let members = groups.platform.group().members;
    assert_eq!(members, ["lisi", "wangwu", "zhangsan"]);
    assert_eq!(followed.kept(&report).await, None);
    assert_eq!(groups.state(&followed.sn).await, "open");
}

#[tokio::test]
async fn a_refused_removal_names_the_person_and_destroys_the_address() {
    let followed = Followed::open().await;
    let (groups, sn) = (&followed.groups, &followed.sn);
    groups.platform.plan([Fault::Code(60_011)]);
    let report = erase(groups, "zhaoliu").await;
    groups.later(1_000).await;
    let shown = groups.shown(sn).await;
    assert_eq!(shown["not_removed"], json!([report.person]), "{shown}");
    assert_eq!(shown["failure"]["code"], "60011", "{shown}");
    assert_eq!(followed.kept(&report).await, None);
    groups.end(sn).await;
    assert_eq!(groups.state(sn).await, "closed");
}

#[tokio::test]
async fn the_address_is_destroyed_after_two_days_of_a_stopped_account() {
    let followed = Followed::open().await;
    let (groups, sn) = (&followed.groups, &followed.sn);
    let desk = &groups.channels.desk;
    let path = "channel-accounts/work_app/stop";
    let stop = json!({ "reason": "wrong messages" });
    let (status, answer) = desk.v1("POST", path, "admin", stop).await;
    assert_eq!(status, 200, "{answer}");
    let report = erase(groups, "zhaoliu").await;
    groups.later(1_000).await;
    assert_eq!(followed.kept(&report).await, Some(ADDRESS.into()));
    for _ in 0..49 {
        groups.later(3_600_000).await;
    }
    assert_eq!(followed.kept(&report).await, None);
    let shown = groups.shown(sn).await;
    assert_eq!(shown["not_removed"], json!([report.person]), "{shown}");
    assert!(places_with_address(groups).await.is_empty());
}

#[tokio::test]
async fn a_person_who_is_erased_during_the_creation_leaves_the_new_group() {
    let groups = Groups::wecom(HIGH).await;
    groups.platform.plan([Fault::LostResponse]);
    let sn = groups.channels.submit_with("3").await;
    assert_eq!(groups.state(&sn).await, "creating");
    erase(&groups, "wangwu").await;
    assert_eq!(groups.platform.group().members.len(), 3);
    groups.later(10_000).await;
    assert_eq!(groups.platform.group().members, ["lisi", "zhangsan"]);
    let shown = groups.shown(&sn).await;
    assert_eq!(
        (&shown["state"], &shown["not_removed"]),
        (&json!("open"), &json!([])),
        "{shown}"
    );
}

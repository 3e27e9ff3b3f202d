//! This file contains the property test of ticket lists. The test uses random tickets and random filters.
//! Every page of a ticket list must equal the page that a simple computation over all tickets returns.

use std::sync::Arc;

use domain::config::{Role, Service};
use domain::ticket::{NodeRun, Status, Ticket};
use domain::views::ticket_card::TicketCard;
use events::ticket::{NodeStatus, Opened, ServiceKind};
use events::{
    AppCode, CategoryId, Meta, Moment, NodeId, PersonId, RoleId, ServiceId, TicketSn, role, service,
};
use functions::App;
use functions::app::Settings;
use functions::app::administration;
use functions::app::context::SUPERUSER;
use functions::app::permissions::Reader;
use functions::app::tickets::list::{self, Filter, Number};
use infra::Ledger;
use infra::Ports;
use infra::clock::{ManualClock, SeededRng};
use infra::views::{Document, Views};
use serde_json::json;

/// A random number generator with a repeatable sequence. The field contains the state of the generator. A
/// test sets the field to a seed.
pub struct Below(pub u64);

impl Below {
    /// Returns a random number that is at least 0 and less than `bound`.
    pub fn next(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound
    }
    /// Returns a random element of a slice.
    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.next(all.len())].clone()
    }
}

/// Earliest creation time of a test ticket, in milliseconds since 1970-01-01 UTC.
const BEGIN: i64 = 1_795_312_800_000;
const PEOPLE: [&str; 5] = ["p01", "p02", "p03", "p04", "p05"];
const STATUSES: [Status; 5] = [
    Status::Running,
    Status::Suspended,
    Status::Finished,
    Status::Terminated,
    Status::Revoked,
];
const KINDS: [ServiceKind; 3] = [
    ServiceKind::Request,
    ServiceKind::Change,
    ServiceKind::Event,
];
const SERVICES: [i64; 4] = [1, 2, 17, 22];
const CATALOGS: [i64; 3] = [2, 4, 40];
const TAGS: [&str; 3] = ["", "early", "a|b~c"];

/// The client apps that opened the tickets, and the apps of readers.
const APPS: [Option<&str>; 3] = [None, Some("portal"), Some("other")];
const SUPERUSER_PERSON: &str = "p-root";
const OWNER: &str = "p05";
const OWNED: ServiceId = ServiceId(17);
const ROLE_MEMBER: &str = "p08";
const READ_BY_ROLE: ServiceId = ServiceId(22);
/// The people who read lists. The person p09 has no relation to any ticket.
const READERS: [Option<&str>; 10] = [
    None,
    Some(SUPERUSER_PERSON),
    Some(SUPERUSER_PERSON),
    Some("p01"),
    Some("p03"),
    Some(OWNER),
    Some("p06"),
    Some("p07"),
    Some(ROLE_MEMBER),
    Some("p09"),
];

/// How many tickets, filters, pages and listed tickets one run of [`check`] compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub tickets: usize,
    pub filters: usize,
    pub pages: usize,
    pub listed: usize,
}

/// Returns a random ticket card (the stored summary of a ticket). All members that ticket lists use get
/// random values.
fn card(below: &mut Below, number: usize) -> TicketCard {
    // One third of the tickets are created within 40 ms after `BEGIN`, one third within 90 s, and one third
    // within about 10 days. Some tickets are therefore created at the same instant.
    let at = BEGIN
        + i64::try_from([below.next(40), below.next(90_000), below.next(900_000_000)][number % 3])
            .unwrap_or_default();
    let opened: Opened = serde_json::from_value(json!({
        "sn": format!("REQ20261122{number:06}"), "id": number, "kind": below.one_of(&KINDS), "service": ServiceId(below.one_of(&SERVICES)), "service_name": "s",
        "workflow": 1, "workflow_version": 1, "catalog": CategoryId(below.one_of(&CATALOGS)), "creator": below.one_of(&PEOPLE),
        "bk_biz_id": below.one_of(&[-1, 2]), "tag": below.one_of(&TAGS),
    }))
    .expect("an opened ticket");
    let status = below.one_of(&STATUSES);
    let mut ticket = Ticket {
        status,
        opened: Some(opened),
        ..Ticket::default()
    };
    ticket
        .followers
        .extend((0..below.next(3)).map(|at| PersonId::from(PEOPLE[at])));
    let processors: Vec<&str> = (0..below.next(4)).map(|at| PEOPLE[4 - at]).collect();
    let node_run = json!({
        "name": "n", "round": 1, "status": below.one_of(&[NodeStatus::Running, NodeStatus::Receiving]), "processors_type": "PERSON", "processors": processors,
        "is_vote": below.next(2) == 0,
    });
    let node_run: NodeRun = serde_json::from_value(node_run).expect("a node_run");
    ticket.nodes.insert(NodeId(3), node_run);
    let ended_at = status
        .is_over()
        .then(|| Moment(at + i64::try_from(below.next(9_000_000)).unwrap_or_default()));
    let dealt = (0..below.next(3))
        .map(|at| PersonId::from(PEOPLE[at + 1]))
        .collect::<Vec<_>>();
    ticket.acted.extend(dealt.iter().cloned());
    if below.next(5) == 0 {
        ticket.handled.insert(PersonId::from("p06"));
    }
    if below.next(5) == 0 {
        ticket.invited.insert(PersonId::from("p07"));
    }
    TicketCard {
        ticket,
        created_at: Moment(at),
        updated_at: Moment(at),
        ended_at,
        dealt,
        app: below.one_of(&APPS).map(AppCode::from),
    }
}

/// The reader of a list, and a name for error messages.
fn reader(below: &mut Below) -> Reader {
    let person = below.one_of(&READERS).map(PersonId::from);
    let app = match below.next(4) {
        0 => below.one_of(&APPS).map(AppCode::from),
        _ => None,
    };
    Reader { person, app }
}

/// Returns true if the reader may read the ticket. The function repeats the rules in their simplest form, because the
/// test checks the policies and the indexes.
fn may_read(reader: &Reader, card: &TicketCard) -> bool {
    let (ticket, opened) = (&card.ticket, card.ticket.opened.as_ref().expect("opened"));
    let takes_part = |pid: &PersonId| {
        opened.creator == *pid
            || opened.agent.as_ref() == Some(pid)
            || ticket.followers.contains(pid)
            || ticket.invited.contains(pid)
            || ticket.handled.contains(pid)
            || ticket.acted.contains(pid)
            || ticket
                .nodes
                .values()
                .any(|node_run| node_run.processors.contains(pid))
    };
    (reader.app.is_some() && reader.app == card.app)
        || reader.person.as_ref().is_some_and(|pid| {
            pid.as_str() == SUPERUSER_PERSON
                || takes_part(pid)
                || (pid.as_str() == OWNER && opened.service == OWNED)
                || (pid.as_str() == ROLE_MEMBER && opened.service == READ_BY_ROLE)
        })
}

/// Defines the services with their owners and readers, and the roles with their members.
async fn define(app: &App) {
    let by = Meta::system("lists", "lists");
    let role = |id: i64, member: &str| {
        let role: role::Defined = serde_json::from_value(json!({
            "role": id, "kind": "GENERAL", "key": format!("role{id}"), "name": format!("role{id}"), "members": [member],
        }))
        .expect("a role");
        role
    };
    for role in [role(SUPERUSER.0, SUPERUSER_PERSON), role(90, ROLE_MEMBER)] {
        administration::define::<Role>(app, &by, format!("role-{}", role.role), &role)
            .await
            .expect("a role");
    }
    for id in SERVICES {
        let mut service: service::Defined = serde_json::from_value(json!({
            "service": id, "name": format!("s{id}"), "kind": "request", "workflow": 1, "workflow_version": 1, "is_enabled": true, "display_type": "OPEN",
        }))
        .expect("a service");
        if service.service == OWNED {
            service.owners = vec![OWNER.into()];
        }
        if service.service == READ_BY_ROLE {
            service.readers = vec![RoleId(90)];
        }
        let stream = format!("service-{id}");
        administration::define::<Service>(app, &by, stream.clone(), &service)
            .await
            .expect("a service");
        let document = Document {
            sequence: 1,
            body: b"{}".to_vec(),
        };
        let index = [("id", id.to_string())];
        app.views
            .put_with("service", &stream, &document, &index, "", 0)
            .await
            .expect("put");
    }
}

/// Returns an `App`, the object that executes all operations of a desk. The app uses the given
/// views (stored lists). All other storage of this app is empty and in memory.
fn app(views: Arc<dyn Views>) -> App {
    let rng = Arc::new(SeededRng::new(1));
    let keys = Arc::new(infra::keys::memory::Memory::new(rng.clone()));
    let ledger = Ledger::new(
        Arc::new(infra::store::memory::Memory::default()),
        keys,
        Arc::new(ManualClock::at(Moment(BEGIN))),
        rng,
    );
    let ports = Ports::over(
        ledger,
        views,
        Arc::new(infra::queue::memory::Memory::default()),
        Arc::new(infra::blob::memory::Memory::default()),
    );
    App::new(ports, Settings::default(), Arc::default()).expect("a desk")
}

/// Returns a random filter. Each condition of the filter is set or omitted at random.
fn filter(below: &mut Below) -> Filter {
    let mut filter = Filter::default();
    let is_present = |below: &mut Below| below.next(4) == 0;
    let some = |below: &mut Below, all: &[String]| {
        (0..=below.next(2))
            .map(|_| below.one_of(all))
            .collect::<Vec<_>>()
    };
    let texts = |all: &[i64]| {
        all.iter()
            .map(ToString::to_string)
            .chain(["99".to_owned()])
            .collect::<Vec<_>>()
    };
    if below.next(2) == 0 {
        let index = below.one_of(&["todo", "claim", "approval", "creator", "dealt", "follows"]);
        filter.list = Some((index, PersonId::from(below.one_of(&PEOPLE))));
    }
    if is_present(below) {
        filter.creator = Some(PersonId::from(below.one_of(&PEOPLE)));
    }
    if is_present(below) {
        filter.statuses = some(below, &STATUSES.map(|status| status.key().to_owned()));
    } else {
        // The lists of `/v1` omit withdrawn tickets. They contain withdrawn tickets only if the
        // filter selects these tickets explicitly.
        filter.is_withdrawn_left_out = below.next(2) == 0;
    }
    if is_present(below) {
        filter.services = some(below, &texts(&SERVICES));
    }
    if is_present(below) {
        filter.catalogs = some(below, &texts(&CATALOGS));
    }
    if is_present(below) {
        filter.businesses = some(below, &texts(&[-1, 2]));
    }
    if is_present(below) {
        filter.kinds = some(below, &KINDS.map(|kind| kind.key().to_owned()));
    }
    if is_present(below) {
        filter.tag = Some(below.one_of(&TAGS).to_owned());
    }
    let window = |below: &mut Below, most: usize| {
        let mut end = || {
            is_present(below)
                .then(|| Moment(BEGIN + i64::try_from(below.next(most)).unwrap_or_default()))
        };
        (end(), end())
    };
    let most = below.one_of(&[50_usize, 100_000, 900_000_000]);
    filter.created = window(below, most);
    filter.ended = window(below, 900_000_000);
    filter
}

/// Computes the keys of all tickets that match a filter, newest ticket first. The function computes the
/// keys from the given ticket cards (summaries). The function does not use the views (stored lists),
/// because the test checks the views.
fn expected_keys(cards: &[&TicketCard], filter: &Filter) -> Vec<String> {
    let second = |at: Moment| at.0.div_euclid(1000);
    let is_between = |at: Moment, (from, to): (Option<Moment>, Option<Moment>)| {
        from.is_none_or(|from| second(at) >= second(from))
            && to.is_none_or(|to| second(at) <= second(to))
    };
    let names = |parts: &[String], value: String| parts.is_empty() || parts.contains(&value);
    let matches_filter = |card: &TicketCard| {
        let opened = card.ticket.opened.as_ref().expect("opened");
        let waits = |pid: &PersonId, is_selected: fn(&NodeRun) -> bool| {
            card.ticket.status == Status::Running
                && card
                    .ticket
                    .nodes
                    .values()
                    .any(|node_run| is_selected(node_run) && node_run.processors.contains(pid))
        };
        let is_listed = card.ticket.status != Status::Revoked;
        filter
            .list
            .as_ref()
            .is_none_or(|(index, pid)| match *index {
                "todo" => waits(pid, |_| true),
                "claim" => waits(pid, |node_run| node_run.status == NodeStatus::Receiving),
                "approval" => waits(pid, |node_run| node_run.is_vote),
                "creator" => opened.creator == *pid,
                "dealt" => is_listed && opened.creator != *pid && card.dealt.contains(pid),
                _ => is_listed && card.ticket.followers.contains(pid),
            })
            && filter
                .creator
                .as_ref()
                .is_none_or(|pid| opened.creator == *pid)
            && (is_listed || !filter.is_withdrawn_left_out)
            && names(&filter.statuses, card.ticket.status_key().to_owned())
            && names(&filter.services, opened.service.to_string())
            && names(&filter.catalogs, opened.catalog.to_string())
            && names(&filter.businesses, opened.bk_biz_id.to_string())
            && names(&filter.kinds, opened.kind.key().to_owned())
            && filter.tag.as_ref().is_none_or(|tag| opened.tag == *tag)
            && is_between(card.created_at, filter.created)
            && match (filter.ended, card.ended_at) {
                ((None, None), _) => true,
                (_, None) => false,
                (ended, Some(at)) => is_between(at, ended),
            }
    };
    let mut matching: Vec<(i64, String)> = cards
        .iter()
        .filter(|card| matches_filter(card))
        .map(|card| (card.created_at.0, key(card)))
        .collect();
    matching.sort();
    matching.into_iter().rev().map(|(_, key)| key).collect()
}

fn key(card: &TicketCard) -> String {
    format!(
        "ticket-{}",
        card.ticket
            .opened
            .as_ref()
            .map_or_else(|| TicketSn(String::new()), |opened| opened.sn.clone())
    )
}

/// Fills empty views (stored lists) with random tickets. Then compares the pages of many ticket lists with
/// a simple computation. The function panics at the first difference. Without a difference, the function
/// returns how many tickets, filters and pages were compared.
pub async fn check(views: Arc<dyn Views>, tickets: usize, filters: usize) -> Compared {
    let mut below = Below(20_261_128);
    let mut cards: Vec<TicketCard> = (0..tickets)
        .map(|number| card(&mut below, number))
        .collect();
    let put = async |card: &TicketCard, sequence: i64| {
        let body = serde_json::to_vec(card).expect("JSON");
        let document = Document { sequence, body };
        assert!(
            views
                .put_with(
                    "ticket",
                    &key(card),
                    &document,
                    &card.index(),
                    &card.facets(),
                    sequence - 1
                )
                .await
                .expect("put")
        );
    };
    for card in &cards {
        put(card, 1).await;
    }
    // Every seventh ticket gets a new status and a new follower (a person who watches the ticket). The
    // views (stored lists) must also update the index rows of these tickets.
    for card in cards.iter_mut().step_by(7) {
        card.ticket.status = below.one_of(&STATUSES);
        card.ended_at = card.ticket.status.is_over().then_some(card.created_at);
        card.ticket.followers = vec![PersonId::from(below.one_of(&PEOPLE))];
        put(card, 2).await;
    }
    let app = app(views);
    define(&app).await;
    let mut compared = Compared {
        tickets,
        ..Compared::default()
    };
    for _ in 0..filters {
        let filter = filter(&mut below);
        let reader = reader(&mut below);
        let readable: Vec<&TicketCard> = cards
            .iter()
            .filter(|card| may_read(&reader, card))
            .collect();
        let expected = expected_keys(&readable, &filter);
        let single = below.one_of(&cards);
        assert_eq!(
            reader.may_read(&app, &single).await.expect("an answer"),
            may_read(&reader, &single),
            "{reader:?} {single:?}"
        );
        let size = 1 + below.next(40);
        let pages = expected.len().div_ceil(size).max(1);
        compared.filters += 1;
        compared.listed += expected.len();
        for number in [
            Number::This(1),
            Number::This(1 + below.next(pages)),
            Number::This(pages),
            Number::Last,
        ] {
            let page = list::page(&app, &filter, &reader, number, size)
                .await
                .expect("a page");
            assert_eq!(
                (page.count, page.pages),
                (expected.len(), pages),
                "{reader:?} {filter:?}"
            );
            let expected_page: Vec<String> = expected
                .iter()
                .skip((page.number - 1) * size)
                .take(size)
                .cloned()
                .collect();
            assert_eq!(
                page.keys, expected_page,
                "page {} of {size} of {reader:?} {filter:?}",
                page.number
            );
            compared.pages += 1;
        }
    }
    compared
}

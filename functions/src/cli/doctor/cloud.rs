//! A desk in the cloud: its tables and how they are set, its queues, archive and secret, and whether anybody follows what is written.

use std::collections::BTreeSet;

use domain::views::Card as _;
use domain::views::ticket_card::TicketCard;
use events::Moment;
use infra::aws::Cloud;
use infra::aws::inspect::{KEYS_ALONE, TableFacts, WHOLE_ITEMS};
use infra::queue::{QUEUES, sqs::dead};
use infra::views::Range;
use infra::{Error, Kind};
use jiff::Timestamp;

use super::{Finding, fine, wrong};
use crate::app::Settings;
use crate::stream::follow::DUE;
use crate::stream::index::{Arrived, Indexer, TAMPERED};
use crate::stream::{parked, project};

/// How long what was written may be on its way.
const ON_ITS_WAY_MS: i64 = 60_000;
/// How old what is looked for may be: older commits would have to be looked for in the whole feed, which `audit check` does.
const RECENT_MS: i64 = 24 * 3_600_000;
/// Pages that are looked back over for tickets whose cards are due.
const PAGES_MAX: i64 = 100;
/// How long a deadline may be overdue, and how far the board may be behind, before it is worth saying.
const OVERDUE_MS: i64 = 5 * 60_000;
const BOARD_LAG_MAX: i64 = 10_000;
/// Tickets that are looked at, the newest ones.
const TICKETS: usize = 20;
/// Parked streams that are counted.
const PARKED_MAX: usize = 1000;
const TABLES: [&str; 4] = ["journal", "feed", "views", "keys"];

/// Looks at everything; what depends on something that is wrong is left out.
pub(super) async fn look(cloud: &Cloud) -> Vec<Finding> {
    let mut findings = vec![fine("region", cloud.region())];
    let tables = tables(cloud, &mut findings).await;
    if tables {
        findings.push(archive(cloud).await);
        findings.push(match cloud.secrets.secret("doctor").await {
            Ok(_) => fine("secret", cloud.names.secret()),
            Err(error) => wrong("secret", error.to_string(), advice(cloud, &error, "secretsmanager:GetSecretValue")),
        });
        for queue in QUEUES {
            findings.push(self::queue(cloud, queue).await);
        }
        findings.push(indexed(cloud).await);
        findings.push(followed(cloud).await);
        findings.push(awake(cloud).await);
        findings.push(projected(cloud).await);
        findings.push(set_aside(cloud).await);
        findings.push(untouched(cloud).await);
    }
    findings
}

/// What to do about a request that failed.
fn advice(cloud: &Cloud, error: &Error, permission: &str) -> String {
    match error.kind {
        Kind::Denied => format!("these credentials may not do that: give them {permission} on it, or use others (AWS_PROFILE, AWS_ACCESS_KEY_ID)"),
        Kind::Misconfigured => {
            format!(
                "deploy infra/deploy/template.yaml for prefix {} in region {}, or name the right ones by --prefix and --region",
                cloud.names.prefix,
                cloud.region()
            )
        }
        _ => "the service does not answer: look at the network, at AWS_ENDPOINT_URL, and at the service's own health page; then look again".into(),
    }
}

/// Looks at the tables; says whether all of them can be used.
async fn tables(cloud: &Cloud, findings: &mut Vec<Finding>) -> bool {
    let mut facts = Vec::new();
    for name in TABLES {
        facts.push((name, cloud.table_facts(name).await));
    }
    if facts.iter().all(|(_, facts)| facts.as_ref().is_err_and(|error| error.kind == Kind::Misconfigured)) {
        let others = cloud.tables().await.unwrap_or_default();
        let found = format!(
            "none of the desk's tables is in region {}; tables that begin with {}: {}",
            cloud.region(),
            cloud.names.prefix,
            if others.is_empty() { "none".to_owned() } else { others.join(", ") }
        );
        findings.push(wrong("tables", found, "this is another region or another prefix: use --region and --prefix, or deploy infra/deploy/template.yaml here"));
        return false;
    }
    let mut usable = true;
    for (name, facts) in facts {
        let table = cloud.names.table(name);
        match facts {
            Ok(facts) => findings.push(settings(&format!("table {table}"), name, &facts)),
            Err(error) => {
                usable = false;
                let lost =
                    if name == "views" { "; then `ledgerdesk audit follow --cloud` fills it" } else { "; restore it from its newest backup or point in time" };
                let lost = if error.kind == Kind::Misconfigured { lost } else { "" };
                findings.push(wrong(format!("table {table}"), error.to_string(), advice(cloud, &error, "dynamodb:DescribeTable") + lost));
            }
        }
    }
    usable
}

/// How a table must be set.
fn settings(what: &str, name: &str, facts: &TableFacts) -> Finding {
    let wanted = match name {
        "journal" => Some(WHOLE_ITEMS),
        "feed" => Some(KEYS_ALONE),
        _ => None,
    };
    match (wanted, facts.stream.as_deref(), facts.recovers) {
        (Some(wanted), stream, _) if stream != Some(wanted) && stream != Some("NEW_AND_OLD_IMAGES") => wrong(
            what,
            format!("its stream is {}, so that nothing follows what is written", stream.map_or_else(|| "off".to_owned(), |stream| format!("set to {stream}"))),
            format!(
                "turn its stream on with view type {wanted} by deploying the template again; then `ledgerdesk audit check --cloud --fill` gives lost commits their positions"
            ),
        ),
        (Some(_), _, Some(false)) => wrong(what, "its past cannot be restored", "turn point-in-time recovery on by deploying the template again"),
        (None, _, Some(true)) if name == "keys" => {
            wrong(what, "its past can be restored, so that forgotten people come back", "turn point-in-time recovery off by deploying the template again")
        }
        (_, stream, _) => {
            fine(what, format!("stream {}, {}", stream.unwrap_or("off"), if facts.is_protected { "protected" } else { "not protected against deletion" }))
        }
    }
}

async fn archive(cloud: &Cloud) -> Finding {
    match cloud.blob.get("archive/doctor").await {
        Ok(_) => fine("archive", &cloud.bucket),
        Err(error) => wrong("archive", error.to_string(), advice(cloud, &error, "s3:GetObject and s3:ListBucket")),
    }
}

async fn queue(cloud: &Cloud, name: &str) -> Finding {
    let what = format!("queue {}", cloud.names.queue(name));
    match (cloud.queue.waiting(name).await, cloud.queue.waiting(&dead(name)).await) {
        (Ok(waiting), Ok(0)) => fine(what, format!("{waiting} waiting, none dead")),
        (Ok(_), Ok(count)) => {
            wrong(what, format!("{count} messages failed too often"), "see `ledgerdesk audit parked --cloud`, mend the cause, then add --redrive")
        }
        (Err(error), _) | (_, Err(error)) => wrong(what, error.to_string(), advice(cloud, &error, "sqs:GetQueueAttributes")),
    }
}

/// Whether the feed holds what was written last: the newest tickets, today's numbers, the configuration.
async fn indexed(cloud: &Cloud) -> Finding {
    match late(cloud).await {
        Ok((position, late)) if late.is_empty() => fine("index", format!("the feed stands at position {position}")),
        Ok((position, late)) => wrong(
            "index",
            format!("the feed stands at position {position} and lacks {}, written more than a minute ago", late.join(", ")),
            format!(
                "see that function {} has its event source enabled and what its log says; `ledgerdesk audit check --cloud` tells everything that is missing",
                cloud.names.function("index")
            ),
        ),
        Err(error) => wrong("index", error.to_string(), advice(cloud, &error, "dynamodb:Query and dynamodb:GetItem")),
    }
}

async fn late(cloud: &Cloud) -> Result<(i64, Vec<String>), Error> {
    let store = &cloud.ledger.store;
    let now = cloud.ledger.clock.now();
    let zone = Settings::default().zone;
    let day = Timestamp::from_millisecond(now.0).unwrap_or_default().to_zoned_datetime(zone).strftime("%Y%m%d").to_string();
    let mut streams: BTreeSet<String> = ["catalog", "role-1"].map(str::to_owned).into();
    streams.extend(["REQ", "CRQ", "INC", "PBI"].map(|kind| format!("numbers-{kind}{day}")));
    let newest = Range { view: TicketCard::VIEW, index: "ticket", from: "", to: "~", descending: true, skip: 0, limit: TICKETS };
    streams.extend(cloud.views.range(newest).await?.into_iter().map(|entry| entry.key));
    let mut tips = Vec::new();
    for stream in streams {
        let tip = store.back(&stream, None, 1).await?.pop().filter(|tip| (now.0 - RECENT_MS..now.0 - ON_ITS_WAY_MS).contains(&tip.at.0));
        tips.extend(tip.map(|commit| Arrived { written: commit.at, commit }));
    }
    let indexer = Indexer::new(cloud.pages.clone(), cloud.blob.clone(), cloud.ledger.clock.clone());
    let missing = indexer.missing(&tips).await?;
    Ok((store.head().await?.position, missing.into_iter().map(|commit| format!("{}:{}", commit.stream, commit.first)).collect()))
}

/// Whether cards follow the newest page of the feed.
async fn followed(cloud: &Cloud) -> Finding {
    match behind(cloud).await {
        Ok(behind) if behind.is_empty() => fine("follow", "cards are up to date"),
        Ok(behind) => wrong(
            "follow",
            format!("the cards of {} are behind", behind.join(", ")),
            format!(
                "see `ledgerdesk audit parked --cloud`, and that function {} has its event source enabled and what its log says",
                cloud.names.function("follow")
            ),
        ),
        Err(error) => wrong("follow", error.to_string(), advice(cloud, &error, "dynamodb:GetItem")),
    }
}

async fn behind(cloud: &Cloud) -> Result<Vec<String>, Error> {
    let due = Moment(cloud.ledger.clock.now().0 - ON_ITS_WAY_MS);
    let Some(newest) = cloud.pages.newest().await? else { return Ok(Vec::new()) };
    let mut behind = BTreeSet::new();
    let mut looked = 0;
    // Back from the newest page to tickets whose cards have had their time.
    for number in (1..=newest.number).rev().take_while(|number| newest.number - number < PAGES_MAX) {
        let Some(page) = cloud.pages.get(number).await?.filter(|page| page.at < due) else { continue };
        for entry in page.entries.iter().rev().filter(|entry| entry.stream.starts_with("ticket-")) {
            let card = cloud.views.get(TicketCard::VIEW, &entry.stream).await?;
            if card.is_none_or(|card| card.sequence < entry.first) {
                behind.insert(entry.stream.clone());
            }
            looked += 1;
        }
        if looked >= TICKETS {
            break;
        }
    }
    Ok(behind.into_iter().collect())
}

/// Whether deadlines fire: none is overdue for long.
async fn awake(cloud: &Cloud) -> Finding {
    let to = format!("{:016}", cloud.ledger.clock.now().0 - OVERDUE_MS);
    let overdue = Range { view: DUE, index: "due", from: "", to: &to, descending: false, skip: 0, limit: TICKETS };
    match cloud.views.range(overdue).await {
        Ok(overdue) if overdue.is_empty() => fine("wake", "no deadline is overdue"),
        Ok(overdue) => wrong(
            "wake",
            format!("the deadlines of {} passed more than five minutes ago", overdue.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>().join(", ")),
            format!(
                "see that the schedule of {} is enabled, and what the logs of it and of {} say",
                cloud.names.function("wake"),
                cloud.names.function("attempt")
            ),
        ),
        Err(error) => wrong("wake", error.to_string(), advice(cloud, &error, "dynamodb:Query")),
    }
}

/// Whether the projections follow the feed.
async fn projected(cloud: &Cloud) -> Finding {
    let lag = async {
        let (position, _) = project::board(&*cloud.views, project::DESK_BOARD).await?;
        Ok::<_, Error>((position, cloud.ledger.store.head().await?.position))
    };
    match lag.await {
        Ok((position, head)) if head - position > BOARD_LAG_MAX => wrong(
            "project",
            format!("the board stands at position {position} of {head}"),
            format!("see that function {} has its event source enabled and what its log says", cloud.names.function("project")),
        ),
        Ok((position, _)) => fine("project", format!("the board stands at position {position}")),
        Err(error) => wrong("project", error.to_string(), advice(cloud, &error, "dynamodb:GetItem")),
    }
}

async fn set_aside(cloud: &Cloud) -> Finding {
    match parked::list(&*cloud.views, PARKED_MAX).await {
        Ok(parked) if parked.is_empty() => fine("parked", "nothing"),
        Ok(parked) => wrong("parked", format!("{} streams", parked.len()), "see `ledgerdesk audit parked --cloud`, mend the cause, then add --redrive"),
        Err(error) => wrong("parked", error.to_string(), advice(cloud, &error, "dynamodb:Query")),
    }
}

async fn untouched(cloud: &Cloud) -> Finding {
    match cloud.views.scan(TAMPERED, "", 10).await {
        Ok(signs) if signs.is_empty() => fine("journal", "nobody wrote past the ledger"),
        Ok(signs) => wrong(
            "journal",
            format!("it was written to past the ledger: {}", signs.iter().map(|(_, sign)| String::from_utf8_lossy(&sign.body)).collect::<Vec<_>>().join("; ")),
            "run `ledgerdesk audit check --cloud`, find out who may write there, and restore what was changed from the archive",
        ),
        Err(error) => wrong("journal", error.to_string(), advice(cloud, &error, "dynamodb:Query")),
    }
}

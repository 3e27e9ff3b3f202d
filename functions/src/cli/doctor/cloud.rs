//! Checks a service desk in the cloud: its tables and their settings, its queues, its archive and
//! its entry in AWS Secrets Manager. Also checks whether the cloud functions process new commits in
//! time, and checks the integrations from this machine.

use std::collections::BTreeSet;

use domain::projections::desk_board::DeskBoard;
use domain::views::Card as _;
use domain::views::ticket_card::TicketCard;
use events::{Moment, channel_account};
use infra::aws::Cloud;
use infra::aws::inspect::{KEYS_ALONE, TableFacts, WHOLE_ITEMS};
use infra::channel::dingtalk_stream::is_streamed;
use infra::queue::sqs::dead;
use infra::views::Range;
use infra::{Error, Kind};
use jiff::Timestamp;

use super::integrations::{Integrations, Means, Stored, newest_token_key};
use super::writes::{WRITES, failed_writes};
use super::{Finding, chains, fine, stalled, systems, wrong};
use crate::App;
use crate::app::Settings;
use crate::catalog::queues;
use crate::cli::target;
use crate::stream::follow::due;
use crate::stream::index::{Arrived, Indexer, TAMPERED};
use crate::stream::{parked, project};

/// The longest normal processing time of a commit, in milliseconds. The feed (the ordered list of
/// all commits) and the views (stored tables) should contain each commit that is older than this
/// time.
const PROCESSING_MAX_MS: i64 = 60_000;
/// Maximum age of the commits that the command `doctor` searches in the feed (the ordered list of
/// all commits), in milliseconds. A search for older commits would read the whole feed. The command
/// `audit check` performs this larger search.
const RECENT_MS: i64 = 24 * 3_600_000;
/// The largest number of feed pages that the check of the cards reads. A card is the stored state
/// of one ticket. The feed is the ordered list of all commits, and each page of the feed contains
/// several commits.
const PAGES_MAX: i64 = 100;
/// The longest accepted delay of a deadline, in milliseconds. The command reports a problem if a
/// deadline is overdue for a longer time.
const OVERDUE_MS: i64 = 5 * 60_000;
/// The largest normal number of commits that are missing in the board (the stored totals of the
/// service desk).
const BOARD_LAG_MAX: i64 = 10_000;
/// The number of tickets after which a check stops reading. The limit keeps the command fast.
const TICKETS: usize = 20;
/// The largest number of parked streams that the check counts. A stream is parked if its processing
/// has failed.
const PARKED_MAX: usize = 1000;
const TABLES: [&str; 4] = ["journal", "feed", "views", "keys"];

/// Runs all checks and returns their results. If a table cannot be used, the function skips all
/// checks that need the tables. `site` is the public base URL of the desk, and `people` is the source of departments.
pub(super) async fn look(cloud: &Cloud, site: Option<&str>, people: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![fine("region", cloud.region())];
    let tables = tables(cloud, &mut findings).await;
    if tables {
        findings.push(archive(cloud).await);
        findings.push(match cloud.ports.secrets.secret("doctor").await {
            Ok(_) => fine("secret", cloud.names.secret()),
            Err(error) => wrong(
                "secret",
                error.to_string(),
                advice(cloud, &error, "secretsmanager:GetSecretValue"),
            ),
        });
        for queue in queues() {
            findings.push(self::queue(cloud, queue).await);
        }
        findings.push(index(cloud).await);
        findings.push(cards(cloud).await);
        findings.push(deadlines(cloud).await);
        findings.push(board(cloud).await);
        findings.push(parked_streams(cloud).await);
        findings.push(tampering(cloud).await);
        match target::app(cloud.ports.clone()) {
            Ok(app) => configured(cloud, &app, site, people, &mut findings).await,
            Err(reason) => {
                let error = Error::new(Kind::Misconfigured, reason);
                findings.push(unread(cloud, "configuration", &error));
            }
        }
    }
    findings
}

/// Checks the configuration of the desk, and the systems that it names, and appends the results to `findings`.
async fn configured(
    cloud: &Cloud,
    app: &App,
    site: Option<&str>,
    people: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    match channel_accounts(app).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(unread(cloud, "channel accounts", &error)),
    }
    findings.push(fine(
        "channel accounts and platforms",
        "their secrets and servers are not checked: the functions use them from another network than this machine",
    ));
    integrations(cloud, app, site, findings).await;
    findings.push(match failed_writes(&*app.views).await {
        Ok(finding) => finding,
        Err(error) => unread(cloud, WRITES, &error),
    });
    match stalled::waiting(&*app.views).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(unread(cloud, stalled::APPLICATIONS, &error)),
    }
    match escalation_chains(app, people, findings).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(unread(cloud, "escalation chains", &error)),
    }
}

/// Returns the result of a check that could not read the views (stored tables).
fn unread(cloud: &Cloud, what: &str, error: &Error) -> Finding {
    let next_step = advice(cloud, error, "dynamodb:Query");
    wrong(what, error.to_string(), next_step)
}

/// Checks all integrations, and the public address of the desk, and appends the results to `findings`. The requests come
/// from this machine, and not from the network of the cloud functions.
async fn integrations(cloud: &Cloud, app: &App, site: Option<&str>, findings: &mut Vec<Finding>) {
    let ledger = &cloud.ports.ledger;
    let after_failed_read = |error: &Error, stored: Stored| match stored {
        Stored::Definition => advice(cloud, error, "dynamodb:Query"),
        Stored::Secret if error.kind == Kind::Denied => format!(
            "give these credentials dynamodb:GetItem on the table {}, or use other credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID)",
            cloud.names.table("keys")
        ),
        Stored::Secret => advice(cloud, error, "dynamodb:GetItem"),
    };
    let means = Means {
        setup: "ledgerdesk setup --cloud",
        egress: "the parameter `Egress` of the template",
        site: "the parameter `Site` of the template (here --site)",
        after_failed_read: &after_failed_read,
    };
    let integrations = Integrations::new(ledger, means);
    match streams(app).await {
        Ok(streams) => {
            findings.extend(integrations.check(&streams).await);
            findings.extend(integrations.mappings(&streams).await);
            if site.is_none() && !streams.is_empty() {
                findings.push(integrations.no_own_address());
            }
        }
        Err(error) => findings.push(unread(cloud, "integrations", &error)),
    }
    match app.configuration.application_kind_names().await {
        Ok(names) => {
            let stream = |name: String| format!("application_kind-{name}");
            let streams: Vec<String> = names.into_iter().map(stream).collect();
            findings.extend(integrations.services(&streams).await);
        }
        Err(error) => findings.push(unread(cloud, "application kinds", &error)),
    }
    if let Some(site) = site {
        let key = async {
            let name = newest_token_key(ledger).await?;
            cloud.ports.secrets.secret(&name).await
        };
        // If the key cannot be read, the check `secret` reports this.
        let key = key.await.ok();
        findings.push(integrations.own_address(site, key).await);
    }
}

/// Checks whether the steps of all escalation chains reach a person. The list of chains is in the views (stored tables).
/// If the source of departments cannot be opened, the function appends this result to `findings`.
async fn escalation_chains(
    app: &App,
    people: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Finding>, Error> {
    let directory = systems::directory(people, &app.ledger, findings);
    let mut found = Vec::new();
    for name in app.configuration.escalation_chain_names().await? {
        let stream = format!("escalation_chain-{name}");
        found.extend(chains::check(&app.ledger, directory.as_deref(), &stream, false).await?);
    }
    Ok(found)
}

/// Reports each channel account with a setting that a desk in the cloud does not support.
async fn channel_accounts(app: &App) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    for name in app.configuration.channel_account_names().await? {
        let defined = app.configuration.channel_account(&name).await?;
        found.extend(defined.iter().flat_map(unsupported));
    }
    Ok(found)
}

/// Returns the settings of a channel account that a desk in the cloud does not support. Cloud functions keep no connections,
/// so the messages of an account that needs an open connection would never arrive. Only a local desk reads mailboxes,
/// because reading needs a program that runs all the time.
fn unsupported(account: &channel_account::Defined) -> Vec<Finding> {
    let mut found = Vec::new();
    if account.is_enabled && is_streamed(account) {
        found.push(wrong(
            format!("channel account {}", account.name),
            "its setting `stream` needs a connection that is always open, and a desk in the cloud has none",
            "remove `stream` from the account, and enter the address /callbacks/channels/dingtalk/ACCOUNT at DingTalk",
        ));
    }
    if account.settings.contains_key(infra::mailbox::KEY) {
        found.push(wrong(
            format!("mailbox {}", account.name),
            "a desk in the cloud does not read mailboxes (IMAP)",
            "remove `mailbox` from the account; let the mail server send mails to /callbacks/channels/mail, or use Amazon SES",
        ));
    }
    found
}

/// Returns the names of the event streams of all integrations, from the list in the views (stored tables).
async fn streams(app: &App) -> Result<Vec<String>, Error> {
    let names = app.configuration.integration_names().await?;
    let stream = |name: String| format!("integration-{name}");
    Ok(names.into_iter().map(stream).collect())
}

/// Returns advice for the operator after a failed request to AWS. `permission` contains the names
/// of the AWS permissions that the request needs.
fn advice(cloud: &Cloud, error: &Error, permission: &str) -> String {
    match error.kind {
        Kind::Denied => format!("these credentials lack a permission: give them {permission} on the resource, or use other credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID)"),
        Kind::Misconfigured => {
            format!(
                "deploy infra/deploy/template.yaml for prefix {} in region {}, or correct --prefix and --region",
                cloud.names.prefix,
                cloud.region()
            )
        }
        _ => "the service does not answer: check the network, AWS_ENDPOINT_URL and the health page of the service; then run doctor again".into(),
    }
}

/// Checks all tables, and appends the results to `findings`. Returns false if at least one table
/// cannot be used.
async fn tables(cloud: &Cloud, findings: &mut Vec<Finding>) -> bool {
    let mut facts = Vec::new();
    for name in TABLES {
        facts.push((name, cloud.table_facts(name).await));
    }
    if facts.iter().all(|(_, facts)| {
        facts
            .as_ref()
            .is_err_and(|error| error.kind == Kind::Misconfigured)
    }) {
        let others = cloud.tables().await.unwrap_or_default();
        let found = format!(
            "none of the desk's tables is in region {}; tables that begin with {}: {}",
            cloud.region(),
            cloud.names.prefix,
            if others.is_empty() {
                "none".to_owned()
            } else {
                others.join(", ")
            }
        );
        findings.push(wrong("tables", found, "the desk has another region or prefix: correct --region and --prefix, or deploy infra/deploy/template.yaml here"));
        return false;
    }
    let mut usable = true;
    for (name, facts) in facts {
        let table = cloud.names.table(name);
        match facts {
            Ok(facts) => findings.push(settings(&format!("table {table}"), name, &facts)),
            Err(error) => {
                // Without access to the key store, only the checks of secrets are not possible.
                usable &= name == "keys" && error.kind == Kind::Denied;
                let lost = if name == "views" {
                    "; then run `ledgerdesk audit follow --cloud` to fill it"
                } else {
                    "; restore it from its newest backup or point in time"
                };
                let lost = if error.kind == Kind::Misconfigured {
                    lost
                } else {
                    ""
                };
                findings.push(wrong(
                    format!("table {table}"),
                    error.to_string(),
                    advice(cloud, &error, "dynamodb:DescribeTable") + lost,
                ));
            }
        }
    }
    usable
}

/// Checks whether the settings of one table are correct. `name` is the name of the table, and
/// `facts` contains the settings that AWS returned.
fn settings(what: &str, name: &str, facts: &TableFacts) -> Finding {
    let expected = match name {
        "journal" => Some(WHOLE_ITEMS),
        "feed" => Some(KEYS_ALONE),
        _ => None,
    };
    match (expected, facts.stream.as_deref(), facts.recovers) {
        (Some(expected), stream, _)
            if stream != Some(expected) && stream != Some("NEW_AND_OLD_IMAGES") =>
        {
            wrong(
                what,
                format!(
                    "its stream is {}, so no function follows the commits",
                    stream.map_or_else(|| "off".to_owned(), |stream| format!("set to {stream}"))
                ),
                format!(
                    "deploy the template again to turn the stream on with view type {expected}; then run `ledgerdesk audit check --cloud --fill` to give lost commits positions"
                ),
            )
        }
        (Some(_), _, Some(false)) => wrong(
            what,
            "point-in-time recovery is off, so earlier data cannot be restored",
            "deploy the template again to turn point-in-time recovery on",
        ),
        (None, _, Some(true)) if name == "keys" => wrong(
            what,
            "point-in-time recovery is on, so erased people can be restored",
            "deploy the template again to turn point-in-time recovery off",
        ),
        (_, stream, _) => fine(
            what,
            format!(
                "stream {}, {}",
                stream.unwrap_or("off"),
                if facts.is_protected {
                    "protected"
                } else {
                    "not protected against deletion"
                }
            ),
        ),
    }
}

async fn archive(cloud: &Cloud) -> Finding {
    match cloud.ports.blob.get("archive/doctor").await {
        Ok(_) => fine("archive", &cloud.bucket),
        Err(error) => wrong(
            "archive",
            error.to_string(),
            advice(cloud, &error, "s3:GetObject and s3:ListBucket"),
        ),
    }
}

async fn queue(cloud: &Cloud, name: &str) -> Finding {
    let what = format!("queue {}", cloud.names.queue(name));
    match (
        cloud.ports.queue.waiting(name).await,
        cloud.ports.queue.waiting(&dead(name)).await,
    ) {
        (Ok(waiting), Ok(0)) => fine(what, format!("{waiting} waiting, none dead")),
        (Ok(_), Ok(count)) => wrong(
            what,
            format!("{count} messages failed too often"),
            "run `ledgerdesk audit parked --cloud`, remove the cause, then run it again with --redrive",
        ),
        (Err(error), _) | (_, Err(error)) => wrong(
            what,
            error.to_string(),
            advice(cloud, &error, "sqs:GetQueueAttributes"),
        ),
    }
}

/// Checks whether the feed (the ordered list of all commits) contains the latest commits. Only the
/// newest tickets, the counters for ticket numbers and two configuration streams are checked.
async fn index(cloud: &Cloud) -> Finding {
    match missing_in_feed(cloud).await {
        Ok((position, late)) if late.is_empty() => {
            fine("index", format!("the feed is at position {position}"))
        }
        Ok((position, late)) => wrong(
            "index",
            format!(
                "the feed is at position {position} and lacks {}, committed more than a minute ago",
                late.join(", ")
            ),
            format!(
                "check that the event source of function {} is enabled, and read its log; `ledgerdesk audit check --cloud` lists all missing commits",
                cloud.names.function("index")
            ),
        ),
        Err(error) => wrong(
            "index",
            error.to_string(),
            advice(cloud, &error, "dynamodb:Query and dynamodb:GetItem"),
        ),
    }
}

async fn missing_in_feed(cloud: &Cloud) -> Result<(i64, Vec<String>), Error> {
    let store = &cloud.ports.ledger.store;
    let now = cloud.ports.ledger.clock.now();
    let zone = Settings::default().zone;
    let day = Timestamp::from_millisecond(now.0)
        .unwrap_or_default()
        .to_zoned_datetime(zone)
        .strftime("%Y%m%d")
        .to_string();
    let mut streams: BTreeSet<String> = ["catalog", "role-1"].map(str::to_owned).into();
    streams.extend(["REQ", "CRQ", "INC", "PBI"].map(|kind| format!("number_sequence-{kind}{day}")));
    let newest = Range {
        view: TicketCard::VIEW,
        index: "ticket",
        from: "",
        to: "~",
        descending: true,
        skip: 0,
        limit: TICKETS,
    };
    streams.extend(
        cloud
            .ports
            .views
            .range(newest)
            .await?
            .into_iter()
            .map(|entry| entry.key),
    );
    let mut tips = Vec::new();
    for stream in streams {
        let tip = store
            .back(&stream, None, 1)
            .await?
            .pop()
            .filter(|tip| (now.0 - RECENT_MS..now.0 - PROCESSING_MAX_MS).contains(&tip.at.0));
        tips.extend(tip.map(|commit| Arrived {
            written: commit.at,
            commit,
        }));
    }
    let indexer = Indexer::new(
        cloud.pages.clone(),
        cloud.ports.blob.clone(),
        cloud.ports.ledger.clock.clone(),
    );
    let missing = indexer.missing(&tips).await?;
    Ok((
        store.head().await?.position,
        missing
            .into_iter()
            .map(|commit| format!("{}:{}", commit.stream, commit.first))
            .collect(),
    ))
}

/// Checks the tickets of the latest commits. The card of a ticket (its stored state) must contain
/// these commits.
async fn cards(cloud: &Cloud) -> Finding {
    match outdated_cards(cloud).await {
        Ok(behind) if behind.is_empty() => fine("follow", "cards are up to date"),
        Ok(behind) => wrong(
            "follow",
            format!("the cards of {} are behind", behind.join(", ")),
            format!(
                "run `ledgerdesk audit parked --cloud`, check that the event source of function {} is enabled, and read its log",
                cloud.names.function("follow")
            ),
        ),
        Err(error) => wrong(
            "follow",
            error.to_string(),
            advice(cloud, &error, "dynamodb:GetItem"),
        ),
    }
}

async fn outdated_cards(cloud: &Cloud) -> Result<Vec<String>, Error> {
    let due = Moment(cloud.ports.ledger.clock.now().0 - PROCESSING_MAX_MS);
    let Some(newest) = cloud.pages.newest().await? else {
        return Ok(Vec::new());
    };
    let mut behind = BTreeSet::new();
    let mut checked = 0;
    // The pages belong to the feed (the ordered list of all commits). Pages of the last minute are
    // skipped, because the desk may still process their commits.
    for number in (1..=newest.number)
        .rev()
        .take_while(|number| newest.number - number < PAGES_MAX)
    {
        let Some(page) = cloud.pages.get(number).await?.filter(|page| page.at < due) else {
            continue;
        };
        for entry in page
            .entries
            .iter()
            .rev()
            .filter(|entry| entry.stream.starts_with("ticket-"))
        {
            let card = cloud
                .ports
                .views
                .get(TicketCard::VIEW, &entry.stream)
                .await?;
            if card.is_none_or(|card| card.sequence < entry.first) {
                behind.insert(entry.stream.clone());
            }
            checked += 1;
        }
        if checked >= TICKETS {
            break;
        }
    }
    Ok(behind.into_iter().collect())
}

/// Checks whether a deadline of a ticket is overdue by more than [`OVERDUE_MS`].
async fn deadlines(cloud: &Cloud) -> Finding {
    let to = format!("{:016}", cloud.ports.ledger.clock.now().0 - OVERDUE_MS);
    let overdue = Range {
        view: due::VIEW,
        index: due::VIEW,
        from: "",
        to: &to,
        descending: false,
        skip: 0,
        limit: TICKETS,
    };
    match cloud.ports.views.range(overdue).await {
        Ok(overdue) if overdue.is_empty() => fine("wake", "no deadline is overdue"),
        Ok(overdue) => wrong(
            "wake",
            format!(
                "the deadlines of {} passed more than five minutes ago",
                overdue
                    .iter()
                    .map(|entry| entry.key.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            format!(
                "check that the schedule of {} is enabled, and read its log and the log of {}",
                cloud.names.function("wake"),
                cloud.names.function("callback")
            ),
        ),
        Err(error) => wrong(
            "wake",
            error.to_string(),
            advice(cloud, &error, "dynamodb:Query"),
        ),
    }
}

/// Checks whether the board (the stored totals of the service desk) is up to date. Up to
/// `BOARD_LAG_MAX` commits may be missing.
async fn board(cloud: &Cloud) -> Finding {
    let lag = async {
        let (position, _) = project::stored::<DeskBoard>(&*cloud.ports.views).await?;
        Ok::<_, Error>((position, cloud.ports.ledger.store.head().await?.position))
    };
    match lag.await {
        Ok((position, head)) if head - position > BOARD_LAG_MAX => wrong(
            "project",
            format!("the board is at position {position} of {head}"),
            format!(
                "check that the event source of function {} is enabled, and read its log",
                cloud.names.function("project")
            ),
        ),
        Ok((position, _)) => fine("project", format!("the board is at position {position}")),
        Err(error) => wrong(
            "project",
            error.to_string(),
            advice(cloud, &error, "dynamodb:GetItem"),
        ),
    }
}

async fn parked_streams(cloud: &Cloud) -> Finding {
    match parked::list(&*cloud.ports.views, PARKED_MAX).await {
        Ok(parked) if parked.is_empty() => fine("parked", "nothing"),
        Ok(parked) => wrong(
            "parked",
            format!("{} streams", parked.len()),
            "run `ledgerdesk audit parked --cloud`, remove the cause, then run it again with --redrive",
        ),
        Err(error) => wrong(
            "parked",
            error.to_string(),
            advice(cloud, &error, "dynamodb:Query"),
        ),
    }
}

async fn tampering(cloud: &Cloud) -> Finding {
    match cloud.ports.views.scan(TAMPERED, "", 10).await {
        Ok(signs) if signs.is_empty() => fine("journal", "no sign of another writer"),
        Ok(signs) => wrong(
            "journal",
            format!(
                "another writer than the ledger changed it: {}",
                signs
                    .iter()
                    .map(|(_, sign)| String::from_utf8_lossy(&sign.body))
                    .collect::<Vec<_>>()
                    .join("; ")
            ),
            "run `ledgerdesk audit check --cloud`, find out who may write to the table, and restore the changed commits from the archive",
        ),
        Err(error) => wrong(
            "journal",
            error.to_string(),
            advice(cloud, &error, "dynamodb:Query"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_unsupported_setting_of_an_account_has_one_finding() {
        let account = |channel: &str, is_enabled: bool, settings: serde_json::Value| {
            let account = json!({
                "name": "mine", "channel": channel, "is_enabled": is_enabled, "settings": settings,
            });
            let account = serde_json::from_value(account).expect("an account");
            let found = unsupported(&account).into_iter();
            found.map(|finding| finding.what).collect::<Vec<String>>()
        };
        let none: Vec<String> = Vec::new();
        let streamed = json!({ "stream": true });
        let mailbox = json!({ "mailbox": { "host": "imap.example.com" } });
        assert_eq!(
            account("dingtalk_app", true, streamed.clone()),
            ["channel account mine"]
        );
        assert_eq!(account("dingtalk_app", false, streamed), none);
        assert_eq!(account("email", true, mailbox), ["mailbox mine"]);
        assert_eq!(account("email", true, json!({})), none);
    }
}

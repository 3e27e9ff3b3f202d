//! Checks a service desk in a directory: its files, the permissions of these files, its views
//! (stored tables), and the streams whose processing failed. The checks do not create or change
//! files.

use domain::projections::desk_board::DeskBoard;
use std::path::Path;

use infra::Ledger;
use infra::fleet::Refused;
use infra::heads;
use infra::local::{
    self, DATABASES, Look, check_keys, disagreeing, has_unread_log, integrity, is_running,
    sqlite_version, wide,
};
use infra::views::{Entry, Range};

use super::integrations::{Integrations, Means, Stored, newest_token_key};
use super::systems::Systems;
use super::writes::{WRITES, failed_writes};
use super::{Finding, accounts, fine, robots, stalled, warning, wrong};
use crate::app::fleet::connection;
use crate::cli::serve::last_site;
use crate::cli::uploads;
use crate::stream::{parked, project};

/// The largest normal number of commits that are missing in the views (stored tables).
const LAG_MAX: i64 = 10_000;
/// Maximum number of further streams in the advice for failed callbacks. The advice describes the
/// first stream, and then lists the next streams.
const SHOWN_MAX: usize = 4;
/// The largest number of missing uploads in the text of one check result.
const NAMED_MAX: usize = 5;

const RESTORE_LEDGER: &str =
    "restore a backup (`ledgerdesk restore`), then run `ledgerdesk audit verify`";
const RESTORE_KEYS: &str =
    "restore keys.db from its backup: without it names and sealed values cannot be read";
const START: &str = "start the desk once, then run `ledgerdesk doctor` again";
const VIEWS: &str = "delete views.db while no desk is running; it is rebuilt from the ledger";

const PERMISSIONS: &str = "run the command as the owner of the directory, or check its owner and permissions; there is no sign of data loss";

/// The means of the operator of a desk in a directory.
const MEANS: Means<'static> = Means {
    setup: "ledgerdesk setup",
    egress: "`serve --egress`",
    site: "`serve --site`",
    after_failed_read: &after_failed_read,
};

/// Returns the advice after data of the desk could not be read.
fn after_failed_read(_: &infra::Error, stored: Stored) -> String {
    match stored {
        Stored::Definition => "run `ledgerdesk audit verify`".into(),
        Stored::Secret => RESTORE_KEYS.into(),
    }
}

/// Runs all checks for a service desk in the directory `data`, and returns their results. `site` is the public base
/// URL of the desk, `broker` is the address of the broker of its robots, and `people` is the source of departments.
pub(super) async fn look(
    data: &Path,
    site: Option<&str>,
    broker: Option<&str>,
    people: Option<&str>,
) -> Vec<Finding> {
    if !data.is_dir() {
        return vec![wrong(
            "directory",
            format!(
                "{} {}",
                data.display(),
                if data.exists() {
                    "is not a directory"
                } else {
                    "does not exist"
                }
            ),
            "start `ledgerdesk serve --data` with this directory, or correct --data",
        )];
    }
    let mut findings = vec![
        fine("directory", data.display().to_string()),
        fine("sqlite", format!("SQLite {}", sqlite_version())),
    ];
    let is_running = match is_running(data) {
        Ok(is_running) => {
            findings.push(fine(
                "desk",
                if is_running {
                    "a desk is running here"
                } else {
                    "no desk is running here"
                },
            ));
            is_running
        }
        Err(error) => {
            findings.push(wrong(
                "desk",
                format!("the lock file cannot be opened: {error}"),
                "check the owner and permissions of the directory",
            ));
            false
        }
    };
    if DATABASES.iter().any(|name| is_denied(data, name)) {
        findings.push(wrong(
            "ledger",
            "this user may not read the files of the directory",
            PERMISSIONS,
        ));
        return findings;
    }
    findings.extend(permissions(data));
    findings.extend(
        DATABASES
            .iter()
            .filter_map(|name| sound(data, name, is_running)),
    );
    let Look {
        ledger,
        attachments,
        blob,
        has_keys,
        streams,
    } = match local::look(data, is_running) {
        Ok(look) => look,
        Err(error) => {
            let is_unread = !is_running && DATABASES.iter().any(|name| has_unread_log(data, name));
            findings.push(wrong(
                "ledger",
                error.to_string(),
                if is_unread { START } else { RESTORE_LEDGER },
            ));
            return findings;
        }
    };
    match ledger.store.head().await {
        Ok(head) => {
            findings.push(fine(
                "ledger",
                format!(
                    "{} commits; their chain is not verified here, run `ledgerdesk audit verify`",
                    head.position
                ),
            ));
            findings.push(published(data, head.position, is_running));
            findings.push(keys(data, head.position, &ledger, has_keys, is_running).await);
            findings.push(files(
                uploads::look(&ledger, &attachments, &*blob, has_keys).await,
            ));
            findings.extend(views(data, head.position, is_running).await);
            let mut listed = |aggregate: &str| {
                streams.of(aggregate).unwrap_or_else(|error| {
                    findings.push(wrong(aggregate, error.to_string(), RESTORE_LEDGER));
                    Vec::new()
                })
            };
            let defined = listed("integration");
            let kinds = listed("application_kind");
            let accounts = listed("channel_account");
            let integrations = Integrations::new(&ledger, MEANS);
            findings.extend(integrations.check(&defined).await);
            findings.extend(integrations.mappings(&defined).await);
            findings.extend(integrations.services(&kinds).await);
            let systems = Systems::new(&ledger, broker, people);
            let mut found = systems.look(&accounts, &streams).await;
            match failing_accounts(data, is_running, &ledger, &accounts).await {
                Ok(failing) => failing
                    .into_iter()
                    .for_each(|one| put_unless_wrong(&mut found, one)),
                Err(error) => found.push(wrong("channel accounts", error.to_string(), VIEWS)),
            }
            findings.extend(found);
            // The subscriptions of a stopped desk do not count.
            if is_running {
                match refused_subscriptions(data).await {
                    Ok(refused) => findings.extend(robots::subscriptions(&refused)),
                    Err(error) => findings.push(wrong(robots::WHAT, error.to_string(), VIEWS)),
                }
            }
            // A desk that runs has stored its own public base URL.
            let served = match site {
                None if is_running && !defined.is_empty() => served_site(data).await,
                _ => None,
            };
            if let Some(site) = site.or(served.as_deref()) {
                let key = token_key(&ledger).await;
                findings.push(integrations.own_address(site, key).await);
            } else if !defined.is_empty() {
                findings.push(integrations.no_own_address());
            }
        }
        Err(error) => findings.push(wrong("ledger", error.to_string(), RESTORE_LEDGER)),
    }
    findings
}

/// Returns the public base URL with which the running desk was started. Returns `None` if it cannot be read.
async fn served_site(data: &Path) -> Option<String> {
    let looked = local::look_at_views(data, true).ok()??;
    last_site(&*looked.views).await.ok()?
}

/// Returns the newest key for callback addresses. Returns `None` if the key store does not have it yet. The function
/// creates no key.
async fn token_key(ledger: &Ledger) -> Option<[u8; 32]> {
    let name = newest_token_key(ledger).await.ok()?;
    let key = ledger.keys.secret(&name).await.ok()??;
    key.try_into().ok()
}

/// Returns a warning if users other than the owner can access the files of the service desk.
fn permissions(data: &Path) -> Option<Finding> {
    let wide = wide(data);
    let (path, mode) = wide.first()?;
    let found = match wide.len() {
        1 => format!("{} has the mode {mode:04o}", path.display()),
        count => format!(
            "{} has the mode {mode:04o}, and {} more files are open to other users",
            path.display(),
            count - 1
        ),
    };
    Some(warning(
        "permissions",
        found,
        "other users of this machine can read the desk's data and keys; start the desk once, which makes them 0700 and 0600",
    ))
}

/// Returns advice for a problem with a database file. SQLite may have to create a file before it
/// can read the database, for example in an incomplete copy. In this situation, if the desk is
/// stopped, the advice is to start the desk once. In all other situations, the function returns the
/// advice `otherwise`.
fn next_step(data: &Path, name: &str, is_running: bool, otherwise: &'static str) -> &'static str {
    if !is_running && has_unread_log(data, name) {
        START
    } else {
        otherwise
    }
}

/// Runs the integrity check of SQLite on a database file. Returns `None` if the file is missing.
/// `is_running` must be true if the service desk runs.
fn sound(data: &Path, name: &str, is_running: bool) -> Option<Finding> {
    let advice = match name {
        "ledger.db" => RESTORE_LEDGER,
        "keys.db" => RESTORE_KEYS,
        _ => VIEWS,
    };
    let advice = next_step(data, name, is_running, advice);
    match integrity(data, name, is_running) {
        Ok(None) => None,
        Ok(Some(damages)) if damages.is_empty() => Some(fine(name, "integrity_check: ok")),
        Ok(Some(damages)) => Some(wrong(
            name,
            format!("the file is damaged: {}", damages.join("; ")),
            advice,
        )),
        Err(error) => Some(wrong(name, error.to_string(), advice)),
    }
}

/// Returns true if the current user has no permission to read the file `name` in the directory
/// `data`.
fn is_denied(data: &Path, name: &str) -> bool {
    std::fs::File::open(data.join(name))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Returns one warning for each channel account whose last message failed. The views contain these failures.
async fn failing_accounts(
    data: &Path,
    is_running: bool,
    ledger: &Ledger,
    accounts: &[String],
) -> Result<Vec<Finding>, infra::Error> {
    match local::look_at_views(data, is_running)? {
        Some(looked) => accounts::failing(&*looked.views, ledger, accounts).await,
        None => Ok(Vec::new()),
    }
}

/// Returns the subscriptions to messages of robots that the broker refuses the running desk.
async fn refused_subscriptions(data: &Path) -> Result<Vec<Refused>, infra::Error> {
    match local::look_at_views(data, true)? {
        Some(looked) => connection::refused(&*looked.views).await,
        None => Ok(Vec::new()),
    }
}

/// Replaces the result of the same check with `finding`. If this check already found a problem, its result stays, because
/// the operator must remove this problem first.
fn put_unless_wrong(findings: &mut Vec<Finding>, finding: Finding) {
    match findings.iter_mut().find(|one| one.what == finding.what) {
        Some(known) if known.advice.is_none() => *known = finding,
        Some(_) => {}
        None => findings.push(finding),
    }
}

/// Returns the last part of the advice for failed callbacks. This part lists at most [`SHOWN_MAX`]
/// streams of `failing`. The first stream is omitted, because the first part of the advice contains
/// it.
fn others(failing: &[Entry]) -> String {
    let names: Vec<&str> = failing
        .iter()
        .skip(1)
        .take(SHOWN_MAX)
        .map(|entry| entry.key.as_str())
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(", the same for {}", names.join(", "))
    }
}

fn published(data: &Path, position: i64, is_running: bool) -> Finding {
    let published = match heads::read(data) {
        Ok(published) => published,
        Err(error) => {
            return wrong(
                "heads",
                error.to_string(),
                "compare the file with copies of the heads stored elsewhere",
            );
        }
    };
    let disagreeing = match disagreeing(data, is_running, &published.heads) {
        Ok(disagreeing) => disagreeing,
        Err(error) => return wrong("heads", error.to_string(), RESTORE_LEDGER),
    };
    if let Some(lost) = heads::Lost::of(&published.heads, &disagreeing, position) {
        return wrong("heads", lost.message(data), RESTORE_LEDGER);
    }
    let last = published
        .heads
        .iter()
        .map(|head| head.position)
        .max()
        .unwrap_or_default();
    let accepted = match published.accepted.len() {
        0 => String::new(),
        count => format!(
            "; {count} losses of commits were accepted, `ledgerdesk audit verify` lists them"
        ),
    };
    fine(
        "heads",
        format!(
            "all {} published heads match, up to position {last}{accepted}",
            published.heads.len()
        ),
    )
}

async fn keys(
    data: &Path,
    position: i64,
    ledger: &Ledger,
    has_keys: bool,
    is_running: bool,
) -> Finding {
    if position == 0 && !has_keys {
        return fine("keys", "there is no key store yet");
    }
    if let Err(error) = check_keys(data, is_running) {
        return wrong("keys", error.to_string(), RESTORE_KEYS);
    }
    match ledger.keys.find(crate::app::seed::ADMIN).await {
        Ok(_) => fine(
            "keys",
            "the key store belongs to the ledger and can be read",
        ),
        Err(error) => wrong("keys", error.to_string(), RESTORE_KEYS),
    }
}

fn files(result: Result<uploads::Uploads, infra::Error>) -> Finding {
    match result {
        Err(error) => wrong(
            "files",
            error.to_string(),
            "check the owner and permissions of the directory",
        ),
        Ok(uploads) if uploads.missing.is_empty() => {
            let erased = if uploads.erased > 0 {
                format!(", {} are erased together with their owners", uploads.erased)
            } else {
                String::new()
            };
            fine(
                "files",
                format!(
                    "{} uploads are complete{erased}; their content is not verified here, run `ledgerdesk audit files`",
                    uploads.whole
                ),
            )
        }
        Ok(uploads) => {
            let named: Vec<&str> = uploads
                .missing
                .iter()
                .take(NAMED_MAX)
                .map(|(_, what)| what.as_str())
                .collect();
            let more = uploads.missing.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 {
                format!("; and {more} more")
            } else {
                String::new()
            };
            wrong(
                "files",
                format!("{}{more}", named.join("; ")),
                "restore the folder files from a backup, then run `ledgerdesk audit files`",
            )
        }
    }
}

async fn views(data: &Path, position: i64, is_running: bool) -> Vec<Finding> {
    let result = match local::look_at_views(data, is_running) {
        Ok(Some(result)) => result,
        Ok(None) => {
            return vec![fine(
                "views",
                "views.db is filled from the ledger when a desk starts",
            )];
        }
        Err(error) => return vec![wrong("views", error.to_string(), VIEWS)],
    };
    let (views, queue) = (&*result.views, &*result.queue);
    let mut findings = Vec::new();
    let followed = match views.get("checkpoint", "follow").await {
        Ok(checkpoint) => checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
        Err(error) => return vec![wrong("views", error.to_string(), VIEWS)],
    };
    let behind = position - followed;
    findings.push(if behind > LAG_MAX {
        wrong("views", format!("{behind} commits behind"), "start the desk and wait until its views are up to date; if they stay behind, read its log")
    } else if behind < 0 && !is_running {
        wrong("views", format!("views.db follows position {followed}, but the ledger ends at {position}: {} commits are missing", -behind), RESTORE_LEDGER)
    } else {
        fine("views", format!("{} commits behind", behind.max(0)))
    });
    let board = project::stored::<DeskBoard>(views)
        .await
        .map_or(0, |(position, _)| position);
    findings.push(fine("board", format!("at position {board}")));
    let parked = parked::list(views, 100)
        .await
        .map_or(0, |parked| parked.len());
    let messages = queue.parked(100).await.map_or(0, |parked| parked.len());
    findings.push(if parked + messages > 0 {
        wrong(
            "parked",
            format!("{parked} streams and {messages} messages"),
            "run `ledgerdesk audit parked`, remove the cause, then run `ledgerdesk audit parked --redrive`",
        )
    } else {
        fine("parked", "nothing")
    });
    let failing = Range {
        view: "callback",
        index: "failing",
        from: "",
        to: "~",
        descending: false,
        skip: 0,
        limit: 1000,
    };
    match views.range(failing).await {
        Ok(failing) if !failing.is_empty() => findings.push(wrong(
            "callbacks",
            match failing.len() {
                1 => "one receiver does not accept its callback".to_owned(),
                count => format!("{count} receivers do not accept their callbacks"),
            },
            format!(
                "run `ledgerdesk audit show {} --data {}` to see the response of the receiver{}",
                failing[0].key,
                data.display(),
                others(&failing)
            ),
        )),
        Ok(_) => findings.push(fine("callbacks", "none is failing")),
        Err(error) => findings.push(wrong("callbacks", error.to_string(), VIEWS)),
    }
    findings.push(match failed_writes(views).await {
        Ok(finding) => finding,
        Err(error) => wrong(WRITES, error.to_string(), VIEWS),
    });
    match stalled::waiting(views).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(wrong(stalled::APPLICATIONS, error.to_string(), VIEWS)),
    }
    findings
}

//! A desk in a directory: its files, how far its views are, what was set aside.

use std::path::Path;

use infra::Ledger;
use infra::local::Local;
use infra::views::{Entry, Range};

use super::{Finding, fine, wrong};
use crate::cli::audit::published_heads;
use crate::stream::{parked, project};

/// Commits the views may be behind before it is worth saying.
const LAG_MAX: i64 = 10_000;
/// Streams that one piece of advice names besides the first.
const SHOWN_MAX: usize = 4;

/// Looks at everything there is.
pub(super) async fn look(data: &Path) -> Vec<Finding> {
    if !data.is_dir() {
        return vec![wrong(
            "directory",
            format!("{} does not exist", data.display()),
            "start `ledgerdesk serve --data` with this directory, or name the right one",
        )];
    }
    let mut findings = vec![fine("directory", data.display().to_string())];
    match std::fs::File::options().write(true).open(data.join("lock")).map(|file| file.try_lock()) {
        Ok(Ok(())) => findings.push(fine("desk", "no desk is running here")),
        Ok(Err(_)) => findings.push(fine("desk", "a desk is running here")),
        Err(error) => findings.push(wrong("desk", format!("the lock file cannot be opened: {error}"), "check the owner and permissions of the directory")),
    }
    let ledger = match Local::read(data) {
        Ok(ledger) => ledger,
        Err(error) => {
            findings.push(wrong("ledger", error.to_string(), "restore ledger.db from a backup, then run `ledgerdesk audit verify`"));
            return findings;
        }
    };
    match ledger.store.head().await {
        Ok(head) => {
            findings.push(fine("ledger", format!("{} commits", head.position)));
            findings.push(published(data, head.position));
            findings.extend(views(data, head.position, &ledger).await);
        }
        Err(error) => findings.push(wrong("ledger", error.to_string(), "restore ledger.db from a backup, then run `ledgerdesk audit verify`")),
    }
    findings
}

fn published(data: &Path, position: i64) -> Finding {
    match published_heads(data) {
        Err(error) => wrong("heads", error, "somebody edited the file; compare with heads that were kept elsewhere"),
        Ok(heads) => match heads.last() {
            Some(last) if last.position > position => wrong(
                "heads",
                format!("position {} was published, the ledger ends at {position}", last.position),
                "commits are missing; restore ledger.db from a backup",
            ),
            last => fine("heads", format!("published up to {}", last.map_or(0, |head| head.position))),
        },
    }
}

/// The streams of further failing callbacks, up to a bound.
fn others(failing: &[Entry]) -> String {
    let names: Vec<&str> = failing.iter().skip(1).take(SHOWN_MAX).map(|entry| entry.key.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", the same for {}", names.join(", ")) }
}

async fn views(data: &Path, position: i64, ledger: &Ledger) -> Vec<Finding> {
    let local = match Local::beside(data) {
        Ok(local) => local,
        Err(error) => return vec![wrong("views", error.to_string(), "delete views.db while no desk is running; it is rebuilt from the ledger")],
    };
    let mut findings = Vec::new();
    let followed = local.views.get("checkpoint", "follow").await.ok().flatten().map_or(0, |checkpoint| checkpoint.sequence);
    let behind = position - followed;
    findings.push(if behind > LAG_MAX {
        wrong("views", format!("{behind} commits behind"), "start the desk and let it follow; if it does not, look at its log")
    } else {
        fine("views", format!("{behind} commits behind"))
    });
    let board = project::board(&*local.views, project::DESK_BOARD).await.map_or(0, |(position, _)| position);
    findings.push(fine("board", format!("at position {board}")));
    let parked = parked::list(&*local.views, 100).await.map_or(0, |parked| parked.len());
    let messages = local.queue.parked(100).await.map_or(0, |parked| parked.len());
    findings.push(if parked + messages > 0 {
        wrong(
            "parked",
            format!("{parked} streams and {messages} messages"),
            "see `ledgerdesk audit parked`, mend the cause, then `ledgerdesk audit parked --redrive`",
        )
    } else {
        fine("parked", "nothing")
    });
    let failing = Range { view: "delivery", index: "failing", from: "", to: "~", descending: false, skip: 0, limit: 1000 };
    match local.views.range(failing).await {
        Ok(failing) if !failing.is_empty() => findings.push(wrong(
            "callbacks",
            match failing.len() {
                1 => "one receiver does not accept its callback".to_owned(),
                count => format!("{count} receivers do not accept their callbacks"),
            },
            format!("see `ledgerdesk audit show {} --data {}` for the answer of the receiver{}", failing[0].key, data.display(), others(&failing)),
        )),
        Ok(_) => findings.push(fine("callbacks", "none is failing")),
        Err(error) => findings.push(wrong("callbacks", error.to_string(), "delete views.db while no desk is running; it is rebuilt from the ledger")),
    }
    let admin = ledger.keys.find(crate::company::ADMIN).await;
    findings.push(match admin {
        Ok(Some(_)) => fine("keys", "the key store answers"),
        Ok(None) => wrong("keys", "the key store is empty", "restore keys.db: without it names and sealed values cannot be read"),
        Err(error) => wrong("keys", error.to_string(), "restore keys.db: without it names and sealed values cannot be read"),
    });
    findings
}

//! Implements `ledgerdesk doctor --cost`, which prints the cost of a service desk in the cloud. The
//! command reads the log lines of the cloud functions, and computes the cost from these lines.

use std::collections::BTreeMap;

use infra::aws::Cloud;
use infra::meter::{Counted, DOLLARS_PER_MILLION, PUTS_DOLLARS_PER_MILLION};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::FUNCTIONS;
use crate::cli::CommandError;
use crate::host::metrics::NAMESPACE;

/// A log line in which a cloud function reports its use of cloud services. The command reads only
/// the member `Cost` of the line.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Cost")]
    cost: BTreeMap<String, Counted>,
}

/// Prints the use and the cost of each cloud function in the last `hours` hours: requests, capacity
/// units, bytes and dollars. Also prints the averages per commit.
pub(super) async fn print(cloud: &Cloud, hours: i64, json: bool) -> Result<(), CommandError> {
    let since = cloud.ports.ledger.clock.now().0 - hours * 3_600_000;
    let (mut commits, mut total, mut puts, mut are_cut) = (0, Counted::default(), 0, false);
    let mut rows = Vec::new();
    for function in FUNCTIONS {
        let log = cloud.log_lines(function.name, NAMESPACE, since).await?;
        are_cut |= log.are_cut;
        let mut sum = Counted::default();
        for line in log
            .lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        {
            for (kind, counted) in line.cost {
                commits += if kind == "journal put" {
                    counted.requests
                } else {
                    0
                };
                puts += if kind == "blob put" {
                    counted.requests
                } else {
                    0
                };
                sum += counted;
            }
        }
        total += sum;
        rows.push((function.name, sum));
    }
    rows.push(("all", total));
    let puts_dollars = per_million(puts, PUTS_DOLLARS_PER_MILLION);
    let functions: Vec<Value> = rows
        .iter()
        .map(|(name, sum)| {
            json!({
                "function": name, "requests": sum.requests, "write_units": sum.write_units, "read_units": sum.read_units, "bytes": sum.bytes,
                "dollars": sum.dollars(),
            })
        })
        .collect();
    let report = json!({
        "hours": hours, "functions": functions, "archive_objects": puts, "archive_dollars": puts_dollars, "commits": commits, "is_cut": are_cut,
    });
    crate::cli::print(json, &report, || {
        println!(
            "{:<10} {:>10} {:>12} {:>12} {:>14} {:>12}",
            "function", "requests", "write units", "read units", "bytes", "dollars"
        );
        rows.iter().for_each(|(name, sum)| row(name, sum));
        println!("and {puts} archive objects put: {puts_dollars:.6} dollars");
        if are_cut {
            println!("not all log lines were read; use fewer --hours");
        }
        if commits == 0 {
            println!("no commit was logged in the last {hours} hours");
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let count = commits as f64;
        println!(
            "{commits} commits: {:.2} write units, {:.2} read units each; {:.2} dollars per million with everything that followed from them",
            total.write_units / count,
            total.read_units / count,
            (total.dollars() + puts_dollars) / count * 1e6
        );
        println!(
            "({} dollars per million write units, {} per million read units, on demand in us-east-1)",
            DOLLARS_PER_MILLION.0, DOLLARS_PER_MILLION.1
        );
    });
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_million(count: u64, dollars: f64) -> f64 {
    count as f64 * dollars / 1e6
}

fn row(name: &str, sum: &Counted) {
    println!(
        "{name:<10} {:>10} {:>12.1} {:>12.1} {:>14} {:>12.6}",
        sum.requests,
        sum.write_units,
        sum.read_units,
        sum.bytes,
        sum.dollars()
    );
}

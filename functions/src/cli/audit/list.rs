//! Implements `ledgerdesk audit list`, which prints the streams of a ledger with their totals.

use std::collections::BTreeMap;

use clap::Args;
use events::Moment;
use serde_json::{Value, json};

use super::{PAGE, bar, check_kind, words};
use crate::app::times;
use crate::cli::CommandError;
use crate::cli::target::Target;

#[derive(Clone, Debug, Default, Args)]
pub struct List {
    /// List only streams of this kind, such as ticket, callback or role.
    #[arg(long)]
    pub kind: Option<String>,
}

/// The number of commits and the number of events of one stream. `at` is the time of the last commit
/// of this stream. `position` is the position of this commit in the feed (the ordered list of all
/// commits).
#[derive(Default)]
struct Totals {
    commits: u64,
    events: i64,
    position: i64,
    at: Moment,
}

impl List {
    pub(super) async fn run(self, target: &Target, json: bool) -> Result<(), CommandError> {
        self.kind
            .as_deref()
            .map_or(Ok(()), |kind| check_kind(kind, false))?;
        let ledger = target.read().await?;
        let bar = bar(ledger.store.head().await.map_err(words)?.position);
        let (mut streams, mut position) = (BTreeMap::<String, Totals>::new(), 0);
        loop {
            let page = ledger.store.feed(position, PAGE).await.map_err(words)?;
            let Some(last) = page.last() else { break };
            position = last.position;
            for placed in page {
                if self
                    .kind
                    .as_deref()
                    .is_some_and(|kind| kind != events::aggregate_of(&placed.commit.stream))
                {
                    continue;
                }
                let totals = streams.entry(placed.commit.stream).or_default();
                totals.commits += 1;
                totals.events += placed.commit.n;
                totals.position = placed.position;
                totals.at = placed.commit.at;
            }
            bar.set_position(position.unsigned_abs());
        }
        bar.finish_and_clear();
        let shown: Vec<Value> = streams
            .iter()
            .map(|(stream, totals)| {
                json!({
                    "stream": stream, "kind": events::aggregate_of(stream), "commits": totals.commits, "events": totals.events,
                    "position": totals.position, "time": times::rfc3339(totals.at),
                })
            })
            .collect();
        crate::cli::print(json, &json!({ "streams": shown }), || {
            println!(
                "{:<12} {:>7} {:>9}  {:<24}  stream",
                "kind", "events", "position", "last commit"
            );
            for (stream, totals) in &streams {
                let (kind, at) = (events::aggregate_of(stream), times::rfc3339(totals.at));
                println!(
                    "{kind:<12} {:>7} {:>9}  {at:<24}  {stream}",
                    totals.events, totals.position
                );
            }
            println!("{} streams up to position {position}", streams.len());
        });
        Ok(())
    }
}

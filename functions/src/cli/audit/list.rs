//! Every stream of a ledger with what is in it.

use std::collections::BTreeMap;

use clap::Args;
use events::Moment;
use serde_json::{Value, json};

use super::{PAGE, bar, check_kind, words};
use crate::cli::CommandError;
use crate::cli::place::Place;
use crate::times;

#[derive(Clone, Debug, Default, Args)]
pub struct List {
    /// Only streams of a kind, such as ticket, delivery or role.
    #[arg(long)]
    pub kind: Option<String>,
}

/// What a stream holds.
#[derive(Default)]
struct Held {
    commits: u64,
    events: i64,
    position: i64,
    at: Moment,
}

impl List {
    pub(super) async fn run(self, place: &Place, json: bool) -> Result<(), CommandError> {
        self.kind.as_deref().map_or(Ok(()), |kind| check_kind(kind, false))?;
        let ledger = place.read().await?;
        let bar = bar(ledger.store.head().await.map_err(words)?.position);
        let (mut streams, mut position) = (BTreeMap::<String, Held>::new(), 0);
        loop {
            let page = ledger.store.feed(position, PAGE).await.map_err(words)?;
            let Some(last) = page.last() else { break };
            position = last.position;
            for placed in page {
                if self.kind.as_deref().is_some_and(|kind| kind != events::aggregate_of(&placed.commit.stream)) {
                    continue;
                }
                let held = streams.entry(placed.commit.stream).or_default();
                held.commits += 1;
                held.events += placed.commit.n;
                held.position = placed.position;
                held.at = placed.commit.at;
            }
            bar.set_position(position.unsigned_abs());
        }
        bar.finish_and_clear();
        let shown: Vec<Value> = streams
            .iter()
            .map(|(stream, held)| {
                json!({
                    "stream": stream, "kind": events::aggregate_of(stream), "commits": held.commits, "events": held.events,
                    "position": held.position, "time": times::rfc3339(held.at),
                })
            })
            .collect();
        crate::cli::print(json, &json!({ "streams": shown }), || {
            println!("{:<12} {:>7} {:>9}  {:<24}  stream", "kind", "events", "position", "last commit");
            for (stream, held) in &streams {
                let (kind, at) = (events::aggregate_of(stream), times::rfc3339(held.at));
                println!("{kind:<12} {:>7} {:>9}  {at:<24}  {stream}", held.events, held.position);
            }
            println!("{} streams up to position {position}", streams.len());
        });
        Ok(())
    }
}

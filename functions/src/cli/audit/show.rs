//! `ledgerdesk audit show`: prints the commits of a stream and the resulting state.

use std::collections::{BTreeSet, HashMap};

use clap::Args;
use events::{Moment, PersonId};
use infra::{Error, Ledger};
use serde_json::{Value, json};

use super::list::List;
use super::{Bound, PAGE, words};
use crate::app::importing::encoded;
use crate::cli::CommandError;
use crate::cli::target::Target;
use crate::registry::REGISTRY;
use crate::stream::follow::aggregate::find;
use crate::stream::follow::history::Until;

#[derive(Debug, Args)]
pub struct Show {
    /// The stream, such as ticket-REQ20261122000001. `audit list` prints all streams.
    pub stream: Option<String>,
    /// Up to a commit time such as 2026-11-22T08:00:00Z, or a position of the feed.
    #[arg(long, value_name = "TIME|POSITION", conflicts_with = "sequence")]
    pub at: Option<Bound>,
    /// Up to the event with this sequence in the stream.
    #[arg(long, value_name = "NUMBER")]
    pub sequence: Option<i64>,
    /// Print names of people from the key store instead of person ids.
    #[arg(long)]
    pub names: bool,
}

impl Show {
    pub(super) async fn run(self, target: &Target, json: bool) -> Result<(), CommandError> {
        let Some(stream) = self.stream.as_deref() else {
            return List::default().run(target, json).await;
        };
        let ledger = target.read().await?;
        // The case ids of imported logs may contain spaces, and stream names contain the encoded
        // form of spaces.
        let encoded = encoded(stream);
        let is_raw = encoded != stream
            && ledger
                .store
                .forward(stream, 1, 1)
                .await
                .map_err(words)?
                .is_empty();
        let stream = if is_raw { encoded.as_str() } else { stream };
        let mut until = Until {
            at: Moment(i64::MAX),
            sequence: self.sequence.unwrap_or(i64::MAX),
        };
        match self.at {
            None => {}
            Some(Bound::At { last, .. }) => until.at = last,
            Some(Bound::Position(position)) => {
                until.sequence = sequence_at(&ledger, stream, position).await?;
            }
        }
        let aggregate = find(REGISTRY, stream).ok_or_else(|| {
            format!("{stream:?} is not the name of a stream; `ledgerdesk audit list` prints all streams; a ticket is ticket-<number>")
        })?;
        let mut shown = aggregate
            .history(&ledger, stream, until)
            .await
            .map_err(words)?;
        if shown.commits.is_empty() {
            let when = self
                .at
                .map_or_else(|| format!("event {}", until.sequence), |at| at.to_string());
            return Err(format!("stream {stream} has no event up to {when}").into());
        }
        let mut names = Names {
            ledger: &ledger,
            known: HashMap::new(),
        };
        for commit in &mut shown.commits {
            let actor = commit["actor"].as_str().unwrap_or_default().to_owned();
            commit["actor_name"] = json!(names.of(&actor).await?);
        }
        if self.names {
            for value in shown.commits.iter_mut().chain([&mut shown.state]) {
                names.put_into(value).await?;
            }
        }
        let report = json!({ "stream": stream, "commits": shown.commits, "state": shown.state });
        crate::cli::print(json, &report, || print_text(&report));
        Ok(())
    }
}

fn print_text(report: &Value) {
    for commit in report["commits"].as_array().into_iter().flatten() {
        let text = |key: &str| commit[key].as_str().unwrap_or_default();
        let actor = if text("actor_name").is_empty() {
            text("actor")
        } else {
            text("actor_name")
        };
        let app = if text("app").is_empty() {
            String::new()
        } else {
            format!(" through {}", text("app"))
        };
        println!(
            "{:>5}  {}  {actor}{app}",
            commit["sequence"].as_i64().unwrap_or_default(),
            text("time")
        );
        for event in commit["events"].as_array().into_iter().flatten() {
            println!(
                "       {} {}",
                event["type"].as_str().unwrap_or_default(),
                event["data"]
            );
        }
    }
    println!(
        "state {}",
        serde_json::to_string_pretty(&report["state"]).unwrap_or_default()
    );
}

/// Returns the sequence of the last event of a stream at or before a position of the feed.
async fn sequence_at(ledger: &Ledger, stream: &str, until: i64) -> Result<i64, Error> {
    let (mut sequence, mut position) = (0, 0);
    while position < until {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in page
            .iter()
            .filter(|placed| placed.position <= until && placed.commit.stream == stream)
        {
            sequence = sequence.max(placed.commit.next() - 1);
        }
    }
    Ok(sequence)
}

/// A cache of the names of people from the key store, by person id.
struct Names<'a> {
    ledger: &'a Ledger,
    known: HashMap<String, Option<String>>,
}

impl Names<'_> {
    async fn of(&mut self, id: &str) -> Result<Option<String>, Error> {
        if let Some(name) = self.known.get(id) {
            return Ok(name.clone());
        }
        let name = self.ledger.keys.name(&PersonId::from(id)).await?;
        self.known.insert(id.to_owned(), name.clone());
        Ok(name)
    }

    /// Replaces every person id in a value with the name of the person. The id of an erased person
    /// is not replaced.
    async fn put_into(&mut self, value: &mut Value) -> Result<(), Error> {
        let mut ids = BTreeSet::new();
        collect(value, &mut ids);
        for id in &ids {
            self.of(id).await?;
        }
        replace(value, &self.known);
        Ok(())
    }
}

/// Returns whether a text has the form of a person id: `p` and 24 hexadecimal digits.
fn is_person_id(text: &str) -> bool {
    text.len() == 25
        && text.starts_with('p')
        && text[1..]
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn collect(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_person_id(text) => drop(ids.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        Value::Object(members) => {
            ids.extend(members.keys().filter(|key| is_person_id(key)).cloned());
            members.values().for_each(|member| collect(member, ids));
        }
        _ => {}
    }
}

fn replace(value: &mut Value, names: &HashMap<String, Option<String>>) {
    let name_of = |id: &str| names.get(id).cloned().flatten();
    match value {
        Value::String(text) => {
            if let Some(name) = name_of(text) {
                *text = name;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, names)),
        Value::Object(members) => {
            let renamed = std::mem::take(members)
                .into_iter()
                .map(|(key, mut member)| {
                    replace(&mut member, names);
                    (name_of(&key).unwrap_or(key), member)
                });
            *members = renamed.collect();
        }
        _ => {}
    }
}

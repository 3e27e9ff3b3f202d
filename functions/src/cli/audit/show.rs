//! Implements `ledgerdesk audit show`, which prints the commits and the state of one stream.

use clap::Args;
use events::Moment;
use infra::{Error, Ledger};
use serde_json::{Value, json};

use super::list::List;
use super::{Bound, PAGE, words};
use crate::app::importing::encoded;
use crate::app::names::Names;
use crate::cli::CommandError;
use crate::cli::target::Target;
use crate::registry::REGISTRY;
use crate::stream::follow::aggregate::find;
use crate::stream::follow::history::Until;

#[derive(Debug, Args)]
pub struct Show {
    /// The name of the stream, such as ticket-REQ20261122000001. `audit list` prints the names of
    /// all streams.
    pub stream: Option<String>,
    /// Show the state at a commit time, such as 2026-11-22T08:00:00Z, or at a position in the list
    /// of all commits.
    #[arg(long, value_name = "TIME|POSITION", conflicts_with = "sequence")]
    pub at: Option<Bound>,
    /// Show the state after the event with this sequence number in the stream.
    #[arg(long, value_name = "NUMBER")]
    pub sequence: Option<i64>,
    /// Print user names from the key store instead of person ids.
    #[arg(long)]
    pub names: bool,
}

impl Show {
    pub(super) async fn run(self, target: &Target, json: bool) -> Result<(), CommandError> {
        let Some(stream) = self.stream.as_deref() else {
            return List::default().run(target, json).await;
        };
        let ledger = target.read().await?;
        // An id in an imported log can contain spaces. A stream name contains such an id in encoded
        // form. If no stream has exactly the given name, the command therefore uses the encoded
        // form of this name.
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
        let mut names = Names::over(&ledger);
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
    println!("state:");
    print!("{}", outline(&report["state"], 1));
}

/// Returns a JSON value as indented lines, one line per value. Members without a value are left out. An
/// element of a list begins with a dash.
fn outline(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let line = |label: String, value: &Value| match value {
        Value::Object(_) | Value::Array(_) => {
            format!("{indent}{label}\n{}", outline(value, depth + 1))
        }
        Value::String(text) => format!("{indent}{label} {}\n", printable(text)),
        other => format!("{indent}{label} {other}\n"),
    };
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| !is_empty(value))
            .map(|(key, value)| line(format!("{key}:"), value))
            .collect(),
        Value::Array(items) => items.iter().map(|item| line("-".into(), item)).collect(),
        _ => line("-".into(), value),
    }
}

/// Returns a text of the ledger for a terminal. Further lines are indented. Other control characters are escaped,
/// because a terminal could execute them.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => printable.push_str("\n    "),
            _ if character.is_control() => printable.extend(character.escape_default()),
            _ => printable.push(character),
        }
    }
    printable
}

/// Returns whether a value contains no information: null, an empty text, an empty list, or an object
/// without members that have a value.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns the sequence number that a stream had at a position of the feed (the ordered list of all
/// commits). The sequence number is the number of the last event of the stream at or before the
/// position. The result is 0 if the stream had no event.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_printed_as_lines_without_empty_members() {
        let state = json!({
            "status": "RUNNING", "tag": "", "parent": null, "links": [], "form": { "x": null },
            "nodes": { "3": { "status": "RECEIVING", "round": 1, "votes": [{ "pass": false }, "two\nlines"] } },
        });
        let lines = [
            "  nodes:",
            "    3:",
            "      round: 1",
            "      status: RECEIVING",
            "      votes:",
            "        -",
            "          pass: false",
            "        - two",
            "    lines",
            "  status: RUNNING",
        ];
        assert_eq!(outline(&state, 1), lines.join("\n") + "\n");
        let hostile = json!({ "title": "a\u{1b}[2J\rb" });
        assert_eq!(outline(&hostile, 0), "title: a\\u{1b}[2J\\rb\n");
    }
}

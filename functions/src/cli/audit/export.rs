//! The ledger as CloudEvents 1.0.

use std::io::Write as _;

use events::{Body, Moment};
use infra::Error;
use infra::store::Placed;
use infra::store::commit::hex;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{PAGE, words};
use crate::cli::place::Place;

/// The reverse domain of exported event types.
const DOMAIN: &str = "io.ledgerdesk";

pub(super) async fn export(place: &Place, after: i64) -> Result<(), String> {
    let ledger = place.read().await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut position = after;
    loop {
        let page = ledger.store.feed(position, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in &page {
            for line in cloud_events(placed).map_err(words)? {
                if let Err(error) = writeln!(out, "{line}") {
                    return ended(&error);
                }
            }
        }
    }
    match out.flush() {
        Ok(()) => Ok(()),
        Err(error) => ended(&error),
    }
}

/// A reader that has seen enough ends an export; anything else that stops it is a failure.
fn ended(error: &std::io::Error) -> Result<(), String> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(format!("cannot write: {error}")) }
}

/// A commit as CloudEvents 1.0. Extension attributes are lower-case letters and texts or integers, as the specification asks; what proves the
/// commit stands on its first line.
pub fn cloud_events(placed: &Placed) -> Result<Vec<Value>, Error> {
    let commit = &placed.commit;
    let unreadable = |reason: String| Error::corrupt(format!("position {}: {reason}", placed.position));
    let text = std::str::from_utf8(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let body = Body::read(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let time = |at: Moment| Timestamp::from_millisecond(at.0).unwrap_or_default().to_string();
    let subject = commit.stream.split_once('-').map_or(commit.stream.as_str(), |(_, id)| id);
    let line = |(raw, sequence): (&events::Raw<'_>, i64)| {
        let data: Value = serde_json::from_str(raw.data.get()).map_err(|error| unreadable(error.to_string()))?;
        let mut line = json!({
            "specversion": "1.0",
            "id": format!("{}:{sequence}", commit.stream),
            "source": "/ledgerdesk",
            "type": format!("{DOMAIN}.{}.v{}", raw.kind, raw.version),
            "subject": subject,
            "time": time(raw.occurred_at.unwrap_or(commit.at)),
            "datacontenttype": "application/json",
            "data": data,
            "stream": commit.stream,
            "sequence": sequence.to_string(),
        });
        if sequence == commit.first {
            line["position"] = placed.position.to_string().into();
            line["first"] = commit.first.to_string().into();
            line["count"] = commit.n.to_string().into();
            line["committedat"] = commit.at.0.to_string().into();
            line["commandid"] = hex(&commit.command_id).into();
            line["prevhash"] = hex(&commit.prev_hash).into();
            line["hash"] = hex(&commit.hash).into();
            line["feedhash"] = hex(&placed.feed_hash).into();
            line["body"] = text.into();
        }
        Ok(line)
    };
    body.events.iter().zip(commit.first..).map(line).collect()
}

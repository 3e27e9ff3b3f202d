//! Implements `ledgerdesk audit export`, which prints the ledger as CloudEvents 1.0. Each line is
//! one JSON object.

use std::io::Write as _;

use clap::Args;
use events::Body;
use infra::Error;
use infra::commit::hex;
use infra::store::Placed;
use serde_json::{Value, json};

use super::{Bound, PAGE, check_kind, words};
use crate::app::times;
use crate::cli::CommandError;
use crate::cli::target::Target;

/// The prefix of every exported event type, in the form of a reverse domain name.
const DOMAIN: &str = "io.ledgerdesk";
/// The event attributes with which a reader can check the hash chain of the commits. A filtered
/// export omits these attributes, because a hash chain with missing commits cannot be checked.
const PROOF: [&str; 8] = [
    "first",
    "count",
    "committedat",
    "commandid",
    "prevhash",
    "hash",
    "feedhash",
    "body",
];

#[derive(Debug, Args)]
pub struct Export {
    /// Export only the commits after this position of the feed (the ordered list of all commits).
    #[arg(long, default_value_t = 0, value_name = "POSITION")]
    pub after: i64,
    /// Export only these streams. A `*` at the end selects all streams that begin with the text
    /// before the `*`.
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Export only events of these types, such as `ticket.opened`, or of these stream kinds, such
    /// as `ticket`.
    #[arg(long = "kind", value_name = "TYPE")]
    pub kinds: Vec<String>,
    /// Export only events at or after this commit time, UTC day or position in the list of all
    /// commits.
    #[arg(long, value_name = "TIME|POSITION")]
    pub from: Option<Bound>,
    /// Export only events at or before this commit time, UTC day or position in the list of all
    /// commits.
    #[arg(long, value_name = "TIME|POSITION")]
    pub until: Option<Bound>,
}

impl Export {
    /// Writes the selected events to standard output.
    pub(super) async fn run(self, target: &Target) -> Result<(), CommandError> {
        self.check()?;
        let ledger = target.read().await?;
        let is_filtered = self.is_filtered();
        if is_filtered {
            note(
                "a filtered export cannot be verified: its lines are marked `filtered` and have no hashes; export without filters for a proof",
            );
        }
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let (mut position, mut is_empty) = (self.after, true);
        loop {
            let page = ledger.store.feed(position, PAGE).await.map_err(words)?;
            let Some(last) = page.last() else { break };
            position = last.position;
            for placed in page.iter().filter(|placed| self.takes(placed)) {
                for mut line in cloud_events(placed).map_err(words)? {
                    if !self.takes_type(line["type"].as_str().unwrap_or_default()) {
                        continue;
                    }
                    if is_filtered {
                        remove_proof(&mut line);
                    }
                    is_empty = false;
                    if let Err(error) = writeln!(out, "{line}") {
                        return write_result(&error);
                    }
                }
            }
        }
        if is_empty {
            note("no events are exported: the ledger has no event that matches these options");
        }
        match out.flush() {
            Ok(()) => Ok(()),
            Err(error) => write_result(&error),
        }
    }

    /// Returns an error if the option `--kind` contains an unknown event type, or if the start of
    /// the period is after its end.
    fn check(&self) -> Result<(), CommandError> {
        self.kinds
            .iter()
            .try_for_each(|kind| check_kind(plain_type(kind), true))?;
        let is_reversed = match (self.from, self.until) {
            (Some(Bound::Position(from)), Some(Bound::Position(until))) => from > until,
            (Some(Bound::At { first, .. }), Some(Bound::At { last, .. })) => first > last,
            _ => false,
        };
        match (self.from, self.until) {
            (Some(from), Some(until)) if is_reversed => Err(CommandError::Usage(format!(
                "--from {from} is after --until {until}"
            ))),
            _ => Ok(()),
        }
    }

    fn is_filtered(&self) -> bool {
        !self.streams.is_empty()
            || !self.kinds.is_empty()
            || self.from.is_some()
            || self.until.is_some()
    }

    fn takes(&self, placed: &Placed) -> bool {
        let stream = placed.commit.stream.as_str();
        let is_named = |name: &String| {
            name.strip_suffix('*')
                .map_or(stream == name, |start| stream.starts_with(start))
        };
        let is_late_enough = match self.from {
            None => true,
            Some(Bound::Position(position)) => placed.position >= position,
            Some(Bound::At { first, .. }) => placed.commit.at >= first,
        };
        (self.streams.is_empty() || self.streams.iter().any(is_named))
            && is_late_enough
            && self.until.is_none_or(|until| until.includes(placed))
    }

    /// Returns whether the option `--kind` selects an event type. `exported` is the full name of
    /// the type, for example `io.ledgerdesk.ticket.opened.v1`.
    fn takes_type(&self, exported: &str) -> bool {
        let kind = plain_type(exported);
        self.kinds.is_empty()
            || self.kinds.iter().any(|filter| {
                kind == filter
                    || exported == filter
                    || kind.split('.').next() == Some(filter.as_str())
            })
    }
}

/// Returns an exported event type without the prefix `io.ledgerdesk` and without the version. For
/// example, `io.ledgerdesk.ticket.opened.v1` becomes `ticket.opened`.
fn plain_type(exported: &str) -> &str {
    exported
        .strip_prefix(DOMAIN)
        .and_then(|kind| kind.strip_prefix('.'))
        .and_then(|kind| kind.rsplit_once(".v"))
        .map_or(exported, |(kind, _)| kind)
}

/// Prints a note to standard error, because standard output must contain only the export.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Removes the attributes with the hash chain from an exported event. Then adds the attribute
/// `filtered`, so that a reader knows that the export is not complete.
fn remove_proof(line: &mut Value) {
    if let Some(members) = line.as_object_mut() {
        PROOF.iter().for_each(|name| drop(members.remove(*name)));
        members.insert("filtered".into(), true.into());
    }
}

/// Converts the error of a write to standard output to the result of the command. A closed pipe,
/// for example with `| head`, counts as success. Any other error is returned.
fn write_result(error: &std::io::Error) -> Result<(), CommandError> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        Ok(())
    } else {
        Err(format!("cannot write: {error}").into())
    }
}

/// Returns the events of a commit as CloudEvents 1.0.
///
/// Every event contains the actor, the origin, the stream, the time of the event and the time of
/// the commit. The attribute `position` is the position of the commit in the feed (the ordered list
/// of all commits). The attribute `index` is the index of the event in the commit.
///
/// The first event of a commit also contains the hashes that prove the commit. The names of all
/// attributes have only lower-case letters, because CloudEvents requires such names.
pub fn cloud_events(placed: &Placed) -> Result<Vec<Value>, Error> {
    let commit = &placed.commit;
    let unreadable =
        |reason: String| Error::corrupt(format!("position {}: {reason}", placed.position));
    let text = std::str::from_utf8(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let body = Body::read(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let meta = &body.meta;
    let line = |(raw, index): (&events::Raw<'_>, i64)| {
        let data: Value =
            serde_json::from_str(raw.data.get()).map_err(|error| unreadable(error.to_string()))?;
        let sequence = commit.first + index;
        let mut line = json!({
            "specversion": "1.0",
            "id": format!("{}:{sequence}", commit.stream),
            "source": "/ledgerdesk",
            "type": format!("{DOMAIN}.{}.v{}", raw.kind, raw.version),
            "subject": commit.stream,
            "time": times::rfc3339(raw.occurred_at.unwrap_or(commit.at)),
            "datacontenttype": "application/json",
            "data": data,
            "stream": commit.stream,
            "sequence": sequence.to_string(),
            "position": placed.position,
            "index": index,
            "recordedtime": times::rfc3339(commit.at),
            "actor": meta.actor,
            "channel": meta.origin,
        });
        let on_behalf_of = meta.on_behalf_of.as_ref().map(events::PersonId::as_str);
        let app = meta.app.as_ref().map(events::AppCode::as_str);
        // CloudEvents does not allow attributes without a value. Attributes with an empty value are
        // therefore omitted.
        for (name, value) in [
            ("onbehalfof", on_behalf_of),
            ("app", app),
            ("correlationid", Some(&*meta.correlation)),
            ("causationid", Some(&*meta.causation)),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                line[name] = value.into();
            }
        }
        if index == 0 {
            line["first"] = commit.first.to_string().into();
            line["count"] = commit.n.to_string().into();
            // This attribute is the commit time in milliseconds. The hash of the commit is computed
            // from this integer, so a reader of the export needs the integer to check the hash.
            line["committedat"] = commit.at.0.to_string().into();
            line["commandid"] = hex(&commit.command_id).into();
            line["prevhash"] = hex(&commit.prev_hash).into();
            line["hash"] = hex(&commit.hash).into();
            line["feedhash"] = hex(&placed.feed_hash).into();
            line["body"] = text.into();
        }
        Ok(line)
    };
    body.events.iter().zip(0..).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_a_type_or_a_whole_kind() {
        let export = |kinds: &[&str]| Export {
            after: 0,
            streams: Vec::new(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            from: None,
            until: None,
        };
        assert!(export(&[]).takes_type("io.ledgerdesk.ticket.opened.v1"));
        assert!(export(&["ticket"]).takes_type("io.ledgerdesk.ticket.opened.v1"));
        assert!(export(&["role", "ticket.opened"]).takes_type("io.ledgerdesk.ticket.opened.v1"));
        assert!(!export(&["ticket.open"]).takes_type("io.ledgerdesk.ticket.opened.v1"));
        assert!(!export(&["tick"]).takes_type("io.ledgerdesk.ticket.opened.v1"));
    }
}

//! Reads the commits and the state of one stream. The result is JSON for auditors.

use domain::Decider;
use events::{Event, Moment};
use infra::{Error, Kind, Ledger};
use serde_json::{Value, json};

use crate::app::times;

/// Maximum number of commits that one read of a stream returns.
const PAGE: usize = 1000;

/// The limit of a read. The read includes only commits up to this time and up to this sequence
/// number (event number in the stream).
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub at: Moment,
    pub sequence: i64,
}

/// The commits of a stream as JSON, and the state of the stream after these commits.
#[derive(Clone, Debug)]
pub struct History {
    pub commits: Vec<Value>,
    pub state: Value,
}

/// Reads the commits of a stream up to `until`, and the state of the stream after these commits.
///
/// Returns an error if the stream does not exist.
pub async fn read<D: Decider>(
    ledger: &Ledger,
    stream: &str,
    until: Until,
) -> Result<History, Error> {
    let (mut state, mut commits, mut from) = (D::default(), Vec::new(), 1);
    loop {
        let page = ledger.store.forward(stream, from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.next();
        for commit in page
            .iter()
            .filter(|commit| commit.at <= until.at && commit.first <= until.sequence)
        {
            let (mut events, mut meta) = (Vec::new(), None);
            for envelope in ledger
                .envelopes::<D::Event>(commit)
                .await?
                .into_iter()
                .filter(|envelope| envelope.sequence <= until.sequence)
            {
                state.evolve(&envelope.event);
                let data = envelope
                    .event
                    .data()
                    .ok()
                    .and_then(|data| serde_json::from_str(data.get()).ok());
                let mut data: Value = data.unwrap_or_default();
                times::spell(&mut data, &times::rfc3339);
                events.push(json!({ "sequence": envelope.sequence, "type": envelope.event.kind(), "data": data }));
                meta = Some(envelope.meta);
            }
            let meta = meta.unwrap_or_default();
            commits.push(json!({
                "sequence": commit.first, "time": times::rfc3339(commit.at), "actor": meta.actor, "on_behalf_of": meta.on_behalf_of,
                "channel": meta.origin, "app": meta.app, "events": events,
            }));
        }
    }
    if from == 1 {
        return Err(Error::new(
            Kind::Misconfigured,
            format!("there is no stream {stream}; `ledgerdesk audit list` prints all streams"),
        ));
    }
    let mut state = serde_json::to_value(&state).map_err(|error| {
        Error::corrupt(format!("cannot serialize the state of {stream}: {error}"))
    })?;
    times::spell(&mut state, &times::rfc3339);
    Ok(History { commits, state })
}

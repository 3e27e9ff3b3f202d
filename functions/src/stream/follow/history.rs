//! Reads the commits and the state of one stream. The result is JSON for auditors.

use domain::Decider;
use events::{Event as _, Meta, Moment, Personal};
use infra::ledger::repository::decode;
use infra::store::Commit;
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

/// The state of a stream after some of its events, with hidden Rust types.
pub(super) trait AnyState: Send {
    /// Decodes a commit. Returns its metadata, with encrypted personal values.
    fn decode(&mut self, commit: &Commit) -> Result<Meta, Error>;
    /// Returns the personal values of the decoded events.
    fn personals(&mut self) -> Vec<&mut Personal>;
    /// Applies the decoded events, of which the first has the sequence number `first`, up to the sequence number `until`.
    /// Returns the number, the type and the data of each event.
    fn apply(&mut self, first: i64, until: i64) -> Vec<(i64, &'static str, Value)>;
    /// Returns the state as JSON.
    fn json(&self) -> serde_json::Result<Value>;
}

/// The implementation of [`AnyState`] for the aggregate type `D`.
pub(super) struct StateAt<D: Decider> {
    state: D,
    decoded: Vec<D::Event>,
}

impl<D: Decider> Default for StateAt<D> {
    fn default() -> Self {
        Self {
            state: D::default(),
            decoded: Vec::new(),
        }
    }
}

impl<D: Decider> AnyState for StateAt<D> {
    fn decode(&mut self, commit: &Commit) -> Result<Meta, Error> {
        let (meta, events) = decode::<D::Event>(commit)?;
        self.decoded = events.into_iter().map(|(event, _)| event).collect();
        Ok(meta)
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let mut personals = Vec::new();
        for event in &mut self.decoded {
            personals.extend(event.personals());
        }
        personals
    }

    fn apply(&mut self, first: i64, until: i64) -> Vec<(i64, &'static str, Value)> {
        let mut applied = Vec::new();
        for (sequence, event) in (first..=until).zip(std::mem::take(&mut self.decoded)) {
            self.state.evolve(&event);
            let data = event.data().ok();
            let data = data.and_then(|data| serde_json::from_str(data.get()).ok());
            applied.push((sequence, event.kind(), data.unwrap_or_default()));
        }
        applied
    }

    fn json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.state)
    }
}

/// Reads the commits of a stream up to `until`, and the state of the stream after these commits. `state` is the state of a
/// stream without events.
///
/// Returns an error if the stream does not exist.
pub(super) async fn read(
    ledger: &Ledger,
    stream: &str,
    until: Until,
    state: &mut dyn AnyState,
) -> Result<History, Error> {
    let (mut commits, mut from) = (Vec::new(), 1);
    loop {
        let page = ledger.store.forward(stream, from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.next();
        for commit in page
            .iter()
            .filter(|commit| commit.at <= until.at && commit.first <= until.sequence)
        {
            let mut meta = state.decode(commit)?;
            let personals = state.personals().into_iter();
            ledger.open(personals.chain(meta.personals())).await?;
            let mut events = Vec::new();
            for (sequence, kind, mut data) in state.apply(commit.first, until.sequence) {
                times::spell(&mut data, &times::rfc3339);
                events.push(json!({ "sequence": sequence, "type": kind, "data": data }));
            }
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
    let mut state = state.json().map_err(|error| {
        Error::corrupt(format!("cannot serialize the state of {stream}: {error}"))
    })?;
    times::spell(&mut state, &times::rfc3339);
    Ok(History { commits, state })
}

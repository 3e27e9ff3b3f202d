//! Updates projections. A projection combines the events of many streams into one document. A
//! projection reads commits only from the feed (the sequence of all commits). The document contains
//! the position of the last processed commit. A projection cannot send messages.

use std::marker::PhantomData;

use async_trait::async_trait;
use domain::projections::Projection;
use events::AnyEvent;
use infra::ledger::repository::decode_by;
use infra::store::{Commit, Placed};
use infra::views::{Document, Views};
use infra::{Error, Ledger};
use serde_json::Value;

#[cfg(feature = "local")]
use super::follow::rebuild::Rebuilt;
use super::parked::{Parked, park};

/// Maximum number of commits that a projection reads before it stores its document.
const PAGE: usize = 500;
/// Number of commits that a projection processes before it lets other tasks of the same thread run.
const COMMITS_AT_ONCE: usize = 8;
/// The key of the document in the view (a stored table) of a projection. Each projection has only
/// one document.
const KEY: &str = "all";

/// A list with all projections of the desk. A projection combines the events of many streams into
/// one document.
pub type Projections = &'static [&'static dyn Project];

/// A projection (a combination of events in one document) of any type. This trait hides the Rust
/// type, so that one list can contain all projections. [`Of`] is the only implementation.
#[async_trait]
pub trait Project: Send + Sync {
    /// Returns the name of the view (a stored table) that contains the document of the projection.
    fn view(&self) -> &'static str;
    /// Applies the commits of the feed (the sequence of all commits) that are not in the document
    /// yet. Returns the feed position of the last applied commit.
    async fn project(&self, ledger: &Ledger, views: &dyn Views) -> Result<i64, Error>;
    #[cfg(feature = "local")]
    /// Builds the document again from the start of the feed (the sequence of all commits), up to
    /// the position of the stored document. If the new document differs from the stored document,
    /// this function replaces the stored document. The result shows whether the documents were
    /// different.
    async fn rebuild(&self, ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error>;
    /// Returns the stored document as JSON, and the position of the last applied commit in the feed
    /// (the sequence of all commits).
    async fn stored(&self, views: &dyn Views) -> Result<(i64, Value), Error>;
}

/// The implementation of [`Project`] for the projection type `P`.
pub struct Of<P>(pub PhantomData<fn() -> P>);

#[async_trait]
impl<P: Projection> Project for Of<P> {
    fn view(&self) -> &'static str {
        P::VIEW
    }
    async fn project(&self, ledger: &Ledger, views: &dyn Views) -> Result<i64, Error> {
        project::<P>(ledger, views).await
    }
    #[cfg(feature = "local")]
    async fn rebuild(&self, ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error> {
        rebuild::<P>(ledger, views).await
    }
    async fn stored(&self, views: &dyn Views) -> Result<(i64, Value), Error> {
        let (position, document) = stored::<P>(views).await?;
        let value = serde_json::to_value(document).map_err(|error| {
            Error::because(infra::Kind::Corrupt, "cannot serialize a projection", error)
        })?;
        Ok((position, value))
    }
}

/// Updates all projections with the commits of the feed (the sequence of all commits). Returns the
/// lowest feed position that a projection has reached.
pub async fn project_all(
    projections: Projections,
    ledger: &Ledger,
    views: &dyn Views,
) -> Result<i64, Error> {
    let mut lowest = i64::MAX;
    for projection in projections {
        lowest = lowest.min(projection.project(ledger, views).await?);
    }
    Ok(lowest)
}

/// Updates the document of one projection with all new commits of the feed (the sequence of all
/// commits). Returns the feed position of the last applied commit.
pub async fn project<P: Projection>(ledger: &Ledger, views: &dyn Views) -> Result<i64, Error> {
    loop {
        let (position, mut document) = stored::<P>(views).await?;
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(position);
        };
        for (at, placed) in page.iter().enumerate() {
            // The loop has no other point at which requests on the same thread could continue.
            if at % COMMITS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            if let Err(error) = fold(&mut document, &placed.commit) {
                let (stream, from) = (placed.commit.stream.clone(), placed.commit.first);
                park(
                    views,
                    &Parked {
                        consumer: P::VIEW.into(),
                        stream,
                        from,
                        reason: error.to_string(),
                        at: ledger.clock.now(),
                    },
                )
                .await?;
            }
        }
        // If another process stored a newer document first, this write has no effect. The next
        // iteration of the loop then reads the newer document.
        put(views, position, last.position, &document).await?;
    }
}

/// Stores the document of a projection. `position` is the position of the last applied commit in
/// the feed (the sequence of all commits).
///
/// The function replaces the stored document only if this document has the position `expected`. Any
/// other position means that another process stored a document first. The function then stores
/// nothing and returns false.
async fn put<P: Projection>(
    views: &dyn Views,
    expected: i64,
    position: i64,
    document: &P,
) -> Result<bool, Error> {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let document = Document {
        sequence: position,
        body,
    };
    views.put(P::VIEW, KEY, &document, &[], expected).await
}

/// Returns the stored document of a projection, and the position of the last applied commit in the
/// feed (the sequence of all commits).
pub async fn stored<P: Projection>(views: &dyn Views) -> Result<(i64, P), Error> {
    match views.get(P::VIEW, KEY).await? {
        None => Ok((0, P::default())),
        Some(document) => {
            let read = serde_json::from_slice(&document.body).map_err(|error| {
                let what = format!("cannot read the projection {}", P::VIEW);
                Error::because(infra::Kind::Corrupt, what, error)
            })?;
            Ok((document.sequence, read))
        }
    }
}

/// Applies the events of one commit to the document of a projection. The personal values in the
/// events remain encrypted.
pub fn fold<P: Projection>(projection: &mut P, commit: &Commit) -> Result<(), Error> {
    if !P::AGGREGATES.contains(&events::aggregate_of(&commit.stream)) {
        return Ok(());
    }
    for (event, _) in decode_by(commit, AnyEvent::read)?.1 {
        projection.fold(&event);
    }
    Ok(())
}

/// The result of the function `replay`, which reads all commits from the start of the feed (the
/// sequence of all commits).
#[derive(Clone, Debug, Default)]
pub struct Replayed<P> {
    pub document: P,
    /// The position of the last applied commit in the feed (the sequence of all commits).
    pub position: i64,
    pub events: i64,
}

/// Builds the document of a projection from the start of the feed (the sequence of all commits).
/// The function stops at the first commit for which `includes` returns false. This commit is not
/// applied.
///
/// Calls `progress` with the current feed position after each read.
pub async fn replay<P: Projection>(
    ledger: &Ledger,
    includes: impl Fn(&Placed) -> bool,
    progress: impl Fn(i64),
) -> Result<Replayed<P>, Error> {
    let mut replayed = Replayed::default();
    loop {
        let page = ledger.store.feed(replayed.position, PAGE).await?;
        if page.is_empty() {
            return Ok(replayed);
        }
        for placed in &page {
            if !includes(placed) {
                return Ok(replayed);
            }
            fold(&mut replayed.document, &placed.commit)?;
            replayed.position = placed.position;
            replayed.events += placed.commit.n;
        }
        progress(replayed.position);
    }
}

#[cfg(feature = "local")]
async fn rebuild<P: Projection>(ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error> {
    let (reached, old) = stored::<P>(views).await?;
    let Replayed {
        document, position, ..
    } = replay::<P>(ledger, |placed| placed.position <= reached, |_| {}).await?;
    let different = u64::from(document != old);
    if different > 0 {
        put(views, reached, position, &document).await?;
    }
    Ok(Rebuilt {
        documents: 1,
        different,
    })
}

//! Reads and writes cards (stored summaries of streams). Personal values are decrypted after
//! reading, and encrypted before writing.

use domain::views::Card;
use infra::views::Document;
use infra::{Error, Ledger};

/// Reads a card (the stored summary of a stream) and decrypts its personal values. If the person of
/// a value was erased, the value is marked as erased.
pub async fn read_card<C: Card>(
    ledger: &Ledger,
    stream: &str,
    document: &Document,
) -> Result<C, Error> {
    let mut card: C = stored_card(stream, document)?;
    ledger.open(card.personals().into_iter()).await?;
    Ok(card)
}

/// Reads a card (the stored summary of a stream), but does not decrypt its personal values. Filters
/// do not need these values.
pub fn stored_card<C: Card>(stream: &str, document: &Document) -> Result<C, Error> {
    serde_json::from_slice(&document.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("cannot read the {} card of {stream}", C::VIEW),
            error,
        )
    })
}

/// Returns the bytes of a card (the stored summary of a stream) for writing. Each personal value is
/// encrypted with the key of its person.
pub(crate) async fn write_card<C: Card>(ledger: &Ledger, card: &C) -> Result<Vec<u8>, Error> {
    let mut sealed = card.clone();
    ledger.seal(sealed.personals().into_iter()).await?;
    serde_json::to_vec(&sealed)
        .map_err(|error| Error::because(infra::Kind::Corrupt, "cannot write a card", error))
}

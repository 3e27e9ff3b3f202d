//! Reads and writes cards (the stored summaries of streams). The personal values in a card are
//! encrypted before each write and decrypted after each read.

use domain::views::Card;
use infra::views::Document;
use infra::{Error, Ledger};

/// Returns the card (the stored summary) of a stream with decrypted personal values. `document` is
/// the stored form of the card. The values of an erased person cannot be decrypted and are marked
/// as erased.
pub async fn read_card<C: Card>(
    ledger: &Ledger,
    stream: &str,
    document: &Document,
) -> Result<C, Error> {
    let mut card: C = stored_card(stream, document)?;
    ledger.open(card.personals().into_iter()).await?;
    Ok(card)
}

/// Returns the card (the stored summary) of a stream without decrypting its personal values.
/// `document` is the stored form of the card. List filters use this function, because a filter
/// needs no personal values.
pub fn stored_card<C: Card>(stream: &str, document: &Document) -> Result<C, Error> {
    serde_json::from_slice(&document.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("cannot read the {} card of {stream}", C::VIEW),
            error,
        )
    })
}

/// Converts a card (the summary of a stream) to the bytes that are stored. Each personal value is
/// encrypted with the key of the person to whom the value belongs.
pub(crate) async fn write_card<C: Card>(ledger: &Ledger, card: &C) -> Result<Vec<u8>, Error> {
    let mut sealed = card.clone();
    ledger.seal(sealed.personals().into_iter()).await?;
    serde_json::to_vec(&sealed)
        .map_err(|error| Error::because(infra::Kind::Corrupt, "cannot write a card", error))
}

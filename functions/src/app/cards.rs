//! Reads and writes cards (the stored summaries of streams). Personal values in a stored card are
//! encrypted, so they are decrypted after reading and encrypted before writing.

use domain::views::Card;
use infra::views::Document;
use infra::{Error, Ledger};

/// Reads a card (the stored summary of a stream), and decrypts its personal values. If a person was
/// erased, the values of this person are marked as erased.
pub async fn read_card<C: Card>(
    ledger: &Ledger,
    stream: &str,
    document: &Document,
) -> Result<C, Error> {
    let mut card: C = stored_card(stream, document)?;
    ledger.open(card.personals().into_iter()).await?;
    Ok(card)
}

/// Reads a card (the stored summary of a stream) without decrypting its personal values. This
/// function is used by list filters, which do not need the personal values.
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

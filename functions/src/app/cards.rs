//! Reads and writes cards (the stored summaries of streams). The personal values in a card are
//! encrypted before each write and decrypted after each read.

use domain::views::Card;
use infra::views::{Document, Range};
use infra::{Error, Ledger};

use crate::App;

/// Number of documents that one read returns.
const READ_PAGE: usize = 100;

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

/// Selects some cards from an index. A card is the stored summary of one stream, and the index
/// sorts the cards by a value. The selected cards have a value between `from` and `to`.
pub struct CardList {
    pub index: &'static str,
    pub from: String,
    pub to: String,
}

impl CardList {
    /// Selects all cards (stored summaries of streams) in the given index.
    pub fn whole(index: &'static str) -> Self {
        Self {
            index,
            from: String::new(),
            to: "~".into(),
        }
    }
    /// Selects the cards (stored summaries of streams) that have exactly `value` in the given
    /// index.
    pub fn of(index: &'static str, value: &str) -> Self {
        Self {
            index,
            from: value.to_owned(),
            to: format!("{value}\u{1}"),
        }
    }
    /// Selects the cards (stored summaries of streams) by their value in the given index. The index value of a selected
    /// card begins with `value` and a vertical bar.
    pub fn below(index: &'static str, value: &str) -> Self {
        Self {
            index,
            from: format!("{value}|"),
            to: format!("{value}|~"),
        }
    }
}

/// One page of a list of stored documents. The documents have the same order as the list.
pub struct Documents {
    /// The number of entries in the whole list, and not only on this page.
    pub count: u64,
    /// The stream name and the document of each entry on this page. The document is `None` if the document
    /// does not exist any more.
    pub found: Vec<(String, Option<Document>)>,
}

/// Reads one page of the documents that `list` selects from an index, in descending order of the index
/// values. The first page has the number 1. `size` is the number of documents on one page.
pub async fn documents<C: Card>(
    app: &App,
    list: &CardList,
    page: usize,
    size: usize,
) -> Result<Documents, Error> {
    let (from, to) = (list.from.as_str(), list.to.as_str());
    let count = app.views.count(C::VIEW, list.index, from, to).await?;
    let range = Range {
        view: C::VIEW,
        index: list.index,
        from,
        to,
        descending: true,
        skip: (page - 1) * size,
        limit: size,
    };
    let keys = app.views.range(range).await?.into_iter();
    let found = documents_of(app, C::VIEW, keys.map(|entry| entry.key)).await?;
    Ok(Documents { count, found })
}

/// Reads the documents with the given keys from a view (a stored table). The result contains `None` for a
/// missing document.
pub async fn documents_of(
    app: &App,
    view: &str,
    keys: impl Iterator<Item = String> + Send,
) -> Result<Vec<(String, Option<Document>)>, Error> {
    let keys: Vec<String> = keys.collect();
    let mut found = Vec::with_capacity(keys.len());
    for page in keys.chunks(READ_PAGE) {
        let read: Vec<(&str, &str)> = page.iter().map(|key| (view, key.as_str())).collect();
        let documents = app.views.get_all(&read).await?;
        found.extend(page.iter().cloned().zip(documents));
    }
    Ok(found)
}

impl Documents {
    /// Returns a hash of this page. The hash changes if a document changes, or if the page contains other documents.
    /// The hash also includes the bytes in `context`. The function reads no personal values.
    pub fn version(&self, context: &[u8]) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(context).update(&self.count.to_be_bytes());
        for (key, document) in &self.found {
            let sequence = document.as_ref().map_or(0, |document| document.sequence);
            hasher
                .update(key.as_bytes())
                .update(&sequence.to_be_bytes());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Returns the stream name and the card (the stored summary of a stream) of each document, with decrypted
    /// personal values. Missing documents are skipped.
    pub async fn cards<C: Card>(&self, ledger: &Ledger) -> Result<Vec<(String, C)>, Error> {
        let mut cards = Vec::new();
        for (stream, document) in &self.found {
            if let Some(document) = document {
                let card: C = read_card(ledger, stream, document).await?;
                cards.push((stream.clone(), card));
            }
        }
        Ok(cards)
    }
}

//! Reads and writes cards (the stored summaries of streams). The personal values in a card are
//! encrypted before each write and decrypted after each read.

use domain::views::Card;
use infra::views::{Document, Range};
use infra::{Error, Ledger};

use crate::App;

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
    /// Selects the cards (stored summaries of streams) whose value in the given index begins with
    /// `value` and a vertical bar.
    pub fn below(index: &'static str, value: &str) -> Self {
        Self {
            index,
            from: format!("{value}|"),
            to: format!("{value}|~"),
        }
    }

    /// Returns the range of index entries of one page.
    fn range<C: Card>(&self, page: usize, size: usize) -> Range<'_> {
        Range {
            view: C::VIEW,
            index: self.index,
            from: &self.from,
            to: &self.to,
            descending: true,
            skip: (page - 1) * size,
            limit: size,
        }
    }
}

/// One page of the selected cards (stored summaries of streams), latest first.
pub struct CardPage<C> {
    /// The number of all selected cards.
    pub count: u64,
    /// The stream name and the card of each stream on this page.
    pub cards: Vec<(String, C)>,
}

/// Returns one page of the selected cards. The first page has the number 1. `size` is the number of cards on
/// one page.
pub async fn page<C: Card>(
    app: &App,
    list: &CardList,
    page: usize,
    size: usize,
) -> Result<CardPage<C>, Error> {
    let (from, to) = (list.from.as_str(), list.to.as_str());
    let count = app.views.count(C::VIEW, list.index, from, to).await?;
    let mut cards = Vec::new();
    for entry in app.views.range(list.range::<C>(page, size)).await? {
        if let Some(document) = app.views.get(C::VIEW, &entry.key).await? {
            let card: C = read_card(&app.ledger, &entry.key, &document).await?;
            cards.push((entry.key, card));
        }
    }
    Ok(CardPage { count, cards })
}

/// Returns a hash that changes whenever a card of the page changes, and whenever a card enters or leaves the
/// page. The function reads no personal values.
pub async fn version<C: Card>(
    app: &App,
    list: &CardList,
    page: usize,
    size: usize,
) -> Result<String, Error> {
    let (from, to) = (list.from.as_str(), list.to.as_str());
    let count = app.views.count(C::VIEW, list.index, from, to).await?;
    let entries = app.views.range(list.range::<C>(page, size)).await?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&count.to_be_bytes());
    for entry in entries {
        hash_document(app, C::VIEW, &entry.key, &mut hasher).await?;
    }
    Ok(short(&hasher))
}

/// Adds the key and the sequence number of a stored document to a hash.
pub(crate) async fn hash_document(
    app: &App,
    view: &str,
    key: &str,
    hasher: &mut blake3::Hasher,
) -> Result<(), Error> {
    let document = app.views.get(view, key).await?;
    let sequence = document.map_or(0, |document| document.sequence);
    hasher
        .update(key.as_bytes())
        .update(&sequence.to_be_bytes());
    Ok(())
}

/// Returns the first 16 hexadecimal digits of a hash.
pub(crate) fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..16].to_owned()
}

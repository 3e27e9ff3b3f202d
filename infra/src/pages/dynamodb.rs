//! Stores feed pages (parts of the ordered list of all commits) on DynamoDB, with one item per
//! page. A put fails if an item with the same page number exists.
//!
//! | attribute | content |
//! | --- | --- |
//! | `p`, `s` | `feed`, page number |
//! | `o` | feed position of the first entry |
//! | `t` | time of the put, milliseconds |
//! | `f` | feed hash before the first entry |
//! | `v`, `h` | hash of the previous page, hash of this page |
//! | `r` | Merkle root of the commit hashes |
//! | `a` | name of the archive object (the commit bodies) |
//! | `b` | content of the archive object, if it is small |
//! | `e` | the compressed entries, one per line |

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use events::Moment;

use super::{ENTRIES_BYTES_MAX, Page, Pages};
use crate::Error;
use crate::commit::compress::{compress, decompress};
use crate::sdk::Item;
use crate::sdk::{Table, failed, item_bytes};

/// The partition key of all feed pages (parts of the ordered list of all commits). One partition is
/// enough, because even a desk with many requests writes only a few pages per second.
const FEED: &str = "feed";

/// Feed pages in one DynamoDB table.
#[derive(Clone, Debug)]
pub struct Dynamodb {
    table: Table,
}

impl Dynamodb {
    pub fn new(table: Table) -> Self {
        Self { table }
    }
}

fn item(page: &Page) -> Item {
    let bytes = |bytes: &[u8]| AttributeValue::B(Blob::new(bytes));
    let mut item = Item::from([
        ("p".into(), AttributeValue::S(FEED.into())),
        ("s".into(), AttributeValue::N(page.number.to_string())),
        ("o".into(), AttributeValue::N(page.base.to_string())),
        ("t".into(), AttributeValue::N(page.at.0.to_string())),
        ("f".into(), bytes(&page.feed_hash_before)),
        ("v".into(), bytes(&page.previous)),
        ("h".into(), bytes(&page.hash())),
        ("r".into(), bytes(&page.root())),
        ("a".into(), AttributeValue::S(page.archive.clone())),
        ("e".into(), bytes(&compress(page.text().as_bytes()))),
    ]);
    if let Some(inline) = &page.inline {
        item.insert("b".into(), bytes(inline));
    }
    item
}

/// Converts a DynamoDB item to a page. Returns an error if the stored hash or Merkle root differs
/// from the values that are computed from the page.
fn page(item: &Item) -> Result<Page, Error> {
    let number = |what: &str| item.get(what)?.as_n().ok()?.parse::<i64>().ok();
    let bytes = |what: &str| Some(item.get(what)?.as_b().ok()?.as_ref());
    let read = || {
        let entries = decompress(bytes("e")?, ENTRIES_BYTES_MAX).ok()?;
        Some(Page {
            number: number("s")?,
            base: number("o")?,
            at: Moment(number("t")?),
            feed_hash_before: bytes("f")?.try_into().ok()?,
            previous: bytes("v")?.try_into().ok()?,
            inline: bytes("b").map(<[u8]>::to_vec),
            archive: item.get("a")?.as_s().ok()?.clone(),
            entries: Page::entries(std::str::from_utf8(&entries).ok()?)?,
        })
    };
    let name = number("s").map_or_else(|| "?".to_owned(), |number| number.to_string());
    let page =
        read().ok_or_else(|| Error::corrupt(format!("page {name} of the feed cannot be read")))?;
    if bytes("h") != Some(&page.hash()) || bytes("r") != Some(&page.root()) {
        return Err(Error::corrupt(format!(
            "page {name} of the feed does not match its hash: its content was changed"
        )));
    }
    Ok(page)
}

#[async_trait]
impl Pages for Dynamodb {
    async fn put(&self, page: &Page) -> Result<bool, Error> {
        let item = item(page);
        let bytes = item_bytes(&item);
        match self.table.put(item).condition_expression("attribute_not_exists(p)").send().await {
            Ok(put) => {
                self.table.wrote("page put", bytes, put.consumed_capacity());
                Ok(true)
            }
            Err(error) if error.as_service_error().is_some_and(aws_sdk_dynamodb::operation::put_item::PutItemError::is_conditional_check_failed_exception) => {
                // The put was rejected, because a page with this number exists. An earlier attempt
                // may have stored the page, but its response was lost. If the stored page is equal
                // to this page, the function therefore returns true.
                Ok(self.get(page.number).await?.is_some_and(|stored| stored == *page))
            }
            Err(error) => Err(failed(&format!("put page {} into {}", page.number, self.table.name), error)),
        }
    }

    async fn get(&self, number: i64) -> Result<Option<Page>, Error> {
        let key = [
            ("p".to_owned(), AttributeValue::S(FEED.into())),
            ("s".to_owned(), AttributeValue::N(number.to_string())),
        ];
        self.table
            .get("page get", key)
            .await?
            .as_ref()
            .map(page)
            .transpose()
    }

    async fn newest(&self) -> Result<Option<Page>, Error> {
        let found = self
            .table
            .query()
            .key_condition_expression("p = :p")
            .expression_attribute_values(":p", AttributeValue::S(FEED.into()))
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| {
                failed(
                    &format!("read the newest page from {}", self.table.name),
                    error,
                )
            })?;
        let bytes = found.items().iter().map(item_bytes).sum();
        self.table
            .read("page newest", bytes, found.consumed_capacity());
        found.items().first().map(page).transpose()
    }
}

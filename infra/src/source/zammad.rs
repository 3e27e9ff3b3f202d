//! Reads webhooks of Zammad. The header `X-Hub-Signature` contains the HMAC-SHA1 of the body, and `X-Zammad-Delivery` is
//! an id of the message (reference/fleet.md 2.11). A record is the ticket, without its articles.

use serde_json::Value;

use super::{Delivered, NotDelivered, Signature, Source, json};

/// The implementation of [`Source`] for Zammad.
#[derive(Clone, Copy, Debug)]
pub struct Zammad;

impl Source for Zammad {
    fn name(&self) -> &'static str {
        "zammad"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha1("x-hub-signature"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-zammad-delivery")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let mut body = json(body)?;
        match body.get_mut("ticket").map(Value::take) {
            Some(ticket @ Value::Object(_)) => Ok(Delivered::Records(vec![ticket])),
            _ => Err(NotDelivered::Unreadable("`ticket` is required".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_record_is_the_ticket_without_its_article() {
        let ticket = json!({ "id": 81, "number": "10081", "title": "Order 787556", "updated_at": "2026-11-18T23:42:53Z" });
        let body = json!({ "ticket": ticket, "article": { "body": "text" } });
        let read = Zammad.read(body.to_string().as_bytes());
        assert_eq!(read, Ok(Delivered::Records(vec![ticket])));
        assert!(Zammad.read(br#"{"article":{}}"#).is_err());
    }
}

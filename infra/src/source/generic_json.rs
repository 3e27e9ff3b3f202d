//! Reads messages of any system that sends JSON. A message is one record, a list of records, or an object with the list
//! `records`. A signed message has the header `X-Signature-256`: `sha256=` and the HMAC-SHA256 of the body.

use super::{Delivered, NotDelivered, Signature, Source, json, records_of};

/// The implementation of [`Source`] for any system that sends JSON.
#[derive(Clone, Copy, Debug)]
pub struct GenericJson;

impl Source for GenericJson {
    fn name(&self) -> &'static str {
        "generic_json"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha256("x-signature-256"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-delivery-id")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        records_of(json(body)?, "records")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_a_record_or_a_list() {
        let read = |text: &str| GenericJson.read(text.as_bytes());
        let records = |list| Ok(Delivered::Records(list));
        assert_eq!(read(r#"{"id":1}"#), records(vec![json!({ "id": 1 })]));
        assert_eq!(read(r#"[{"id":1}]"#), records(vec![json!({ "id": 1 })]));
        assert_eq!(
            read(r#"{"records":[{"id":1},{"id":2}]}"#),
            records(vec![json!({ "id": 1 }), json!({ "id": 2 })])
        );
        assert_eq!(
            read(r#"[{"id":1},2]"#),
            Err(NotDelivered::Unreadable("record 1 is not an object".into()))
        );
        let many = format!("[{}{{}}]", "{},".repeat(100));
        assert!(read(&many).is_err());
    }
}

//! Reads messages of ServiceNow: outbound REST messages of a flow or a business rule, with a record of the Table API. A
//! message is one record, or an object with the record or the list of records in `result`, as the Table API returns it.
//! ServiceNow does not sign messages; a script can sign them as those of the kind `generic_json`.

use super::{Delivered, NotDelivered, Signature, Source, json, records_of};

/// The implementation of [`Source`] for ServiceNow.
#[derive(Clone, Copy, Debug)]
pub struct ServiceNow;

impl Source for ServiceNow {
    fn name(&self) -> &'static str {
        "servicenow"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha256("x-signature-256"))
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        records_of(json(body)?, "result")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_a_record_or_a_response_of_the_table_api() {
        let record = json!({ "sys_id": "46d44a23a9fe19810012d100cca80666", "number": "INC0010112", "sys_mod_count": "4" });
        for body in [
            record.clone(),
            json!({ "result": record }),
            json!({ "result": [record] }),
        ] {
            let read = ServiceNow.read(body.to_string().as_bytes());
            assert_eq!(read, Ok(Delivered::Records(vec![record.clone()])));
        }
    }
}

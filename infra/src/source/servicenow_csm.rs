//! Works with the customer service cases of ServiceNow (Customer Service Management), which are the records of a CRM. The URL
//! of the integration is the URL of the instance, such as `https://<instance>.service-now.com`. The cases are in the table
//! `sn_customerservice_case` of the Table API; messages and requests are those of the kind `servicenow`.
//!
//! Remarks become work notes, which the customer does not see.

use domain::api_call::plan::PlannedRequest;
use serde_json::Value;

use super::servicenow::ServiceNow;
use super::{
    Account, Answer, Api, Changes, Delivered, NotDelivered, Page, RecordWrite, Signature, Source,
};
use crate::http::{HttpError, HttpResponse};

/// The path of the table below the URL of the instance.
const TABLE: &str = "api/now/table/sn_customerservice_case";

/// The implementation of [`Source`] for the customer service cases of ServiceNow.
#[derive(Clone, Copy, Debug)]
pub struct ServiceNowCsm;

/// Returns the account with the URL of the table.
fn at_table(account: &Account) -> Account {
    let mut at_table = account.clone();
    let instance = account.integration.url.trim_end_matches('/');
    at_table.integration.url = format!("{instance}/{TABLE}");
    at_table
}

impl Source for ServiceNowCsm {
    fn name(&self) -> &'static str {
        "servicenow_csm"
    }

    fn signature(&self) -> Option<Signature> {
        ServiceNow.signature()
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        ServiceNow.read(body)
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

impl Changes for ServiceNowCsm {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        ServiceNow.changed(&at_table(account), cursor, size)
    }

    fn page(
        &self,
        account: &Account,
        cursor: &str,
        size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        ServiceNow.page(account, cursor, size, response)
    }
}

impl Api for ServiceNowCsm {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        ServiceNow.one(&at_table(account), record)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        ServiceNow.record(response)
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        ServiceNow.write(&at_table(account), write)
    }

    fn notes(&self, account: &Account, record: &str) -> PlannedRequest {
        ServiceNow.notes(&at_table(account), record)
    }

    fn read_notes(&self, response: &Result<HttpResponse, HttpError>) -> Answer<String> {
        ServiceNow.read_notes(response)
    }
}

#[cfg(test)]
mod tests {
    use events::integration::Defined;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_requests_are_about_the_table_of_customer_service_cases() {
        let account = Account {
            integration: Defined {
                url: "https://x.service-now.com/".into(),
                user: "desk".into(),
                ..Defined::default()
            },
            secret: "s3cret".into(),
        };
        let table = "https://x.service-now.com/api/now/table/sn_customerservice_case";
        let write = RecordWrite {
            record: "46d4",
            status: None,
            assignee: None,
            note: "INC1",
        };
        let written = ServiceNowCsm.write(&account, &write);
        assert_eq!(written.method, "PATCH");
        assert_eq!(written.body, Some(json!({ "work_notes": "INC1" })));
        for planned in [
            ServiceNowCsm.one(&account, "46d4"),
            ServiceNowCsm.notes(&account, "46d4"),
            written,
        ] {
            let url = planned.url;
            assert!(url.starts_with(&format!("{table}/46d4?")), "{url}");
        }
        let changed = ServiceNowCsm.changed(&account, "", 100).url;
        assert!(
            changed.starts_with(&format!("{table}?sysparm_query=")),
            "{changed}"
        );
        let body = r#"{"result":{"number":"CS0001042","state":"10"}}"#;
        assert_eq!(
            ServiceNowCsm.record(&Ok(HttpResponse::of(200, body.as_bytes()))),
            Answer::Done(json!({ "number": "CS0001042", "state": "10" }))
        );
        let notes = ServiceNowCsm.read_notes(&Ok(HttpResponse::of(200, body.as_bytes())));
        assert!(matches!(notes, Answer::Unclear(_)), "{notes:?}");
    }
}

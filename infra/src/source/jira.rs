//! Reads webhooks of Jira and Jira Service Management. With a secret, the header `X-Hub-Signature` contains the
//! HMAC-SHA256 of the body, and `X-Atlassian-Webhook-Identifier` is the same for each repetition (reference/fleet.md
//! 2.11). A record is the issue.

use serde_json::Value;

use super::{Delivered, NotDelivered, Signature, Source, json};

/// The implementation of [`Source`] for Jira.
#[derive(Clone, Copy, Debug)]
pub struct Jira;

impl Source for Jira {
    fn name(&self) -> &'static str {
        "jira"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha256("x-hub-signature"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-atlassian-webhook-identifier")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let mut body = json(body)?;
        let event = body["webhookEvent"].as_str().unwrap_or_default();
        // An event of another object, such as a sprint, has no issue.
        if !event.is_empty() && !event.starts_with("jira:issue_") && !event.starts_with("comment_")
        {
            return Ok(Delivered::Records(Vec::new()));
        }
        match body.get_mut("issue").map(Value::take) {
            Some(issue @ Value::Object(_)) => Ok(Delivered::Records(vec![issue])),
            _ => Err(NotDelivered::Unreadable("`issue` is required".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_record_is_the_issue() {
        let read = |body: Value| Jira.read(body.to_string().as_bytes());
        let issue =
            json!({ "id": "10002", "key": "ITSM-5", "fields": { "summary": "No network" } });
        for event in [
            "jira:issue_created",
            "jira:issue_updated",
            "comment_created",
        ] {
            let body = json!({ "timestamp": 1, "webhookEvent": event, "issue": issue });
            assert_eq!(read(body), Ok(Delivered::Records(vec![issue.clone()])));
        }
        let sprint = json!({ "webhookEvent": "sprint_started", "sprint": { "id": 1 } });
        assert_eq!(read(sprint), Ok(Delivered::Records(Vec::new())));
        let without = json!({ "webhookEvent": "jira:issue_created" });
        assert!(read(without).is_err());
    }
}

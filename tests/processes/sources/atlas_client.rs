//! Works in Atlas CMMS over its API. The commands are those of `tests/foreign/ticket_clients.py`.

use reqwest::Method;
use serde_json::{Map, Value, json};
use tests::process::client;

/// Number of work orders on one page of a search.
const PAGE_SIZE: usize = 50;

/// An account of Atlas CMMS.
struct Account<'a> {
    url: &'a str,
    key: &'a str,
}

impl Account<'_> {
    /// Sends a request, and returns the status and the body of the response. The body is null if it is not JSON.
    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = client()
            .request(method, format!("{}/work-orders{path}", self.url))
            .header("x-api-key", self.key)
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = request.send().await.expect("a response");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn open(&self, title: &str) -> String {
        let body = json!({ "title": title, "description": "No paper", "priority": "MEDIUM" });
        let (status, order) = self.send(Method::POST, "", &body).await;
        assert_eq!(status, 200, "{order}");
        order["id"].to_string()
    }

    async fn set(&self, id: &str, status: &str) -> (u16, Value) {
        let path = format!("/{id}/change-status");
        let body = json!({ "status": status, "feedback": "by a person" });
        self.send(Method::PATCH, &path, &body).await
    }

    /// Returns the work orders that meet the conditions, page by page.
    async fn search(&self, conditions: &Value) -> Vec<Value> {
        let mut found = Vec::new();
        for page in 0.. {
            let body = json!({
                "filterFields": conditions, "sortField": "id", "direction": "ASC", "pageNum": page, "pageSize": PAGE_SIZE,
            });
            let (status, mut answer) = self.send(Method::POST, "/search", &body).await;
            assert_eq!(status, 200, "{answer}");
            let Value::Array(orders) = answer["content"].take() else {
                panic!("no list: {answer}")
            };
            found.extend(orders);
            if answer["last"] == true {
                break;
            }
        }
        found
    }

    /// Creates, reads, changes and finds work orders, and checks every result. Returns the number of operations.
    async fn exercise(&self) -> usize {
        let mut operations = 0;
        let stranger = Account {
            url: self.url,
            key: "unknown",
        };
        let (status, _) = stranger.send(Method::POST, "", &json!({})).await;
        assert_eq!(status, 403);
        for number in 0..=PAGE_SIZE {
            self.open(&format!("Pump {number}")).await;
            operations += 1;
        }
        let orders = self.search(&json!([])).await;
        assert_eq!(orders.len(), PAGE_SIZE + 1);
        let id = orders[0]["id"].to_string();
        for (status, expected) in [("IN_PROGRESS", 200), ("COMPLETE", 200), ("CANCELED", 500)] {
            let (code, answer) = self.set(&id, status).await;
            assert_eq!(code, expected, "{answer}");
            operations += 1;
        }
        let (status, order) = self
            .send(Method::GET, &format!("/{id}"), &Value::Null)
            .await;
        assert_eq!(
            (status, &order["status"], &order["feedback"]),
            (200, &json!("COMPLETE"), &json!("by a person"))
        );
        let condition = json!([{ "field": "status", "operation": "in", "values": ["OPEN"], "enumName": "STATUS" }]);
        assert_eq!(self.search(&condition).await.len(), PAGE_SIZE);
        let (status, _) = self.send(Method::GET, "/9999", &Value::Null).await;
        assert_eq!(status, 404);
        operations + 5
    }
}

/// Runs a command, and returns its result.
pub(super) async fn run(url: &str, key: &str, arguments: &[&str]) -> Value {
    let account = Account { url, key };
    match arguments {
        ["exercise"] => account.exercise().await.into(),
        ["open", count] => {
            let count: usize = count.parse().expect("a number");
            let mut ids = Vec::new();
            for number in 1..=count {
                ids.push(account.open(&format!("Printer {number}")).await);
            }
            ids.into()
        }
        ["set", id, status] => {
            let (code, answer) = account.set(id, status).await;
            assert_eq!(code, 200, "{answer}");
            Value::Null
        }
        ["state"] => {
            let orders = account.search(&json!([])).await;
            let states = orders
                .iter()
                .map(|order| (order["id"].to_string(), order["status"].clone()));
            Value::Object(states.collect::<Map<String, Value>>())
        }
        other => panic!("unknown command {other:?}"),
    }
}

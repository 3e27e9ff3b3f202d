//! This test checks a case (a record of an external system) that the deployed functions receive. The
//! function `command` stores the case and opens its ticket.

use functions::app::itsm::integrations::Definitions;
use reqwest::Method;
use serde_json::json;
use tests::process::free_port;

use crate::TestDesk;
use crate::desk::send;

#[tokio::test]
async fn a_case_opens_one_ticket_through_deployed_functions() {
    let desk = TestDesk::open().await;
    // The desk in the cloud keeps the data of earlier test runs. Each run therefore uses a name of its own.
    let source = format!("crm_{}", free_port());
    let definitions = format!(
        "[[integration]]\nname = \"{source}\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"\n",
        desk.caller.0
    );
    let mapping = "record = \"/id\"\nupdate = { counter = \"/version\" }\nservice = { value = 17 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"\n";
    let read = |_: &std::path::Path| Ok(mapping.to_owned());
    let definitions = Definitions::read(&definitions, &read).expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    let post = async |version: i64, title: &str| {
        let case = json!({ "id": 7, "version": version, "title": title });
        let body = json!({ "source": source, "cases": [case, { "id": 8, "version": 1 }] });
        let answer = send(desk.v1(Method::POST, "cases", "lisi").json(&body)).await;
        let results = answer["results"].as_array().cloned();
        results.expect("results")
    };
    let first = post(1, "printer").await;
    assert_eq!(first[0]["outcome"], "opened", "{first:?}");
    assert_eq!(first[1]["outcome"], "refused", "{first:?}");
    assert_eq!(first[1]["field"], "title");
    let sn = first[0]["ticket"].as_str().expect("a ticket").to_owned();
    let again = post(1, "printer").await;
    assert_eq!(
        (&again[0]["outcome"], &again[0]["ticket"]),
        (&json!("unchanged"), &json!(sn))
    );
    let changed = post(2, "printer on floor 2").await;
    assert_eq!(changed[0]["ticket"], json!(sn), "{changed:?}");
    let shown = send(desk.v1(Method::GET, &format!("tickets/{sn}"), "admin")).await;
    assert_eq!(shown["title"], "printer on floor 2", "{shown}");
}

//! Who may call, and how a person is forgotten.

use axum::http::{Request, StatusCode};
use events::TicketSn;
use serde_json::json;
use tests::{PLAIN, TRUSTED, approval_request};

use crate::House;

#[tokio::test]
async fn an_unknown_caller_gets_a_plain_403() {
    let house = House::open().await;
    let get = async |query: &str| {
        let request = Request::get(format!("/api/c/compapi/v2/itsm/get_services/?{query}")).body(axum::body::Body::empty()).unwrap();
        let (status, body) = house.send(request).await;
        (status, String::from_utf8(body).unwrap())
    };
    for query in [
        String::new(),
        format!("bk_app_code={}", TRUSTED.0),
        format!("bk_app_code={}&bk_app_secret=wrong", TRUSTED.0),
        format!("bk_app_code=nobody&bk_app_secret={}", TRUSTED.1),
        format!("bk_app_code={}&bk_app_secret={}", PLAIN.0, PLAIN.1),
        format!("bk_app_code={}&bk_app_secret={}&bk_username=lisi", PLAIN.0, PLAIN.1),
        format!("bk_app_code={}&bk_app_secret={}&bk_token=made-up", PLAIN.0, PLAIN.1),
    ] {
        let (status, body) = get(&query).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{query}");
        assert!(body.starts_with("Forbidden"), "not the envelope: {body}");
    }
    for query in [
        format!("bk_app_code={}&bk_app_secret={}&bk_token=lisi-is-logged-in", PLAIN.0, PLAIN.1),
        format!("bk_app_code={}&bk_app_secret={}", TRUSTED.0, TRUSTED.1),
        format!("app_code={}&app_secret={}&bk_username=lisi", TRUSTED.0, TRUSTED.1),
    ] {
        assert_eq!(get(&query).await.0, StatusCode::OK, "{query}");
    }
}

#[tokio::test]
async fn credentials_may_come_in_the_gateway_header() {
    let house = House::open().await;
    let carried = json!({ "bk_app_code": TRUSTED.0, "bk_app_secret": TRUSTED.1, "bk_username": "lisi" }).to_string();
    let request = Request::post("/prod/v2/itsm/create_ticket").header("x-bkapi-authorization", carried);
    let mut body = approval_request();
    body.as_object_mut().unwrap().remove("creator");
    let (status, answer) = house.send(request.body(body.to_string().into()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let info = house.must("get_ticket_info", json!({ "sn": answer["data"]["sn"] })).await;
    assert_eq!(info["creator"], "lisi", "the calling user is the creator where none is named");
}

#[tokio::test]
async fn a_forgotten_person_leaves_a_proof_that_still_holds() {
    let house = House::open().await;
    let sn = house.must("create_ticket", approval_request()).await["sn"].clone();
    let stored = house.app.ledger.store.back(&format!("ticket-{}", sn.as_str().unwrap()), None, 10).await.unwrap();
    let text: String = stored.iter().map(|commit| String::from_utf8_lossy(&commit.body).into_owned()).collect();
    assert!(!text.contains("13800000000") && !text.contains("lisi"), "neither the phone number nor the name is in the ledger");
    let phone = |info: &serde_json::Value| info["fields"].as_array().unwrap().iter().find(|field| field["key"] == "LIANXIDIANHUA").unwrap()["value"].clone();
    assert_eq!(phone(&house.must("get_ticket_info", json!({ "sn": sn })).await), "13800000000");

    let lisi = house.app.ledger.keys.find("lisi").await.unwrap().expect("lisi");
    assert!(house.app.ledger.forget(&lisi).await.unwrap());
    let info = house.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!((phone(&info), &info["creator"]), (json!("Erased"), &json!(lisi.as_str())));
    // The ticket goes on: deciding and folding are total over what is gone.
    let fields = tests::form(&[("FZR_YIJIAN", "true")]);
    house.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await;
    let verdict = functions::cli::audit::verify_ledger(&house.app.ledger, &[], &mut |_| {}).await.unwrap();
    assert!(verdict.is_ok(), "{:?}", verdict.findings);
    let card = functions::desk::card(&house.app, &TicketSn(sn.as_str().unwrap().into())).await.unwrap().unwrap();
    assert!(card.ticket.form["LIANXIDIANHUA"].is_erased());
}

/// Where anybody may act, somebody new gets a person id first: a name never stands in the ledger.
#[tokio::test]
async fn a_stranger_at_an_open_node_becomes_a_person() {
    let house = House::open().await;
    let workflow = house.app.configuration.workflow(events::WorkflowId(11), 1).await.unwrap().unwrap();
    let mut deployed = (*workflow).clone();
    deployed.workflow = events::WorkflowId(903);
    deployed.definition.nodes[2].processors = events::workflow::Processors::Open;
    let wish = infra::Wish { stream: "workflow-903".into(), command_id: [1; 16], meta: events::Meta::system("t", "t") };
    house
        .app
        .ledger
        .execute::<domain::workflow::Workflow>(&wish, &domain::workflow::Command::DeployVersion(Box::new(deployed)), &infra::ledger::NoLookups)
        .await
        .unwrap();
    let mut body = approval_request();
    body["service_id"] = crate::errors::define(&house, |service| service.workflow = events::WorkflowId(903), true).await.into();
    let sn = house.must("create_ticket", body).await["sn"].clone();
    let vote =
        |pass: &str| json!({ "sn": sn, "operator": "xinren", "state_id": 3, "action_type": "TRANSITION", "fields": tests::form(&[("FZR_YIJIAN", pass)]) });
    assert_eq!(house.refused("operate_node", vote("maybe")).await.0, 3_900_005);
    assert_eq!(house.app.ledger.keys.find("xinren").await.unwrap(), None, "a refused wish registers nobody");
    house.must("operate_node", vote("true")).await;
    let stored = house.app.ledger.store.back(&format!("ticket-{}", sn.as_str().unwrap()), None, 10).await.unwrap();
    assert!(stored.iter().all(|commit| !String::from_utf8_lossy(&commit.body).contains("xinren")));
    assert_eq!(house.must("get_ticket_info", json!({ "sn": sn })).await["updated_by"], "lisi,xinren");
}

//! Who may call, and how a person is forgotten.

use axum::http::{Request, StatusCode};
use events::TicketSn;
use serde_json::json;
use tests::{House, PLAIN, TRUSTED, approval_request};

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
    assert!(house.app.ledger.keys.erase(&lisi).await.unwrap());
    let info = house.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!((phone(&info), &info["creator"]), (json!("Erased"), &json!(lisi.as_str())));
    // The ticket goes on: deciding and folding are total over what is gone.
    let fields = tests::form(&[("FZR_YIJIAN", "true")]);
    house.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await;
    let verdict = functions::cli::audit::verify_ledger(&house.app.ledger, &[], &mut |_| {}).await.unwrap();
    assert!(verdict.is_ok(), "{:?}", verdict.findings);
    let card = functions::desk::card(&house.app.ledger, &TicketSn(sn.as_str().unwrap().into())).await.unwrap().unwrap();
    assert!(card.ticket.form["LIANXIDIANHUA"].is_erased());
}

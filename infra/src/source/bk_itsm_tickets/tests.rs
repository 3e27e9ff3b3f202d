//! Tests the requests about tickets of another BlueKing ITSM, and the meaning of its responses.

use events::integration::Defined;

use super::*;
use crate::source::StatusWrite;

fn account(filter: &str) -> Account {
    Account {
        integration: Defined {
            name: "branch".into(),
            kind: "bk_itsm_tickets".into(),
            url: "https://itsm.example.com/".into(),
            app: "desk".into(),
            user: "admin".into(),
            filter: filter.into(),
            ..Defined::default()
        },
        secret: "s3cret".into(),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the functions under test take the result of a request"
)]
fn response(body: &Value) -> Result<HttpResponse, HttpError> {
    Ok(HttpResponse::of(200, body.to_string().as_bytes()))
}

fn done(data: &Value) -> Result<HttpResponse, HttpError> {
    response(&json!({ "result": true, "code": 0, "message": "", "data": data }))
}

fn refused(code: &Value) -> Result<HttpResponse, HttpError> {
    response(&json!({ "result": false, "code": code, "message": "m", "data": null }))
}

fn ticket(status: &str, nodes: &[(i64, &str)]) -> Value {
    let steps: Vec<Value> = nodes
        .iter()
        .map(|(id, status)| json!({ "state_id": id, "status": status }))
        .collect();
    json!({ "sn": "REQ1", "current_status": status, "current_steps": steps })
}

#[test]
fn the_tickets_of_the_filter_are_read_page_by_page() {
    let filter = "service_id__in=18,19&current_status__in=RUNNING";
    let planned = BkItsmTickets.changed(&account(filter), "2", 100);
    assert_eq!(
        planned.url,
        "https://itsm.example.com/api/c/compapi/v2/itsm/get_tickets/"
    );
    let body = planned.body.expect("a body");
    assert_eq!(
        (
            &body["service_id__in"],
            &body["current_status__in"],
            &body["page"]
        ),
        (&json!([18, 19]), &json!(["RUNNING"]), &json!(2))
    );
    let page = |cursor: &str, response: &Result<HttpResponse, HttpError>| {
        BkItsmTickets.page(&account(""), cursor, 100, response)
    };
    let items = json!([{ "sn": "REQ1", "update_at": "2026-11-22 10:00:07", "end_at": null }]);
    let first = done(&json!({ "items": items, "total_page": 2, "page": 1 }));
    let Answer::Done(read) = page("", &first) else {
        panic!("a page")
    };
    assert_eq!(
        (read.records.len(), read.cursor.as_str(), read.has_more),
        (1, "2", true)
    );
    let record = json!({ "sn": "REQ1", "update_at": "2026-11-22T10:00:07+08:00", "end_at": null });
    assert_eq!(read.records, [record]);
    let last = Answer::Done(Page {
        records: Vec::new(),
        cursor: String::new(),
        has_more: false,
    });
    assert_eq!(page("2", &refused(&json!("VALIDATE_ERROR"))), last);
    assert!(matches!(
        page("", &refused(&json!("VALIDATE_ERROR"))),
        Answer::Rejected(_)
    ));
    assert!(matches!(page("", &done(&json!([]))), Answer::Unclear(_)));
    assert!(matches!(
        page("", &refused(&json!(1_640_101))),
        Answer::NotSent(_)
    ));
    for wrong in ["service_id", "page=2", "service_id__in="] {
        let reason = BkItsmTickets.check_filter(wrong).expect_err("a reason");
        assert!(reason.contains("service_id__in"), "{reason}");
    }
}

#[test]
fn the_only_running_node_is_operated() {
    let route = |ticket: &Value, status: &str| BkItsmTickets.route(ticket, &json!(status));
    let running = ticket("RUNNING", &[(3, "RUNNING")]);
    assert_eq!(route(&running, "FINISHED").as_deref(), Ok("TRANSITION 3"));
    assert_eq!(route(&running, "TERMINATED").as_deref(), Ok("TERMINATE 3"));
    for (ticket, status) in [
        (&running, "SUSPENDED"),
        (&ticket("FINISHED", &[]), "FINISHED"),
        (&ticket("RUNNING", &[(3, "RECEIVING")]), "FINISHED"),
        (
            &ticket("RUNNING", &[(3, "RUNNING"), (4, "RUNNING")]),
            "FINISHED",
        ),
    ] {
        assert!(route(ticket, status).is_err(), "{ticket} {status}");
    }
    let (status, also) = (
        json!("FINISHED"),
        Map::from_iter([("fields".to_owned(), json!([{ "key": "k", "value": "v" }]))]),
    );
    let write = RecordWrite {
        record: "REQ1",
        status: Some(StatusWrite {
            status: &status,
            pointer: "/current_status",
            also: &also,
            route: "TRANSITION 3",
        }),
        assignee: None,
        note: "n",
    };
    let planned = BkItsmTickets.write(&account(""), &write);
    assert!(planned.url.ends_with("/operate_node/"), "{}", planned.url);
    let body = planned.body.expect("a body");
    assert_eq!(
        (
            &body["sn"],
            &body["operator"],
            &body["state_id"],
            &body["action_type"]
        ),
        (
            &json!("REQ1"),
            &json!("admin"),
            &json!(3),
            &json!("TRANSITION")
        )
    );
    assert_eq!(body["fields"], json!([{ "key": "k", "value": "v" }]));
}

#[test]
fn a_ticket_at_another_node_shows_that_the_request_had_its_effect() {
    let is_executed = |ticket: &Value| BkItsmTickets.is_executed(ticket, "TRANSITION 3");
    assert!(is_executed(&ticket("RUNNING", &[(4, "RUNNING")])));
    for other in [
        ticket("RUNNING", &[(3, "RUNNING")]),
        ticket("RUNNING", &[]),
        ticket("REVOKED", &[]),
    ] {
        assert!(!is_executed(&other), "{other}");
    }
    assert!(!BkItsmTickets.is_executed(&ticket("RUNNING", &[(4, "RUNNING")]), ""));
}

#[test]
fn an_error_with_the_http_status_200_is_an_error() {
    let written = |response| BkItsmTickets.written(&response);
    assert_eq!(written(done(&json!([]))), Answer::Done(()));
    for code in [json!(3_900_005), json!(3_900_022), json!("VALIDATE_ERROR")] {
        assert!(
            matches!(written(refused(&code)), Answer::Rejected(_)),
            "{code}"
        );
    }
    assert!(matches!(
        written(refused(&json!(3_900_004))),
        Answer::Unclear(_)
    ));
    assert!(matches!(
        written(refused(&json!(1_642_901))),
        Answer::NotSent(_)
    ));
    let page = Ok(HttpResponse::of(200, b"<html>"));
    assert!(matches!(written(page), Answer::Unclear(_)));
    let failed = BkItsmTickets.record(&refused(&json!("SERVER_500_ERROR")));
    assert!(matches!(failed, Answer::Unclear(_)), "{failed:?}");
    let missing = BkItsmTickets.record(&refused(&json!("3900022")));
    assert_eq!(missing, Answer::Done(Value::Null));
    assert!(matches!(
        BkItsmTickets.record(&refused(&json!(3_900_015))),
        Answer::Rejected(_)
    ));
}

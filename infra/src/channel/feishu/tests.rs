//! Tests the channel of Feishu.

use domain::notification::content::{Action, Content};

use super::super::contract::{account, content, outgoing, shown, text_of};
use super::cards::CARD_BYTES_MAX;
use super::*;

const SECRET: &str = r#"{"app_id": "cli_a", "app_secret": "hidden"}"#;

/// HTTP status, body and expected verdict of responses to a message (reference/notifications.md, section 1.5).
pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"code":0,"msg":"success","data":{"message_id":"om_1"}}"#,
        "accepted om_1",
    ),
    (200, r#"{"code":0,"msg":"success"}"#, "accepted"),
    (500, r#"{"code":0,"msg":"success"}"#, "unknown"),
    (400, r#"{"code":0}"#, "unknown"),
    (429, "", "throttled 10000"),
    (
        429,
        r#"{"code":99991400,"msg":"request trigger frequency limit"}"#,
        "throttled 10000",
    ),
    (400, r#"{"code":99991400,"msg":"m"}"#, "throttled 10000"),
    (400, r#"{"code":11232,"msg":"m"}"#, "throttled 10000"),
    (200, r#"{"code":11232,"msg":"m"}"#, "throttled 10000"),
    (400, r#"{"code":230020,"msg":"m"}"#, "throttled 2000"),
    (400, r#"{"code":99991661,"msg":"m"}"#, "credential 99991661"),
    (400, r#"{"code":99991663,"msg":"m"}"#, "credential 99991663"),
    (400, r#"{"code":99991664,"msg":"m"}"#, "credential 99991664"),
    (400, r#"{"code":99991668,"msg":"m"}"#, "credential 99991668"),
    (400, r#"{"code":99991671,"msg":"m"}"#, "credential 99991671"),
    (400, r#"{"code":99991401,"msg":"m"}"#, "credential 99991401"),
    (400, r#"{"code":99991543,"msg":"m"}"#, "credential 99991543"),
    (400, r#"{"code":99991662,"msg":"m"}"#, "credential 99991662"),
    (400, r#"{"code":99991672,"msg":"m"}"#, "credential 99991672"),
    (400, r#"{"code":99991673,"msg":"m"}"#, "credential 99991673"),
    (400, r#"{"code":99991676,"msg":"m"}"#, "credential 99991676"),
    (400, r#"{"code":99991679,"msg":"m"}"#, "credential 99991679"),
    (400, r#"{"code":230006,"msg":"m"}"#, "credential 230006"),
    (400, r#"{"code":230027,"msg":"m"}"#, "credential 230027"),
    (
        400,
        r#"{"code":230001,"msg":"Your request contains an invalid request parameter, ext=invalid receive_id."}"#,
        "recipient_invalid 230001",
    ),
    (
        400,
        r#"{"code":230001,"msg":"invalid msg_type"}"#,
        "permanent 230001",
    ),
    (
        400,
        r#"{"code":230002,"msg":"m"}"#,
        "recipient_invalid 230002",
    ),
    (
        400,
        r#"{"code":230013,"msg":"m"}"#,
        "recipient_invalid 230013",
    ),
    (
        400,
        r#"{"code":230029,"msg":"m"}"#,
        "recipient_invalid 230029",
    ),
    (
        400,
        r#"{"code":230034,"msg":"m"}"#,
        "recipient_invalid 230034",
    ),
    (
        400,
        r#"{"code":230038,"msg":"m"}"#,
        "recipient_invalid 230038",
    ),
    (
        400,
        r#"{"code":230053,"msg":"m"}"#,
        "recipient_invalid 230053",
    ),
    (
        400,
        r#"{"code":232009,"msg":"m"}"#,
        "recipient_invalid 232009",
    ),
    (
        400,
        r#"{"code":99992351,"msg":"m"}"#,
        "recipient_invalid 99992351",
    ),
    (
        400,
        r#"{"code":99992361,"msg":"m"}"#,
        "recipient_invalid 99992361",
    ),
    (400, r#"{"code":230017,"msg":"m"}"#, "permanent 230017"),
    (400, r#"{"code":230018,"msg":"m"}"#, "permanent 230018"),
    (400, r#"{"code":230022,"msg":"m"}"#, "permanent 230022"),
    (400, r#"{"code":230028,"msg":"m"}"#, "permanent 230028"),
    (400, r#"{"code":230035,"msg":"m"}"#, "permanent 230035"),
    (400, r#"{"code":230099,"msg":"m"}"#, "permanent 230099"),
    (400, r#"{"code":99992402,"msg":"m"}"#, "permanent 99992402"),
    (400, r#"{"code":230025,"msg":"m"}"#, "too_large 230025"),
    (413, "<html>", "too_large 413"),
    (400, r#"{"code":230049,"msg":"m"}"#, "retry"),
    (400, r#"{"code":230101,"msg":"m"}"#, "retry"),
    (200, r#"{"code":999,"msg":"m"}"#, "permanent 999"),
    (400, r#"{"code":999,"msg":"m"}"#, "permanent 999"),
    (500, r#"{"code":999,"msg":"m"}"#, "unknown"),
    (503, r#"{"code":0}"#, "retry"),
    (504, "<html>", "unknown"),
    (200, "<html>", "unknown"),
    (200, r#"{"code":"0"}"#, "unknown"),
    (200, "{}", "unknown"),
    (200, "", "unknown"),
    (302, "", "permanent 302"),
    (403, "no", "permanent 403"),
];

fn answered(status: u16, body: &str) -> Response {
    Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
}

#[test]
fn a_receipt_names_the_person_who_has_read_the_message() {
    let mut account = account("feishu");
    let request = Feishu.receipt_request(&account, "t-1", "om_1");
    let request = request.expect("receipts").expect("a request");
    let url =
        "https://open.feishu.cn/open-apis/im/v1/messages/om_1/read_users?user_id_type=open_id";
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("GET", url)
    );
    let bearer = ("authorization".to_owned(), "Bearer t-1".to_owned());
    assert!(request.headers.contains(&bearer));
    let body = br#"{"code":0,"data":{"items":[{"user_id_type":"open_id","user_id":"ou_1"}],"has_more":false}}"#;
    let response = HttpResponse::of(200, body);
    assert_eq!(Feishu.receipt("ou_1", &response), Ok(Reported::Read));
    assert_eq!(Feishu.receipt("ou_2", &response), Ok(Reported::NotYet));
    let refused = HttpResponse::of(200, br#"{"code":230050,"msg":"x"}"#);
    assert!(Feishu.receipt("ou_1", &refused).is_err());
    account
        .settings
        .insert("receive_id_type".into(), "chat_id".into());
    assert!(Feishu.receipt_request(&account, "t-1", "om_1").is_none());
}

#[test]
fn every_code_has_its_verdict() {
    for (status, body, expected) in CODES {
        let verdict = Feishu.verdict(&answered(*status, body));
        assert_eq!(shown(&verdict), *expected, "{status} {body}");
    }
}

#[test]
fn the_pause_is_the_one_of_the_header() {
    for (name, value, expected) in [
        ("x-ogw-ratelimit-reset", "7", "throttled 7000"),
        ("x-ogw-ratelimit-reset", "0", "throttled 1000"),
        ("x-ogw-ratelimit-reset", "4000000", "throttled 3600000"),
        ("x-ogw-ratelimit-reset", "soon", "throttled 10000"),
        ("retry-after", "30", "throttled 30000"),
    ] {
        for status in [429, 400] {
            let mut response = HttpResponse::of(status, br#"{"code":99991400}"#);
            response.headers = vec![(name.into(), value.into())];
            let verdict = Feishu.verdict(&Response::Http(Ok(response)));
            assert_eq!(shown(&verdict), expected, "{name} {value} {status}");
        }
    }
}

#[test]
fn a_request_without_a_response_is_repeated_if_it_was_not_sent() {
    for (error, expected) in [
        (HttpError::NotSent("x".into()), "retry"),
        (HttpError::Unknown("x".into()), "unknown"),
    ] {
        let verdict = Feishu.verdict(&Response::Http(Err(error)));
        assert_eq!(shown(&verdict), expected);
    }
    assert!(Feishu.may_repeat(), "Feishu recognizes a repeated message");
}

#[test]
fn only_the_codes_of_a_token_renew_it() {
    for (status, body, _) in CODES {
        let is_token =
            body.contains("9999166") && !body.contains("99991662") || body.contains("99991671");
        let is_refused = Feishu.refuses_token(&answered(*status, body));
        assert_eq!(is_refused, is_token, "{status} {body}");
    }
    let unanswered = Response::Http(Err(HttpError::Unknown("x".into())));
    assert!(!Feishu.refuses_token(&unanswered));
}

#[test]
fn a_token_is_asked_for_with_the_secret() {
    let account = with("url", json!("http://127.0.0.1:1/"));
    let access = Feishu.access(&account, SECRET, Moment(0));
    let Ok(Access::Asked(request)) = &access else {
        panic!("{access:?}")
    };
    assert_eq!(
        request.url,
        "http://127.0.0.1:1/open-apis/auth/v3/tenant_access_token/internal"
    );
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({ "app_id": "cli_a", "app_secret": "hidden" }));
    let read = |status, body: &str| {
        let token = Feishu.token(&Ok(HttpResponse::of(status, body.as_bytes())));
        token.map_err(|verdict| shown(&verdict))
    };
    let token = Token {
        value: "t-1".into(),
        lifetime_ms: 7_200_000,
    };
    let right = r#"{"code":0,"msg":"ok","tenant_access_token":"t-1","expire":7200}"#;
    assert_eq!(read(200, right), Ok(token));
    for (status, body, expected) in [
        (200, r#"{"code":10003,"msg":"m"}"#, "credential 10003"),
        (200, r#"{"code":10014,"msg":"m"}"#, "credential 10014"),
        (400, r#"{"code":10015,"msg":"m"}"#, "credential 10015"),
        (200, r#"{"code":7,"msg":"m"}"#, "permanent 7"),
        (400, r#"{"code":99991400,"msg":"m"}"#, "throttled 10000"),
        (200, r#"{"code":0}"#, "retry"),
        (200, "<html>", "retry"),
        (502, "<html>", "retry"),
    ] {
        assert_eq!(
            read(status, body),
            Err(expected.to_owned()),
            "{status} {body}"
        );
    }
    for error in [
        HttpError::NotSent("x".into()),
        HttpError::Unknown("x".into()),
    ] {
        let verdict = Feishu.token(&Err(error)).unwrap_err();
        assert_eq!(shown(&verdict), "retry");
    }
}

fn with(key: &str, value: Value) -> Defined {
    let mut account = account("feishu");
    account.settings.insert(key.into(), value);
    account
}

fn action(name: &str) -> Action {
    Action {
        name: name.into(),
        label: "同意".into(),
        is_primary: name == "approve",
        url: format!("https://desk.example/act/{name}"),
        value: format!("signed-{name}"),
    }
}

fn sent(account: &Defined, content: &Content) -> (HttpRequest, Value, Value) {
    let outgoing = Outgoing {
        token: "t-1",
        ..outgoing(account, SECRET, "ou_1", content)
    };
    let Ok(Request::Http(request)) = Feishu.request(&outgoing) else {
        panic!("a request")
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let card = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
    (request, body, card)
}

#[test]
fn a_message_is_a_card_with_buttons_that_feishu_reports() {
    let mut content = content();
    content.actions = vec![action("approve"), action("reject")];
    let (request, body, card) = sent(&account("feishu"), &content);
    assert_eq!(
        request.url,
        "https://open.feishu.cn/open-apis/im/v1/messages?receive_id_type=open_id"
    );
    let bearer = ("authorization".to_owned(), "Bearer t-1".to_owned());
    assert!(request.headers.contains(&bearer));
    assert_eq!(body["receive_id"], "ou_1");
    assert_eq!(body["msg_type"], "interactive");
    assert_eq!(body["uuid"], "0123456789abcdef0123456789abcdef");
    assert_eq!(card["header"]["title"]["content"], "请审批: 申请权限");
    let buttons = card["elements"][2]["actions"].as_array().unwrap();
    assert_eq!(buttons.len(), 3);
    assert_eq!(
        buttons[0]["value"],
        json!({ "name": "approve", "value": "signed-approve" })
    );
    assert_eq!(buttons[0]["type"], "primary");
    assert_eq!(buttons[1]["type"], "default");
    assert!(buttons[0].get("url").is_none());
    assert_eq!(buttons[2]["url"], "https://desk.example/tickets/REQ1");
}

#[test]
fn the_account_selects_the_kind_of_address_and_the_server() {
    let account = with("receive_id_type", json!("email"));
    assert!(sent(&account, &content()).0.url.ends_with("=email"));
    let account = with("url", json!("https://open.larksuite.com"));
    let (request, _, _) = sent(&account, &content());
    assert!(
        request
            .url
            .starts_with("https://open.larksuite.com/open-apis/")
    );
}

/// Returns all texts of a card that a person sees, and all tags of its elements.
fn texts<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::Object(members) => {
            if let (Some(Value::String(tag)), Some(Value::String(content))) =
                (members.get("tag"), members.get("content"))
            {
                found.push((tag.as_str(), content.as_str()));
            }
            members.values().for_each(|member| texts(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        _ => {}
    }
}

#[test]
fn ticket_text_stays_plain_text() {
    const PIECES: [&str; 12] = [
        "<at id=all></at>",
        "<at user_id=\"all\">all</at>",
        "@_all",
        "[x](http://evil.example)",
        "**b**",
        "\"}],\"",
        "\\",
        "\n",
        "\u{202e}",
        "字",
        "<font color='red'>",
        "{{x}}",
    ];
    let mut seed = 1_u64;
    let mut nasty = || text_of(&PIECES, 6, &mut seed);
    for _ in 0..200 {
        let mut content = content();
        content.subject = nasty();
        content.intro = nasty();
        content.values = vec![(nasty(), nasty())];
        content.closing = nasty();
        let (_, _, card) = sent(&account("feishu"), &content);
        let mut found = Vec::new();
        texts(&card, &mut found);
        assert_eq!(found.len(), 5, "{card}");
        for (tag, text) in found {
            assert_eq!(tag, "plain_text");
            assert!(!text.contains('<'), "{text}");
        }
        assert_eq!(card["elements"].as_array().unwrap().len(), 4);
    }
}

#[test]
fn a_large_message_loses_values_from_the_end() {
    let mut content = content();
    content.subject = "题".repeat(4_000);
    content.actions = vec![action("approve")];
    content.values = (0..200)
        .map(|number| (format!("v{number}"), "\"字".repeat(200)))
        .collect();
    let (_, body, card) = sent(&account("feishu"), &content);
    let size = body["content"].as_str().unwrap().len();
    assert!(
        (CARD_BYTES_MAX - 1_500..=CARD_BYTES_MAX).contains(&size),
        "{size}"
    );
    let fields = card["elements"][1]["fields"].as_array().unwrap();
    assert_eq!(fields.last().unwrap()["text"]["content"], "…");
    assert!(
        fields[0]["text"]["content"]
            .as_str()
            .unwrap()
            .starts_with("v0: ")
    );
    assert_eq!(card["elements"][2]["actions"].as_array().unwrap().len(), 2);
    let short = sent(&account("feishu"), &content.shortened()).2;
    assert_eq!(short["elements"].as_array().unwrap().len(), 3);
}

#[test]
fn a_later_message_is_a_reply_to_the_first_one() {
    let (account, content) = (account("feishu"), content());
    for (is_broadcast, in_thread) in [(false, true), (true, false)] {
        let outgoing = Outgoing {
            token: "t-1",
            thread: Some(Thread {
                root: "om_1",
                is_broadcast,
            }),
            ..outgoing(&account, SECRET, "ou_1", &content)
        };
        let Ok(Request::Http(request)) = Feishu.request(&outgoing) else {
            panic!("a request")
        };
        assert_eq!(
            request.url,
            "https://open.feishu.cn/open-apis/im/v1/messages/om_1/reply"
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["reply_in_thread"], in_thread);
        assert_eq!(body["uuid"], "0123456789abcdef0123456789abcdef");
        assert!(body["receive_id"].is_null());
    }
    let wrong = Outgoing {
        token: "t-1",
        thread: Some(Thread {
            root: "../om_1",
            is_broadcast: false,
        }),
        ..outgoing(&account, SECRET, "ou_1", &content)
    };
    assert!(Feishu.request(&wrong).is_err());
    let group = with("receive_id_type", json!("chat_id"));
    let conversation = |account: &Defined| match Feishu.conversation(account, "oc_1") {
        Conversation::Shared(id) => id.to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(conversation(&account), "OfPerson");
    assert_eq!(conversation(&group), "oc_1");
    let off = with("threads", json!(false));
    assert_eq!(Feishu.check(&off), Ok(()));
    assert_eq!(conversation(&off), "WithoutThreads");
}

#[test]
fn a_lost_first_message_is_recognized() {
    for (status, body, expected) in [
        (400, r#"{"code":230011,"msg":"m"}"#, true),
        (400, r#"{"code":230110,"msg":"m"}"#, true),
        (
            400,
            r#"{"code":230001,"msg":"x, ext=invalid message_id."}"#,
            true,
        ),
        (
            400,
            r#"{"code":230001,"msg":"x, ext=invalid receive_id."}"#,
            false,
        ),
        (400, r#"{"code":230002,"msg":"m"}"#, false),
        (200, r#"{"code":0}"#, false),
        (429, "", false),
    ] {
        let response = answered(status, body);
        assert_eq!(Feishu.refuses_thread(&response), expected, "{body}");
    }
}

#[test]
fn a_sent_message_can_be_replaced_and_made_urgent() {
    let (account, content) = (account("feishu"), content());
    let outgoing = Outgoing {
        token: "t-1",
        ..outgoing(&account, SECRET, "ou_1", &content)
    };
    let request = update(&outgoing, "om_1").unwrap();
    assert_eq!(request.method, "PATCH");
    assert_eq!(
        request.url,
        "https://open.feishu.cn/open-apis/im/v1/messages/om_1"
    );
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let card: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
    assert_eq!(card["config"]["update_multi"], true);
    let request = buzz(&outgoing, "om_1").unwrap();
    assert_eq!(
        request.url,
        "https://open.feishu.cn/open-apis/im/v1/messages/om_1/urgent_app?user_id_type=open_id"
    );
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({ "user_id_list": ["ou_1"] }));
    for message in ["", "../x", "om_1?x"] {
        assert!(update(&outgoing, message).is_err(), "{message}");
        assert!(buzz(&outgoing, message).is_err(), "{message}");
    }
    let group = with("receive_id_type", json!("chat_id"));
    let outgoing = Outgoing {
        account: &group,
        ..outgoing
    };
    let reason = buzz(&outgoing, "om_1").unwrap_err();
    assert!(reason.contains("`receive_id_type`"), "{reason}");
}

#[test]
fn an_urgent_message_names_the_people_who_cannot_get_it() {
    for (status, body, expected) in [
        (200, r#"{"code":0,"data":{}}"#, "accepted"),
        (
            200,
            r#"{"code":0,"data":{"invalid_user_id_list":[]}}"#,
            "accepted",
        ),
        (
            200,
            r#"{"code":0,"data":{"invalid_user_id_list":["ou_1"]}}"#,
            "recipient_invalid 0",
        ),
        (400, r#"{"code":230017,"msg":"m"}"#, "permanent 230017"),
        (200, "<html>", "unknown"),
    ] {
        assert_eq!(shown(&buzz_verdict(&answered(status, body))), expected);
    }
}

#[test]
fn an_address_is_an_id_or_a_mail_address() {
    for address in ["ou_7d8a6e6d", "oc_1", "g1234.x", "li.si+a@example.com"] {
        assert_eq!(Feishu.check_address(address), Ok(()), "{address}");
    }
    let long = "x".repeat(65);
    for address in [
        "",
        "all",
        "ALL",
        "@all",
        "a b",
        "a><at",
        "a@",
        "@b",
        "a@b@c",
        "李四",
        long.as_str(),
    ] {
        assert!(Feishu.check_address(address).is_err(), "{address}");
    }
}

#[test]
fn wrong_settings_are_named() {
    assert_eq!(Feishu.check(&account("feishu")), Ok(()));
    for kind in KINDS {
        let account = with("receive_id_type", json!(kind));
        assert_eq!(Feishu.check(&account), Ok(()));
    }
    for (key, value, expected) in [
        ("url", json!("ftp://x"), "`url` must"),
        ("url", json!("https://x/?a=b"), "`url` must"),
        ("receive_id_type", json!("name"), "`receive_id_type` must"),
        ("receive_id_type", json!(1), "`receive_id_type` must"),
        ("app_id", json!("x"), "`app_id` is not a setting"),
    ] {
        let reason = Feishu.check(&with(key, value)).unwrap_err();
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[test]
fn a_wrong_secret_is_rejected_without_its_text() {
    for secret in [
        "",
        "hidden",
        "{}",
        r#"{"app_id":"cli_a"}"#,
        r#"{"app_id":"","app_secret":"hidden"}"#,
        r#"{"app_id":"a","app_secret":"hidden","x":1}"#,
    ] {
        let reason = Feishu.check_secret(secret).unwrap_err();
        assert!(reason.contains("app_secret"), "{reason}");
        assert!(!reason.contains("hidden"), "{reason}");
    }
    assert_eq!(Feishu.check_secret(SECRET), Ok(()));
}

#[test]
fn a_message_needs_an_access_token() {
    let (account, content) = (account("feishu"), content());
    let outgoing = outgoing(&account, SECRET, "ou_1", &content);
    let expected = "the access token is missing".to_owned();
    assert_eq!(Feishu.request(&outgoing), Err(expected));
}

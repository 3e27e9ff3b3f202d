//! Tests of the channel for short messages.

use serde_json::json;

use super::super::contract::{account, content, outgoing, shown};
use super::*;
use crate::http::{HttpError, HttpResponse};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const TO: &str = "+8613800000000";
/// The table `codes` of a custom gateway.
const MEANINGS: [(&str, &str); 7] = [
    ("0", "ok"),
    ("1", "retry"),
    ("2", "permanent"),
    ("3", "throttled"),
    ("4", "credential"),
    ("5", "recipient_invalid"),
    ("6", "too_large"),
];

/// The responses of Twilio and of Alibaba Cloud with their verdicts (reference/notifications.md, section 1.8).
pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
    (
        201,
        r#"{"sid":"SM1","status":"accepted","error_code":null}"#,
        "accepted SM1",
    ),
    (201, r#"{"sid":"SM1","status":"scheduled"}"#, "accepted SM1"),
    (201, r#"{"sid":"SM1","status":"queued"}"#, "accepted SM1"),
    (200, r#"{"sid":"SM1","status":"sending"}"#, "accepted SM1"),
    (200, r#"{"sid":"SM1","status":"sent"}"#, "accepted SM1"),
    (200, r#"{"sid":"SM1","status":"delivered"}"#, "accepted SM1"),
    (200, r#"{"sid":"SM1","status":"read"}"#, "accepted SM1"),
    (
        200,
        r#"{"sid":"SM1","status":"undelivered"}"#,
        "permanent undelivered",
    ),
    (
        200,
        r#"{"sid":"SM1","status":"failed","error_code":null}"#,
        "permanent failed",
    ),
    (
        200,
        r#"{"sid":"SM1","status":"canceled"}"#,
        "permanent canceled",
    ),
    (
        200,
        r#"{"sid":"SM1","status":"undelivered","error_code":30003}"#,
        "retry",
    ),
    (
        200,
        r#"{"sid":"SM1","status":"undelivered","error_code":30005}"#,
        "recipient_invalid 30005",
    ),
    (
        200,
        r#"{"sid":"SM1","status":"failed","error_code":30007}"#,
        "permanent 30007",
    ),
    (
        400,
        r#"{"code":21610,"message":"m","status":400}"#,
        "recipient_invalid 21610",
    ),
    (
        400,
        r#"{"code":21211,"message":"m","status":400}"#,
        "recipient_invalid 21211",
    ),
    (
        400,
        r#"{"code":21614,"message":"m","status":400}"#,
        "recipient_invalid 21614",
    ),
    (
        400,
        r#"{"code":21617,"message":"m","status":400}"#,
        "too_large 21617",
    ),
    (
        400,
        r#"{"code":21606,"message":"m","status":400}"#,
        "permanent 21606",
    ),
    (400, r#"{"code":30002,"message":"m"}"#, "credential 30002"),
    (
        401,
        r#"{"code":20003,"message":"Authenticate","status":401}"#,
        "credential 20003",
    ),
    (
        429,
        r#"{"code":20429,"message":"Too Many Requests","status":429}"#,
        "throttled 60000",
    ),
    (400, r#"{"code":20429,"message":"m"}"#, "throttled 60000"),
    (429, "", "throttled 60000"),
    (400, r#"{"code":21611,"message":"m"}"#, "throttled 60000"),
    (503, r#"{"code":20503,"message":"m"}"#, "retry"),
    (
        200,
        r#"{"Code":"OK","BizId":"b1","Message":"OK"}"#,
        "accepted b1",
    ),
    (
        200,
        r#"{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发分钟级流控Permits:1"}"#,
        "throttled 60000",
    ),
    (
        200,
        r#"{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发小时级流控Permits:5"}"#,
        "throttled 3600000",
    ),
    (
        200,
        r#"{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发天级流控Permits:40"}"#,
        "throttled 86400000",
    ),
    (
        200,
        r#"{"Code":"isv.DAY_LIMIT_CONTROL","Message":"m"}"#,
        "throttled 86400000",
    ),
    (
        200,
        r#"{"Code":"isv.MOBILE_NUMBER_ILLEGAL","Message":"m"}"#,
        "recipient_invalid isv.MOBILE_NUMBER_ILLEGAL",
    ),
    (
        200,
        r#"{"Code":"isv.SMS_TEMPLATE_ILLEGAL","Message":"m"}"#,
        "permanent isv.SMS_TEMPLATE_ILLEGAL",
    ),
    (
        200,
        r#"{"Code":"isv.PARAM_LENGTH_LIMIT","Message":"m"}"#,
        "too_large isv.PARAM_LENGTH_LIMIT",
    ),
    (200, r#"{"Code":"isp.SYSTEM_ERROR","Message":"m"}"#, "retry"),
    (
        200,
        r#"{"Code":"isv.OUT_OF_SERVICE","Message":"m"}"#,
        "credential isv.OUT_OF_SERVICE",
    ),
    (
        200,
        r#"{"Code":"isv.AMOUNT_NOT_ENOUGH","Message":"m"}"#,
        "credential isv.AMOUNT_NOT_ENOUGH",
    ),
    (
        400,
        r#"{"Code":"SignatureDoesNotMatch","Message":"m"}"#,
        "credential SignatureDoesNotMatch",
    ),
    (
        404,
        r#"{"Code":"InvalidAccessKeyId.NotFound","Message":"m"}"#,
        "credential InvalidAccessKeyId.NotFound",
    ),
    (
        400,
        r#"{"Code":"Throttling.User","Message":"m"}"#,
        "throttled 60000",
    ),
    (
        200,
        r#"{"Code":"isv.NEW_CODE","Message":"m"}"#,
        "permanent isv.NEW_CODE",
    ),
    // Unknown codes, and responses that do not come from the gateway.
    (
        400,
        r#"{"code":99999,"message":"m","status":400}"#,
        "permanent 99999",
    ),
    (200, r#"{"status":"teleported"}"#, "permanent teleported"),
    (200, "<html>", "unknown"),
    (200, "", "unknown"),
    (200, "[]", "unknown"),
    (302, "", "permanent 302"),
    (404, "<html>", "permanent 404"),
    (401, "<html>", "credential 401"),
    (403, r#"{"code":99999}"#, "credential 99999"),
    (403, r#"{"status":"queued"}"#, "credential 403"),
    (408, "", "unknown"),
    (500, r#"{"code":20500,"message":"m"}"#, "unknown"),
    (502, "<html>", "unknown"),
    (503, "<html>", "retry"),
];

fn of(status: u16, body: &str) -> Response {
    Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
}

fn with(settings: &Value) -> Defined {
    let mut account = account("sms");
    let settings = settings.as_object().cloned().unwrap_or_default();
    account.settings = settings.into_iter().collect();
    account
}

fn twilio() -> Defined {
    with(&json!({ "shape": "twilio", "from": "+15005550006" }))
}

fn template() -> Defined {
    with(&json!({
        "shape": "template", "sign_name": "服务台", "template_code": "SMS_1",
        "params": { "sn": "${ticket}", "title": "${subject}" },
    }))
}

fn custom() -> Defined {
    let codes: Map<String, Value> = MEANINGS
        .iter()
        .map(|(code, meaning)| ((*code).to_owned(), (*meaning).into()))
        .collect();
    with(&json!({
        "shape": "custom", "url": "https://sms.example/send",
        "body": { "phone": "${phone}", "list": ["${to}"], "content": "${text}", "id": "${id}", "kind": 1 },
        "code_path": "/result/code", "message_path": "/result/id", "reason_path": "/result/text",
        "codes": codes,
    }))
}

fn sent(account: &Defined, secret: &str) -> HttpRequest {
    let content = content();
    match Sms.request(&outgoing(account, secret, TO, &content)) {
        Ok(Request::Http(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn twilio_secret() -> String {
    json!({ "account_sid": SID, "auth_token": "token" }).to_string()
}

const TEMPLATE_SECRET: &str = r#"{"access_key_id":"testId","access_key_secret":"testSecret"}"#;

#[test]
fn twilio_reports_to_the_address_of_the_account_with_the_tag_of_the_delivery() {
    let mut account = twilio();
    let callback = format!(
        "https://desk.example/callbacks/channels/twilio/{}",
        account.name
    );
    let settings = &mut account.settings;
    settings.insert("status_callback".into(), callback.as_str().into());
    assert_eq!(Sms.check(&account), Ok(()));
    let content = content();
    let secret = twilio_secret();
    let body = |account: &Defined, tag: &'static str| {
        let outgoing = Outgoing {
            tag,
            ..outgoing(account, &secret, TO, &content)
        };
        match Sms.request(&outgoing) {
            Ok(Request::Http(request)) => String::from_utf8(request.body).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let address = format!("{callback}?delivery=0123456789abcdef0123456789abcdef&tag=ab12");
    let expected = format!("&StatusCallback={}", percent(&address));
    assert!(body(&account, "ab12").ends_with(&expected));
    assert!(!body(&account, "").contains("StatusCallback"), "no tag");
    assert!(!body(&twilio(), "ab12").contains("StatusCallback"));
    for wrong in [
        "https://desk.example/callbacks/channels/twilio/another",
        "ftp://desk.example/callbacks/channels/twilio/sms",
        "https://desk.example/?x=1",
    ] {
        let settings = &mut account.settings;
        settings.insert("status_callback".into(), wrong.into());
        let reason = Sms.check(&account).unwrap_err();
        assert!(reason.starts_with("`status_callback` must"), "{reason}");
    }
}

#[test]
fn the_code_of_a_report_has_the_class_of_the_table() {
    for (code, expected) in [
        ("30005", FailureClass::RecipientInvalid),
        ("21610", FailureClass::RecipientInvalid),
        ("30003", FailureClass::Transient),
        ("30007", FailureClass::Permanent),
        ("undelivered", FailureClass::Permanent),
        ("99999", FailureClass::Permanent),
    ] {
        assert_eq!(class_of_report(code), expected, "{code}");
    }
}

#[test]
fn every_code_of_the_reference_has_its_verdict() {
    for (status, body, expected) in CODES {
        let account = if body.contains("\"Code\"") {
            template()
        } else {
            twilio()
        };
        let verdict = Sms.verdict_for(&account, TO, &of(*status, body));
        assert_eq!(shown(&verdict), *expected, "{status} {body}");
        let verdict = Sms.verdict(&of(*status, body));
        assert_eq!(shown(&verdict), *expected, "{status} {body}");
    }
}

#[test]
fn a_custom_gateway_has_its_own_table() {
    let account = custom();
    for (code, expected) in [
        ("0", "accepted m1"),
        ("1", "retry"),
        ("2", "permanent 2"),
        ("3", "throttled 60000"),
        ("4", "credential 4"),
        ("5", "recipient_invalid 5"),
        ("6", "too_large 6"),
        ("7", "permanent 7"),
    ] {
        // Gateways write codes as numbers or as texts.
        for code in [code.to_owned(), format!("\"{code}\"")] {
            let body = format!(r#"{{"result":{{"code":{code},"id":"m1","text":"t"}}}}"#);
            let verdict = Sms.verdict_for(&account, TO, &of(200, &body));
            assert_eq!(shown(&verdict), expected, "{body}");
        }
    }
    let unreadable = Sms.verdict_for(&account, TO, &of(200, "ok"));
    assert_eq!(shown(&unreadable), "unknown");
    // The complete body can be the code.
    let mut account = account;
    account.settings.insert("code_path".into(), "".into());
    assert_eq!(
        shown(&Sms.verdict_for(&account, TO, &of(200, "0"))),
        "accepted"
    );
}

#[test]
fn a_request_without_a_response_is_repeated_only_if_it_was_not_sent() {
    let failed = |error| Sms.verdict_for(&twilio(), TO, &Response::Http(Err(error)));
    assert_eq!(shown(&failed(HttpError::NotSent("dns".into()))), "retry");
    assert_eq!(
        shown(&failed(HttpError::Unknown("timeout".into()))),
        "unknown"
    );
}

#[test]
fn a_reason_contains_no_phone_number() {
    let body = r#"{"code":21211,"message":"The 'To' number 138-0000-0000 is\n not valid"}"#;
    let Verdict::Refused { reason, .. } = Sms.verdict(&of(400, body)) else {
        panic!("a refusal")
    };
    assert_eq!(reason.to_string(), "The 'To' number <number> is not valid");
}

#[test]
fn a_request_to_twilio_has_its_form() {
    let request = sent(&twilio(), &twilio_secret());
    assert_eq!(
        request.url,
        format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json")
    );
    let credentials = STANDARD.encode(format!("{SID}:token"));
    let header = ("authorization".to_owned(), format!("Basic {credentials}"));
    assert!(request.headers.contains(&header));
    let body = String::from_utf8(request.body).unwrap();
    assert!(
        body.starts_with("To=%2B8613800000000&From=%2B15005550006&Body=REQ1%20"),
        "{body}"
    );
    assert!(body.ends_with("desk.example%2Ftickets%2FREQ1"), "{body}");
    let mut account = twilio();
    let service = format!("MG{}", "0".repeat(32));
    account.settings.insert("from".into(), service.into());
    account
        .settings
        .insert("url".into(), "http://127.0.0.1:1/".into());
    let request = sent(&account, &twilio_secret());
    assert!(
        request.url.starts_with("http://127.0.0.1:1/2010-04-01/"),
        "{}",
        request.url
    );
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains("&MessagingServiceSid=MG"), "{body}");
}

/// The example in the documentation of Alibaba Cloud for the signature of SendSms. A program in Python computed the same
/// signature.
#[test]
fn the_signature_equals_the_example_of_alibaba_cloud() {
    let pairs = [
        ("Version", "2017-05-25"),
        ("AccessKeyId", "testId"),
        ("Action", "SendSms"),
        ("Format", "XML"),
        ("OutId", "123"),
        ("PhoneNumbers", "15300000001"),
        ("RegionId", "cn-hangzhou"),
        ("SignName", "阿里云短信测试专用"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", "45e25e9b-0a6f-4070-8c85-2956eda1b466"),
        ("SignatureVersion", "1.0"),
        ("TemplateCode", "SMS_71390007"),
        ("TemplateParam", r#"{"customer":"test"}"#),
        ("Timestamp", "2017-07-12T02:42:19Z"),
    ];
    assert_eq!(
        sign("GET", &pairs, "testSecret"),
        "zJDF+Lrzhj/ThnlvIToysFRq6t4="
    );
}

#[test]
fn a_template_gets_values_and_no_url() {
    let account = template();
    let mut content = content();
    content.subject = format!("\",\"sn\":\"x https://evil.example {}", "字".repeat(40));
    let Ok(Request::Http(request)) =
        Sms.request(&outgoing(&account, TEMPLATE_SECRET, TO, &content))
    else {
        panic!("a request")
    };
    assert_eq!(request.url, format!("{TEMPLATE_URL}/"));
    let body = String::from_utf8(request.body).unwrap();
    let pairs: Vec<(&str, &str)> = body
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    let value = |name: &str| {
        let found = pairs.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value).unwrap_or_default()
    };
    assert_eq!(value("PhoneNumbers"), "13800000000");
    assert_eq!(value("TemplateCode"), "SMS_1");
    assert_eq!(value("Timestamp"), "1970-01-01T00%3A00%3A02Z");
    assert!(!value("Signature").is_empty());
    let expected = json!({
        "sn": "REQ1",
        "title": "\",\"sn\":\"x https: //evil. example 字…",
    });
    let param = percent(&expected.to_string());
    assert_eq!(value("TemplateParam"), param);
    assert_eq!(national("+85251234567"), "85251234567");
}

#[test]
fn a_custom_request_follows_its_template() {
    let mut account = custom();
    let request = sent(&account, "");
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("POST", "https://sms.example/send")
    );
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["phone"], &body["list"], &body["kind"], &body["id"]),
        (
            &json!("8613800000000"),
            &json!([TO]),
            &json!(1),
            &json!("0123456789abcdef0123456789abcdef")
        )
    );
    assert!(body["content"].as_str().unwrap().starts_with("REQ1 "));
    let header = |account: &Defined, secret: &str, name: &str| {
        let request = sent(account, secret);
        let found = request.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    account.settings.insert("auth".into(), "bearer".into());
    assert_eq!(
        header(&account, r#"{"token":"t"}"#, "authorization"),
        "Bearer t"
    );
    account.settings.insert("auth".into(), "basic".into());
    assert_eq!(
        header(&account, r#"{"user":"u","password":"p"}"#, "authorization"),
        "Basic dTpw"
    );
    account.settings.insert("auth".into(), "hmac".into());
    let secret = r#"{"key":"k"}"#;
    assert_eq!(header(&account, secret, "x-timestamp"), "2");
    let body = sent(&account, secret).body;
    assert_eq!(
        header(&account, secret, "x-signature"),
        body_signature("k", "2", &body)
    );
    let wrong = Sms.request(&outgoing(&account, r#"{"token":"t"}"#, TO, &content()));
    assert_eq!(
        wrong,
        Err("the secret channel/test must have the members key".into())
    );
    // A form with a nasty text.
    account.settings.insert("auth".into(), "none".into());
    account.settings.insert("format".into(), "form".into());
    account.settings.insert("method".into(), "PUT".into());
    let body = json!({ "content": "${subject}", "to": "${to}" });
    account.settings.insert("body".into(), body);
    let mut content = content();
    content.subject = "a&to=+1 ${to}\r\nx".into();
    let Ok(Request::Http(request)) = Sms.request(&outgoing(&account, "", TO, &content)) else {
        panic!("a request")
    };
    assert_eq!(request.method, "PUT");
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        "content=a%26to%3D%2B1%20%24%7Bto%7D%20x&to=%2B8613800000000"
    );
}

/// The signature was computed with the modules hmac and hashlib of Python.
#[test]
fn the_signature_of_a_body_equals_another_implementation() {
    assert_eq!(
        body_signature("secret", "1577262236", b"{\"a\":1}"),
        "7422bf8bef001c06cd86f97e0b3609a975171982122a9c0fea64a6f97446f624"
    );
}

#[test]
fn addresses_are_phone_numbers_with_a_country_code() {
    for address in ["+8613800000000", "+15005550006", "+4912345678"] {
        assert_eq!(Sms.check_address(address), Ok(()), "{address}");
    }
    for address in [
        "",
        "+",
        "13800000000",
        "+013800000000",
        "+1234567",
        "+1234567890123456",
        "+86 138",
        "+86138a000000",
        "＋8613800000000",
    ] {
        assert!(Sms.check_address(address).is_err(), "{address}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for (account, key, value, expected) in [
        (twilio(), "shape", json!("fax"), "`shape` must"),
        (twilio(), "from", json!(""), "`from` must"),
        (
            twilio(),
            "from",
            json!("a name that is too long"),
            "`from` must",
        ),
        (twilio(), "url", json!("ftp://x"), "`url` must"),
        (twilio(), "segments_max", json!(0), "`segments_max` must"),
        (twilio(), "segments_max", json!(11), "`segments_max` must"),
        (twilio(), "segment_price", json!(1), "`segment_price` must"),
        (twilio(), "segment_price", json!("1"), "`currency` must"),
        (twilio(), "currency", json!("CNY"), "`segment_price` must"),
        (template(), "currency", json!("CNY"), "`currency` is not a"),
        (twilio(), "token", json!("x"), "`token` is not a setting"),
        (template(), "sign_name", json!(1), "`sign_name` must"),
        (
            template(),
            "template_code",
            json!(" "),
            "`template_code` must",
        ),
        (template(), "params", json!("x"), "`params` must"),
        (
            template(),
            "params",
            json!({ "a": "${link}" }),
            "`params.a` must",
        ),
        (
            template(),
            "params",
            json!({ "a": "https://x" }),
            "`params.a` must",
        ),
        (template(), "params", json!({ "a": 1 }), "`params.a` must"),
        (custom(), "url", json!(""), "`url` must"),
        (
            custom(),
            "method",
            json!("GET"),
            "`method` must be one of POST, PUT",
        ),
        (custom(), "format", json!("xml"), "`format` must"),
        (
            custom(),
            "format",
            json!("form"),
            "`body` must contain only texts",
        ),
        (custom(), "auth", json!("digest"), "`auth` must"),
        (custom(), "body", json!("x"), "`body` must be a table"),
        (
            custom(),
            "body",
            json!({ "a": "${text}" }),
            "`body` must contain the placeholder",
        ),
        (
            custom(),
            "body",
            json!({ "a": "${to} ${x}" }),
            "`body` must not contain the unknown placeholder \"x\"",
        ),
        (custom(), "code_path", json!("code"), "`code_path` must"),
        (custom(), "codes", json!([]), "`codes` must be a table"),
        (custom(), "codes", json!({ "0": "yes" }), "`codes.0` must"),
        (
            custom(),
            "codes",
            json!({ "0": "retry" }),
            "`codes` must contain a code",
        ),
    ] {
        assert_eq!(Sms.check(&account), Ok(()), "{key}");
        let mut account = account;
        account.settings.insert(key.into(), value);
        let reason = Sms.check(&account).unwrap_err();
        assert!(reason.starts_with(expected), "{reason}");
    }
    let mut account = custom();
    account.settings.remove("code_path");
    assert!(
        Sms.check(&account)
            .unwrap_err()
            .starts_with("`code_path` must")
    );
    assert!(!Sms.needs_secret(&custom()));
    assert!(Sms.needs_secret(&twilio()));
}

#[test]
fn a_wrong_secret_is_rejected_without_its_text() {
    for secret in [
        "",
        "hidden",
        "{}",
        r#"{"account_sid":"hidden"}"#,
        r#"{"account_sid":"../hidden","auth_token":"hidden"}"#,
        r#"{"token":""}"#,
        r#"{"token":"hidden","key":"hidden"}"#,
    ] {
        let reason = Sms.check_secret(secret).unwrap_err();
        assert!(reason.contains("account_sid"), "{reason}");
        assert!(!reason.contains("hidden"), "{reason}");
    }
    for secret in [
        twilio_secret().as_str(),
        TEMPLATE_SECRET,
        r#"{"user":"u","password":"p"}"#,
        r#"{"token":"t"}"#,
        r#"{"key":"k"}"#,
    ] {
        assert_eq!(Sms.check_secret(secret), Ok(()), "{secret}");
    }
}

//! Tests for the verification of messages: the vectors of reference/notifications.md 3, one accepted message of each
//! platform, and one table with all requests that must be refused.

use serde_json::json;

use super::*;

mod bot;
mod groups;

use bot::{BOT_CHAT, bot, bot_activity, bot_invoke, bot_secret, dingtalk_card, dingtalk_press};

const AT: Moment = Moment(1_796_000_000_000);
const DAY_MS: i64 = 86_400_000;
const DINGTALK: &str = "SECthisissecret";
const SLACK: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TWILIO: &str = "twilio-token";
const TWILIO_URL: &str = "https://desk.example/callbacks/channels/twilio/sms";
const AES_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";
const CORP: &str = "wx5823bf96d3bd56c7";

/// A request that owns its parts.
#[derive(Clone, Default)]
struct Owned {
    is_get: bool,
    url: String,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Vec<u8>,
    certificate: Option<String>,
}

impl Owned {
    fn verify(&self, platform: &str, secret: &str, now: Moment) -> Result<Verified, Refusal> {
        let request = Request {
            is_get: self.is_get,
            url: &self.url,
            headers: &self.headers,
            query: &self.query,
            body: &self.body,
            certificate: self.certificate.as_deref(),
        };
        verify(find(platform).unwrap(), &request, &[secret.to_owned()], now)
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| given != name);
        self.query.retain(|(given, _)| given != name);
        self
    }

    /// Changes the value of a header or of a parameter.
    fn changed(mut self, name: &str, change: impl Fn(&str) -> String) -> Self {
        let all = self.headers.iter_mut().chain(&mut self.query);
        for (_, value) in all.filter(|(given, _)| given == name) {
            *value = change(value);
        }
        self
    }

    /// Changes one byte of the body.
    fn other_byte(mut self) -> Self {
        let middle = self.body.len() / 2;
        self.body[middle] ^= 1;
        self
    }
}

fn sign(algorithm: hmac::Algorithm, key: &[u8], signed: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, key);
    hmac::sign(&key, signed).as_ref().to_vec()
}

fn hashed(algorithm: &'static digest::Algorithm, signed: &[u8]) -> String {
    crate::commit::hex(digest::digest(algorithm, signed).as_ref())
}

fn slack(body: &str) -> Owned {
    let at = AT.0 / 1_000;
    let signed = format!("v0:{at}:{body}");
    let mac = sign(hmac::HMAC_SHA256, SLACK.as_bytes(), signed.as_bytes());
    Owned {
        body: body.into(),
        ..Owned::default()
    }
    .header("X-Slack-Request-Timestamp", at.to_string())
    .header(
        "X-Slack-Signature",
        format!("v0={}", crate::commit::hex(&mac)),
    )
}

const SLASH: &str = "trigger_id=t1&user_id=U1&text=ack+REQ20261122000042&response_url=https%3A%2F%2Fhooks.slack.com%2Fr";

fn dingtalk(body: &Value) -> Owned {
    let signed = format!("{}\n{DINGTALK}", AT.0);
    let mac = sign(hmac::HMAC_SHA256, DINGTALK.as_bytes(), signed.as_bytes());
    Owned {
        body: body.to_string().into(),
        ..Owned::default()
    }
    .header("timestamp", AT.0.to_string())
    .header("sign", STANDARD.encode(mac))
}

/// A request of a mail relay.
fn relayed(mail: &str) -> Owned {
    let at = AT.0 / 1_000;
    let signed = format!("{at}.{mail}");
    let mac = sign(hmac::HMAC_SHA256, RELAY.as_bytes(), signed.as_bytes());
    let signature = format!("v1={}", crate::commit::hex(&mac));
    Owned {
        body: mail.into(),
        ..Owned::default()
    }
    .header("X-Ledgerdesk-Timestamp", at.to_string())
    .header("X-Ledgerdesk-Signature", signature)
}

/// A notification of Amazon SNS, with its certificate.
fn published() -> Owned {
    let timestamp = jiff::Timestamp::from_millisecond(AT.0).unwrap().to_string();
    let unsigned = sns::fake::Unsigned {
        kind: "Notification",
        id: "m1",
        message: "{}",
        timestamp: &timestamp,
    };
    Owned {
        body: sns::fake::signed(&unsigned).to_string().into(),
        certificate: Some(sns::fake::CERTIFICATE.to_owned()),
        ..Owned::default()
    }
}

const RELAY: &str = "key-of-the-relay";
const MAIL: &str =
    "From: lisi@example.com\r\nTo: itsm@desk.example\r\nMessage-ID: <1@example.com>\r\n\r\nack\r\n";

#[test]
fn a_mail_of_a_relay_is_accepted_only_with_its_signature_and_in_time() {
    let verify =
        |request: Owned, later_ms: i64| request.verify("mail", RELAY, AT.plus_ms(later_ms));
    match verify(relayed(MAIL), 0) {
        Ok(Verified::Mail(mail)) => assert_eq!(mail.from, "lisi@example.com"),
        other => panic!("{other:?}"),
    }
    let stale = Err(Refusal::Stale(300));
    let cases = [
        (relayed(MAIL), 300_001 + 1_000, stale.clone()),
        (relayed(MAIL), 400 * DAY_MS, stale.clone()),
        (relayed(MAIL), -301_001, stale),
        (relayed(MAIL).other_byte(), 0, Err(Refusal::Signature)),
        (
            relayed(MAIL).changed("X-Ledgerdesk-Timestamp", |_| "1".to_owned()),
            0,
            Err(Refusal::Signature),
        ),
        (
            relayed(MAIL).without("X-Ledgerdesk-Signature"),
            0,
            Err(Refusal::Missing("x-ledgerdesk-signature")),
        ),
        (
            relayed("hello"),
            0,
            Err(Refusal::Unreadable("NOT CHECKED".into())),
        ),
    ];
    for (at, (request, later_ms, expected)) in cases.into_iter().enumerate() {
        let result = verify(request, later_ms);
        match (&result, &expected) {
            (Err(Refusal::Unreadable(_)), Err(Refusal::Unreadable(_))) => {}
            _ => assert_eq!(result, expected, "case {at}"),
        }
    }
}

fn said() -> Value {
    json!({
        "msgtype": "text", "msgId": "m1", "senderStaffId": "dt-lisi", "text": { "content": "ack" },
        "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=1",
        "sessionWebhookExpiredTime": 5,
    })
}

fn wecom_secret() -> String {
    json!({ "token": "QDG6eK", "aes_key": AES_KEY, "receive_id": CORP }).to_string()
}

/// The parts of a WeCom message before its encryption.
struct Plain {
    length: Option<u32>,
    receiver: &'static str,
    padding: Option<u8>,
}

const PLAIN: Plain = Plain {
    length: None,
    receiver: CORP,
    padding: None,
};
const TEXT: &str = "<xml><FromUserName><![CDATA[lisi]]></FromUserName><MsgType>text</MsgType>\
    <Content>ack &amp; &#20013;</Content><MsgId>77</MsgId></xml>";

fn wecom_sealed(xml: &str, plain: &Plain) -> String {
    let key = LENIENT.decode(AES_KEY).unwrap();
    let length = u32::try_from(xml.len()).unwrap();
    let mut bytes = vec![7; 16];
    bytes.extend(plain.length.unwrap_or(length).to_be_bytes());
    bytes.extend(xml.as_bytes());
    bytes.extend(plain.receiver.as_bytes());
    let missing = 32 - bytes.len() % 32;
    let byte = u8::try_from(missing).unwrap();
    bytes.extend(vec![byte; missing]);
    if let Some(padding) = plain.padding {
        // 64 equal bytes: every padding of at most 64 bytes would be complete.
        bytes.extend(vec![padding; 64]);
    }
    STANDARD.encode(cipher::encrypt(&key, &key[..16], &bytes))
}

const LENIENT: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
);

fn wecom(sealed: &str) -> Owned {
    let at = (AT.0 / 1_000).to_string();
    let mut parts = ["QDG6eK", at.as_str(), "n1", sealed];
    parts.sort_unstable();
    let signature = hashed(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
    let body =
        format!("<xml><ToUserName>x</ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>");
    Owned {
        body: body.into(),
        ..Owned::default()
    }
    .parameter("msg_signature", signature)
    .parameter("timestamp", at)
    .parameter("nonce", "n1")
}

/// The test of the address in the sample of the vendor.
fn wecom_echo() -> Owned {
    Owned {
        is_get: true,
        ..Owned::default()
    }
    .parameter("msg_signature", "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3")
    .parameter("timestamp", "1409659589")
    .parameter("nonce", "263014780")
    .parameter(
        "echostr",
        "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
    )
}

const ECHO_AT: Moment = Moment(1_409_659_589_000);

fn teams_secret() -> String {
    STANDARD.encode("0123456789abcdef0123456789abcdef")
}

fn teams(body: &str) -> Owned {
    let key = b"0123456789abcdef0123456789abcdef";
    let mac = STANDARD.encode(sign(hmac::HMAC_SHA256, key, body.as_bytes()));
    Owned {
        body: body.into(),
        ..Owned::default()
    }
    .header("Authorization", format!("HMAC {mac}"))
}

fn activity() -> String {
    let at = jiff::Timestamp::from_millisecond(AT.0).unwrap();
    json!({
        "type": "message", "id": "a1", "timestamp": at.to_string(),
        "from": { "id": "29:x", "aadObjectId": "aad-lisi" }, "text": "<at>itsm</at>&nbsp;ack INC-001",
    })
    .to_string()
}

fn feishu_secret() -> String {
    json!({ "encrypt_key": "test key", "verification_token": "v-token" }).to_string()
}

fn feishu(body: &Value) -> Owned {
    let key = digest::digest(&digest::SHA256, b"test key");
    let mut bytes = body.to_string().into_bytes();
    let missing = 16 - bytes.len() % 16;
    bytes.extend(vec![u8::try_from(missing).unwrap(); missing]);
    let iv = [3; 16];
    let sealed = [iv.to_vec(), cipher::encrypt(key.as_ref(), &iv, &bytes)].concat();
    let body = json!({ "encrypt": STANDARD.encode(sealed) }).to_string();
    let at = (AT.0 / 1_000).to_string();
    let signature = hashed(&digest::SHA256, format!("{at}n1test key{body}").as_bytes());
    Owned {
        body: body.into(),
        ..Owned::default()
    }
    .header("X-Lark-Request-Timestamp", at)
    .header("X-Lark-Request-Nonce", "n1")
    .header("X-Lark-Signature", signature)
}

fn feishu_said(token: &str) -> Value {
    let content = json!({ "text": "@_user_1 ack" }).to_string();
    json!({
        "header": { "event_id": "e1", "event_type": "im.message.receive_v1", "token": token },
        "event": {
            "sender": { "sender_id": { "open_id": "ou-lisi" } }, "message": { "content": content },
        },
    })
}

const SMS: &str = "MessageSid=SM1&From=%2B8613800000000&Body=ack";

fn twilio(body: &str) -> Owned {
    let signed = format!("{TWILIO_URL}BodyackFrom+8613800000000MessageSidSM1");
    let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
    let mac = STANDARD.encode(sign(algorithm, TWILIO.as_bytes(), signed.as_bytes()));
    Owned {
        url: TWILIO_URL.into(),
        body: body.into(),
        ..Owned::default()
    }
    .header("X-Twilio-Signature", mac)
}

#[test]
fn the_vectors_of_other_implementations_are_accepted() {
    let body = "payload=%7B%22type%22%3A%22block_actions%22%7D";
    let signature = "v0=9dffc25b49a4a7fc2e15c9c9450bf8af09eb501fcef9039eaea3deb58af0c82c";
    let request = Owned {
        body: body.into(),
        ..Owned::default()
    }
    .header("X-Slack-Request-Timestamp", "1531420618")
    .header("X-Slack-Signature", signature);
    let result = request.verify("slack", SLACK, Moment(1_531_420_618_000));
    assert_eq!(result, Err(unreadable("`trigger_id` is required")));

    let request = Owned {
        body: b"{}".to_vec(),
        ..Owned::default()
    }
    .header("timestamp", "1577262236757")
    .header("sign", "5q4b548N312N4pjSdO3kMfu43KzSAjl0odWcLyS2W1s=");
    let result = request.verify("dingtalk", DINGTALK, Moment(1_577_262_236_757));
    assert_eq!(result, Ok(Verified::Nothing));

    let result = wecom_echo().verify("wecom", &wecom_secret(), ECHO_AT);
    let echo = Answer::text("1616140317555161061");
    assert_eq!(result, Ok(Verified::Challenge(echo)));

    let request = Owned {
        body: br#"{"type":"message","text":"<at>itsm</at> ack INC-001"}"#.to_vec(),
        ..Owned::default()
    }
    .header(
        "authorization",
        "HMAC SR+a9xw132ox2JSu04MXgHEyNi8Tt1Av5IspR+mW7K0=",
    );
    let result = request.verify("teams", &teams_secret(), AT);
    assert_eq!(result, Err(unreadable("`id` is required")));

    let sealed = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=";
    let plain = feishu::decrypted("test key", sealed);
    assert_eq!(plain, Ok(b"hello world".to_vec()));
}

#[test]
fn one_message_of_each_platform_is_accepted() {
    let message = |result: Result<Verified, Refusal>| match result {
        Ok(Verified::Message(message)) => (message.id, message.user, message.text),
        other => panic!("{other:?}"),
    };
    for (platform, request, secret, id, user, text) in [
        (
            "slack",
            slack(SLASH),
            SLACK.to_owned(),
            "t1",
            "U1",
            "ack REQ20261122000042",
        ),
        (
            "dingtalk",
            dingtalk(&said()),
            DINGTALK.to_owned(),
            "m1",
            "dt-lisi",
            "ack",
        ),
        (
            "wecom",
            wecom(&wecom_sealed(TEXT, &PLAIN)),
            wecom_secret(),
            "77",
            "lisi",
            "ack & 中",
        ),
        (
            "teams",
            teams(&activity()),
            teams_secret(),
            "a1",
            "aad-lisi",
            "<at>itsm</at> ack INC-001",
        ),
        (
            "feishu",
            feishu(&feishu_said("v-token")),
            feishu_secret(),
            "e1",
            "ou-lisi",
            "@_user_1 ack",
        ),
        (
            "twilio",
            twilio(SMS),
            TWILIO.to_owned(),
            "SM1",
            "+8613800000000",
            "ack",
        ),
        (
            "teams_bot",
            bot(&bot_activity()),
            bot_secret(),
            "a:1pL6i0oY3C_x-2/1700000000000",
            BOT_CHAT,
            "<at>desk</at> ack",
        ),
    ] {
        let found = message(request.verify(platform, &secret, AT));
        assert_eq!(found, (id.into(), user.into(), text.into()), "{platform}");
    }
    assert_eq!(
        ALL.len(),
        9,
        "the files of `mail` and `ses` have their own tests"
    );
}

/// A person links a chat account with an address in the preferences. A channel therefore must use the kind of address, and
/// every channel with this kind must accept the id that the platform sends.
#[test]
fn the_sender_of_a_message_is_an_address_of_a_channel() {
    for (platform, kind, user) in [
        ("slack", "slack", "U012AB3CD"),
        ("dingtalk", "dingtalk", "dt-lisi"),
        ("wecom", "wecom", "lisi"),
        (
            "teams",
            "teams_user",
            "0a1b2c3d-0000-4000-8000-000000000001",
        ),
        ("teams_bot", "teams", BOT_CHAT),
        ("feishu", "feishu", "ou_7d8a6e6df7621556ce0d21922b676706"),
        ("twilio", "phone", "+8613800000000"),
        ("mail", "email", "lisi@example.com"),
        ("ses", "email", "lisi@example.com"),
    ] {
        assert_eq!(find(platform).unwrap().address_kind(), kind);
        let channels = crate::channel::ALL.iter();
        let channels = channels.filter(|one| one.address_kind() == kind);
        let checks: Vec<_> = channels.map(|one| one.check_address(user)).collect();
        assert!(!checks.is_empty(), "{platform}");
        assert!(checks.iter().all(Result::is_ok), "{platform}: {checks:?}");
    }
}

#[test]
fn a_name_that_is_not_secret_is_never_the_key_of_a_signature() {
    for platform in ALL {
        let is_ses = platform.name() == "ses";
        for arn in [
            " arn:aws:sns:eu-west-1:1:desk",
            "ARN:aws-cn:sns:cn-north-1:1:desk",
        ] {
            assert_eq!(platform.accepts_secret(arn), is_ses, "{}", platform.name());
        }
        assert_eq!(
            platform.accepts_secret("key"),
            !is_ses,
            "{}",
            platform.name()
        );
    }
}

/// Returns a signed report of Twilio with the given query and form.
fn twilio_report(query: &[(&str, &str)], fields: &[(&str, &str)]) -> Owned {
    let joined = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    };
    let url = format!("{TWILIO_URL}?{}", joined(query));
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let signed: String = sorted
        .iter()
        .flat_map(|(name, value)| [*name, *value])
        .collect();
    let signed = format!("{url}{signed}");
    let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
    let mac = STANDARD.encode(sign(algorithm, TWILIO.as_bytes(), signed.as_bytes()));
    let owned = Owned {
        url,
        body: joined(fields).into(),
        ..Owned::default()
    };
    let owned = owned.header("X-Twilio-Signature", mac);
    query
        .iter()
        .fold(owned, |owned, (name, value)| owned.parameter(name, *value))
}

#[test]
fn a_report_of_twilio_names_the_delivery_that_did_not_arrive() {
    const ID: &str = "0123456789abcdef0123456789abcdef";
    let query = [("delivery", ID), ("tag", "ab12")];
    let of = |status: &'static str, code: &'static str| {
        let fields = [
            ("MessageSid", "SM1"),
            ("MessageStatus", status),
            ("ErrorCode", code),
            ("To", "8613800000000"),
        ];
        twilio_report(&query, &fields).verify("twilio", TWILIO, AT)
    };
    for (status, code, expected) in [
        ("undelivered", "30005", "30005"),
        ("failed", "", "failed"),
        ("canceled", "0", "canceled"),
    ] {
        let Ok(Verified::Report { id, report }) = of(status, code) else {
            panic!("{:?}", of(status, code))
        };
        assert_eq!(id, format!("SM1/{status}/ab12"));
        assert_eq!(
            (report.delivery.as_str(), report.tag.as_str()),
            (ID, "ab12")
        );
        assert_eq!(
            (report.status.as_str(), report.recipient.as_str()),
            (expected, "8613800000000")
        );
    }
    for status in ["queued", "sent", "delivered", "read"] {
        assert_eq!(of(status, ""), Ok(Verified::Nothing), "{status}");
    }
    let fields = [("MessageSid", "SM1"), ("MessageStatus", "undelivered")];
    for delivery in ["", "../x", "0123456789ABCDEF0123456789ABCDEF"] {
        let request = twilio_report(&[("delivery", delivery)], &fields);
        let result = request.verify("twilio", TWILIO, AT);
        assert_eq!(result, Ok(Verified::Nothing), "{delivery}");
    }
    // The signature covers the query.
    let mut other = twilio_report(&query, &fields);
    other.url = other.url.replace("ab12", "ab13");
    let result = other.verify("twilio", TWILIO, AT);
    assert_eq!(result, Err(Refusal::Signature));
}

#[test]
fn a_person_outside_of_the_company_causes_nothing_in_teams() {
    let body = activity().replace("aadObjectId", "name");
    let result = teams(&body).verify("teams", &teams_secret(), AT);
    assert_eq!(result, Ok(Verified::Nothing));
}

#[test]
fn pressed_buttons_have_a_value() {
    let value = |result: Result<Verified, Refusal>| match result {
        Ok(Verified::Message(message)) => message.value,
        other => panic!("{other:?}"),
    };
    let payload = json!({
        "type": "block_actions", "trigger_id": "t2", "user": { "id": "U1" }, "actions": [{ "value": "v" }],
    });
    let body = format!("payload={payload}");
    assert_eq!(
        value(slack(&body).verify("slack", SLACK, AT)),
        Some("v".into())
    );
    let opening = json!({
        "type": "block_actions", "trigger_id": "t3", "user": { "id": "U1" }, "actions": [{ "type": "button" }],
    });
    let request = slack(&format!("payload={opening}"));
    assert_eq!(
        request.verify("slack", SLACK, AT),
        Ok(Verified::Nothing),
        "a button that opens a page"
    );
    let card = "<xml><FromUserName>lisi</FromUserName><MsgType>event</MsgType><Event>template_card_event</Event>\
        <EventKey>v</EventKey><ResponseCode>r1</ResponseCode></xml>";
    let request = wecom(&wecom_sealed(card, &PLAIN));
    assert_eq!(
        value(request.verify("wecom", &wecom_secret(), AT)),
        Some("v".into())
    );
    let card = json!({
        "header": { "event_id": "e2", "event_type": "card.action.trigger", "token": "v-token" },
        "event": { "operator": { "open_id": "ou-lisi" }, "action": { "value": { "value": "v" } } },
    });
    let request = feishu(&card);
    assert_eq!(
        value(request.verify("feishu", &feishu_secret(), AT)),
        Some("v".into())
    );
    let request = dingtalk_card(&dingtalk_press());
    assert_eq!(
        value(request.verify("dingtalk", DINGTALK, AT)),
        Some("v".into())
    );
    let request = bot(&bot_invoke());
    assert_eq!(
        value(request.verify("teams_bot", &bot_secret(), AT)),
        Some("v".into())
    );
}

#[test]
fn tests_of_addresses_are_answered() {
    let body = json!({ "type": "url_verification", "challenge": "c1" }).to_string();
    let result = slack(&body).verify("slack", SLACK, AT);
    assert_eq!(result, Ok(Verified::Challenge(Answer::text("c1"))));
    let body = json!({ "type": "url_verification", "challenge": "c2", "token": "v-token" });
    let result = feishu(&body).verify("feishu", &feishu_secret(), AT);
    let answer = Answer::json(&json!({ "challenge": "c2" }));
    assert_eq!(result, Ok(Verified::Challenge(answer)));
}

#[test]
fn two_secrets_are_live_during_a_replacement() {
    let owned = slack(SLASH);
    let request = Request {
        is_get: false,
        url: "",
        headers: &owned.headers,
        query: &[],
        body: &owned.body,
        certificate: None,
    };
    let both = ["old".to_owned(), SLACK.to_owned()];
    assert!(verify(&slack::Slack, &request, &both, AT).is_ok());
    assert_eq!(
        verify(&slack::Slack, &request, &both[..1], AT),
        Err(Refusal::Signature)
    );
    assert_eq!(
        verify(&slack::Slack, &request, &[], AT),
        Err(Refusal::Signature)
    );
}

/// One request that must be refused: its description, the platform, the request, the secret and the time.
type Refused = (&'static str, &'static str, Owned, String, Moment, Refusal);

fn refused_by_slack() -> Vec<Refused> {
    let case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "slack", request, SLACK.to_owned(), now, refusal)
    };
    let stale = Refusal::Stale(300);
    let missing = Refusal::Missing("x-slack-signature");
    let upper = |value: &str| value.to_uppercase().replace("V0=", "v0=");
    vec![
        case("301 s late", slack(SLASH), 301_000, stale.clone()),
        case("301 s early", slack(SLASH), -301_000, stale.clone()),
        case("400 days late", slack(SLASH), 400 * DAY_MS, stale),
        case(
            "another byte",
            slack(SLASH).other_byte(),
            0,
            Refusal::Signature,
        ),
        case(
            "no signature",
            slack(SLASH).without("X-Slack-Signature"),
            0,
            missing,
        ),
        case(
            "no time",
            slack(SLASH).without("X-Slack-Request-Timestamp"),
            0,
            Refusal::Missing("x-slack-request-timestamp"),
        ),
        case(
            "upper-case digits",
            slack(SLASH).changed("X-Slack-Signature", upper),
            0,
            Refusal::Signature,
        ),
        case(
            "another version",
            slack(SLASH).changed("X-Slack-Signature", |value| value.replace("v0=", "v1=")),
            0,
            Refusal::Signature,
        ),
        case(
            "another time",
            slack(SLASH).changed("X-Slack-Request-Timestamp", |at| format!("0{at}")),
            0,
            Refusal::Signature,
        ),
    ]
}

fn refused_by_wecom() -> Vec<Refused> {
    let case = |name, request: Owned, now: Moment, refusal| -> Refused {
        (name, "wecom", request, wecom_secret(), now, refusal)
    };
    let sealed = |plain: &Plain| wecom(&wecom_sealed(TEXT, plain));
    let padded = |padding| Plain {
        padding: Some(padding),
        ..PLAIN
    };
    let late = AT.plus_ms(400 * DAY_MS);
    let of_other = Plain {
        receiver: "wx0000000000000000",
        ..PLAIN
    };
    let too_long = Plain {
        length: Some(u32::MAX),
        ..PLAIN
    };
    let wrong_padding = Refusal::Sealed("its padding");
    let dtd = Owned {
        body: b"<!DOCTYPE xml [<!ENTITY e \"x\">]><xml><Encrypt>&e;</Encrypt></xml>".to_vec(),
        ..Owned::default()
    };
    let encoded = |echo: &str| echo.replace('+', "%2B").replace('/', "%2F");
    vec![
        case("400 days late", sealed(&PLAIN), late, Refusal::Stale(3_600)),
        case(
            "padding of 0",
            sealed(&padded(0)),
            AT,
            wrong_padding.clone(),
        ),
        case("padding of 33", sealed(&padded(33)), AT, wrong_padding),
        case(
            "another company",
            sealed(&of_other),
            AT,
            Refusal::Sealed("its receiver"),
        ),
        case(
            "length over the end",
            sealed(&too_long),
            AT,
            Refusal::Sealed("its length field"),
        ),
        case(
            "echo is not decoded",
            wecom_echo().changed("echostr", encoded),
            ECHO_AT,
            Refusal::Signature,
        ),
        case(
            "plus is a space",
            wecom_echo().changed("echostr", |echo| echo.replace('+', " ")),
            ECHO_AT,
            Refusal::Signature,
        ),
        case("sample of 2014", wecom_echo(), AT, Refusal::Stale(3_600)),
        case(
            "upper-case digits",
            sealed(&PLAIN).changed("msg_signature", str::to_uppercase),
            AT,
            Refusal::Signature,
        ),
        case(
            "another nonce",
            sealed(&PLAIN).changed("nonce", |_| "n2".into()),
            AT,
            Refusal::Signature,
        ),
        case(
            "no nonce",
            sealed(&PLAIN).without("nonce"),
            AT,
            Refusal::Missing("nonce"),
        ),
        case(
            "no signature",
            sealed(&PLAIN).without("msg_signature"),
            AT,
            Refusal::Missing("msg_signature"),
        ),
        case(
            "a DTD",
            dtd,
            AT,
            Refusal::Malformed("the XML must not have a DTD".into()),
        ),
    ]
}

fn refused_by_feishu() -> Vec<Refused> {
    let case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "feishu", request, feishu_secret(), now, refusal)
    };
    let right = || feishu(&feishu_said("v-token"));
    let plain = Owned {
        body: feishu_said("v-token").to_string().into(),
        ..Owned::default()
    };
    let missing = Refusal::Missing("x-lark-signature");
    let damaged = json!({ "encrypt": STANDARD.encode([0_u8; 48]) });
    let damaged = Owned {
        body: damaged.to_string().into(),
        ..Owned::default()
    };
    // Both cases must have the same refusal. Otherwise strangers could find out the content (a padding oracle).
    let no_event = Refusal::Sealed("it is not an event of Feishu");
    vec![
        case("wrong padding", damaged, 0, no_event.clone()),
        case("right padding, no object", feishu(&json!("x")), 0, no_event),
        case(
            "400 days late",
            right(),
            400 * DAY_MS,
            Refusal::Stale(3_600),
        ),
        case(
            "wrong token",
            feishu(&feishu_said("other")),
            0,
            Refusal::Token,
        ),
        case(
            "no signature",
            right().without("X-Lark-Signature"),
            0,
            missing,
        ),
        case(
            "not signed",
            plain,
            0,
            Refusal::Missing("x-lark-request-timestamp"),
        ),
        case(
            "upper-case digits",
            right().changed("X-Lark-Signature", str::to_uppercase),
            0,
            Refusal::Signature,
        ),
        case(
            "another nonce",
            right().changed("X-Lark-Request-Nonce", |_| "n2".into()),
            0,
            Refusal::Signature,
        ),
    ]
}

fn refused_by_others() -> Vec<Refused> {
    let ding_case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "dingtalk", request, DINGTALK.to_owned(), now, refusal)
    };
    let teams_case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "teams", request, teams_secret(), now, refusal)
    };
    let twilio_case = |name, request: Owned, refusal| -> Refused {
        (name, "twilio", request, TWILIO.to_owned(), AT, refusal)
    };
    let ding = || dingtalk(&said());
    let stale = Refusal::Stale(3_600);
    let other_address = Owned {
        url: "https://other.example/".into(),
        ..twilio(SMS)
    };
    let lower = |value: &str| value.to_lowercase();
    vec![
        ding_case("an hour late", ding(), 3_600_001, stale.clone()),
        ding_case("an hour early", ding(), -3_600_001, stale.clone()),
        ding_case("400 days late", ding(), 400 * DAY_MS, stale.clone()),
        ding_case(
            "no signature",
            ding().without("sign"),
            0,
            Refusal::Missing("sign"),
        ),
        ding_case(
            "changed",
            ding().changed("sign", lower),
            0,
            Refusal::Signature,
        ),
        ding_case(
            "another time",
            ding().changed("timestamp", |_| (AT.0 + 1).to_string()),
            0,
            Refusal::Signature,
        ),
        teams_case("400 days late", teams(&activity()), 400 * DAY_MS, stale),
        teams_case(
            "another byte",
            teams(&activity()).other_byte(),
            0,
            Refusal::Signature,
        ),
        teams_case(
            "no signature",
            teams(&activity()).without("Authorization"),
            0,
            Refusal::Missing("authorization"),
        ),
        twilio_case("another byte", twilio(SMS).other_byte(), Refusal::Signature),
        twilio_case("another address", other_address, Refusal::Signature),
        twilio_case(
            "no signature",
            twilio(SMS).without("X-Twilio-Signature"),
            Refusal::Missing("x-twilio-signature"),
        ),
    ]
}

/// Mails of a relay, and messages of Amazon SES. The tests of SES check further messages.
fn refused_mails() -> Vec<Refused> {
    let relay_case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "mail", request, RELAY.to_owned(), now, refusal)
    };
    let ses_case = |name, after_ms: i64| -> Refused {
        let (topic, now) = (sns::fake::TOPIC.to_owned(), AT.plus_ms(after_ms));
        (name, "ses", published(), topic, now, Refusal::Stale(3_600))
    };
    let stale = Refusal::Stale(300);
    let time = "X-Ledgerdesk-Timestamp";
    let another_time = relayed(MAIL).changed(time, |_| "1".to_owned());
    vec![
        relay_case("five minutes late", relayed(MAIL), 301_001, stale.clone()),
        relay_case("five minutes early", relayed(MAIL), -301_001, stale.clone()),
        relay_case("400 days late", relayed(MAIL), 400 * DAY_MS, stale),
        relay_case(
            "another byte",
            relayed(MAIL).other_byte(),
            0,
            Refusal::Signature,
        ),
        relay_case("another time", another_time, 0, Refusal::Signature),
        ses_case("an hour early", -3_600_001),
        ses_case("400 days late", 400 * DAY_MS),
    ]
}

/// The platforms whose signature covers a time. Each of them refuses a message that is 400 days old and was valid then. Twilio
/// signs no time, and the stored id of a message is the only protection against its repetition. The time of an outgoing
/// webhook of Teams is a member of the signed body, and an absent time is not checked.
const SIGNS_A_TIME: &[&str] = &[
    "slack",
    "dingtalk",
    "wecom",
    "teams",
    "teams_bot",
    "feishu",
    "mail",
    "ses",
];
const SIGNS_NO_TIME: &[&str] = &["twilio"];

#[test]
fn a_message_of_400_days_ago_is_refused_if_its_time_is_signed() {
    let late = AT.plus_ms(400 * DAY_MS);
    let of = |platform: &str| match platform {
        "slack" => (slack(SLASH), SLACK.to_owned()),
        "dingtalk" => (dingtalk(&said()), DINGTALK.to_owned()),
        "wecom" => (wecom(&wecom_sealed(TEXT, &PLAIN)), wecom_secret()),
        "teams" => (teams(&activity()), teams_secret()),
        "teams_bot" => (bot(&bot_activity()), bot_secret()),
        "feishu" => (feishu(&feishu_said("v-token")), feishu_secret()),
        "mail" => (relayed(MAIL), RELAY.to_owned()),
        "ses" => (published(), sns::fake::TOPIC.to_owned()),
        _ => (twilio(SMS), TWILIO.to_owned()),
    };
    for platform in ALL.iter().map(|one| one.name()) {
        let (request, secret) = of(platform);
        assert!(request.verify(platform, &secret, AT).is_ok(), "{platform}");
        let result = request.verify(platform, &secret, late);
        let is_refused = matches!(result, Err(Refusal::Stale(_)));
        assert_eq!(is_refused, SIGNS_A_TIME.contains(&platform), "{platform}");
        assert_ne!(is_refused, SIGNS_NO_TIME.contains(&platform), "{platform}");
        let found = if is_refused {
            "refused"
        } else {
            "accepted, signs no time"
        };
        println!("{platform}: 400 days old: {found}");
    }
}

/// The second use of a nonce is refused by the id of the message, which the desk stores. A flow test shows this.
#[test]
fn every_negative_case_is_refused() {
    let mut cases = refused_by_slack();
    cases.extend(refused_by_wecom());
    cases.extend(refused_by_feishu());
    cases.extend(refused_by_others());
    cases.extend(bot::refused_by_the_bot_framework());
    cases.extend(bot::refused_cards_of_dingtalk());
    cases.extend(refused_mails());
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for (name, platform, request, secret, now, refusal) in &cases {
        let result = request.verify(platform, secret, *now);
        assert_eq!(result.as_ref(), Err(refusal), "{platform}: {name}");
        *counts.entry(*platform).or_default() += 1;
    }
    println!("{} negative cases are refused: {counts:?}", cases.len());
    assert!(cases.len() >= 72);
    for platform in ALL {
        assert!(counts.contains_key(platform.name()), "{}", platform.name());
    }
}

#[test]
fn an_unusable_secret_is_named() {
    let result = bot(&bot_activity()).verify("teams_bot", "{}", AT);
    assert!(matches!(result, Err(Refusal::Secret(_))));
    for platform in ["wecom", "feishu"] {
        let request = wecom(&wecom_sealed(TEXT, &PLAIN));
        let result = request.verify(platform, "{}", AT);
        assert!(matches!(result, Err(Refusal::Secret(_))), "{platform}");
    }
    let result = teams(&activity()).verify("teams", "not base64", AT);
    assert!(matches!(result, Err(Refusal::Secret(_))));
}

#[test]
fn a_query_keeps_plus_signs() {
    let pairs = decoded("a=1%2B+2&b&c=%E4%B8%AD&d=%zz%");
    let expected = [("a", "1++2"), ("b", ""), ("c", "中"), ("d", "%zz%")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pairs, expected);
}

//! Builds the requests with which chat platforms report a message of a person or the press of a button, and with which a mail
//! relay forwards a mail. Each request has a valid signature.

use aes::Aes256;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD};
use cbc::Encryptor;
use cbc::cipher::{BlockEncryptMut as _, KeyIvInit as _};
use events::Moment;
use functions::cli::demo::fakes::bot_framework::{self, BotFramework};
use infra::channel::dingtalk_robot;
use infra::inbound::mail::signature;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use ring::hmac::{self, Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use serde_json::{Value, json};

/// The address of the desk in the test.
const SITE: &str = "http://127.0.0.1:8080";
/// The service URL of the bot of Teams.
const SERVICE: &str = "http://127.0.0.1:1/teams";
/// The encryption key of WeCom, from the sample of the vendor.
const AES_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

/// A message or the press of a button.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) at: Moment,
    pub(super) id: &'a str,
    /// The text, or the value of the button.
    pub(super) text: &'a str,
}

/// A platform, with the account to which its messages go.
pub(super) struct Lane {
    pub(super) name: &'static str,
    /// The name of the platform in the address.
    pub(super) platform: &'static str,
    pub(super) account: &'static str,
    /// The kind of the address of the person, and the address.
    pub(super) address: (&'static str, &'static str),
    pub(super) is_press: bool,
    /// The secret of the signatures. Empty if the platform publishes its keys.
    pub(super) secret: &'static str,
    /// Returns the headers, the query and the body of a request.
    make: fn(&Lane, &BotFramework, &Said<'_>) -> Parts,
}

/// The parts of a signed request.
pub(super) struct Parts {
    headers: Vec<(&'static str, String)>,
    query: String,
    body: String,
}

impl Parts {
    fn of(headers: Vec<(&'static str, String)>, body: impl Into<String>) -> Self {
        Self {
            headers,
            query: String::new(),
            body: body.into(),
        }
    }

    /// Returns a request to the address of an account.
    pub(super) fn request(self, platform: &str, account: &str) -> Request<Body> {
        let path = format!("/callbacks/channels/{platform}/{account}");
        let mut request = Request::post(format!("{path}{}", self.query));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(self.body.into()).expect("a request")
    }
}

impl Lane {
    /// Returns a signed request to the desk.
    pub(super) fn request(&self, framework: &BotFramework, said: &Said<'_>) -> Request<Body> {
        let parts = (self.make)(self, framework, said);
        parts.request(self.platform, self.account)
    }

    fn user(&self) -> &'static str {
        self.address.1
    }
}

/// All platforms, and mails in both languages.
pub(super) const LANES: &[Lane] = &[
    Lane {
        name: "Slack slash command",
        platform: "slack",
        account: "slack",
        address: ("slack", "U012AB3CD"),
        is_press: false,
        secret: "slack-signing-secret",
        make: slack_command,
    },
    Lane {
        name: "Slack button",
        platform: "slack",
        account: "slack",
        address: ("slack", "U012AB3CD"),
        is_press: true,
        secret: "slack-signing-secret",
        make: slack_button,
    },
    Lane {
        name: "WeCom message",
        platform: "wecom",
        account: "wecom",
        address: ("wecom", "ZhangSan"),
        is_press: false,
        secret: WECOM,
        make: wecom_message,
    },
    Lane {
        name: "WeCom card",
        platform: "wecom",
        account: "wecom",
        address: ("wecom", "ZhangSan"),
        is_press: true,
        secret: WECOM,
        make: wecom_card,
    },
    Lane {
        name: "Feishu message",
        platform: "feishu",
        account: "feishu",
        address: ("feishu", "ou_7d8a6e6df7621556ce0d21922b676706"),
        is_press: false,
        secret: FEISHU,
        make: feishu_message,
    },
    Lane {
        name: "Feishu card",
        platform: "feishu",
        account: "feishu",
        address: ("feishu", "ou_7d8a6e6df7621556ce0d21922b676706"),
        is_press: true,
        secret: FEISHU,
        make: feishu_card,
    },
    Lane {
        name: "DingTalk message",
        platform: "dingtalk",
        account: "dingtalk",
        address: ("dingtalk", "dt-zhangsan"),
        is_press: false,
        secret: "SECapp",
        make: dingtalk_message,
    },
    Lane {
        name: "DingTalk card",
        platform: "dingtalk",
        account: "dingtalk",
        address: ("dingtalk", "dt-zhangsan"),
        is_press: true,
        secret: "SECapp",
        make: dingtalk_card,
    },
    Lane {
        name: "Teams outgoing webhook",
        platform: "teams",
        account: "webhook",
        address: ("teams_user", "0a1b2c3d-0000-4000-8000-00000000000a"),
        is_press: false,
        secret: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        make: teams_webhook,
    },
    Lane {
        name: "Teams bot message",
        platform: "teams_bot",
        account: "bot",
        address: ("teams", "a:1pL6i0oY3C_x-2"),
        is_press: false,
        secret: "",
        make: bot_message,
    },
    Lane {
        name: "Teams bot button",
        platform: "teams_bot",
        account: "bot",
        address: ("teams", "a:1pL6i0oY3C_x-2"),
        is_press: true,
        secret: "",
        make: bot_button,
    },
    Lane {
        name: "SMS through Twilio",
        platform: "twilio",
        account: "sms",
        address: ("phone", "+8613800000000"),
        is_press: false,
        secret: "twilio-auth-token",
        make: twilio_message,
    },
    Lane {
        name: "Mail in English",
        platform: "mail",
        account: "mail",
        address: ("email", "zhangsan@example.com"),
        is_press: false,
        secret: "key-of-the-relay",
        make: mail,
    },
    Lane {
        name: "Mail in Chinese",
        platform: "mail",
        account: "mail",
        address: ("email", "zhangsan@example.com"),
        is_press: false,
        secret: "key-of-the-relay",
        make: chinese_mail,
    },
];

/// The definitions of all accounts of [`LANES`].
pub(super) const ACCOUNTS: &str = r#"
    [[account]]
    name = "slack"
    channel = "slack"

    [[account]]
    name = "wecom"
    channel = "wecom_app"
    agentid = 1
    buttons = true

    [[account]]
    name = "feishu"
    channel = "feishu"

    [[account]]
    name = "dingtalk"
    channel = "dingtalk_card"
    robot_code = "dingrobot"
    card_template_id = "template.schema"
    callback_route_key = "desk"

    [[account]]
    name = "webhook"
    channel = "teams_workflow"

    [[account]]
    name = "bot"
    channel = "teams_bot"
    app_id = "0a1b2c3d-0000-4000-8000-000000000001"
    url = "http://127.0.0.1:1/teams"
    token_url = "http://127.0.0.1:1/botframework.com/oauth2/v2.0/token"
    metadata_url = "http://127.0.0.1:1/v1/.well-known/openidconfiguration"
    buttons = true

    [[account]]
    name = "sms"
    channel = "sms"
    shape = "twilio"
    from = "+15005550006"

    [[account]]
    name = "mail"
    channel = "email"
    host = "relay.example"
    from = "desk@example.com"
    authserv_id = "relay.example"
"#;

const WECOM: &str = r#"{"token":"QDG6eK","aes_key":"jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C","receive_id":"ww1"}"#;
pub(super) const FEISHU: &str = r#"{"encrypt_key":"test key","verification_token":"v-token"}"#;

fn mac(algorithm: Algorithm, key: &[u8], signed: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, key);
    hmac::sign(&key, signed).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    infra::commit::hex(bytes)
}

fn form(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).expect("a form")
}

/// Signs a body as Slack does.
pub(super) fn slack(secret: &str, at: Moment, body: String) -> Parts {
    let at = (at.0 / 1_000).to_string();
    let signed = format!("v0:{at}:{body}");
    let signature = hex(&mac(HMAC_SHA256, secret.as_bytes(), signed.as_bytes()));
    let headers = vec![
        ("x-slack-request-timestamp", at),
        ("x-slack-signature", format!("v0={signature}")),
    ];
    Parts::of(headers, body)
}

fn slack_command(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let fields = [
        ("command", "/desk"),
        ("trigger_id", said.id),
        ("user_id", lane.user()),
        ("text", said.text),
    ];
    slack(lane.secret, said.at, form(&fields))
}

fn slack_button(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let payload = json!({
        "type": "block_actions", "trigger_id": said.id, "user": { "id": lane.user() },
        "actions": [{ "type": "button", "value": said.text }],
    });
    slack(
        lane.secret,
        said.at,
        form(&[("payload", payload.to_string().as_str())]),
    )
}

/// Encrypts a message as WeCom does: random bytes, the length, the message, the id of the company and the padding to 32 bytes.
fn wecom(said: &Said<'_>, xml: &str) -> Parts {
    let lenient = NO_PAD.with_decode_allow_trailing_bits(true);
    let key = GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(AES_KEY);
    let key = key.expect("a key");
    let mut bytes = vec![7; 16];
    bytes.extend(
        u32::try_from(xml.len())
            .expect("a short text")
            .to_be_bytes(),
    );
    bytes.extend(xml.as_bytes());
    bytes.extend(b"ww1");
    let missing = 32 - bytes.len() % 32;
    bytes.extend(vec![
        u8::try_from(missing).expect("a small number");
        missing
    ]);
    let mut cipher = Encryptor::<Aes256>::new_from_slices(&key, &key[..16]).expect("a cipher");
    let mut sealed = Vec::new();
    for chunk in bytes.chunks_exact(16) {
        let chunk: [u8; 16] = chunk.try_into().expect("a block");
        let mut block = aes::Block::from(chunk);
        cipher.encrypt_block_mut(&mut block);
        sealed.extend_from_slice(&block);
    }
    let sealed = STANDARD.encode(sealed);
    let at = (said.at.0 / 1_000).to_string();
    let mut parts = ["QDG6eK", at.as_str(), "n1", sealed.as_str()];
    parts.sort_unstable();
    let signature = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
    let signature = hex(signature.as_ref());
    Parts {
        headers: Vec::new(),
        query: format!("?msg_signature={signature}&timestamp={at}&nonce=n1"),
        body: format!("<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"),
    }
}

fn wecom_message(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let (user, id, text) = (lane.user(), said.id, said.text);
    let xml = format!(
        "<xml><FromUserName>{user}</FromUserName><MsgType>text</MsgType><Content><![CDATA[{text}]]></Content>\
         <MsgId>{id}</MsgId></xml>"
    );
    wecom(said, &xml)
}

fn wecom_card(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let (user, id, text) = (lane.user(), said.id, said.text);
    let xml = format!(
        "<xml><FromUserName>{user}</FromUserName><MsgType>event</MsgType><Event>template_card_event</Event>\
         <EventKey>{text}</EventKey><ResponseCode>{id}</ResponseCode></xml>"
    );
    wecom(said, &xml)
}

/// Makes and signs an event as Feishu does. The secret is [`FEISHU`].
pub(super) fn feishu(said: &Said<'_>, kind: &str, event: &Value) -> Parts {
    let header = json!({ "event_id": said.id, "event_type": kind, "token": "v-token" });
    let body = json!({ "schema": "2.0", "header": header, "event": event }).to_string();
    let at = (said.at.0 / 1_000).to_string();
    let signature = digest::digest(&SHA256, format!("{at}n1test key{body}").as_bytes());
    let headers = vec![
        ("x-lark-request-timestamp", at),
        ("x-lark-request-nonce", "n1".to_owned()),
        ("x-lark-signature", hex(signature.as_ref())),
    ];
    Parts::of(headers, body)
}

fn feishu_message(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let content = json!({ "text": said.text }).to_string();
    let event = json!({
        "sender": { "sender_id": { "open_id": lane.user() } },
        "message": { "message_id": "om_1", "content": content },
    });
    feishu(said, "im.message.receive_v1", &event)
}

fn feishu_card(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let event = json!({
        "operator": { "open_id": lane.user() },
        "action": { "value": { "name": "acknowledge", "value": said.text }, "tag": "button" },
        "context": { "open_message_id": "om_1" },
    });
    feishu(said, "card.action.trigger", &event)
}

fn dingtalk_message(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let body = json!({
        "msgtype": "text", "msgId": said.id, "senderStaffId": lane.user(), "text": { "content": said.text },
    });
    dingtalk(lane.secret, said.at, &body)
}

/// Signs a message to a robot as DingTalk does.
pub(super) fn dingtalk(secret: &str, at: Moment, body: &Value) -> Parts {
    let headers = vec![
        ("timestamp", at.0.to_string()),
        ("sign", dingtalk_robot::sign(secret, at)),
    ];
    Parts::of(headers, body.to_string())
}

/// DingTalk gives no id to the press of a button. The signed time is the id, so each press has another card.
fn dingtalk_card(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let content =
        json!({ "cardPrivateData": { "actionIds": ["1"], "params": { "value": said.text } } });
    let body = json!({
        "type": "actionCallback", "outTrackId": said.id, "corpId": "ding1", "userId": lane.user(),
        "content": content.to_string(),
    });
    let at = said.at.0.to_string();
    let signature = mac(HMAC_SHA256, lane.secret.as_bytes(), at.as_bytes());
    let headers = vec![
        ("x-ddpaas-signature-timestamp", at),
        ("x-ddpaas-signature", STANDARD.encode(signature)),
    ];
    Parts::of(headers, body.to_string())
}

fn teams_webhook(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let at = jiff::Timestamp::from_millisecond(said.at.0).expect("a time");
    let body = json!({
        "type": "message", "id": said.id, "timestamp": at.to_string(),
        "from": { "id": "29:1a", "aadObjectId": lane.user() }, "text": format!("<at>desk</at> {}", said.text),
    });
    let body = body.to_string();
    let key = STANDARD.decode(lane.secret).expect("Base64");
    let signature = STANDARD.encode(mac(HMAC_SHA256, &key, body.as_bytes()));
    Parts::of(vec![("authorization", format!("HMAC {signature}"))], body)
}

fn bot_message(lane: &Lane, framework: &BotFramework, said: &Said<'_>) -> Parts {
    let body = bot_framework::said(SERVICE, lane.user(), said.id, said.text);
    let headers = vec![("authorization", framework.bearer(SERVICE))];
    Parts::of(headers, body.to_string())
}

fn bot_button(lane: &Lane, framework: &BotFramework, said: &Said<'_>) -> Parts {
    let body = bot_framework::pressed(SERVICE, lane.user(), said.id, "1:1", said.text);
    let headers = vec![("authorization", framework.bearer(SERVICE))];
    Parts::of(headers, body.to_string())
}

fn twilio_message(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let (id, user, text) = (said.id, lane.user(), said.text);
    // Twilio signs the address, and the fields in the order of their names.
    let address = format!("{SITE}/callbacks/channels/twilio/sms");
    let signed = format!("{address}Body{text}From{user}MessageSid{id}");
    let algorithm = HMAC_SHA1_FOR_LEGACY_USE_ONLY;
    let signature = mac(algorithm, lane.secret.as_bytes(), signed.as_bytes());
    let headers = vec![("x-twilio-signature", STANDARD.encode(signature))];
    Parts::of(
        headers,
        form(&[("MessageSid", id), ("From", user), ("Body", text)]),
    )
}

/// A reply that mail programs write: the command, and the quoted text of the mail of the desk. The relay has checked the sender.
fn mail(lane: &Lane, _: &BotFramework, said: &Said<'_>) -> Parts {
    let (from, id, text) = (lane.user(), said.id, said.text);
    let body = format!(
        "Authentication-Results: relay.example; dmarc=pass header.from=example.com\r\nFrom: <{from}>\r\n\
         To: <desk@example.com>\r\nSubject: Re: x\r\nMessage-ID: <{id}@example.com>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n\r\n\
         On Mon, Nov 23, 2026 at 10:00 AM Desk wrote:\r\n> status\r\n"
    );
    let at = said.at.0.div_euclid(1_000);
    let headers = vec![
        ("x-ledgerdesk-timestamp", at.to_string()),
        (
            "x-ledgerdesk-signature",
            signature(lane.secret, at, body.as_bytes()),
        ),
    ];
    Parts::of(headers, body)
}

fn chinese_mail(lane: &Lane, framework: &BotFramework, said: &Said<'_>) -> Parts {
    let text = said.text.replacen("ack ", "确认接收 ", 1);
    let text = text.as_str();
    mail(lane, framework, &Said { text, ..*said })
}

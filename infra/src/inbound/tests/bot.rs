//! Tests for bots of Teams and for the buttons of DingTalk cards.

use super::*;
use crate::channel::push::{Algorithm, SigningKey, test_rsa_key};

const BOT: &str = "0a1b2c3d-0000-4000-8000-000000000001";
pub(super) const BOT_CHAT: &str = "a:1pL6i0oY3C_x-2";
const SERVICE: &str = "https://smba.trafficmanager.net/emea/";

fn bot_key() -> SigningKey {
    SigningKey::read(Algorithm::Rs256, &test_rsa_key()).unwrap()
}

/// The published keys: one for Teams, and one for another channel. Both are the same RSA key.
pub(super) fn bot_secret() -> String {
    let (n, e) = bot_key().components().unwrap();
    let key = |kid: &str, channel: &str| {
        let endorsements = [channel];
        json!({ "kty": "RSA", "kid": kid, "n": n, "e": e, "endorsements": endorsements })
    };
    let ec = json!({ "kty": "EC", "kid": "k0" });
    let keys = json!({ "keys": [ec, key("k1", "msteams"), key("k2", "webchat")] });
    let trusted = teams_bot::Trusted {
        app_id: BOT.into(),
        issuer: "https://api.botframework.com".into(),
        keys: teams_bot::published(keys.to_string().as_bytes()).unwrap(),
    };
    serde_json::to_string(&trusted).unwrap()
}

fn bot_claims() -> Value {
    json!({
        "iss": "https://api.botframework.com", "aud": BOT, "serviceurl": SERVICE,
        "nbf": AT.0 / 1_000 - 10, "exp": AT.0 / 1_000 + 3_600,
    })
}

pub(super) fn bot_activity() -> Value {
    json!({
        "type": "message", "id": "1700000000000", "channelId": "msteams", "serviceUrl": SERVICE,
        "conversation": { "id": BOT_CHAT, "conversationType": "personal" },
        "from": { "id": "29:x" }, "recipient": { "id": "28:bot" }, "text": "<at>desk</at>&nbsp;ack",
    })
}

pub(super) fn bot_invoke() -> Value {
    let mut invoke = bot_activity();
    invoke["type"] = "invoke".into();
    invoke["name"] = "adaptiveCard/action".into();
    invoke["id"] = "f:1".into();
    invoke["replyToId"] = "1:2AbC".into();
    invoke["value"] = json!({
        "action": { "type": "Action.Execute", "verb": "acknowledge", "data": { "value": "v" } },
    });
    invoke
}

fn bot_with(header: &Value, claims: &Value, activity: &Value) -> Owned {
    let token = bot_key().sign(header, claims).unwrap();
    Owned {
        body: activity.to_string().into(),
        ..Owned::default()
    }
    .header("Authorization", format!("Bearer {token}"))
}

pub(super) fn bot(activity: &Value) -> Owned {
    let header = json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" });
    bot_with(&header, &bot_claims(), activity)
}

/// The press of a button of a DingTalk card. The signature covers only the time.
pub(super) fn dingtalk_card(body: &Value) -> Owned {
    let at = AT.0.to_string();
    let mac = sign(hmac::HMAC_SHA256, DINGTALK.as_bytes(), at.as_bytes());
    Owned {
        body: body.to_string().into(),
        ..Owned::default()
    }
    .header("x-ddpaas-signature-timestamp", at)
    .header("x-ddpaas-signature", STANDARD.encode(mac))
}

pub(super) fn dingtalk_press() -> Value {
    let content = json!({ "cardPrivateData": { "actionIds": ["1"], "params": { "value": "v" } } });
    json!({
        "type": "actionCallback", "outTrackId": "d1", "corpId": "ding1", "userId": "dt-lisi",
        "content": content.to_string(),
    })
}

#[test]
fn a_pressed_button_names_the_place_of_its_message() {
    let place = |result: Result<Verified, Refusal>| match result {
        Ok(Verified::Message(message)) => message.place.unwrap(),
        other => panic!("{other:?}"),
    };
    let found = place(bot(&bot_invoke()).verify("teams_bot", &bot_secret(), AT));
    let expected = Place {
        service: SERVICE.into(),
        chat: BOT_CHAT.into(),
        message: "1:2AbC".into(),
    };
    assert_eq!(found, expected);
    let found = place(dingtalk_card(&dingtalk_press()).verify("dingtalk", DINGTALK, AT));
    assert_eq!(found.message, "d1");
}

#[test]
fn a_repeated_press_of_a_card_has_the_same_id() {
    let id = |body: &Value| match dingtalk_card(body).verify("dingtalk", DINGTALK, AT) {
        Ok(Verified::Message(message)) => message.id,
        other => panic!("{other:?}"),
    };
    let mut other = dingtalk_press();
    other["userId"] = "dt-wangwu".into();
    assert_eq!(id(&dingtalk_press()), id(&dingtalk_press()));
    assert_ne!(id(&dingtalk_press()), id(&other));
}

#[test]
fn only_the_press_of_a_button_gets_a_text_at_once() {
    let pressed = Message {
        value: Some("v".into()),
        ..Message::default()
    };
    let shown =
        |platform: &str, message: &Message| find(platform).unwrap().stored(Some(message)).body;
    for (platform, member) in [
        ("teams_bot", "application/vnd.microsoft.activity.message"),
        ("feishu", "toast"),
        ("dingtalk", "updatePrivateDataByKey"),
    ] {
        assert!(shown(platform, &pressed).contains(member), "{platform}");
        assert!(
            !shown(platform, &Message::default()).contains(member),
            "{platform}"
        );
    }
}

#[test]
fn a_bot_reads_only_personal_chats_and_its_installation() {
    let read = |change: &dyn Fn(&mut Value)| {
        let mut activity = bot_activity();
        change(&mut activity);
        bot(&activity).verify("teams_bot", &bot_secret(), AT)
    };
    let nothing = Ok(Verified::Nothing);
    let in_channel = |activity: &mut Value| {
        activity["conversation"]["conversationType"] = "channel".into();
    };
    assert_eq!(read(&in_channel), nothing);
    for kind in ["conversationUpdate", "typing", "messageReaction"] {
        assert_eq!(read(&|activity| activity["type"] = kind.into()), nothing);
    }
    for (action, is_read) in [("add", true), ("remove", false)] {
        let installed = |activity: &mut Value| {
            activity["type"] = "installationUpdate".into();
            activity["action"] = action.into();
            activity["text"] = "ack".into();
        };
        let found = read(&installed);
        let is_message =
            matches!(&found, Ok(Verified::Message(message)) if message.text.is_empty());
        assert_eq!(is_message, is_read, "{action}: {found:?}");
    }
}

pub(super) fn refused_by_the_bot_framework() -> Vec<Refused> {
    let case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "teams_bot", request, bot_secret(), now, refusal)
    };
    let right = || bot(&bot_activity());
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
    let headed = |alg: &str, kid: &str| bot_with(&header(alg, kid), &bot_claims(), &bot_activity());
    let claimed = |name: &str, value: Value| {
        let mut claims = bot_claims();
        claims[name] = value;
        bot_with(&header("RS256", "k1"), &claims, &bot_activity())
    };
    let active = |name: &str, value: &str| {
        let mut activity = bot_activity();
        activity[name] = value.into();
        bot(&activity)
    };
    let cut = |value: &str| value.rsplit_once('.').unwrap().0.to_owned() + ".";
    let service = "its claim `serviceurl` must be the `serviceUrl` of the activity";
    let missing = Refusal::Missing("authorization");
    let not_json = Owned {
        body: b"{".to_vec(),
        ..right()
    };
    let (signature, stale) = (Refusal::Signature, Refusal::Stale(300));
    let audience = Refusal::Claim("its audience must be the bot of the account");
    let issuer = Refusal::Claim("its issuer must be the Bot Framework");
    let early = json!(AT.0 / 1_000 + 301);
    vec![
        case("no token", right().without("Authorization"), 0, missing),
        case(
            "not a bearer",
            right().changed("Authorization", |value| value.replace("Bearer", "HMAC")),
            0,
            signature.clone(),
        ),
        case(
            "no signature",
            right().changed("Authorization", cut),
            0,
            signature.clone(),
        ),
        case(
            "other letters",
            right().changed("Authorization", |value| value.replacen(".ey", ".ez", 1)),
            0,
            signature.clone(),
        ),
        case("no algorithm", headed("none", "k1"), 0, signature.clone()),
        case("HS256", headed("HS256", "k1"), 0, signature.clone()),
        case("unknown key", headed("RS256", "k3"), 0, signature),
        case(
            "key of another channel",
            headed("RS256", "k2"),
            0,
            Refusal::Claim("its key must have the endorsement msteams"),
        ),
        case(
            "another bot",
            claimed("aud", "0a1b2c3d-0000-4000-8000-000000000002".into()),
            0,
            audience.clone(),
        ),
        case("no audience", claimed("aud", Value::Null), 0, audience),
        case(
            "the emulator",
            claimed("iss", "https://sts.windows.net/d6d49420/".into()),
            0,
            issuer,
        ),
        case(
            "another service",
            claimed("serviceurl", "https://evil.example/".into()),
            0,
            Refusal::Claim(service),
        ),
        case(
            "no service",
            claimed("serviceurl", Value::Null),
            0,
            Refusal::Claim(service),
        ),
        case(
            "a service in the body",
            active("serviceUrl", "https://evil.example/"),
            0,
            Refusal::Claim(service),
        ),
        case(
            "another channel",
            active("channelId", "webchat"),
            0,
            Refusal::Claim("the activity must come from the channel msteams"),
        ),
        case(
            "no expiry",
            claimed("exp", Value::Null),
            0,
            Refusal::Claim("it must expire"),
        ),
        case("301 s after its expiry", right(), 3_901_000, stale.clone()),
        case(
            "301 s before its start",
            claimed("nbf", early),
            0,
            stale.clone(),
        ),
        case("400 days late", right(), 400 * DAY_MS, stale),
        case(
            "a body that is not JSON",
            not_json,
            0,
            Refusal::Malformed("the body is not a JSON object".into()),
        ),
    ]
}

pub(super) fn refused_cards_of_dingtalk() -> Vec<Refused> {
    let case = |name, request: Owned, after_ms: i64, refusal| -> Refused {
        let now = AT.plus_ms(after_ms);
        (name, "dingtalk", request, DINGTALK.to_owned(), now, refusal)
    };
    let right = || dingtalk_card(&dingtalk_press());
    let time = "x-ddpaas-signature-timestamp";
    let later = |_: &str| (AT.0 + 1).to_string();
    // The signature of a robot covers the secret too, so it is not valid for a card.
    let robot = dingtalk(&dingtalk_press());
    let of_robot = robot.headers[1].1.clone();
    vec![
        case(
            "card: an hour late",
            right(),
            3_600_001,
            Refusal::Stale(3_600),
        ),
        case(
            "card: an hour early",
            right(),
            -3_600_001,
            Refusal::Stale(3_600),
        ),
        case(
            "card: 400 days late",
            right(),
            400 * DAY_MS,
            Refusal::Stale(3_600),
        ),
        case(
            "card: no time",
            right().without(time),
            0,
            Refusal::Missing(time),
        ),
        case(
            "card: another time",
            right().changed(time, later),
            0,
            Refusal::Signature,
        ),
        case(
            "card: lower-case letters",
            right().changed("x-ddpaas-signature", str::to_lowercase),
            0,
            Refusal::Signature,
        ),
        case(
            "card: signed as a robot",
            right().changed("x-ddpaas-signature", |_| of_robot.clone()),
            0,
            Refusal::Signature,
        ),
    ]
}

//! Converts the notification preferences of a person from and to the document of the requirements
//! (requirements/notifications.md, 用户偏好配置). The desk stores the document and returns it unchanged.
//!
//! A section such as `email` contains an address and the preference for a channel. The channels in the list `channels`
//! are on, and the other channels are off. The document has no quiet hours and no aggregation, so these preferences keep
//! their values.

use std::collections::BTreeMap;

use events::notification::Category;
use events::person::{Language, PreferencesChanged};
use events::preference::{ChannelPreference, Frequency};
use serde_json::{Map, Value, json};

use super::preferences::{Preferences, Wrong, check_address, check_times, dotted, is_kind, wrong};
use crate::app::times;

/// The sections of the document: the name of the section, the name of its address member, and the kind of address.
pub const SECTIONS: [(&str, &str, &str); 4] = [
    ("email", "address", "email"),
    ("wechat", "openid", "openid"),
    ("dingtalk", "userid", "dingtalk"),
    ("slack", "userid", "slack"),
];
/// The member with all sections.
const ALL: &str = "notification_preferences";
/// The kind of address whose form every person knows. A wrong address of this kind is an error.
const EMAIL: &str = "email";

/// Reads the preferences in a document. `name` is the user name of the person, and `stored` contains the current
/// preferences. The caller has already checked the names and the types of the members. Returns an error for the first
/// member that is wrong.
pub fn read(
    document: &Map<String, Value>,
    name: &str,
    stored: &PreferencesChanged,
) -> Result<Preferences, Wrong> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    if let Some(username) = text("username").filter(|username| *username != name) {
        let reason = format!("`username` must be the person in the path, not {username:?}");
        return Err(wrong("/username", reason));
    }
    let zone = text("timezone").map(str::to_owned);
    if let Some(zone) = &zone {
        times::zone(zone).map_err(|reason| wrong("/timezone", reason))?;
    }
    let empty = Map::new();
    let sections = document.get(ALL).and_then(Value::as_object);
    let sections = sections.unwrap_or(&empty);
    let listed: Vec<&str> = sections
        .get("channels")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let is_ours = |kind: &str| SECTIONS.iter().any(|(.., ours)| *ours == kind);
    // The document has no members for the other kinds of addresses, so these keep their values.
    let others = |kind: &&String| !is_ours(kind);
    let mut addresses: BTreeMap<String, String> = stored
        .addresses
        .iter()
        .filter(|(kind, _)| others(kind))
        .filter_map(|(kind, address)| Some((kind.clone(), address.value.as_str()?.to_owned())))
        .collect();
    let mut channels: BTreeMap<String, ChannelPreference> = stored
        .channels
        .iter()
        .filter(|(kind, _)| others(kind))
        .map(|(kind, choice)| (kind.clone(), choice.clone()))
        .collect();
    for (section, member, kind) in SECTIONS {
        let Some(given) = sections.get(section).and_then(Value::as_object) else {
            continue;
        };
        let at = format!("/{ALL}/{section}");
        let address = given.get(member).and_then(Value::as_str);
        let choice = choice(given, &at, listed.contains(&section))?;
        // A channel that this version does not have stays only in the document.
        if !is_kind(kind) {
            continue;
        }
        match address.map(|address| (address, check_address(kind, address))) {
            Some((address, Ok(()))) => {
                addresses.insert(kind.to_owned(), address.to_owned());
            }
            Some((_, Err(reason))) if kind == EMAIL => {
                let field = format!("{at}/{member}");
                let reason = format!("`{}` {reason}", dotted(&field));
                return Err(wrong(field, reason));
            }
            // The form has ids that a platform does not have, such as `slack-user-abcde`. Such an id stays only in the
            // document, and the channel skips the person because of the missing address.
            Some((_, Err(_))) | None => {}
        }
        channels.insert(kind.to_owned(), choice);
    }
    Ok(Preferences {
        language: match text("language") {
            Some("en") => Language::English,
            _ => Language::Chinese,
        },
        zone,
        quiet: stored.quiet.clone(),
        do_not_disturb_until: stored.do_not_disturb_until,
        calendar: stored.calendar.clone(),
        presence: stored
            .presence
            .as_ref()
            .and_then(|presence| presence.value.as_str().map(str::to_owned)),
        addresses,
        channels,
        is_aggregated: stored.is_aggregated,
        is_learned: stored.is_learned,
        document: Some(Value::Object(document.clone())),
    })
}

/// Reads the preference for a channel. `at` is the JSON pointer of its section.
fn choice(given: &Map<String, Value>, at: &str, is_on: bool) -> Result<ChannelPreference, Wrong> {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    let times = text("batch_time").unwrap_or_default().split(',');
    let times: Vec<String> = times
        .map(str::trim)
        .filter(|time| !time.is_empty())
        .map(str::to_owned)
        .collect();
    check_times(&times).map_err(|(_, reason)| {
        let field = format!("{at}/batch_time");
        let reason = format!("`{}` {reason}", dotted(&field));
        wrong(field, reason)
    })?;
    let names = given.get("categories").and_then(Value::as_array);
    let names: Option<Vec<&str>> =
        names.map(|names| names.iter().filter_map(Value::as_str).collect());
    let names = names.filter(|names| !names.contains(&"all"));
    let frequency = text("frequency").and_then(Frequency::read);
    Ok(ChannelPreference {
        frequency: if is_on {
            frequency.unwrap_or_default()
        } else {
            Frequency::Off
        },
        batch_times: times,
        categories: names.map(|names| names.into_iter().filter_map(Category::read).collect()),
    })
}

/// Returns the preferences of a person as a document. If the preferences were set with a document, returns this document
/// unchanged. `zone` is the name of the time zone of the desk.
pub fn write(name: &str, stored: &PreferencesChanged, zone: &str) -> Value {
    let document = stored.document.as_ref();
    if let Some(document) = document.filter(|document| !document.is_erased()) {
        return document.value.clone();
    }
    let (mut sections, mut on) = (Map::new(), Vec::new());
    for (section, member, kind) in SECTIONS {
        let address = stored.addresses.get(kind).map(|address| &address.value);
        let choice = stored.channels.get(kind);
        if address.is_none() && choice.is_none() {
            continue;
        }
        let default = ChannelPreference::default();
        let choice = choice.unwrap_or(&default);
        if choice.frequency != Frequency::Off {
            on.push(section);
        }
        let mut shown = json!({ "frequency": choice.frequency.name() });
        if let Some(address) = address {
            shown[member] = address.clone();
        }
        if !choice.batch_times.is_empty() {
            shown["batch_time"] = choice.batch_times.join(",").into();
        }
        shown["categories"] = match &choice.categories {
            None => json!(["all"]),
            Some(categories) => categories.iter().map(|one| one.name()).collect(),
        };
        sections.insert(section.to_owned(), shown);
    }
    sections.insert("channels".to_owned(), json!(on));
    json!({
        "user_id": name,
        "username": name,
        "notification_preferences": sections,
        "timezone": stored.zone.as_deref().unwrap_or(zone),
        "language": match stored.language {
            Language::Chinese => "zh-CN",
            Language::English => "en",
        },
    })
}

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;

    fn document() -> Value {
        json!({
            "user_id": "user-001",
            "username": "john.doe",
            "notification_preferences": {
                "channels": ["email", "wechat"],
                "email": {
                    "address": "john.doe@company.com",
                    "frequency": "immediate",
                    "categories": ["assigned", "updated", "resolved"],
                },
                "dingtalk": {
                    "userid": "dingtalk-user-67890",
                    "frequency": "batch",
                    "batch_time": "09:00,14:00,17:00",
                    "categories": ["all"],
                },
            },
            "timezone": "Asia/Shanghai",
            "language": "zh-CN",
        })
    }

    fn of(document: &Value) -> Result<Preferences, Wrong> {
        let members = document.as_object().unwrap();
        read(members, "john.doe", &PreferencesChanged::default())
    }

    #[test]
    fn a_document_contains_addresses_and_preferences() {
        let preferences = of(&document()).unwrap();
        assert_eq!(preferences.addresses["email"], "john.doe@company.com");
        let email = &preferences.channels["email"];
        let expected = [Category::Assigned, Category::Updated, Category::Resolved];
        assert_eq!(email.categories.as_deref(), Some(&expected[..]));
        assert_eq!(email.frequency, Frequency::Immediate);
        let dingtalk = &preferences.channels["dingtalk"];
        assert_eq!(dingtalk.batch_times, ["09:00", "14:00", "17:00"]);
        assert_eq!(dingtalk.categories, None);
        assert_eq!(
            dingtalk.frequency,
            Frequency::Off,
            "the list has no dingtalk"
        );
        assert_eq!(preferences.document, Some(document()));
    }

    #[test]
    fn a_written_document_can_be_read() {
        let mut stored = PreferencesChanged::default();
        let address = Personal::new("p-1".into(), "a@b.example".into());
        stored.addresses.insert("email".into(), address);
        let written = write("john.doe", &stored, "UTC");
        let read = of(&written).unwrap();
        assert_eq!(read.addresses["email"], "a@b.example");
        assert_eq!(read.channels["email"].frequency, Frequency::Immediate);
        stored.document = Some(Personal::new("p-1".into(), document()));
        assert_eq!(write("john.doe", &stored, "UTC"), document());
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (pointer, value, field) in [
            ("/username", "other", "/username"),
            ("/timezone", "Mars", "/timezone"),
            (
                "/notification_preferences/email/address",
                "john",
                "/notification_preferences/email/address",
            ),
            (
                "/notification_preferences/dingtalk/batch_time",
                "09:00,9",
                "/notification_preferences/dingtalk/batch_time",
            ),
        ] {
            let mut changed = document();
            *changed.pointer_mut(pointer).unwrap() = value.into();
            let Wrong {
                field: named,
                reason,
            } = of(&changed).unwrap_err();
            assert_eq!(named, field, "{reason}");
        }
    }
}

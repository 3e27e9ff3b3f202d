//! Decides how a notification reaches a person: at once through messages, when the person is available again, or
//! only in the inbox.

use std::collections::BTreeMap;

use events::Moment;
use events::calendar;
use events::channel_account;
use events::notification::{Held, HeldReason, Route, Routed, SkipReason, Skipped};
use events::notification_policy;
use events::person::PreferencesChanged;
use jiff::tz::TimeZone;

use super::availability::{Availability, Busy, Circumstances, availability};

/// Maximum time in milliseconds that the desk waits for the end of all deliveries (messages) of a
/// notification: one day.
pub const EXPIRES_MS: i64 = 24 * 3_600_000;

/// The data from which the desk decides how a notification reaches a person.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// True if the notification ignores quiet hours and the working calendar.
    pub is_urgent: bool,
    /// True if the notification is never held.
    pub is_critical: bool,
    pub preferences: &'a PreferencesChanged,
    /// The time zone for the quiet hours and the working hours of the recipient.
    pub zone: &'a TimeZone,
    /// The working calendar of the recipient. If the value is `None`, all hours are working hours.
    pub calendar: Option<&'a calendar::Defined>,
    /// The known appointments of the recipient.
    pub appointments: &'a [Busy],
    /// The time after which appointments of the recipient no longer hold this notification. The value is `None` if no
    /// appointment has held the notification.
    pub presence_limit: Option<Moment>,
    /// The notification policy, which names the channel accounts (configured senders of messages). The value
    /// is `None` if no policy is defined. The desk then sends no messages.
    pub policy: Option<&'a notification_policy::Defined>,
    /// The channel accounts (configured senders of messages) that the notification policy names. Each key of
    /// the map is the name of an account. If an account has no entry, this account is not defined.
    pub accounts: &'a BTreeMap<String, channel_account::Defined>,
    /// Returns the kind of address that a channel needs. For example, the channel `dingtalk_robot` needs an
    /// address of the kind `dingtalk`. Returns `None` if the channel is unknown.
    pub address_kind: fn(&str) -> Option<&'static str>,
    pub now: Moment,
}

/// The decision about one notification: hold the notification, or send messages now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The desk sends no message before the recipient is available again.
    Hold(Held),
    /// The desk sends one message through each channel account (a configured sender, such as a mail relay) in
    /// `routes`. If `routes` is empty, only the inbox shows the notification.
    Send(Routed),
}

/// Decides whether a notification is sent now, or is held until the recipient is available again. A notification is
/// never held if it is critical, or if no channel account (a configured sender of messages) can reach the recipient.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let routed = routes(situation);
    if routed.routes.is_empty() {
        return Decision::Send(routed);
    }
    let preferences = situation.preferences;
    let available = availability(&Circumstances {
        is_urgent: situation.is_urgent,
        is_critical: situation.is_critical,
        quiet: preferences.quiet.as_ref(),
        do_not_disturb_until: preferences.do_not_disturb_until,
        calendar: situation.calendar,
        zone: situation.zone,
        appointments: situation.appointments,
        presence_limit: situation.presence_limit,
        now: situation.now,
    });
    match available {
        Availability::Free => Decision::Send(routed),
        Availability::Held {
            until,
            because,
            presence_limit,
        } => Decision::Hold(Held {
            until,
            because: Some(because),
            quiet: preferences
                .quiet
                .clone()
                .filter(|_| because == HeldReason::QuietHours),
            zone: situation.zone.iana_name().unwrap_or("UTC").to_owned(),
            presence_limit,
        }),
    }
}

/// Returns the channel accounts (configured senders of messages) that can reach the recipient of the
/// notification. Also returns the other accounts of the notification policy, each with the reason why this
/// account cannot reach the recipient.
fn routes(situation: &Situation<'_>) -> Routed {
    let (mut routes, mut skipped) = (Vec::new(), Vec::new());
    for name in situation.policy.iter().flat_map(|policy| &policy.accounts) {
        let account = name.clone();
        match channel_to_person(situation, name) {
            Ok(channel) => routes.push(Route { account, channel }),
            Err(reason) => skipped.push(Skipped { account, reason }),
        }
    }
    Routed {
        routes,
        skipped,
        expires: situation.now.plus_ms(EXPIRES_MS),
    }
}

/// Returns the channel (such as e-mail) of the channel account `name`, if this account can send messages to
/// the recipient. Otherwise, returns the reason why the account cannot reach the recipient.
fn channel_to_person(situation: &Situation<'_>, name: &str) -> Result<String, SkipReason> {
    let account = situation.accounts.get(name).ok_or(SkipReason::NotDefined)?;
    if !account.is_enabled {
        return Err(SkipReason::Disabled);
    }
    let kind = (situation.address_kind)(&account.channel);
    let address = kind.and_then(|kind| situation.preferences.addresses.get(kind));
    match address {
        Some(address) if !address.is_erased() => Ok(account.channel.clone()),
        _ => Err(SkipReason::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::person::QuietHours;
    use events::task_type::Repetition;

    use super::*;

    struct Case {
        preferences: PreferencesChanged,
        policy: Option<notification_policy::Defined>,
        accounts: BTreeMap<String, channel_account::Defined>,
        is_urgent: bool,
    }

    /// Returns a test case with a person and a notification policy. The person has an e-mail address and
    /// quiet hours. The policy names a mail relay and a chat robot.
    fn case() -> Case {
        let account = |name: &str, channel: &str| channel_account::Defined {
            name: name.into(),
            channel: channel.into(),
            is_enabled: true,
            per_minute: None,
            repetition: Repetition::AtMostOnce,
            settings: BTreeMap::new(),
        };
        let address = Personal::new("p-1".into(), "a@b.example".into());
        Case {
            preferences: PreferencesChanged {
                quiet: Some(QuietHours {
                    from: "22:00".into(),
                    to: "07:00".into(),
                }),
                addresses: BTreeMap::from([("email".to_owned(), address)]),
                ..PreferencesChanged::default()
            },
            policy: Some(notification_policy::Defined {
                name: "default".into(),
                accounts: vec!["mail".into(), "robot".into()],
                urgent: Vec::new(),
                critical: Vec::new(),
                operators: Vec::new(),
            }),
            accounts: BTreeMap::from([
                ("mail".to_owned(), account("mail", "email")),
                ("robot".to_owned(), account("robot", "dingtalk_robot")),
            ]),
            is_urgent: false,
        }
    }

    const DAY: Moment = Moment(1_763_773_200_000); // 2025-11-22T09:00 in Shanghai
    const NIGHT: Moment = Moment(1_763_823_600_000); // 2025-11-22T23:00 in Shanghai

    fn decided(case: &Case, now: Moment) -> Decision {
        decide(&Situation {
            is_urgent: case.is_urgent,
            is_critical: false,
            preferences: &case.preferences,
            zone: &TimeZone::get("Asia/Shanghai").unwrap(),
            calendar: None,
            appointments: &[],
            presence_limit: None,
            policy: case.policy.as_ref(),
            accounts: &case.accounts,
            address_kind: |channel| match channel {
                "email" => Some("email"),
                "dingtalk_robot" => Some("dingtalk"),
                _ => None,
            },
            now,
        })
    }

    fn sent(case: &Case, now: Moment) -> Routed {
        match decided(case, now) {
            Decision::Send(routed) => routed,
            Decision::Hold(held) => panic!("{held:?}"),
        }
    }

    fn reasons(routed: &Routed) -> Vec<(&str, SkipReason)> {
        let skipped = routed.skipped.iter();
        skipped
            .map(|one| (one.account.as_str(), one.reason))
            .collect()
    }

    #[test]
    fn each_account_of_the_policy_is_a_route_or_is_skipped_with_its_reason() {
        let mut case = case();
        let routed = sent(&case, DAY);
        assert_eq!(routed.routes.len(), 1);
        assert_eq!(routed.routes[0].account, "mail");
        assert_eq!(reasons(&routed), [("robot", SkipReason::NoAddress)]);
        assert_eq!(routed.expires, DAY.plus_ms(EXPIRES_MS));
        case.accounts.remove("robot");
        case.accounts.get_mut("mail").unwrap().is_enabled = false;
        let routed = sent(&case, DAY);
        assert!(routed.routes.is_empty());
        let expected = [
            ("mail", SkipReason::Disabled),
            ("robot", SkipReason::NotDefined),
        ];
        assert_eq!(reasons(&routed), expected);
    }

    #[test]
    fn an_erased_address_is_not_used() {
        let mut case = case();
        case.preferences.addresses.get_mut("email").unwrap().value = serde_json::Value::Null;
        assert_eq!(
            reasons(&sent(&case, DAY))[0],
            ("mail", SkipReason::NoAddress)
        );
    }

    #[test]
    fn quiet_hours_hold_a_notification_until_their_end() {
        let held = match decided(&case(), NIGHT) {
            Decision::Hold(held) => held,
            Decision::Send(routed) => panic!("{routed:?}"),
        };
        assert_eq!(held.until, NIGHT.plus_ms(8 * 3_600_000));
        assert_eq!(held.zone, "Asia/Shanghai");
        assert_eq!(held.because, Some(HeldReason::QuietHours));
        assert!(held.quiet.is_some());
        assert!(matches!(decided(&case(), DAY), Decision::Send(_)));
        assert!(matches!(decided(&case(), held.until), Decision::Send(_)));
    }

    #[test]
    fn an_urgent_notification_ignores_quiet_hours() {
        let case = Case {
            is_urgent: true,
            ..case()
        };
        assert_eq!(sent(&case, NIGHT).routes.len(), 1);
    }

    #[test]
    fn a_notification_without_a_route_is_not_held() {
        let without_policy = Case {
            policy: None,
            ..case()
        };
        let routed = sent(&without_policy, NIGHT);
        assert_eq!((routed.routes.len(), routed.skipped.len()), (0, 0));
        let mut without_address = case();
        without_address.preferences.addresses.clear();
        assert_eq!(sent(&without_address, NIGHT).skipped.len(), 2);
    }
}

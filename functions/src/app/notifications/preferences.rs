//! Reads and changes the notification preferences of one person: language, time zone, availability (such as quiet
//! hours, a time without messages) and addresses.

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::batch::TIMES_MAX;
use domain::notification::person::{Command, Person, stream};
use domain::notification::quiet::time_of_day;
use events::person::{Language, PreferencesChanged, QuietHours};
use events::preference::ChannelPreference;
use events::{Meta, Moment, PersonId, Personal};
use infra::channel::{self, Channel};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use super::calendars;
use crate::App;
use crate::app::times;

/// The preferences of one person in a request to the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    pub language: Language,
    pub zone: Option<String>,
    pub quiet: Option<QuietHours>,
    /// The end of a time in which the person gets only critical messages.
    pub do_not_disturb_until: Option<Moment>,
    /// The name of the working calendar.
    pub calendar: Option<String>,
    /// The URL of an iCalendar feed with the appointments of the person.
    pub presence: Option<String>,
    /// The addresses of the person. The key is the kind of the address, such as `email` or `dingtalk`.
    pub addresses: BTreeMap<String, String>,
    /// The preferences for each kind of address, such as `email`.
    pub channels: BTreeMap<String, ChannelPreference>,
    /// False if the person wants a message of its own for each notification. `None` means true.
    pub is_aggregated: Option<bool>,
    /// False if the desk must not learn from the answers of the person. `None` means true.
    pub is_learned: Option<bool>,
    /// The document of the request, if the request has the form of
    /// [`preference_document`](super::preference_document).
    pub document: Option<Value>,
}

impl Preferences {
    /// Returns the stored preferences in the form of a request, for example to change one of them.
    pub(super) fn of(stored: &PreferencesChanged) -> Self {
        let text = |personal: &Personal| personal.value.as_str().map(str::to_owned);
        let addresses = stored.addresses.iter();
        Self {
            language: stored.language,
            zone: stored.zone.clone(),
            quiet: stored.quiet.clone(),
            do_not_disturb_until: stored.do_not_disturb_until,
            calendar: stored.calendar.clone(),
            presence: stored.presence.as_ref().and_then(text),
            addresses: addresses
                .filter_map(|(kind, address)| Some((kind.clone(), text(address)?)))
                .collect(),
            channels: stored.channels.clone(),
            is_aggregated: stored.is_aggregated,
            is_learned: stored.is_learned,
            document: stored
                .document
                .as_ref()
                .map(|document| document.value.clone()),
        }
    }
}

/// An error in the preferences of a request. `field` is the JSON pointer (RFC 6901) of the wrong member, and
/// `reason` is an English text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub field: String,
    pub reason: String,
}

pub(super) fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Wrong {
    Wrong {
        field: field.into(),
        reason: reason.into(),
    }
}

/// Returns the name of a member for an error text, as in `quiet.from`. `field` is the JSON pointer of the member.
pub(super) fn dotted(field: &str) -> String {
    field.trim_start_matches('/').replace('/', ".")
}

/// Minimum time between the end of the quiet hours (a time without messages) and the next start of the quiet
/// hours, in minutes.
const PAUSE_MIN: i32 = 30;

/// Maximum time for which a person can hold all messages, in milliseconds: 30 days.
const DO_NOT_DISTURB_MAX_MS: i64 = 30 * 24 * 3_600_000;
/// Maximum length of the URL of an iCalendar feed, in bytes.
const FEED_URL_MAX: usize = 2_000;

/// Returns the time from the end of the quiet hours to the next start of the quiet hours, in minutes. An
/// invalid time counts as midnight.
fn pause_min(quiet: &QuietHours) -> i32 {
    let minutes = |text: &str| {
        let time = time_of_day(text).unwrap_or_default();
        i32::from(time.hour()) * 60 + i32::from(time.minute())
    };
    (minutes(&quiet.from) - minutes(&quiet.to)).rem_euclid(24 * 60)
}

/// Checks the preferences of a request. Returns an error for the first member that is wrong.
pub fn check(preferences: &Preferences) -> Result<(), Wrong> {
    if let Some(zone) = &preferences.zone {
        times::zone(zone).map_err(|reason| wrong("/zone", reason))?;
    }
    if let Some(quiet) = &preferences.quiet {
        for (member, text) in [("from", &quiet.from), ("to", &quiet.to)] {
            if time_of_day(text).is_none() {
                let field = format!("/quiet/{member}");
                let reason =
                    format!("`quiet.{member}` must be a time of day such as 22:00, not {text:?}");
                return Err(wrong(field, reason));
            }
        }
        // With a shorter time between two quiet periods, a message could be delayed again and again.
        if pause_min(quiet) < PAUSE_MIN {
            let reason = format!(
                "at least {PAUSE_MIN} minutes must be between the end of the quiet hours (`quiet.to`) and their next beginning (`quiet.from`)"
            );
            return Err(wrong("/quiet/to", reason));
        }
    }
    if preferences
        .presence
        .as_deref()
        .is_some_and(|url| !is_feed_url(url))
    {
        let reason = format!(
            "`presence` must be the address of an iCalendar feed, which begins with https:// or http:// and has at most {FEED_URL_MAX} characters"
        );
        return Err(wrong("/presence", reason));
    }
    for (kind, choice) in &preferences.channels {
        let field = format!("/channels/{kind}");
        codec_of(kind).map_err(|reason| {
            let reason = format!("`channels.{kind}` {reason}");
            wrong(field.clone(), reason)
        })?;
        check_times(&choice.batch_times).map_err(|(number, reason)| {
            let field = match number {
                Some(number) => format!("{field}/batch_times/{number}"),
                None => format!("{field}/batch_times"),
            };
            let reason = format!("`{}` {reason}", dotted(&field));
            wrong(field, reason)
        })?;
    }
    for (kind, address) in &preferences.addresses {
        let field = format!("/addresses/{kind}");
        let codec = codec_of(kind)
            .map_err(|reason| wrong(field.clone(), format!("`addresses.{kind}` {reason}")))?;
        codec
            .check_address(address)
            .map_err(|reason| wrong(field, format!("`addresses.{kind}` must {reason}")))?;
    }
    Ok(())
}

fn is_feed_url(url: &str) -> bool {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    url.len() <= FEED_URL_MAX
        && host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Checks the parts of the preferences that depend on the current time or on the configuration of the desk. The inner
/// `Err` names the first member that is wrong.
pub async fn check_in_desk(
    app: &App,
    preferences: &Preferences,
) -> Result<Result<(), Wrong>, Error> {
    let latest = app.ledger.clock.now().plus_ms(DO_NOT_DISTURB_MAX_MS);
    if preferences
        .do_not_disturb_until
        .is_some_and(|until| until > latest)
    {
        let reason = "`do_not_disturb_until` must be at most 30 days in the future";
        return Ok(Err(wrong("/do_not_disturb_until", reason)));
    }
    if let Some(name) = &preferences.calendar
        && !calendars::exists(app, name).await?
    {
        let reason = "`calendar` must be the name of a defined working calendar, such as china";
        return Ok(Err(wrong("/calendar", reason)));
    }
    Ok(Ok(()))
}

/// Returns a channel that uses the kind of address `kind`. If no channel uses it, returns the end of an English sentence
/// about the kind.
fn codec_of(kind: &str) -> Result<&'static dyn Channel, String> {
    let found = channel::ALL.iter().find(|one| one.address_kind() == kind);
    found.copied().ok_or_else(|| {
        let known: BTreeSet<&str> = channel::ALL.iter().map(|one| one.address_kind()).collect();
        let known: Vec<&str> = known.into_iter().collect();
        format!("is not a kind of address; known are {}", known.join(", "))
    })
}

/// Returns true if a channel of the desk uses the kind of address `kind`.
pub(super) fn is_kind(kind: &str) -> bool {
    codec_of(kind).is_ok()
}

/// Checks an address of the given kind. If the address is invalid, returns the end of an English sentence.
pub(super) fn check_address(kind: &str, address: &str) -> Result<(), String> {
    let reason = codec_of(kind)?.check_address(address);
    reason.map_err(|reason| format!("must {reason}"))
}

/// Checks batch times. For the first wrong time, returns its index and the end of an English sentence. The index is `None`
/// if the whole list is wrong.
pub(super) fn check_times(times: &[String]) -> Result<(), (Option<usize>, String)> {
    if times.len() > TIMES_MAX {
        return Err((None, format!("must have at most {TIMES_MAX} times")));
    }
    match times.iter().position(|text| time_of_day(text).is_none()) {
        None => Ok(()),
        Some(number) => {
            let text = &times[number];
            let reason = format!("must be a time of day such as 09:00, not {text:?}");
            Err((Some(number), reason))
        }
    }
}

/// Returns the stored preferences of a person. If nothing is stored, returns the default preferences.
pub async fn read(app: &App, person: &PersonId) -> Result<PreferencesChanged, Error> {
    let state = app.ledger.load::<Person>(&stream(person)).await?;
    Ok(state.aggregate.0.0.unwrap_or_default())
}

/// Stores one address in the preferences of a person. The other preferences do not change.
pub async fn set_address(
    app: &App,
    person: &PersonId,
    kind: &str,
    address: &str,
    command_id: [u8; 16],
    meta: Meta,
) -> Result<(), Error> {
    let mut changed = read(app, person).await?;
    for personal in events::Personals::personals(&mut changed) {
        personal.sealed = None;
    }
    let address = Personal::new(person.clone(), address.into());
    changed.addresses.insert(kind.to_owned(), address);
    changed.by = meta.actor.clone();
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id,
        meta,
    };
    app.ledger
        .execute::<Person>(
            &command_envelope,
            &Command::Change(Box::new(changed)),
            &NoContext,
        )
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Replaces all preferences of a person, and returns the stored preferences. `meta` is the metadata for the
/// new event.
pub async fn write(
    app: &App,
    person: &PersonId,
    preferences: Preferences,
    meta: Meta,
) -> Result<PreferencesChanged, Error> {
    let Preferences {
        language,
        zone,
        quiet,
        do_not_disturb_until,
        calendar,
        presence,
        addresses,
        channels,
        is_aggregated,
        is_learned,
        document,
    } = preferences;
    let sealed =
        |(kind, address): (String, String)| (kind, Personal::new(person.clone(), address.into()));
    let changed = PreferencesChanged {
        language,
        zone,
        quiet,
        do_not_disturb_until,
        calendar,
        presence: presence.map(|url| Personal::new(person.clone(), url.into())),
        addresses: addresses.into_iter().map(sealed).collect(),
        channels,
        is_aggregated: is_aggregated.filter(|is_aggregated| !is_aggregated),
        is_learned: is_learned.filter(|is_learned| !is_learned),
        document: document.map(|document| Personal::new(person.clone(), document)),
        by: meta.actor.clone(),
    };
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Person>(
            &command_envelope,
            &Command::Change(Box::new(changed)),
            &NoContext,
        )
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(outcome.state.0.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences() -> Preferences {
        Preferences {
            zone: Some("Asia/Shanghai".into()),
            quiet: Some(QuietHours {
                from: "22:00".into(),
                to: "07:00".into(),
            }),
            addresses: BTreeMap::from([
                ("email".to_owned(), "lisi@example.com".to_owned()),
                ("dingtalk".to_owned(), "dt-1".to_owned()),
            ]),
            ..Preferences::default()
        }
    }

    #[test]
    fn the_rule_for_the_end_of_quiet_hours_is_stated() {
        let changed = Preferences {
            quiet: Some(QuietHours {
                from: "22:00".into(),
                to: "21:45".into(),
            }),
            ..preferences()
        };
        let reason = check(&changed).unwrap_err().reason;
        assert_eq!(
            reason,
            "at least 30 minutes must be between the end of the quiet hours (`quiet.to`) and their next beginning (`quiet.from`)"
        );
        let changed = Preferences {
            quiet: Some(QuietHours {
                from: "12:00".into(),
                to: "14:00".into(),
            }),
            ..preferences()
        };
        assert_eq!(check(&changed), Ok(()), "quiet hours in the afternoon");
    }

    #[test]
    fn every_wrong_member_is_named() {
        assert_eq!(check(&preferences()), Ok(()));
        let quiet = |from: &str, to: &str| {
            Some(QuietHours {
                from: from.into(),
                to: to.into(),
            })
        };
        let batch = |kind: &str, times: &[&str]| {
            let choice = ChannelPreference {
                batch_times: times.iter().map(|&time| time.to_owned()).collect(),
                ..ChannelPreference::default()
            };
            BTreeMap::from([(kind.to_owned(), choice)])
        };
        let address =
            |kind: &str, address: &str| BTreeMap::from([(kind.to_owned(), address.to_owned())]);
        for (changed, field) in [
            (
                Preferences {
                    zone: Some("Mars".into()),
                    ..preferences()
                },
                "/zone",
            ),
            (
                Preferences {
                    quiet: quiet("25:00", "07:00"),
                    ..preferences()
                },
                "/quiet/from",
            ),
            (
                Preferences {
                    quiet: quiet("22:00", "7"),
                    ..preferences()
                },
                "/quiet/to",
            ),
            (
                Preferences {
                    quiet: quiet("07:00", "07:00"),
                    ..preferences()
                },
                "/quiet/to",
            ),
            (
                Preferences {
                    quiet: quiet("07:00", "06:59"),
                    ..preferences()
                },
                "/quiet/to",
            ),
            (
                Preferences {
                    addresses: address("email", "lisi"),
                    ..preferences()
                },
                "/addresses/email",
            ),
            (
                Preferences {
                    addresses: address("email", "a@b.c\r\nBcc: x@y.z"),
                    ..preferences()
                },
                "/addresses/email",
            ),
            (
                Preferences {
                    addresses: address("dingtalk", "@all"),
                    ..preferences()
                },
                "/addresses/dingtalk",
            ),
            (
                Preferences {
                    presence: Some("file:///etc/passwd".into()),
                    ..preferences()
                },
                "/presence",
            ),
            (
                Preferences {
                    presence: Some("https://calendar.example/a b".into()),
                    ..preferences()
                },
                "/presence",
            ),
            (
                Preferences {
                    addresses: address("fax", "1"),
                    ..preferences()
                },
                "/addresses/fax",
            ),
            (
                Preferences {
                    channels: batch("fax", &[]),
                    ..preferences()
                },
                "/channels/fax",
            ),
            (
                Preferences {
                    channels: batch("email", &["09:00", "9"]),
                    ..preferences()
                },
                "/channels/email/batch_times/1",
            ),
        ] {
            let Wrong {
                field: named,
                reason,
            } = check(&changed).unwrap_err();
            assert_eq!(named, field, "{reason}");
        }
    }
}

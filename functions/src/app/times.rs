//! Formats and parses times. All times in UTC have the same RFC 3339 format with milliseconds. If
//! these formatted times are sorted as texts, the times are therefore in the correct order.

use events::Moment;
use infra::clock::{Clock as _, SystemClock};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::Value;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The time zone of ticket numbers and displayed times if the operator configures no time zone.
pub const DEFAULT_ZONE: &str = "Asia/Shanghai";

/// The number of bytes of a date such as `2026-11-30`.
const DATE_BYTES: usize = 10;

/// The JSON keys that contain a time in stored events and states. The value is an integer in
/// milliseconds.
const INSTANTS: [&str; 16] = [
    "at",
    "due",
    "expires",
    "next",
    "until",
    "do_not_disturb_until",
    "presence_limit",
    "rate_by",
    "occurred_at",
    "updated_at",
    "created_at",
    "ended_at",
    "last_at",
    "began",
    "last_round",
    "shift_end",
];
/// The JSON keys that contain an object with times in stored events and states. Each value of this
/// object is a time in milliseconds.
const TABLES_OF_INSTANTS: [&str; 4] = ["times", "versions", "repairs", "repaired_remarks"];
/// The JSON keys that contain values from users or from workflow definitions in stored events.
/// Inside these values, a key such as `at` or `due` can contain any text or number. These values
/// are therefore not searched for times.
const FOREIGN: [&str; 9] = [
    "value",
    "values",
    "meta",
    "definition",
    "schema",
    "settings",
    "body",
    "notify_config",
    "choice",
];

/// Formats a time in UTC. An example is `2026-11-22T08:00:00.000Z`.
pub fn rfc3339(at: Moment) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Formats a time in the given time zone. The result contains the offset of the zone, for example
/// `2026-11-22T16:00:00.000+08:00`.
pub fn in_zone(at: Moment, zone: &TimeZone) -> String {
    timestamp(at)
        .to_zoned_datetime(zone.clone())
        .strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
        .to_string()
}

/// Parses a time in a format of RFC 3339. A text with only a date means the start of this day in
/// UTC.
pub fn read(text: &str) -> Option<Moment> {
    let parsed = text
        .parse::<Timestamp>()
        .or_else(|_| format!("{text}T00:00:00Z").parse::<Timestamp>());
    parsed.ok().map(|at| Moment(at.as_millisecond()))
}

/// Parses a time as [`read`] does. A text with only a date means the start of this day in `zone`.
pub fn read_in(text: &str, zone: &TimeZone) -> Option<Moment> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Moment(at.as_millisecond()));
    }
    // A text with a time, but without an offset, is no date.
    let date = Some(text).filter(|text| text.len() == DATE_BYTES)?;
    let date: Date = date.parse().ok()?;
    let begin = date.at(0, 0, 0, 0).to_zoned_datetime(zone.clone()).ok()?;
    Some(Moment(begin.timestamp().as_millisecond()))
}

/// Returns true if the text contains only a date. The caller must pass a text that [`read`] can
/// parse.
pub fn is_day(text: &str) -> bool {
    text.parse::<Timestamp>().is_err()
}

/// Returns the time zone with an IANA name such as `Asia/Shanghai`. If the operating system does
/// not know the name, the time zone database in this program is used.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if name.eq_ignore_ascii_case("UTC") {
        return Ok(TimeZone::UTC);
    }
    let found = TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
    found.map_err(|_| format!("time zone {name:?} is not known; use a name of the IANA database, such as {DEFAULT_ZONE} or UTC"))
}

/// Returns the time zone that the desk uses if the operator configures no time zone.
pub fn default_zone() -> TimeZone {
    zone(DEFAULT_ZONE).expect("the program brings the time zone database along")
}

/// Replaces the times in the JSON of an event or a state with readable texts. The function `write`
/// formats a time.
pub fn spell(value: &mut Value, write: &dyn Fn(Moment) -> String) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| spell(item, write)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Number(number) if INSTANTS.contains(&name.as_str()) => {
                        if let Some(at) = number.as_i64() {
                            *member = write(Moment(at)).into();
                        }
                    }
                    Value::Object(table) if TABLES_OF_INSTANTS.contains(&name.as_str()) => {
                        for entry in table.values_mut() {
                            match entry.as_i64() {
                                Some(at) => *entry = write(Moment(at)).into(),
                                None => spell(entry, write),
                            }
                        }
                    }
                    member if !FOREIGN.contains(&name.as_str()) => spell(member, write),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn timestamp(at: Moment) -> Timestamp {
    // The text format does not support very early or very late times. Such a time is replaced with
    // the nearest supported time.
    let nearest = if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(at.0).unwrap_or(nearest)
}

/// Writes the time of each log line in the format of [`rfc3339`].
#[derive(Clone, Copy, Debug, Default)]
pub struct LogTime;

impl FormatTime for LogTime {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        out.write_str(&rfc3339(SystemClock.now()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_day_without_a_time_begins_in_the_zone() {
        let shanghai = default_zone();
        let shown = |text: &str| Some(in_zone(read_in(text, &shanghai)?, &shanghai));
        for (text, expected) in [
            ("2026-11-30", Some("2026-11-30T00:00:00.000+08:00")),
            (
                "2026-11-30T06:00:00Z",
                Some("2026-11-30T14:00:00.000+08:00"),
            ),
            ("2026-11-30T06:00:00", None),
            ("2026-13-30", None),
            ("yesterday!", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
        assert_eq!(read_in("2026-11-30", &TimeZone::UTC), read("2026-11-30"));
    }

    #[test]
    fn every_instant_has_three_digits_of_a_second() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_312_800_000, "2026-11-22T02:00:00.000Z"),
            (1_795_312_800_100, "2026-11-22T02:00:00.100Z"),
            (1_795_312_800_150, "2026-11-22T02:00:00.150Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Moment(ms)), text);
            assert_eq!(read(text), Some(Moment(ms)));
        }
        assert_eq!(
            in_zone(Moment(1_795_312_800_000), &default_zone()),
            "2026-11-22T10:00:00.000+08:00"
        );
        assert_eq!(read("2026-11-22"), Some(Moment(1_795_305_600_000)));
        assert_eq!(
            read("2026-11-22T10:00:00+08:00"),
            Some(Moment(1_795_312_800_000))
        );
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn instants_inside_a_state_are_written_as_texts() {
        let mut state = json!({ "due": 0, "times": { "opened": 1 }, "node": 3, "rows": [{ "next": 2 }], "rate_by": null, "fields": [{ "key": "due", "value": { "due": 5 } }] });
        spell(&mut state, &rfc3339);
        assert_eq!(
            state,
            json!({
                "due": "1970-01-01T00:00:00.000Z", "times": { "opened": "1970-01-01T00:00:00.001Z" }, "node": 3,
                "rows": [{ "next": "1970-01-01T00:00:00.002Z" }], "rate_by": null, "fields": [{ "key": "due", "value": { "due": 5 } }],
            })
        );
    }

    #[test]
    fn a_zone_that_does_not_exist_is_an_error() {
        assert!(zone("Mars/Olympus").is_err_and(|reason| reason.contains("Mars/Olympus")));
        assert!(zone("UTC").is_ok() && zone("utc").is_ok() && zone("Europe/Berlin").is_ok());
    }
}

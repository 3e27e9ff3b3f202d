//! Reads one event of an iCalendar feed.

use std::collections::BTreeSet;

use events::Moment;
use icalendar::parser::{Component, Property};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::zones::Zones;
use super::{moment, next_day};

/// The form of a local time in a feed (RFC 5545, section 3.3.5).
pub(super) const FORMAT: &str = "%Y%m%dT%H%M%S";
/// The form of a date in a feed (RFC 5545, section 3.3.4).
const DATE_FORMAT: &str = "%Y%m%d";
/// The categories of events that are reserved for work without disturbance.
const FOCUS: [&str; 2] = ["FOCUS", "专注"];

/// A local time with its time zone.
#[derive(Clone, Debug)]
pub(super) struct LocalTime {
    pub(super) local: DateTime,
    pub(super) zone: TimeZone,
    /// True if the feed contains only a date.
    is_date: bool,
}

/// One event of a feed, without its title and its participants.
#[derive(Clone, Debug)]
pub(super) struct Appointment {
    pub(super) uid: String,
    pub(super) begin: LocalTime,
    pub(super) length_ms: i64,
    /// The recurrence rule. Its member `UNTIL` is a local time that is written as UTC.
    pub(super) rule: Option<String>,
    /// Additional occurrences (`RDATE`).
    pub(super) more: Vec<Moment>,
    /// Occurrences that the event does not have (`EXDATE`).
    pub(super) excluded: BTreeSet<Moment>,
    /// The occurrence of a recurring event that this event replaces (`RECURRENCE-ID`).
    pub(super) replaces: Option<Moment>,
    /// True if the person is available during the event.
    pub(super) is_free: bool,
    pub(super) is_focus: bool,
}

impl Appointment {
    /// Returns `None` for an event without a valid start or with no duration.
    pub(super) fn read(event: &Component<'_>, zones: &Zones) -> Option<Self> {
        let text = |name: &str| event.find_prop(name).map(|property| property.val.as_str());
        let begin = time(event.find_prop("DTSTART")?, zones)?;
        let start = moment(&begin.zone, begin.local)?;
        let end = match (event.find_prop("DTEND"), text("DURATION")) {
            (Some(end), _) => time(end, zones).and_then(|end| moment(&end.zone, end.local)),
            (None, Some(duration)) => {
                let span: Option<Span> = duration.parse().ok();
                let end = span.and_then(|span| begin.local.checked_add(span).ok());
                end.and_then(|end| moment(&begin.zone, end))
            }
            (None, None) if begin.is_date => {
                next_day(begin.local).and_then(|end| moment(&begin.zone, end))
            }
            (None, None) => None,
        };
        let is_same = |name: &str, value: &str| {
            text(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
        };
        let categories =
            properties(event, "CATEGORIES").flat_map(|one| one.val.as_str().split(','));
        let mut categories = categories.map(str::trim);
        let replaces = event.find_prop("RECURRENCE-ID");
        Some(Self {
            uid: text("UID").unwrap_or_default().to_owned(),
            length_ms: end
                .map(|end| end.0 - start.0)
                .filter(|length| *length > 0)?,
            rule: text("RRULE").map(|rule| local_rule(rule, &begin.zone)),
            more: times(event, "RDATE", zones).collect(),
            excluded: times(event, "EXDATE", zones).collect(),
            replaces: replaces
                .and_then(|property| time(property, zones))
                .and_then(|time| moment(&time.zone, time.local)),
            is_free: is_same("TRANSP", "TRANSPARENT") || is_same("STATUS", "CANCELLED"),
            is_focus: categories.any(|category| {
                FOCUS
                    .iter()
                    .any(|focus| focus.eq_ignore_ascii_case(category))
            }),
            begin,
        })
    }
}

fn properties<'a>(
    component: &'a Component<'a>,
    name: &'a str,
) -> impl Iterator<Item = &'a Property<'a>> {
    component
        .properties
        .iter()
        .filter(move |property| property.name.as_str() == name)
}

/// Returns all times in the properties with the given name. One property can contain several times.
fn times<'a>(
    event: &'a Component<'a>,
    name: &'a str,
    zones: &'a Zones,
) -> impl Iterator<Item = Moment> {
    properties(event, name).flat_map(move |property| {
        let zone = zones.of(property);
        let values = property.val.as_str().split(',');
        values.filter_map(move |value| {
            let time = local_time(value, zone.clone())?;
            moment(&time.zone, time.local)
        })
    })
}

fn time(property: &Property<'_>, zones: &Zones) -> Option<LocalTime> {
    local_time(property.val.as_str(), zones.of(property))
}

/// Reads a time in one of the three forms of RFC 5545: a date, a local time, or a time in UTC.
fn local_time(text: &str, zone: TimeZone) -> Option<LocalTime> {
    let text = text.trim();
    if let Ok(date) = Date::strptime(DATE_FORMAT, text) {
        return Some(LocalTime {
            local: date.to_datetime(Time::midnight()),
            zone,
            is_date: true,
        });
    }
    let (local, zone) = match text.strip_suffix('Z') {
        Some(local) => (local, TimeZone::UTC),
        None => (text, zone),
    };
    Some(LocalTime {
        local: DateTime::strptime(FORMAT, local).ok()?,
        zone,
        is_date: false,
    })
}

/// Returns a recurrence rule whose member `UNTIL` is a local time in `zone`, written as UTC.
fn local_rule(rule: &str, zone: &TimeZone) -> String {
    let parts = rule.trim().split(';').map(|part| {
        let Some(until) = part.strip_prefix("UNTIL=") else {
            return part.to_owned();
        };
        let Some(time) = local_time(until, zone.clone()) else {
            return part.to_owned();
        };
        let local = if time.is_date {
            time.local.date().at(23, 59, 59, 0)
        } else {
            let at = moment(&time.zone, time.local);
            let at = at.and_then(|at| Timestamp::from_millisecond(at.0).ok());
            at.map_or(time.local, |at| {
                at.to_zoned_datetime(zone.clone()).datetime()
            })
        };
        format!("UNTIL={}Z", local.strftime(FORMAT))
    });
    parts.collect::<Vec<String>>().join(";")
}

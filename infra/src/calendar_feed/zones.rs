//! Finds the time zone of a property of an iCalendar feed. The database of time zones takes precedence over the
//! definitions in the feed.

use std::collections::BTreeMap;

use icalendar::parser::{Component, Property};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::part;

/// The weekdays of RFC 5545, in the order of POSIX.
const WEEKDAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

/// The time zones of a feed.
#[derive(Debug)]
pub(super) struct Zones {
    defined: BTreeMap<String, TimeZone>,
    default: TimeZone,
}

impl Zones {
    /// `default` is the time zone of times without a time zone.
    pub(super) fn new(components: &[Component<'_>], default: &TimeZone) -> Self {
        let zones = components
            .iter()
            .filter(|component| component.name.as_str() == "VTIMEZONE");
        let defined = zones.filter_map(|component| {
            let id = text(component, "TZID")?;
            let location = text(component, "X-LIC-LOCATION").and_then(in_database);
            let zone = in_database(id).or(location).or_else(|| posix(component));
            Some((id.to_owned(), zone?))
        });
        Self {
            defined: defined.collect(),
            default: default.clone(),
        }
    }

    /// Returns the time zone of a property.
    pub(super) fn of(&self, property: &Property<'_>) -> TimeZone {
        let id = property.params.iter().find_map(|parameter| {
            let is_zone = parameter.key.as_str().eq_ignore_ascii_case("TZID");
            let value = parameter.val.as_ref().filter(|_| is_zone)?;
            Some(value.as_str().trim_matches('"'))
        });
        let zone = id.and_then(|id| self.defined.get(id).cloned().or_else(|| in_database(id)));
        zone.unwrap_or_else(|| self.default.clone())
    }
}

fn text<'a>(component: &'a Component<'_>, name: &str) -> Option<&'a str> {
    let mut properties = component.properties.iter();
    let property = properties.find(|property| property.name.as_str() == name)?;
    Some(property.val.as_str())
}

fn in_database(id: &str) -> Option<TimeZone> {
    let id = id.trim_start_matches('/');
    let found = TimeZone::get(id).or_else(|_| TimeZoneDatabase::bundled().get(id));
    found.ok()
}

/// Returns the time zone that a component `VTIMEZONE` defines, from its newest rules.
fn posix(zone: &Component<'_>) -> Option<TimeZone> {
    let newest = |name: &str| {
        let rules = zone.components.iter();
        let rules = rules.filter(|rule| rule.name.as_str() == name);
        rules.max_by_key(|rule| text(rule, "DTSTART").unwrap_or_default().to_owned())
    };
    let standard = newest("STANDARD")?;
    let mut posix = format!("<STD>{}", offset(standard)?);
    if let Some(daylight) = newest("DAYLIGHT")
        && let (Some(begin), Some(end)) = (change(daylight), change(standard))
    {
        posix = format!("{posix}<DST>{},{begin},{end}", offset(daylight)?);
    }
    TimeZone::posix(&posix).ok()
}

/// Returns the offset of a rule in the form of POSIX, in which zones east of Greenwich have a negative offset.
fn offset(rule: &Component<'_>) -> Option<String> {
    let offset = text(rule, "TZOFFSETTO")?;
    let sign = if offset.starts_with('-') { "" } else { "-" };
    let (hours, minutes) = (offset.get(1..3)?, offset.get(3..5)?);
    Some(format!("{sign}{hours}:{minutes}"))
}

/// Returns the day and the time of the yearly change of the clocks in the form of POSIX, such as `M3.5.0/02:00:00`.
fn change(rule: &Component<'_>) -> Option<String> {
    let recurrence = text(rule, "RRULE")?;
    let month: u8 = part(recurrence, "BYMONTH")?.parse().ok()?;
    let by_day = part(recurrence, "BYDAY")?;
    let (week, day) = by_day.split_at_checked(by_day.len().checked_sub(2)?)?;
    let week: i8 = week.parse().ok()?;
    let week = if week == -1 { 5 } else { week };
    let day = WEEKDAYS.iter().position(|name| *name == day)?;
    let time = text(rule, "DTSTART")?.split_once('T')?.1;
    let (hour, minute) = (time.get(..2)?, time.get(2..4)?);
    (1..=5)
        .contains(&week)
        .then(|| format!("M{month}.{week}.{day}/{hour}:{minute}"))
}

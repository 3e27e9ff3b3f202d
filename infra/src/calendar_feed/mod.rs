//! Reads the appointments of a person from an iCalendar feed (RFC 5545). The result contains only times, and no titles
//! or participants.

mod appointment;
mod zones;

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::availability::Busy;
use events::Moment;
use icalendar::parser::{read_calendar, unfold};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rrule::RRuleSet;

use appointment::{Appointment, FORMAT};
use zones::Zones;

/// Maximum depth of nested components in a feed. The parser is recursive, so a deeper feed could exhaust its stack. A
/// valid feed has at most three levels: calendar, event, alarm.
const DEPTH_MAX: usize = 8;
/// Maximum number of events that are read from a feed.
const EVENTS_MAX: usize = 10_000;
/// Maximum number of occurrences of one recurring event that are computed. A daily event reaches this number after
/// more than 50 years.
const OCCURRENCES_MAX: usize = 20_000;
/// Maximum number of occurrences that are computed for the whole feed. This limit bounds the computing time.
const COMPUTED_MAX: usize = 200_000;
/// The number of occurrences that a rule counts as if it ends unexpectedly. The computation then has searched many days
/// without an occurrence, such as for February 30.
const SEARCH_COST: usize = 10_000;
/// Maximum number of appointments in the result.
const BUSY_MAX: usize = 500;

/// Returns the appointments between `from` and `to`, in the order of their start. Events that are transparent or
/// canceled are not appointments. `zone` is the time zone of events without a time zone. If the text is not an iCalendar
/// feed, returns the reason as an English text that contains no part of the feed.
pub fn busy(text: &str, zone: &TimeZone, from: Moment, to: Moment) -> Result<Vec<Busy>, String> {
    let normal = normal(text);
    if depth(&normal) > DEPTH_MAX {
        return Err(format!(
            "components are nested deeper than {DEPTH_MAX} levels"
        ));
    }
    let calendar = read_calendar(&normal).map_err(|_| "the feed is not valid iCalendar text")?;
    let zones = Zones::new(&calendar.components, zone);
    let events: Vec<Appointment> = calendar
        .components
        .iter()
        .filter(|component| component.name.as_str() == "VEVENT")
        .take(EVENTS_MAX)
        .filter_map(|event| Appointment::read(event, &zones))
        .collect();
    let replaced = replaced(&events);
    let mut found = BTreeSet::new();
    let mut left = COMPUTED_MAX;
    for event in events.iter().filter(|event| !event.is_free) {
        for begin in occurrences(event, from, to, &mut left) {
            let is_replaced = event.replaces.is_none()
                && replaced
                    .get(event.uid.as_str())
                    .is_some_and(|times| times.contains(&begin));
            let is_excluded = event.excluded.contains(&begin);
            let end = begin.plus_ms(event.length_ms);
            if !is_replaced && !is_excluded && begin < to && from < end {
                found.insert(Busy {
                    from: begin.max(from),
                    to: end.min(to),
                    is_focus: event.is_focus,
                });
            }
        }
    }
    Ok(found.into_iter().take(BUSY_MAX).collect())
}

/// Returns the feed with unfolded lines that all end with the same line break. The parser reads a value until the next
/// line break of two characters, so different line breaks could hide lines.
fn normal(text: &str) -> String {
    let unfolded = unfold(text);
    let lines = unfolded.split(['\r', '\n']).map(str::trim_start);
    let mut normal = String::with_capacity(unfolded.len());
    for line in lines.filter(|line| !line.is_empty()) {
        normal.push_str(line);
        normal.push_str("\r\n");
    }
    normal
}

/// Returns the greatest depth of nested components in a feed.
fn depth(normal: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for line in normal.lines() {
        let starts = |word: &str| {
            let begin = line.get(..word.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        if starts("BEGIN:") {
            depth += line.to_ascii_uppercase().matches("BEGIN:").count();
            deepest = deepest.max(depth);
        } else if starts("END:") {
            depth = depth.saturating_sub(1);
        }
    }
    deepest
}

/// Returns the occurrences that other events replace (`RECURRENCE-ID`). The key is the id of the recurring event.
fn replaced(events: &[Appointment]) -> BTreeMap<&str, BTreeSet<Moment>> {
    let mut replaced: BTreeMap<&str, BTreeSet<Moment>> = BTreeMap::new();
    for event in events {
        if let Some(time) = event.replaces {
            replaced.entry(event.uid.as_str()).or_default().insert(time);
        }
    }
    replaced
}

/// Returns the times at which an event begins, at most until `to`. `left` is the number of occurrences that may still
/// be computed.
fn occurrences(event: &Appointment, from: Moment, to: Moment, left: &mut usize) -> Vec<Moment> {
    let begins = |local: DateTime| moment(&event.begin.zone, local);
    let mut times: Vec<Moment> = begins(event.begin.local).into_iter().collect();
    times.extend(&event.more);
    let Some(rule) = &event.rule else {
        return times;
    };
    let until = part(rule, "UNTIL").map(|until| until.trim_end_matches('Z'));
    let until = until.and_then(|until| begins(DateTime::strptime(FORMAT, until).ok()?));
    let is_over = until.is_some_and(|until| until.plus_ms(event.length_ms) < from);
    if is_over || *left == 0 {
        return times;
    }
    // The rule is computed with local times, as if they were UTC. Each local time is converted to a moment after that,
    // so the event keeps its local time when the clocks are changed.
    let start = event.begin.local.strftime(FORMAT);
    let Ok(set) = format!("DTSTART:{start}Z\nRRULE:{rule}").parse::<RRuleSet>() else {
        return times;
    };
    let set = set.limit();
    // Local time is less than a day before UTC.
    let last = to.plus_ms(24 * 3_600_000);
    let mut computed = 0;
    let mut is_complete = false;
    for date in &set {
        let as_utc = Moment(date.timestamp_millis());
        if *left == 0 || computed == OCCURRENCES_MAX || as_utc > last {
            is_complete = true;
            break;
        }
        *left -= 1;
        computed += 1;
        let local = Timestamp::from_millisecond(as_utc.0)
            .ok()
            .map(|at| at.to_zoned_datetime(TimeZone::UTC).datetime());
        times.extend(local.and_then(begins));
    }
    let count: Option<usize> = part(rule, "COUNT").and_then(|count| count.parse().ok());
    if !is_complete && count != Some(computed) {
        *left = left.saturating_sub(SEARCH_COST);
    }
    times
}

/// Returns the value of one part of a recurrence rule, such as `COUNT`.
fn part<'a>(rule: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = rule.split(';').filter_map(|part| part.split_once('='));
    let (_, value) = parts.find(|(key, _)| *key == name)?;
    Some(value)
}

/// Converts a local time to a moment. A time that the clocks skip is moved forward, and of a repeated time the first
/// occurrence counts (RFC 5545, section 3.3.5).
fn moment(zone: &TimeZone, local: DateTime) -> Option<Moment> {
    let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(Moment(at.as_millisecond()))
}

/// Returns the date and time one day later.
fn next_day(local: DateTime) -> Option<DateTime> {
    local.checked_add(1.day()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let at: Timestamp = text.parse().unwrap();
        Moment(at.as_millisecond())
    }

    fn feed(events: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test\r\n{events}END:VCALENDAR\r\n")
            .replace("\r\n", "\n")
            .replace('\n', "\r\n")
    }

    /// Returns the starts in UTC of all appointments in the 48 hours after `from`.
    fn starts(events: &str, from: &str) -> Vec<String> {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let from = at(from);
        let to = from.plus_ms(48 * 3_600_000);
        let busy = busy(&feed(events), &zone, from, to).unwrap();
        busy.iter()
            .map(|one| {
                let start = Timestamp::from_millisecond(one.from.0).unwrap();
                format!("{start}{}", if one.is_focus { " focus" } else { "" })
            })
            .collect()
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VEVENT\nUID:1\nDTSTAMP:20260101T000000Z\n{lines}\nEND:VEVENT\n")
    }

    #[test]
    fn opaque_events_are_appointments() {
        let meeting = "DTSTART:20261122T030000Z\nDTEND:20261122T040000Z";
        let from = "2026-11-22T00:00:00Z";
        assert_eq!(starts(&event(meeting), from), ["2026-11-22T03:00:00Z"]);
        for (more, expected) in [
            ("TRANSP:TRANSPARENT", vec![]),
            ("STATUS:CANCELLED", vec![]),
            ("TRANSP:OPAQUE", vec!["2026-11-22T03:00:00Z"]),
            ("CATEGORIES:Work,FOCUS", vec!["2026-11-22T03:00:00Z focus"]),
            ("CATEGORIES:专注", vec!["2026-11-22T03:00:00Z focus"]),
        ] {
            let events = event(&format!("{meeting}\n{more}"));
            assert_eq!(starts(&events, from), expected, "{more}");
        }
        let local = event("DTSTART:20261122T110000\nDURATION:PT1H");
        assert_eq!(starts(&local, from), ["2026-11-22T03:00:00Z"]);
        let all_day = event("DTSTART;VALUE=DATE:20261123");
        assert_eq!(starts(&all_day, from), ["2026-11-22T16:00:00Z"]);
        let running = event("DTSTART:20261121T230000Z\nDTEND:20261122T040000Z");
        assert_eq!(starts(&running, from), [from], "cut at the start");
    }

    #[test]
    fn a_recurring_event_keeps_its_local_time_when_the_clocks_change() {
        let weekly = event(
            "DTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=DAILY;UNTIL=20261031T225959Z",
        );
        assert_eq!(
            starts(&weekly, "2026-03-28T00:00:00Z"),
            ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"]
        );
        assert_eq!(
            starts(&weekly, "2026-10-31T00:00:00Z"),
            ["2026-10-31T08:00:00Z"],
            "the rule ends"
        );
    }

    #[test]
    fn excluded_and_replaced_occurrences_are_not_appointments() {
        let master = event(
            "DTSTART;TZID=Asia/Shanghai:20261101T090000\nDURATION:PT30M\nRRULE:FREQ=DAILY;COUNT=60\nEXDATE;TZID=Asia/Shanghai:20261122T090000",
        );
        let moved = event(
            "RECURRENCE-ID;TZID=Asia/Shanghai:20261123T090000\nDTSTART;TZID=Asia/Shanghai:20261123T150000\nDURATION:PT30M",
        );
        assert_eq!(
            starts(&[master, moved].concat(), "2026-11-21T16:00:00Z"),
            ["2026-11-23T07:00:00Z"]
        );
    }

    #[test]
    fn a_zone_that_only_the_feed_defines_is_used() {
        let zone = "BEGIN:VTIMEZONE\nTZID:Company Time\nBEGIN:STANDARD\nDTSTART:20201025T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:20200329T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE\n";
        let meeting = event("DTSTART;TZID=Company Time:20260701T090000\nDURATION:PT1H");
        assert_eq!(
            starts(&[zone, &meeting].concat(), "2026-07-01T00:00:00Z"),
            ["2026-07-01T07:00:00Z"]
        );
    }

    #[test]
    fn a_rule_without_occurrences_ends() {
        let never = event(
            "DTSTART:20260101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        );
        let meeting = event("DTSTART:20261122T030000Z\nDURATION:PT1H");
        assert_eq!(
            starts(&[never, meeting].concat(), "2026-11-22T00:00:00Z"),
            ["2026-11-22T03:00:00Z"]
        );
    }

    #[test]
    fn a_text_that_is_no_feed_is_an_error() {
        let zone = TimeZone::UTC;
        let read = |text: &str| busy(text, &zone, Moment(0), Moment(1));
        for line in [
            "BEGIN:A\n",
            "BEGIN:A BEGIN:A\r",
            "BEGIN:A\r\nX:1\nEND:A\r\n",
        ] {
            let nested = "BEGIN:A\n".repeat(10) + &line.repeat(1_000);
            assert!(read(&nested).is_err_and(|reason| reason.contains("nested")));
        }
        assert_eq!(read("BEGIN:VCALENDAR\nEND:VCALENDAR\n"), Ok(Vec::new()));
    }
}

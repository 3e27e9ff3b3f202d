//! Computes working time from a working calendar, which contains the working hours of a week, the holidays, and
//! additional working days (调休).

use events::Moment;
use events::calendar::{Defined, TimeRange, Weekday};
use jiff::Timestamp;
use jiff::civil::{self, Date};
use jiff::tz::TimeZone;

use super::quiet::{instant, time_of_day};

/// Maximum number of days in which the next working time is searched: one year and some days. A calendar without
/// working hours must not cause an endless search.
const DAYS_MAX: usize = 400;

/// Returns true if the calendar contains working time at `at`. A range of hours that ends after midnight belongs to
/// the day on which it begins.
///
/// When clocks are set forward, a missing local time is replaced by the first existing time after it. When clocks are
/// set back, the first of two equal local times is used.
pub fn is_working(calendar: &Defined, zone: &TimeZone, at: Moment) -> bool {
    let Some(today) = date_of(zone, at) else {
        return false;
    };
    let yesterday = today.yesterday().ok();
    let mut ranges = yesterday
        .into_iter()
        .chain([today])
        .flat_map(|day| ranges_of(calendar, zone, day));
    ranges.any(|(from, to)| from <= at && at < to)
}

/// Returns the first moment at or after `at` that is working time. Returns `None` if no working time begins in the
/// next 400 days.
pub fn next_working(calendar: &Defined, zone: &TimeZone, at: Moment) -> Option<Moment> {
    if is_working(calendar, zone, at) {
        return Some(at);
    }
    let mut day = date_of(zone, at)?;
    for _ in 0..DAYS_MAX {
        let begins = ranges_of(calendar, zone, day).map(|(from, _)| from);
        if let Some(next) = begins.filter(|from| *from > at).min() {
            return Some(next);
        }
        day = day.tomorrow().ok()?;
    }
    None
}

/// Returns true if people work on this date.
pub fn is_work_day(calendar: &Defined, date: Date) -> bool {
    !hours_of(calendar, date).is_empty()
}

/// Returns the working hours of a date. An additional working day takes precedence over a holiday, and a holiday
/// takes precedence over the week.
fn hours_of(calendar: &Defined, date: Date) -> &[TimeRange] {
    let text = date.to_string();
    if calendar.work_days.contains(&text) {
        return &calendar.work_day_hours;
    }
    if calendar.holidays.contains(&text) {
        return &[];
    }
    let hours = calendar.week.get(&weekday_of(date));
    hours.map(Vec::as_slice).unwrap_or_default()
}

/// Returns the working hours that begin on a date. A range that does not exist on this date, because the clocks are
/// set forward, is omitted.
fn ranges_of<'a>(
    calendar: &'a Defined,
    zone: &'a TimeZone,
    day: Date,
) -> impl Iterator<Item = (Moment, Moment)> {
    let ranges = hours_of(calendar, day).iter();
    ranges.filter_map(move |range| {
        let (from, to) = (time_of_day(&range.from)?, time_of_day(&range.to)?);
        let last = if to <= from {
            day.tomorrow().ok()?
        } else {
            day
        };
        let begin = Moment(instant(zone, day, from)?.as_millisecond());
        let end = Moment(instant(zone, last, to)?.as_millisecond());
        (begin < end).then_some((begin, end))
    })
}

fn date_of(zone: &TimeZone, at: Moment) -> Option<Date> {
    let at = Timestamp::from_millisecond(at.0).ok()?;
    Some(at.to_zoned_datetime(zone.clone()).date())
}

fn weekday_of(date: Date) -> Weekday {
    match date.weekday() {
        civil::Weekday::Monday => Weekday::Monday,
        civil::Weekday::Tuesday => Weekday::Tuesday,
        civil::Weekday::Wednesday => Weekday::Wednesday,
        civil::Weekday::Thursday => Weekday::Thursday,
        civil::Weekday::Friday => Weekday::Friday,
        civil::Weekday::Saturday => Weekday::Saturday,
        civil::Weekday::Sunday => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn range(from: &str, to: &str) -> TimeRange {
        TimeRange {
            from: from.into(),
            to: to.into(),
        }
    }

    /// Returns a calendar in which people work on Mondays at the given hours, and on each date in `work_days`.
    fn mondays(from: &str, to: &str, work_days: &[&str], holidays: &[&str]) -> Defined {
        let set = |dates: &[&str]| dates.iter().map(|date| (*date).to_owned()).collect();
        Defined {
            name: "office".into(),
            zone: None,
            week: BTreeMap::from([(Weekday::Monday, vec![range(from, to)])]),
            holidays: set(holidays),
            work_days: set(work_days),
            work_day_hours: vec![range(from, to)],
        }
    }

    fn moment(text: &str) -> Moment {
        let at: Timestamp = text.parse().unwrap();
        Moment(at.as_millisecond())
    }

    fn next(calendar: &Defined, zone: &str, at: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        next_working(calendar, &zone, moment(at)).map_or(String::new(), |Moment(next)| {
            Timestamp::from_millisecond(next).unwrap().to_string()
        })
    }

    fn works(calendar: &Defined, zone: &str, at: &str) -> bool {
        is_working(calendar, &TimeZone::get(zone).unwrap(), moment(at))
    }

    #[test]
    fn a_make_up_day_is_working_time_and_a_holiday_is_not() {
        // 2026-10-05 is a Monday in a holiday, and 2026-10-10 is a Saturday.
        let office = mondays("09:00", "18:00", &["2026-10-10"], &["2026-10-05"]);
        let zone = "Asia/Shanghai";
        assert!(works(&office, zone, "2026-09-28T01:00:00Z"));
        assert!(!works(&office, zone, "2026-09-28T00:59:59Z"));
        assert!(!works(&office, zone, "2026-09-28T10:00:00Z"), "18:00");
        assert!(!works(&office, zone, "2026-10-05T03:00:00Z"));
        assert!(works(&office, zone, "2026-10-10T03:00:00Z"));
        assert_eq!(
            next(&office, zone, "2026-10-05T03:00:00Z"),
            "2026-10-10T01:00:00Z"
        );
        assert_eq!(
            next(&office, zone, "2026-10-10T03:00:00Z"),
            "2026-10-10T03:00:00Z",
            "working time begins at once"
        );
    }

    #[test]
    fn an_overnight_range_belongs_to_the_day_on_which_it_begins() {
        let night = mondays("22:00", "06:00", &[], &[]);
        let zone = "Asia/Shanghai";
        // The range begins on Monday, 2026-11-23, at 22:00, and ends on Tuesday at 06:00.
        assert!(!works(&night, zone, "2026-11-22T18:00:00Z"), "Monday 02:00");
        assert!(works(&night, zone, "2026-11-23T14:00:00Z"));
        assert!(works(&night, zone, "2026-11-23T18:00:00Z"), "Tuesday 02:00");
        assert!(!works(&night, zone, "2026-11-23T22:00:00Z"));
    }

    #[test]
    fn missing_and_repeated_local_times_are_the_first_existing_time() {
        let zone = "Europe/Berlin";
        // On Sunday, 2026-03-29, the clocks skip the local times from 02:00 to 03:00.
        let spring = mondays("02:30", "06:00", &["2026-03-29"], &[]);
        assert_eq!(
            next(&spring, zone, "2026-03-28T12:00:00Z"),
            "2026-03-29T01:00:00Z"
        );
        let skipped = mondays("02:10", "02:50", &["2026-03-29"], &[]);
        assert_eq!(
            next(&skipped, zone, "2026-03-28T12:00:00Z"),
            "2026-03-30T00:10:00Z",
            "a range inside of the skipped hour does not exist"
        );
        // On Sunday, 2026-10-25, the local times from 02:00 to 03:00 exist twice.
        let autumn = mondays("02:30", "06:00", &["2026-10-25"], &[]);
        assert_eq!(
            next(&autumn, zone, "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00Z"
        );
        assert!(works(&autumn, zone, "2026-10-25T01:10:00Z"));
    }

    #[test]
    fn a_calendar_without_working_hours_has_no_next_working_time() {
        assert_eq!(next(&Defined::default(), "UTC", "2026-11-22T00:00:00Z"), "");
        assert!(!is_work_day(&Defined::default(), civil::date(2026, 11, 23)));
    }
}

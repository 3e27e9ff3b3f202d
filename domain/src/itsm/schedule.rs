//! Computes when the desk compares the open cases of a source: after a pause, and at the ends of shifts.
//!
//! A *round* compares all open cases. A round can take long, because the number of requests is limited.

use events::Moment;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::notification::batch::instants_near;
use crate::notification::quiet::time_of_day;

/// Maximum number of shift ends in one day.
pub const SHIFT_ENDS_MAX: usize = 24;
/// The longest time after the end of a shift in which a comparison still counts as one at this end, in milliseconds.
const LATE_MAX_MS: i64 = 15 * 60_000;

/// When the desk compares the open cases of a source.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The pause between two rounds, in milliseconds.
    pub pause_ms: i64,
    shift_ends: Vec<Time>,
    zone: TimeZone,
}

impl Schedule {
    /// `shift_ends` contains times of the day in the form `HH:MM`. An invalid time is ignored.
    pub fn new(pause_ms: i64, shift_ends: &[String], zone: TimeZone) -> Self {
        let ends = shift_ends.iter();
        Self {
            pause_ms,
            shift_ends: ends.filter_map(|text| time_of_day(text)).collect(),
            zone,
        }
    }

    /// Returns the next end of a shift after a time. Returns `None` if there are no shifts.
    pub fn shift_end_after(&self, at: Moment) -> Option<Moment> {
        self.ends_near(at).filter(|end| *end > at).min()
    }

    /// Returns the time of the next round. `began` is the time at which the round began that ended at the time `now`. If a
    /// shift has ended since then, some cases were compared before its end, so the next round begins at once.
    pub fn next_round(&self, began: Moment, now: Moment) -> Moment {
        let regular = now.plus_ms(self.pause_ms);
        match self.shift_end_after(began) {
            Some(end) => regular.min(end.max(now)),
            None => regular,
        }
    }

    /// Returns the time of the next round after the source could not be read.
    pub fn retry(&self, now: Moment) -> Moment {
        self.next_round(now, now)
    }

    /// Returns the end of the shift because of which a round compares the cases. `last` is the time at which the last complete
    /// round began, and `began` that of this round. Returns `None` if no shift has ended in between, or if its end is too long
    /// before the time `now`.
    pub fn shift_end_of(&self, last: Moment, began: Moment, now: Moment) -> Option<Moment> {
        let end = self.ends_near(began).filter(|end| *end <= began).max()?;
        (end > last && now <= end.plus_ms(LATE_MAX_MS)).then_some(end)
    }

    fn ends_near(&self, at: Moment) -> impl Iterator<Item = Moment> {
        let near = instants_near(&self.shift_ends, &self.zone, at);
        near.into_iter().map(|(_, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn schedule(ends: &[&str], zone: &str) -> Schedule {
        let ends: Vec<String> = ends.iter().map(|&end| end.into()).collect();
        Schedule::new(5 * MINUTE_MS, &ends, TimeZone::get(zone).unwrap())
    }

    fn at(text: &str) -> Moment {
        Moment(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn the_next_round_is_the_earlier_of_the_pause_and_the_shift_end() {
        let shifts = schedule(&["06:00", "14:00", "22:00"], "Asia/Shanghai");
        for (began, now, expected) in [
            (
                "2026-11-22T05:40:00Z",
                "2026-11-22T05:41:00Z",
                "2026-11-22T05:46:00Z",
            ),
            (
                "2026-11-22T05:57:00Z",
                "2026-11-22T05:58:00Z",
                "2026-11-22T06:00:00Z",
            ),
            // The round began before the end of the shift, and ended after it.
            (
                "2026-11-22T05:59:00Z",
                "2026-11-22T06:02:00Z",
                "2026-11-22T06:02:00Z",
            ),
            (
                "2026-11-22T06:02:00Z",
                "2026-11-22T06:03:00Z",
                "2026-11-22T06:08:00Z",
            ),
            (
                "2026-11-22T06:00:00Z",
                "2026-11-22T06:00:00Z",
                "2026-11-22T06:05:00Z",
            ),
        ] {
            assert_eq!(
                shifts.next_round(at(began), at(now)),
                at(expected),
                "{began}"
            );
        }
        let none = schedule(&[], "Asia/Shanghai");
        let (began, now) = (at("2026-11-22T05:59:00Z"), at("2026-11-22T06:02:00Z"));
        assert_eq!(none.next_round(began, now), now.plus_ms(5 * MINUTE_MS));
        assert_eq!(none.shift_end_after(now), None);
        assert_eq!(none.shift_end_of(began, now, now), None);
        // A source that cannot be read is not read again at once.
        assert_eq!(shifts.retry(now), now.plus_ms(5 * MINUTE_MS));
    }

    #[test]
    fn only_a_round_soon_after_the_end_belongs_to_the_shift() {
        let shifts = schedule(&["14:00"], "Asia/Shanghai");
        let end = at("2026-11-22T06:00:00Z");
        let (before, after) = (end.plus_ms(-MINUTE_MS), end.plus_ms(MINUTE_MS));
        assert_eq!(shifts.shift_end_of(before, end, after), Some(end));
        assert_eq!(shifts.shift_end_of(before, after, after), Some(end));
        assert_eq!(shifts.shift_end_of(before, before, after), None);
        assert_eq!(shifts.shift_end_of(end, after, after), None);
        let late = end.plus_ms(16 * MINUTE_MS);
        assert_eq!(shifts.shift_end_of(before, after, late), None);
    }

    #[test]
    fn a_shift_end_follows_the_changes_of_the_clocks() {
        // In Berlin, the local time 02:30 does not exist on 2026-03-29, and exists twice on 2026-10-25.
        let berlin = schedule(&["02:30"], "Europe/Berlin");
        for (now, expected) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(berlin.shift_end_after(at(now)), Some(at(expected)), "{now}");
        }
    }
}

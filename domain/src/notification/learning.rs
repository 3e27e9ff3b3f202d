//! Learns at which hours a person answers notifications. The result only moves messages that can wait, by a few hours
//! at most, and never removes one.

use events::Moment;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The lowest number of answers from which the desk learns. With fewer answers, the desk does not move messages.
pub const ANSWERS_MIN: usize = 20;
/// The longest time by which a message is moved, in milliseconds: 4 hours.
pub const DELAY_MAX_MS: i64 = 4 * 3_600_000;
/// A later hour must have at least this many times the answers of the current hour.
const FACTOR: u32 = 2;
/// A later hour must have at least this part of all answers: one of 5.
const PART: usize = 5;
const HOUR_MS: i64 = 3_600_000;
/// Messages avoid the first minute of an hour, because many programs send at this time.
const AFTER_HOUR_MS: i64 = 60_000;

/// Returns the time at which a message to a person should be sent, if a later time is clearly better. `answers`
/// contains the times at which the person answered notifications, and `at` is the time of the event.
///
/// The time is in the local hour with the most answers among the next 4 hours. This hour must have at least a fifth
/// of all answers, and twice as many as the hour of the event. Returns `None` in all other cases, and with fewer than
/// 20 answers.
pub fn better_time(answers: &[Moment], zone: &TimeZone, at: Moment) -> Option<Moment> {
    if answers.len() < ANSWERS_MIN {
        return None;
    }
    let mut counts = [0_u32; 24];
    for answer in answers {
        let (hour, _) = local(*answer, zone)?;
        *counts.get_mut(hour)? += 1;
    }
    let (hour, into_hour_ms) = local(at, zone)?;
    let current = counts.get(hour).copied()?;
    let begin = at.plus_ms(-into_hour_ms);
    let mut best: Option<(u32, Moment)> = None;
    for hours in 1..=4 {
        let due = begin.plus_ms(hours * HOUR_MS + AFTER_HOUR_MS);
        let count = local(due, zone).and_then(|(hour, _)| counts.get(hour).copied())?;
        let is_within = due <= at.plus_ms(DELAY_MAX_MS);
        // If two hours have the same number of answers, the earlier one is used.
        if is_within && best.is_none_or(|(most, _)| count > most) {
            best = Some((count, due));
        }
    }
    let (count, due) = best?;
    let part = u32::try_from(answers.len().div_ceil(PART)).ok()?;
    (count >= part && count >= current.max(1) * FACTOR).then_some(due)
}

/// Returns the local hour of a time, and the milliseconds since the begin of this hour.
fn local(at: Moment, zone: &TimeZone) -> Option<(usize, i64)> {
    let local = zone.to_datetime(Timestamp::from_millisecond(at.0).ok()?);
    let seconds = i64::from(local.minute()) * 60 + i64::from(local.second());
    let into_hour_ms = seconds * 1_000 + i64::from(local.millisecond());
    Some((usize::try_from(local.hour()).ok()?, into_hour_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let timestamp: Timestamp = text.parse().unwrap();
        Moment(timestamp.as_millisecond())
    }

    fn shanghai() -> TimeZone {
        TimeZone::get("Asia/Shanghai").unwrap()
    }

    /// Returns one answer at each local hour in `hours` (Asia/Shanghai), on different days.
    fn answers(hours: &[i8]) -> Vec<Moment> {
        let day = |(number, hour): (i64, &i8)| {
            let midnight = at("2026-11-01T00:00:00+08:00");
            midnight.plus_ms(number * 24 * HOUR_MS + i64::from(*hour) * HOUR_MS + 1_000)
        };
        (0..).zip(hours).map(day).collect()
    }

    #[test]
    fn a_message_moves_to_the_hour_with_the_answers() {
        let known = answers(&[[14_i8; 15].as_slice(), [11_i8; 5].as_slice()].concat());
        let moved = |time: &str| better_time(&known, &shanghai(), at(time));
        let expected = Some(at("2026-11-23T14:01:00+08:00"));
        assert_eq!(moved("2026-11-23T10:30:00+08:00"), expected);
        assert_eq!(moved("2026-11-23T13:59:59+08:00"), expected);
        assert_eq!(
            moved("2026-11-23T14:10:00+08:00"),
            None,
            "already the best hour"
        );
        assert_eq!(
            moved("2026-11-23T17:00:00+08:00"),
            None,
            "no good hour follows soon"
        );
        let earlier = Some(at("2026-11-23T11:01:00+08:00"));
        assert_eq!(moved("2026-11-23T08:30:00+08:00"), earlier);
    }

    #[test]
    fn too_few_or_scattered_answers_move_nothing() {
        let time = at("2026-11-23T10:30:00+08:00");
        let few = answers(&[14; 19]);
        assert_eq!(better_time(&few, &shanghai(), time), None);
        let hours: Vec<i8> = (0..24).collect();
        assert_eq!(better_time(&answers(&hours), &shanghai(), time), None);
        let similar = answers(&[[10_i8; 11].as_slice(), [14_i8; 19].as_slice()].concat());
        assert_eq!(better_time(&similar, &shanghai(), time), None);
    }

    #[test]
    fn a_message_never_moves_by_more_than_four_hours() {
        let zone = TimeZone::get("America/New_York").unwrap();
        for hour in 0..24 {
            let known = answers(&[hour; 30]);
            // The hours around both changes of the clocks.
            for begin in ["2026-03-08T00:00:00-05:00", "2026-11-01T00:00:00-04:00"] {
                for minutes in (0..24 * 60).step_by(7) {
                    let time = at(begin).plus_ms(minutes * 60_000);
                    if let Some(due) = better_time(&known, &zone, time) {
                        let delay = due.0 - time.0;
                        assert!(
                            (1..=DELAY_MAX_MS).contains(&delay),
                            "{hour} {minutes}: {delay}"
                        );
                    }
                }
            }
        }
    }
}

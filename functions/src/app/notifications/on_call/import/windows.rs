//! Creates the daily periods (windows) of layers from periods that can be longer than one day.

use std::collections::BTreeSet;

use events::rota::{Day, Window};

pub(super) const DAY_MIN: u32 = 24 * 60;
pub(super) const WEEK_MIN: u32 = 7 * DAY_MIN;
/// The days of the week. Monday has number 0.
pub(super) const DAYS: [Day; 7] = [
    Day::Mon,
    Day::Tue,
    Day::Wed,
    Day::Thu,
    Day::Fri,
    Day::Sat,
    Day::Sun,
];

/// Returns the windows that together cover a weekly period. The period begins on the day with the number `day`, at the
/// minute `from` of this day, and has a length of `minutes`: from one minute to one week.
pub(super) fn weekly(day: usize, from: u32, minutes: u32) -> Vec<Window> {
    let one = |offset: usize| vec![DAYS[(day + offset) % DAYS.len()]];
    if minutes <= DAY_MIN {
        return vec![window(from, from + minutes, one(0))];
    }
    let mut windows = vec![window(from, DAY_MIN, one(0))];
    let mut left = minutes - (DAY_MIN - from);
    let mut offset = 1;
    while left > 0 {
        windows.push(window(0, left.min(DAY_MIN), one(offset)));
        left = left.saturating_sub(DAY_MIN);
        offset += 1;
    }
    merged(windows)
}

/// Returns the window between two minutes of a day. The minutes can be on the next day.
pub(super) fn window(from: u32, to: u32, days: Vec<Day>) -> Window {
    let time = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    Window {
        from: time(from),
        to: time(to),
        days,
    }
}

/// Joins windows with the same times and different days. A window without days counts on every day.
pub(super) fn merged(windows: Vec<Window>) -> Vec<Window> {
    let mut joined: Vec<Window> = Vec::new();
    for window in windows {
        let same = joined
            .iter_mut()
            .find(|one| one.from == window.from && one.to == window.to);
        match same {
            Some(same) if same.days.is_empty() => {}
            Some(same) if window.days.is_empty() => same.days.clear(),
            Some(same) => {
                let days: BTreeSet<Day> = same.days.iter().chain(&window.days).copied().collect();
                same.days = days.into_iter().collect();
            }
            None => joined.push(window),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(windows: &[Window]) -> Vec<String> {
        let shown = windows.iter();
        shown
            .map(|one| format!("{}-{} {:?}", one.from, one.to, one.days))
            .collect()
    }

    #[test]
    fn a_period_over_several_days_becomes_windows_of_at_most_one_day() {
        for (day, from, minutes, expected) in [
            (0, 540, 540, vec!["09:00-18:00 [Mon]"]),
            (6, 1_320, 480, vec!["22:00-06:00 [Sun]"]),
            (0, 0, DAY_MIN, vec!["00:00-00:00 [Mon]"]),
            (
                3,
                360,
                3 * DAY_MIN + 150,
                vec![
                    "06:00-00:00 [Thu]",
                    "00:00-00:00 [Fri, Sat]",
                    "00:00-08:30 [Sun]",
                ],
            ),
            (5, 0, 2 * DAY_MIN, vec!["00:00-00:00 [Sat, Sun]"]),
            (
                4,
                1_080,
                WEEK_MIN,
                vec![
                    "18:00-00:00 [Fri]",
                    "00:00-00:00 [Mon, Tue, Wed, Thu, Sat, Sun]",
                    "00:00-18:00 [Fri]",
                ],
            ),
        ] {
            assert_eq!(shown(&weekly(day, from, minutes)), expected, "{minutes}");
        }
    }

    #[test]
    fn windows_with_the_same_times_are_joined() {
        let windows = vec![
            window(540, 1_080, vec![Day::Tue]),
            window(540, 1_080, vec![Day::Mon, Day::Tue]),
            window(600, 1_080, Vec::new()),
            window(600, 1_080, vec![Day::Mon]),
        ];
        let joined = merged(windows);
        assert_eq!(shown(&joined), ["09:00-18:00 [Mon, Tue]", "10:00-18:00 []"]);
    }
}

//! This test compares the built-in working calendar of mainland China with the package chinesecalendar.

use std::collections::BTreeMap;
use std::process::Command;

use domain::notification::calendar::is_work_day;
use functions::app::notifications::calendars::Definitions;
use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use tests::process::root;

/// Prints one line for each day: the date, and 1 for a working day or 0 for another day.
const PROGRAM: &str = "
import datetime
import chinese_calendar
day = datetime.date(2020, 1, 1)
while day.year < 2027:
    print(day, int(chinese_calendar.is_workday(day)))
    day += datetime.timedelta(days=1)
";

#[test]
fn the_built_in_calendar_equals_the_package_on_every_day() {
    let text = include_str!("../../functions/src/app/seed/china.toml");
    let definitions = Definitions::read(text).expect("a valid file");
    let [china] = definitions.calendars.as_slice() else {
        panic!("one calendar")
    };
    let output = Command::new(root().join("target/python/bin/python"))
        .args(["-c", PROGRAM])
        .output()
        .expect("the package chinesecalendar is installed by ./test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).expect("a text");
    let oracle: BTreeMap<Date, bool> = printed
        .lines()
        .map(|line| {
            let (day, works) = line.split_once(' ').expect("two words");
            (day.parse().expect("a date"), works == "1")
        })
        .collect();
    let (mut day, mut compared) = (date(2020, 1, 1), 0);
    while day <= date(2026, 12, 31) {
        assert_eq!(Some(&is_work_day(china, day)), oracle.get(&day), "{day}");
        day = day.checked_add(1.day()).expect("the next day");
        compared += 1;
    }
    assert_eq!((compared, oracle.len()), (2_557, 2_557));
    println!("{compared} days compared, 0 differences");
}

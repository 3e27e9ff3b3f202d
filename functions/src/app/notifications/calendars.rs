//! Reads working calendars from a TOML file and stores them. Also contains the built-in calendar `china`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use domain::config::Calendar;
use domain::notification::quiet::time_of_day;
use events::calendar::{CalendarEvent, Defined, TimeRange, Weekday};
use infra::Error;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::App;
use crate::app::definition_files::{check_name, define, unique};
use crate::app::history::history_from;
use crate::app::times;

/// The name of the built-in calendar with the working days of mainland China.
pub const CHINA: &str = "china";
/// The TOML file of the built-in calendar.
const CHINA_FILE: &str = include_str!("../seed/china.toml");
/// Maximum number of time ranges in the working hours of one day.
const RANGES_MAX: usize = 10;
/// Maximum number of dates in one list of a calendar. This number is enough for more than 30 years of holidays.
const DATES_MAX: usize = 2_000;

static BUILT_IN: LazyLock<Arc<Calendar>> = LazyLock::new(|| {
    let definitions = Definitions::read(CHINA_FILE).expect("the built-in calendar is valid");
    Arc::new(Calendar(definitions.calendars.into_iter().next(), 0))
});

/// The content of a TOML file with working calendars.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    calendar: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    zone: Option<String>,
    week: BTreeMap<Weekday, Vec<String>>,
    #[serde(default)]
    holidays: Vec<String>,
    #[serde(default)]
    work_days: Vec<String>,
    #[serde(default)]
    work_day_hours: Vec<String>,
}

/// The checked content of a TOML file with working calendars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    pub calendars: Vec<Defined>,
}

impl Definitions {
    /// Reads and checks the text of a TOML file with working calendars. If the text is invalid, returns an English
    /// text that names the wrong calendar and the wrong member of this calendar.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let calendars: Vec<Defined> = file
            .calendar
            .into_iter()
            .map(calendar)
            .collect::<Result<_, _>>()?;
        unique("calendar", calendars.iter().map(|one| &one.name))?;
        Ok(Self { calendars })
    }

    /// Stores all calendars from the TOML file. If a calendar is equal to the stored calendar, no event is added.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        for defined in &self.calendars {
            define::<Calendar>(app, &defined.name, defined).await?;
        }
        Ok(())
    }
}

/// Returns the calendar with the given name. A stored calendar takes precedence over the built-in calendar. If the
/// calendar does not exist, the result contains no definition.
pub async fn find(app: &App, name: &str) -> Result<Arc<Calendar>, Error> {
    let stored = app.configuration.calendar(name).await?;
    Ok(if stored.0.is_none() && name == CHINA {
        BUILT_IN.clone()
    } else {
        stored
    })
}

/// Returns true if a calendar with this name exists.
pub async fn exists(app: &App, name: &str) -> Result<bool, Error> {
    Ok(check_name("calendar", name).is_ok() && find(app, name).await?.0.is_some())
}

/// One version of a calendar. The built-in calendar has the number 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub number: u32,
    pub defined: Defined,
}

/// Reads and checks the calendar `name` from the members of a JSON object, which are the members of a calendar in the
/// TOML file. The error is an English text that names the wrong member between backticks.
pub fn read(name: &str, members: &Map<String, Value>) -> Result<Defined, String> {
    let mut members = members.clone();
    members.insert("name".into(), name.into());
    let entry = serde_json::from_value(Value::Object(members));
    calendar(entry.map_err(|error| format!("calendar {name}: {error}"))?)
}

/// Returns the newest version of each calendar, sorted by name. The built-in calendar is included, unless a stored
/// calendar has its name.
pub async fn all(app: &App) -> Result<Vec<Version>, Error> {
    let mut names: BTreeSet<String> = app
        .configuration
        .calendar_names()
        .await?
        .into_iter()
        .collect();
    names.insert(CHINA.to_owned());
    let mut all = Vec::new();
    for name in names {
        all.extend(version(app, &name, None).await?);
    }
    Ok(all)
}

/// Returns one version of a calendar, or the newest version if `number` is `None`. Returns `None` if the calendar or
/// the version does not exist.
pub async fn version(
    app: &App,
    name: &str,
    number: Option<usize>,
) -> Result<Option<Version>, Error> {
    let Some(number) = number else {
        let found = find(app, name).await?;
        let version = found.0.clone().map(|defined| Version {
            number: found.1,
            defined,
        });
        return Ok(version);
    };
    let stream = format!("calendar-{name}");
    let history = history_from::<CalendarEvent>(&app.ledger, &stream, 1).await?;
    let Some(index) = number.checked_sub(1) else {
        return Ok(None);
    };
    let found = history.into_iter().nth(index).map(|envelope| {
        let CalendarEvent::Defined(defined) = envelope.event;
        Version {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            defined,
        }
    });
    Ok(found)
}

/// Returns the working hours of each weekday as texts such as `09:00-18:00`.
pub fn week(defined: &Defined) -> BTreeMap<String, Vec<String>> {
    let name = |day: Weekday| format!("{day:?}").to_ascii_lowercase();
    let days = defined.week.iter();
    days.map(|(day, ranges)| (name(*day), hours(ranges)))
        .collect()
}

/// Returns time ranges as texts such as `09:00-18:00`.
pub fn hours(ranges: &[TimeRange]) -> Vec<String> {
    let ranges = ranges.iter();
    ranges
        .map(|range| format!("{}-{}", range.from, range.to))
        .collect()
}

/// Checks one calendar of the TOML file.
fn calendar(entry: Entry) -> Result<Defined, String> {
    let Entry {
        name,
        zone,
        week,
        holidays,
        work_days,
        work_day_hours,
    } = entry;
    check_name("calendar", &name)?;
    if let Some(zone) = &zone {
        times::zone(zone).map_err(|reason| format!("calendar {name}: `zone`: {reason}"))?;
    }
    let week: BTreeMap<Weekday, Vec<TimeRange>> = week
        .into_iter()
        .map(|(day, hours)| {
            let member = format!("week.{day:?}").to_ascii_lowercase();
            ranges(&name, &member, &hours).map(|ranges| (day, ranges))
        })
        .collect::<Result<_, String>>()?;
    let holidays = dates(&name, "holidays", holidays)?;
    let work_days = dates(&name, "work_days", work_days)?;
    let work_day_hours = ranges(&name, "work_day_hours", &work_day_hours)?;
    if week.values().all(Vec::is_empty) {
        return Err(format!("calendar {name}: `week` has no working hours"));
    }
    if !work_days.is_empty() && work_day_hours.is_empty() {
        return Err(format!(
            "calendar {name}: `work_day_hours` must have the working hours of `work_days`"
        ));
    }
    if let Some(date) = holidays.intersection(&work_days).next() {
        return Err(format!(
            "calendar {name}: `holidays` and `work_days` have the same date {date}"
        ));
    }
    Ok(Defined {
        name,
        zone,
        week,
        holidays,
        work_days,
        work_day_hours,
    })
}

/// Returns the time ranges in texts such as `09:00-18:00`. `calendar` and `member` are for the error text.
fn ranges(calendar: &str, member: &str, texts: &[String]) -> Result<Vec<TimeRange>, String> {
    if texts.len() > RANGES_MAX {
        return Err(format!(
            "calendar {calendar}: `{member}` must have at most {RANGES_MAX} time ranges"
        ));
    }
    let range = |text: &String| {
        let (from, to) = text.split_once('-')?;
        let is_valid = time_of_day(from).is_some() && time_of_day(to).is_some();
        is_valid.then(|| TimeRange {
            from: from.to_owned(),
            to: to.to_owned(),
        })
    };
    texts
        .iter()
        .map(|text| {
            range(text).ok_or_else(|| {
                format!(
                    "calendar {calendar}: `{member}` must have time ranges such as 09:00-18:00, not {text:?}"
                )
            })
        })
        .collect()
}

/// Checks a list of dates. `calendar` and `member` are for the error text.
fn dates(calendar: &str, member: &str, texts: Vec<String>) -> Result<BTreeSet<String>, String> {
    if texts.len() > DATES_MAX {
        return Err(format!(
            "calendar {calendar}: `{member}` must have at most {DATES_MAX} dates"
        ));
    }
    let is_date = |text: &str| {
        let date: Result<Date, _> = text.parse();
        date.is_ok_and(|date| date.to_string() == text)
    };
    if let Some(wrong) = texts.iter().find(|text| !is_date(text)) {
        return Err(format!(
            "calendar {calendar}: `{member}` must have dates such as 2026-10-01, not {wrong:?}"
        ));
    }
    Ok(texts.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        [[calendar]]
        name = "night_shift"
        zone = "Europe/Berlin"
        holidays = ["2026-12-25"]
        work_days = ["2026-12-27"]
        work_day_hours = ["10:00-12:00"]

        [calendar.week]
        monday = ["22:00-06:00"]
        tuesday = ["09:00-12:00", "13:00-17:00"]
    "#;

    #[test]
    fn a_file_defines_calendars() {
        let definitions = Definitions::read(VALID).unwrap();
        let [night] = definitions.calendars.as_slice() else {
            panic!("{definitions:?}")
        };
        assert_eq!(night.week[&Weekday::Monday][0].to, "06:00");
        assert_eq!(night.week[&Weekday::Tuesday].len(), 2);
        assert!(night.holidays.contains("2026-12-25"));
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            ("night_shift", "Night", "`name` must have"),
            ("Europe/Berlin", "Mars", "calendar night_shift: `zone`"),
            (
                "22:00-06:00",
                "22-06",
                "`week.monday` must have time ranges",
            ),
            ("10:00-12:00", "10:00", "`work_day_hours` must have time"),
            ("[\"10:00-12:00\"]", "[]", "`work_day_hours` must have the"),
            ("2026-12-25", "2026-13-25", "`holidays` must have dates"),
            ("2026-12-27", "27.12.2026", "`work_days` must have dates"),
            ("2026-12-27", "2026-12-25", "have the same date 2026-12-25"),
            ("monday", "moonday", "unknown variant `moonday`"),
            ("zone =", "zones =", "unknown field `zones`"),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = Definitions::read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let none = "[[calendar]]\nname = \"none\"\nweek = {}\n";
        let reason = Definitions::read(none).unwrap_err();
        assert!(reason.contains("`week` has no working hours"), "{reason}");
        let twice = Definitions::read(&[VALID, VALID].concat()).unwrap_err();
        assert!(twice.contains("night_shift is defined twice"), "{twice}");
    }

    #[test]
    fn the_built_in_calendar_has_make_up_days() {
        let china = BUILT_IN.0.as_ref().expect("a definition");
        assert_eq!(china.name, CHINA);
        assert!(china.work_days.contains("2026-10-10"));
        assert!(china.holidays.contains("2026-10-01"));
    }
}

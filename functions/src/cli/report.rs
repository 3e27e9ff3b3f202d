//! Implements `ledgerdesk report`, which computes numbers from events and prints the numbers. The
//! service desk may run at the same time.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use domain::projections::desk_board::DeskBoard;
use events::Moment;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::{Value, json};

use super::CommandError;
use super::target::Target;
use crate::app::{reports, times};
use crate::stream::project;

/// The duration of the default period of the report `sync`, in milliseconds.
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Args)]
pub struct Report {
    /// The name of the report.
    pub name: Name,
    /// Only for `sync`: the beginning of the period, such as 2026-11-30T06:00:00+08:00 [default: one day before the end].
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only for `sync`: the end of the period [default: now].
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only for `sync`: the last shift that has ended, such as 06:00-14:00.
    ///
    /// The times have the time zone of this machine, or of the environment variable `TZ`.
    #[arg(long, value_name = "HH:MM-HH:MM", conflicts_with_all = ["from", "to"])]
    pub shift: Option<Shift>,
    #[command(flatten)]
    pub target: Target,
}

/// The reports that the command can print.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Name {
    /// Numbers, transitions and durations of the incidents in imported logs.
    Incidents,
    /// Numbers of the tickets, decisions and callbacks of the service desk.
    Desk,
    /// The share of cases that differed from their records at the sources, in a period or shift.
    Sync,
}

/// The time of the day at which a shift begins, and at which it ends. A shift can end on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    begin: Time,
    end: Time,
}

impl FromStr for Shift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| Time::strptime("%H:%M", text).ok();
        let shift = text.split_once('-').and_then(|(begin, end)| {
            Some(Self {
                begin: time(begin)?,
                end: time(end)?,
            })
        });
        shift.ok_or_else(|| "use two times of the day, such as 06:00-14:00".into())
    }
}

impl Shift {
    /// Returns the beginning and the end of the last shift that ended at the time `now` or before.
    fn before(self, now: &ZonedDateTime) -> Option<(Moment, Moment)> {
        let zone = now.time_zone().clone();
        let mut day = now.date();
        for _ in 0..3 {
            let end = day
                .to_datetime(self.end)
                .to_zoned_datetime(zone.clone())
                .ok()?;
            if end <= *now {
                let day = if self.begin < self.end {
                    day
                } else {
                    day.yesterday().ok()?
                };
                let begin = day.to_datetime(self.begin).to_zoned_datetime(zone).ok()?;
                let moment = |at: &ZonedDateTime| Moment(at.timestamp().as_millisecond());
                return Some((moment(&begin), moment(&end)));
            }
            day = day.yesterday().ok()?;
        }
        None
    }
}

impl Report {
    /// Computes and prints the report.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let is_sync = matches!(self.name, Name::Sync);
        if !is_sync && (self.from.is_some() || self.to.is_some() || self.shift.is_some()) {
            return Err(CommandError::Usage(
                "--from, --to and --shift are only for the report sync".into(),
            ));
        }
        let ledger = self.target.read().await?;
        let report = match self.name {
            Name::Incidents => reports::incidents(
                &reports::incident_log(&ledger, &mut |_| {})
                    .await
                    .map_err(|error| error.to_string())?,
            ),
            Name::Sync => {
                let (from, to) = self.period(ledger.clock.now())?;
                let report = reports::sync(&ledger, from, to).await;
                report.map_err(|error| error.to_string())?
            }
            Name::Desk => json!(
                project::replay::<DeskBoard>(&ledger, |_| true, |_| {})
                    .await
                    .map_err(|error| error.to_string())?
                    .document
            ),
        };
        if json {
            println!(
                "{}",
                serde_json::to_string_pretty(&report).unwrap_or_default()
            );
        } else if is_empty(&report) {
            println!("{}", self.name.empty_text(&self.target));
        } else {
            print_lines(&report, 0);
        }
        Ok(())
    }

    /// Returns the period of the report.
    fn period(&self, now: Moment) -> Result<(Moment, Moment), CommandError> {
        let read = |option: &str, text: &Option<String>| {
            let wrong = |text: &String| {
                CommandError::Usage(format!(
                    "{option} {text}: use a time with its offset, such as 2026-11-30T06:00:00+08:00, or a day"
                ))
            };
            let read = |text: &String| times::read(text).ok_or_else(|| wrong(text));
            text.as_ref().map(read).transpose()
        };
        if let Some(shift) = self.shift {
            let at = Timestamp::from_millisecond(now.0).unwrap_or_default();
            let period = shift.before(&at.to_zoned_datetime(TimeZone::system()));
            return period.ok_or_else(|| {
                "the shift does not exist on the last days"
                    .to_owned()
                    .into()
            });
        }
        let to = read("--to", &self.to)?.unwrap_or(now);
        let from = read("--from", &self.from)?.unwrap_or(Moment(to.0 - DAY_MS));
        if from > to {
            return Err(CommandError::Usage("--from must be before --to".into()));
        }
        Ok((from, to))
    }
}

impl Name {
    /// Returns the message that the command prints if the report contains no data.
    fn empty_text(self, target: &Target) -> String {
        match self {
            Self::Incidents => format!(
                "nothing to report: no incident log was imported into {target}; `ledgerdesk import` imports one"
            ),
            Self::Sync => {
                format!("nothing to report: {target} compares no cases with their records")
            }
            Self::Desk => {
                format!("nothing to report: {target} has no tickets and no imported rows")
            }
        }
    }
}

/// Returns whether a report contains no data. In such a report, each number is zero and each list
/// is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().all(is_empty),
        Value::Array(rows) => rows.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Prints a report as indented lines. `depth` is the level of indentation. A list with three values
/// is printed as `from -> to: count`.
pub(super) fn print_lines(value: &Value, depth: usize) {
    let Value::Object(object) = value else { return };
    for (key, value) in object {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(_) => {
                println!("{indent}{key}:");
                print_lines(value, depth + 1);
            }
            Value::Array(rows) => {
                println!("{indent}{key}:");
                for row in rows {
                    println!(
                        "{indent}  {} -> {}: {}",
                        row[0].as_str().unwrap_or_default(),
                        row[1].as_str().unwrap_or_default(),
                        row[2]
                    );
                }
            }
            other => println!("{indent}{key}: {other}"),
        }
    }
}

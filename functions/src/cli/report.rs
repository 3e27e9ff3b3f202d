//! Implements `ledgerdesk report`, which computes numbers from events and prints the numbers. The
//! service desk may run at the same time.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use domain::projections::desk_board::DeskBoard;
use events::Moment;
use events::person::Language;
use infra::local;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::{Value, json};

use super::CommandError;
use super::serve::last_zone;
use super::target::Target;
use crate::app::notifications::delivery_report;
use crate::app::{reports, times};
use crate::stream::project;

/// The length of one day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// The default number of days of the reports `notifications` and `outcomes`.
const DAYS: u32 = 30;

#[derive(Debug, Args)]
pub struct Report {
    /// The name of the report.
    pub name: Name,
    /// For `sync` and `notifications`: the beginning, such as 2026-11-30T06:00:00+08:00 [default: days before the end].
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// For `sync` and `notifications`: the end of the period [default: now].
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only for `sync`: the last shift that has ended, such as 06:00-14:00 in the time zone of the report.
    ///
    /// The time zone is that of the desk, or of `--zone`.
    #[arg(long, value_name = "HH:MM-HH:MM", conflicts_with_all = ["from", "to"])]
    pub shift: Option<Shift>,
    /// For `notifications` and `outcomes`: the number of days of a period [default: 30].
    #[arg(long, conflicts_with_all = ["from", "shift"], value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: Option<u32>,
    /// Only for `outcomes`: the time that separates the two periods, such as the day of a new policy.
    #[arg(long, value_name = "TIME")]
    pub split: Option<String>,
    /// For `notifications` and `outcomes`: the language of explanations, zh-CN or en.
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = ["zh-CN", "en"])]
    pub language: String,
    /// For `sync`, `notifications` and `outcomes`: the time zone of the printed times [default: that of the desk].
    ///
    /// The default for a desk in the cloud is Asia/Shanghai, because the command cannot read the parameter `Zone` of its
    /// template.
    #[arg(long, value_name = "ZONE", env = "LEDGERDESK_ZONE")]
    pub zone: Option<String>,
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
    /// How the notifications of a period were delivered and answered, by channel and account.
    Notifications,
    /// Open rate, response time, satisfaction and tickets per processor before and after a time.
    Outcomes,
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
        self.check()?;
        let ledger = self.target.read().await?;
        let mut is_known_empty = false;
        let report = match self.name {
            Name::Incidents => reports::incidents(
                &reports::incident_log(&ledger, &mut |_| {})
                    .await
                    .map_err(|error| error.to_string())?,
            ),
            Name::Sync => {
                let zone = self.zone().await?;
                let period = self.period(ledger.clock.now(), 1, &zone)?;
                let report = reports::sync(&ledger, period, &zone).await;
                report.map_err(|error| error.to_string())?
            }
            Name::Notifications => {
                let zone = self.zone().await?;
                let days = self.days.unwrap_or(DAYS);
                let period = self.period(ledger.clock.now(), days, &zone)?;
                let report = delivery_report::report(&ledger, period, &zone, self.language());
                let report = report.await?;
                is_known_empty = report.notifications.all == 0 && report.accounts.is_empty();
                json!(report)
            }
            Name::Outcomes => {
                let zone = self.zone().await?;
                let split = read_time("--split", self.split.as_ref(), &zone)?.ok_or_else(|| {
                    CommandError::Usage(
                        "the report outcomes needs --split, such as --split 2026-11-01".into(),
                    )
                })?;
                let days = self.days.unwrap_or(DAYS);
                let language = self.language();
                let report = delivery_report::outcomes(&ledger, split, days, &zone, language);
                json!(report.await?)
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
        } else if is_known_empty || is_empty(&report) {
            println!("{}", self.name.empty_text(&self.target));
        } else {
            print_lines(&report, 0);
        }
        Ok(())
    }

    /// Returns an error if an option does not belong to the report.
    fn check(&self) -> Result<(), CommandError> {
        let (is_sync, is_notifications, is_outcomes) = (
            matches!(self.name, Name::Sync),
            matches!(self.name, Name::Notifications),
            matches!(self.name, Name::Outcomes),
        );
        let has_period = self.from.is_some() || self.to.is_some();
        let wrong = if has_period && !is_sync && !is_notifications {
            "--from and --to are only for the reports sync and notifications"
        } else if self.shift.is_some() && !is_sync {
            "--shift is only for the report sync"
        } else if self.days.is_some() && !is_notifications && !is_outcomes {
            "--days is only for the reports notifications and outcomes"
        } else if self.split.is_some() && !is_outcomes {
            "--split is only for the report outcomes"
        } else {
            return Ok(());
        };
        Err(CommandError::Usage(wrong.to_owned()))
    }

    /// Returns the time zone of the printed times. A desk in a directory has the zone of its last start.
    async fn zone(&self) -> Result<TimeZone, CommandError> {
        if let Some(name) = &self.zone {
            let zone = times::zone(name);
            return zone.map_err(|reason| CommandError::Usage(format!("--zone: {reason}")));
        }
        let looked = match self.target.directory() {
            Some(directory) => local::look_at_views(directory, true)?,
            None => None,
        };
        match looked {
            Some(looked) => Ok(last_zone(&*looked.views).await?),
            None => Ok(times::default_zone()),
        }
    }

    fn language(&self) -> Language {
        if self.language == "zh-CN" {
            Language::Chinese
        } else {
            Language::English
        }
    }

    /// Returns the period of the report. `days` is its length if no beginning is given. The times of a shift are times in
    /// `zone`.
    fn period(
        &self,
        now: Moment,
        days: u32,
        zone: &TimeZone,
    ) -> Result<(Moment, Moment), CommandError> {
        if let Some(shift) = self.shift {
            let at = Timestamp::from_millisecond(now.0).unwrap_or_default();
            let period = shift.before(&at.to_zoned_datetime(zone.clone()));
            return period.ok_or_else(|| {
                "--shift: the shift does not exist on the last days"
                    .to_owned()
                    .into()
            });
        }
        let to = read_time("--to", self.to.as_ref(), zone)?.unwrap_or(now);
        let earlier = to.plus_ms(-DAY_MS * i64::from(days));
        let from = read_time("--from", self.from.as_ref(), zone)?.unwrap_or(earlier);
        if from > to {
            return Err(CommandError::Usage("--from must be before --to".into()));
        }
        Ok((from, to))
    }
}

/// Reads the time in an option. A day without a time begins in `zone`. Returns `None` if the option is not given.
fn read_time(
    option: &str,
    text: Option<&String>,
    zone: &TimeZone,
) -> Result<Option<Moment>, CommandError> {
    let wrong = |text: &String| {
        CommandError::Usage(format!(
            "{option} {text}: use a time with its offset, such as 2026-11-30T06:00:00+08:00, or a day"
        ))
    };
    let read = |text: &String| times::read_in(text, zone).ok_or_else(|| wrong(text));
    text.map(read).transpose()
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
            Self::Notifications | Self::Outcomes => {
                format!("nothing to report: {target} has no notifications in the period")
            }
        }
    }
}

/// Returns whether a report contains no data. In such a report, each number is zero or null, and each
/// list is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().all(is_empty),
        Value::Array(rows) => rows.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Null => true,
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

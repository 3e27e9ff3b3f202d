//! Defines the events of one working calendar. The events are stored in the stream `calendar-<name>`. A working
//! calendar contains the working hours of a week, the holidays, and the additional working days.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one working calendar.
    CalendarEvent of "calendar" {
        Defined "calendar.defined" 1,
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A part of a day in which people work. The times have the form `HH:MM`. If `to` is not later than `from`, the range
/// ends on the next day. The range belongs to the day on which the range begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    pub from: String,
    pub to: String,
}

/// The working calendar was defined. This definition replaces an earlier definition of the same calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The time zone of the working hours, such as `Asia/Shanghai`. The time zone in the preferences of a person
    /// takes precedence. If both values are absent, the time zone of the desk is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The working hours of each weekday. People do not work on a weekday without an entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub week: BTreeMap<Weekday, Vec<TimeRange>>,
    /// The dates, such as `2026-10-01`, on which people do not work.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holidays: BTreeSet<String>,
    /// The dates on which people work in addition to the week, such as a Saturday before a long holiday (调休).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub work_days: BTreeSet<String>,
    /// The working hours of the additional working days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work_day_hours: Vec<TimeRange>,
}
impl Personals for Defined {}

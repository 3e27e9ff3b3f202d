//! Defines the events of one rota. The events are stored in the stream `rota-<name>`. A rota defines which people are on
//! call at which time.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::{Moment, PersonId};

event_enum! {
    /// The events of one rota.
    RotaEvent of "rota" {
        Defined "rota.defined" 1,
    }
}

/// A rota was defined. This definition replaces an earlier definition of the same rota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    pub layers: Vec<Layer>,
    /// Periods in which other people are on call. During an override, the layers do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}
impl Personals for Defined {}

/// A sequence of shifts. The people take the shifts in the order of the list, and begin again after the last person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub people: Vec<PersonId>,
    /// The local date and time at which the first shift begins, such as `2026-11-23T09:00`.
    pub start: String,
    /// The local date and time at which the last shift ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    pub shift: Shift,
    /// The time zone of all local times of the layer, such as `Asia/Shanghai`.
    pub zone: String,
    /// The part of each day in which the layer counts. If the value is absent, the layer counts all day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// If several layers have a person at the same time, only the layers with the highest level count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub level: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(level: &u32) -> bool {
    *level == 0
}

/// The length of a shift. Shifts change at the same local time of day, also after the clocks were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    Hours(u32),
    Days(u32),
    Weeks(u32),
}

/// The part of each day in which a layer counts. The times have the form `HH:MM`. If `to` is not later than `from`, the
/// period ends on the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from: String,
    pub to: String,
    /// The days on which the period begins. An empty list means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A period in which another person is on call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub person: PersonId,
    pub from: Moment,
    pub to: Moment,
}

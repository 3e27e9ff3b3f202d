//! Sites of the fleet, in the stream `site-<name>`: the places at which robots work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one site.
    SiteEvent of "site" {
        Defined "site.defined" 1,
    }
}

/// A position on the map of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Distance from the origin of the map, in meters.
    pub x: f64,
    pub y: f64,
}

/// The site was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The id of the map that the robots of the site use.
    pub map: String,
    /// The position of each station, by the name of the station. Missions name their target by
    /// station.
    pub stations: BTreeMap<String, Position>,
}
impl Personals for Defined {}

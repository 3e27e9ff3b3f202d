//! Defines the events of one site. The events are stored in the stream `site-<name>`. A site is a place at
//! which robots work.

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
    /// Distance from the origin of the map along the x axis, in meters. The member `y` contains the distance
    /// along the y axis.
    pub x: f64,
    pub y: f64,
}

/// The site was defined. This definition replaces an earlier definition of the same site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The id of the map that all robots of the site use.
    pub map: String,
    /// The positions of the stations (places at which a robot can do work). Each key of the map is the name
    /// of a station. A mission contains the name of the station at which the robot must work.
    pub stations: BTreeMap<String, Position>,
}
impl Personals for Defined {}

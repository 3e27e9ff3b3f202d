//! Defines the events of one client app that may call the APIs. The events are stored in the stream
//! `app-<code>`. The key store contains a hash of the app's secret. Events never contain a secret.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::AppCode;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one client app.
    AppEvent of "app" {
        Registered "app.registered" 1,
    }
}

/// A part of the APIs that a client app may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Tickets, their files and forms, notifications, and the reading of services and workflows.
    Tickets,
    /// Cases (records of other systems).
    Cases,
    /// Robots and their missions.
    Fleet,
    /// The configuration, apps, people and the work of the whole desk.
    Admin,
    /// The figures for monitoring.
    Metrics,
}

impl Scope {
    /// All parts of the APIs.
    pub const ALL: [Self; 5] = [
        Self::Tickets,
        Self::Cases,
        Self::Fleet,
        Self::Admin,
        Self::Metrics,
    ];

    /// The names of all parts, in the order of [`Self::ALL`].
    pub const NAMES: [&'static str; 5] = [
        Self::Tickets.key(),
        Self::Cases.key(),
        Self::Fleet.key(),
        Self::Admin.key(),
        Self::Metrics.key(),
    ];

    /// Returns the name of the part in events and in the APIs.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Cases => "cases",
            Self::Fleet => "fleet",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }

    /// Returns the part with the given name, or `None` if the name is unknown.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.key() == name)
    }
}

/// The client app (a program of another system) was registered. This registration replaces an earlier
/// registration of the same app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub code: AppCode,
    pub name: String,
    /// True if the app may act for any user without the login token of that user. The app may then also send
    /// requests that name no user.
    pub may_impersonate: bool,
    /// True if the desk sends a callback (an HTTP request with the ticket status) to the app for each change
    /// of a ticket status. If the value is false, the desk sends a callback only when a ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status_callbacks: bool,
    /// True if the app is disabled. A disabled app may not call the APIs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
    /// The parts of the APIs that the app may use. If the value is absent, the app may use all parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Scope>>,
}
impl Personals for Registered {}

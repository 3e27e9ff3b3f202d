//! Contains the use cases for notifications: define channel accounts, store the preferences of people, notify
//! people, and explain each notification.

pub mod calendars;
pub mod definitions;
pub mod message;
pub mod notify;
pub mod preferences;
pub mod presence;
pub mod tokens;
pub mod why;

//! Contains the use cases for notifications: channel accounts, the preferences of people, the notification of
//! people, and the explanation of each notification.

pub mod definitions;
pub mod message;
pub mod notify;
pub mod preferences;
pub mod rate;
pub mod why;

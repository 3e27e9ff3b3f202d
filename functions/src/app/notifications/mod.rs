//! Contains the use cases for notifications: define channel accounts, store the preferences of people, notify
//! people, and explain each notification.

pub mod accounts;
pub mod actions;
pub mod addresses;
pub mod answers;
pub mod calendars;
pub mod definitions;
pub mod delivery_report;
pub mod digest_message;
pub mod digests;
pub mod escalations;
pub mod event_document;
mod health;
pub mod identities;
pub mod inbound;
pub mod message;
pub mod notify;
pub mod on_call;
mod policy_rules;
pub mod policy_try;
pub mod preference_document;
pub mod preferences;
pub mod presence;
pub mod recent;
pub mod reminders;
pub mod reply_address;
pub mod standing_check;
pub mod subscribers;
mod teams;
pub mod templates;
pub mod tokens;
pub mod unanswered;
pub mod why;
pub mod why_person;
mod why_routing;
pub mod work_notices;

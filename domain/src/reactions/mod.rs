//! Reactions: pure functions from an event, and from the card after that event, to intents.

pub mod relate_tickets;
pub mod send_callback;
pub mod start_api_call;

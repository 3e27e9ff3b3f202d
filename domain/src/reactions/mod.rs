//! Reactions: pure functions from an event, and from the card after that event, to intents.

pub mod handle_inbound;
pub mod relate_tickets;
pub mod send_callback;
pub mod start_api_call;
pub mod submit_application;

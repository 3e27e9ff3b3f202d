//! An event and the card as of that event, then intents. Pure, like everything here.

pub mod relate_tickets;
pub mod send_callback;
pub mod start_api_call;

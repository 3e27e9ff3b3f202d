//! Reactions. A reaction is a pure function. It reads an event and the card (the state summary)
//! after this event. It returns intents: further work that the desk must do.

pub mod handle_inbound;
pub mod relate_tickets;
pub mod send_callback;
pub mod start_api_call;
pub mod submit_application;

//! An event and the card as of that event, then intents. Pure, like everything here.

pub mod start_call;
pub mod tell_caller;
pub mod tell_relatives;

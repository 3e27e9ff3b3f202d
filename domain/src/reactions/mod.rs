//! An event and the card as of that event, then intents. Pure, like everything here.

pub mod tell_caller;

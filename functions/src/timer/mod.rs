//! What time sets going.

pub mod wake;

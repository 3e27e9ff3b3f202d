//! How we reach the world: one folder per port, one file per adapter, one contract suite per port.
//!
//! [`store`] keeps the ledger, [`pages`] its order where the store has none, [`blob`] large things, [`keys`] people and their secrets,
//! [`secrets`] the desk's own, [`views`] what people read, [`queue`] work to be done, [`caller`] calls others, [`login`] asks who
//! somebody is, [`directory`] who works where.
//! [`ledger`] executes commands over them. [`local`] opens all of it from one directory, [`aws`] from one account; each is a feature.
//!
//! **Recipe, an adapter**: one file in the port's folder, its line in `mod.rs`, its row in the contract test. A port's traits
//! show no SDK types, and an adapter only translates its SDK's errors into a [`error::Kind`].

#[cfg(feature = "aws")]
pub mod aws;
pub mod blob;
pub mod caller;
pub mod clock;
pub mod crash;
pub mod directory;
pub mod error;
pub mod keys;
pub mod ledger;
#[cfg(feature = "local")]
pub mod local;
pub mod login;
pub mod meter;
pub mod pages;
pub mod queue;
pub mod secrets;
#[cfg(feature = "local")]
mod sqlite;
pub mod store;
pub mod tls;
pub mod views;

pub use error::{Error, Kind};
pub use ledger::{Failure, Ledger, Outcome, Wish};

//! Ports and adapters: one folder per port, one file per adapter, one contract suite per port.
//!
//! | module | purpose |
//! | --- | --- |
//! | [`store`] | the event store: appends commits, reads streams and the feed |
//! | [`pages`] | feed pages, which give the commits of a DynamoDB table one order |
//! | [`blob`] | archive objects and uploaded files |
//! | [`keys`] | names and subject keys of people |
//! | [`secrets`] | named secrets of the desk |
//! | [`views`] | read models |
//! | [`queue`] | queues of work |
//! | [`http`] | outgoing HTTP requests and egress rules |
//! | [`login`] | the person of a login token |
//! | [`itsm`] | external ITSMs that decide applications |
//! | [`directory`] | people, departments and leaders |
//!
//! [`ledger`] executes commands on these ports. [`local`] opens all ports from one directory
//! (feature `local`). [`aws`] opens all ports from one AWS account (feature `aws`).
//!
//! **Recipe, an adapter**: To add an adapter, add one file to the folder of the port and one line
//! to `mod.rs`. Add one test that runs the port's `contract.rs` on the adapter. The signatures of a
//! port contain no SDK types. An adapter translates the errors of its SDK into an [`error::Kind`].

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "local")]
pub mod backup;
pub mod blob;
pub mod cache;
pub mod clock;
pub mod commit;
pub mod crash;
pub mod directory;
pub mod error;
#[cfg(feature = "local")]
pub mod heads;
pub mod http;
pub mod itsm;
pub mod keys;
pub mod ledger;
#[cfg(feature = "local")]
pub mod local;
pub mod login;
pub mod meter;
pub mod pages;
pub mod ports;
pub mod provider;
pub mod queue;
#[cfg(feature = "aws")]
pub mod sdk;
pub mod secrets;
#[cfg(feature = "local")]
mod sqlite;
pub mod store;
pub mod views;

pub use error::{Error, Kind};
pub use ledger::{CommandEnvelope, ExecuteError, Ledger, Outcome};
pub use ports::Ports;

//! Contains the ports and adapters of Ledgerdesk. A port is an interface to storage or to another
//! system. An adapter implements a port. Each port has one directory, with one file per adapter and
//! one contract suite (tests that every adapter must pass).
//!
//! | module | purpose |
//! | --- | --- |
//! | [`store`] | the event store: appends commits, reads streams and the feed (all commits in order) |
//! | [`pages`] | feed pages, which give the commits of a DynamoDB table one order |
//! | [`blob`] | archive objects (compressed commits) and uploaded files |
//! | [`keys`] | names and encryption keys of people |
//! | [`secrets`] | named secrets of the desk |
//! | [`views`] | documents for reading, with indexes |
//! | [`queue`] | work queues |
//! | [`http`] | outgoing HTTP requests, and the rules for allowed addresses |
//! | [`login`] | finds the person of a login token |
//! | [`accounts`] | reads and unlocks accounts in directories such as an LDAP server |
//! | [`channel`] | ways to send messages to people, and a port that sends e-mails |
//! | [`provider`] | builds the requests of automatic workflow nodes |
//! | [`policy`] | the permission policies |
//! | [`sandbox`] | runs shell scripts in a sandbox |
//! | [`inbound`] | verifies messages that people send from chats |
//! | [`itsm`] | external systems for IT service management (ITSM) that decide on requests for approval |
//! | [`fleet`] | messages to and from robots |
//! | [`directory`] | people, departments and leaders |
//!
//! The module [`ledger`] executes commands on these ports. The module [`local`] opens all ports
//! from one directory (feature `local`). The module [`aws`] opens all ports from one AWS account
//! (feature `aws`).
//!
//! **How to add an adapter**: Add one file to the directory of the port, and one line to its
//! `mod.rs`. Add one test that runs the contract suite of the port (`contract.rs`) on the adapter.
//! The signatures of a port contain no SDK types. An adapter converts the errors of its SDK into an
//! [`error::Kind`].

pub mod accounts;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "local")]
pub mod backup;
pub mod blob;
pub mod cache;
pub mod calendar_feed;
pub mod channel;
pub mod clock;
pub mod commit;
pub mod crash;
pub mod directory;
pub mod error;
pub mod fleet;
#[cfg(feature = "local")]
pub mod heads;
pub mod http;
pub mod inbound;
pub mod itsm;
pub mod keys;
pub mod ledger;
#[cfg(feature = "local")]
pub mod local;
pub mod login;
pub mod mail;
pub mod mailbox;
pub mod meter;
pub mod pages;
pub mod policy;
pub mod ports;
pub mod provider;
pub mod queue;
pub mod sandbox;
#[cfg(feature = "aws")]
pub mod sdk;
pub mod secrets;
pub mod source;
#[cfg(feature = "local")]
mod sqlite;
pub mod store;
pub mod text;
pub mod views;

pub use error::{Error, Kind};
pub use ledger::{CommandEnvelope, ExecuteError, Ledger, Outcome};
pub use ports::Ports;

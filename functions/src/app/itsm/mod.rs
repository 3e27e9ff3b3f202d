//! Contains the use cases for other systems. The modules read the definitions of integrations
//! (connections to other systems). The modules also receive callbacks about applications (tickets
//! in external ITSMs), and cases (records of other systems).

pub mod administration;
pub mod applications;
pub mod assignees;
pub mod callbacks;
pub mod cases;
pub mod gate;
pub mod integrations;
pub mod links;
pub mod mapping_check;
mod opening;
pub mod repairs;
pub mod rewriting;
pub mod sources;
pub mod takeover;

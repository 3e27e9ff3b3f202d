//! Contains the use cases for other systems. This module reads the definitions of integrations
//! (connections to other systems). It also receives callbacks about applications (tickets in
//! external ITSMs) and cases (records of other systems).

pub mod callbacks;
pub mod cases;
pub mod integrations;

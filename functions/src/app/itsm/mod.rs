//! Contains the use cases for other systems. Reads the definitions of integrations, receives
//! callbacks about applications (tickets in external ITSMs), and receives cases of other systems.

pub mod callbacks;
pub mod cases;
pub mod integrations;

//! Contains the functions that run on a schedule.

pub mod wake;

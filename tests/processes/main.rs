//! Tests the real program on a disk: killed processes, changed files, a full disk, and clients that
//! other projects wrote.

mod commands;
mod crashes;
mod desk;
mod fleet;
mod proof;
mod two_desks;

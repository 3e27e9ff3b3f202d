//! Tests of the real program on a disk: kills, tampering, a full disk, and foreign clients.

mod commands;
mod crashes;
mod proof;
mod two_desks;

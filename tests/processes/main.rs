//! The real program on a real disk: killed, tampered with, short of space, driven by foreign clients.

mod commands;
mod crashes;
mod proof;

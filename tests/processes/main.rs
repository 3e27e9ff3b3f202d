//! These tests run the compiled program with data on a disk. They kill processes, change files and fill the
//! disk. They also run clients that other projects wrote.

mod automation;
mod bk_log;
mod calendar;
mod cases;
mod channels;
mod commands;
mod console;
mod crashes;
mod desk;
mod doctor;
mod external_bk_itsm;
mod fleet;
mod generated_clients;
mod helpdesk;
mod inbox;
mod mail;
mod mail_encryption;
mod notifications;
mod package;
mod privacy;
mod privacy_mail;
mod proof;
mod sources;
mod two_desks;
mod working_day;

#[path = "../flows/notifications/chats.rs"]
mod chats;

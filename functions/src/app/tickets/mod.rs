//! Contains the use cases for tickets: submit a new ticket, execute commands on a ticket, read a
//! ticket, and list tickets.

pub mod act;
pub mod decide;
pub mod display;
pub mod extras;
pub mod idempotency;
pub mod list;
pub mod operations;
pub mod read;
mod readable;
pub mod service_task;
pub mod submit;

pub use act::{act, await_card, execute, is_done};
pub use idempotency::{Key, NotOpened, opened_before};
pub use read::{KNOWN_CARDS, KnownCards, SN_BYTES_MAX, Unread, card, history, may, read};
pub use submit::{NotRaised, TAG_MAX, consider, may_raise, open, with_people};

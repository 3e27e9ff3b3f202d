//! The definitions that the modules for sent mails and for received mails have in common.

/// The header with the id of the desk that sent a mail.
pub const INSTANCE: &str = "X-Ledgerdesk-Instance";

/// The type of encryption for the connection to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// The connection is encrypted from the beginning (usually on port 465).
    Implicit,
    /// The connection begins without encryption. The command STARTTLS then starts the encryption (usually on
    /// port 587). If the relay does not support this command, no message is sent.
    Starttls,
    /// The connection is not encrypted.
    None,
}

//! Defines the ports (interfaces to storage and to other systems) of one desk. The modules [`crate::local`]
//! and [`crate::aws`] create these ports.

use std::sync::Arc;

use crate::Ledger;
use crate::accounts::{Accounts, NoAccounts};
use crate::blob::Blob;
use crate::channel::{Mailer, NoMailer};
use crate::directory::{Directory, file::File};
use crate::fleet::{Fleet, NoFleet};
use crate::http::{HttpClient, closed::Closed};
use crate::login::{Login, memory::Memory as NoLogin};
use crate::mailbox::{Mailboxes, NoMailboxes};
use crate::queue::Queue;
use crate::sandbox::{NoSandbox, Sandbox};
use crate::secrets::{Secrets, stored::Stored};
use crate::views::{InSteps, PageWriter, Views};

/// The ports (interfaces to storage and to other systems) of one desk.
#[derive(Clone)]
pub struct Ports {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    /// Stores the documents and queue messages that the desk computes from new commits. The documents are
    /// stored in `views`, and the messages in `queue`.
    pub page_writer: Arc<dyn PageWriter>,
    /// Stores uploaded files in encrypted form, and archived parts of the feed (the sequence of all commits).
    pub blob: Arc<dyn Blob>,
    pub secrets: Arc<dyn Secrets>,
    /// Sends HTTP requests to other systems.
    pub http: Arc<dyn HttpClient>,
    pub login: Arc<dyn Login>,
    pub directory: Arc<dyn Directory>,
    /// Publishes messages to robots.
    pub fleet: Arc<dyn Fleet>,
    /// Sends mails to mail relays.
    pub mailer: Arc<dyn Mailer>,
    /// Reads the mailboxes of the desk.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// Reads and unlocks accounts in directories.
    pub accounts: Arc<dyn Accounts>,
    /// Runs shell scripts in a sandbox (an isolated environment).
    pub sandbox: Arc<dyn Sandbox>,
}

impl Ports {
    /// Creates all ports of a desk from the given storage ports.
    ///
    /// The created ports for HTTP, mail and robots send nothing to other systems. Operations on accounts and the start
    /// of scripts return an error. The login port accepts no token, and the company directory is empty. A caller that
    /// needs another port replaces the created port.
    pub fn over(
        ledger: Ledger,
        views: Arc<dyn Views>,
        queue: Arc<dyn Queue>,
        blob: Arc<dyn Blob>,
    ) -> Self {
        Self {
            page_writer: Arc::new(InSteps {
                views: views.clone(),
                queue: queue.clone(),
            }),
            secrets: Arc::new(Stored {
                keys: ledger.keys.clone(),
                rng: ledger.rng.clone(),
            }),
            ledger,
            views,
            queue,
            blob,
            http: Arc::new(Closed),
            login: Arc::new(NoLogin::default()),
            directory: Arc::new(File::default()),
            fleet: Arc::new(NoFleet),
            mailer: Arc::new(NoMailer),
            mailboxes: Arc::new(NoMailboxes),
            accounts: Arc::new(NoAccounts),
            sandbox: Arc::new(NoSandbox),
        }
    }
}

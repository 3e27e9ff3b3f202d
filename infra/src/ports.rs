//! All ports of one desk, filled by [`crate::local`] and [`crate::aws`].

use std::sync::Arc;

use crate::Ledger;
use crate::blob::Blob;
use crate::directory::{Directory, file::File};
use crate::http::{HttpClient, closed::Closed};
use crate::login::{Login, memory::Memory as NoLogin};
use crate::queue::Queue;
use crate::secrets::{Secrets, stored::Stored};
use crate::views::{InSteps, PageWriter, Views};

/// The ports of one desk.
#[derive(Clone)]
pub struct Ports {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    /// Writes the results of followed pages into views and queue.
    pub page_writer: Arc<dyn PageWriter>,
    /// Uploaded files, sealed.
    pub blob: Arc<dyn Blob>,
    pub secrets: Arc<dyn Secrets>,
    /// Outgoing HTTP requests.
    pub http: Arc<dyn HttpClient>,
    pub login: Arc<dyn Login>,
    pub directory: Arc<dyn Directory>,
}

impl Ports {
    /// Returns ports over stored data, with secrets in the key store. No outgoing request is sent,
    /// no login token is valid, and no person has a leader, until these ports are replaced.
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
        }
    }
}

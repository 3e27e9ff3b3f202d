//! All ports from one directory.

use std::path::Path;
use std::sync::Arc;

use crate::blob::Blob;
use crate::clock::{SystemChance, SystemClock};
use crate::crash::Crash;
use crate::keys::Keys;
use crate::queue::Queue;
use crate::secrets::{Secrets, stored::Stored};
use crate::store::Store;
use crate::views::Views;
use crate::{Error, Ledger, blob, keys, queue, store, views};

/// The ports of one desk on one machine.
#[derive(Clone)]
pub struct Local {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    pub secrets: Arc<dyn Secrets>,
    /// Uploaded files.
    pub blob: Arc<dyn Blob>,
}

impl Local {
    /// Opens a directory for a desk that writes; a second one is refused.
    pub fn open(directory: &Path, crash: &Arc<Crash>) -> Result<Self, Error> {
        let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::open(directory, crash.clone())?);
        Self::files(directory).sweep()?;
        Self::over(directory, store, crash)
    }

    /// Opens the ledger of a directory for reading beside a running desk, with keys to open what is sealed.
    pub fn read(directory: &Path) -> Result<Ledger, Error> {
        let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::read(directory)?);
        Ok(Ledger::new(store, Self::keys(directory)?, Arc::new(SystemClock), Arc::new(SystemChance)))
    }

    /// Opens views and queue of a directory beside a running desk.
    pub fn beside(directory: &Path) -> Result<Self, Error> {
        let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::read(directory)?);
        Self::over(directory, store, &Arc::default())
    }

    fn over(directory: &Path, store: Arc<dyn Store>, crash: &Arc<Crash>) -> Result<Self, Error> {
        let ledger = Ledger::new(store, Self::keys(directory)?, Arc::new(SystemClock), Arc::new(SystemChance));
        let file = Arc::new(views::sqlite::ViewsFile::open(directory, crash.clone())?);
        let secrets = Arc::new(Stored { keys: ledger.keys.clone(), chance: ledger.chance.clone() });
        let blob = Arc::new(Self::files(directory));
        Ok(Self { ledger, blob, views: Arc::new(views::sqlite::Sqlite(file.clone())), queue: Arc::new(queue::sqlite::Sqlite(file)), secrets })
    }

    fn files(directory: &Path) -> blob::files::Files {
        blob::files::Files::new(&directory.join("files"))
    }

    fn keys(directory: &Path) -> Result<Arc<dyn Keys>, Error> {
        Ok(Arc::new(keys::sqlite::Sqlite::open(directory, Arc::new(SystemChance))?))
    }
}

/// The limit of open files of this process; `None` where there is none.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

//! Changes the configuration of the desk: workflows, services, the service catalog, dictionaries
//! and roles. All HTTP APIs use these functions.
//!
//! In each function, the parameter `by` is the metadata of the commits. This metadata contains the
//! actor, the user for whom the actor works, and the client app.

mod catalog;
mod definitions;
mod roles;
mod services;
mod workflows;

use domain::Decider;
use domain::config;
use domain::number_sequence::{self, NumberSequence};
use domain::workflow;
use events::number_sequence::NumberSequenceEvent;
use events::{Meta, ServiceId};
use infra::ledger::{ContextLoader, NoContext};
use infra::{CommandEnvelope, Error, ExecuteError, Kind};
use tokio::sync::{Mutex, MutexGuard};

use crate::App;

pub use catalog::{add_catalog, change_catalog, remove_catalog};
pub use definitions::{define, remove_dictionary};
pub use roles::{remove_role, role_names};
pub use services::{
    ServiceImport, add_service, define_service, import_service, name_is_free, place_service,
    remove_service, take_over,
};
pub use workflows::{
    close_workflow, deploy, draft, import_workflow, read_workflow, remove_version, restore,
};

/// The first id for objects that people create. The objects of the initial configuration have
/// smaller ids.
const OWN_IDS: i64 = 1000;

/// Maximum number of attempts to reserve an id. An attempt fails if another request takes the same
/// id first.
const RACES_MAX: u32 = 20;

/// The lock for configuration changes in this process. A change first reads the configuration, such
/// as the list of used names, and then stores the result. Without the lock, another change between
/// these two steps could make the read values outdated.
static CHANGING: Mutex<()> = Mutex::const_new(());

/// Waits until other tasks of this process have finished their configuration changes. The caller
/// can then change the configuration until the returned guard is dropped.
pub async fn lock_configuration() -> MutexGuard<'static, ()> {
    CHANGING.lock().await
}

/// The reason why a change of the configuration was rejected.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    #[error(transparent)]
    Technical(#[from] Error),
    #[error("only superusers name secrets of the key store ({0})")]
    SecretNamed(String),
    #[error("a service named {0} is there already")]
    NameTaken(String),
    #[error("there is no service type {0}")]
    KindUnknown(String),
    #[error("{what} is in use by {by}")]
    InUse { what: String, by: String },
    #[error("there is no service {0}")]
    ServiceUnknown(ServiceId),
    #[error("the workflow cannot be read: {0}")]
    Unreadable(String),
    #[error("the workflow cannot be deployed: {}", .0.join("; "))]
    Unsound(Vec<String>),
    #[error(transparent)]
    Catalog(config::Rejection),
    #[error(transparent)]
    Workflow(workflow::Rejection),
}

/// Executes a command on a configuration object. Waits until the card (the stored summary) of this
/// object contains the new state. Returns the new state of the object.
async fn execute<D: Decider>(
    app: &App,
    by: &Meta,
    stream: String,
    command: &D::Command,
) -> Result<D, ExecuteError<D>>
where
    NoContext: ContextLoader<D>,
{
    let command_envelope = CommandEnvelope {
        stream,
        command_id: app.ledger.fresh_id(),
        meta: by.clone(),
    };
    let outcome = app
        .ledger
        .execute::<D>(&command_envelope, command, &NoContext)
        .await?;
    crate::app::tickets::await_card(app, outcome.position).await;
    Ok(outcome.state)
}

/// Returns the next id of a number sequence. The parameter `of` is the name of the sequence, such
/// as `SERVICE`.
async fn next_id(app: &App, by: &Meta, of: &str) -> Result<i64, AdministrationError> {
    let command_envelope = CommandEnvelope {
        stream: format!("number_sequence-{of}"),
        command_id: app.ledger.fresh_id(),
        meta: by.clone(),
    };
    match app
        .ledger
        .execute::<NumberSequence>(
            &command_envelope,
            &number_sequence::Command::Issue { size: 1 },
            &NoContext,
        )
        .await
    {
        Ok(outcome) => match outcome.events.first() {
            Some(NumberSequenceEvent::BlockIssued(block)) => Ok(OWN_IDS + block.from),
            None => Err(Error::new(Kind::Conflict, format!("no id for a {of} was issued")).into()),
        },
        Err(ExecuteError::Technical(error)) => Err(error.into()),
        Err(ExecuteError::Rejected(rejection)) => {
            Err(Error::new(Kind::Unavailable, rejection.to_string()).into())
        }
    }
}

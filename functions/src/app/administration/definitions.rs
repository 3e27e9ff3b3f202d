//! Stores dictionaries (shared lists of options), roles and fields of the field library. Also
//! removes dictionaries. A new definition replaces the earlier definition of the same object
//! completely.

use domain::Decider;
use domain::config::{self, Dictionary};
use events::workflow::Definition;
use events::{Meta, WorkflowId, dictionary};
use infra::ExecuteError;
use infra::ledger::{ContextLoader, NoContext};

use crate::App;

use super::{AdministrationError, execute};

/// Calls `uses` with the definitions of all workflows until `uses` returns true. For each workflow,
/// these definitions are the draft and all listed versions. Returns a text with the id and the name
/// of the first workflow for which `uses` returns true. Returns `None` if `uses` never returns
/// true.
pub(super) async fn used_in(
    app: &App,
    uses: impl Fn(&Definition) -> bool,
) -> Result<Option<String>, AdministrationError> {
    for id in app.configuration.ids("workflow").await? {
        let drawn = app.configuration.drawn(WorkflowId(id)).await?;
        let versions = drawn
            .versions
            .iter()
            .filter(|(version, _)| drawn.is_listed(**version))
            .map(|(_, deployed)| &deployed.definition);
        if let Some(user) = drawn
            .draft
            .as_deref()
            .into_iter()
            .chain(versions)
            .find(|definition| uses(definition))
        {
            return Ok(Some(format!("workflow {id} ({})", user.name)));
        }
    }
    Ok(None)
}

/// Removes a dictionary (a shared list of options) from the list of dictionaries. Returns an error
/// if a field uses the options of this dictionary.
pub async fn remove_dictionary(
    app: &App,
    by: &Meta,
    defined: &dictionary::Defined,
) -> Result<(), AdministrationError> {
    let code = &defined.code;
    let uses = |definition: &Definition| {
        definition
            .fields
            .iter()
            .any(|field| field.source_type == "DATADICT" && field.source_uri == *code)
    };
    if let Some(by) = used_in(app, uses).await? {
        return Err(AdministrationError::InUse {
            what: format!("dictionary {code}"),
            by,
        });
    }
    define::<Dictionary>(
        app,
        by,
        format!("dictionary-{code}"),
        &dictionary::Defined {
            is_listed: false,
            ..defined.clone()
        },
    )
    .await
}

/// Stores the definition of a configuration object, such as a role or a service. The command
/// contains the whole new definition, and `stream` is the event stream of the object.
pub async fn define<D: Decider<Rejection = config::Rejection>>(
    app: &App,
    by: &Meta,
    stream: String,
    command: &D::Command,
) -> Result<(), AdministrationError>
where
    NoContext: ContextLoader<D>,
{
    match execute::<D>(app, by, stream, command).await {
        Ok(_) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error.into()),
        Err(ExecuteError::Rejected(rejection)) => Err(AdministrationError::Catalog(rejection)),
    }
}

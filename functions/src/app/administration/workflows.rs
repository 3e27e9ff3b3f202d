//! Imports, edits, deploys, restores, removes and closes workflows.

use domain::workflow::import::{self, Note};
use domain::workflow::{self, Workflow};
use events::attachment::Holder;
use events::service::Defined;
use events::workflow::Definition;
use events::{AttachmentId, Meta, WorkflowId};
use infra::ExecuteError;
use serde_json::Value;

use crate::App;
use crate::app::people::Unnamed;
use crate::app::{attachments, seed};

use super::{AdministrationError, execute, next_id, role_names};

pub(super) async fn on_workflow(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    command: &workflow::Command,
) -> Result<Workflow, AdministrationError> {
    execute::<Workflow>(app, by, format!("workflow-{id}"), command)
        .await
        .map_err(|failure| match failure {
            ExecuteError::Technical(error) => error.into(),
            ExecuteError::Rejected(workflow::Rejection::Unsound(problems)) => {
                AdministrationError::Unsound(problems)
            }
            ExecuteError::Rejected(rejection) => AdministrationError::Workflow(rejection),
        })
}

/// Converts the content of a workflow file to a workflow definition. The user names in the file are
/// replaced with person ids. Also returns notes about changes that the import made.
pub async fn read_workflow(
    app: &App,
    file: &Value,
) -> Result<(Definition, Vec<Note>), AdministrationError> {
    let names = role_names(app).await?;
    let find = |name: &str| {
        names
            .iter()
            .find(|(_, known)| known.as_str() == name)
            .map(|(id, _)| *id)
    };
    let imported = import::read(file, &find).map_err(AdministrationError::Unreadable)?;
    let mut definition = imported.definition;
    seed::with_pids(app, &mut definition)
        .await
        .map_err(|unnamed| match unnamed {
            Unnamed::Technical(error) => error.into(),
            wrong => AdministrationError::Unreadable(wrong.to_string()),
        })?;
    Ok((definition, imported.report))
}

/// Reads a workflow file and saves its definition as the draft of the workflow `id`. If `id` is
/// `None`, the draft belongs to a new workflow. Returns the workflow id, and notes about changes
/// that the import made.
pub async fn import_workflow(
    app: &App,
    by: &Meta,
    file: &Value,
    id: Option<WorkflowId>,
) -> Result<(WorkflowId, Vec<Note>), AdministrationError> {
    let (definition, report) = read_workflow(app, file).await?;
    let id = draft(app, by, definition, id).await?;
    Ok((id, report))
}

/// Saves a definition as the draft of the workflow `id`, and returns the workflow id. If `id` is
/// `None`, the draft belongs to a new workflow.
pub async fn draft(
    app: &App,
    by: &Meta,
    definition: Definition,
    id: Option<WorkflowId>,
) -> Result<WorkflowId, AdministrationError> {
    let templates: Vec<AttachmentId> = definition
        .templates()
        .map(|template| template.id.clone())
        .collect();
    for template in &templates {
        check_template(app, template).await?;
    }
    let id = match id {
        Some(id) => id,
        None => WorkflowId(next_id(app, by, "WORKFLOW").await?),
    };
    attachments::attach(app, &templates, &Holder::Workflow(id), by).await?;
    on_workflow(
        app,
        by,
        id,
        &workflow::Command::Draft {
            workflow: id,
            definition: Box::new(definition),
        },
    )
    .await?;
    Ok(id)
}

/// Checks the template file of a form field. Returns an error if the file is not completely
/// uploaded. Also returns an error if the file is encrypted with the key of one person. Such a file
/// would become unreadable if this person were erased, but many people use the template.
pub(super) async fn check_template(
    app: &App,
    template: &AttachmentId,
) -> Result<(), AdministrationError> {
    let attachment = attachments::load(app, template).await?;
    let is_for_many = attachment
        .upload_started
        .as_ref()
        .is_some_and(|begun| begun.subject.is_none());
    if is_for_many && attachment.uploaded.is_some() && !attachment.discarded {
        return Ok(());
    }
    Err(AdministrationError::Unreadable(format!(
        "{template} is no file that was uploaded for workflows"
    )))
}

/// Deploys the draft of a workflow as its next version. Returns the number of this version.
///
/// At some nodes, the conditions of all outgoing transitions can be false. If `allows_open_cases`
/// is false, a workflow with such a node is rejected. `allows_open_cases` is true for imported
/// workflows, and false for definitions from the API `/v1`.
pub async fn deploy(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    allows_open_cases: bool,
) -> Result<i64, AdministrationError> {
    let state = on_workflow(
        app,
        by,
        id,
        &workflow::Command::Deploy {
            workflow: id,
            allows_open_cases,
        },
    )
    .await?;
    Ok(state
        .versions
        .keys()
        .next_back()
        .copied()
        .unwrap_or_default())
}

pub async fn restore(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    version: i64,
) -> Result<(), AdministrationError> {
    on_workflow(
        app,
        by,
        id,
        &workflow::Command::Restore {
            workflow: id,
            version,
        },
    )
    .await
    .map(drop)
}

/// Removes a workflow version from the list of versions. Returns an error if a service uses this
/// version.
pub async fn remove_version(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    version: i64,
) -> Result<(), AdministrationError> {
    let services = app.configuration.services().await?;
    let users: Vec<&Defined> = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .filter(|service| (service.workflow, service.workflow_version) == (id, version))
        .collect();
    let used_by = users.iter().map(|service| service.service).collect();
    match on_workflow(
        app,
        by,
        id,
        &workflow::Command::Remove {
            workflow: id,
            version,
            used_by,
        },
    )
    .await
    {
        Ok(_) => Ok(()),
        Err(AdministrationError::Workflow(workflow::Rejection::InUse { version, .. })) => {
            let names: Vec<&str> = users.iter().map(|service| service.name.as_str()).collect();
            Err(AdministrationError::InUse {
                what: format!("version {version} of workflow {id}"),
                by: format!("services {}", names.join(", ")),
            })
        }
        Err(not) => Err(not),
    }
}

pub async fn close_workflow(
    app: &App,
    by: &Meta,
    id: WorkflowId,
    closed: bool,
) -> Result<(), AdministrationError> {
    on_workflow(
        app,
        by,
        id,
        &workflow::Command::Close {
            workflow: id,
            closed,
        },
    )
    .await
    .map(drop)
}

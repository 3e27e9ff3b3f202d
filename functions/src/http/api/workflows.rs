//! Handles workflows in the API `/v1`. Clients edit, check, deploy and restore workflows. They can
//! also import and export workflows in the file format of BlueKing ITSM.

use std::collections::BTreeMap;

use axum::http::Method;
use domain::views::workflow_card::WorkflowCard;
use domain::workflow::{check, export};
use events::WorkflowId;
use events::app::Scope;
use events::workflow::{Definition, Processors};
use serde::Serialize;
use serde_json::Value;

use super::admin::{changes_configuration, entries, number, wrong_method};
use super::definition::WORKFLOW;
use super::fields::from_library;
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{ImportNote, Time, created, done, ok, time};
use super::request::Asked;
use super::resource::{Answer, Call, EMPTY, Operation, Resource, delete, get, post, put, segments};
use super::shape::{Member, Shape, required};
use crate::App;
use crate::app::cards::read_card;
use crate::app::{administration, seed};

const DEFINITION: Member = required("definition", WORKFLOW);
const FILE: Member = required("workflow", Shape::Given);

const OPERATIONS: &[Operation] = &[
    get("/v1/workflows", "lists workflows").returning::<Workflows>(),
    post(
        "/v1/workflows",
        "creates a workflow with a draft",
        &[DEFINITION],
    )
    .creating()
    .returning::<SavedDraft>(),
    post(
        "/v1/workflows/import",
        "imports a workflow of BlueKing ITSM",
        &[FILE],
    )
    .creating()
    .returning::<ImportedWorkflow>(),
    get("/v1/workflows/{id}", "shows a workflow with its draft").returning::<ShownWorkflow>(),
    put("/v1/workflows/{id}/draft", "saves the draft", &[DEFINITION]).returning::<SavedDraft>(),
    post(
        "/v1/workflows/{id}/deploy",
        "deploys the draft as the next version",
        &[],
    )
    .creating()
    .returning::<DeployedVersion>(),
    post(
        "/v1/workflows/{id}/close",
        "closes a workflow to new services",
        &[],
    )
    .answering(EMPTY),
    post(
        "/v1/workflows/{id}/reopen",
        "reopens a workflow to new services",
        &[],
    )
    .answering(EMPTY),
    get("/v1/workflows/{id}/versions/{version}", "shows a version").returning::<ShownVersion>(),
    delete(
        "/v1/workflows/{id}/versions/{version}",
        "removes a version from the list",
    ),
    get(
        "/v1/workflows/{id}/versions/{version}/export",
        "exports a version in the format of BlueKing ITSM",
    )
    .returning::<ExportedFile>(),
    post(
        "/v1/workflows/{id}/versions/{version}/restore",
        "replaces the draft by a version",
        &[],
    )
    .answering(EMPTY),
];

/// All workflows.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Workflows {
    workflows: Vec<WorkflowSummary>,
}

/// A workflow in the list of workflows.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct WorkflowSummary {
    workflow: i64,
    name: String,
    flow_type: String,
    /// Whether the workflow is closed to new services.
    closed: bool,
    /// Whether the draft was changed after the last deployment.
    is_draft_newer: bool,
    /// The time of the deployment of each version.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Time>"))]
    versions: BTreeMap<i64, Time>,
    /// The versions that were removed from the list.
    removed: Vec<i64>,
    updated_at: Time,
}

/// A draft after it was saved.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SavedDraft {
    workflow: i64,
    /// What prevents a deployment.
    problems: Vec<String>,
    /// For example, the name of a person whom the desk does not know.
    warnings: Vec<String>,
}

/// A workflow that was imported as a draft.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ImportedWorkflow {
    workflow: i64,
    /// What the import changed or dropped.
    report: Vec<ImportNote>,
    /// What prevents a deployment.
    problems: Vec<String>,
}

/// A workflow with its draft.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Workflow"))]
struct ShownWorkflow {
    workflow: i64,
    closed: bool,
    versions: Vec<i64>,
    #[cfg_attr(test, schemars(schema_with = "schema::draft"))]
    draft: Option<Definition>,
    /// What prevents a deployment of the draft.
    problems: Vec<String>,
}

/// The new version after a deployment.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DeployedVersion {
    workflow: i64,
    version: i64,
}

/// A workflow file of BlueKing ITSM: a list with one workflow.
#[derive(Debug, Serialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
struct ExportedFile(#[cfg_attr(test, schemars(schema_with = "schema::objects"))] Value);

/// A deployed version of a workflow.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "WorkflowVersion")
)]
struct ShownVersion {
    workflow: i64,
    version: i64,
    #[cfg_attr(test, schemars(schema_with = "schema::definition"))]
    definition: Definition,
    /// Whether new services can use the version.
    listed: bool,
}

/// The operations on workflows, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { workflows(call.request, &call.method, &segments(&call.path)[1..]).await })
}

async fn workflows(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let mut workflows = Vec::new();
            for entry in entries(app, "workflow").await? {
                if let Some(document) = app.views.get("workflow", &entry.key).await? {
                    let card: WorkflowCard = read_card(&app.ledger, &entry.key, &document).await?;
                    let versions = card.versions.iter();
                    workflows.push(WorkflowSummary {
                        workflow: card.workflow.0,
                        versions: versions
                            .map(|(version, at)| (*version, time(app, *at)))
                            .collect(),
                        removed: card.removed.iter().copied().collect(),
                        updated_at: time(app, card.updated_at),
                        name: card.name,
                        flow_type: card.flow_type,
                        closed: card.closed,
                        is_draft_newer: card.is_draft_newer,
                    });
                }
            }
            Ok(ok(&Workflows { workflows }))
        }
        (&Method::POST, []) => {
            let by = changes_configuration(&request).await?;
            let (definition, warnings) = definition(&request).await?;
            let problems = check::problems(&definition);
            let id = administration::draft(app, &by, definition, None).await?;
            Ok(created(&SavedDraft {
                workflow: id.0,
                problems,
                warnings,
            }))
        }
        (&Method::POST, ["import"]) => {
            let by = changes_configuration(&request).await?;
            let file = request
                .body
                .get("workflow")
                .ok_or_else(|| Problem::malformed("/workflow", "`workflow` is required"))?;
            let (id, report) = administration::import_workflow(app, &by, file, None).await?;
            let problems = app
                .configuration
                .drawn(id)
                .await?
                .draft
                .as_deref()
                .map(check::problems)
                .unwrap_or_default();
            Ok(created(&ImportedWorkflow {
                workflow: id.0,
                report: report.into_iter().map(ImportNote::from).collect(),
                problems,
            }))
        }
        (method, [id, rest @ ..]) => {
            workflow(&request, method, WorkflowId(number(id, "workflow")?), rest).await
        }
        _ => Err(wrong_method(method)),
    }
}

async fn workflow(request: &Asked, method: &Method, id: WorkflowId, rest: &[&str]) -> ApiResult {
    let app = &request.app;
    let drawn = app.configuration.drawn(id).await?;
    if drawn.draft.is_none() && drawn.versions.is_empty() {
        return Err(Problem::not_found(format!("there is no workflow {id}")));
    }
    match (method, rest) {
        (&Method::GET, []) => {
            let versions: Vec<i64> = drawn
                .versions
                .keys()
                .copied()
                .filter(|version| drawn.is_listed(*version))
                .collect();
            let draft = match drawn.draft.as_deref() {
                Some(draft) => Some(named(app, draft).await?),
                None => None,
            };
            let problems = drawn
                .draft
                .as_deref()
                .map(check::problems)
                .unwrap_or_default();
            Ok(ok(&ShownWorkflow {
                workflow: id.0,
                closed: drawn.closed,
                versions,
                draft,
                problems,
            }))
        }
        (&Method::PUT, ["draft"]) => {
            let by = changes_configuration(request).await?;
            let (definition, warnings) = definition(request).await?;
            let problems = check::problems(&definition);
            administration::draft(app, &by, definition, Some(id)).await?;
            Ok(ok(&SavedDraft {
                workflow: id.0,
                problems,
                warnings,
            }))
        }
        (&Method::POST, ["deploy"]) => {
            let by = changes_configuration(request).await?;
            let version = administration::deploy(app, &by, id, false).await?;
            Ok(created(&DeployedVersion {
                workflow: id.0,
                version,
            }))
        }
        (&Method::POST, ["close" | "reopen"]) => {
            let by = changes_configuration(request).await?;
            administration::close_workflow(app, &by, id, rest[0] == "close").await?;
            Ok(done())
        }
        (_, ["versions", version, rest @ ..]) => {
            let version = number(version, "version")?;
            let deployed = drawn.versions.get(&version).ok_or_else(|| {
                Problem::not_found(format!("there is no version {version} of workflow {id}"))
            })?;
            match (method, rest) {
                (&Method::GET, []) => Ok(ok(&ShownVersion {
                    workflow: id.0,
                    version,
                    definition: named(app, &deployed.definition).await?,
                    listed: drawn.is_listed(version),
                })),
                (&Method::GET, ["export"]) => {
                    let mut definition = deployed.definition.clone();
                    seed::with_names(app, &mut definition).await?;
                    Ok(ok(&ExportedFile(export::write(
                        &definition,
                        &version.to_string(),
                        &administration::role_names(app).await?,
                    ))))
                }
                (&Method::POST, ["restore"]) => {
                    let by = changes_configuration(request).await?;
                    administration::restore(app, &by, id, version).await?;
                    Ok(done())
                }
                (&Method::DELETE, []) => {
                    let by = changes_configuration(request).await?;
                    administration::remove_version(app, &by, id, version).await?;
                    Ok(done())
                }
                _ => Err(wrong_method(method)),
            }
        }
        _ => Err(wrong_method(method)),
    }
}

/// Returns a definition with user names instead of person ids.
async fn named(app: &App, definition: &Definition) -> Result<Definition, Problem> {
    let mut definition = definition.clone();
    seed::with_names(app, &mut definition).await?;
    Ok(definition)
}

/// Returns a warning for each unknown person or role in a workflow definition. If the directory
/// lists people, an unknown person is an error. The warning is
/// important, because a ticket could wait for an unknown person or role for ever.
async fn unknown_processors(app: &App, definition: &Definition) -> Result<Vec<String>, Problem> {
    let mut warnings = Vec::new();
    for node in &definition.nodes {
        for processors in [&node.processors, &node.assignors, &node.delivers] {
            if let Processors::General(roles) = processors {
                for role in roles {
                    if app
                        .configuration
                        .role(*role)
                        .await?
                        .0
                        .as_ref()
                        .is_none_or(|role| !role.is_listed)
                    {
                        warnings.push(format!(
                            "node {} ({}) names role {role}, which does not exist",
                            node.id, node.name
                        ));
                    }
                }
            }
            let Processors::Person(names) = processors else {
                continue;
            };
            for name in names {
                let person = app.people.find(name.as_str()).await?;
                let Some(name) = person.unregistered_name() else {
                    continue;
                };
                match app.directory.has_person(name).await? {
                    Some(true) => {}
                    Some(false) => {
                        return Err(Problem::absent(
                            "/definition/nodes",
                            format!("node {} ({})", node.id, node.name),
                            name,
                        ));
                    }
                    None => warnings.push(format!(
                        "node {} ({}) names {name}, who is unknown; check the spelling",
                        node.id, node.name
                    )),
                }
            }
        }
    }
    Ok(warnings)
}

async fn definition(request: &Asked) -> Result<(Definition, Vec<String>), Problem> {
    let mut body = request
        .body
        .get("definition")
        .cloned()
        .ok_or_else(|| Problem::malformed("/definition", "`definition` is required"))?;
    for (at, field) in body
        .get_mut("fields")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .enumerate()
    {
        from_library(&request.app, field, at).await?;
    }
    let mut definition: Definition = serde_json::from_value(body)
        .map_err(|error| Problem::malformed("/definition", error.to_string()))?;
    let warnings = unknown_processors(&request.app, &definition).await?;
    seed::with_pids(&request.app, &mut definition)
        .await
        .map_err(|unnamed| Problem::from(unnamed).moved("/fields", "/definition/fields"))?;
    // A field without an id gets a new id. The new id is larger than all existing field ids.
    let free = definition
        .fields
        .iter()
        .map(|field| field.id)
        .max()
        .unwrap_or_default()
        .saturating_add(1);
    for (id, field) in (free..).zip(definition.fields.iter_mut().filter(|field| field.id == 0)) {
        field.id = id;
    }
    Ok((definition, warnings))
}

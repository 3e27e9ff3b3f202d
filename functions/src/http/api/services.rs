//! Handles services in the API `/v1`. A service uses one version of a workflow, and it can belong
//! to a category of the catalog.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::config::Catalog;
use domain::workflow::Rejection;
use domain::workflow::import::Note;
use events::app::Scope;
use events::ticket::ServiceKind;
use events::{CategoryId, Meta, RoleId, ServiceId, WorkflowId, service};
use serde::Serialize;
use serde_json::Value;
#[cfg(test)]
use serde_json::json;

use super::admin::{NAME_MAX, changes_configuration, is_name, number, wrong_method};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{ImportNote, created, done, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, get, post, put, segments};
use super::shape::{INTEGER, Member, NAMES, Shape, optional, required, unless};
use super::tickets::KINDS;
use crate::App;
use crate::app::administration;
use crate::app::administration::AdministrationError;
use crate::app::people::NAMED_MAX;

/// The largest number of roles whose members may read the tickets of a service. The roles are read for each
/// check of a permission.
const READERS_MAX: usize = 20;
/// The valid values of `display_type`, which determines who sees a service (reference/bk-itsm.md
/// 13).
pub(super) const DISPLAY_TYPES: [&str; 7] = [
    "OPEN",
    "GENERAL",
    "CMDB",
    "ORGANIZATION",
    "PERSON",
    "INVISIBLE",
    "API",
];
const DISPLAY_SHAPE: Shape = Shape::Words(&DISPLAY_TYPES);
/// The matrix of ticket priorities. The urgency of a ticket selects the row, and the impact selects
/// the column.
const PRIORITIES: Shape = Shape::Own {
    fits: |value| value.is_null() || is_matrix(value),
    what: "three rows (by urgency) of three priorities (by impact), each 1 to 3, or null",
    #[cfg(test)]
    schema: || {
        let row = json!({ "type": "array", "minItems": 3, "maxItems": 3, "items": { "type": "integer", "minimum": 1, "maximum": 3 } });
        json!({ "type": ["array", "null"], "minItems": 3, "maxItems": 3, "items": row })
    },
};

fn is_matrix(value: &Value) -> bool {
    let is_priority = |value: &Value| {
        value
            .as_i64()
            .is_some_and(|priority| (1..=3).contains(&priority))
    };
    let is_row = |row: &Value| {
        row.as_array()
            .is_some_and(|row| row.len() == 3 && row.iter().all(is_priority))
    };
    value
        .as_array()
        .is_some_and(|rows| rows.len() == 3 && rows.iter().all(is_row))
}

/// Creates the list of members in the request body for a service. The arguments are the members
/// that are different for a new service and for a change of a service. The macro adds the members
/// that are the same in both requests.
macro_rules! service {
    ($($own:expr),*) => {
        &[
            $($own,)*
            optional("desc", Shape::Text),
            optional("is_enabled", Shape::Flag),
            optional("owners", NAMES),
            optional("readers", Shape::List(&INTEGER)),
            optional("catalog", Shape::Nullable(&INTEGER)),
            optional("workflow_file", Shape::Given),
            optional("display_type", DISPLAY_SHAPE),
            optional("display_roles", Shape::List(&Shape::Text)),
            optional("seals_text", Shape::Flag),
            optional("can_ticket_agency", Shape::Flag),
            optional("rate_after_days", Shape::Nullable(&DAYS)),
            optional("priorities", PRIORITIES),
        ]
    };
}
const DAYS: Shape = Shape::Integer(0, 65_535);
const KIND_OF_SERVICE: Shape = Shape::Words(KINDS);
/// The body members of a new service. BlueKing ITSM uses the name `key` for the member `kind`, so
/// both names are accepted.
const NEW_SERVICE: &[Member] = service![
    unless("key", "kind", KIND_OF_SERVICE),
    optional("key", KIND_OF_SERVICE),
    required("name", Shape::Text),
    unless("workflow_file", "workflow", INTEGER),
    unless("workflow_file", "version", INTEGER)
];
/// The body members for a change of a service. The list does not contain the kind, because the kind
/// of a service cannot change.
const SERVICE: &[Member] = service![
    optional("name", Shape::Text),
    optional("workflow", INTEGER),
    optional("version", INTEGER)
];

const OPERATIONS: &[Operation] = &[
    get("/v1/services", "lists services").returning::<Services>(),
    post(
        "/v1/services",
        "adds a service for a deployed workflow, or imports it with its workflow",
        NEW_SERVICE,
    )
    .creating()
    .returning::<ChangedService>(),
    get("/v1/services/{id}", "shows a service").returning::<ShownService>(),
    put("/v1/services/{id}", "changes or moves a service", SERVICE).returning::<ChangedService>(),
    delete(
        "/v1/services/{id}",
        "deletes a service that is in no catalog category",
    ),
];

/// All services.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Services {
    services: Vec<ShownService>,
}

/// A service.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Service"))]
struct ShownService {
    service: i64,
    name: String,
    desc: String,
    #[cfg_attr(test, schemars(schema_with = "schema::service_kind"))]
    kind: ServiceKind,
    workflow: i64,
    workflow_version: i64,
    is_enabled: bool,
    owners: Vec<String>,
    /// The roles whose members may read all tickets of the service.
    readers: Vec<i64>,
    /// Who sees the service.
    #[cfg_attr(test, schemars(schema_with = "schema::display_type"))]
    display_type: String,
    display_roles: Vec<String>,
    /// Whether free text in tickets is encrypted with the key of the creator.
    seals_text: bool,
    /// Three rows (by urgency) of three priorities (by impact), or null.
    priorities: Option<[[u8; 3]; 3]>,
    /// Whether people may submit tickets for others.
    can_ticket_agency: bool,
    /// The days after which a finished ticket is rated automatically, or null.
    rate_after_days: Option<u16>,
    /// The category, or null.
    catalog: Option<i64>,
}

/// A service after a change.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChangedService {
    service: i64,
    workflow: i64,
    version: i64,
    /// What the import of a workflow file changed.
    report: Vec<ImportNote>,
}

/// The operations on services, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { services(call.request, &call.method, &segments(&call.path)[1..]).await })
}

async fn services(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let services = app.configuration.services().await?;
            let catalog = app.configuration.catalog().await?;
            let mut all = Vec::new();
            for service in services.iter().filter_map(|service| service.0.as_ref()) {
                all.push(shown(app, service, &catalog).await?);
            }
            Ok(ok(&Services { services: all }))
        }
        (&Method::GET, [id]) => {
            let id = ServiceId(number(id, "service")?);
            let service = app
                .configuration
                .listed_service(id)
                .await?
                .ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            let catalog = app.configuration.catalog().await?;
            Ok(ok(&shown(app, &service, &catalog).await?))
        }
        (&Method::POST, []) => {
            let by = changes_configuration(&request).await?;
            // BlueKing ITSM uses the name `key` for the member `kind`. Both names are accepted, but
            // a request may use only one of them.
            let kind = match (request.text("kind")?, request.text("key")?) {
                (Some(_), Some(_)) => {
                    return Err(Problem::malformed(
                        "/key",
                        "`key` is another name of `kind`: use only one of them",
                    ));
                }
                (Some(kind), None) | (None, Some(kind)) => kind,
                (None, None) => return Err(Problem::malformed("/kind", "`kind` is required")),
            };
            let kind = ServiceKind::ALL
                .into_iter()
                .find(|known| known.key() == kind)
                .ok_or_else(|| AdministrationError::KindUnknown(kind))?;
            check_workflow(&request, None)?;
            // In a request with a workflow file, the members `workflow` and `version` are absent,
            // so their values are 0 here. The import of the file later sets the real values.
            let chosen = |key: &str| request.int(key).map(Option::unwrap_or_default);
            let new = service::Defined {
                service: ServiceId(0),
                name: String::new(),
                desc: String::new(),
                kind,
                workflow: WorkflowId(chosen("workflow")?),
                workflow_version: chosen("version")?,
                is_enabled: true,
                owners: Vec::new(),
                readers: Vec::new(),
                display_type: "OPEN".into(),
                display_roles: Vec::new(),
                seals_text: false,
                priorities: None,
                can_ticket_agency: false,
                rate_after_days: Some(3),
                is_listed: true,
            };
            let mut defined = with_changes(&request, new).await?;
            let category = category(&request).await?;
            administration::name_is_free(app, &defined.name, None).await?;
            let report = import_workflow_file(&request, &by, &mut defined, None).await?;
            let version_unknown = version_unknown(&defined);
            let added = administration::add_service(app, &by, defined)
                .await
                .map_err(version_unknown)?;
            if let Some(category) = category {
                administration::place_service(app, &by, added.service, category).await?;
            }
            Ok(created(&changed(&added, report)))
        }
        (&Method::PUT, [id]) => {
            let by = changes_configuration(&request).await?;
            let id = ServiceId(number(id, "service")?);
            let known = app.configuration.service(id).await?;
            let known = known
                .0
                .as_ref()
                .filter(|service| service.is_listed)
                .ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            check_workflow(&request, Some(known.workflow))?;
            let (mut defined, category) = (
                with_changes(&request, known.clone()).await?,
                category(&request).await?,
            );
            administration::name_is_free(app, &defined.name, Some(id)).await?;
            let report =
                import_workflow_file(&request, &by, &mut defined, Some(known.workflow)).await?;
            administration::define_service(app, &by, &defined)
                .await
                .map_err(version_unknown(&defined))?;
            if let Some(category) = category {
                administration::place_service(app, &by, id, category).await?;
            }
            Ok(ok(&changed(&defined, report)))
        }
        (&Method::DELETE, [id]) => {
            let by = changes_configuration(&request).await?;
            administration::remove_service(app, &by, ServiceId(number(id, "service")?)).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Returns a service with user names instead of person ids. `catalog` contains the category of each
/// service.
async fn shown(
    app: &App,
    service: &service::Defined,
    catalog: &Catalog,
) -> Result<ShownService, Problem> {
    Ok(ShownService {
        service: service.service.0,
        name: service.name.clone(),
        desc: service.desc.clone(),
        kind: service.kind,
        workflow: service.workflow.0,
        workflow_version: service.workflow_version,
        is_enabled: service.is_enabled,
        owners: app.people.all_names(&service.owners).await?,
        readers: service.readers.iter().map(|role| role.0).collect(),
        display_type: service.display_type.clone(),
        display_roles: service.display_roles.clone(),
        seals_text: service.seals_text,
        priorities: service.priorities,
        can_ticket_agency: service.can_ticket_agency,
        rate_after_days: service.rate_after_days,
        catalog: catalog.places.get(&service.service).map(|place| place.0),
    })
}

fn changed(service: &service::Defined, report: Vec<Note>) -> ChangedService {
    ChangedService {
        service: service.service.0,
        workflow: service.workflow.0,
        version: service.workflow_version,
        report: report.into_iter().map(ImportNote::from).collect(),
    }
}

/// Returns the roles in the body member `readers`. The members of these roles may read all tickets of the
/// service. Rejects a role that does not exist.
async fn readers(request: &Asked) -> Result<Vec<RoleId>, Problem> {
    let wrong = |reason: String| Problem::malformed("/readers", reason);
    let roles: Vec<RoleId> = serde_json::from_value(request.body["readers"].clone())
        .map_err(|_| wrong("`readers` must be an array of role ids".into()))?;
    if roles.len() > READERS_MAX {
        return Err(wrong(format!(
            "`readers` must have at most {READERS_MAX} entries"
        )));
    }
    let mut seen = BTreeSet::new();
    let mut known = Vec::new();
    for role in roles {
        if request.app.configuration.role(role).await?.0.is_none() {
            return Err(wrong(format!("there is no role {role}")));
        }
        if seen.insert(role) {
            known.push(role);
        }
    }
    Ok(known)
}

/// Rejects a request that contains a workflow file and also the member `workflow` or `version`.
/// Also rejects a request that selects another workflow but contains no version. `known` is the
/// current workflow of the service, or `None` for a new service.
fn check_workflow(request: &Asked, known: Option<WorkflowId>) -> Result<(), Problem> {
    let has = |key: &str| request.body.contains_key(key);
    for key in ["workflow", "version"] {
        if has("workflow_file") && has(key) {
            return Err(Problem::malformed(
                &format!("/{key}"),
                format!("`{key}` and `workflow_file` exclude each other: use only one of them"),
            ));
        }
    }
    if request
        .int("workflow")?
        .map(WorkflowId)
        .is_some_and(|workflow| known.is_some_and(|known| known != workflow))
        && !has("version")
    {
        return Err(Problem::malformed(
            "/version",
            "`version` is required with another `workflow`",
        ));
    }
    Ok(())
}

/// Copies the values of the request to a service, and returns the changed service. If a member is
/// absent from the request, the service keeps its current value for this member.
async fn with_changes(
    request: &Asked,
    known: service::Defined,
) -> Result<service::Defined, Problem> {
    let mut changed = known;
    let name = request.text("name")?;
    // The current name of the service was checked when this name was stored. Only a new name from
    // the request is checked here.
    if name
        .as_ref()
        .map_or(changed.name.is_empty(), |name| !is_name(name))
    {
        return Err(Problem::malformed(
            "/name",
            format!("`name` must have 1 to {NAME_MAX} characters and no control characters"),
        ));
    }
    changed.name = name.unwrap_or(changed.name);
    changed.desc = request.text("desc")?.unwrap_or(changed.desc);
    changed.is_enabled = request.flag("is_enabled", changed.is_enabled)?;
    changed.can_ticket_agency = request.flag("can_ticket_agency", changed.can_ticket_agency)?;
    changed.seals_text = request.flag("seals_text", changed.seals_text)?;
    changed.display_type = request
        .text("display_type")?
        .unwrap_or(changed.display_type);
    if !DISPLAY_TYPES.contains(&changed.display_type.as_str()) {
        return Err(Problem::malformed(
            "/display_type",
            format!("`display_type` must be one of {}", DISPLAY_TYPES.join(", ")),
        ));
    }
    if let Some(roles) = request.body.get("display_roles") {
        changed.display_roles = serde_json::from_value(roles.clone()).map_err(|_| {
            Problem::malformed(
                "/display_roles",
                "`display_roles` must be an array of texts",
            )
        })?;
    }
    if let Some(names) = request.names("owners")? {
        if names.len() > NAMED_MAX {
            return Err(Problem::malformed(
                "/owners",
                format!("`owners` must have at most {NAMED_MAX} entries"),
            ));
        }
        let mut seen = BTreeSet::new();
        let names: Vec<String> = names
            .into_iter()
            .filter(|name| seen.insert(name.clone()))
            .collect();
        changed.owners = request.app.people.find_all(&names).await?;
    }
    if request.body.contains_key("readers") {
        changed.readers = readers(request).await?;
    }
    changed.workflow = request
        .int("workflow")?
        .map_or(changed.workflow, WorkflowId);
    changed.workflow_version = request.int("version")?.unwrap_or(changed.workflow_version);
    if let Some(days) = request.body.get("rate_after_days") {
        let wrong = || {
            Problem::malformed(
                "/rate_after_days",
                "`rate_after_days` must be a number of days or null",
            )
        };
        changed.rate_after_days = serde_json::from_value(days.clone()).map_err(|_| wrong())?;
    }
    if let Some(matrix) = request.body.get("priorities") {
        let wrong = || {
            Problem::malformed(
                "/priorities",
                "`priorities` must be three rows (by urgency) of three priorities (by impact), each 1 to 3, or null",
            )
        };
        changed.priorities = serde_json::from_value(matrix.clone()).map_err(|_| wrong())?;
        if changed
            .priorities
            .iter()
            .flatten()
            .flatten()
            .any(|priority| !(1..=3).contains(priority))
        {
            return Err(wrong());
        }
    }
    Ok(changed)
}

/// Returns a function that converts an error of a service change to an error response. If the
/// workflow version of the service does not exist, the error response contains the name of the
/// member `version`.
fn version_unknown(defined: &service::Defined) -> impl Fn(AdministrationError) -> Problem + use<> {
    let (workflow, version) = (defined.workflow, defined.workflow_version);
    move |error| match error {
        AdministrationError::Workflow(Rejection::VersionUnknown(_)) => Problem::unknown(
            "/version",
            format!("there is no version {version} of workflow {workflow}"),
        ),
        error => error.into(),
    }
}

/// Returns the category from the body member `catalog`. The result is `None` if the member is
/// absent. The result is `Some(None)` if the member is null: the service is then removed from the
/// catalog.
async fn category(request: &Asked) -> Result<Option<Option<CategoryId>>, Problem> {
    if !request.body.contains_key("catalog") {
        return Ok(None);
    }
    let category = request.int("catalog")?.map(CategoryId);
    match category {
        Some(id)
            if !request
                .app
                .configuration
                .catalog()
                .await?
                .categories
                .contains_key(&id) =>
        {
            Err(Problem::unknown(
                "/catalog",
                format!("there is no catalog {id}"),
            ))
        }
        category => Ok(Some(category)),
    }
}

/// If the request contains a workflow file, imports this file and assigns the new workflow to the
/// service. Returns the report of the import: a list of differences between the file and the new
/// workflow. The list is empty if the request contains no workflow file.
async fn import_workflow_file(
    request: &Asked,
    by: &Meta,
    service: &mut service::Defined,
    current_workflow: Option<WorkflowId>,
) -> Result<Vec<Note>, Problem> {
    // The owners are checked before the import, because an import cannot be undone.
    request.check_directory("/owners", &service.owners).await?;
    let mut report = Vec::new();
    if let Some(file) = request.body.get("workflow_file") {
        let imported =
            administration::take_over(&request.app, by, file, true, false, current_workflow).await;
        (service.workflow, service.workflow_version, report) =
            imported.map_err(|error| Problem::from(error).moved("/workflow", "/workflow_file"))?;
    }
    // The owners are registered after the import. A failed import therefore registers no person.
    request.check_directory("/owners", &service.owners).await?;
    let registered = request.app.people.register(service.owners.clone()).await?;
    service
        .owners
        .iter_mut()
        .for_each(|owner| registered.put(owner));
    Ok(report)
}

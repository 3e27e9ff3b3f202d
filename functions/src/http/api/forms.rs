//! Returns forms for user interfaces. A form contains the fields of a workflow node with their
//! values. The API also returns the options of a single field. The options can depend on the
//! current input.

use axum::http::Method;
use domain::options;
use domain::permission::Operation as Permission;
use domain::ticket::Ticket;
use domain::ticket::form::{self, Offer};
use events::app::Scope;
use events::workflow::{Choice, Definition, Deployed, Field, FieldKind, Group, Node, Rule};
use events::{Entry, NodeId, ServiceId};
use serde::Serialize;
use serde_json::Value;

use super::problem::{ApiResult, Problem};
use super::reply::ok;
#[cfg(test)]
use super::reply::schema;
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, post, segments};
use super::shape::{FORM, Member, Shape, optional, required};
use super::tickets::found;
use crate::App;
use crate::app::permissions::{self, Reader};
use crate::app::seed;

const FIELD: Member = required("field", Shape::Text);
const FIELDS: Member = optional("fields", FORM);

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/tickets/{sn}/nodes/{node}/form",
        "shows the form of a node, with its values",
    )
    .returning::<Form>(),
    post(
        "/v1/tickets/{sn}/nodes/{node}/options",
        "shows the options of a field",
        &[FIELD, FIELDS],
    )
    .returning::<FieldOptions>(),
    get("/v1/services/{id}/form", "shows the form of a new ticket").returning::<Form>(),
    post(
        "/v1/services/{id}/options",
        "shows the options of a field",
        &[FIELD, FIELDS],
    )
    .returning::<FieldOptions>(),
];

/// The form of a node.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Form {
    workflow: i64,
    version: i64,
    node: i64,
    name: String,
    fields: Vec<FormField>,
}

/// A field of a form, with its value and its options.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FormField {
    key: String,
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(schema_with = "schema::field_type"))]
    kind: FieldKind,
    name: String,
    desc: String,
    is_required: bool,
    is_readonly: bool,
    /// The condition under which the field is hidden.
    #[cfg_attr(test, schemars(schema_with = "schema::object_or_null"))]
    hidden_when: Option<Group>,
    regex: String,
    custom_regex: String,
    /// The condition that the value must satisfy.
    #[cfg_attr(test, schemars(schema_with = "schema::object_or_null"))]
    rule: Option<Rule>,
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    meta: Value,
    layout: String,
    /// The value in the ticket, or the default value.
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    value: Value,
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    default: Value,
    /// Files that people can download, fill in and upload.
    templates: Vec<TemplateFile>,
    #[cfg_attr(test, schemars(schema_with = "schema::options"))]
    options: Vec<Choice>,
    /// Whether another system provides the options. A client then asks for them.
    asks_for_options: bool,
    /// The fields on which these options depend.
    depends_on: Vec<String>,
}

/// A template file of a field.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TemplateFile {
    id: String,
    name: String,
}

/// The options of a field.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FieldOptions {
    field: String,
    #[cfg_attr(test, schemars(schema_with = "schema::options"))]
    options: Vec<Choice>,
}

/// The operations on forms, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match *segments(&call.path) {
            ["services", id, part] => of_service(call.request, &call.method, id, part).await,
            ["tickets", sn, "nodes", node, part] => {
                of_ticket(call.request, &call.method, sn, node, part).await
            }
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// Handles the requests for the form of a new ticket of a service. If `resource` is `form`, returns
/// the form. If `resource` is `options`, returns the options of one field of the form.
async fn of_service(request: Asked, method: &Method, id: &str, resource: &str) -> ApiResult {
    let app = &request.app;
    let missing = || Problem::not_found(format!("there is no service {id}"));
    let service = app
        .configuration
        .listed_service(ServiceId(id.parse().map_err(|_| missing())?))
        .await?;
    let service = service
        .filter(|service| service.is_enabled)
        .ok_or_else(missing)?;
    let reader = Reader::user_or_app(app, &request.caller).await?;
    if !permissions::may_read_service(app, &reader, &service).await? {
        let reader = request.caller.user.as_deref();
        let reader = reader.unwrap_or("this application");
        let detail = format!("service {id} is not displayed to {reader}");
        return Err(Problem::denied(Permission::ReadService, detail));
    }
    let workflow = app
        .configuration
        .workflow(service.workflow, service.workflow_version)
        .await?
        .ok_or_else(missing)?;
    let submit = workflow.definition.submit_node().ok_or_else(missing)?;
    form_or_options(
        &request,
        method,
        resource,
        &workflow,
        submit,
        &Ticket::default(),
    )
    .await
}

/// Handles the requests for the form of a node of a ticket. If `resource` is `form`, returns the
/// form. If `resource` is `options`, returns the options of one field of the form.
async fn of_ticket(
    request: Asked,
    method: &Method,
    sn: &str,
    node: &str,
    resource: &str,
) -> ApiResult {
    let app = &request.app;
    let missing = || Problem::not_found(format!("there is no node {node} in ticket {sn}"));
    let ticket = found(&request, sn).await?.1.ticket;
    let opened = ticket.opened.as_ref().ok_or_else(missing)?;
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?
        .ok_or_else(missing)?;
    let node = workflow
        .definition
        .node(NodeId(node.parse().map_err(|_| missing())?))
        .ok_or_else(missing)?;
    form_or_options(&request, method, resource, &workflow, node, &ticket).await
}

async fn form_or_options(
    request: &Asked,
    method: &Method,
    resource: &str,
    workflow: &Deployed,
    node: &Node,
    ticket: &Ticket,
) -> ApiResult {
    match (method, resource) {
        (&Method::GET, "form") => {
            // Clients show user names. The person ids in the definition are therefore replaced by
            // user names.
            let mut definition = workflow.definition.clone();
            seed::with_names(&request.app, &mut definition).await?;
            let mut fields = Vec::new();
            for field in definition.fields_of(node) {
                fields.push(shown(&request.app, field, ticket).await?);
            }
            Ok(ok(&Form {
                workflow: workflow.workflow.0,
                version: workflow.version,
                node: node.id.0,
                name: node.name.clone(),
                fields,
            }))
        }
        (&Method::POST, "options") => {
            let key = request.required("field")?;
            let field = workflow
                .definition
                .fields_of(node)
                .find(|field| field.key == key);
            let field = field.ok_or_else(|| {
                Problem::malformed("/field", format!("node {} has no field {key}", node.id))
            })?;
            let mut given = request.fields()?;
            request
                .app
                .people
                .form_in(&workflow.definition, &mut given, 0)
                .await?;
            let options = options_of(
                &request.app,
                &workflow.definition,
                node,
                field,
                &given,
                ticket,
            )
            .await?;
            Ok(ok(&FieldOptions {
                field: key,
                options,
            }))
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

/// Returns one form field with its value and its options. Without a value in the ticket, the value
/// is the default value. If another system provides the options, the result names the fields that
/// determine them.
async fn shown(app: &App, field: &Field, ticket: &Ticket) -> Result<FormField, Problem> {
    let entry = ticket
        .form
        .get(&field.key)
        .filter(|entry| !entry.is_erased());
    let default = field.default.clone();
    let value = match entry {
        Some(entry) => app.people.value_out(Some(field), entry.read()).await?,
        None => default.clone(),
    };
    let options = match field.source_type.as_str() {
        "DATADICT" => app
            .configuration
            .options_of(&field.source_uri)
            .await?
            .unwrap_or_default(),
        _ => field.choice.clone(),
    };
    let templates = field.templates.iter().map(|template| TemplateFile {
        id: template.id.to_string(),
        name: template.name.clone(),
    });
    Ok(FormField {
        key: field.key.clone(),
        kind: field.kind,
        name: field.name.clone(),
        desc: field.desc.clone(),
        is_required: field.is_required,
        is_readonly: field.is_readonly,
        hidden_when: field.hidden_when.clone(),
        regex: field.regex.clone(),
        custom_regex: field.custom_regex.clone(),
        rule: field.rule.clone(),
        meta: field.meta.clone(),
        layout: field.layout.clone(),
        value,
        default,
        templates: templates.collect(),
        options,
        asks_for_options: field.source.is_some(),
        depends_on: field
            .source
            .as_deref()
            .map(options::depends_on)
            .unwrap_or_default(),
    })
}

/// Returns the options of a field. The options can depend on other fields of the form, and `given`
/// contains the values of these fields.
async fn options_of(
    app: &App,
    definition: &Definition,
    node: &Node,
    field: &Field,
    given: &[Entry],
    ticket: &Ticket,
) -> Result<Vec<Choice>, Problem> {
    let unavailable = |reason: String| {
        Problem::unavailable(
            &format!("/fields/{}", field.key),
            format!(
                "the options of field {} cannot be loaded: {reason}",
                field.name
            ),
        )
    };
    Ok(match form::offer(definition, node, given, ticket, field) {
        Offer::Own => field.choice.clone(),
        Offer::Dictionary(code) => app
            .configuration
            .options_of(&code)
            .await?
            .unwrap_or_default(),
        Offer::Asked(question) => app
            .configuration
            .offers
            .ask(&question.map_err(unavailable)?)
            .await?
            .map_err(unavailable)?,
        Offer::Anything => Vec::new(),
    })
}

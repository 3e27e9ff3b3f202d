//! Changes escalation chains and rotas in the API `/v1`. Everyone reads them, and superusers define new versions. A
//! running escalation keeps the version of its chain. A chain or a rota is never deleted, because policies, chains and
//! running escalations can name it.

use events::app::Scope;
use serde_json::{Map, Value};

use super::admin::changes_configuration;
use super::escalations::{ShownChain, ShownRota, one_chain, one_rota};
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, put, segments};
use super::shape::{COUNT, INTEGER, Member, Shape, optional, required};
#[cfg(test)]
use super::stored_definitions::definition_schema;
use super::stored_definitions::{TEXTS, VERSION, define};
use crate::app::notifications::definitions::DefinitionKind;

const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const CHAIN: &[Member] = &[
    VERSION,
    optional("repeat", COUNT),
    required("step", Shape::List(&Shape::Object(STEP))),
];
const STEP: &[Member] = &[
    optional("wait_minutes", COUNT),
    required("notify", Shape::Object(TARGET)),
    optional("accounts", TEXTS),
    optional("only_if", Shape::Object(CONDITION)),
];
const TARGET: &[Member] = &[
    optional("person", Shape::Text),
    optional("leader", Shape::Flag),
    optional("role", INTEGER),
    optional("rota", Shape::Text),
    optional("team", Shape::Text),
    optional("round_robin", TEXTS),
    optional("buzz", Shape::Flag),
];
const CONDITION: &[Member] = &[
    optional("from", Shape::Text),
    optional("to", Shape::Text),
    optional("zone", Shape::Text),
    optional("band", TEXTS),
];

const ROTA: &[Member] = &[
    VERSION,
    required("layer", Shape::List(&Shape::Object(LAYER))),
    optional("override", Shape::List(&Shape::Object(OVERRIDE))),
];
const LAYER: &[Member] = &[
    required("people", TEXTS),
    required("start", Shape::Text),
    optional("until", Shape::Text),
    required("shift", Shape::Object(SHIFT)),
    required("zone", Shape::Text),
    optional("window", Shape::Object(WINDOW)),
    optional("level", COUNT),
];
const SHIFT: &[Member] = &[
    optional("hours", COUNT),
    optional("days", COUNT),
    optional("weeks", COUNT),
];
const WINDOW: &[Member] = &[
    required("from", Shape::Text),
    required("to", Shape::Text),
    optional("days", Shape::List(&Shape::Words(DAYS))),
];
const OVERRIDE: &[Member] = &[
    required("person", Shape::Text),
    required("from", Shape::Text),
    required("to", Shape::Text),
];

const OPERATIONS: &[Operation] = &[
    put(
        "/v1/escalation-chains/{chain}",
        "defines a new version of an escalation chain; running escalations keep their version; `version` is the version that was read; for superusers",
        CHAIN,
    )
    .returning::<ShownChain>(),
    put(
        "/v1/rotas/{rota}",
        "defines a new version of a rota; `version` is the version that was read; for superusers",
        ROTA,
    )
    .returning::<ShownRota>(),
];

/// The operations that change chains and rotas, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match segments(&call.path).as_slice() {
            ["escalation-chains", name] => define_chain(request, name).await,
            ["rotas", name] => define_rota(request, name).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn define_chain(request: Asked, name: &str) -> ApiResult {
    define(&request, DefinitionKind::Chain, name).await?;
    one_chain(request, name).await
}

async fn define_rota(request: Asked, name: &str) -> ApiResult {
    // A caller without permission learns nothing about the body.
    changes_configuration(&request).await?;
    check_shifts(&request)?;
    define(&request, DefinitionKind::Rota, name).await?;
    one_rota(request, name).await
}

/// Returns an error if the shift of a layer does not have exactly one unit. The description of a body cannot express this.
fn check_shifts(request: &Asked) -> Result<(), Problem> {
    let layers = request.body.get("layer").and_then(Value::as_array);
    for (at, layer) in layers.into_iter().flatten().enumerate() {
        let units = layer["shift"].as_object().map_or(0, Map::len);
        if units != 1 {
            return Err(Problem::malformed(
                &format!("/layer/{at}/shift"),
                format!(
                    "layer {}: `shift` must have exactly one of hours, days and weeks",
                    at + 1
                ),
            ));
        }
    }
    Ok(())
}

/// The schema of the members of a chain, for the responses that contain them.
#[cfg(test)]
pub(super) fn chain_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    definition_schema(CHAIN)
}

/// The schema of the members of a rota, for the responses that contain them.
#[cfg(test)]
pub(super) fn rota_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    definition_schema(ROTA)
}

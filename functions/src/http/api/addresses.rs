//! Handles the addresses of people in the API `/v1`: which addresses are suppressed because a provider reported them as
//! wrong, and their release. The preferences of a person contain the addresses themselves.

use domain::permission::Operation as Permission;
use events::PersonId;
use events::app::Scope;
use serde::Serialize;

use super::problem::{ApiResult, Problem};
use super::reply::{not_empty, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, post, segments};
use super::shape::quoted;
use crate::app::notifications::addresses::{self, State};
use crate::app::permissions;

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/people/{person}/addresses",
        "shows which addresses of a person are suppressed; for this person and superusers",
    )
    .returning::<Addresses>(),
    post(
        "/v1/people/{person}/addresses/{kind}/release",
        "uses a suppressed address again; for this person and superusers",
        &[],
    )
    .returning::<Addresses>(),
];

/// The addresses of a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Addresses {
    addresses: Vec<AddressState>,
}

/// The state of one address of a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AddressState {
    kind: String,
    /// Whether the desk sends nothing to this address.
    is_suppressed: bool,
    /// The code with which the provider reported the address as wrong.
    code: Option<String>,
}

/// The operations on addresses, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match segments(&call.path).as_slice() {
            [_, person, _] => all(request, person).await,
            [_, person, _, kind, _] => release(request, person, kind).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// Returns the id of the person in the path and the id of the acting person. Returns an error if the acting person may not
/// execute the operation.
async fn permitted(
    request: &Asked,
    operation: Permission,
    person: &str,
) -> Result<(PersonId, PersonId), Problem> {
    let person = request.app.people.find(person).await?;
    let actor = request.app.people.find(request.user()?).await?;
    if permissions::may_on_person(&request.app, operation, &actor, &person).await? {
        Ok((person, actor))
    } else {
        Err(Problem::denied(
            operation,
            "only the person and superusers may do this",
        ))
    }
}

async fn all(request: Asked, person: &str) -> ApiResult {
    let (person, _) = permitted(&request, Permission::ReadPerson, person).await?;
    let states = addresses::states(&request.app, &person).await?;
    Ok(ok(&shown(states)))
}

async fn release(request: Asked, person: &str, kind: &str) -> ApiResult {
    let (person, actor) = permitted(&request, Permission::ChangePerson, person).await?;
    let states = addresses::states(&request.app, &person).await?;
    if states.iter().all(|state| state.kind != kind) {
        let detail = format!("the person has no address of the kind {}", quoted(kind));
        return Err(Problem::not_found(detail));
    }
    let meta = request.meta(actor);
    let states = addresses::release(&request.app, &person, kind, meta).await?;
    Ok(ok(&shown(states)))
}

fn shown(states: Vec<State>) -> Addresses {
    let states = states.into_iter().map(|state| AddressState {
        code: not_empty(&state.code),
        kind: state.kind,
        is_suppressed: state.is_suppressed,
    });
    Addresses {
        addresses: states.collect(),
    }
}

//! Compiles the permission policies to a table. This file is part of the build script of this crate.
//!
//! Cedar validates and evaluates the policies while the program is built (docs/decisions/0029-compiled-policies.md). A
//! policy depends only on the attributes of the context that it uses. For each policy and each action, the table
//! therefore contains the result for every combination of these attributes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Effect, Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicySet,
    Request, RestrictedExpression, Schema, SchemaFragment, ValidationMode, Validator,
};

/// The largest number of attributes that one policy can use. The table has two to the power of this number of results
/// for such a policy and one action.
const ATTRIBUTES_MAX: usize = 12;

/// Returns the table of all policies as the source text of a Rust expression: a slice of `Rule`.
///
/// Returns an error if a policy does not fit the schema, for example because it uses an unknown attribute. Also returns
/// an error if the evaluation of a policy fails: Cedar skips such a policy, so a policy that forbids an operation would
/// have no effect.
pub(crate) fn compile(schema: &str, policies: &str) -> Result<String, String> {
    let (fragment, warnings) = SchemaFragment::from_cedarschema_str(schema)
        .map_err(|error| format!("the schema is invalid: {error}"))?;
    if let Some(warning) = warnings.into_iter().next() {
        return Err(format!("the schema is ambiguous: {warning}"));
    }
    let relations = relations(&fragment)?;
    let schema = Schema::from_schema_fragments([fragment])
        .map_err(|error| format!("the schema is invalid: {error}"))?;
    let policies = PolicySet::from_str(policies)
        .map_err(|error| format!("the policies are invalid: {error}"))?;
    let found = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
    let flaws: Vec<String> = found
        .validation_errors()
        .map(ToString::to_string)
        .chain(found.validation_warnings().map(ToString::to_string))
        .collect();
    if !flaws.is_empty() {
        return Err(format!(
            "the policies do not fit the schema: {}",
            flaws.join("; ")
        ));
    }
    let mut actions: Vec<&EntityUid> = schema.actions().collect();
    actions.sort_by_key(ToString::to_string);
    let mut policies: Vec<&Policy> = policies.policies().collect();
    policies.sort_by_key(|policy| policy.id().to_string());
    let mut table = String::from("&[\n");
    let mut names = BTreeSet::new();
    for policy in policies {
        let name = policy
            .annotation("id")
            .ok_or_else(|| format!("{} has no annotation @id", policy.id()))?;
        if !names.insert(name.to_owned()) {
            return Err(format!("two policies have the name {name}"));
        }
        for action in &actions {
            rule(&mut table, (&schema, &relations), policy, name, action)?;
        }
    }
    table.push(']');
    Ok(table)
}

/// Adds the results of one policy for one action to the table. A policy that can never apply to the action adds
/// nothing.
fn rule(
    table: &mut String,
    (schema, relations): (&Schema, &[String]),
    policy: &Policy,
    name: &str,
    action: &EntityUid,
) -> Result<(), String> {
    let attributes: Vec<String> = context_attributes(policy)?.into_iter().collect();
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(format!(
            "policy {name} uses {} attributes, but at most {ATTRIBUTES_MAX} are possible",
            attributes.len()
        ));
    }
    let alone = PolicySet::from_policies([policy.clone()]).map_err(|error| error.to_string())?;
    let mut results = Vec::new();
    for combination in 0_usize..1 << attributes.len() {
        let is_set = |attribute: &str| {
            attributes
                .iter()
                .position(|known| known == attribute)
                .is_some_and(|at| combination & (1 << at) != 0)
        };
        let request = request(schema, relations, action, &is_set)?;
        let response = Authorizer::new().is_authorized(&request, &alone, &Entities::empty());
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(format!("policy {name} cannot be evaluated: {error}"));
        }
        results.push(response.diagnostics().reason().next().is_some());
    }
    if results.contains(&true) {
        writeln!(
            table,
            "    Rule {{ policy: {name:?}, permits: {}, operation: {:?}, relations: &{attributes:?}, applies: &{results:?} }},",
            policy.effect() == Effect::Permit,
            action.id().unescaped(),
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Returns the attributes of the context that the policy uses.
fn context_attributes(policy: &Policy) -> Result<BTreeSet<String>, String> {
    let json = policy.to_json().map_err(|error| error.to_string())?;
    let mut attributes = BTreeSet::new();
    let mut open = vec![&json];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(members) => {
                for (operator, operands) in members {
                    let is_of_context = operands["left"] == serde_json::json!({ "Var": "context" });
                    if [".", "has"].contains(&operator.as_str())
                        && is_of_context
                        && let Some(attribute) = operands["attr"].as_str()
                    {
                        attributes.insert(attribute.to_owned());
                    }
                    open.push(operands);
                }
            }
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    Ok(attributes)
}

/// Returns the names of the relations: the attributes of the type `Relations` in the schema.
fn relations(fragment: &SchemaFragment) -> Result<Vec<String>, String> {
    let json = fragment
        .clone()
        .to_json_value()
        .map_err(|error| error.to_string())?;
    let attributes = json
        .pointer("//commonTypes/Relations/attributes")
        .and_then(serde_json::Value::as_object)
        .ok_or("the schema has no type Relations")?;
    Ok(attributes.keys().cloned().collect())
}

/// Returns a request for an action. The policies use only the context. The ids of the caller and of the object are
/// therefore constant.
fn request(
    schema: &Schema,
    relations: &[String],
    action: &EntityUid,
    is_set: &dyn Fn(&str) -> bool,
) -> Result<Request, String> {
    let object = schema
        .resources_for_action(action)
        .and_then(|mut types| types.next().cloned())
        .ok_or_else(|| format!("the action {action} has no object"))?;
    let caller = EntityTypeName::from_str("Caller").map_err(|error| error.to_string())?;
    let context = Context::from_pairs(relations.iter().map(|relation| {
        let value = RestrictedExpression::new_bool(is_set(relation));
        (relation.clone(), value)
    }))
    .map_err(|error| error.to_string())?;
    Request::new(
        EntityUid::from_type_name_and_id(caller, EntityId::new("caller")),
        action.clone(),
        EntityUid::from_type_name_and_id(object, EntityId::new("object")),
        context,
        Some(schema),
    )
    .map_err(|error| error.to_string())
}

//! Changes definitions for notifications in the API `/v1`: channel accounts, the notification policy, escalation chains
//! and rotas. The members are those of the TOML file of an operator. An error response names the wrong member.

use serde_json::{Map, Value};

use super::admin::changes_configuration;
use super::problem::Problem;
use super::request::Asked;
use super::shape::{COUNT, Member, Shape, optional, step};
use crate::app::definition_files::check_name;
use crate::app::notifications::definition_changes::{self, NotChanged};
use crate::app::notifications::definitions::DefinitionKind;

/// The member `version` of a change: the number of the definition that the caller has read. The change is refused if the
/// desk has another one. 0 means that the desk must have none.
pub(super) const VERSION: Member = optional("version", COUNT);
pub(super) const TEXTS: Shape = Shape::List(&Shape::Text);

/// The members of a channel account that are not settings of its channel.
const OF_ACCOUNT: [&str; 4] = ["channel", "is_enabled", "per_minute", "repetition"];
/// The words before the number of an entry in an error text, and the member with the list of these entries.
const LISTS: [(&str, &str); 5] = [
    ("rule ", "rules"),
    ("team ", "team"),
    ("step ", "step"),
    ("layer ", "layer"),
    ("override ", "override"),
];

/// Replaces or adds the definition with the given name. The body of the request is the whole definition, and [`VERSION`].
/// Returns an error if the acting user is no superuser, if a member is wrong, or if the desk has another version. Nothing is
/// stored then.
pub(super) async fn define(
    request: &Asked,
    kind: DefinitionKind,
    name: &str,
) -> Result<(), Problem> {
    let by = changes_configuration(request).await?;
    let word = word(kind);
    check_name(word, name).map_err(|reason| Problem::malformed(word, reason))?;
    let mut members = request.body.clone();
    let read = members.remove(VERSION.name);
    let read = read.and_then(|read| read.as_u64());
    let read = read.and_then(|read| u32::try_from(read).ok());
    let app = &request.app;
    let changed = definition_changes::change(app, &by, kind, name, &members, read).await;
    changed.map_err(|error| match error {
        NotChanged::Technical(error) => error.into(),
        NotChanged::Refused(reason) => {
            Problem::malformed(&pointer(kind, &reason, &request.body), reason)
        }
        NotChanged::MovesSecret(reason) => {
            Problem::conflict_at(&pointer(kind, &reason, &request.body), reason)
        }
        error @ NotChanged::VersionChanged { .. } => {
            Problem::conflict_at("/version", error.to_string())
        }
    })
}

/// Returns the schema of a definition in a response: the members of a change without [`VERSION`].
#[cfg(test)]
pub(super) fn definition_schema(members: &[Member]) -> schemars::Schema {
    let mut schema = super::shape::schema_of(members);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.remove(VERSION.name);
    }
    schemars::Schema::try_from(schema).expect("an object")
}

/// Returns the name of the parameter of the path that contains the name of a definition.
fn word(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Account => "account",
        DefinitionKind::Policy => "policy",
        DefinitionKind::Chain => "chain",
        DefinitionKind::Rota => "rota",
    }
}

/// Returns the JSON pointer of the member that an error text names. The text names an entry by its number or its name, and
/// then a member between backticks, as in ``chain default, step 2: `only_if.to` must be``.
fn pointer(kind: DefinitionKind, reason: &str, body: &Map<String, Value>) -> String {
    let (mut at, rest) = entry_of(reason, body);
    let mut texts = rest.split('`').skip(1);
    let mut member = texts.next().unwrap_or_default().to_owned();
    // Some texts name an object and then its member, as in `chat_groups`: `messages`.
    if texts.next() == Some(": ")
        && let Some(inner) = texts.next()
    {
        member = format!("{member}.{inner}");
    }
    match kind {
        _ if member.is_empty() => return at,
        DefinitionKind::Account if !OF_ACCOUNT.contains(&member.as_str()) => {
            at.push_str("/settings");
            // The name of a setting in the body can have a dot.
            let settings = body.get("settings").and_then(Value::as_object);
            if settings.is_some_and(|settings| settings.contains_key(&member)) {
                return step(&at, &member);
            }
        }
        DefinitionKind::Chain if member == "buzz" => at.push_str("/notify"),
        _ => {}
    }
    for part in member.split('.') {
        at = step(&at, part);
    }
    at
}

/// Returns the JSON pointer of the list entry that an error text names, and the part of the text that names the member. The
/// pointer is empty if the text names no entry.
fn entry_of<'a>(reason: &'a str, body: &Map<String, Value>) -> (String, &'a str) {
    if let Some(named) = reason.strip_prefix("policy: subscription ") {
        let all = body.get("subscription").and_then(Value::as_array);
        for (at, one) in all.into_iter().flatten().enumerate() {
            let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
            let rest = named.strip_prefix(name);
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix(": ")) {
                return (format!("/subscription/{at}"), rest);
            }
        }
    }
    let head = reason.split('`').next().unwrap_or_default();
    for (word, member) in LISTS {
        for (at, _) in head.match_indices(word) {
            let digits = head[at + word.len()..]
                .chars()
                .take_while(char::is_ascii_digit);
            let number = digits.collect::<String>().parse::<usize>();
            if let Some(index) = number.ok().and_then(|number| number.checked_sub(1)) {
                return (format!("/{member}/{index}"), reason);
            }
        }
    }
    (String::new(), reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_names_the_member_of_an_error_text() {
        use DefinitionKind::{Account, Chain, Policy, Rota};
        let body = json!({
            "subscription": [{ "name": "load" }, { "name": "key_tickets" }],
            "settings": { "relay.host": "x", "mailbox": {} },
        });
        let body = body.as_object().expect("an object");
        for (kind, reason, expected) in [
            (
                Account,
                "account mail: `channel` must be one of email, not \"fax\"",
                "/channel",
            ),
            (
                Account,
                "account mail: `prot` is not a setting",
                "/settings/prot",
            ),
            (
                Account,
                "account mail: `relay.host` is not a setting",
                "/settings/relay.host",
            ),
            (
                Account,
                "account mail: `mailbox.host` is required",
                "/settings/mailbox/host",
            ),
            (
                Policy,
                "policy: `insight.feedback_one_in` must be a number",
                "/insight/feedback_one_in",
            ),
            (
                Policy,
                "policy: rule 2: `floor` must not be above `cap`",
                "/rules/1/floor",
            ),
            (
                Policy,
                "policy: team 1: `channels.fax` is unknown",
                "/team/0/channels/fax",
            ),
            (
                Policy,
                "policy: subscription key_tickets: entry 2 of `when` has an empty `key`",
                "/subscription/1/when",
            ),
            (
                Policy,
                "policy: `chat_groups`: `messages` must contain only updated",
                "/chat_groups/messages",
            ),
            (
                Chain,
                "chain x, step 2, `notify`: `leader` must be true",
                "/step/1/notify/leader",
            ),
            (
                Chain,
                "chain x, step 2: only the last step may have `buzz`",
                "/step/1/notify/buzz",
            ),
            (
                Chain,
                "chain x: `repeat` must be a number from 0 to 5",
                "/repeat",
            ),
            (
                Rota,
                "rota x, layer 1, `people`: y is not in the directory",
                "/layer/0/people",
            ),
            (
                Rota,
                "rota x, override 3: `to` must be later than `from`",
                "/override/2/to",
            ),
            (Rota, "the text names no member", ""),
        ] {
            assert_eq!(pointer(kind, reason, body), expected, "{reason}");
        }
    }
}

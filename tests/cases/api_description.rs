//! These tests check the description of `/v1` (`/openapi.json`), from which clients are generated.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::process::Served;

use crate::api_bodies::{described, operations};

/// The API description contains an id, a tag and the success statuses for every operation
/// (cases/first-use.md, section 2).
#[tokio::test]
async fn the_description_names_every_operation_and_its_responses() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let document = described(&desk).await;
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "{method} {path}: {id:?}"
        );
        assert!(ids.insert(id), "{method} {path}: the id is taken");
        assert!(
            operation["tags"][0]
                .as_str()
                .is_some_and(|tag| path.contains(tag)),
            "{method} {path}"
        );
        let answers = operation["responses"].as_object().expect("answers");
        let successes: Vec<&str> = answers
            .keys()
            .map(String::as_str)
            .filter(|status| status.starts_with('2'))
            .collect();
        let is_known = matches!(
            successes[..],
            ["200" | "201" | "204"] | ["200", "201" | "206"]
        );
        assert!(is_known, "{method} {path}: {successes:?}");
    }
    assert_eq!(
        document["components"]["securitySchemes"]["user"]["name"],
        "X-Bk-Token"
    );
    let key = |path: &str| {
        let parameters = document["paths"][path]["post"]["parameters"]
            .as_array()
            .expect("parameters");
        parameters
            .iter()
            .find(|parameter| parameter["name"] == "Idempotency-Key")
            .map(|parameter| parameter["required"] == true)
    };
    assert_eq!(
        (
            key("/v1/uploads"),
            key("/v1/tickets"),
            key("/v1/workflows/{id}/close")
        ),
        (Some(true), Some(false), None)
    );
}

/// The description of the API lists the words of closed sets, and `If-Match` is a text (cases/first-use.md, section 2;
/// cases/crossings.md, case 5).
#[tokio::test]
async fn the_description_lists_words_and_the_types_of_headers() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let document = described(&desk).await;
    let schemas = &document["components"]["schemas"];
    for (schema, member, word) in [
        ("Ticket", "kind", "question"),
        ("TicketNode", "status", "RECEIVING"),
        ("TicketLink", "relation", "child_of"),
        ("Service", "display_type", "INVISIBLE"),
        ("Field", "type", "CUSTOM-FORM"),
        ("Node", "kind", "TASK-SOPS"),
        ("ConflictProblem", "reason", "node_finished"),
        ("ForbiddenProblem", "reason", "no_credentials"),
    ] {
        let words = schemas[schema]["properties"][member]["enum"].as_array();
        let words = words.unwrap_or_else(|| panic!("{schema}.{member} lists no words"));
        assert!(words.contains(&json!(word)), "{schema}.{member}: {words:?}");
    }
    let form = &schemas["Form"]["properties"]["fields"]["items"]["$ref"];
    assert_eq!(form, "#/components/schemas/FormField");
    let paths = document["paths"].as_object().expect("paths");
    let (mut checked, mut empty) = (0, Vec::new());
    for (path, operations) in paths.iter().filter(|(path, _)| path.starts_with("/v1/")) {
        for (method, operation) in operations.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().expect("parameters");
            for parameter in parameters.iter().filter(|one| one["name"] == "If-Match") {
                assert_eq!(parameter["schema"]["type"], "string", "{method} {path}");
                checked += 1;
            }
            for status in ["200", "201", "206"] {
                let Some(content) = operation["responses"][status]["content"].as_object() else {
                    continue;
                };
                let has_schema = |one: &Value| {
                    one["schema"]
                        .as_object()
                        .is_some_and(|schema| !schema.is_empty())
                };
                if !content.values().all(has_schema) {
                    empty.push(format!("{method} {path} {status}"));
                }
            }
        }
    }
    assert!(checked > 20, "{checked} operations compare versions");
    assert_eq!(empty, [""; 0], "these successful responses have no schema");
    assert_eq!(document["servers"][0]["url"], "/");
    // A generator loses objects with `patternProperties`, and variants with lists of objects inside of `oneOf`.
    assert!(!document.to_string().contains("patternProperties"));
    for (name, schema) in schemas.as_object().expect("schemas") {
        let variants = schema["oneOf"].as_array().into_iter().flatten();
        for variant in variants.filter(|variant| variant["properties"].is_object()) {
            assert!(
                !variant.to_string().contains("\"array\""),
                "{name}: {variant}"
            );
        }
    }
}

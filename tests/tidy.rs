//! These tests check the rules of the project in the source files, the documents and the deployment
//! template.

mod additions;
mod reaction_types;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use functions::registry::REGISTRY;
use functions::stream::follow::due;
use tests::process::root;

/// Each crate of the project, and the crates that it may depend on.
const CRATES: [(&str, &[&str]); 5] = [
    ("events", &[]),
    ("domain", &["events"]),
    ("infra", &["events", "domain"]),
    ("functions", &["events", "domain", "infra"]),
    ("tests", &["events", "domain", "infra", "functions"]),
];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns all files in a folder, at any depth, whose file extension is in `endings`.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| {
                path.extension()
                    .is_some_and(|extension| extension == *ending)
            }) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{} has no such file", folder.display());
    found
}

#[test]
fn each_crate_uses_only_its_allowed_crates() {
    for (name, allowed) in CRATES {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        for (other, _) in CRATES {
            let uses = manifest.lines().any(|line| {
                line.trim_start().starts_with(&format!("{other}."))
                    || line.trim_start().starts_with(&format!("{other} ="))
            });
            assert!(!uses || allowed.contains(&other), "{name} uses {other}");
        }
    }
}

/// Names of all files and folders that `functions/src` may contain. For example, the folder `app`
/// contains the use cases. The folder `http` contains a trigger (code that receives requests and calls
/// the use cases).
const FUNCTIONS_SRC: [&str; 13] = [
    "app",
    "bin",
    "catalog.rs",
    "cli",
    "console",
    "host",
    "http",
    "lib.rs",
    "mqtt",
    "queue",
    "registry.rs",
    "stream",
    "timer",
];

#[test]
fn functions_src_has_only_the_folders_of_the_guide() {
    let found: BTreeSet<String> = std::fs::read_dir(root().join("functions/src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let allowed: BTreeSet<String> = FUNCTIONS_SRC.map(str::to_owned).into();
    assert_eq!(found, allowed);
}

#[test]
fn use_cases_import_no_trigger() {
    for path in files(&root().join("functions/src/app"), &["rs"]) {
        let text = read(&path);
        for trigger in ["http", "stream", "queue", "timer", "mqtt", "host", "cli"] {
            assert!(
                !text.contains(&format!("crate::{trigger}::")),
                "{} imports {trigger}",
                path.display()
            );
        }
    }
}

/// Returns the imports between the top-level modules of a crate. For each module, the set contains the
/// other modules that this module imports. Imports in test code are ignored.
fn imports(krate: &str) -> BTreeMap<String, BTreeSet<String>> {
    let source = root().join(krate).join("src");
    let top = |path: &Path| {
        let first = path.components().next().expect("a file");
        let name = first.as_os_str().to_string_lossy().into_owned();
        name.trim_end_matches(".rs").to_owned()
    };
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(&source, &["rs"]) {
        let path = path.strip_prefix(&source).unwrap();
        let module = top(path);
        let is_test = path
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
        if module == "lib" || module == "bin" || is_test {
            continue;
        }
        let text = read(&source.join(path));
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let text: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let of_module = imports.entry(module.clone()).or_default();
        for part in text.split("crate::").skip(1) {
            let names = match part.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default(),
                None => part,
            };
            let is_list = part.starts_with('{');
            for item in names.split(',').take(if is_list { usize::MAX } else { 1 }) {
                let name: String = item
                    .trim()
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                of_module.insert(name);
            }
        }
        of_module.remove(&module);
    }
    imports
}

/// Returns the modules that are in an import cycle, and the modules that import such a module. The set is
/// empty if no cycle exists.
fn cycle(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut left = imports.clone();
    // The loop removes each module that imports no module in `left`, because this module cannot be a part
    // of a cycle.
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, imported| imported.iter().any(|name| names.contains(name)));
        if left.len() == before {
            return names;
        }
    }
}

#[test]
fn no_crate_has_a_module_cycle() {
    let known = [
        ("events", "field", "workflow"),
        ("domain", "ticket", "workflow"),
        ("infra", "store", "pages"),
        ("functions", "queue", "app"),
    ];
    for (krate, importer, imported) in known {
        let found = imports(krate);
        assert!(
            found[importer].contains(imported),
            "{krate}: the imports are read"
        );
        assert_eq!(cycle(&found), BTreeSet::new(), "{krate}");
    }
    let circular = BTreeMap::from([
        ("a".to_owned(), BTreeSet::from(["b".to_owned()])),
        ("b".to_owned(), BTreeSet::from(["a".to_owned()])),
        ("c".to_owned(), BTreeSet::from(["x".to_owned()])),
    ]);
    assert_eq!(cycle(&circular).len(), 2, "the check finds a cycle");
}

#[test]
fn outgoing_requests_have_one_client() {
    let kernel = root().join("infra/src/http");
    for krate in ["events", "domain", "infra", "functions"] {
        for path in files(&root().join(krate).join("src"), &["rs"]) {
            let is_kernel = path.starts_with(&kernel);
            assert!(
                is_kernel || !read(&path).contains("reqwest"),
                "{} uses the HTTP library itself",
                path.display()
            );
        }
    }
}

/// Words that comments and messages must not contain, because these words make a sentence hard to
/// understand.
const BANNED: [&str; 7] = [
    "door",
    "house",
    "room",
    "wish",
    "whoever",
    "mend",
    "over there",
];

#[test]
fn comments_and_messages_have_no_banned_words() {
    for folder in ["events/src", "domain/src", "infra/src", "functions/src"] {
        for path in files(&root().join(folder), &["rs"]) {
            for (number, line) in read(&path).lines().enumerate() {
                let words: Vec<String> = line
                    .split(|c: char| !c.is_ascii_alphabetic())
                    .map(str::to_ascii_lowercase)
                    .collect();
                let text = format!(" {} ", words.join(" "));
                for word in BANNED {
                    assert!(
                        !text.contains(&format!(" {word} ")),
                        "{}:{}: {word}",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn every_event_version_has_a_sample_in_a_readable_shape() {
    let folder = root().join("events/samples");
    let on_disk: BTreeSet<String> = files(&folder, &["json"])
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let listed: BTreeSet<String> = events::samples::ALL
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        on_disk, listed,
        "events/src/samples.rs lists the files of events/samples"
    );
    let expected: BTreeSet<String> = events::catalog_of_types()
        .into_iter()
        .flat_map(|(kind, version)| (1..=version).map(move |version| format!("{kind}.v{version}")))
        .collect();
    assert_eq!(listed, expected);
    events::upcast::complete(&events::catalog_of_types()).expect("every upcast step exists");
    for (name, text) in events::samples::ALL {
        let raw: events::Raw<'_> =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("{}.v{}", raw.kind, raw.version), *name);
        let read = events::read_any(&raw).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A loaded event must contain every member of the stored sample, so that no data is lost.
        let data: serde_json::Value = serde_json::from_str(raw.data.get()).unwrap();
        assert_eq!(read["data"], data, "{name}");
    }
}

#[test]
fn every_event_type_causes_a_notification_or_is_silent_for_a_reason() {
    use domain::notification::announced::{ANNOUNCED, SILENT};
    let announced = ANNOUNCED.iter().map(|(kind, _)| *kind);
    let silent = SILENT.iter().flat_map(|(_, kinds)| kinds.iter().copied());
    let mut decided: Vec<&str> = announced.chain(silent).collect();
    decided.sort_unstable();
    let mut types: Vec<&str> = events::catalog_of_types()
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    types.sort_unstable();
    assert_eq!(decided, types, "each event type is in one list");
    let facts: BTreeSet<_> = ANNOUNCED.iter().flat_map(|(_, facts)| *facts).collect();
    assert_eq!(
        facts,
        events::notification::Fact::ALL.iter().collect(),
        "each fact has an event"
    );
}

#[test]
fn the_catalog_lists_exactly_the_function_files() {
    let listed: BTreeSet<&str> = functions::catalog::FUNCTIONS
        .iter()
        .map(|function| function.name)
        .collect();
    assert_eq!(
        listed.len(),
        functions::catalog::FUNCTIONS.len(),
        "function names are unique"
    );
    let source = root().join("functions/src");
    assert!(source.join("http/inbound.rs").is_file());
    let mut on_disk = BTreeSet::from(["command", "inbound"].map(str::to_owned));
    for (folder, helpers) in [
        ("stream", &["mod", "parked"][..]),
        ("queue", &["mod", "runner"]),
        ("timer", &["mod"]),
        ("mqtt", &["mod"]),
    ] {
        // Each file directly in this folder is one cloud function. Additional files of a function are in a
        // folder with the same name.
        let direct = files(&source.join(folder), &["rs"])
            .into_iter()
            .filter(|path| path.parent() == Some(&source.join(folder)));
        let names = direct.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
        on_disk.extend(names.filter(|name| !helpers.contains(&name.as_str())));
    }
    assert_eq!(
        on_disk.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        listed
    );
}

#[test]
fn events_and_domain_use_no_clock_randomness_environment_or_io() {
    for name in ["events", "domain"] {
        for path in files(&root().join(name).join("src"), &["rs"]) {
            let text = read(&path);
            for word in [
                "SystemTime",
                "Instant::now",
                "Timestamp::now",
                "ZonedDateTime::now",
                "getrandom",
                "std::env",
                "std::fs",
                "std::net",
                "tokio::",
            ] {
                assert!(!text.contains(word), "{} mentions {word}", path.display());
            }
            let is_shell = path.ends_with("es_adapter.rs");
            assert!(
                is_shell || !text.contains("async fn"),
                "{} is async",
                path.display()
            );
        }
    }
}

#[test]
fn only_adapters_use_the_names_of_their_technology() {
    for path in files(&root().join("functions/src"), &["rs"]) {
        let text = read(&path);
        for word in ["rusqlite", "chacha20", "aws_sdk_"] {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
    for path in files(&root().join("domain/src"), &["rs"]) {
        let may = path.ends_with("es_adapter.rs")
            || path.ends_with("tests.rs")
            || path.components().any(|part| part.as_os_str() == "tests")
            || path.ends_with("callback.rs");
        assert!(
            may || !read(&path).contains("cqrs_es"),
            "{} mentions cqrs_es",
            path.display()
        );
    }
}

#[test]
fn code_has_no_unfinished_ignored_or_trivial_parts() {
    let folders = [
        "events/src",
        "domain/src",
        "infra/src",
        "functions/src",
        "tests",
    ];
    for path in folders
        .iter()
        .flat_map(|folder| files(&root().join(folder), &["rs", "py"]))
        .filter(|path| !path.ends_with("tidy.rs"))
    {
        let text = read(&path);
        for word in [
            "todo!",
            "unimplemented!",
            "#[ignore",
            "assert!(true)",
            "FIXME",
            "#[allow(",
        ] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn every_module_begins_with_a_doc_comment() {
    for folder in [
        "events/src",
        "domain/src",
        "infra/src",
        "functions/src",
        "tests",
    ] {
        for path in files(&root().join(folder), &["rs"]) {
            assert!(read(&path).starts_with("//! "), "{}", path.display());
        }
    }
}

#[test]
fn the_architecture_page_names_files_that_exist() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.contains('/')
                && Path::new(word)
                    .extension()
                    .is_some_and(|extension| extension == "rs")
        })
        .collect();
    assert!(named.len() > 10, "the three walkthroughs name files");
    for file in named {
        assert!(root().join(file).exists(), "{file} does not exist");
    }
}

#[test]
fn documents_name_files_and_tests_that_exist() {
    let flows = root().join("tests/flows");
    let weaknesses = read(&flows.join("weaknesses.rs"));
    let mut pages = files(&root().join("docs"), &["md"]);
    pages.extend([root().join("README.md"), root().join("CHANGELOG.md")]);
    let mut counted = 0;
    for page in pages {
        let text = read(&page);
        let is_coverage = page.ends_with("coverage.md");
        for word in text.split('`').skip(1).step_by(2) {
            // A name such as `tests/flows/a.rs::b` is a test in a file.
            if let Some((file, test)) = word.split_once(".rs::") {
                let source = read(&root().join(format!("{file}.rs")));
                assert!(
                    source.contains(&format!("fn {test}(")),
                    "{}: there is no test {word}",
                    page.display()
                );
                counted += 1;
                continue;
            }
            let is_file = word.contains('/')
                && !word.contains(['<', '{', ' ', '*'])
                && [".rs", ".py", ".yaml", ".toml"]
                    .iter()
                    .any(|ending| word.ends_with(ending));
            if is_file {
                assert!(
                    root().join(word).exists(),
                    "{}: {word} does not exist",
                    page.display()
                );
                counted += 1;
            }
        }
        if is_coverage {
            // The last column of the table in docs/coverage.md contains names of tests. A single word is the
            // name of a file in `tests/flows`. A name such as `w07` is a test in `weaknesses.rs`.
            for row in text.lines().filter(|line| line.starts_with("| ")) {
                let last = row
                    .trim_end_matches('|')
                    .rsplit('|')
                    .next()
                    .unwrap_or_default();
                for word in last.split('`').skip(1).step_by(2).filter(|word| {
                    word.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !word.is_empty()
                }) {
                    let is_operation = functions::http::blueking::names()
                        .any(|(name, _)| name == word)
                        || word == "route";
                    assert!(
                        is_operation || flows.join(format!("{word}.rs")).exists(),
                        "docs/coverage.md: test file {word} does not exist"
                    );
                    counted += 1;
                }
                for word in last.split([' ', ',', ';']).filter(|word| {
                    word.len() == 3 && word.starts_with('w') && word[1..].parse::<u8>().is_ok()
                }) {
                    assert!(
                        weaknesses.contains(&format!("async fn {word}_")),
                        "docs/coverage.md: test {word} does not exist"
                    );
                    counted += 1;
                }
            }
        }
    }
    assert!(counted > 100, "only {counted} names were checked");
}

#[test]
fn the_dashboard_shows_every_queue_and_its_dead_letters() {
    let resources = resources();
    let dashboard = &resources
        .iter()
        .find(|(name, _)| name == "Dashboard")
        .expect("a dashboard")
        .1;
    for function in functions::catalog::queues() {
        for queue in [
            format!("${{Stage}}-{function}\""),
            format!("${{Stage}}-{function}-dead\""),
        ] {
            assert!(
                dashboard.contains(&queue),
                "{queue} is not on the dashboard"
            );
        }
    }
}

/// Returns the name and the text of each resource in the deployment template `template.yaml`.
fn resources() -> Vec<(String, String)> {
    let text = read(&root().join("infra/deploy/template.yaml"));
    let text = text
        .split("\nResources:\n")
        .nth(1)
        .and_then(|text| text.split("\nOutputs:").next())
        .expect("resources");
    let is_name =
        |line: &str| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
    let mut resources: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if is_name(line) {
            resources.push((line.trim().trim_end_matches(':').to_owned(), String::new()));
        } else if let Some((_, body)) = resources.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    resources
}

#[test]
fn the_template_deploys_exactly_the_catalog() {
    use functions::catalog::{FUNCTIONS, Trigger};
    let resources = resources();
    let deployed: Vec<_> = resources
        .iter()
        .filter(|(_, body)| body.contains("Type: AWS::Serverless::Function"))
        .collect();
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    let handlers: Vec<&str> = deployed
        .iter()
        .filter_map(|(_, body)| {
            body.lines()
                .find_map(|line| line.trim().strip_prefix("Handler: "))
        })
        .collect();
    assert_eq!(handlers, names, "the same functions in the same order");
    for (function, (resource, body)) in FUNCTIONS.iter().zip(&deployed) {
        let name = function.name;
        for required in [
            &format!("FunctionName: !Sub \"${{Prefix}}-${{Stage}}-{name}\""),
            "MemorySize: ",
            "Timeout: ",
            &format!("Role: !GetAtt {resource}Role.Arn"),
        ] {
            assert!(body.contains(required), "{name} lacks {required}");
        }
        assert_eq!(
            body.contains("Key: !Ref HttpCodeKey"),
            matches!(function.trigger, Trigger::Http { .. }),
            "the package of {name}"
        );
        let of = |what: &str| {
            resources
                .iter()
                .find(|(other, _)| *other == format!("{resource}{what}"))
                .unwrap_or_else(|| panic!("{name} lacks its {what}"))
                .1
                .clone()
        };
        assert!(
            of("Log").contains("RetentionInDays"),
            "{name} has no log retention"
        );
        assert!(
            of("Errors").contains("AlarmActions"),
            "{name} has no alarm for errors"
        );
        match function.trigger {
            Trigger::Journal => assert!(
                body.contains("Stream: !GetAtt Journal.StreamArn")
                    && body.contains("StartingPosition: TRIM_HORIZON"),
                "{name}"
            ),
            Trigger::Feed if name == "project" => {
                assert!(body.contains("Stream: !GetAtt Feed.StreamArn"), "{name}");
            }
            Trigger::Queue { .. } => {
                assert!(
                    body.contains(&format!("!GetAtt {resource}Queue.Arn"))
                        && body.contains("ReportBatchItemFailures")
                        && body.contains("ScalingConfig: { MaximumConcurrency: "),
                    "{name}"
                );
                assert!(
                    of("Queue").contains(&format!("-{name}\""))
                        && of("Queue").contains(&format!(
                            "maxReceiveCount: {}",
                            functions::host::lambda::RECEIVES_MAX
                        ))
                );
                assert!(
                    of("DeadAlarm").contains("ApproximateNumberOfMessagesVisible"),
                    "{name}"
                );
            }
            Trigger::Fleet => {
                assert!(
                    body.contains("Queue: !GetAtt FleetQueue.Arn")
                        && body.contains("ReportBatchItemFailures"),
                    "{name}"
                );
                let queue = resources.iter().find(|(other, _)| other == "FleetQueue");
                let limit = format!("maxReceiveCount: {}", functions::host::lambda::RECEIVES_MAX);
                assert!(
                    queue.is_some_and(|(_, queue)| queue.contains(&limit)),
                    "{name}"
                );
            }
            Trigger::Sweep { .. } => assert!(body.contains("Type: Schedule"), "{name}"),
            Trigger::Http { .. } => {
                assert!(
                    resources.iter().any(|(_, body)| body
                        .contains(&format!("IntegrationUri: !GetAtt {resource}.Arn"))),
                    "{name}"
                );
            }
            Trigger::Feed => panic!("{name} has an unexpected feed trigger"),
        }
    }
    let text = read(&root().join("infra/deploy/template.yaml"));
    assert_eq!(
        text.matches("Stream: !GetAtt Journal.StreamArn").count(),
        2,
        "a table stream supports at most two readers"
    );
    assert!(
        !text.contains("ReservedConcurrentExecutions"),
        "ordering must not depend on reserved concurrency"
    );
}

#[test]
fn the_follower_role_may_write_every_card() {
    let resources = resources();
    let role = &resources
        .iter()
        .find(|(name, _)| name == "FollowRole")
        .expect("the follower's role")
        .1;
    let views: Vec<&str> = REGISTRY.iter().filter_map(|row| row.view()).collect();
    assert!(views.len() >= 10, "{views:?}");
    for view in views.into_iter().chain([due::VIEW]) {
        for key in [format!("\"d|{view}|*\""), format!("\"i|{view}|*\"")] {
            assert!(role.contains(&key), "the follower may not write {key}");
        }
    }
}

/// Only three files may contain a list of aggregates (kinds of streams). These files contain the
/// names of all aggregates, the registry (the properties of each kind of stream), and the stored
/// summaries. The test treats five names of aggregates within 12 lines as a list.
#[test]
fn no_other_list_of_aggregates_exists() {
    const LISTS: [&str; 3] = [
        "events/src/lib.rs",
        "functions/src/registry.rs",
        "domain/src/views/mod.rs",
    ];
    const LINES: usize = 12;
    let is_named = |line: &str, name: &str| {
        line.contains(&format!("\"{name}\"")) || line.contains(&format!("\"{name}-"))
    };
    for krate in ["events", "domain", "infra", "functions"] {
        for path in files(&root().join(krate).join("src"), &["rs"]) {
            let place = path.strip_prefix(root()).unwrap().display().to_string();
            if LISTS.contains(&place.as_str()) {
                continue;
            }
            let text = read(&path);
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for window in lines.windows(LINES.min(lines.len().max(1))) {
                let named: Vec<_> = events::AGGREGATES
                    .iter()
                    .filter(|name| window.iter().any(|line| is_named(line, name)))
                    .collect();
                assert!(named.len() < 5, "{place} lists {named:?}");
            }
        }
    }
}

/// The registry (the list of all kinds of streams) must contain every kind of stream exactly once. If a
/// kind of stream has deadlines, the list of the work queues must contain the queue for these deadlines.
/// In the deployment template, at least one role must have the right to write to the streams of each kind.
#[test]
fn the_registry_matches_the_table_the_catalog_and_the_template() {
    let mut registered: Vec<&str> = REGISTRY.iter().map(|row| row.name()).collect();
    registered.sort_unstable();
    let mut aggregates = events::AGGREGATES.to_vec();
    aggregates.sort_unstable();
    assert_eq!(registered, aggregates);
    let queues = functions::catalog::queues();
    for row in REGISTRY {
        if let Some(deadlines) = row.deadlines() {
            assert!(queues.contains(&deadlines.queue), "{}", row.name());
        }
    }
    let template = read(&root().join("infra/deploy/template.yaml"));
    // Only operators write to these streams, with commands. `ledgerdesk serve` records in a `ledger` stream a loss of
    // commits that an operator accepted, and `ledgerdesk setup` replaces keys. Cloud functions must not do this.
    let by_operators = ["ledger", "desk_key"];
    for name in aggregates
        .iter()
        .filter(|name| !by_operators.contains(name))
    {
        let keys = [format!("{name}-*"), format!("{name},")];
        assert!(
            template
                .lines()
                .filter(|line| line.contains("dynamodb:LeadingKeys: ["))
                .any(|line| keys.iter().any(|key| line.contains(key))),
            "no role may write to streams of {name}"
        );
    }
}

/// Everybody can send requests to the function `inbound`. Its role therefore writes only messages, and reads only the secrets
/// that it needs to check them.
#[test]
fn the_role_of_inbound_messages_has_exactly_its_rights() {
    let resources = resources();
    let (_, body) = resources
        .iter()
        .find(|(name, _)| name == "InboundRole")
        .expect("the role");
    let mut rights = Vec::new();
    for statement in body.split("- Sid: ").skip(1) {
        let name = statement.lines().next().unwrap_or_default().trim();
        let of = |member: &str| {
            let mut lines = statement.lines().map(str::trim);
            lines
                .find_map(|line| line.strip_prefix(member))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        assert_eq!(of("Effect:"), "Allow", "{name}");
        // A condition with another operator would not limit requests with several keys.
        let limits = statement.matches("LeadingKeys").count();
        let exact = statement.matches("ForAllValues:StringLike:").count();
        assert_eq!(limits, exact, "{name}");
        let right = format!(
            "{name}: {} on {} {}",
            of("Action:"),
            of("Resource:"),
            of("dynamodb:LeadingKeys:")
        );
        rights.push(right.trim().to_owned());
    }
    // One further statement permits the function to use the role.
    assert_eq!(body.matches("Effect:").count(), rights.len() + 1);
    assert_eq!(
        rights,
        [
            "Logs: [logs:CreateLogStream, logs:PutLogEvents] on !Sub \"${InboundLog.Arn}\"",
            "ReadsTheJournal: [dynamodb:Query] on !GetAtt Journal.Arn",
            "WritesItsOwnStreams: [dynamodb:PutItem] on !GetAtt Journal.Arn [inbound-*]",
            "KeepsAttachmentsOfMails: [s3:PutObject] on !Sub \"${Archive.Arn}/mails/*\"",
            "ReadsSecretsOfSignatures: [dynamodb:GetItem] on !GetAtt Keys.Arn [\"secret|webhook/*\", \"secret|inbound/*\"]",
            "KnowsTheDesksKeys: [secretsmanager:GetSecretValue] on !Ref DeskSecret",
        ]
    );
}

#[test]
fn no_role_may_change_the_journal_or_write_to_unlisted_streams() {
    for (name, body) in resources()
        .iter()
        .filter(|(_, body)| body.contains("Type: AWS::IAM::Role"))
    {
        let statements: Vec<&str> = body.split("- Sid: ").skip(1).collect();
        for statement in statements
            .iter()
            .filter(|statement| statement.contains("Resource: !GetAtt Journal.Arn"))
        {
            for never in ["UpdateItem", "DeleteItem", "BatchWriteItem", "dynamodb:*"] {
                assert!(!statement.contains(never), "{name} may {never} the journal");
            }
            assert!(
                !statement.contains("PutItem") || statement.contains("dynamodb:LeadingKeys"),
                "{name} may write to every stream"
            );
        }
        assert!(
            !body.contains("Resource: \"*\"") && !body.contains(":*]"),
            "{name} has a wildcard permission"
        );
    }
}

/// Everybody who knows a secret of signatures can send messages as another system or as another person.
#[test]
fn only_the_function_that_checks_signatures_reads_their_secrets() {
    let resources = resources();
    let readers: Vec<_> = resources
        .iter()
        .filter(|(_, body)| {
            body.contains("Type: AWS::IAM::Role") && body.contains("!GetAtt Keys.Arn")
        })
        .collect();
    assert!(readers.len() > 5, "{}", readers.len());
    for (name, body) in readers {
        if name == "InboundRole" {
            continue;
        }
        let denied = body.split("- Sid: ").skip(1);
        let denied: Vec<&str> = denied
            .filter(|statement| statement.contains("Effect: Deny"))
            .collect();
        for secrets in ["secret|inbound/*", "secret|mailbox/*", "secret|webhook/*"] {
            let is_denied = denied.iter().any(|statement| statement.contains(secrets));
            assert!(is_denied, "{name} may read {secrets}");
        }
    }
}

//! Tests the definitions of integrations and application kinds.

use domain::itsm::mapping;
use events::AppCode;
use events::integration::{Authority, PathForm};

use super::*;

const VALID: &str = r#"
        [[integration]]
        name = "company_itsm"
        kind = "bk_itsm"
        url = "https://itsm.example.com"
        app = "bk_log"
        user = "admin"

        [[application_kind]]
        name = "log_collection"
        integration = "company_itsm"
        service = 18
        fields = { title = "${ticket_title}" }
        granted = { approval_result = "true" }
        days = 14
    "#;

fn read(text: &str) -> Result<Definitions, String> {
    Definitions::read(text, &|_| Err("no mapping is expected".into()))
}

/// Reads a TOML file with definitions, and returns the definitions. In these tests, `mapping`
/// is the content of the mapping file `cases.toml`.
fn read_source(text: &str, mapping: &str) -> Result<Definitions, String> {
    Definitions::read(text, &|path| match path.to_str() {
        Some("cases.toml") => Ok(mapping.to_owned()),
        _ => Err("the file does not exist".into()),
    })
}

const SOURCE: &str = r#"
        [[integration]]
        name = "crm"
        kind = "generic_json"
        senders = ["crm_app"]
        mapping = "cases.toml"
    "#;
const MAPPING: &str = r#"
        record = "/id"
        service = { path = "/type", values = { patrol = 7 } }
        requester = "/caller"
        update = { counter = "/revision" }
        [fields]
        title = "/title"
        origin = { value = "crm" }
    "#;

#[test]
fn a_source_of_cases_has_a_mapping_of_its_own() {
    let definitions = read_source(SOURCE, MAPPING).unwrap();
    let source = &definitions.integrations[0];
    assert_eq!(source.senders, [AppCode("crm_app".into())]);
    let mapping = source.mapping.as_ref().unwrap();
    assert_eq!(mapping.requester.path.as_deref(), Some("/caller"));
    assert_eq!(mapping.service.values["patrol"], 7);
    assert_eq!(mapping.fields["origin"].value, Some("crm".into()));
}

#[test]
fn the_wrong_member_of_a_source_is_named() {
    for (from, to, expected) in [
        (
            "senders = [\"crm_app\"]",
            "",
            "`senders` must name the apps",
        ),
        ("\"crm_app\"", "\" \"", "`senders` must contain app codes"),
        ("mapping = \"cases.toml\"", "", "`mapping` must be the path"),
        (
            "cases.toml",
            "missing.toml",
            "mapping missing.toml: the file does not exist",
        ),
        (
            "senders",
            "form = \"esb\"\n        senders",
            "`form` has no meaning for the kind generic_json",
        ),
    ] {
        assert!(SOURCE.contains(from), "{from}");
        let reason = read_source(&SOURCE.replacen(from, to, 1), MAPPING).unwrap_err();
        assert!(reason.contains(expected), "{to}: {reason}");
    }
    // A ticket at another BlueKing ITSM can continue at the next node, so the desk does not compare it.
    let other = SOURCE
        .replacen("generic_json", "bk_itsm_tickets", 1)
        .replacen("senders", "reconcile_minutes = 5\nsenders", 1);
    let reason = read_source(&other, MAPPING).unwrap_err();
    assert!(
        reason.contains("`reconcile_minutes` has no meaning for the kind bk_itsm_tickets"),
        "{reason}"
    );
    for (from, to, expected) in [
        ("\"/id\"", "\"id\"", "`record` must be a JSON pointer"),
        ("record", "recod", "unknown field `recod`"),
        ("\"/caller\"", "{ }", "`requester` needs either"),
    ] {
        assert!(MAPPING.contains(from), "{from}");
        let reason = read_source(SOURCE, &MAPPING.replacen(from, to, 1)).unwrap_err();
        assert!(reason.contains("integration crm: mapping "), "{reason}");
        assert!(reason.contains(expected), "{to}: {reason}");
    }
}

#[test]
fn the_wrong_member_of_what_is_written_is_named() {
    let written = "status = \"/s\"\nnotes = true\n\
        assignee = { path = \"/owner\", people = { lisi = \"li.si\" } }\n\
        crm = { integration = \"erp\", record = \"/case\" }\n\
        write_back = { FINISHED = \"closed\" }\n";
    let source = SOURCE.replacen("senders", "url = \"https://a.example.com\"\nsenders", 1);
    let mapping = format!("{written}{MAPPING}");
    let definitions = read_source(&source, &mapping).unwrap();
    let defined = &definitions.integrations[0];
    assert_eq!(defined.assignee_authority, None);
    let read = defined.mapping.as_ref().unwrap();
    assert!(read.notes);
    assert_eq!(read.assignee.as_ref().unwrap().people["lisi"], "li.si");
    assert_eq!(read.crm.as_ref().unwrap().integration, "erp");
    let without_url = read_source(SOURCE, &mapping).unwrap_err();
    assert!(without_url.contains("`url` must be"), "{without_url}");
    for (from, to, expected) in [
        ("\"/owner\"", "\"owner\"", "`assignee.path` must be"),
        ("{ lisi = \"li.si\" }", "{}", "`assignee.people` must"),
        ("\"/case\"", "\"case\"", "`crm.record` must be"),
        (
            "\"erp\"",
            "\"crm\"",
            "another integration in `crm.integration`",
        ),
        ("notes = true", "notes = 1", "notes"),
    ] {
        assert!(mapping.contains(from), "{from}");
        let reason = read_source(&source, &mapping.replacen(from, to, 1)).unwrap_err();
        assert!(reason.contains(expected), "{to}: {reason}");
    }
    let authority = SOURCE.replacen("senders", "assignee_authority = \"person\"\nsenders", 1);
    let reason = read_source(&authority, MAPPING).unwrap_err();
    assert!(
        reason.contains("needs `assignee` in the mapping"),
        "{reason}"
    );
    let atlas = source.replacen("generic_json", "atlas", 1);
    let reason = read_source(&atlas, &mapping).unwrap_err();
    assert!(
        reason.contains("cannot write the assignee of atlas"),
        "{reason}"
    );
    let monitor = SOURCE.replacen("generic_json", "bk_monitor", 1);
    let notes = format!("notes = true\n{MAPPING}");
    let reason = read_source(&monitor, &notes).unwrap_err();
    assert!(reason.contains("must have no `notes`"), "{reason}");
}

#[test]
fn the_mapping_of_customer_service_cases_gets_only_writes() {
    let source = "[[integration]]\nname = \"crm\"\nkind = \"servicenow_csm\"\n\
        url = \"https://x.service-now.com\"\nuser = \"desk\"\nreconcile_minutes = 5\n\
        status_authority = \"source\"\nmapping = \"m\"\n";
    let mapping = include_str!("../../../../../mappings/cases/servicenow_csm.toml");
    let definitions = Definitions::read(source, &|_| Ok(mapping.to_owned())).unwrap();
    let defined = &definitions.integrations[0];
    assert_eq!(defined.status_authority, Authority::Source);
    let read = defined.mapping.as_ref().unwrap();
    assert!(read.notes && read.reasons && read.last_fact);
    assert!(!mapping::opens_tickets(read));
}

#[test]
fn the_wrong_member_of_the_shift_ends_is_named() {
    let mapping = format!("status = \"/s\"\nends = {{ closed = \"terminate\" }}\n{MAPPING}");
    let with = |members: &str| {
        let members = format!("url = \"https://a.example.com\"\n{members}\nsenders");
        read_source(&SOURCE.replacen("senders", &members, 1), &mapping)
    };
    let minutes = "reconcile_minutes = 60";
    let ends = "shift_ends = [\"06:00\", \"14:00\"]";
    let definitions = with(&format!("{minutes}\n{ends}\nzone = \"Europe/Berlin\"")).unwrap();
    let defined = &definitions.integrations[0];
    assert_eq!(defined.shift_ends, ["06:00", "14:00"]);
    assert_eq!(defined.zone.as_deref(), Some("Europe/Berlin"));
    let many = format!("shift_ends = [{}]", "\"06:00\",".repeat(25));
    for (members, expected) in [
        (ends.to_owned(), "`shift_ends` needs `reconcile_minutes`"),
        (
            format!("{minutes}\nzone = \"UTC\""),
            "`zone` needs `shift_ends`",
        ),
        (
            format!("{minutes}\nshift_ends = [\"6:00\"]"),
            "`shift_ends` must contain times of the day such as \"14:00\", not \"6:00\"",
        ),
        (format!("{minutes}\n{many}"), "at most 24 times"),
        (
            format!("{minutes}\n{ends}\nzone = \"Mars/Base\""),
            "`zone`: time zone \"Mars/Base\" is not known",
        ),
    ] {
        let reason = with(&members).unwrap_err();
        assert!(reason.contains(expected), "{members}: {reason}");
    }
    let itsm = VALID.replacen("app =", &format!("{ends}\n        app ="), 1);
    let reason = read(&itsm).unwrap_err();
    assert!(reason.contains("`shift_ends` has no meaning"), "{reason}");
}

#[test]
fn an_integration_that_only_gets_writes_needs_no_form() {
    let only = SOURCE.replacen(
        "senders = [\"crm_app\"]",
        "url = \"https://a.example.com\"",
        1,
    );
    let mapping = "record = \"/id\"\nstatus = \"/s\"\nwrite_back = { FINISHED = \"closed\" }";
    let definitions = read_source(&only, mapping).unwrap();
    assert!(definitions.integrations[0].senders.is_empty());
    let received = SOURCE.replacen("senders", "url = \"https://a.example.com\"\nsenders", 1);
    let reason = read_source(&received, mapping).unwrap_err();
    assert!(
        reason.contains("must have `service`, `requester` and `fields`"),
        "{reason}"
    );
    let nothing = read_source(&only, "record = \"/id\"").unwrap_err();
    assert!(nothing.contains("because it opens no tickets"), "{nothing}");
    let opens = read_source(&only, MAPPING).unwrap_err();
    assert!(opens.contains("`senders` must name the apps"), "{opens}");
}

#[test]
fn a_file_defines_integrations_and_kinds() {
    let definitions = read(VALID).unwrap();
    assert_eq!(definitions.integrations[0].name, "company_itsm");
    assert_eq!(definitions.integrations[0].form, PathForm::Esb);
    let kind = &definitions.kinds[0];
    assert_eq!(
        (kind.service, kind.days, kind.is_enabled),
        (Some(18), 14, true)
    );
    assert_eq!(kind.fields[0].value, "${ticket_title}");
    let clause = &kind.granted.expressions[0].expressions[0];
    assert_eq!(
        (clause.key.as_str(), &clause.value),
        ("approval_result", &"true".into())
    );
}

#[test]
fn a_preset_and_the_settings_of_the_log_platform_fill_absent_members() {
    let text = |settings: &str, more: &str| {
        format!(
            r#"{settings}
                [[integration]]
                name = "company_itsm"
                kind = "bk_itsm"
                app = "bk_log"
                user = "admin"
                [[application_kind]]
                name = "collect"
                preset = "log_collection"
                integration = "company_itsm"
                {more}"#
        )
    };
    let root = "ITSM_APIGATEWAY_ROOT_V2 = \"https://paas.example.com/api/c/compapi/v2/itsm/\"";
    let definitions = read(&text(root, "")).unwrap();
    let integration = &definitions.integrations[0];
    assert_eq!(
        (integration.url.as_str(), integration.form),
        ("https://paas.example.com", PathForm::Esb)
    );
    let kind = &definitions.kinds[0];
    let found = kind.discovery.as_ref().unwrap();
    assert_eq!(
        (kind.service, found.display_role.as_str()),
        (None, "LOG_SEARCH")
    );
    assert_eq!(kind.states.granted, "采集接入完成");
    assert!(kind.required.contains(&"log_keep_days".to_owned()));
    let gateway = root.replace("/api/c/compapi/v2/itsm/", "/prod/v2/itsm");
    let definitions = read(&text(&gateway, "fields = { title = \"t\" }")).unwrap();
    assert_eq!(definitions.integrations[0].form, PathForm::Apigw);
    assert_eq!(
        definitions.kinds[0].fields.len(),
        1,
        "the title is replaced"
    );

    let service = |settings: &str, more: &str| {
        let kind = read(&text(&format!("{root}\n{settings}"), more))?
            .kinds
            .remove(0);
        assert_eq!(kind.discovery.is_none(), kind.service.is_some());
        Ok::<_, String>((kind.service, kind.is_enabled))
    };
    let id = "COLLECTOR_ITSM_SERVICE_ID = 18";
    assert_eq!(service(id, ""), Ok((Some(18), true)));
    let switch = format!("{id}\n[feature.collect_itsm]\nitsm_service_id = 19\nis_enabled = false");
    assert_eq!(service(&switch, ""), Ok((Some(19), false)));
    assert_eq!(service(&switch, "service = 20"), Ok((Some(20), false)));
    let renamed = "FEATURE_COLLECTOR_ITSM = \"f\"\nITSM_SERVICE_ID = \"id\"\n[feature.f]\nid = 21";
    assert_eq!(service(renamed, ""), Ok((Some(21), true)));
    for (settings, more, expected) in [
        (
            "[feature.collect_itsm]\nitsm_service = 19",
            "",
            "feature collect_itsm: \"itsm_service\" must be",
        ),
        ("ITSM_SERVICE = 1", "", "unknown field"),
        (
            "",
            "consequence = { service = 1, field = {} }",
            "unknown field `field`",
        ),
        (
            "",
            "consequence = { service = 1, fields = { a = \"${b\" } }",
            "`fields.a` is incomplete",
        ),
        ("", "senders = [\"\"]", "`senders` must contain app codes"),
        ("", "discovery = {}", "missing field `display_type`"),
        (
            "",
            "states = { applied = \"x\" }",
            "unknown field `applied`",
        ),
    ] {
        let reason = service(settings, more).unwrap_err();
        assert!(reason.contains(expected), "{settings} {more}: {reason}");
    }
    let unknown = text(root, "").replace("log_collection", "logs");
    let reason = read(&unknown).unwrap_err();
    assert!(
        reason.contains("`preset` must be one of log_collection, storage_expansion, not \"logs\""),
        "{reason}"
    );
}

#[test]
fn every_wrong_member_is_named() {
    for (from, to, expected) in [
        (
            "company_itsm\"\n        kind",
            "Company\"\n        kind",
            "`name` must have",
        ),
        (
            "\"bk_itsm\"",
            "\"bk_itsn\"",
            "`kind` must be one of bk_itsm, generic_json, atlas, bk_itsm_tickets, bk_monitor, django_helpdesk, jira, servicenow, servicenow_csm, zammad, not \"bk_itsn\"",
        ),
        (
            "https://itsm.example.com",
            "itsm.example.com",
            "`url` must be",
        ),
        ("\"bk_log\"", "\" \"", "`app` must not be empty"),
        ("\"admin\"", "\"\"", "`user` must not be empty"),
        (
            "days = 14",
            "days = 0",
            "`days` must be a number from 1 to 365",
        ),
        (
            "{ approval_result = \"true\" }",
            "{}",
            "`granted` must name",
        ),
        (
            "${ticket_title}",
            "${ticket_title",
            "`fields.title` is incomplete",
        ),
        ("service = 18", "services = 18", "unknown field `services`"),
        (
            "service = 18",
            "",
            "either `service` or `discovery` is required",
        ),
        (
            "url = ",
            "senders = [\"a\"]\n        url = ",
            "`senders` has no meaning for the kind bk_itsm",
        ),
    ] {
        assert!(VALID.contains(from), "{from}");
        let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
        assert!(reason.contains(expected), "{to}: {reason}");
    }
    let twice = format!("{VALID}\n{VALID}");
    let reason = read(&twice).unwrap_err();
    assert_eq!(reason, "integration company_itsm is defined twice");
}

//! Reads records of external systems and converts them to the content of tickets. The case mapping of an
//! integration contains the rules for the conversion (plans/external.md, "Cases in").

use std::collections::BTreeMap;

use events::case::UpdateMark;
use events::integration::{CaseMapping, FurtherRecord, UpdateSource, ValueSource};
use events::{Moment, ServiceId};
use jiff::Timestamp;
use serde_json::Value;

use crate::value::plain;

/// Maximum length of a record id, in bytes.
pub const RECORD_BYTES_MAX: usize = 128;

/// The statuses of a ticket that the desk can write to a record. A ticket has other statuses only before it is submitted.
pub const WRITTEN_STATUSES: [&str; 5] =
    ["FINISHED", "TERMINATED", "REVOKED", "SUSPENDED", "RUNNING"];

/// The reason why the desk cannot read a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// The part of the record that caused the error. The text is the JSON pointer of a member, or the key
    /// of a form field.
    pub field: String,
    pub reason: String,
}

/// The version and the creation time of one record, as the external system reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    pub mark: Option<UpdateMark>,
    pub created: Option<Moment>,
}

/// Reads the status of a record. The text is empty if the mapping does not name the status, or if the record has none.
pub fn status(mapping: &CaseMapping, record: &Value) -> String {
    let found = mapping
        .status
        .as_ref()
        .and_then(|path| record.pointer(path));
    found.map(plain).unwrap_or_default()
}

/// The content of one record of an external system, converted to the values that a ticket needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub service: ServiceId,
    /// The user name of the person for whom the ticket is opened.
    pub requester: String,
    pub form: BTreeMap<String, Value>,
}

/// Checks a case mapping (rules that convert records to tickets). The error is an English text that names
/// the invalid member.
pub fn check(mapping: &CaseMapping) -> Result<(), String> {
    let pointer = |member: &str, path: &str| {
        if path.starts_with('/') && path.len() > 1 {
            Ok(())
        } else {
            Err(format!(
                "`{member}` must be a JSON pointer such as \"/id\", not {path:?}"
            ))
        }
    };
    let source = |member: &str, source: &ValueSource| {
        match (&source.path, &source.value) {
            (Some(path), None) => pointer(&format!("{member}.path"), path)?,
            (None, Some(_)) if source.values.is_empty() && source.default.is_none() => {}
            (None, Some(_)) => {
                return Err(format!(
                    "`{member}`: `values` and `default` need `path`, because `value` is fixed"
                ));
            }
            _ => return Err(format!("`{member}` needs either `path` or `value`")),
        }
        Ok(())
    };
    pointer("record", &mapping.record)?;
    let opens_tickets = opens_tickets(mapping);
    if opens_tickets {
        source("service", &mapping.service)?;
        source("requester", &mapping.requester)?;
    }
    if let Some(path) = &mapping.created {
        pointer("created", path)?;
    }
    match &mapping.update {
        Some(UpdateSource::Counter(path)) => pointer("update.counter", path)?,
        Some(UpdateSource::Time(path)) => pointer("update.time", path)?,
        None => {}
    }
    if let Some(path) = &mapping.status {
        pointer("status", path)?;
    }
    if !mapping.write_back.is_empty() && mapping.status.is_none() {
        return Err(
            "`status` is required with `write_back`: before a write, the desk compares the status of the record"
                .into(),
        );
    }
    for (member, statuses) in [
        ("write_back", mapping.write_back.keys().collect::<Vec<_>>()),
        ("write_also", mapping.write_also.keys().collect()),
    ] {
        let is_unknown = |status: &&&String| !WRITTEN_STATUSES.contains(&status.as_str());
        if let Some(status) = statuses.iter().find(is_unknown) {
            return Err(format!(
                "`{member}.{status}` is not a status of a ticket; the statuses are {}",
                WRITTEN_STATUSES.join(", ")
            ));
        }
    }
    for (status, target) in &mapping.write_back {
        if !(target.is_string() || target.is_i64()) {
            return Err(format!(
                "`write_back.{status}` must be a text or an integer, not {target}"
            ));
        }
    }
    if let Some(status) = mapping
        .write_also
        .keys()
        .find(|status| !mapping.write_back.contains_key(*status))
    {
        return Err(format!("`write_also.{status}` needs `write_back.{status}`"));
    }
    if !mapping.ends.is_empty() && mapping.status.is_none() {
        return Err("`status` is required with `ends`".into());
    }
    if mapping.reasons && mapping.write_back.is_empty() && mapping.assignee.is_none() {
        return Err(
            "`reasons` needs `write_back` or `assignee`: a reason is written with its status or assignee"
                .into(),
        );
    }
    if mapping.last_fact && !opens_tickets && !mapping.notes {
        return Err(
            "`last_fact` needs `notes`, or `service`, `requester` and `fields`: without them, there is nothing to compare"
                .into(),
        );
    }
    if let Some(assignee) = &mapping.assignee {
        pointer("assignee.path", &assignee.path)?;
        if assignee.people.is_empty() {
            return Err("`assignee.people` must name at least one person".into());
        }
        for (person, account) in &assignee.people {
            if !(account.is_i64() || account.as_str().is_some_and(|text| !text.is_empty())) {
                return Err(format!(
                    "`assignee.people.{person}` must be a text or an integer, not {account}"
                ));
            }
        }
    }
    if let Some(crm) = &mapping.crm {
        pointer("crm.record", &crm.record)?;
        if crm.integration.is_empty() {
            return Err("`crm.integration` must be the name of an integration".into());
        }
    }
    if opens_tickets && mapping.fields.is_empty() {
        return Err("`fields` must have at least one field of the form".into());
    }
    for (key, field) in &mapping.fields {
        source(&format!("fields.{key}"), field)?;
    }
    Ok(())
}

/// Returns whether the desk can open tickets with a mapping. A mapping without `service`, `requester` and `fields` is only
/// for writes to records that belong to the cases of another integration.
pub fn opens_tickets(mapping: &CaseMapping) -> bool {
    let none = ValueSource::default();
    mapping.service != none || mapping.requester != none || !mapping.fields.is_empty()
}

/// Returns whether the desk writes to the records of an integration with this mapping.
pub fn writes(mapping: &CaseMapping) -> bool {
    !mapping.write_back.is_empty() || mapping.notes || mapping.assignee.is_some()
}

/// Returns the records of other integrations to which a case can also be bound, each with the name of its member in the
/// mapping.
pub fn further_records(
    mapping: &CaseMapping,
) -> impl Iterator<Item = (&'static str, &FurtherRecord)> {
    mapping.crm.iter().map(|record| ("crm", record))
}

/// Reads the account of the assignee of a record. The text is empty if the mapping does not name the assignee, or if the
/// record has none.
pub fn assignee(mapping: &CaseMapping, record: &Value) -> String {
    let path = mapping.assignee.as_ref().map(|assignee| &assignee.path);
    let found = path.and_then(|path| record.pointer(path));
    found
        .filter(|found| !is_empty(found))
        .map(plain)
        .unwrap_or_default()
}

/// Reads the id of a further record from a record. Returns `None` if the record does not contain the id.
pub fn further_id(further: &FurtherRecord, record: &Value) -> Result<Option<String>, Unreadable> {
    match record.pointer(&further.record) {
        None => Ok(None),
        Some(found) if is_empty(found) => Ok(None),
        Some(_) => id_at(&further.record, record).map(Some),
    }
}

/// Reads the id of a record of an external system. The parameter `mapping` contains the path of the id inside
/// the record.
pub fn record_id(mapping: &CaseMapping, record: &Value) -> Result<String, Unreadable> {
    id_at(&mapping.record, record)
}

fn id_at(path: &str, record: &Value) -> Result<String, Unreadable> {
    let id = match record.pointer(path) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        None | Some(Value::Null) => return unreadable(path, "is required"),
        Some(_) => return unreadable(path, "must be a text or an integer"),
    };
    if id.is_empty() || id.len() > RECORD_BYTES_MAX || id.chars().any(char::is_control) {
        let reason = format!("must have 1 to {RECORD_BYTES_MAX} bytes and no control characters");
        return unreadable(path, &reason);
    }
    Ok(id)
}

/// Reads the version and the creation time of a record.
pub fn clocks(mapping: &CaseMapping, record: &Value) -> Result<Clocks, Unreadable> {
    Ok(Clocks {
        mark: mark(mapping, record)?,
        created: created(mapping, record)?,
    })
}

/// Reads the version of a record. Returns `None` if the mapping names no version.
pub fn mark(mapping: &CaseMapping, record: &Value) -> Result<Option<UpdateMark>, Unreadable> {
    Ok(match &mapping.update {
        None => None,
        Some(UpdateSource::Counter(path)) => {
            let counter = record.pointer(path).and_then(|value| match value {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_i64(),
            });
            match counter {
                Some(counter) => Some(UpdateMark::Counter(counter)),
                None => return unreadable(path, "must be an integer"),
            }
        }
        Some(UpdateSource::Time(path)) => match instant(record, path)? {
            Some(time) => Some(UpdateMark::Time(time)),
            None => return unreadable(path, "is required"),
        },
    })
}

/// Reads the creation time of a record. Returns `None` if the mapping does not name it, or if the record has none.
pub fn created(mapping: &CaseMapping, record: &Value) -> Result<Option<Moment>, Unreadable> {
    match &mapping.created {
        Some(path) => instant(record, path),
        None => Ok(None),
    }
}

/// Reads the service, the requester and the form values from a record.
pub fn content(mapping: &CaseMapping, record: &Value) -> Result<Content, Unreadable> {
    let service = value(&mapping.service, "service", record)?;
    let service = match &service {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    };
    let Some(service) = service else {
        let field = mapping.service.path.as_deref().unwrap_or("service");
        return unreadable(field, "must be the id of a service");
    };
    let requester = match value(&mapping.requester, "requester", record)? {
        Value::String(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => {
            let field = mapping.requester.path.as_deref().unwrap_or("requester");
            return unreadable(field, "must be a user name");
        }
    };
    let mut form = BTreeMap::new();
    for (key, source) in &mapping.fields {
        form.insert(key.clone(), value(source, key, record)?);
    }
    Ok(Content {
        service: ServiceId(service),
        requester,
        form,
    })
}

/// Returns the value that the rule `source` gives for a record. The rule contains a fixed value or the path of
/// a member inside the record. If this member is absent and the rule has no default, the function returns
/// null. Error texts use the parameter `key` as the name of the value.
fn value(source: &ValueSource, key: &str, record: &Value) -> Result<Value, Unreadable> {
    let Some(path) = &source.path else {
        return Ok(source.value.clone().unwrap_or_default());
    };
    let found = record.pointer(path).filter(|found| !is_empty(found));
    let Some(found) = found else {
        return Ok(source.default.clone().unwrap_or_default());
    };
    if source.values.is_empty() {
        return match found {
            Value::Object(_) => unreadable(path, &format!("is an object, but {key} needs a value")),
            found => Ok(found.clone()),
        };
    }
    let text = plain(found);
    match source.values.get(text.trim()).or(source.default.as_ref()) {
        Some(mapped) => Ok(mapped.clone()),
        None => unreadable(
            path,
            &format!("has the value {text:?}, which is not mapped"),
        ),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// Reads a time from the member of a record at the JSON pointer `path`. The member contains a text (RFC 3339
/// with an offset) or an integer (milliseconds since 1970). Returns `None` if the member is absent.
fn instant(record: &Value, path: &str) -> Result<Option<Moment>, Unreadable> {
    let found = record.pointer(path).filter(|found| !is_empty(found));
    let Some(found) = found else {
        return Ok(None);
    };
    let read = match found {
        Value::String(text) => text
            .trim()
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_millisecond),
        other => other.as_i64(),
    };
    match read {
        Some(ms) => Ok(Some(Moment(ms))),
        None => unreadable(
            path,
            "must be a time with its offset (RFC 3339) or milliseconds since 1970",
        ),
    }
}

fn unreadable<T>(field: &str, rule: &str) -> Result<T, Unreadable> {
    Err(Unreadable {
        field: field.to_owned(),
        reason: format!("`{field}` {rule}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping() -> CaseMapping {
        serde_json::from_value(json!({
            "record": "/id",
            "service": { "path": "/type", "values": { "patrol": 7, "delivery": 8 } },
            "requester": { "path": "/caller/name", "default": "admin" },
            "created": "/created_at",
            "update": { "counter": "/revision" },
            "fields": {
                "title": { "path": "/title" },
                "impact": { "path": "/severity", "values": { "1": "3" }, "default": "1" },
                "origin": { "value": "crm" },
                "note": { "path": "/note" }
            }
        }))
        .unwrap()
    }

    fn record() -> Value {
        json!({ "id": 17, "type": "patrol", "created_at": "2026-11-22T10:00:00+08:00",
                "revision": "4", "title": "Patrol hall 3", "severity": 1, "caller": { "name": "lisi" } })
    }

    #[test]
    fn a_record_is_read_by_its_mapping() {
        assert_eq!(check(&mapping()), Ok(()));
        assert_eq!(record_id(&mapping(), &record()).unwrap(), "17");
        let clocks = clocks(&mapping(), &record()).unwrap();
        assert_eq!(clocks.mark, Some(UpdateMark::Counter(4)));
        assert_eq!(clocks.created, Some(Moment(1_795_312_800_000)));
        let content = content(&mapping(), &record()).unwrap();
        assert_eq!(content.service, ServiceId(7));
        assert_eq!(content.requester, "lisi");
        assert_eq!(content.form["title"], "Patrol hall 3");
        assert_eq!(content.form["impact"], "3");
        assert_eq!(content.form["origin"], "crm");
        assert_eq!(content.form["note"], Value::Null);
    }

    #[test]
    fn a_write_back_needs_the_place_of_the_status() {
        let with = |members: Value| {
            let mut all = serde_json::to_value(mapping()).unwrap();
            for (member, value) in members.as_object().unwrap() {
                all[member] = value.clone();
            }
            serde_json::from_value::<CaseMapping>(all).unwrap()
        };
        let right = with(
            json!({ "status": "/state/id", "write_back": { "FINISHED": 3, "REVOKED": "canceled" } }),
        );
        assert_eq!(check(&right), Ok(()));
        assert_eq!(status(&right, &json!({ "state": { "id": 4 } })), "4");
        assert_eq!(status(&right, &json!({ "state": "x" })), "");
        assert_eq!(status(&mapping(), &json!({ "state": { "id": 4 } })), "");
        let reason = check(&with(json!({ "write_back": { "FINISHED": 3 } }))).unwrap_err();
        assert!(reason.starts_with("`status` is required"), "{reason}");
        let object = with(json!({ "status": "/s", "write_back": { "FINISHED": {} } }));
        let reason = check(&object).unwrap_err();
        assert!(
            reason.starts_with("`write_back.FINISHED` must be"),
            "{reason}"
        );
        for member in ["write_back", "write_also"] {
            let mut members = json!({ "status": "/s", "write_back": { "RUNNING": 3 } });
            members[member]["FINISHD"] = json!({});
            if member == "write_back" {
                members[member]["FINISHD"] = json!("solved");
            }
            let reason = check(&with(members)).unwrap_err();
            let expected = format!(
                "`{member}.FINISHD` is not a status of a ticket; the statuses are FINISHED,"
            );
            assert!(reason.starts_with(&expected), "{reason}");
        }
        let all = WRITTEN_STATUSES.map(|status| (status.to_owned(), json!("x")));
        let all: serde_json::Map<String, Value> = all.into_iter().collect();
        assert_eq!(
            check(&with(json!({ "status": "/s", "write_back": all }))),
            Ok(())
        );
        let reason = check(&with(json!({ "reasons": true }))).unwrap_err();
        assert!(reason.starts_with("`reasons` needs"), "{reason}");
        assert_eq!(check(&with(json!({ "last_fact": true }))), Ok(()));
        let mut only = with(json!({ "last_fact": true, "fields": {} }));
        (only.service, only.requester) = (ValueSource::default(), ValueSource::default());
        let reason = check(&only).unwrap_err();
        assert!(reason.starts_with("`last_fact` needs `notes`"), "{reason}");
    }

    #[test]
    fn the_member_that_makes_a_record_unreadable_is_named() {
        for (member, value, field, reason) in [
            ("id", json!(null), "/id", "`/id` is required"),
            (
                "id",
                json!([1]),
                "/id",
                "`/id` must be a text or an integer",
            ),
            (
                "id",
                json!(1.5),
                "/id",
                "`/id` must be a text or an integer",
            ),
            (
                "id",
                json!("x".repeat(129)),
                "/id",
                "`/id` must have 1 to 128 bytes",
            ),
            ("id", json!("a\nb"), "/id", "`/id` must have 1 to 128 bytes"),
            (
                "revision",
                json!("new"),
                "/revision",
                "`/revision` must be an integer",
            ),
            (
                "revision",
                json!(null),
                "/revision",
                "`/revision` must be an integer",
            ),
            (
                "created_at",
                json!("2026-11-22 10:00"),
                "/created_at",
                "`/created_at` must be a time",
            ),
            (
                "type",
                json!("guard"),
                "/type",
                "\"guard\", which is not mapped",
            ),
            (
                "type",
                json!(null),
                "/type",
                "`/type` must be the id of a service",
            ),
            (
                "title",
                json!({ "zh": "x" }),
                "/title",
                "`/title` is an object",
            ),
            (
                "caller",
                json!({ "name": 5 }),
                "/caller/name",
                "must be a user name",
            ),
        ] {
            let mut wrong = record();
            wrong[member] = value;
            let read = record_id(&mapping(), &wrong)
                .and_then(|_| clocks(&mapping(), &wrong))
                .and_then(|_| content(&mapping(), &wrong));
            let unreadable = read.expect_err(member);
            assert_eq!(unreadable.field, field);
            assert!(unreadable.reason.contains(reason), "{unreadable}");
        }
    }

    #[test]
    fn the_wrong_member_of_a_mapping_is_named() {
        for (member, value, reason) in [
            ("record", json!("id"), "`record` must be a JSON pointer"),
            ("created", json!("/"), "`created` must be a JSON pointer"),
            (
                "update",
                json!({ "time": "at" }),
                "`update.time` must be a JSON pointer",
            ),
            (
                "service",
                json!({}),
                "`service` needs either `path` or `value`",
            ),
            (
                "service",
                json!({ "path": "/a", "value": 1 }),
                "`service` needs either `path` or `value`",
            ),
            (
                "requester",
                json!({ "value": "admin", "default": "x" }),
                "`values` and `default` need `path`",
            ),
            ("fields", json!({}), "`fields` must have at least one field"),
            (
                "fields",
                json!({ "title": { "path": "title" } }),
                "`fields.title.path` must be",
            ),
        ] {
            let mut wrong = serde_json::to_value(mapping()).unwrap();
            wrong[member] = value;
            let reason_found = check(&serde_json::from_value(wrong).unwrap()).expect_err(member);
            assert!(reason_found.contains(reason), "{reason_found}");
        }
    }

    #[test]
    fn an_assignee_and_a_further_record_are_read_at_their_places() {
        let with = |members: Value| {
            let mut all = serde_json::to_value(mapping()).unwrap();
            for (member, value) in members.as_object().unwrap() {
                all[member] = value.clone();
            }
            serde_json::from_value::<CaseMapping>(all).unwrap()
        };
        let right = with(json!({
            "notes": true,
            "assignee": { "path": "/owner/id", "people": { "zhangsan": 3, "lisi": "li.si" } },
            "crm": { "integration": "crm", "record": "/u_crm_case" }
        }));
        assert_eq!(check(&right), Ok(()));
        assert!(writes(&right) && !writes(&mapping()));
        let record = json!({ "owner": { "id": 3 }, "u_crm_case": "A-7" });
        assert_eq!(assignee(&right, &record), "3");
        assert_eq!(assignee(&right, &json!({ "owner": null })), "");
        let further = right.crm.as_ref().unwrap();
        assert_eq!(further_id(further, &record), Ok(Some("A-7".into())));
        for absent in [json!({}), json!({ "u_crm_case": "" })] {
            assert_eq!(further_id(further, &absent), Ok(None));
        }
        let wrong = further_id(further, &json!({ "u_crm_case": [1] })).unwrap_err();
        assert_eq!(wrong.field, "/u_crm_case");
        for (members, reason) in [
            (
                json!({ "assignee": { "path": "owner", "people": { "lisi": 1 } } }),
                "`assignee.path` must be a JSON pointer",
            ),
            (
                json!({ "assignee": { "path": "/owner", "people": {} } }),
                "`assignee.people` must name",
            ),
            (
                json!({ "assignee": { "path": "/owner", "people": { "lisi": true } } }),
                "`assignee.people.lisi` must be a text or an integer",
            ),
            (
                json!({ "crm": { "integration": "crm", "record": "x" } }),
                "`crm.record` must be a JSON pointer",
            ),
            (
                json!({ "crm": { "integration": "", "record": "/x" } }),
                "`crm.integration` must be",
            ),
        ] {
            let found = check(&with(members)).unwrap_err();
            assert!(found.starts_with(reason), "{found}");
        }
    }

    #[test]
    fn a_mapping_that_opens_no_tickets_needs_no_form() {
        let only_writes: CaseMapping = serde_json::from_value(json!({
            "record": "/id", "status": "/state", "write_back": { "FINISHED": "closed" }
        }))
        .unwrap();
        assert_eq!(check(&only_writes), Ok(()));
        assert!(!opens_tickets(&only_writes) && opens_tickets(&mapping()));
        let read = content(&only_writes, &json!({ "id": 1 })).unwrap_err();
        assert_eq!(read.field, "service");
    }

    #[test]
    fn marks_of_different_kinds_have_no_order() {
        let (counter, time) = (UpdateMark::Counter(1), UpdateMark::Time(Moment(9)));
        assert!(counter.is_before(UpdateMark::Counter(2)));
        assert!(!counter.is_before(counter));
        assert!(UpdateMark::Time(Moment(8)).is_before(time));
        assert!(!counter.is_before(time) && !time.is_before(counter));
    }
}

//! Reads the lists and the members of an export. A list is an array of entries, one response of the API, or an array of
//! all pages of a response.

use serde_json::Value;

/// Maximum number of entries of one list of an export.
const ENTRIES_MAX: usize = 5_000;

/// Returns a list of the export. The list is an array of entries, a response with the member `results` (Grafana OnCall)
/// or `data` (Opsgenie), or an array of such responses. A missing list is empty.
pub(super) fn list<'a>(export: &'a Value, key: &str) -> Result<Vec<&'a Value>, String> {
    let value = match export.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value,
    };
    let entries: Vec<&Value> = match (pages(value), value.as_array()) {
        (Some(pages), _) => pages.into_iter().filter_map(entries).flatten().collect(),
        (None, Some(entries)) => entries.iter().collect(),
        (None, None) => {
            return Err(format!(
                "`{key}` must be a list, or a response with `results` or `data`"
            ));
        }
    };
    if entries.len() > ENTRIES_MAX {
        return Err(format!("`{key}` has more than {ENTRIES_MAX} entries"));
    }
    Ok(entries)
}

/// Like [`list`], for entries that are inside other objects. A response for one entry has the member `data`, and a file
/// of the Opsgenie backup has the member `inner`.
pub(super) fn inner_list<'a>(
    export: &'a Value,
    key: &str,
    inner: &str,
) -> Result<Vec<&'a Value>, String> {
    let entries = list(export, key)?.into_iter();
    Ok(entries.map(|entry| inside(entry, inner)).collect())
}

/// Returns the object inside an entry, or the entry itself.
pub(super) fn inside<'a>(entry: &'a Value, inner: &str) -> &'a Value {
    let found = ["data", inner].into_iter().find_map(|key| entry.get(key));
    found.filter(|value| value.is_object()).unwrap_or(entry)
}

/// Returns an English text if pages of a list are missing in the export.
pub(super) fn missing_pages(export: &Value, key: &str) -> Option<String> {
    let pages = pages(export.get(key)?)?;
    let found: usize = pages
        .iter()
        .filter_map(|page| entries(page))
        .map(Vec::len)
        .sum();
    let totals = pages.iter().filter_map(|page| {
        let total = page.get("count").or_else(|| page.get("totalCount"));
        total.and_then(Value::as_u64)
    });
    match totals.max() {
        Some(total) if u64::try_from(found).is_ok_and(|found| found < total) => Some(format!(
            "the file has {found} of {total} entries; add the other pages"
        )),
        Some(_) => None,
        None => {
            let followed = pages.iter().filter(|page| has_next(page)).count();
            (followed >= pages.len())
                .then(|| "the last page names a next page, which the file does not have".to_owned())
        }
    }
}

/// Returns the pages of a list, or `None` if the value is not a response of the API.
fn pages(value: &Value) -> Option<Vec<&Value>> {
    if entries(value).is_some() {
        return Some(vec![value]);
    }
    let all = value.as_array().filter(|all| !all.is_empty())?;
    let is_paged = all.iter().all(|page| entries(page).is_some());
    is_paged.then(|| all.iter().collect())
}

fn entries(page: &Value) -> Option<&Vec<Value>> {
    let entries = page.get("results").or_else(|| page.get("data"))?;
    entries.as_array()
}

/// Returns true if a page names the page after it. Opsgenie has the member `next` in `paging`.
fn has_next(page: &Value) -> bool {
    let paging = page.get("paging").unwrap_or(page);
    !text(paging, "next").is_empty()
}

/// Returns the text of a member. The text is empty if the member is missing or is no text.
pub(super) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the number of a member as `u32`. A missing member counts as `default`.
pub(super) fn number(object: &Value, key: &str, default: u32) -> Result<u32, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| format!("`{key}` is not a number that the desk supports")),
    }
}

/// Returns true if the member has the value true.
pub(super) fn is_true(object: &Value, key: &str) -> bool {
    object.get(key) == Some(&Value::Bool(true))
}

/// Returns true if the member has the value false. A missing member is not false.
pub(super) fn is_false(object: &Value, key: &str) -> bool {
    object.get(key) == Some(&Value::Bool(false))
}

/// Returns the texts of a list.
pub(super) fn texts(object: &Value, key: &str) -> Vec<String> {
    let entries = object.get(key).and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    entries
        .filter_map(|entry| entry.as_str().map(str::to_owned))
        .collect()
}

/// Returns true if the member is a list with entries.
pub(super) fn has_entries(object: &Value, key: &str) -> bool {
    let entries = object.get(key).and_then(Value::as_array);
    entries.is_some_and(|entries| !entries.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_of_a_list_are_joined() {
        let first =
            json!({ "count": 3, "next": "https://oncall.example/?page=2", "results": [1, 2] });
        let last = json!({ "count": 3, "next": null, "results": [3] });
        let joined = json!({ "users": [first, last] });
        assert_eq!(list(&joined, "users").unwrap().len(), 3);
        assert_eq!(missing_pages(&joined, "users"), None);
        let first_only = json!({ "users": first });
        let reason = missing_pages(&first_only, "users").unwrap();
        assert!(reason.contains("2 of 3 entries"), "{reason}");
    }

    #[test]
    fn a_next_page_of_opsgenie_is_noticed_without_a_total() {
        let page =
            json!({ "data": [1], "paging": { "next": "https://opsgenie.example/?offset=100" } });
        let last =
            json!({ "data": [2], "paging": { "first": "https://opsgenie.example/?offset=0" } });
        let export = json!({ "users": page, "both": [page, last], "empty": [], "null": null });
        assert!(missing_pages(&export, "users").is_some());
        for complete in ["both", "empty", "null", "absent"] {
            assert_eq!(missing_pages(&export, complete), None, "{complete}");
        }
    }

    #[test]
    fn an_entry_can_be_inside_a_response_or_a_backup_file() {
        let export = json!({ "users": [{ "data": { "id": "a" } }, { "user": { "id": "b" } }, { "id": "c" }] });
        let users = inner_list(&export, "users", "user").unwrap();
        let ids: Vec<&str> = users.iter().map(|user| text(user, "id")).collect();
        assert_eq!(ids, ["a", "b", "c"]);
    }
}

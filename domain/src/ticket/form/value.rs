//! Checks one value in a form: the type of the value, the columns of a table, and the pattern of a text.

use events::workflow::{Field, FieldKind};
use regex::RegexBuilder;
use serde_json::Value;

use super::{field_at, is_blank, is_empty};
use crate::condition;
use crate::ticket::{Decision, Invalid, Rejection, TITLE_MAX, reject};
use crate::value::{people, plain};

/// Checks that a value has the type and the pattern that the field requires.
pub(super) fn check(field: &Field, value: &Value) -> Decision<()> {
    let is_text = value.is_string();
    let text = plain(value);
    if field.key == "title" && text.chars().count() > TITLE_MAX {
        return reject(Rejection::TitleTooLong);
    }
    match field.kind {
        FieldKind::Table | FieldKind::CustomTable
            if !value
                .as_array()
                .is_some_and(|rows| rows.iter().all(Value::is_object)) =>
        {
            return invalid(field, Invalid::NotRows);
        }
        FieldKind::CustomTable => return check_columns(field, value),
        FieldKind::Table | FieldKind::CustomForm => return Ok(()),
        FieldKind::MultiSelect | FieldKind::Checkbox | FieldKind::Member | FieldKind::Members
            if value.is_array() =>
        {
            return reject_comma(field, value);
        }
        _ if !is_text => return invalid(field, Invalid::NotAText),
        FieldKind::Int
            if text
                .trim()
                .parse::<f64>()
                .map_or(true, |number| !number.is_finite()) =>
        {
            return invalid(field, Invalid::NotANumber);
        }
        FieldKind::Date if !is_date(&text) => return invalid(field, Invalid::NotADate),
        FieldKind::DateTime if !is_time(&text) => {
            return invalid(field, Invalid::NotATime);
        }
        FieldKind::Boolean
            if !matches!(text.to_lowercase().as_str(), "true" | "false" | "1" | "0") =>
        {
            return invalid(field, Invalid::NotAFlag);
        }
        FieldKind::Link if !is_link(&text) => {
            return invalid(field, Invalid::NotALink);
        }
        FieldKind::Member if people(value).len() > 1 => {
            return invalid(field, Invalid::SeveralPeople);
        }
        _ => {}
    }
    check_pattern(field, &text)
}

/// Rejects the value of a field for the given reason.
pub(super) fn invalid(field: &Field, reason: Invalid) -> Decision<()> {
    reject(Rejection::FieldInvalid {
        at: field_at(field),
        reason,
    })
}

/// Rejects a list if one of its items contains a comma. The error message names this item.
fn reject_comma(field: &Field, value: &Value) -> Decision<()> {
    let item = value
        .as_array()
        .into_iter()
        .flatten()
        .map(plain)
        .find(|item| item.contains(','))
        .unwrap_or_default();
    invalid(field, Invalid::Comma(item))
}

/// Checks the rows of a custom table. The member `meta.columns` of the field defines the columns
/// (reference/bk-itsm.md 4.1).
fn check_columns(field: &Field, value: &Value) -> Decision<()> {
    let columns = field
        .meta
        .get("columns")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for (at, row) in value.as_array().into_iter().flatten().enumerate() {
        for column in &columns {
            let key = column["key"].as_str().unwrap_or_default();
            let name = column["name"].as_str().unwrap_or(key);
            let cell = row.get(key).cloned().unwrap_or_default();
            // The first row has the number 1.
            let number = at + 1;
            if column["required"] == true && (is_empty(&cell) || is_blank(FieldKind::Text, &cell)) {
                let (row, column) = (number, name.to_owned());
                return invalid(field, Invalid::CellEmpty { row, column });
            }
            if is_empty(&cell) {
                continue;
            }
            let options: Vec<String> = column["choice"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|choice| plain(&choice["key"]))
                .collect();
            let chosen = plain(&cell);
            let fits = match column["display"].as_str().unwrap_or_default() {
                "select" => options.is_empty() || options.contains(&chosen),
                "multiselect" => {
                    let keys: Vec<String> = cell.as_array().map_or_else(
                        || chosen.split(',').map(|key| key.trim().to_owned()).collect(),
                        |keys| keys.iter().map(plain).collect(),
                    );
                    // Several selected options can be stored as one text with commas between the keys. A key
                    // that contains a comma would then look like two keys.
                    options.is_empty()
                        || keys
                            .iter()
                            .all(|key| options.contains(key) && !key.contains(','))
                }
                "date" => is_date(&chosen),
                "datetime" => is_time(&chosen),
                _ => true,
            };
            if !fits {
                let (row, column) = (number, name.to_owned());
                return invalid(field, Invalid::CellInvalid { row, column });
            }
        }
    }
    Ok(())
}

/// Returns true if the text has exactly the form `YYYY-MM-DD`. Stored dates must have this form, because
/// other parts of the program cannot read another form.
fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>()
        .is_ok_and(|date| date.to_string() == text)
}

/// Returns true if a text has exactly the form `YYYY-MM-DD hh:mm:ss`.
fn is_time(text: &str) -> bool {
    const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
    jiff::civil::DateTime::strptime(FORMAT, text)
        .is_ok_and(|time| time.strftime(FORMAT).to_string() == text)
}

/// Returns true if a browser can open the link without running a script. A text without a scheme (such as
/// `https:`) must be a host name with an optional port.
pub fn is_link(text: &str) -> bool {
    let text = text.trim();
    // Browsers ignore these characters at every position in a link. A user could use these characters to
    // hide a dangerous scheme such as `javascript:`.
    if text.contains(['\t', '\n', '\r']) {
        return false;
    }
    match text.split_once(':') {
        Some((scheme, _))
            if ["http", "https", "ftp", "mailto"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            true
        }
        Some((host, rest)) if !host.contains(['/', '?', '#']) => {
            let port: &str = rest.split(['/', '?', '#']).next().unwrap_or_default();
            host.contains('.') && port.parse::<u16>().is_ok()
        }
        _ => true,
    }
}

/// Checks a text against the `regex` rule of the given field (reference/bk-itsm.md 4.2). This function checks
/// only rules that need no other data. Rules that need the current time or another field are checked in
/// another function.
fn check_pattern(field: &Field, text: &str) -> Decision<()> {
    let pattern = match field.regex.as_str() {
        "FLOAT" => r"^-?\d+(\.\d+)?$",
        "NON_NEGATIVE" => r"^\d+(\.\d+)?$",
        "NON_POSITIVE" => r"^(-\d+(\.\d+)?|0+(\.0+)?)$",
        "GTE_ZERO" => r"^(0*[1-9]\d*(\.\d+)?|0+\.0*[1-9]\d*)$",
        "LTE_ZERO" => r"^-(0*[1-9]\d*(\.\d+)?|0+\.0*[1-9]\d*)$",
        "LOWER_EN" => r"^[a-z]+$",
        "UPPER_EN" => r"^[A-Z]+$",
        "EN" => r"^[A-Za-z]+$",
        "EN_NUM" => r"^[A-Za-z0-9]+$",
        "CH" => r"^\p{Han}+$",
        "EN_CH" => r"^[A-Za-z\p{Han}]+$",
        "EN_CH_NUM" => r"^[A-Za-z0-9\p{Han}]+$",
        "START_EN" => r"^[A-Za-z]",
        "EMAIL" => r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        "PHONE_NUM" => r"^1\d{10}$",
        "ID_CARD" => r"^(\d{15}|\d{17}[\dXx])$",
        "QQ" => r"^[1-9]\d{4,11}$",
        "IP" => r"^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$",
        "NUM" => r"^-?\d+(\.\d+)?$",
        "NUMWITHOUTZERO" => r"^[1-9]\d*$",
        "CUSTOM" if !field.custom_regex.is_empty() => return check_custom(field, text),
        _ => return Ok(()),
    };
    let matches = |part: &str| {
        RegexBuilder::new(pattern)
            .build()
            .is_ok_and(|regex| regex.is_match(part))
    };
    let fits = match field.kind {
        FieldKind::Text => text
            .split(['\n', ';', ','])
            .filter(|part| !part.is_empty())
            .all(matches),
        _ => matches(text),
    };
    if fits {
        Ok(())
    } else {
        invalid(field, Invalid::Rule(field.regex.clone()))
    }
}

/// Checks a text against the regular expression of the given field. If this expression is invalid or too
/// large, every text is rejected.
fn check_custom(field: &Field, text: &str) -> Decision<()> {
    match condition::pattern(&field.custom_regex) {
        Some(regex) if regex.is_match(text) => Ok(()),
        Some(_) => invalid(field, Invalid::CustomRule),
        None => invalid(field, Invalid::CustomRuleInvalid),
    }
}

//! Converts stored events of old versions to the current version. Each step converts the events of one type
//! from one version to the next version. If an event is several versions old, the program executes several
//! steps in succession.
//!
//! At present no event type has a second version, so the list of steps is empty. When the program starts, the
//! function `complete` checks that no step is missing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Raw, Unreadable};

/// One conversion step. The step converts the data of one event type from the version `from` to the version
/// `from + 1`. The member `kind` is the event type.
pub struct Step {
    pub kind: &'static str,
    pub from: u16,
    pub run: fn(Value) -> Value,
}

/// The conversion steps of all event types and versions.
pub const STEPS: &[Step] = &[];

/// Reads the data of an event with any known version. If the version is old, the data is converted to the
/// current version.
pub(crate) fn read<T: DeserializeOwned>(raw: &Raw<'_>, current: u16) -> Result<T, Unreadable> {
    if raw.version == current {
        return serde_json::from_str(raw.data.get())
            .map_err(|error| Unreadable::shape(raw, &error));
    }
    let value =
        serde_json::from_str(raw.data.get()).map_err(|error| Unreadable::shape(raw, &error))?;
    let value = apply_steps(STEPS, raw, current, value)?;
    serde_json::from_value(value).map_err(|error| Unreadable::shape(raw, &error))
}

fn apply_steps(
    steps: &[Step],
    raw: &Raw<'_>,
    current: u16,
    mut value: Value,
) -> Result<Value, Unreadable> {
    let unreadable = |reason: String| Unreadable {
        kind: raw.kind.to_string(),
        version: raw.version,
        reason,
    };
    if raw.version > current || raw.version == 0 {
        return Err(unreadable(format!(
            "this program reads versions 1 to {current}"
        )));
    }
    for version in raw.version..current {
        let step = steps
            .iter()
            .find(|step| step.kind == raw.kind && step.from == version)
            .ok_or_else(|| unreadable(format!("no step from version {version}")))?;
        value = (step.run)(value);
    }
    Ok(value)
}

/// Checks that there is one conversion step for each old version of each event type, and no further step. If
/// the check fails, the program does not start.
pub fn complete(types: &[(&'static str, u16)]) -> Result<(), String> {
    check_steps(types, STEPS)
}

fn check_steps(types: &[(&'static str, u16)], steps: &[Step]) -> Result<(), String> {
    for (kind, current) in types {
        for from in 1..*current {
            if !steps
                .iter()
                .any(|step| step.kind == *kind && step.from == from)
            {
                return Err(format!(
                    "event {kind} has version {current} but no step from version {from}"
                ));
            }
        }
    }
    for step in steps {
        if !types
            .iter()
            .any(|(kind, current)| *kind == step.kind && step.from < *current)
        {
            return Err(format!(
                "step for {} from version {} is unused",
                step.kind, step.from
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::json;

    use super::*;

    const TWO: &[Step] = &[
        Step {
            kind: "a.b",
            from: 1,
            run: |v| json!({ "two": v["one"] }),
        },
        Step {
            kind: "a.b",
            from: 2,
            run: |v| json!({ "three": v["two"] }),
        },
    ];

    fn raw(version: u16) -> Raw<'static> {
        Raw {
            kind: Cow::Borrowed("a.b"),
            version,
            occurred_at: None,
            data: Cow::Owned(serde_json::value::to_raw_value(&json!({ "one": 1 })).unwrap()),
        }
    }

    #[test]
    fn an_old_event_passes_every_step_in_order() {
        assert_eq!(
            apply_steps(TWO, &raw(1), 3, json!({ "one": 1 })),
            Ok(json!({ "three": 1 }))
        );
    }

    #[test]
    fn a_newer_version_is_rejected_with_type_and_version() {
        let error = apply_steps(TWO, &raw(4), 3, json!({})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read event a.b version 4: this program reads versions 1 to 3"
        );
    }

    #[test]
    fn a_missing_or_unused_step_is_an_error() {
        assert!(check_steps(&[("a.b", 3)], TWO).is_ok());
        assert_eq!(
            check_steps(&[("a.b", 4)], TWO).unwrap_err(),
            "event a.b has version 4 but no step from version 3"
        );
        assert_eq!(
            check_steps(&[("a.b", 2)], TWO).unwrap_err(),
            "step for a.b from version 2 is unused"
        );
    }
}

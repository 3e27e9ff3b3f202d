//! Reads the bands and the rules of the notification policy from a TOML file. An error names the rule and its member.

use std::collections::BTreeMap;

use events::notification::{Category, Fact};
use events::notification_policy::Rule;
use events::preference::{Band, Frequency};
use infra::channel;
use serde::Deserialize;

use super::templates::{fact_of, key_of};

/// Maximum number of rules in a policy.
const RULES_MAX: usize = 100;
/// Maximum number of priority keys with a band.
const BANDS_MAX: usize = 100;

/// One rule in the TOML file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    bands: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    floor: Option<String>,
    cap: Option<String>,
}

/// Checks the band of each priority key. Returns an English text that names the first wrong key.
pub(super) fn bands(bands: BTreeMap<String, String>) -> Result<BTreeMap<String, Band>, String> {
    if bands.len() > BANDS_MAX {
        return Err(format!(
            "policy: `bands` must have at most {BANDS_MAX} keys"
        ));
    }
    let read = |(key, name): (String, String)| {
        if key.trim().is_empty() {
            return Err("policy: `bands` must contain keys of priorities".to_owned());
        }
        match Band::read(&name) {
            Some(band) => Ok((key, band)),
            None => Err(format!(
                "policy: `bands.{key}` must be one of critical, high, medium, low, not {name:?}"
            )),
        }
    };
    bands.into_iter().map(read).collect()
}

/// Checks the facts whose messages are dropped instead of held. Only messages that inform can perish: a person must act
/// because of the other ones. Returns an English text that names the first wrong fact.
pub(super) fn perishable(names: &[String]) -> Result<Vec<Fact>, String> {
    let informs = |fact: &Fact| {
        matches!(
            fact.category(),
            Category::Updated | Category::Commented | Category::Resolved
        )
    };
    let read = |name: &String| {
        fact_of(name).filter(informs).ok_or_else(|| {
            let known = Fact::ALL.into_iter().filter(informs).map(key_of);
            let known: Vec<String> = known.collect();
            format!(
                "policy: `perishable` must contain only {}, not {name:?}",
                known.join(", ")
            )
        })
    };
    let mut facts = names
        .iter()
        .map(read)
        .collect::<Result<Vec<Fact>, String>>()?;
    facts.sort_unstable();
    facts.dedup();
    Ok(facts)
}

/// Checks the rules. Returns an English text that names the number of the first wrong rule, and its member.
pub(super) fn rules(entries: &[RuleEntry]) -> Result<Vec<Rule>, String> {
    if entries.len() > RULES_MAX {
        return Err(format!(
            "policy: `rules` must have at most {RULES_MAX} rules"
        ));
    }
    let numbered = (1_usize..).zip(entries);
    numbered
        .map(|(number, entry)| {
            rule(entry).map_err(|reason| format!("policy: rule {number}: {reason}"))
        })
        .collect()
}

fn rule(entry: &RuleEntry) -> Result<Rule, String> {
    let known: Vec<&str> = channel::ALL.iter().map(|one| one.name()).collect();
    if let Some(name) = entry
        .channels
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        return Err(format!(
            "`channels` must contain only {}, not {name:?}",
            known.join(", ")
        ));
    }
    let categories = all(&entry.categories, Category::read, || {
        format!(
            "`categories` must contain only {}",
            Category::NAMES.join(", ")
        )
    })?;
    let bands = all(&entry.bands, Band::read, || {
        "`bands` must contain only critical, high, medium, low".to_owned()
    })?;
    let floor = entry.floor.as_deref().map(|name| match name {
        "immediate" | "batch" => Ok(Frequency::read(name)),
        _ => Err(format!("`floor` must be immediate or batch, not {name:?}")),
    });
    let cap = entry.cap.as_deref().map(|name| match name {
        "batch" | "off" => Ok(Frequency::read(name)),
        _ => Err(format!("`cap` must be batch or off, not {name:?}")),
    });
    let (floor, cap) = (floor.transpose()?.flatten(), cap.transpose()?.flatten());
    match (floor, cap) {
        (None, None) => return Err("`floor` or `cap` is required".to_owned()),
        (Some(floor), Some(cap)) if floor > cap => {
            return Err(format!(
                "`floor` must not be above `cap`, but {} is above {}",
                floor.name(),
                cap.name()
            ));
        }
        _ => {}
    }
    Ok(Rule {
        categories,
        bands,
        channels: entry.channels.clone(),
        floor,
        cap,
    })
}

/// Reads all names of a list. Returns the text of `wrong` and the first unknown name if a name is unknown.
fn all<T>(
    names: &[String],
    read: fn(&str) -> Option<T>,
    wrong: impl Fn() -> String,
) -> Result<Vec<T>, String> {
    names
        .iter()
        .map(|name| read(name).ok_or_else(|| format!("{}, not {name:?}", wrong())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::notifications::definitions::Definitions;

    const VALID: &str = r#"
        [policy]
        accounts = []
        bands = { "1" = "low", "4" = "critical" }

        [[policy.rules]]
        bands = ["critical"]
        channels = ["email"]
        floor = "immediate"

        [[policy.rules]]
        categories = ["commented"]
        cap = "off"
    "#;

    #[test]
    fn a_policy_has_bands_and_rules() {
        let policy = Definitions::read(VALID).unwrap().policy.unwrap();
        assert_eq!(policy.bands["4"], Band::Critical);
        assert_eq!(policy.rules[0].floor, Some(Frequency::Immediate));
        assert_eq!(policy.rules[1].categories, [Category::Commented]);
    }

    #[test]
    fn only_facts_that_inform_are_perishable() {
        let read = |names: &str| {
            let text = format!("[policy]\naccounts = []\nperishable = {names}\n");
            Definitions::read(&text).map(|read| read.policy.unwrap().perishable)
        };
        let facts = read("[\"commented\", \"progressed\", \"commented\"]").unwrap();
        assert_eq!(facts, [Fact::Progressed, Fact::Commented]);
        for name in ["approval_needed", "unreached", "fax"] {
            let reason = read(&format!("[\"{name}\"]")).unwrap_err();
            assert!(reason.contains("policy: `perishable` must"), "{reason}");
            assert!(reason.contains(name), "{reason}");
        }
    }

    #[test]
    fn an_error_names_the_rule_and_the_member() {
        for (from, to, expected) in [
            ("\"low\"", "\"lowest\"", "policy: `bands.1` must be one of"),
            (
                "\"email\"",
                "\"fax\"",
                "policy: rule 1: `channels` must contain only",
            ),
            (
                "[\"critical\"]",
                "[\"huge\"]",
                "policy: rule 1: `bands` must contain only",
            ),
            (
                "\"commented\"",
                "\"said\"",
                "policy: rule 2: `categories` must contain only",
            ),
            (
                "\"immediate\"",
                "\"off\"",
                "policy: rule 1: `floor` must be immediate or batch",
            ),
            (
                "\"off\"",
                "\"immediate\"",
                "policy: rule 2: `cap` must be batch or off",
            ),
            (
                "cap = \"off\"",
                "",
                "policy: rule 2: `floor` or `cap` is required",
            ),
            (
                "floor = \"immediate\"",
                "floor = \"immediate\"\ncap = \"batch\"",
                "policy: rule 1: `floor` must not be above `cap`",
            ),
            ("cap = \"off\"", "cpa = \"off\"", "unknown field `cpa`"),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = Definitions::read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }
}

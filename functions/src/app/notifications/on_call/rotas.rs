//! Reads and checks the entries `[[rota]]` of a TOML file. Each entry defines one rota.

use domain::notification::quiet::time_of_day;
use domain::notification::rota::local_time;
use events::Moment;
use events::rota::{Day, Defined, Layer, Override, Shift, Window};
use serde::Deserialize;

use super::{all_people, person};
use crate::app::definition_files::check_name;
use crate::app::times;

/// Maximum number of layers of a rota.
pub(super) const LAYERS_MAX: usize = 30;
/// Maximum number of people of a layer.
const PEOPLE_MAX: usize = 60;
/// Maximum number of overrides of a rota. Ten years of weekly changes have about 500.
const OVERRIDES_MAX: usize = 500;
/// Maximum length of a shift, in its unit.
const LENGTH_MAX: u32 = 1_000;

/// One rota in the TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::app::notifications) struct RotaEntry {
    name: String,
    #[serde(default)]
    layer: Vec<LayerEntry>,
    #[serde(default, rename = "override")]
    overrides: Vec<OverrideEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerEntry {
    people: Vec<String>,
    start: String,
    until: Option<String>,
    shift: Shift,
    zone: String,
    window: Option<WindowEntry>,
    #[serde(default)]
    level: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowEntry {
    from: String,
    to: String,
    #[serde(default)]
    days: Vec<Day>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideEntry {
    person: String,
    from: String,
    to: String,
}

impl RotaEntry {
    /// Checks the entry. If it is invalid, returns an English text that names the rota, the layer and the wrong member.
    pub(super) fn check(self) -> Result<Defined, String> {
        check_name("rota", &self.name)?;
        let layers = (1..).zip(self.layer);
        let layers = layers
            .map(|(number, layer)| layer.check(&format!("rota {}, layer {number}", self.name)))
            .collect::<Result<Vec<_>, _>>()?;
        let overrides = (1..).zip(self.overrides);
        let overrides = overrides
            .map(|(number, one)| one.check(&format!("rota {}, override {number}", self.name)))
            .collect::<Result<Vec<_>, _>>()?;
        let rota = Defined {
            name: self.name,
            layers,
            overrides,
        };
        check_bounds(&rota)?;
        Ok(rota)
    }
}

/// Checks the bounds of a rota from a file or from an export.
pub(super) fn check_bounds(rota: &Defined) -> Result<(), String> {
    let name = &rota.name;
    if rota.layers.is_empty() || rota.layers.len() > LAYERS_MAX {
        return Err(format!(
            "rota {name}: `layer` must have 1 to {LAYERS_MAX} entries"
        ));
    }
    if rota.overrides.len() > OVERRIDES_MAX {
        return Err(format!(
            "rota {name}: `override` must have at most {OVERRIDES_MAX} entries"
        ));
    }
    for (number, layer) in (1..).zip(&rota.layers) {
        check_layer(&format!("rota {name}, layer {number}"), layer)?;
    }
    Ok(())
}

fn check_layer(place: &str, layer: &Layer) -> Result<(), String> {
    if layer.people.is_empty() || layer.people.len() > PEOPLE_MAX {
        return Err(format!(
            "{place}: `people` must have 1 to {PEOPLE_MAX} user names"
        ));
    }
    times::zone(&layer.zone).map_err(|reason| format!("{place}: `zone`: {reason}"))?;
    let local = |member: &str, text: &str| {
        local_time(text).ok_or_else(|| {
            format!(
                "{place}: `{member}` must be a local date and time such as 2026-11-23T09:00, not {text:?}"
            )
        })
    };
    let start = local("start", &layer.start)?;
    if let Some(until) = &layer.until
        && local("until", until)? <= start
    {
        return Err(format!("{place}: `until` must be later than `start`"));
    }
    let (Shift::Hours(length) | Shift::Days(length) | Shift::Weeks(length)) = layer.shift;
    if !(1..=LENGTH_MAX).contains(&length) {
        return Err(format!(
            "{place}: `shift` must be a number from 1 to {LENGTH_MAX}"
        ));
    }
    if let Some(window) = &layer.window {
        for (member, text) in [("from", &window.from), ("to", &window.to)] {
            if time_of_day(text).is_none() {
                return Err(format!(
                    "{place}: `window.{member}` must be a time of day such as 22:00, not {text:?}"
                ));
            }
        }
    }
    Ok(())
}

impl LayerEntry {
    fn check(self, place: &str) -> Result<Layer, String> {
        Ok(Layer {
            people: all_people(&format!("{place}, `people`"), &self.people)?,
            start: self.start,
            until: self.until,
            shift: self.shift,
            zone: self.zone,
            window: self.window.map(|window| Window {
                from: window.from,
                to: window.to,
                days: window.days,
            }),
            level: self.level,
        })
    }
}

impl OverrideEntry {
    fn check(self, place: &str) -> Result<Override, String> {
        let instant = |member: &str, text: &str| -> Result<Moment, String> {
            times::read(text).ok_or_else(|| {
                format!(
                    "{place}: `{member}` must be a time with its offset such as 2026-12-24T09:00:00+08:00, not {text:?}"
                )
            })
        };
        let (from, to) = (instant("from", &self.from)?, instant("to", &self.to)?);
        if to <= from {
            return Err(format!("{place}: `to` must be later than `from`"));
        }
        Ok(Override {
            person: person(&format!("{place}, `person`"), &self.person)?,
            from,
            to,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        name = "ops"

        [[layer]]
        people = ["zhangsan", "wangwu"]
        start = "2026-11-23T09:00"
        until = "2027-11-22T09:00"
        shift = { weeks = 1 }
        zone = "Asia/Shanghai"
        window = { from = "09:00", to = "21:00", days = ["mon", "fri"] }

        [[override]]
        person = "lisi"
        from = "2026-12-24T09:00:00+08:00"
        to = "2026-12-26T09:00:00+08:00"
    "#;

    fn read(text: &str) -> Result<Defined, String> {
        let entry: RotaEntry = toml::from_str(text).map_err(|error| error.to_string())?;
        entry.check()
    }

    #[test]
    fn an_entry_defines_layers_and_overrides() {
        let rota = read(VALID).unwrap();
        assert_eq!(rota.layers[0].shift, Shift::Weeks(1));
        assert_eq!(rota.layers[0].people[1].unregistered_name(), Some("wangwu"));
        let window = rota.layers[0].window.as_ref().unwrap();
        assert_eq!(window.days, [Day::Mon, Day::Fri]);
        let one = &rota.overrides[0];
        assert_eq!(one.to.0 - one.from.0, 2 * 24 * 3_600_000);
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            ("\"ops\"", "\"Ops\"", "`name` must have"),
            (
                "\"wangwu\"",
                "\"\"",
                "rota ops, layer 1, `people`: \"\" is not a user name",
            ),
            (
                "[\"zhangsan\", \"wangwu\"]",
                "[]",
                "layer 1: `people` must have 1 to",
            ),
            (
                "2026-11-23T09:00",
                "2026-11-23",
                "layer 1: `start` must be a local date",
            ),
            (
                "2027-11-22T09:00",
                "2026-11-22T09:00",
                "`until` must be later than `start`",
            ),
            (
                "weeks = 1",
                "weeks = 0",
                "layer 1: `shift` must be a number from 1 to",
            ),
            ("weeks = 1", "months = 1", "unknown variant `months`"),
            ("Asia/Shanghai", "Mars/Base", "layer 1: `zone`:"),
            (
                "\"21:00\"",
                "\"9\"",
                "layer 1: `window.to` must be a time of day",
            ),
            ("\"fri\"", "\"friday\"", "unknown variant `friday`"),
            (
                "2026-12-24T09:00:00+08:00",
                "tomorrow",
                "override 1: `from` must be a time",
            ),
            (
                "2026-12-26T09:00:00+08:00",
                "2026-12-23T09:00:00+08:00",
                "override 1: `to` must be later",
            ),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }
}

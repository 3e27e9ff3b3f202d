//! Reads and stores the definitions of sites, task types and robots from a TOML file.

use std::collections::{BTreeMap, BTreeSet};

use domain::config::{Site, TaskType};
use domain::fleet::robot::{self, Robot};
use events::robot::Defined as RobotDefined;
use events::site::{Defined as SiteDefined, Position};
use events::task_type::{Defined as TaskTypeDefined, Repetition};
use infra::Error;
use serde::Deserialize;

use crate::App;
use crate::app::definition_files::{check_name, define, unique};

/// The highest value that a definition can set as the time limit for the work of a robot, in
/// seconds (one day).
const WORK_S_MAX: i64 = 86_400;
/// Maximum number of characters in one level of an MQTT topic (VDA 5050, section on topics).
const LEVEL_MAX: usize = 64;

/// The content of a TOML file that defines the robot fleet.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    site: Vec<SiteEntry>,
    #[serde(default)]
    task_type: Vec<TaskTypeEntry>,
    #[serde(default)]
    robot: Vec<RobotEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteEntry {
    name: String,
    map: String,
    stations: BTreeMap<String, Position>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskTypeEntry {
    name: String,
    action: String,
    #[serde(default)]
    repetition: Repetition,
    work_s: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RobotEntry {
    name: String,
    site: String,
    skills: Vec<String>,
    #[serde(default = "uagv")]
    interface: String,
    manufacturer: String,
    serial: String,
    version: String,
    #[serde(default = "actions")]
    instant_actions: String,
}

fn uagv() -> String {
    "uagv".into()
}

fn actions() -> String {
    "actions".into()
}

/// The checked definitions of sites, task types and robots from a TOML file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    pub sites: Vec<SiteDefined>,
    pub task_types: Vec<TaskTypeDefined>,
    pub robots: Vec<RobotDefined>,
}

impl Definitions {
    /// Reads and checks the text of a TOML file, and returns its definitions. An error is an
    /// English text that names the wrong entry and the wrong member of this entry.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let definitions = Self {
            sites: file.site.into_iter().map(site).collect::<Result<_, _>>()?,
            task_types: file
                .task_type
                .into_iter()
                .map(task_type)
                .collect::<Result<_, _>>()?,
            robots: file
                .robot
                .into_iter()
                .map(robot_of)
                .collect::<Result<_, _>>()?,
        };
        unique("site", definitions.sites.iter().map(|one| &one.name))?;
        unique(
            "task_type",
            definitions.task_types.iter().map(|one| &one.name),
        )?;
        unique("robot", definitions.robots.iter().map(|one| &one.name))?;
        let mut identities = BTreeSet::new();
        for one in &definitions.robots {
            let identity = Robot::identity(&one.interface, &one.manufacturer, &one.serial);
            if !identities.insert(identity) {
                return Err(format!(
                    "robot {}: another robot has the same `interface`, `manufacturer` and `serial`",
                    one.name
                ));
            }
        }
        Ok(definitions)
    }

    /// Stores all definitions from the TOML file. If the same definition is already stored, no
    /// event is added.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        for defined in &self.sites {
            define::<Site>(app, &defined.name, defined).await?;
        }
        for defined in &self.task_types {
            define::<TaskType>(app, &defined.name, defined).await?;
        }
        for defined in &self.robots {
            let command = robot::Command::Define(defined.clone());
            define::<Robot>(app, &defined.name, &command).await?;
        }
        Ok(())
    }
}

fn site(entry: SiteEntry) -> Result<SiteDefined, String> {
    let SiteEntry {
        name,
        map,
        stations,
    } = entry;
    check_name("site", &name)?;
    if map.trim().is_empty() {
        return Err(format!("site {name}: `map` must not be empty"));
    }
    if stations.is_empty() {
        return Err(format!(
            "site {name}: `stations` must have at least one station"
        ));
    }
    let is_finite = |position: &Position| position.x.is_finite() && position.y.is_finite();
    for (station, position) in &stations {
        check_level(&format!("site {name}"), "stations", station)?;
        if !is_finite(position) {
            return Err(format!(
                "site {name}: `stations.{station}` must have finite numbers"
            ));
        }
    }
    Ok(SiteDefined {
        name,
        map,
        stations,
    })
}

fn task_type(entry: TaskTypeEntry) -> Result<TaskTypeDefined, String> {
    let TaskTypeEntry {
        name,
        action,
        repetition,
        work_s,
    } = entry;
    check_name("task_type", &name)?;
    if action.trim().is_empty() {
        return Err(format!("task_type {name}: `action` must not be empty"));
    }
    if !(1..=WORK_S_MAX).contains(&work_s) {
        return Err(format!(
            "task_type {name}: `work_s` must be a number from 1 to {WORK_S_MAX}"
        ));
    }
    Ok(TaskTypeDefined {
        name,
        action,
        repetition,
        work_ms: work_s * 1000,
    })
}

fn robot_of(entry: RobotEntry) -> Result<RobotDefined, String> {
    let entry_name = format!("robot {}", entry.name);
    check_name("robot", &entry.name)?;
    for (member, value) in [
        ("interface", &entry.interface),
        ("manufacturer", &entry.manufacturer),
        ("serial", &entry.serial),
    ] {
        check_level(&entry_name, member, value)?;
    }
    if !matches!(entry.version.as_str(), "2.0.0" | "2.1.0") {
        return Err(format!(
            "{entry_name}: `version` must be 2.0.0 or 2.1.0, not {:?}",
            entry.version
        ));
    }
    if !matches!(entry.instant_actions.as_str(), "actions" | "instantActions") {
        return Err(format!(
            "{entry_name}: `instant_actions` must be actions or instantActions, not {:?}",
            entry.instant_actions
        ));
    }
    if entry.skills.is_empty() {
        return Err(format!(
            "{entry_name}: `skills` must name at least one task type"
        ));
    }
    Ok(RobotDefined {
        name: entry.name,
        site: entry.site,
        skills: entry.skills,
        interface: entry.interface,
        manufacturer: entry.manufacturer,
        serial: entry.serial,
        version: entry.version,
        instant_actions: entry.instant_actions,
    })
}

/// Checks a text that is used as a level of an MQTT topic or as a node id. `entry` and `member`
/// describe the place of the text in the TOML file, for the error text.
fn check_level(entry: &str, member: &str, value: &str) -> Result<(), String> {
    let is_valid = !value.is_empty()
        && value.len() <= LEVEL_MAX
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'));
    if is_valid {
        Ok(())
    } else {
        Err(format!(
            "{entry}: `{member}` must have 1 to {LEVEL_MAX} letters, digits and _ - . :, not {value:?}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        [[site]]
        name = "hall"
        map = "hall_map"
        stations = { S3 = { x = 4.5, y = 2.0 } }

        [[task_type]]
        name = "patrol"
        action = "pick"
        work_s = 120

        [[robot]]
        name = "agv_1"
        site = "hall"
        skills = ["patrol"]
        manufacturer = "RobotCompany"
        serial = "001"
        version = "2.0.0"
        instant_actions = "instantActions"
    "#;

    #[test]
    fn a_file_defines_sites_task_types_and_robots() {
        let definitions = Definitions::read(VALID).unwrap();
        assert_eq!(
            definitions.sites[0].stations["S3"],
            Position { x: 4.5, y: 2.0 }
        );
        let task_type = &definitions.task_types[0];
        assert_eq!(
            (task_type.work_ms, task_type.repetition),
            (120_000, Repetition::AtMostOnce)
        );
        assert_eq!(definitions.robots[0].interface, "uagv");
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            (
                "\"hall\"\n        map",
                "\"Hall\"\n        map",
                "`name` must have",
            ),
            ("\"hall_map\"", "\" \"", "`map` must not be empty"),
            (
                "{ S3 = { x = 4.5, y = 2.0 } }",
                "{}",
                "`stations` must have",
            ),
            (
                "{ S3 =",
                "{ \"S/3\" =",
                "`stations` must have 1 to 64 letters",
            ),
            (
                "y = 2.0",
                "y = inf",
                "`stations.S3` must have finite numbers",
            ),
            ("\"pick\"", "\"\"", "`action` must not be empty"),
            (
                "work_s = 120",
                "work_s = 0",
                "`work_s` must be a number from 1",
            ),
            ("[\"patrol\"]", "[]", "`skills` must name"),
            (
                "\"RobotCompany\"",
                "\"Robot/Company\"",
                "`manufacturer` must have",
            ),
            ("\"2.0.0\"", "\"3.0.0\"", "`version` must be 2.0.0 or 2.1.0"),
            ("\"instantActions\"", "\"act\"", "`instant_actions` must be"),
            ("serial = ", "serials = ", "unknown field `serials`"),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = Definitions::read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let (_, robot) = VALID.split_at(VALID.find("[[robot]]").unwrap());
        let twice = format!("{VALID}{}", robot.replace("agv_1", "agv_2"));
        let reason = Definitions::read(&twice).unwrap_err();
        assert!(
            reason.contains("robot agv_2: another robot has the same"),
            "{reason}"
        );
    }
}

//! How the columns of a foreign log are meant: a TOML file, so that no name of any log stands in the code.

use std::collections::BTreeMap;

use csv::StringRecord;
use events::Moment;
use events::ticket::{Observed, Phase};
use infra::{Error, Kind};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::people::People;

/// A mapping as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// A short name of the source; part of every ticket number.
    pub source: String,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    unknown_state: Unknown,
    columns: Columns,
    time: Time,
    #[serde(default)]
    states: BTreeMap<String, Phase>,
    #[serde(default)]
    times: BTreeMap<String, String>,
    #[serde(default)]
    numbers: BTreeMap<String, String>,
    #[serde(default)]
    people: Vec<String>,
    #[serde(default)]
    keep: Vec<String>,
}

/// The columns every log has under some name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    case: String,
    time: String,
    state: String,
    actor: Option<String>,
    group: Option<String>,
    title: Option<String>,
    impact: Option<String>,
    urgency: Option<String>,
    priority: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    format: String,
    #[serde(default = "utc")]
    zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// What a state that is not listed means.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Open,
    Waiting,
    Resolved,
    Closed,
    Refuse,
}

/// Where each column stands in this file.
pub struct Places {
    case: usize,
    time: usize,
    state: usize,
    actor: Option<usize>,
    group: Option<usize>,
    title: Option<usize>,
    impact: Option<usize>,
    urgency: Option<usize>,
    priority: Option<usize>,
    times: Vec<(String, usize)>,
    numbers: Vec<(String, usize)>,
    people: Vec<(String, usize)>,
    keep: Vec<(String, usize)>,
    width: usize,
    zone: TimeZone,
}

/// One row, understood, people still by name.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: String,
    pub bytes: usize,
    observed: Observed,
    actor: Option<String>,
    people: Vec<(String, String)>,
}

impl Mapping {
    /// Reads a mapping file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mapping: Self = toml::from_str(text).map_err(|error| Error::because(Kind::Misconfigured, "the mapping is not valid", error))?;
        let is_plain = !mapping.source.is_empty() && mapping.source.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_plain {
            return Err(Error::new(Kind::Misconfigured, format!("source {:?}: only letters, digits and _ are allowed", mapping.source)));
        }
        Ok(mapping)
    }

    /// Finds every column in the header; a missing one is named.
    pub fn columns(&self, headers: &StringRecord) -> Result<Places, Error> {
        let find = |name: &String| {
            let missing =
                || Error::new(Kind::Misconfigured, format!("the file has no column {name:?}; it has: {}", headers.iter().collect::<Vec<_>>().join(", ")));
            headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name).ok_or_else(missing)
        };
        let maybe = |name: &Option<String>| name.as_ref().map(find).transpose();
        let named = |names: &BTreeMap<String, String>| names.iter().map(|(name, column)| Ok((name.clone(), find(column)?))).collect::<Result<Vec<_>, Error>>();
        let same = |names: &[String]| names.iter().map(|name| Ok((name.clone(), find(name)?))).collect::<Result<Vec<_>, Error>>();
        let zone = TimeZone::get(&self.time.zone).map_err(|error| Error::because(Kind::Misconfigured, format!("zone {}", self.time.zone), error))?;
        let columns = &self.columns;
        Ok(Places {
            case: find(&columns.case)?,
            time: find(&columns.time)?,
            state: find(&columns.state)?,
            actor: maybe(&columns.actor)?,
            group: maybe(&columns.group)?,
            title: maybe(&columns.title)?,
            impact: maybe(&columns.impact)?,
            urgency: maybe(&columns.urgency)?,
            priority: maybe(&columns.priority)?,
            times: named(&self.times)?,
            numbers: named(&self.numbers)?,
            people: same(&self.people)?,
            keep: same(&self.keep)?,
            width: headers.len(),
            zone,
        })
    }

    /// Understands one row, or says what is wrong with it.
    pub fn row(&self, places: &Places, key: &[u8; 32], record: &StringRecord, line: u64) -> Result<Row, String> {
        if record.len() != places.width {
            return Err(format!("has {} columns, the header has {}", record.len(), places.width));
        }
        let known = |at: usize| Some(&record[at]).filter(|text| !text.is_empty() && !self.missing.iter().any(|missing| missing == text));
        let text = |at: Option<usize>| at.and_then(known).unwrap_or_default().to_owned();
        let case = known(places.case).ok_or("has no case id")?.to_owned();
        if case.len() > 128 || case.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!("case id {case:?} is longer than 128 bytes or has blanks"));
        }
        let time = known(places.time).ok_or("has no time")?;
        let occurred_at = self.time(&places.zone, time)?;
        let state = known(places.state).unwrap_or_default();
        let mut times = BTreeMap::new();
        for (name, at) in &places.times {
            if let Some(text) = known(*at) {
                times.insert(name.clone(), self.time(&places.zone, text)?);
            }
        }
        let mut numbers = BTreeMap::new();
        for (name, at) in &places.numbers {
            if let Some(text) = known(*at) {
                numbers.insert(name.clone(), text.trim().parse().map_err(|_| format!("{name} {text:?} is not a whole number"))?);
            }
        }
        let named = |places: &[(String, usize)]| -> Vec<(String, String)> {
            places.iter().filter_map(|(name, at)| Some((name.clone(), known(*at)?.to_owned()))).collect()
        };
        let bytes = record.as_slice().len() * 2 + 200;
        let observed = Observed {
            occurred_at,
            source: self.source.clone(),
            case: case.clone(),
            file: String::new(),
            line,
            row: row_fingerprint(key, record),
            nth: 1,
            state: state.to_owned(),
            phase: self.phase(state)?,
            actor: String::new(),
            group: text(places.group),
            title: text(places.title),
            impact: text(places.impact),
            urgency: text(places.urgency),
            priority: text(places.priority),
            zone: if self.time.zone == "UTC" { String::new() } else { self.time.zone.clone() },
            times,
            numbers,
            kept: named(&places.keep).into_iter().collect(),
        };
        Ok(Row { case, bytes, observed, actor: places.actor.and_then(known).map(str::to_owned), people: named(&places.people) })
    }

    fn phase(&self, state: &str) -> Result<Phase, String> {
        match (self.states.get(state), self.unknown_state) {
            (Some(phase), _) => Ok(*phase),
            (None, Unknown::Open) => Ok(Phase::Open),
            (None, Unknown::Waiting) => Ok(Phase::Waiting),
            (None, Unknown::Resolved) => Ok(Phase::Resolved),
            (None, Unknown::Closed) => Ok(Phase::Closed),
            (None, Unknown::Refuse) => Err(format!("state {state:?} is not in the mapping")),
        }
    }

    fn time(&self, zone: &TimeZone, text: &str) -> Result<Moment, String> {
        let wrong = |error: jiff::Error| format!("{text:?} is not a time of the form {}: {error}", self.time.format);
        let time = DateTime::strptime(&self.time.format, text).map_err(wrong)?;
        Ok(Moment(time.to_zoned_datetime(zone.clone()).map_err(wrong)?.timestamp().as_millisecond()))
    }
}

impl Row {
    /// What tells this row's text from another's.
    pub fn fingerprint(&self) -> &str {
        &self.observed.row
    }

    /// Says that this is the n-th row of its text in its case.
    pub fn count(&mut self, nth: u32) {
        self.observed.nth = nth;
    }

    /// The row as an event: names become person ids.
    pub async fn observe(self, file: &str, people: &People) -> Result<Observed, Error> {
        let mut observed = self.observed;
        file.clone_into(&mut observed.file);
        if let Some(name) = &self.actor {
            observed.actor = people.pid(name).await?.0;
        }
        for (column, name) in self.people {
            observed.kept.insert(column, people.pid(&name).await?.0);
        }
        Ok(observed)
    }
}

/// Tells one row's text from another's; fields after their lengths, so that a comma inside one makes no difference.
fn row_fingerprint(key: &[u8; 32], record: &StringRecord) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for field in record {
        hasher.update(&(field.len() as u64).to_be_bytes()).update(field.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

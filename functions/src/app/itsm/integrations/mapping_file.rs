//! Reads mapping files. A mapping file contains the rules for reading a case (a record of another system) from JSON.

use std::collections::BTreeMap;
use std::path::Path;

use domain::itsm::mapping;
use events::integration::{
    AssigneeMapping, CaseEnd, CaseMapping, FurtherRecord, UpdateSource, ValueSource,
};
use serde::Deserialize;
use serde_json::Value;

/// The content of a mapping file. The file contains the rules for reading a case (a record of
/// another system) from JSON. Each rule is a JSON pointer such as `/id`, or a table with more
/// settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::app::itsm) struct MappingFile {
    record: String,
    service: Option<Short>,
    requester: Option<Short>,
    created: Option<String>,
    update: Option<UpdateSource>,
    status: Option<String>,
    #[serde(default)]
    write_back: BTreeMap<String, Value>,
    #[serde(default)]
    write_also: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    ends: BTreeMap<String, CaseEnd>,
    #[serde(default)]
    notes: bool,
    #[serde(default)]
    reasons: bool,
    #[serde(default)]
    last_fact: bool,
    assignee: Option<AssigneeMapping>,
    crm: Option<FurtherRecord>,
    #[serde(default)]
    fields: BTreeMap<String, Short>,
}

/// The rule for reading one value of a case (a record of another system). The rule is a JSON
/// pointer such as `/id`, or a table with the members of [`ValueSource`].
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Short {
    Path(String),
    Source(ValueSource),
}

impl From<Short> for ValueSource {
    fn from(short: Short) -> Self {
        match short {
            Short::Path(path) => Self {
                path: Some(path),
                ..Self::default()
            },
            Short::Source(source) => source,
        }
    }
}

pub(super) fn mapping_of(
    name: &str,
    path: &Path,
    read_file: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<CaseMapping, String> {
    let at = |reason: String| format!("integration {name}: mapping {}: {reason}", path.display());
    let text = read_file(path).map_err(at)?;
    let file: MappingFile = toml::from_str(&text).map_err(|error| at(error.to_string()))?;
    file.checked().map_err(at)
}

impl MappingFile {
    /// Returns the mapping if it is valid. An error is the reason as an English text.
    pub(in crate::app::itsm) fn checked(self) -> Result<CaseMapping, String> {
        let mapping = CaseMapping {
            record: self.record,
            service: self.service.map(Into::into).unwrap_or_default(),
            requester: self.requester.map(Into::into).unwrap_or_default(),
            created: self.created,
            update: self.update,
            status: self.status,
            write_back: self.write_back,
            write_also: self.write_also,
            ends: self.ends,
            notes: self.notes,
            reasons: self.reasons,
            last_fact: self.last_fact,
            assignee: self.assignee,
            crm: self.crm,
            fields: self
                .fields
                .into_iter()
                .map(|(key, short)| (key, short.into()))
                .collect(),
        };
        mapping::check(&mapping)?;
        Ok(mapping)
    }
}

//! Reads the mapping file (the TOML configuration of an import). In this file, the source of a
//! value can have three forms: a column name, a list of column names, or a table with more
//! settings.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use events::ticket::Phase;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The content of the mapping file (the TOML configuration of an import).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub source: String,
    pub encoding: Option<String>,
    pub delimiter: Option<String>,
    #[serde(default)]
    pub missing: Texts,
    #[serde(default)]
    pub unknown_state: Unknown,
    pub decimal: Option<char>,
    pub people_separators: Option<String>,
    pub columns: Columns,
    pub time: Time,
    #[serde(default)]
    pub states: BTreeMap<String, Phase>,
    #[serde(default)]
    pub times: BTreeMap<String, Short<TimeColumn>>,
    #[serde(default)]
    pub numbers: BTreeMap<String, Short<NumberColumn>>,
    #[serde(default)]
    pub people: Texts,
    #[serde(default)]
    pub keep: Texts,
    #[serde(default)]
    pub ignore: BTreeMap<String, Texts>,
}

/// Names the columns of the imported log that contain the standard values of each row. Such values are, for
/// example, the case id and the title.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    pub case: Short<TextColumn>,
    pub time: Short<TextColumn>,
    pub state: Short<TextColumn>,
    pub actor: Option<Short<TextColumn>>,
    pub group: Option<Short<TextColumn>>,
    pub title: Option<Short<TextColumn>>,
    pub impact: Option<Short<TextColumn>>,
    pub urgency: Option<Short<TextColumn>>,
    pub priority: Option<Short<TextColumn>>,
}

/// The format and the time zone of the main time in a row of the imported log. The main time becomes the time
/// of the imported event.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    pub format: Texts,
    #[serde(default = "utc")]
    pub zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// Defines how a row with an unknown state is imported. A state is unknown if the table `[states]`
/// of the mapping file does not contain the state.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    #[default]
    Open,
    Waiting,
    Resolved,
    Closed,
    /// A row with an unknown state is rejected.
    #[serde(alias = "refuse")]
    Reject,
}

/// Defines how a text is read from a row: from one column, from several columns, or as a constant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextColumn {
    #[serde(default)]
    pub column: Texts,
    /// The separator between the values of several columns.
    pub separator: Option<String>,
    /// A constant text. If this value is set, no column is read.
    pub value: Option<String>,
    /// The text that is used for a row if all source columns of this value are empty.
    pub default: Option<String>,
    /// The replacements for values. The key is a value in the imported log, and the value is the replacement.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Defines a time that is imported from a row, in addition to the time of the event. The table
/// contains the column, the format and the time zone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeColumn {
    pub column: Texts,
    /// The time formats of this column. If this list is absent, the formats in the table `[time]`
    /// are used.
    pub format: Option<Texts>,
    /// The time zone of this column. If this value is absent, the time zone in the table `[time]`
    /// is used.
    pub zone: Option<String>,
}

/// Defines a column that contains a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberColumn {
    pub column: String,
    /// The factor by which the number in the column is multiplied. For example, the factor 60 converts hours to
    /// minutes.
    #[serde(default = "one")]
    pub factor: i64,
}

fn one() -> i64 {
    1
}

/// One text or a list of texts in the mapping file.
#[derive(Clone, Debug, Default)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a text or a list of texts")]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::One(text) => vec![text],
            Form::Many(texts) => texts,
        }))
    }
}

/// A setting of the mapping file. The setting is either a table or a short form. The short form is
/// one column name or a list of column names.
#[derive(Clone, Debug)]
pub struct Short<T>(pub T);

/// A trait for the tables of the mapping file that also have a short form. The short form contains
/// only column names.
pub trait Shorthand: Sized {
    /// Creates the table from the column names in the short form. All other settings get their
    /// default values.
    fn of(columns: Vec<String>) -> Result<Self, &'static str>;
}

impl Shorthand for TextColumn {
    fn of(columns: Vec<String>) -> Result<Self, &'static str> {
        Ok(Self {
            column: Texts(columns),
            ..Self::default()
        })
    }
}

impl Shorthand for TimeColumn {
    fn of(columns: Vec<String>) -> Result<Self, &'static str> {
        Ok(Self {
            column: Texts(columns),
            ..Self::default()
        })
    }
}

impl Shorthand for NumberColumn {
    fn of(mut columns: Vec<String>) -> Result<Self, &'static str> {
        match (columns.pop(), columns.is_empty()) {
            (Some(column), true) => Ok(Self {
                column,
                factor: one(),
            }),
            _ => Err("a number has one column"),
        }
    }
}

impl<'de, T: Shorthand + Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Reads::<T>(PhantomData))
            .map(Self)
    }
}

/// Reads a table, or its short form with only column names. An untagged enum of serde could also
/// read these two forms. But if a table contains an unknown key, the error of an untagged enum does
/// not name this key.
struct Reads<T>(PhantomData<T>);

impl<'de, T: Shorthand + Deserialize<'de>> Visitor<'de> for Reads<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name of a column, a list of such names, or a table")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::of(vec![text.to_owned()]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of(Vec::deserialize(SeqAccessDeserializer::new(list))?).map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table))
    }
}

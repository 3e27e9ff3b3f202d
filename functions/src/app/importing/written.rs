//! Deserializes the mapping file. A column may be written as its name, as a list of names, or as a
//! table.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use events::ticket::Phase;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The content of a mapping file.
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

/// The columns of each role. A role is the meaning of a value, for example the case id or the
/// title.
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

/// The format and the time zone of the time of a row.
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

/// The phase of a state that is not listed in `[states]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    #[default]
    Open,
    Waiting,
    Resolved,
    Closed,
    /// A row with such a state is rejected.
    #[serde(alias = "refuse")]
    Reject,
}

/// The source of a text: one column, several columns, or a constant in the mapping.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextColumn {
    #[serde(default)]
    pub column: Texts,
    /// The separator between the values of several columns.
    pub separator: Option<String>,
    /// A constant that is used instead of columns.
    pub value: Option<String>,
    /// The value for a row in which these columns are empty.
    pub default: Option<String>,
    /// The replacements for values of the log. Each key is a value of the log.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// The columns and the format of an additional time of a row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeColumn {
    pub column: Texts,
    /// The formats of this column. If absent, the formats of `[time]` are used.
    pub format: Option<Texts>,
    /// The time zone of this column. If absent, the zone of `[time]` is used.
    pub zone: Option<String>,
}

/// The column of a number of a row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberColumn {
    pub column: String,
    /// The factor of the number, for example 60 to convert hours to minutes.
    #[serde(default = "one")]
    pub factor: i64,
}

fn one() -> i64 {
    1
}

/// A text or a list of texts.
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

/// A table that may be written as a name or a list of names of columns.
#[derive(Clone, Debug)]
pub struct Short<T>(pub T);

/// A table that has a short form.
pub trait Shorthand: Sized {
    /// Returns the table for the names of columns in the short form.
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

/// Reads a table or its short form. An untagged enum is not used, because its error would not
/// contain the name of an unknown key.
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

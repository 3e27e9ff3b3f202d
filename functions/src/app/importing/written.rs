//! The mapping file as serde reads it. A column is written as its name, as a list of names, or as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use events::ticket::Phase;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A mapping file.
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

/// The roles that columns can have.
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

/// How the times of rows are written.
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

/// The meaning of a state that `[states]` does not list.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    #[default]
    Open,
    Waiting,
    Resolved,
    Closed,
    /// Its rows are rejected.
    #[serde(alias = "refuse")]
    Reject,
}

/// A value from one column, from several, or from the mapping itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextColumn {
    #[serde(default)]
    pub column: Texts,
    /// Joins the values of several columns.
    pub separator: Option<String>,
    /// A constant, instead of a column.
    pub value: Option<String>,
    /// The value of a row that has none.
    pub default: Option<String>,
    /// Values of the log and what they become.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// A further time of a row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeColumn {
    pub column: Texts,
    /// The formats of this column, instead of the ones of `[time]`.
    pub format: Option<Texts>,
    /// The zone of this column, instead of the one of `[time]`.
    pub zone: Option<String>,
}

/// A counter of a row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberColumn {
    pub column: String,
    /// Multiplies the number; 60 makes minutes of hours.
    #[serde(default = "one")]
    pub factor: i64,
}

fn one() -> i64 {
    1
}

/// One text or several.
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

/// A table that may be written as the names of its columns alone.
#[derive(Clone, Debug)]
pub struct Short<T>(pub T);

/// The meaning of a short form.
pub trait Shorthand: Sized {
    /// The table that the names of columns are short for.
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

/// Reads a table or its short form. An untagged enum would lose the name of an unknown key.
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

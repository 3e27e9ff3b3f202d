//! Converts the columns of a CSV log of another system to the fields of an event. The mapping is a
//! TOML file that defines the columns for each field. The code therefore contains no column names.
//! `docs/importing.md` describes the TOML file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use encoding_rs::Encoding;
use events::ticket::{Phase, RowImported};
use infra::commit::STREAM_BYTES_MAX;
use infra::{Error, Kind};

use super::records::{Record, name_of, trimmed};
use super::stream_of;
use super::text;
use super::times::Times;
use super::written::{Short, TextColumn, Texts, Unknown, Written};
use crate::app::people::{NAMED_MAX, People};

/// Maximum length of a case id (the id of one incident), in bytes. The length is limited because
/// the case id becomes a part of the stream name. The stream name in turn becomes a part of
/// database keys.
const CASE_BYTES_MAX: usize = 128;
/// Maximum length of the source name, in bytes. The source is the system that wrote the imported
/// log. The length is limited because the source name becomes a part of the stream name.
const SOURCE_BYTES_MAX: usize = 64;
/// Maximum length of the name of one person, in characters.
const PERSON_CHARS_MAX: usize = 256;
/// Estimated size of one person id and the comma after this id in an event, in bytes.
const PID_BYTES: usize = 40;
/// Estimated size of an event without the texts from the CSV row, in bytes.
const EVENT_BYTES: usize = 500;
/// Maximum number of digits that a number in an imported CSV log may have. The limit is higher than
/// the number of digits of any 64-bit number.
const DIGITS_MAX: usize = 30;
/// The default text between two values if an event field is the combination of several columns. For
/// example, a title can consist of the values of two columns.
const SEPARATOR: &str = " / ";
/// The default text between two values if a time is the combination of several columns. For
/// example, one column contains the date and another column contains the hour.
const TIME_SEPARATOR: &str = " ";
/// The characters that separate the names of several people in one value. The list contains the
/// separators of Western, Chinese and Japanese texts.
const PEOPLE_SEPARATORS: &str = ",;\u{ff0c}\u{3001}\u{ff1b}\u{ff64}\u{fe50}\u{fe51}\u{fe54}";

/// A mapping (the import configuration from the TOML file) that was read and validated.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// A short name of the system that wrote the imported log. The name of each event stream with
    /// an imported case (incident) contains this short name.
    pub source: String,
    /// The encoding of a log file without a byte order mark. The value is `None` if the mapping
    /// defines no encoding.
    pub encoding: Option<&'static Encoding>,
    pub delimiter: Option<u8>,
    written: Written,
}

/// The mapping (the import configuration) for one opened log file. This value contains the position
/// of each used column in the header line of this file. It also contains the rules for the values
/// of the columns.
pub struct Places {
    case: Column,
    time: Column,
    state: Column,
    actor: Column,
    group: Column,
    title: Column,
    impact: Column,
    urgency: Column,
    priority: Column,
    when: Times,
    times: Vec<(String, Column, Times)>,
    numbers: Vec<(String, usize, i64)>,
    people: Vec<(String, usize)>,
    keep: Vec<(String, usize)>,
    ignore: Vec<(usize, Vec<String>)>,
    missing: Vec<String>,
    states: BTreeMap<String, Phase>,
    /// The name of the time zone that is stored in each event. The name is empty for UTC.
    zone: String,
    /// The number of columns in the header line.
    width: usize,
    /// The minimum number of values in a row. The last columns of the header may have no name. A
    /// row may omit the values of these columns.
    needed: usize,
}

/// Defines which columns of a row contain the value of one event field, such as the case or the
/// title. If the mapping (the import configuration) does not define the event field, all members of
/// this struct are empty.
#[derive(Clone, Debug, Default)]
struct Column {
    columns: Vec<usize>,
    separator: String,
    default: Option<String>,
    values: BTreeMap<String, String>,
}

/// One parsed row of an imported log. The row still contains the names of people. The method
/// `observe` replaces these names with person ids.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: String,
    pub bytes: usize,
    observed: RowImported,
    actor: Vec<String>,
    people: Vec<(String, Vec<String>)>,
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(Kind::Misconfigured, what)
}

impl Mapping {
    /// Parses and validates a mapping file. Returns `Misconfigured` if the mapping is not valid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim_start_matches('\u{feff}');
        let written: Written = toml::from_str(text).map_err(|error| {
            Error::because(Kind::Misconfigured, "the mapping is not valid", error)
        })?;
        let source = written.source.clone();
        if source.is_empty()
            || source.len() > SOURCE_BYTES_MAX
            || !source
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            return Err(wrong(format!(
                "source {source:?}: 1 to {SOURCE_BYTES_MAX} letters, digits and _ are allowed"
            )));
        }
        let unknown = |name: &String| {
            wrong(format!(
                "encoding {name:?} is not known; examples are utf-8, gb18030, big5, shift_jis, windows-1252 and utf-16le"
            ))
        };
        let encoding = written
            .encoding
            .as_ref()
            .map(|name| text::encoding(name).ok_or_else(|| unknown(name)))
            .transpose()?;
        let delimiter = written
            .delimiter
            .as_ref()
            .map(|delimiter| delimiter_of(delimiter))
            .transpose()?;
        if !matches!(written.decimal, None | Some(',' | '.')) {
            return Err(wrong("`decimal` is \",\" or \".\""));
        }
        let mut states: Vec<&str> = written.states.keys().map(|state| trimmed(state)).collect();
        states.sort_unstable();
        if let Some(state) = states
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .and_then(|pair| pair.first())
        {
            return Err(wrong(format!(
                "[states] lists {state:?} twice; blanks around a state do not count"
            )));
        }
        Ok(Self {
            source,
            encoding,
            delimiter,
            written,
        })
    }

    /// Returns the names of all columns that the mapping (the import configuration) reads from a
    /// log file.
    fn names(&self) -> Vec<String> {
        let columns = &self.written.columns;
        let roles = [
            &columns.actor,
            &columns.group,
            &columns.title,
            &columns.impact,
            &columns.urgency,
            &columns.priority,
        ];
        let roles = [&columns.case, &columns.time, &columns.state]
            .into_iter()
            .chain(roles.into_iter().flatten());
        let mut names: Vec<String> = roles
            .flat_map(|Short(column)| &column.column.0)
            .map(|name| name_of(name))
            .collect();
        names.extend(
            self.written
                .times
                .values()
                .flat_map(|Short(column)| &column.column.0)
                .map(|name| name_of(name)),
        );
        names.extend(
            self.written
                .numbers
                .values()
                .map(|Short(number)| name_of(&number.column)),
        );
        names.extend(
            self.written
                .people
                .0
                .iter()
                .chain(&self.written.keep.0)
                .chain(self.written.ignore.keys())
                .map(|name| name_of(name)),
        );
        names
    }

    /// Returns the column names that the mapping (the import configuration) uses but the header
    /// line does not contain. `headers` contains the names from the header line.
    pub fn absent(&self, headers: &[String]) -> Vec<String> {
        let mut absent: Vec<String> = Vec::new();
        for name in self.names() {
            if !absent.contains(&name) && !headers.contains(&name) {
                absent.push(name);
            }
        }
        absent
    }

    /// Finds the position of each column of the mapping (the import configuration) in a header
    /// line. Returns `Misconfigured` if a column is missing. `headers` contains the names from the
    /// header line. Each name must have normalized whitespace and may occur only once.
    pub fn columns(&self, headers: &[String]) -> Result<Places, Error> {
        let written = &self.written;
        let at = |name: &String| {
            headers
                .iter()
                .position(|header| *header == name_of(name))
                .ok_or_else(|| wrong(format!("the file has no column {name:?}")))
        };
        let place = |role: &str, column: &TextColumn, separator: &str| -> Result<Column, Error> {
            let names = &column.column.0;
            if names.is_empty() == column.value.is_none() {
                return Err(wrong(format!("{role} needs either `column` or `value`")));
            }
            Ok(Column {
                columns: names.iter().map(at).collect::<Result<_, _>>()?,
                separator: column
                    .separator
                    .clone()
                    .unwrap_or_else(|| separator.to_owned()),
                default: column.value.clone().or_else(|| column.default.clone()),
                values: column
                    .values
                    .iter()
                    .map(|(from, to)| (trimmed(from).to_owned(), to.clone()))
                    .collect(),
            })
        };
        let role = |role: &str, column: &Short<TextColumn>| place(role, &column.0, SEPARATOR);
        let maybe = |name: &str, column: &Option<Short<TextColumn>>| {
            column
                .as_ref()
                .map_or(Ok(Column::default()), |column| role(name, column))
        };
        let named = |names: &Texts| {
            names
                .0
                .iter()
                .map(|name| Ok((name_of(name), at(name)?)))
                .collect::<Result<Vec<_>, Error>>()
        };
        let mut times = Vec::new();
        for (name, Short(time)) in &written.times {
            let column = TextColumn {
                column: time.column.clone(),
                ..TextColumn::default()
            };
            let formats = time.format.as_ref().unwrap_or(&written.time.format);
            let zone = time.zone.as_ref().unwrap_or(&written.time.zone);
            times.push((
                name.clone(),
                place(&format!("times.{name}"), &column, TIME_SEPARATOR)?,
                Times::new(&formats.0, zone)?,
            ));
        }
        let mut numbers = Vec::new();
        for (name, Short(number)) in &written.numbers {
            numbers.push((name.clone(), at(&number.column)?, number.factor));
        }
        let mut ignore = Vec::new();
        for (name, values) in &written.ignore {
            ignore.push((
                at(name)?,
                values
                    .0
                    .iter()
                    .map(|value| trimmed(value).to_owned())
                    .collect(),
            ));
        }
        let columns = &written.columns;
        Ok(Places {
            case: role("columns.case", &columns.case)?,
            time: place("columns.time", &columns.time.0, TIME_SEPARATOR)?,
            state: role("columns.state", &columns.state)?,
            actor: maybe("columns.actor", &columns.actor)?,
            group: maybe("columns.group", &columns.group)?,
            title: maybe("columns.title", &columns.title)?,
            impact: maybe("columns.impact", &columns.impact)?,
            urgency: maybe("columns.urgency", &columns.urgency)?,
            priority: maybe("columns.priority", &columns.priority)?,
            when: Times::new(&written.time.format.0, &written.time.zone)?,
            times,
            numbers,
            people: named(&written.people)?,
            keep: named(&written.keep)?,
            ignore,
            missing: written
                .missing
                .0
                .iter()
                .map(|missing| trimmed(missing).to_owned())
                .collect(),
            states: written
                .states
                .iter()
                .map(|(state, phase)| (trimmed(state).to_owned(), *phase))
                .collect(),
            zone: if written.time.zone.eq_ignore_ascii_case("UTC") {
                String::new()
            } else {
                written.time.zone.clone()
            },
            width: headers.len(),
            needed: headers
                .iter()
                .rposition(|name| !name.is_empty())
                .map_or(0, |last| last + 1),
        })
    }

    /// Parses one row of an imported log. Returns `None` if the mapping (the import configuration)
    /// excludes the row. Returns an error text if the row cannot be imported. `places` contains the
    /// positions of the columns, and `key` is the secret key for the hash of the row.
    pub fn row(
        &self,
        places: &Places,
        key: &[u8; 32],
        record: &Record,
    ) -> Result<Option<Row>, String> {
        // Some spreadsheet programs omit the delimiters of empty values at the end of some rows.
        // Rows may therefore have different numbers of values.
        if record.width() < places.needed
            || record
                .values()
                .skip(places.width)
                .any(|value| !trimmed(value).is_empty())
        {
            return Err(format!(
                "has {} values, the header has {} columns",
                record.width(),
                places.width
            ));
        }
        let is_ignored = |(at, values): &(usize, Vec<String>)| {
            let value = trimmed(record.get(*at));
            values.iter().any(|ignored| {
                ignored == value || (ignored.is_empty() && places.known(record, *at).is_none())
            })
        };
        if places.ignore.iter().any(is_ignored) {
            return Ok(None);
        }
        let text = |place: &Column| places.value(place, record).unwrap_or_default().into_owned();
        let case = places
            .value(&places.case, record)
            .ok_or("has no case id")?
            .into_owned();
        if case.len() > CASE_BYTES_MAX || case.chars().any(char::is_control) {
            let shown: String = case.chars().take(CASE_BYTES_MAX).collect();
            return Err(format!(
                "case id {shown:?} has more than {CASE_BYTES_MAX} bytes or a control character"
            ));
        }
        let stream = stream_of(&self.source, &case).len();
        if stream > STREAM_BYTES_MAX {
            return Err(format!(
                "case id {case:?} is too long: its stream would have a name of {stream} bytes, at most {STREAM_BYTES_MAX} are allowed; \
                 each blank and % counts as three or more"
            ));
        }
        let time = places.value(&places.time, record).ok_or("has no time")?;
        let occurred_at = places.when.read(&time)?;
        let state = text(&places.state);
        let mut times = BTreeMap::new();
        for (name, place, formats) in &places.times {
            if let Some(text) = places.value(place, record) {
                times.insert(
                    name.clone(),
                    formats
                        .read(&text)
                        .map_err(|error| format!("{name}: {error}"))?,
                );
            }
        }
        let mut numbers = BTreeMap::new();
        for (name, at, factor) in &places.numbers {
            if let Some(text) = places.known(record, *at) {
                numbers.insert(
                    name.clone(),
                    number(text, self.written.decimal, *factor)
                        .ok_or_else(|| not_whole(name, text, self.written.decimal))?,
                );
            }
        }
        let actor = self.names_in(&text(&places.actor))?;
        let mut people = Vec::new();
        for (name, at) in &places.people {
            let names = self.names_in(places.known(record, *at).unwrap_or_default())?;
            if !names.is_empty() {
                people.push((name.clone(), names));
            }
        }
        let kept = places
            .keep
            .iter()
            .filter_map(|(name, at)| Some((name.clone(), places.known(record, *at)?.to_owned())))
            .collect();
        let observed = RowImported {
            occurred_at,
            source: self.source.clone(),
            case: case.clone(),
            file: String::new(),
            line: record.line,
            row: row_fingerprint(key, record, places.width),
            nth: 1,
            phase: self.phase(places, &state)?,
            state,
            actor: String::new(),
            group: text(&places.group),
            title: text(&places.title),
            impact: text(&places.impact),
            urgency: text(&places.urgency),
            priority: text(&places.priority),
            zone: places.zone.clone(),
            times,
            numbers,
            columns: kept,
        };
        let named = actor.len() + people.iter().map(|(_, names)| names.len()).sum::<usize>();
        let bytes = bytes_of(&observed) + named * PID_BYTES;
        Ok(Some(Row {
            case,
            bytes,
            observed,
            actor,
            people,
        }))
    }

    fn phase(&self, places: &Places, state: &str) -> Result<Phase, String> {
        match (places.states.get(state), self.written.unknown_state) {
            (Some(phase), _) => Ok(*phase),
            (None, Unknown::Open) => Ok(Phase::Open),
            (None, Unknown::Waiting) => Ok(Phase::Waiting),
            (None, Unknown::Resolved) => Ok(Phase::Resolved),
            (None, Unknown::Closed) => Ok(Phase::Closed),
            (None, Unknown::Reject) => Err(format!("state {state:?} is not in the mapping")),
        }
    }

    /// Splits the value `text` into the names of people. The mapping (the import configuration) can
    /// define the separators between the names. Returns an error text if there are too many names,
    /// or if a name is too long or contains a control character.
    fn names_in(&self, text: &str) -> Result<Vec<String>, String> {
        let separators = self
            .written
            .people_separators
            .as_deref()
            .unwrap_or(PEOPLE_SEPARATORS);
        let names: Vec<String> = text
            .split(|c: char| separators.contains(c))
            .map(trimmed)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if names.len() > NAMED_MAX {
            return Err(format!("names more than {NAMED_MAX} people in one column"));
        }
        let is_name = |name: &String| {
            name.chars().count() <= PERSON_CHARS_MAX && !name.chars().any(char::is_control)
        };
        match names.iter().find(|name| !is_name(name)) {
            Some(name) => {
                let shown: String = name.chars().take(PERSON_CHARS_MAX).collect();
                Err(format!(
                    "{shown:?} has more than {PERSON_CHARS_MAX} characters or a control character and cannot be the name of a person"
                ))
            }
            None => Ok(names),
        }
    }
}

impl Places {
    /// Returns the value of the column at position `at`, without whitespace at the start and the
    /// end. Returns `None` for an empty value. Also returns `None` for a value such as `n/a` that
    /// the mapping (the import configuration) lists as missing.
    fn known<'a>(&self, record: &'a Record, at: usize) -> Option<&'a str> {
        Some(trimmed(record.get(at)))
            .filter(|text| !text.is_empty() && !self.missing.iter().any(|missing| missing == text))
    }

    /// Returns the value of one event field for a row. `place` defines the columns of the field.
    /// The values of several columns are joined with a separator. If all columns are empty, the
    /// function returns the default value from the mapping (the import configuration), or `None`
    /// without a default value.
    fn value<'a>(&self, place: &'a Column, record: &'a Record) -> Option<Cow<'a, str>> {
        let read: Option<Cow<'a, str>> = match place.columns.as_slice() {
            [] => None,
            [at] => self.known(record, *at).map(Cow::Borrowed),
            several => {
                let joined = several
                    .iter()
                    .filter_map(|at| self.known(record, *at))
                    .collect::<Vec<_>>()
                    .join(&place.separator);
                (!joined.is_empty()).then_some(Cow::Owned(joined))
            }
        };
        let read = match read {
            Some(text) => Some(
                place
                    .values
                    .get(&*text)
                    .map_or(text, |value| Cow::Borrowed(value.as_str())),
            ),
            None => place.default.as_deref().map(Cow::Borrowed),
        };
        read.filter(|text| !text.is_empty())
    }
}

impl Row {
    /// Returns a hash of the text of this row. Two rows with the same text have the same hash.
    pub fn fingerprint(&self) -> &str {
        &self.observed.row
    }

    /// Stores the number `nth` of this row. The number distinguishes equal rows. Two rows are equal
    /// if they have the same case (incident) and the same text. The first of several equal rows in
    /// the file has the number 1.
    pub fn count(&mut self, nth: u32) {
        self.observed.nth = nth;
    }

    /// Returns the hash of the row text and the number of this row. The number distinguishes equal
    /// rows. Two rows are equal if they have the same case (incident) and the same text.
    pub fn counted(&self) -> (&str, u32) {
        (&self.observed.row, self.observed.nth)
    }

    /// Converts the row to an event. `file` is the hash of the log file. The names of people are
    /// replaced with person ids. A person without a person id is registered first.
    pub async fn observe(self, file: &str, people: &People) -> Result<RowImported, Error> {
        let mut observed = self.observed;
        file.clone_into(&mut observed.file);
        observed.actor = pids(&self.actor, people).await?;
        for (column, names) in self.people {
            observed.columns.insert(column, pids(&names, people).await?);
        }
        Ok(observed)
    }
}

/// Returns the person ids for the names of people, separated by commas. A person without a person
/// id is registered first.
async fn pids(names: &[String], people: &People) -> Result<String, Error> {
    let mut pids = Vec::new();
    for name in names {
        pids.push(people.pid(name).await?.0);
    }
    Ok(pids.join(","))
}

/// Parses the delimiter between the values of a row, and returns the delimiter as a byte. `text`
/// comes from the mapping (the import configuration), or from a line such as `sep=;` at the start
/// of the file.
pub fn delimiter_of(text: &str) -> Result<u8, Error> {
    match text.as_bytes() {
        [b'\\', b't'] => Ok(b'\t'),
        [byte] if !byte.is_ascii_alphanumeric() && !matches!(byte, b'"' | b'\r' | b'\n' | b' ') => {
            Ok(*byte)
        }
        _ => Err(wrong(format!(
            "delimiter {text:?}: one character such as \",\", \";\", \"|\" or \"\\t\" is allowed"
        ))),
    }
}

fn not_whole(name: &str, text: &str, decimal: Option<char>) -> String {
    let hint = if decimal.is_none() && text.contains(',') {
        "; if the comma is a decimal mark, set decimal = \",\" in the mapping"
    } else {
        ""
    };
    format!("{name} {text:?} is not a whole number{hint}")
}

/// Parses a number and multiplies the number by `factor`. Returns `None` if the product is not a
/// whole number. The parameter `decimal` is the decimal mark in the mapping (the import
/// configuration). Separators between thousands are allowed only if the mapping defines a decimal
/// mark.
fn number(text: &str, decimal: Option<char>, factor: i64) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits
        .split_once(decimal.unwrap_or('.'))
        .unwrap_or((digits, ""));
    let whole = match decimal {
        Some(mark) => ungrouped(whole, mark)?,
        None => whole.to_owned(),
    };
    let fraction = fraction.trim_end_matches('0');
    let is_number = !whole.is_empty()
        && whole.len() + fraction.len() <= DIGITS_MAX
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let product = format!("{whole}{fraction}")
        .parse::<i128>()
        .ok()?
        .checked_mul(i128::from(factor))?;
    if product % scale != 0 {
        return None;
    }
    i64::try_from(product / scale * sign).ok()
}

/// Removes the separators between thousands from `whole` (the digits before the decimal mark).
/// Returns `None` if such a separator is at a wrong position. `mark` is the decimal mark.
fn ungrouped(whole: &str, mark: char) -> Option<String> {
    let other = if mark == ',' { '.' } else { ',' };
    let parts: Vec<&str> = whole
        .split(|c: char| c == other || c.is_whitespace() || matches!(c, '\'' | '\u{2019}'))
        .collect();
    let is_grouped = parts.len() == 1
        || (matches!(parts[0].len(), 1..=3) && parts[1..].iter().all(|part| part.len() == 3));
    is_grouped.then(|| parts.concat())
}

/// Returns an estimate of the bytes that a row needs in a commit. A commit may contain a text
/// twice: in the event and in the state of the case (incident). Each text therefore counts twice.
fn bytes_of(observed: &RowImported) -> usize {
    // JSON writes some characters with an additional backslash. JSON writes a control character
    // with six bytes.
    let json = |text: &String| {
        text.bytes()
            .map(|byte| {
                if byte < b' ' {
                    6
                } else {
                    1 + usize::from(matches!(byte, b'"' | b'\\'))
                }
            })
            .sum::<usize>()
    };
    let texts = [
        &observed.case,
        &observed.state,
        &observed.group,
        &observed.title,
        &observed.impact,
        &observed.urgency,
        &observed.priority,
    ];
    let kept = observed
        .columns
        .iter()
        .map(|(name, value)| json(name) + json(value))
        .sum::<usize>();
    let named = observed
        .times
        .keys()
        .chain(observed.numbers.keys())
        .map(json)
        .sum::<usize>();
    (texts.into_iter().map(json).sum::<usize>() + kept + named) * 2 + EVENT_BYTES
}

/// Returns a hash of the text of a row. `key` is the secret key of the hash.
///
/// The hash includes the length of each value. The same text in different columns therefore gives
/// different hashes. The hash includes only the first `width` values. Additional delimiters at the
/// end of a row therefore have no effect.
fn row_fingerprint(key: &[u8; 32], record: &Record, width: usize) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for field in (0..width).map(|at| record.get(at)) {
        hasher
            .update(&(field.len() as u64).to_be_bytes())
            .update(field.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_or_rejected() {
        for (text, decimal, factor, wanted) in [
            ("5", None, 1, Some(5)),
            ("-3", None, 1, Some(-3)),
            ("3.0", None, 1, Some(3)),
            ("1,234", None, 1, None),
            ("3,00", Some(','), 1, Some(3)),
            ("1.234,0", Some(','), 1, Some(1234)),
            ("1 234", Some(','), 1, Some(1234)),
            ("1,5", Some(','), 60, Some(90)),
            ("1,5", Some(','), 1, None),
            ("1.23", Some(','), 1, None),
            ("12345678901234567890", None, 1, None),
            ("", None, 1, None),
            ("x", None, 1, None),
        ] {
            assert_eq!(
                number(text, decimal, factor),
                wanted,
                "{text} {decimal:?} {factor}"
            );
        }
    }

    #[test]
    fn unknown_keys_are_rejected_by_name() {
        let mapping = "source = \"S\"\n[columns]\ncase = \"id\"\ntime = \"when\"\nstate = { column = \"state\", vaules = {} }\n[time]\nformat = \"rfc3339\"\n";
        assert!(Mapping::parse(mapping).is_err_and(|error| error.to_string().contains("vaules")));
        let mapping = mapping.replace("vaules", "values");
        assert!(Mapping::parse(&mapping).is_ok());
        for (line, word) in [
            ("delimeter = \";\"", "delimeter"),
            ("delimiter = \"\"", "delimiter"),
            ("encoding = \"klingon\"", "klingon"),
            ("decimal = \"x\"", "decimal"),
        ] {
            let error = Mapping::parse(&format!("{line}\n{mapping}"))
                .expect_err("a mistake")
                .to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}

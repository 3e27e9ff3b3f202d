//! Parses the times in an imported log. The mapping (the import configuration) lists the allowed
//! time formats. The parser tries these formats in order.
//!
//! If a text contains an offset such as `+08:00`, the parser uses this offset. Otherwise, the
//! parser uses the time zone in the mapping.
//!
//! When daylight saving time ends, some local times occur twice. The parser then uses the first of
//! the two times. When daylight saving time starts, some local times do not exist. For such a local
//! time, the parser uses the offset that was valid before the change.

use events::Moment;
use infra::{Error, Kind};
use jiff::Timestamp;
use jiff::civil::{DateTime, datetime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

/// Maximum number of digits in a fraction of a second. The ninth digit means one nanosecond. The
/// parser removes all further digits.
const FRACTION_DIGITS_MAX: usize = 9;
/// The earliest accepted time, in milliseconds since 1970. The date is 1899-12-30, which is day 0
/// in spreadsheets. An earlier time is probably the result of a wrong format. For example, `%Y`
/// reads the two-digit year 26 as the year 26, and not as 2026.
const EARLIEST: i64 = -2_209_161_600_000;
/// A limit for distinguishing milliseconds from seconds. As milliseconds since 1970, a positive
/// number below this limit would mean a time before 1974. Such a number is rejected, because the
/// number probably means seconds.
const SECONDS_MAX: i64 = 100_000_000_000;
/// A sample time with which each time format of the mapping (the import configuration) is tested.
/// The month, the day, the hour, the minute and the second have two digits, so leading zeros do not
/// affect the test. The hour is after noon, so the test also includes PM.
const SAMPLE: DateTime = datetime(2026, 11, 23, 15, 14, 15, 678_000_000);
/// Texts that mean AM or PM in Chinese, Japanese, Korean and English. The parser replaces these
/// texts with `AM` or `PM`.
const HALVES: [(&str, &str); 10] = [
    ("上午", "AM"),
    ("下午", "PM"),
    ("午前", "AM"),
    ("午後", "PM"),
    ("오전", "AM"),
    ("오후", "PM"),
    ("a.m.", "AM"),
    ("p.m.", "PM"),
    ("A.M.", "AM"),
    ("P.M.", "PM"),
];

/// The time formats of one column, and the time zone for texts without an offset.
#[derive(Clone, Debug)]
pub struct Times {
    forms: Vec<Form>,
    zone: TimeZone,
    written: String,
}

#[derive(Clone, Debug)]
enum Form {
    /// The text is a time in the format of RFC 3339.
    Rfc3339,
    /// The text is a number of milliseconds since 1970 in UTC.
    EpochMs,
    Pattern {
        head: String,
        tail: Tail,
    },
}

/// Describes the end of a time format. The parser uses this description to find the time zone
/// offset in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// The format ends with a directive for a time zone offset, such as `%z`. This module parses
    /// the offset itself, because one file may contain different forms such as `Z`, `+0800` and
    /// `+08:00`.
    Offset,
    /// The format ends with the literal text `Z`, `UTC` or `GMT`. Each time is then in UTC.
    Utc,
}

impl Times {
    /// Creates a parser for times. `formats` and `zone` come from the mapping (the import
    /// configuration). Returns `Misconfigured` if a format or the time zone is not valid.
    pub fn new(formats: &[String], zone: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::new(Kind::Misconfigured, what);
        if formats.is_empty() {
            return Err(wrong("`format` names no format".into()));
        }
        let forms = formats
            .iter()
            .map(|format| form(format).map_err(wrong))
            .collect::<Result<Vec<_>, Error>>()?;
        let advice =
            "a zone is an IANA name such as Asia/Shanghai; Etc/GMT-8 is the fixed offset +08:00";
        let zone =
            zone_of(zone).map_err(|error| wrong(format!("zone {zone:?}: {error}; {advice}")))?;
        for (format, form) in formats.iter().zip(&forms) {
            form.check(&zone)
                .map_err(|error| wrong(format!("format {format:?} cannot read a time: {error}")))?;
        }
        Ok(Self {
            forms,
            zone,
            written: formats.join(" or "),
        })
    }

    /// Parses a text with the first format that fits the text, and returns the time. Returns an
    /// error text if no format fits.
    pub fn read(&self, text: &str) -> Result<Moment, String> {
        // Some programs write special spaces in times, such as a no-break space before PM. The
        // parser replaces every whitespace character with a normal space.
        let plain: String = text
            .chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .collect();
        let mut why = String::new();
        for form in &self.forms {
            match form.read(&plain, &self.zone) {
                Ok(at) => return Ok(Moment(at)),
                Err(error) => why = error,
            }
        }
        let why = if self.forms.len() == 1 {
            format!(": {why}")
        } else {
            String::new()
        };
        Err(format!(
            "{text:?} is not a time of the form {}{why}",
            self.written
        ))
    }
}

/// Returns the time zone with an IANA name such as `Asia/Shanghai`.
fn zone_of(name: &str) -> Result<TimeZone, jiff::Error> {
    // UTC needs no time zone database. The operating system may have no complete time zone
    // database. In this case, the program uses its built-in database.
    if name.eq_ignore_ascii_case("UTC") {
        Ok(TimeZone::UTC)
    } else {
        TimeZone::get(name).or_else(|_| jiff::tz::TimeZoneDatabase::bundled().get(name))
    }
}

fn form(format: &str) -> Result<Form, String> {
    let format = format.trim();
    if format.eq_ignore_ascii_case("rfc3339") {
        return Ok(Form::Rfc3339);
    }
    if format.eq_ignore_ascii_case("epoch_ms") {
        return Ok(Form::EpochMs);
    }
    if !format.contains('%') {
        return Err(format!(
            "format {format:?} has no directives such as %Y-%m-%d %H:%M:%S, and is not one of the names rfc3339 and epoch_ms; seconds since 1970 are \"%s\""
        ));
    }
    // In a time format, two percent signs mean one literal percent sign. A letter therefore belongs
    // to a directive such as `%z` only after an odd number of percent signs.
    let is_directive = |head: &str| head.chars().rev().take_while(|c| *c == '%').count() % 2 == 1;
    for directive in [":::z", "::z", ":z", "z", "Z"] {
        if let Some(head) = format
            .strip_suffix(directive)
            .filter(|head| is_directive(head))
        {
            return Ok(Form::Pattern {
                head: head[..head.len() - 1].to_owned(),
                tail: Tail::Offset,
            });
        }
    }
    let is_utc = ["Z", "UTC", "GMT"].iter().any(|name| {
        format
            .strip_suffix(name)
            .is_some_and(|head| !is_directive(head))
    });
    Ok(Form::Pattern {
        head: format.to_owned(),
        tail: if is_utc { Tail::Utc } else { Tail::Nothing },
    })
}

impl Form {
    /// Tests this time format: formats a sample time with the format, and parses the resulting
    /// text. With this test, an invalid format is found before the import reads the first row.
    /// `zone` is the time zone of the mapping (the import configuration).
    fn check(&self, zone: &TimeZone) -> Result<(), String> {
        let Self::Pattern { head, tail } = self else {
            return Ok(());
        };
        let has = |wanted: &[char]| directives(head).any(|directive| wanted.contains(&directive));
        if has(&['I', 'l']) && !has(&['p', 'P']) {
            return Err("%I and %l read the hours of half a day and need %p".into());
        }
        let sample = SAMPLE.to_zoned_datetime(zone.clone()).map_err(words)?;
        let mut written = BrokenDownTime::from(&sample)
            .to_string(head)
            .map_err(words)?;
        if *tail == Tail::Offset {
            written.push('Z');
        }
        self.instant_of(&written, zone).map(|_| ())
    }

    /// Parses a text with this time format. Returns the time in milliseconds since 1970. Rejects a
    /// time before [`EARLIEST`]. `zone` is the time zone for a text without an offset.
    fn read(&self, text: &str, zone: &TimeZone) -> Result<i64, String> {
        let at = self.instant_of(text, zone)?;
        if at < EARLIEST {
            return Err(
                "it is before 1900; if the year has two digits, its directive is %y".into(),
            );
        }
        Ok(at)
    }

    fn instant_of(&self, text: &str, zone: &TimeZone) -> Result<i64, String> {
        match self {
            Self::Rfc3339 => Ok(short(text)
                .parse::<Timestamp>()
                .map_err(words)?
                .as_millisecond()),
            Self::EpochMs => {
                let at = text.parse::<i64>().map_err(|error| error.to_string())?;
                if (1..SECONDS_MAX).contains(&at) {
                    return Err("it is before 1974 as milliseconds; seconds are \"%s\"".into());
                }
                Ok(Timestamp::from_millisecond(at)
                    .map_err(words)?
                    .as_millisecond())
            }
            Self::Pattern { head, tail } => {
                let text = &plain(head, text);
                let mut time = match tail {
                    Tail::Nothing | Tail::Utc => {
                        BrokenDownTime::parse(head, text).map_err(words)?
                    }
                    Tail::Offset => {
                        let (mut time, end) =
                            BrokenDownTime::parse_prefix(head, text).map_err(words)?;
                        let rest = text.get(end..).unwrap_or_default();
                        time.set_offset(Some(offset(rest).ok_or_else(|| {
                            format!("{rest:?} is not an offset such as +08:00 or Z")
                        })?));
                        time
                    }
                };
                if *tail == Tail::Utc {
                    time.set_offset(Some(Offset::UTC));
                }
                instant(&time, text, zone)
            }
        }
    }
}

fn words(error: jiff::Error) -> String {
    error.to_string()
}

/// Converts a parsed time to milliseconds since 1970.
///
/// If `text` contains a number of seconds since 1970, the result is computed from this number.
/// Otherwise, this function uses the offset or the time zone in `text`. If `text` contains no
/// offset and no time zone, this function uses `zone` (the time zone of the import configuration).
fn instant(time: &BrokenDownTime, text: &str, zone: &TimeZone) -> Result<i64, String> {
    if let Some(second) = time.timestamp() {
        let fraction = i64::from(time.subsec_nanosecond().unwrap_or_default() / 1_000_000);
        let fraction = if text.trim_start().starts_with('-') {
            -fraction
        } else {
            fraction
        };
        return Ok(second.as_millisecond() + fraction);
    }
    let zoned = if time.offset().is_some() || time.iana_time_zone().is_some() {
        time.to_zoned_datetime().map_err(words)?
    } else {
        time.to_datetime()
            .and_then(|local| local.to_zoned_datetime(zone.clone()))
            .map_err(words)?
    };
    Ok(zoned.timestamp().as_millisecond())
}

/// Parses a time zone offset such as `Z`, `UTC`, `GMT`, `+08`, `+0800`, `+08:00`, `+08:00:00` or
/// `GMT+8`. Returns `None` if the text is not such an offset.
fn offset(text: &str) -> Option<Offset> {
    let text = text.trim();
    if ["Z", "UTC", "GMT"]
        .iter()
        .any(|name| text.eq_ignore_ascii_case(name))
    {
        return Some(Offset::UTC);
    }
    let text = text
        .strip_prefix("UTC")
        .or_else(|| text.strip_prefix("GMT"))
        .unwrap_or(text);
    let (sign, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    if !digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return None;
    }
    let parts: Vec<&str> = match digits.len() {
        _ if digits.contains(':') => digits.split(':').collect(),
        1 | 2 => vec![digits],
        4 => vec![&digits[..2], &digits[2..]],
        6 => vec![&digits[..2], &digits[2..4], &digits[4..]],
        _ => return None,
    };
    let mut seconds = 0;
    for (part, (unit, max)) in parts.iter().zip([(3600, 25), (60, 59), (1, 59)]) {
        let number = part.parse::<i32>().ok().filter(|number| *number <= max)?;
        seconds += number * unit;
    }
    if parts.len() > 3 {
        None
    } else {
        Offset::from_seconds(sign * seconds).ok()
    }
}

/// Returns the letters of the directives in a time format. For `%-d.%m`, the letters are `d` and
/// `m`.
fn directives(pattern: &str) -> impl Iterator<Item = char> {
    pattern.split('%').skip(1).filter_map(|rest| {
        rest.chars()
            .find(|c| !matches!(c, '-' | '_' | '^' | '#' | ':' | '.' | '0'..='9'))
    })
}

/// Prepares `text` for the time format `pattern`, and returns the new text. If the format contains
/// AM or PM, this function replaces the words for AM and PM in other languages. If the format
/// contains a fraction of a second, this function removes all digits after the ninth digit of the
/// fraction.
fn plain(pattern: &str, text: &str) -> String {
    let mut text = text.to_owned();
    if directives(pattern).any(|directive| matches!(directive, 'p' | 'P')) {
        for (half, english) in HALVES {
            text = text.replace(half, english);
        }
    }
    if directives(pattern).any(|directive| matches!(directive, 'f' | 'N')) {
        short(&text)
    } else {
        text
    }
}

/// Returns a text in which each fraction has at most nine digits. The ninth digit of a fraction of
/// a second means one nanosecond. Further digits are removed.
fn short(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    // The number of digits since the last point or comma in the text. The value is `None` if the
    // current characters are not the digits of a fraction.
    let mut digits: Option<usize> = None;
    for c in text.chars() {
        digits = match (c, digits) {
            ('.' | ',', _) => Some(0),
            ('0'..='9', Some(count)) => Some(count + 1),
            _ => None,
        };
        if digits.is_none_or(|count| count <= FRACTION_DIGITS_MAX) {
            short.push(c);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(formats: &[&str], zone: &str, text: &str) -> Result<String, String> {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        let at = Times::new(&formats, zone)
            .map_err(|error| error.to_string())?
            .read(text)?;
        Ok(Timestamp::from_millisecond(at.0)
            .map_err(|error| error.to_string())?
            .to_string())
    }

    fn reads(format: &str, zone: &str, text: &str, wanted: &str) {
        assert_eq!(
            read(&[format], zone, text).as_deref(),
            Ok(wanted),
            "{text} by {format} in {zone}"
        );
    }

    #[test]
    fn an_offset_in_the_text_outweighs_the_zone() {
        let wanted = "2026-01-01T02:00:00Z";
        for format in [
            "%Y-%m-%dT%H:%M:%S%:z",
            "%Y-%m-%dT%H:%M:%S%z",
            "%FT%T %z",
            "%FT%T%Z",
        ] {
            for text in [
                "2026-01-01T10:00:00+08:00",
                "2026-01-01T10:00:00+0800",
                "2026-01-01T10:00:00 +08",
                "2026-01-01T02:00:00Z",
                "2026-01-01T02:00:00 UTC",
            ] {
                reads(format, "America/New_York", text, wanted);
            }
        }
        reads(
            "%z %Y-%m-%d %H:%M",
            "America/New_York",
            "+0800 2026-01-01 10:00",
            wanted,
        );
        reads(
            "%Y-%m-%dT%H:%M:%SZ",
            "Asia/Shanghai",
            "2026-01-01T02:00:00Z",
            wanted,
        );
        reads(
            "%Y-%m-%d %H:%M:%S UTC",
            "Asia/Shanghai",
            "2026-01-01 02:00:00 UTC",
            wanted,
        );
        reads("%s", "Asia/Shanghai", "1767232800", wanted);
        reads(
            "%s%.f",
            "Asia/Shanghai",
            "1767232800.250",
            "2026-01-01T02:00:00.25Z",
        );
        reads("epoch_ms", "Asia/Shanghai", "1767232800000", wanted);
        reads(
            "%Y-%m-%d %H:%M",
            "Asia/Shanghai",
            "2026-01-01 10:00",
            wanted,
        );
        assert!(
            read(&["%Y-%m-%d %H:%M"], "UTC", "2026-01-01 10:00+08:00").is_err(),
            "an offset that the format does not read is an error"
        );
    }

    #[test]
    fn rfc_3339_is_read_in_all_its_forms() {
        for text in [
            "2026-01-01T10:00:00+08:00",
            "2026-01-01t02:00:00z",
            "2026-01-01 02:00:00Z",
            "2026-01-01T02:00:00.0000000000001Z",
            "2026-01-01T02:00:00-00:00",
        ] {
            reads("rfc3339", "Asia/Shanghai", text, "2026-01-01T02:00:00Z");
        }
        assert!(read(&["rfc3339"], "UTC", "2026-01-01T02:00:00").is_err());
    }

    #[test]
    fn formats_are_tried_in_order() {
        let formats = ["%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"];
        assert_eq!(
            read(&formats, "UTC", "2026-02-28 23:33:58").as_deref(),
            Ok("2026-02-28T23:33:58Z")
        );
        assert_eq!(
            read(&formats, "UTC", "28/02/2026 23:33:58").as_deref(),
            Ok("2026-02-28T23:33:58Z")
        );
        assert_eq!(
            read(&formats, "UTC", "gestern"),
            Err(
                "\"gestern\" is not a time of the form %d/%m/%Y %H:%M:%S or %Y-%m-%d %H:%M:%S"
                    .into()
            )
        );
        assert!(read(&["DD/MM/YYYY"], "UTC", "x").is_err_and(|error| error.contains("rfc3339")));
    }

    #[test]
    fn a_format_that_cannot_read_a_time_is_an_error_of_the_mapping() {
        for (format, word) in [
            ("%q", "q"),
            ("%Y-%m-%d %K:%M", "K"),
            ("%+", "+"),
            ("%c", "%c"),
            ("%H:%M", "date"),
            ("%Y-%m", "date"),
            ("%d.%m.%Y %I:%M", "%p"),
        ] {
            let error = Times::new(&[format.to_owned()], "Europe/Berlin")
                .map(|_| ())
                .expect_err(format)
                .to_string();
            assert!(error.contains(format) && error.contains(word), "{error}");
        }
        for zone in ["UTC", "Asia/Shanghai"] {
            for format in [
                "%Y-%m-%d",
                "%y%m%d",
                "%d.%m.%Y %H:%M:%S",
                "%e %b %Y %k:%M",
                "%A, %B %d, %Y %I:%M %p",
                "%a, %d %b %Y %T %z",
                "%a %b %d %T %z %Y",
                "%Y年%m月%d日 %p%I:%M",
                "%F %T%.f",
                "%FT%T.%fZ",
                "%FT%T,%f",
                "%s",
                "%s%.f",
                "%F %R %Q",
                "%Y-%j",
                "%G-W%V-%u",
                "%D %R",
                "%-d/%-m/%Y %l:%M %P",
                "%F %T %:z",
                "%F %T%Z",
                "%F %T UTC",
                "100%% %F",
            ] {
                assert!(
                    Times::new(&[format.to_owned()], zone).is_ok(),
                    "{format} in {zone}: {:?}",
                    Times::new(&[format.to_owned()], zone).map(|_| ())
                );
            }
        }
    }

    #[test]
    fn a_time_in_a_wrong_format_is_not_read_as_an_early_time() {
        assert!(read(&["%d.%m.%Y"], "UTC", "28.02.26").is_err_and(|error| error.contains("%y")));
        assert_eq!(
            read(&["%d.%m.%Y", "%d.%m.%y"], "UTC", "28.02.26").as_deref(),
            Ok("2026-02-28T00:00:00Z")
        );
        assert!(read(&["%Y-%m-%d"], "UTC", "0001-01-01").is_err());
        assert!(read(&["epoch_ms"], "UTC", "1767232800").is_err_and(|error| error.contains("%s")));
        assert_eq!(
            read(&["epoch_ms", "%s"], "UTC", "1767232800").as_deref(),
            Ok("2026-01-01T02:00:00Z")
        );
        assert_eq!(
            read(&["%Y-%m-%d"], "Asia/Shanghai", "1900-01-01").as_deref(),
            Ok("1899-12-31T15:54:17Z")
        );
    }

    #[test]
    fn halves_of_a_day_and_long_fractions_are_read() {
        for text in [
            "2026/1/2 下午3:05",
            "2026/1/2 午後3:05",
            "2026/1/2 오후 3:05",
            "2026/1/2 PM3:05",
            "2026/1/2 p.m. 3:05",
        ] {
            reads("%Y/%m/%d %p %I:%M", "UTC", text, "2026-01-02T15:05:00Z");
        }
        reads(
            "%Y/%m/%d %I:%M %p",
            "UTC",
            "2026/1/2 12:05 上午",
            "2026-01-02T00:05:00Z",
        );
        reads(
            "%d.%m.%Y %T%.f",
            "UTC",
            "02.01.2026 10:00:00.1234567890123",
            "2026-01-02T10:00:00.123Z",
        );
        reads(
            "%FT%T,%f",
            "UTC",
            "2026-01-02T10:00:00,5",
            "2026-01-02T10:00:00.5Z",
        );
    }

    #[test]
    fn local_times_around_a_change_of_the_clocks_follow_one_rule() {
        reads(
            "%Y-%m-%d %H:%M",
            "Europe/Berlin",
            "2026-10-25 02:30",
            "2026-10-25T00:30:00Z",
        );
        reads(
            "%Y-%m-%d %H:%M",
            "Europe/Berlin",
            "2026-03-29 02:30",
            "2026-03-29T01:30:00Z",
        );
    }
}

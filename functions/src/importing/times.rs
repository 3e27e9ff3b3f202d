//! Reads the times of a log: by the formats of the mapping, in their order.
//!
//! An offset in the text outweighs the zone of the mapping. A local time that the clocks pass twice is the first one; a local time that the
//! clocks skip is read with the offset before the change.

use events::Moment;
use infra::{Error, Kind};
use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

/// Digits of a fraction of a second that are read; the rest is below a nanosecond.
const FRACTION_DIGITS_MAX: usize = 9;

/// The formats of one column, and the zone of texts that have no offset.
#[derive(Clone, Debug)]
pub struct Times {
    forms: Vec<Form>,
    zone: TimeZone,
    written: String,
}

#[derive(Clone, Debug)]
enum Form {
    /// RFC 3339 in all its forms.
    Rfc3339,
    /// Milliseconds since 1970 in UTC.
    EpochMs,
    Pattern {
        head: String,
        tail: Tail,
    },
}

/// What a pattern has at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// A directive for an offset. It is read here, since `Z` and offsets with and without a colon occur in one file.
    Offset,
    /// The literal `Z`, `UTC` or `GMT`.
    Utc,
}

impl Times {
    /// Formats and zone as the mapping has them.
    pub fn new(formats: &[String], zone: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::new(Kind::Misconfigured, what);
        if formats.is_empty() {
            return Err(wrong("`format` names no format".into()));
        }
        let forms = formats.iter().map(|format| form(format).map_err(wrong)).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self {
            forms,
            zone: zone_of(zone).map_err(|error| Error::because(Kind::Misconfigured, format!("zone {zone}"), error))?,
            written: formats.join(" or "),
        })
    }

    /// Reads a text by the first format that fits.
    pub fn read(&self, text: &str) -> Result<Moment, String> {
        // Programs put no-break spaces into times, for example in front of PM.
        let plain: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        let mut why = String::new();
        for form in &self.forms {
            match form.read(&plain, &self.zone) {
                Ok(at) => return Ok(Moment(at)),
                Err(error) => why = error,
            }
        }
        let why = if self.forms.len() == 1 { format!(": {why}") } else { String::new() };
        Err(format!("{text:?} is not a time of the form {}{why}", self.written))
    }
}

/// The zone of a name; UTC needs no time zone database.
fn zone_of(name: &str) -> Result<TimeZone, jiff::Error> {
    // The program brings the database along for systems that have none or only a part of it.
    if name.eq_ignore_ascii_case("UTC") { Ok(TimeZone::UTC) } else { TimeZone::get(name).or_else(|_| jiff::tz::TimeZoneDatabase::bundled().get(name)) }
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
        return Err(format!("format {format:?} has no directives such as %Y-%m-%d %H:%M:%S, and is not one of the names rfc3339 and epoch_ms"));
    }
    // A directive follows an odd number of percent signs.
    let is_directive = |head: &str| head.chars().rev().take_while(|c| *c == '%').count() % 2 == 1;
    for directive in [":::z", "::z", ":z", "z", "Z"] {
        if let Some(head) = format.strip_suffix(directive).filter(|head| is_directive(head)) {
            return Ok(Form::Pattern { head: head[..head.len() - 1].to_owned(), tail: Tail::Offset });
        }
    }
    let is_utc = ["Z", "UTC", "GMT"].iter().any(|name| format.strip_suffix(name).is_some_and(|head| !is_directive(head)));
    Ok(Form::Pattern { head: format.to_owned(), tail: if is_utc { Tail::Utc } else { Tail::Nothing } })
}

impl Form {
    /// Milliseconds since 1970.
    fn read(&self, text: &str, zone: &TimeZone) -> Result<i64, String> {
        match self {
            Self::Rfc3339 => Ok(short(text).parse::<Timestamp>().map_err(words)?.as_millisecond()),
            Self::EpochMs => {
                let at = text.parse::<i64>().map_err(|error| error.to_string())?;
                Ok(Timestamp::from_millisecond(at).map_err(words)?.as_millisecond())
            }
            Self::Pattern { head, tail } => {
                let mut time = match tail {
                    Tail::Nothing | Tail::Utc => BrokenDownTime::parse(head, text).map_err(words)?,
                    Tail::Offset => {
                        let (mut time, end) = BrokenDownTime::parse_prefix(head, text).map_err(words)?;
                        let rest = text.get(end..).unwrap_or_default();
                        time.set_offset(Some(offset(rest).ok_or_else(|| format!("{rest:?} is not an offset such as +08:00 or Z"))?));
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

/// The instant of a parsed time: of its epoch seconds, else of its own offset or zone, else in the zone of the mapping.
fn instant(time: &BrokenDownTime, text: &str, zone: &TimeZone) -> Result<i64, String> {
    if let Some(second) = time.timestamp() {
        let fraction = i64::from(time.subsec_nanosecond().unwrap_or_default() / 1_000_000);
        let fraction = if text.trim_start().starts_with('-') { -fraction } else { fraction };
        return Ok(second.as_millisecond() + fraction);
    }
    let zoned = if time.offset().is_some() || time.iana_time_zone().is_some() {
        time.to_zoned_datetime().map_err(words)?
    } else {
        time.to_datetime().and_then(|local| local.to_zoned_datetime(zone.clone())).map_err(words)?
    };
    Ok(zoned.timestamp().as_millisecond())
}

/// Reads `Z`, `UTC`, `GMT`, `+08`, `+0800`, `+08:00`, `+08:00:00`, and `GMT+8`.
fn offset(text: &str) -> Option<Offset> {
    let text = text.trim();
    if ["Z", "UTC", "GMT"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(Offset::UTC);
    }
    let text = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT")).unwrap_or(text);
    let (sign, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
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
    if parts.len() > 3 { None } else { Offset::from_seconds(sign * seconds).ok() }
}

/// A time without the digits of its fraction that are below a nanosecond.
fn short(text: &str) -> String {
    let Some(point) = text.find(['.', ',']) else { return text.to_owned() };
    let (head, fraction) = text.split_at(point + 1);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    format!("{head}{}{}", &fraction[..digits.min(FRACTION_DIGITS_MAX)], &fraction[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(formats: &[&str], zone: &str, text: &str) -> Result<String, String> {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        let at = Times::new(&formats, zone).map_err(|error| error.to_string())?.read(text)?;
        Ok(Timestamp::from_millisecond(at.0).map_err(|error| error.to_string())?.to_string())
    }

    fn reads(format: &str, zone: &str, text: &str, wanted: &str) {
        assert_eq!(read(&[format], zone, text).as_deref(), Ok(wanted), "{text} by {format} in {zone}");
    }

    #[test]
    fn an_offset_in_the_text_outweighs_the_zone() {
        let wanted = "2026-01-01T02:00:00Z";
        for format in ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M:%S%z", "%FT%T %z", "%FT%T%Z"] {
            for text in ["2026-01-01T10:00:00+08:00", "2026-01-01T10:00:00+0800", "2026-01-01T10:00:00 +08", "2026-01-01T02:00:00Z", "2026-01-01T02:00:00 UTC"]
            {
                reads(format, "America/New_York", text, wanted);
            }
        }
        reads("%z %Y-%m-%d %H:%M", "America/New_York", "+0800 2026-01-01 10:00", wanted);
        reads("%Y-%m-%dT%H:%M:%SZ", "Asia/Shanghai", "2026-01-01T02:00:00Z", wanted);
        reads("%Y-%m-%d %H:%M:%S UTC", "Asia/Shanghai", "2026-01-01 02:00:00 UTC", wanted);
        reads("%s", "Asia/Shanghai", "1767232800", wanted);
        reads("%s%.f", "Asia/Shanghai", "1767232800.250", "2026-01-01T02:00:00.25Z");
        reads("epoch_ms", "Asia/Shanghai", "1767232800000", wanted);
        reads("%Y-%m-%d %H:%M", "Asia/Shanghai", "2026-01-01 10:00", wanted);
        assert!(read(&["%Y-%m-%d %H:%M"], "UTC", "2026-01-01 10:00+08:00").is_err(), "an offset that the format does not read is an error");
    }

    #[test]
    fn rfc_3339_is_read_in_all_its_forms() {
        for text in
            ["2026-01-01T10:00:00+08:00", "2026-01-01t02:00:00z", "2026-01-01 02:00:00Z", "2026-01-01T02:00:00.0000000000001Z", "2026-01-01T02:00:00-00:00"]
        {
            reads("rfc3339", "Asia/Shanghai", text, "2026-01-01T02:00:00Z");
        }
        assert!(read(&["rfc3339"], "UTC", "2026-01-01T02:00:00").is_err());
    }

    #[test]
    fn formats_are_tried_in_order() {
        let formats = ["%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"];
        assert_eq!(read(&formats, "UTC", "2026-02-28 23:33:58").as_deref(), Ok("2026-02-28T23:33:58Z"));
        assert_eq!(read(&formats, "UTC", "28/02/2026 23:33:58").as_deref(), Ok("2026-02-28T23:33:58Z"));
        assert_eq!(read(&formats, "UTC", "gestern"), Err("\"gestern\" is not a time of the form %d/%m/%Y %H:%M:%S or %Y-%m-%d %H:%M:%S".into()));
        assert!(read(&["DD/MM/YYYY"], "UTC", "x").is_err_and(|error| error.contains("rfc3339")));
    }

    #[test]
    fn local_times_around_a_change_of_the_clocks_follow_one_rule() {
        reads("%Y-%m-%d %H:%M", "Europe/Berlin", "2026-10-25 02:30", "2026-10-25T00:30:00Z");
        reads("%Y-%m-%d %H:%M", "Europe/Berlin", "2026-03-29 02:30", "2026-03-29T01:30:00Z");
    }
}

//! Reads delimited records, one at a time: with the line of the file on which each begins, and with a bound on the memory that one may take.
//!
//! Quotes follow RFC 4180. A quote opens a value at its beginning only (blanks may precede it); elsewhere a quote is a character like any other.

use std::io::{self, ErrorKind, Read};

/// Bytes that one record may hold. The longest value of a real log is a description of some 10 KiB; a larger record has an unclosed quote.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// Removes the blanks around a value: spaces, tabs, the ideographic space, the no-break space, and marks without a width.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

/// The name of a column: without the blanks around it, and with one blank where it has several or a line end.
pub fn name_of(text: &str) -> String {
    trimmed(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The reason why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The record holds more than [`RECORD_BYTES_MAX`] bytes; its values were dropped while it was read.
    TooLong,
    /// The file ends inside a quoted value.
    Unclosed {
        /// The line on which the quote opens.
        line: u64,
    },
    /// A value is not valid text.
    NotText {
        /// The column of the first such value, from 0.
        column: usize,
    },
}

/// One record: its values in one text.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The line of the file on which the record begins, from 1.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Record {
    /// The number of values.
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    /// A value as the file has it; empty behind the last one.
    pub fn get(&self, at: usize) -> &str {
        let Some(end) = self.ends.get(at) else {
            return "";
        };
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[from..*end]
    }

    /// All values in their order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.width()).map(|at| self.get(at))
    }
}

/// The place of the reader within a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing or blanks of a value were read.
    Blank,
    /// Inside a value without quotes, or behind a closed quote.
    Plain,
    Quoted,
    /// Behind a quote that closes the value, unless another quote follows.
    Closed,
}

/// A reader of records over UTF-8 bytes.
pub struct Records<R> {
    input: R,
    delimiter: u8,
    chunk: Vec<u8>,
    at: usize,
    filled: usize,
    /// The line of the next byte.
    line: u64,
    /// The last byte was a carriage return: a line feed behind it ends the same line.
    after_return: bool,
}

impl<R: Read> Records<R> {
    /// A reader whose input begins on a line of the file.
    pub fn new(input: R, delimiter: u8, line: u64) -> Self {
        Self {
            input,
            delimiter,
            chunk: vec![0; CHUNK],
            at: 0,
            filled: 0,
            line,
            after_return: false,
        }
    }

    /// The line of the next byte.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Says whether the input has no more bytes.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.at == self.filled && !self.fill()?)
    }

    /// Reads the next record; `None` at the end of the input. Lines of blanks are skipped.
    pub fn read(&mut self, record: &mut Record) -> io::Result<Option<Result<(), Fault>>> {
        loop {
            let read = self.read_any(record)?;
            let is_blank = matches!(read, Some(Ok(())))
                && record.width() == 1
                && trimmed(record.get(0)).is_empty();
            if !is_blank {
                return Ok(read);
            }
        }
    }

    fn read_any(&mut self, record: &mut Record) -> io::Result<Option<Result<(), Fault>>> {
        let mut bytes = std::mem::take(&mut record.text).into_bytes();
        bytes.clear();
        record.ends.clear();
        if !self.skip_line_ends()? {
            return Ok(None);
        }
        record.line = self.line;
        let mut state = State::Blank;
        // Where the current value begins in `bytes`, and the line of its quote.
        let mut begin = 0;
        let mut quote_line = self.line;
        let mut is_long = false;
        loop {
            if self.at == self.filled && !self.fill()? {
                break;
            }
            let rest = &self.chunk[self.at..self.filled];
            let is_special = |byte: &u8| {
                matches!(byte, b'"' | b'\r' | b'\n')
                    || (*byte == self.delimiter && state != State::Quoted)
            };
            let run = rest.iter().position(is_special).unwrap_or(rest.len());
            if run > 0 {
                let text = &rest[..run];
                state = match state {
                    State::Quoted => State::Quoted,
                    State::Blank if text.iter().all(|byte| matches!(byte, b' ' | b'\t')) => {
                        State::Blank
                    }
                    _ => State::Plain,
                };
                if !is_long {
                    bytes.extend_from_slice(text);
                }
                self.after_return = false;
                self.at += run;
            }
            if !is_long && bytes.len() + record.ends.len() * size_of::<usize>() > RECORD_BYTES_MAX {
                is_long = true;
                bytes.clear();
                record.ends.clear();
            }
            let Some(special) = self.chunk[..self.filled].get(self.at).copied() else {
                continue;
            };
            match special {
                b'\r' | b'\n' => {
                    self.end_line(special);
                    if state != State::Quoted {
                        break;
                    }
                    if !is_long {
                        bytes.push(special);
                    }
                    continue;
                }
                b'"' => match state {
                    State::Blank => {
                        bytes.truncate(begin);
                        state = State::Quoted;
                        quote_line = self.line;
                    }
                    State::Quoted => state = State::Closed,
                    State::Closed | State::Plain => {
                        if !is_long {
                            bytes.push(special);
                        }
                        state = if state == State::Closed {
                            State::Quoted
                        } else {
                            State::Plain
                        };
                    }
                },
                _ => {
                    if !is_long {
                        record.ends.push(bytes.len());
                    }
                    begin = bytes.len();
                    state = State::Blank;
                }
            }
            self.after_return = false;
            self.at += 1;
        }
        if !is_long {
            record.ends.push(bytes.len());
        }
        let is_text = keep(record, bytes);
        Ok(Some(match is_text {
            _ if state == State::Quoted => Err(Fault::Unclosed { line: quote_line }),
            _ if is_long => Err(Fault::TooLong),
            Err(column) => Err(Fault::NotText { column }),
            Ok(()) => Ok(()),
        }))
    }

    /// Skips the ends of lines in front of a record; says whether a record follows.
    fn skip_line_ends(&mut self) -> io::Result<bool> {
        loop {
            if self.at == self.filled && !self.fill()? {
                return Ok(false);
            }
            match self.chunk[self.at] {
                byte @ (b'\r' | b'\n') => self.end_line(byte),
                _ => return Ok(true),
            }
        }
    }

    /// Takes the byte of a line's end: CR, LF, and CR with LF each end one line.
    fn end_line(&mut self, byte: u8) {
        if byte == b'\r' || !self.after_return {
            self.line += 1;
        }
        self.after_return = byte == b'\r';
        self.at += 1;
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.at = 0;
        self.filled = 0;
        loop {
            match self.input.read(&mut self.chunk) {
                Ok(read) => {
                    self.filled = read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Puts the bytes into the record. Where a value is not text, the column of the first one is the error, and the record has replacement characters.
fn keep(record: &mut Record, bytes: Vec<u8>) -> Result<(), usize> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if record.ends.iter().all(|end| text.is_char_boundary(*end)) => {
            record.text = text;
            return Ok(());
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut wrong = None;
    let mut from = 0;
    for (column, end) in record.ends.iter_mut().enumerate() {
        let value = &bytes[from..*end];
        if wrong.is_none() && std::str::from_utf8(value).is_err() {
            wrong = Some(column);
        }
        from = *end;
        record.text.push_str(&String::from_utf8_lossy(value));
        *end = record.text.len();
    }
    Err(wrong.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every record of a text: its line, and its values or its fault.
    fn all(text: &[u8]) -> Vec<(u64, Result<Vec<String>, Fault>)> {
        let mut records = Records::new(text, b',', 1);
        let mut record = Record::default();
        let mut found = Vec::new();
        while let Some(read) = records.read(&mut record).expect("memory can be read") {
            found.push((
                record.line,
                read.map(|()| record.values().map(str::to_owned).collect()),
            ));
        }
        found
    }

    fn row(line: u64, values: &[&str]) -> (u64, Result<Vec<String>, Fault>) {
        (
            line,
            Ok(values.iter().map(|value| (*value).to_owned()).collect()),
        )
    }

    #[test]
    fn a_record_begins_on_its_physical_line() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "", "", "c,\"d", "", "e\"", "   ", "f,g", ""].join(end);
            let inner = format!("d{end}{end}e");
            assert_eq!(
                all(text.as_bytes()),
                [
                    row(1, &["a", "b"]),
                    row(4, &["c", &inner]),
                    row(8, &["f", "g"])
                ],
                "{end:?}"
            );
        }
    }

    #[test]
    fn quotes_open_values_at_their_beginning_only() {
        let text = b"\"a,\"\"b\"\"\", \"c, d\" ,5\" disk,\"\"\nx,,\"y\"z\n";
        assert_eq!(
            all(text),
            [
                row(1, &["a,\"b\"", "c, d ", "5\" disk", ""]),
                row(2, &["x", "", "yz"])
            ]
        );
    }

    #[test]
    fn an_unclosed_quote_is_named_by_its_line() {
        assert_eq!(
            all(b"a,b\nc,\"d\ne,f\n"),
            [row(1, &["a", "b"]), (2, Err(Fault::Unclosed { line: 2 }))]
        );
        assert_eq!(
            all(b"a,\"b\nc\",\"d\n"),
            [(1, Err(Fault::Unclosed { line: 2 }))]
        );
    }

    #[test]
    fn a_record_over_the_bound_is_dropped_and_reading_continues() {
        let long = "x".repeat(RECORD_BYTES_MAX + 1);
        let text = format!("a,b\n{long},\"{long}\n\"\nc,d\n");
        assert_eq!(
            all(text.as_bytes()),
            [
                row(1, &["a", "b"]),
                (2, Err(Fault::TooLong)),
                row(4, &["c", "d"])
            ]
        );
        let commas = ",".repeat(RECORD_BYTES_MAX);
        assert_eq!(
            all(format!("{commas}\nc,d").as_bytes()),
            [(1, Err(Fault::TooLong)), row(2, &["c", "d"])]
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_named_by_their_column() {
        assert_eq!(
            all(b"a,caf\xe9\n\xc3,\xa9\nc,d\n"),
            [
                (1, Err(Fault::NotText { column: 1 })),
                (2, Err(Fault::NotText { column: 0 })),
                row(3, &["c", "d"])
            ]
        );
    }
}

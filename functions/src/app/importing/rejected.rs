//! Writes the rejected rows of an import to a CSV file. For each row, the file contains the line
//! number, the reason and the values.

use std::fs::File;
use std::path::{Path, PathBuf};

use infra::{Error, Kind};

use super::Log;
use super::records::Record;

/// A CSV file for the rejected rows of an import.
pub struct Rejected {
    path: PathBuf,
    file: csv::Writer<File>,
}

impl Rejected {
    /// Creates the CSV file and writes its header. The columns are the line number, the reason, and
    /// all columns of the imported log.
    ///
    /// Returns an error if `path` is the imported log or the mapping file, because the new file
    /// would overwrite the existing file.
    pub fn create(path: &Path, log: &Log, mapping: &Path) -> Result<Self, Error> {
        let is_same = |other: &Path| {
            path.canonicalize()
                .is_ok_and(|path| other.canonicalize().is_ok_and(|other| other == path))
        };
        for (input, what) in [
            (log.path.as_path(), "the log itself"),
            (mapping, "the mapping"),
        ] {
            if is_same(input) {
                return Err(Error::new(
                    Kind::Misconfigured,
                    format!("--rejected {} is {what}; name another file", path.display()),
                ));
            }
        }
        let file = File::create(path).map_err(|error| {
            Error::because(
                Kind::Misconfigured,
                format!("cannot write {}", path.display()),
                error,
            )
        })?;
        let mut rejected = Self {
            path: path.to_owned(),
            file: csv::WriterBuilder::new().flexible(true).from_writer(file),
        };
        // The file of rejected rows has two more columns than the imported log: `line` and
        // `reason`. If the log already has a column with one of these names, the new column gets
        // the prefix `import_`.
        let own = ["line", "reason"].map(|name| {
            if log.headers.iter().any(|header| header == name) {
                format!("import_{name}")
            } else {
                name.to_owned()
            }
        });
        rejected.put(own.iter().chain(&log.headers).map(String::as_str))?;
        Ok(rejected)
    }

    /// Writes one rejected row with its line number and the reason.
    pub fn write(&mut self, record: &Record, reason: &str) -> Result<(), Error> {
        let line = record.line.to_string();
        self.put([line.as_str(), reason].into_iter().chain(record.values()))
    }

    /// Writes all buffered rows to the file. The file is complete after this call.
    pub fn close(mut self) -> Result<(), Error> {
        self.file.flush().map_err(|error| {
            Error::because(
                Kind::Misconfigured,
                format!("cannot write {}", self.path.display()),
                error,
            )
        })
    }

    fn put<'a>(&mut self, values: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        self.file.write_record(values).map_err(|error| {
            Error::because(
                Kind::Misconfigured,
                format!("cannot write {}", self.path.display()),
                error,
            )
        })
    }
}

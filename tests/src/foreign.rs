//! This module installs and starts programs of other vendors, such as a mail relay or an LDAP server.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Process, root};

/// Installs the programs of other vendors if they are not installed yet. Returns the path of the directory
/// with the programs.
pub fn installed() -> PathBuf {
    let status = Command::new(root().join("tests/foreign/install"))
        .status()
        .expect("the installation runs");
    assert!(status.success(), "the programs are installed");
    root().join("target/foreign")
}

/// Starts a program. Everything that the program prints is appended to the file `output`.
pub fn spawn(command: &mut Command, output: &Path) -> Process {
    let file = File::options()
        .create(true)
        .append(true)
        .open(output)
        .expect("a file");
    let child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a file"))
        .stderr(file)
        .spawn()
        .expect("the program runs");
    Process(child)
}

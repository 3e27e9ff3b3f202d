//! This module installs and starts programs of other vendors, such as a mail relay or an LDAP server.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::process::{Process, root, until};

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

/// Writes the certificate of a new authority (`ca.pem`), and a certificate of this authority for 127.0.0.1 with its key
/// (`server.pem` and `server.key`), to a new directory.
pub fn certificates(folder: &Path) {
    std::fs::create_dir(folder).expect("a new directory");
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
    ];
    let openssl = |arguments: &[&[&str]]| {
        let output = Command::new("openssl")
            .args(arguments.concat())
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
    };
    let authority = ["ca.key", "-out", "ca.pem", "-days", "2"];
    openssl(&[
        &["req", "-x509"],
        &key,
        &authority,
        &["-subj", "/CN=test authority"],
    ]);
    let names = [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ];
    openssl(&[
        &["req"],
        &key,
        &["server.key", "-out", "server.csr"],
        &names,
    ]);
    openssl(&[
        &["x509", "-req", "-in", "server.csr", "-out", "server.pem"],
        &["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
        &["-days", "2", "-copy_extensions", "copy"],
    ]);
}

/// Starts the MQTT broker mosquitto on a port of the loopback address, and waits until the broker accepts
/// connections. The directory `folder` contains the configuration and the log of the broker. If `keeps` is true,
/// the broker stores its sessions and its retained messages in this directory, at the latest when it ends in
/// order. Otherwise, the broker stores nothing on the disk.
pub async fn mosquitto(folder: &Path, port: u16, keeps: bool) -> Process {
    let configuration = folder.join("mosquitto.conf");
    // Mosquitto changes its user if it is started as root. This user may not write to the folder.
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence {keeps}\npersistence_location {}/\nuser root\n",
        folder.display()
    );
    std::fs::write(&configuration, text).expect("written");
    let mut command = Command::new(installed().join("mosquitto"));
    command.arg("-c").arg(configuration);
    let broker = spawn(&mut command, &folder.join("broker.log"));
    until("the broker listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .map_err(|error| json!(error.to_string()))
    })
    .await;
    broker
}

//! This module runs a directory service for tests of automation: an OpenLDAP server (slapd) with the password
//! policy overlay. Three wrong passwords lock an account.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use infra::accounts::{Protection, Server};
use serde_json::json;

use crate::foreign::{installed, spawn};
use crate::process::{Process, free_port, root, until};

/// An OpenLDAP server on a free port of this machine, with the data of `tests/foreign/ldap`. The server ends
/// when this value is dropped.
pub struct Directory {
    port: u16,
    tools: PathBuf,
    _process: Process,
}

impl Directory {
    /// Starts a server that stores its data and its log in `folder`. Returns when the server accepts connections.
    pub async fn start(folder: &Path) -> Self {
        let (tools, port) = (installed(), free_port());
        let mut command = Command::new(root().join("tests/foreign/ldap"));
        command.arg(folder.join("directory")).arg(port.to_string());
        let process = spawn(&mut command, &folder.join("slapd.log"));
        until("slapd listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .map_err(|error| json!(error.to_string()))
        })
        .await;
        Self {
            port,
            tools,
            _process: process,
        }
    }

    /// Returns the settings with which an adapter logs in to the server as the account of the desk.
    pub fn server(&self) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: self.port,
            protection: Protection::None,
            base: "ou=people,dc=example,dc=com".into(),
            attribute: "uid".into(),
            user: "cn=desk,ou=services,dc=example,dc=com".into(),
            password: "desk-secret".into(),
            timeout: Duration::from_secs(8),
        }
    }

    /// Returns the definition of a platform (an external system that automation scripts can use) as TOML.
    /// `name` is the name of the platform. The desk logs in to this server without encryption.
    pub fn platform(&self, name: &str) -> String {
        format!(
            "[[platform]]\nname = \"{name}\"\nkind = \"ldap\"\nurl = \"ldap://127.0.0.1:{}\"\ntls = \"none\"\n\
             base = \"ou=people,dc=example,dc=com\"\nuser = \"cn=desk,ou=services,dc=example,dc=com\"\n",
            self.port
        )
    }

    /// Runs a client program of OpenLDAP, such as `ldapsearch`, with the address of the server.
    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        Command::new(self.tools.join(name))
            .args(["-x", "-H", &format!("ldap://127.0.0.1:{}", self.port)])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the tool runs")
    }

    /// Logs in as a person. Returns false if the password is wrong or the account is locked.
    pub fn login(&self, name: &str, password: &str) -> bool {
        let entry = format!("uid={name},ou=people,dc=example,dc=com");
        let done = self.tool("ldapwhoami", &["-D", &entry, "-w", password]);
        done.status.success()
    }

    /// Locks an account: the function sends three logins with a wrong password.
    pub fn lock(&self, name: &str) {
        for _ in 0..3 {
            assert!(!self.login(name, "wrong"));
        }
        assert!(
            self.entry(name).contains("pwdAccountLockedTime:"),
            "{name} is locked"
        );
        assert!(
            !self.login(name, &format!("{name}-secret")),
            "{name} is locked"
        );
    }

    /// Returns the entry of an account with the attributes of its lock, as the program `ldapsearch` prints it.
    pub fn entry(&self, name: &str) -> String {
        let filter = format!("(uid={name})");
        let found = self.tool(
            "ldapsearch",
            &[
                "-LLL",
                "-D",
                "cn=desk,ou=services,dc=example,dc=com",
                "-w",
                "desk-secret",
                "-b",
                "ou=people,dc=example,dc=com",
                &filter,
                "uid",
                "pwdAccountLockedTime",
            ],
        );
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(text.contains(&format!("uid: {name}")), "{text}");
        text
    }
}

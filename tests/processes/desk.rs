//! This module contains a desk for the process tests. A test can kill this desk and start it again at the
//! same address.

use serde_json::Value;
use tests::process::{Served, free_port};

/// A desk process that a test can start again at the same address.
pub(crate) struct Desk {
    pub(crate) data: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) more: Vec<String>,
    served: Option<Served>,
}

impl Desk {
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut desk = Self {
            data: tempfile::tempdir().expect("a directory"),
            port: free_port(),
            more: more.iter().map(|&argument| argument.to_owned()).collect(),
            served: None,
        };
        desk.restart();
        desk
    }

    /// Kills the process with SIGKILL and starts a new process at the same address.
    pub(crate) fn restart(&mut self) {
        if let Some(served) = self.served.take() {
            served.kill();
        }
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        let served = Served::start_at(self.data.path(), self.port, &more);
        assert!(served.is_up(), "the desk serves again");
        self.served = Some(served);
    }

    pub(crate) fn served(&self) -> &Served {
        self.served.as_ref().expect("a running desk")
    }

    pub(crate) async fn v1(&self, method: &str, path: &str, user: &str, body: Value) -> Value {
        let (status, answer) = self.served().v1(method, path, user, body).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    pub(crate) fn data(&self) -> &str {
        self.data.path().to_str().expect("a path")
    }
}

/// Returns the number in an environment variable, or `default` if the variable is not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment selects the long form"
)]
pub(crate) fn number_of(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

//! Crash points: positions in the code at which a test can kill the process to check its durable
//! state.

use std::sync::atomic::{AtomicU32, Ordering};

/// The crash points, in the order in which a command passes them.
pub const POINTS: [&str; 6] = [
    "before-write",
    "after-write",
    "after-sync",
    "before-projection",
    "during-projection",
    "during-callback",
];

/// One armed crash point, or none.
#[derive(Debug, Default)]
pub struct Crash {
    point: String,
    left: AtomicU32,
}

impl Crash {
    /// Parses `POINT:N`: kill the process at the N-th pass of that crash point.
    pub fn armed(text: &str) -> Result<Self, String> {
        let (point, nth) = text
            .split_once(':')
            .ok_or_else(|| format!("{text} is not POINT:N"))?;
        let nth = nth.parse().map_err(|_| format!("{nth} is not a count"))?;
        if !POINTS.contains(&point) {
            return Err(format!("{point} is not one of {POINTS:?}"));
        }
        Ok(Self {
            point: point.into(),
            left: AtomicU32::new(nth),
        })
    }

    /// Passes a crash point; kills the process by SIGKILL at the armed pass.
    pub fn pass(&self, point: &str) {
        if self.point == point && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            loop {
                std::thread::park();
            }
        }
    }
}

//! Crash points: positions in the code at which a test can kill the process to check its durable
//! state.

use std::sync::atomic::{AtomicU32, Ordering};

/// The names of the crash points, in the order in which a command passes the points.
pub const POINTS: [&str; 6] = [
    "before-write",
    "after-write",
    "after-sync",
    "before-projection",
    "during-projection",
    "during-callback",
];

/// At most one armed crash point; an empty `point` means that no crash point is armed.
#[derive(Debug, Default)]
pub struct Crash {
    point: String,
    left: AtomicU32,
}

impl Crash {
    /// Parses `POINT:N`: the process is killed when the crash point `POINT` is passed for the N-th
    /// time.
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

    /// Counts a pass of a crash point; kills the process by SIGKILL if this pass is armed.
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

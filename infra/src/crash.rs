//! Defines crash points: places in the code where a test can kill the process. After the crash, the
//! test checks which data was stored.

use std::sync::atomic::{AtomicU32, Ordering};

/// Names of the crash points, in the order in which the execution of a command reaches them.
pub const POINTS: [&str; 7] = [
    "before-write",
    "after-write",
    "after-sync",
    "before-projection",
    "during-projection",
    "before-request",
    "during-callback",
];

/// Selects the crash point at which a test kills the process. `left` counts how often the code must
/// still reach this point before the process is killed. If `point` is empty, the process is never
/// killed.
#[derive(Debug, Default)]
pub struct Crash {
    point: String,
    left: AtomicU32,
}

impl Crash {
    /// Parses `POINT:N`. The process is killed when the code reaches the crash point `POINT` for
    /// the N-th time.
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

    /// Reports that the code reaches the crash point `point`. If `point` is the selected crash
    /// point, the number of remaining passes decreases by one. When this number reaches zero, the
    /// function kills the process with SIGKILL.
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

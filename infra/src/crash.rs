//! Places where a test may kill the process, so that what survives can be looked at.

use std::sync::atomic::{AtomicU32, Ordering};

/// The places, in the order a command passes them.
pub const POINTS: [&str; 6] = ["before-write", "after-write", "after-sync", "before-projection", "during-projection", "during-callback"];

/// One armed place, or none.
#[derive(Debug, Default)]
pub struct Crash {
    point: String,
    left: AtomicU32,
}

impl Crash {
    /// Reads `POINT:N`: kill at the N-th passing of that place.
    pub fn armed(text: &str) -> Result<Self, String> {
        let (point, nth) = text.split_once(':').ok_or_else(|| format!("{text} is not POINT:N"))?;
        let nth = nth.parse().map_err(|_| format!("{nth} is not a count"))?;
        if !POINTS.contains(&point) {
            return Err(format!("{point} is not one of {POINTS:?}"));
        }
        Ok(Self { point: point.into(), left: AtomicU32::new(nth) })
    }

    /// Passes a place; dies there by SIGKILL if it is the armed one and its turn has come.
    pub fn pass(&self, point: &str) {
        if self.point == point && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

//! Gives one worker of this process the exclusive right to make an attempt. Only a desk on one machine uses these leases.
//! The workers of a desk in the cloud are in several processes, so their leases are in a view (a stored table).

use std::collections::HashMap;
use std::sync::Mutex;

use events::Moment;
use infra::ledger::command_id;
use infra::{Error, Kind};

/// Maximum number of leases of about one lease time. Further attempts wait.
const LEASES_MAX: usize = 200_000;

/// The attempt to which a lease belongs, and the end of the lease.
type Lease = (u32, Moment);

/// The leases of this process. They end with the process, which also ends all attempts.
#[derive(Debug, Default)]
pub struct Leases(Mutex<Held>);

/// The newest leases by a hash of the name of their work. A lease moves from `young` to `old` and is then dropped. A
/// dropped lease has always ended.
#[derive(Debug, Default)]
struct Held {
    young: HashMap<[u8; 16], Lease>,
    old: HashMap<[u8; 16], Lease>,
    /// The time at which the leases in `young` become old.
    next: Moment,
}

impl Leases {
    /// Takes the lease for an attempt of the work `name` from `now` to `until`. The difference of these times must be the
    /// same for all calls. Returns false if another worker has the lease of this attempt, or had one of a later attempt.
    pub fn take(
        &self,
        name: &str,
        attempt: u32,
        now: Moment,
        until: Moment,
    ) -> Result<bool, Error> {
        let key = command_id(&["lease", name]);
        let mut held = self.0.lock().expect("no holder panics");
        // The clock of the machine can be set back. The leases then end after about one lease time too, and not at a time
        // that may be hours away.
        held.next = held.next.min(until);
        if now >= held.next {
            held.old = std::mem::take(&mut held.young);
            held.next = until;
        }
        let is_refused = |lease: &Lease| lease.0 > attempt || lease.0 == attempt && lease.1 > now;
        let known = held.young.get(&key).or_else(|| held.old.get(&key));
        if known.is_some_and(is_refused) {
            return Ok(false);
        }
        if held.young.len() >= LEASES_MAX {
            let reason = "the desk makes its maximum number of attempts";
            return Err(Error::new(Kind::Throttled, reason));
        }
        held.young.insert(key, (attempt, until));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE_MS: i64 = 30_000;

    fn take(leases: &Leases, name: &str, attempt: u32, now: i64) -> bool {
        let until = Moment(now + LEASE_MS);
        let taken = leases.take(name, attempt, Moment(now), until);
        taken.expect("few leases")
    }

    #[test]
    fn one_worker_gets_the_lease_of_an_attempt_until_its_end() {
        let leases = Leases::default();
        assert!(take(&leases, "a", 1, 0));
        assert!(!take(&leases, "a", 1, 0));
        assert!(take(&leases, "b", 1, 0), "other work");
        assert!(take(&leases, "a", 2, 1), "the next attempt");
        assert!(!take(&leases, "a", 1, 2), "a late worker");
        assert!(!take(&leases, "a", 2, LEASE_MS), "the lease moved to `old`");
        assert!(take(&leases, "a", 2, LEASE_MS + 1), "the lease has ended");
        assert!(!take(&leases, "a", 2, 2 * LEASE_MS));
    }

    #[test]
    fn leases_end_also_if_the_clock_is_set_back() {
        const HOUR_MS: i64 = 3_600_000;
        let leases = Leases::default();
        assert!(take(&leases, "a", 1, HOUR_MS));
        assert!(
            !take(&leases, "a", 1, 0),
            "another worker makes the attempt"
        );
        assert!(!take(&leases, "a", 1, LEASE_MS), "the lease moved to `old`");
        assert!(take(&leases, "a", 1, 2 * LEASE_MS), "the lease was dropped");
    }

    #[test]
    fn ended_leases_are_dropped() {
        let leases = Leases::default();
        for round in 0..10 {
            for number in 0..100 {
                let now = round * LEASE_MS + number;
                assert!(take(&leases, &format!("{round}/{number}"), 1, now));
            }
        }
        let held = leases.0.lock().expect("no holder panics");
        let count = held.young.len() + held.old.len();
        assert!(count <= 200, "{count}");
    }
}

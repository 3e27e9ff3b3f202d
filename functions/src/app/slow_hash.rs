//! Hashes passwords with Argon2id and checks passwords against such hashes. Each computation needs 19 MiB of
//! memory, so the number of concurrent computations is limited.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use infra::{Error, Kind};
use tokio::sync::Semaphore;

use crate::app::limits::limited;

/// Maximum number of hash computations that run at the same time.
const HASHED_AT_ONCE: usize = 2;
/// Maximum number of requests that run a hash computation or wait for such a computation. Further requests
/// are rejected.
const HASH_WAITERS_MAX: usize = 8;
/// The cost of one hash computation: the memory in KiB, the number of passes over this memory, and the number of
/// threads. The values come from the OWASP Password Storage Cheat Sheet (Argon2id).
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Computes and checks Argon2id hashes. The number of concurrent computations is limited.
pub struct SlowHash {
    hashing: Semaphore,
    waiters: Semaphore,
}

impl Default for SlowHash {
    fn default() -> Self {
        Self {
            hashing: Semaphore::new(HASHED_AT_ONCE),
            waiters: Semaphore::new(HASH_WAITERS_MAX),
        }
    }
}

impl SlowHash {
    /// Returns true if `record` is a hash of `secret`. A record that is no Argon2 hash matches no secret.
    pub async fn matches(&self, record: Vec<u8>, secret: String) -> Result<bool, Error> {
        self.compute(move || {
            let text = String::from_utf8_lossy(&record);
            PasswordHash::new(&text)
                .is_ok_and(|hash| argon2().verify_password(secret.as_bytes(), &hash).is_ok())
        })
        .await
    }

    /// Returns the hash of a secret as text (PHC string format). The bytes in `salt` must be random.
    pub async fn record(&self, secret: String, salt: [u8; 16]) -> Result<String, Error> {
        let computed = self
            .compute(move || {
                let salt = SaltString::encode_b64(&salt).map_err(|error| error.to_string())?;
                let hash = argon2()
                    .hash_password(secret.as_bytes(), &salt)
                    .map_err(|error| error.to_string())?;
                Ok(hash.to_string())
            })
            .await?;
        computed.map_err(|reason: String| {
            Error::new(
                Kind::Unavailable,
                format!("a password was not hashed: {reason}"),
            )
        })
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _waiter = self
            .waiters
            .try_acquire()
            .map_err(|_| limited("too many passwords are checked at once", 1))?;
        let _one = self
            .hashing
            .acquire()
            .await
            .map_err(|error| Error::new(Kind::Unavailable, error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            Error::new(
                Kind::Unavailable,
                format!("a password was not checked: {error}"),
            )
        })
    }
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, threads) = COST;
    Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(memory, passes, threads, None).expect("these parameters are in range"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_matches_only_its_own_secret() {
        let hash = SlowHash::default();
        let record = hash.record("correct horse".into(), [7; 16]).await.unwrap();
        assert!(
            record.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{record}"
        );
        let matches = async |record: &str, secret: &str| {
            hash.matches(record.into(), secret.into()).await.unwrap()
        };
        assert!(matches(&record, "correct horse").await);
        assert!(!matches(&record, "correct Horse").await);
        assert!(!matches("", "").await);
        assert!(!matches("$argon2id$v=19", "correct horse").await);
        let other = hash.record("correct horse".into(), [8; 16]).await.unwrap();
        assert_ne!(record, other);
    }
}

//! Contains the contract suite of the secrets: the tests that every adapter must pass.

use super::Secrets;

/// Runs all tests. `again` is a second instance of the same secret store. The second instance
/// represents another process.
pub async fn check(secrets: &dyn Secrets, again: &dyn Secrets) {
    let key = secrets.secret("token-key").await.expect("a key");
    assert_eq!(
        secrets.secret("token-key").await.expect("a key"),
        key,
        "a key does not change"
    );
    assert_eq!(
        again.secret("token-key").await.expect("a key"),
        key,
        "another process reads the same key"
    );
    assert_ne!(
        secrets.secret("fingerprint-key").await.expect("a key"),
        key,
        "each name has its own key"
    );
    assert_ne!(key, [0; 32]);
}

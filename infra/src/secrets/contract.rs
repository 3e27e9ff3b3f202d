//! What every keeper of the desk's own keys does alike.

use super::Secrets;

/// Runs the whole suite; `again` is another process's view of the same keeper.
pub async fn check(secrets: &dyn Secrets, again: &dyn Secrets) {
    let key = secrets.secret("token-key").await.expect("a key");
    assert_eq!(secrets.secret("token-key").await.expect("a key"), key, "a key stays");
    assert_eq!(again.secret("token-key").await.expect("a key"), key, "and is the same to everybody");
    assert_ne!(secrets.secret("fingerprint-key").await.expect("a key"), key, "each name has its own");
    assert_ne!(key, [0; 32]);
}

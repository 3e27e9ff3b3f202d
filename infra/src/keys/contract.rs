//! What every key store does alike.

use super::Keys;

/// Runs the whole suite against a fresh key store.
pub async fn check(keys: &dyn Keys) {
    let pid = keys.person("lisi").await.expect("person");
    assert_eq!(keys.person("lisi").await.expect("person"), pid, "one name is one person");
    assert_ne!(keys.person("zhangsan").await.expect("person"), pid);
    assert_eq!(keys.find("lisi").await.expect("find"), Some(pid.clone()));
    assert_eq!(keys.find("nobody").await.expect("find"), None);
    assert_eq!(keys.name(&pid).await.expect("name").as_deref(), Some("lisi"));
    assert!(keys.key(&pid).await.expect("key").is_some());

    assert!(keys.erase(&pid).await.expect("erase"));
    assert!(!keys.erase(&pid).await.expect("erase"), "there is nothing left to forget");
    assert_eq!(keys.name(&pid).await.expect("name"), None);
    assert_eq!(keys.key(&pid).await.expect("key"), None);
    assert_ne!(keys.person("lisi").await.expect("person"), pid, "the name starts anew");

    assert_eq!(keys.secret("a").await.expect("secret"), None);
    keys.keep_secret("a", b"1").await.expect("keep");
    keys.keep_secret("a", b"2").await.expect("keep");
    assert_eq!(keys.secret("a").await.expect("secret").as_deref(), Some(b"2".as_slice()));
    keys.keep_secret("b", b"3").await.expect("keep");
    for _ in 0..2 {
        keys.remove_secret("a").await.expect("remove");
        assert_eq!(keys.secret("a").await.expect("secret"), None, "a removed secret does not exist, however often it is removed");
    }
    keys.scrub().await.expect("scrub");
    assert_eq!(keys.secret("b").await.expect("secret").as_deref(), Some(b"3".as_slice()), "other secrets stay");
    assert!(keys.find("zhangsan").await.expect("find").is_some(), "other people stay");
}

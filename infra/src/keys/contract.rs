//! Contains the contract suite of the key store: the tests that every adapter must pass.

use std::collections::BTreeSet;

use events::PersonId;

use super::Keys;

/// Runs all tests on a new key store without people.
pub async fn check(keys: &dyn Keys) {
    let pid = keys.person("lisi").await.expect("person");
    assert_eq!(
        keys.person("lisi").await.expect("person"),
        pid,
        "one name is one person"
    );
    assert_ne!(keys.person("zhangsan").await.expect("person"), pid);
    assert_eq!(keys.find("lisi").await.expect("find"), Some(pid.clone()));
    assert_eq!(keys.find("nobody").await.expect("find"), None);
    assert_eq!(
        keys.name(&pid).await.expect("name").as_deref(),
        Some("lisi")
    );
    assert!(keys.key(&pid).await.expect("key").is_some());

    assert!(keys.erase(&pid).await.expect("erase"));
    assert!(
        !keys.erase(&pid).await.expect("erase"),
        "an erased person cannot be erased again"
    );
    assert_eq!(keys.name(&pid).await.expect("name"), None);
    assert_eq!(keys.key(&pid).await.expect("key"), None);
    assert_ne!(
        keys.person("lisi").await.expect("person"),
        pid,
        "the name gets a new person"
    );

    many_names_give_the_same_people(keys).await;

    assert_eq!(keys.secret("a").await.expect("secret"), None);
    keys.keep_secret("a", b"1").await.expect("keep");
    keys.keep_secret("a", b"2").await.expect("keep");
    assert_eq!(
        keys.secret("a").await.expect("secret").as_deref(),
        Some(b"2".as_slice())
    );
    keys.keep_secret("b", b"3").await.expect("keep");
    for _ in 0..2 {
        keys.remove_secret("a").await.expect("remove");
        assert_eq!(
            keys.secret("a").await.expect("secret"),
            None,
            "a removed secret does not exist, and a repeated removal succeeds"
        );
    }
    keys.scrub().await.expect("scrub");
    assert_eq!(
        keys.secret("b").await.expect("secret").as_deref(),
        Some(b"3".as_slice()),
        "other secrets remain"
    );
    assert!(
        keys.find("zhangsan").await.expect("find").is_some(),
        "other people remain"
    );
}

/// Checks the functions that take a list of user names. They must return the same people as the
/// functions that take one user name.
async fn many_names_give_the_same_people(keys: &dyn Keys) {
    let names: Vec<String> = ["zhangsan", "wangwu", "zhaoliu"].map(str::to_owned).into();
    let zhangsan = keys.person("zhangsan").await.expect("person");
    assert_eq!(
        keys.find_all(&names).await.expect("find"),
        [Some(zhangsan.clone()), None, None]
    );
    let pids = keys.register_all(&names).await.expect("register");
    assert_eq!(pids[0], zhangsan, "a registered name keeps its person");
    assert_ne!(pids[1], pids[2]);
    assert_eq!(
        keys.register_all(&names).await.expect("register"),
        pids,
        "one name is one person"
    );
    assert_eq!(
        keys.find_all(&names).await.expect("find"),
        pids.iter().cloned().map(Some).collect::<Vec<_>>()
    );
    for (name, pid) in names.iter().zip(&pids) {
        assert_eq!(keys.person(name).await.expect("person"), *pid);
        assert_eq!(keys.name(pid).await.expect("name").as_ref(), Some(name));
        assert!(keys.key(pid).await.expect("key").is_some());
    }
    let crowd: Vec<String> = (0..150).map(|at| format!("member-{at}")).collect();
    let registered = keys.register_all(&crowd).await.expect("register");
    assert_eq!(
        registered.iter().collect::<BTreeSet<_>>().len(),
        crowd.len()
    );
    assert_eq!(
        keys.find("member-149").await.expect("find").as_ref(),
        registered.last()
    );
    assert!(keys.erase(&registered[0]).await.expect("erase"));
    assert_eq!(keys.key(&registered[0]).await.expect("key"), None);
    assert_eq!(
        keys.register_all(&[]).await.expect("register"),
        Vec::<PersonId>::new()
    );
}

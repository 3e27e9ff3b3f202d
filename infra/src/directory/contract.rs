//! Contains the contract suite of the directory: the tests that every adapter must pass. All tests
//! use the same small organization.

use super::{Business, Directory};

/// The organization (people, departments, businesses) that the tests use, in the TOML format of a
/// directory file.
pub const ORGANIZATION: &str = r#"
lists_all_people = true
[[department]]
id = "1"
[[department]]
id = "12"
parent = "1"
[[person]]
name = "boss"
departments = ["1"]
[[person]]
name = "lisi"
leader = "boss"
departments = ["12"]
[[person]]
name = "a/b"
leader = "lisi"
[[business]]
id = 2
name = "日志"
roles = { OPS = ["lisi", "boss"] }
"#;

/// Runs all tests on an adapter. The adapter must return the people, departments and businesses of
/// [`ORGANIZATION`].
pub async fn answers(directory: &dyn Directory) {
    assert_eq!(
        directory.leader("lisi").await.expect("answers"),
        Some("boss".into())
    );
    assert_eq!(
        directory.leader("boss").await.expect("answers"),
        None,
        "this person has no leader"
    );
    assert_eq!(directory.leader("nobody").await.expect("answers"), None);
    assert_eq!(
        directory.leader("a/b").await.expect("answers"),
        Some("lisi".into()),
        "a slash does not split a name"
    );
    for (person, is_listed) in [
        ("lisi", true),
        ("boss", true),
        ("a/b", true),
        ("lisii", false),
    ] {
        assert_eq!(
            directory.has_person(person).await.expect("answers"),
            Some(is_listed),
            "{person}"
        );
    }
    assert_eq!(directory.members("12").await.expect("answers"), ["lisi"]);
    assert_eq!(
        directory.members("1").await.expect("answers"),
        ["boss", "lisi"],
        "members of departments below are included"
    );
    assert_eq!(directory.members("99").await.expect("answers"), [""; 0]);
    assert_eq!(
        directory.holders(2, "OPS").await.expect("answers"),
        ["lisi", "boss"]
    );
    assert_eq!(directory.holders(2, "DEV").await.expect("answers"), [""; 0]);
    assert_eq!(directory.holders(3, "OPS").await.expect("answers"), [""; 0]);
    assert_eq!(
        directory.businesses().await.expect("answers"),
        [Business {
            id: 2,
            name: "日志".into()
        }]
    );
}

//! What every directory must do, told over one small organization.

use super::{Business, Directory};

/// The organization that the contract asks about, as a file.
pub const ORGANIZATION: &str = r#"
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

/// Asks everything there is to ask.
pub async fn answers(directory: &dyn Directory) {
    assert_eq!(directory.leader("lisi").await.expect("answers"), Some("boss".into()));
    assert_eq!(directory.leader("boss").await.expect("answers"), None, "nobody stands above");
    assert_eq!(directory.leader("nobody").await.expect("answers"), None);
    assert_eq!(directory.leader("a/b").await.expect("answers"), Some("lisi".into()), "a name is one name, whatever stands in it");
    assert_eq!(directory.members("12").await.expect("answers"), ["lisi"]);
    assert_eq!(directory.members("1").await.expect("answers"), ["boss", "lisi"], "departments below count");
    assert_eq!(directory.members("99").await.expect("answers"), [""; 0]);
    assert_eq!(directory.holders(2, "OPS").await.expect("answers"), ["lisi", "boss"]);
    assert_eq!(directory.holders(2, "DEV").await.expect("answers"), [""; 0]);
    assert_eq!(directory.holders(3, "OPS").await.expect("answers"), [""; 0]);
    assert_eq!(directory.businesses().await.expect("answers"), [Business { id: 2, name: "日志".into() }]);
}

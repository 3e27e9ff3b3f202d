//! Suppresses an address of a person after a provider reported that the address is wrong. The desk then sends nothing more
//! to this address until the person enters another address, or until a person releases it.

use std::collections::BTreeMap;

use events::Personal;
use events::person::AddressSuppressed;

/// Returns the event that suppresses the address `address` of the kind `kind`. `code` is the code in the response of the
/// provider.
pub fn suppressed(kind: &str, address: &Personal, code: &str) -> AddressSuppressed {
    AddressSuppressed {
        kind: kind.to_owned(),
        digest: Personal::new(address.subject.clone(), digest(kind, address).into()),
        code: code.to_owned(),
    }
}

/// Returns true if exactly this address is suppressed. An address that was entered later is not suppressed.
pub fn is_suppressed(
    suppressed: &BTreeMap<String, AddressSuppressed>,
    address: &Personal,
    kind: Option<&str>,
) -> bool {
    let Some((kind, one)) = kind.and_then(|kind| Some((kind, suppressed.get(kind)?))) else {
        return false;
    };
    !address.is_erased() && one.digest.value.as_str() == Some(digest(kind, address).as_str())
}

/// Returns a hash of an address. The event with the hash does not repeat the address.
fn digest(kind: &str, address: &Personal) -> String {
    let text = format!("{kind}|{}", address.value.as_str().unwrap_or_default());
    let hash = blake3::hash(text.as_bytes()).to_hex();
    hash.as_str().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Personal {
        Personal::new("p-1".into(), text.into())
    }

    #[test]
    fn only_the_same_address_of_the_same_kind_is_suppressed() {
        let one = suppressed("email", &address("a@b.example"), "5.1.1");
        assert_eq!((one.kind.as_str(), one.code.as_str()), ("email", "5.1.1"));
        assert!(!one.digest.value.to_string().contains("a@b.example"));
        let all = BTreeMap::from([("email".to_owned(), one)]);
        assert!(is_suppressed(&all, &address("a@b.example"), Some("email")));
        assert!(!is_suppressed(&all, &address("c@b.example"), Some("email")));
        assert!(!is_suppressed(
            &all,
            &address("a@b.example"),
            Some("dingtalk")
        ));
        assert!(!is_suppressed(&all, &address("a@b.example"), None));
        let mut erased = address("a@b.example");
        erased.value = serde_json::Value::Null;
        assert!(!is_suppressed(&all, &erased, Some("email")));
    }
}

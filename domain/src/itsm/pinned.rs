//! Ties the id of a ticket or record to the external system that gave it. Two systems can use the same ids, so the desk sends
//! no request about an id to another system.

use events::integration::{Defined, Target};

/// Returns the external system with which an integration works now.
pub fn target_of(integration: &Defined) -> Target {
    Target {
        url: address(&integration.url),
        app: integration.app.clone(),
    }
}

/// Returns the external system in which records of an integration have their ids. Returns `None` if the integration has no
/// `url`, because the desk then sends no requests about these records.
pub fn target_of_records(integration: &Defined) -> Option<Target> {
    (!integration.url.is_empty()).then(|| target_of(integration))
}

/// Returns the reason why the desk must not send a request about an id to the system with which the integration works now:
/// the id belongs to another system. `what` names the object and how it got its id, and `objects` names all objects that
/// have such ids. Returns `None` if the request may be sent: the system is the same, or `former_urls` of the integration
/// names its address.
pub fn moved(pinned: &Target, integration: &Defined, what: &str, objects: &str) -> Option<String> {
    let now = target_of(integration);
    let mut former = integration.former_urls.iter();
    let is_same = pinned.url == now.url || former.any(|url| address(url) == pinned.url);
    (!is_same || pinned.app != now.app).then(|| {
        format!(
            "{what} at {}, but the integration now names {}; change the integration back until its {objects} have ended",
            text_of(pinned, " with "),
            text_of(&now, " and ")
        )
    })
}

fn address(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

/// Returns a system for people. Systems that only have records have no app.
fn text_of(target: &Target, joined: &str) -> String {
    match target.app.as_str() {
        "" => target.url.clone(),
        app => format!("{}{joined}the app {app}", target.url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integration(url: &str, app: &str, former: &[&str]) -> Defined {
        Defined {
            url: url.into(),
            app: app.into(),
            former_urls: former.iter().map(ToString::to_string).collect(),
            ..Defined::default()
        }
    }

    #[test]
    fn an_id_belongs_to_one_system_and_one_app() {
        let pinned = target_of(&integration("https://a.example.com/", "app", &[]));
        let of = |integration: &Defined| {
            moved(&pinned, integration, "the ticket was created", "tickets")
        };
        for same in [
            integration("https://a.example.com", "app", &[]),
            integration("https://a.example.com/", "app", &[]),
            integration("https://b.example.com", "app", &["https://a.example.com/"]),
        ] {
            assert_eq!(of(&same), None, "{same:?}");
        }
        for other in [
            integration("https://b.example.com", "app", &[]),
            integration("https://b.example.com", "app", &["https://c.example.com"]),
            integration("https://a.example.com", "other", &[]),
            integration("https://b.example.com", "other", &["https://a.example.com"]),
        ] {
            assert!(of(&other).is_some(), "{other:?}");
        }
        assert_eq!(
            of(&integration("https://b.example.com", "other", &[])).as_deref(),
            Some(
                "the ticket was created at https://a.example.com with the app app, but the integration now names \
                 https://b.example.com and the app other; change the integration back until its tickets have ended"
            )
        );
    }

    #[test]
    fn a_system_without_an_app_is_named_by_its_address() {
        let pinned = target_of_records(&integration("https://a.example.com", "", &[]));
        let other = integration("https://b.example.com", "", &[]);
        let reason = moved(
            &pinned.expect("an address"),
            &other,
            "the record was read",
            "cases",
        );
        assert_eq!(
            reason.as_deref(),
            Some(
                "the record was read at https://a.example.com, but the integration now names https://b.example.com; \
                 change the integration back until its cases have ended"
            )
        );
        assert_eq!(target_of_records(&integration("", "", &[])), None);
    }
}

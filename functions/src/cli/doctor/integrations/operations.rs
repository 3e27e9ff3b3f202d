//! Checks what an external ITSM permits and offers: the operations that change nothing, and the services of the application
//! kinds. The operations that create and withdraw tickets are not checked, because they change the external ITSM.

use domain::config::{ApplicationKind, Integration};
use domain::itsm::application::Answer;
use events::application_kind::Defined;
use infra::Error;
use infra::itsm::{self, Connection, Itsm, Request};

use super::{Checked, Integrations, Stored};
use crate::app::itsm::{integrations, sources};
use crate::app::outbound::{self, Described};
use crate::cli::doctor::{Finding, fine, warning, wrong};

/// The codes with which an external ITSM answers that it has no such ticket. The account then has the right to read tickets.
const NO_TICKET: [&str; 2] = ["3900022:", "OBJECT_NOT_EXIST:"];
/// The largest number of services in the text of one check result.
const NAMED_MAX: usize = 10;

impl Integrations<'_> {
    /// Sends a request for each operation that changes nothing. Returns a finding if the external ITSM rejects one of them.
    pub(super) async fn operations(
        &self,
        checked: &Checked,
        codec: &'static dyn Itsm,
        connection: &Connection,
    ) -> Result<Option<Finding>, Error> {
        let absent = || sources::ABSENT_RECORD.to_owned();
        let operations = [
            (
                "get_tickets",
                true,
                Request::Find {
                    creator: connection.integration.user.clone(),
                    mark: absent(),
                    since: self.ledger.clock.now(),
                },
            ),
            (
                "get_ticket_info",
                true,
                Request::Read {
                    external: absent(),
                    mark: absent(),
                },
            ),
            (
                "ticket_approval_result",
                false,
                Request::Statuses {
                    externals: vec![absent()],
                },
            ),
            ("callback_failed_ticket", false, Request::FailedCallbacks),
        ];
        let (mut needed, mut useful) = (Vec::new(), Vec::new());
        for (name, is_needed, request) in operations {
            let Some(Answer::Rejected(reason)) = self.answer(codec, connection, &request).await?
            else {
                continue;
            };
            if NO_TICKET.iter().any(|code| reason.starts_with(code)) {
                continue;
            }
            let rejected = format!("{name} ({reason})");
            if is_needed {
                needed.push(rejected);
            } else {
                useful.push(rejected);
            }
        }
        Ok(rejected(checked, &needed, &useful))
    }

    /// Checks whether the external ITSMs offer the services of the application kinds with the given streams. A kind that is
    /// switched off is not checked.
    pub(in crate::cli::doctor) async fn services(&self, streams: &[String]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for stream in streams {
            match self.service(stream).await {
                Ok(found) => findings.extend(found),
                Err(error) => {
                    let next_step = (self.means.after_failed_read)(&error, Stored::Definition);
                    findings.push(wrong(stream, error.to_string(), next_step));
                }
            }
        }
        findings
    }

    async fn service(&self, stream: &str) -> Result<Option<Finding>, Error> {
        let state = self.ledger.load::<ApplicationKind>(stream).await?;
        let Some(kind) = state.aggregate.0.0.filter(|kind| kind.is_enabled) else {
            return Ok(None);
        };
        let stream = format!("integration-{}", kind.integration);
        let integration = self.ledger.load::<Integration>(&stream).await?;
        // The checks of the integration report all its own problems.
        let Some(defined) = integration.aggregate.0.defined else {
            return Ok(None);
        };
        let Some(codec) = itsm::find(&defined.kind) else {
            return Ok(None);
        };
        let Ok(secret) = integrations::secret_of(&*self.ledger.keys, &defined.name).await? else {
            return Ok(None);
        };
        let connection = Connection {
            integration: defined,
            secret,
        };
        let (display_type, display_role) = match &kind.discovery {
            Some(discovery) => (
                discovery.display_type.clone(),
                discovery.display_role.clone(),
            ),
            None => (String::new(), String::new()),
        };
        let request = Request::Discover {
            display_type,
            display_role,
        };
        Ok(match self.answer(codec, &connection, &request).await? {
            Some(Answer::Services(services)) => Some(offered(&kind, &services)),
            Some(Answer::Rejected(reason)) => Some(warning(
                name_of(&kind),
                format!("its service cannot be checked: get_services is rejected: {reason}"),
                rights_of(&kind.integration),
            )),
            _ => None,
        })
    }

    /// Sends a request that changes nothing. Returns `None` if the request cannot be built.
    async fn answer(
        &self,
        codec: &'static dyn Itsm,
        connection: &Connection,
        request: &Request,
    ) -> Result<Option<Answer>, Error> {
        let Ok(planned) = codec.request(connection, request) else {
            return Ok(None);
        };
        let described = Described::of(planned, sources::RESPONSE_BYTES_MAX);
        let built = outbound::request(&*self.ledger.keys, described).await?;
        let (Ok(built), Ok(client)) = (built, &self.client) else {
            return Ok(None);
        };
        let response = client.send(&built).await;
        Ok(Some(codec.answer(request, &response)))
    }
}

fn name_of(kind: &Defined) -> String {
    format!("application kind {}", kind.name)
}

fn rights_of(integration: &str) -> String {
    format!(
        "give the account of the integration {integration} the rights; docs/integrations.md names the least rights"
    )
}

/// Returns a finding if an external ITSM rejects operations. The desk needs the first ones; without the others, it works with
/// more requests.
fn rejected(checked: &Checked, needed: &[String], useful: &[String]) -> Option<Finding> {
    let (what, url) = (&checked.what, &checked.url);
    let advice =
        "give the account the rights for them; docs/integrations.md names the least rights";
    match (needed, useful) {
        ([], []) => None,
        ([], useful) => Some(warning(
            what,
            format!(
                "{url} rejects operations without which the desk reads each ticket by itself: {}",
                useful.join(", ")
            ),
            advice,
        )),
        (needed, _) => Some(wrong(
            what,
            format!(
                "{url} rejects operations that the desk needs: {}",
                needed.join(", ")
            ),
            advice,
        )),
    }
}

/// Returns whether the services of an external ITSM are right for an application kind.
fn offered(kind: &Defined, services: &[(i64, String)]) -> Finding {
    let what = name_of(kind);
    let named = services.iter().take(NAMED_MAX);
    let named: Vec<String> = named.map(|(id, name)| format!("{id} {name}")).collect();
    let named = if named.is_empty() {
        "no service".to_owned()
    } else {
        named.join(", ")
    };
    match (kind.service, services) {
        (Some(id), services) if services.iter().any(|(other, _)| *other == id) => {
            fine(what, format!("the external ITSM offers the service {id}"))
        }
        (Some(id), _) => wrong(
            what,
            format!("the external ITSM offers no service {id}; it offers {named}"),
            "correct `service` of the application kind, or enable the service there",
        ),
        (None, [_]) => fine(what, format!("`discovery` finds the service {named}")),
        (None, _) => wrong(
            what,
            format!("`discovery` must find exactly one service, and finds {named}"),
            "set `service` of the application kind, or correct `discovery`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use events::application_kind::Discovery;
    use events::workflow::Condition;

    use super::*;

    fn kind(service: Option<i64>) -> Defined {
        Defined {
            name: "capacity".into(),
            integration: "company".into(),
            service,
            discovery: service.is_none().then(|| Discovery {
                display_type: "API".into(),
                display_role: String::new(),
            }),
            fields: Vec::new(),
            required: Vec::new(),
            senders: Vec::new(),
            consequence: None,
            states: events::application_kind::StateTexts::default(),
            granted: Condition::default(),
            days: 14,
            is_enabled: true,
        }
    }

    #[test]
    fn a_service_that_is_not_offered_is_named() {
        let service = |id: i64| (id, "容量".to_owned());
        for (configured, services, is_right, found) in [
            (Some(18), vec![service(18), service(19)], true, "18"),
            (Some(99_999), vec![service(18)], false, "no service 99999"),
            (Some(18), vec![], false, "it offers no service"),
            (None, vec![service(18)], true, "18 容量"),
            (None, vec![], false, "finds no service"),
            (
                None,
                vec![service(18), service(19)],
                false,
                "18 容量, 19 容量",
            ),
        ] {
            let finding = offered(&kind(configured), &services);
            assert_eq!(finding.what, "application kind capacity");
            assert_eq!(finding.advice.is_none(), is_right, "{}", finding.found);
            assert!(finding.found.contains(found), "{}", finding.found);
        }
    }

    #[test]
    fn a_missing_right_is_wrong_and_a_missing_useful_right_is_a_warning() {
        let integration = events::integration::Defined {
            name: "company".into(),
            url: "https://itsm.example.com".into(),
            ..events::integration::Defined::default()
        };
        let checked = Checked::of(&integration, "`user`", "`url`");
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let finding =
            |needed: &[&str], useful: &[&str]| rejected(&checked, &names(needed), &names(useful));
        assert!(finding(&[], &[]).is_none());
        let warned = finding(&[], &["callback_failed_ticket"]).expect("a finding");
        assert!(warned.is_warning && warned.found.contains("callback_failed_ticket"));
        let both = finding(&["get_tickets"], &["callback_failed_ticket"]).expect("a finding");
        assert!(!both.is_warning && both.found.contains("get_tickets"));
        assert!(both.advice.is_some_and(|advice| advice.contains("rights")));
    }
}

//! Collects the context of a ticket for its messages: the configuration items, the impacted services and the deadline. They
//! are values of form fields (requirements/notifications.md, 通知事件模型).

use domain::value::plain;
use domain::views::ticket_card::TicketCard;
use events::notification::Role;
use events::person::Language;

/// The key of the form field with the configuration items. Commas separate the items.
const RELATED_CIS: &str = "related_cis";
/// The key of the form field with the impacted services. Commas separate the services.
const IMPACTED_SERVICES: &str = "impacted_services";
/// The key of the form field with the deadline.
const SLA_DEADLINE: &str = "sla_deadline";

/// The context of one ticket. Encrypted values and the values of confidential tickets are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TicketContext {
    pub(super) related_cis: Vec<String>,
    /// The impacted services. Without a form field with them, this is the service of the ticket.
    pub(super) impacted_services: Vec<String>,
    /// True if a form field contains the impacted services.
    has_services: bool,
    /// The deadline as the form contains it. The text is empty without a deadline.
    pub(super) sla_deadline: String,
}

impl TicketContext {
    /// Returns the context of a ticket.
    pub(super) fn of(card: &TicketCard) -> Self {
        let Some(opened) = card.ticket.opened.as_ref() else {
            return Self::default();
        };
        let service = vec![opened.service_name.clone()];
        if opened.seals_text {
            return Self {
                impacted_services: service,
                ..Self::default()
            };
        }
        let services = list(&readable(card, IMPACTED_SERVICES));
        let has_services = !services.is_empty();
        Self {
            related_cis: list(&readable(card, RELATED_CIS)),
            impacted_services: if has_services { services } else { service },
            has_services,
            sla_deadline: readable(card, SLA_DEADLINE),
        }
    }

    /// Returns the values for a message to a person with the given role, each with its label. The requester does not get
    /// the configuration items, because only the people who work on the ticket need them. Impacted services that only
    /// repeat the service of the ticket are absent, because each message has this service.
    pub(super) fn values(&self, role: Role, language: Language) -> Vec<(&'static str, String)> {
        let (deadline, services, items) = match language {
            Language::Chinese => ("截止时间", "影响服务", "配置项"),
            Language::English => ("Deadline", "Impacted services", "Configuration items"),
        };
        let mut values = vec![(deadline, self.sla_deadline.clone())];
        if self.has_services {
            values.push((services, joined(&self.impacted_services, language)));
        }
        if role != Role::Requester {
            values.push((items, joined(&self.related_cis, language)));
        }
        values
    }
}

/// Returns the items of a list as one text, with the separator of the language.
pub(super) fn joined(items: &[String], language: Language) -> String {
    let separator = match language {
        Language::Chinese => "、",
        Language::English => ", ",
    };
    items.join(separator)
}

/// Splits a text at its commas. Empty items are omitted.
fn list(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

/// Returns the value of a form field as text. Returns an empty text if the field is absent or encrypted.
pub(super) fn readable(card: &TicketCard, key: &str) -> String {
    let entry = card.ticket.form.get(key);
    let entry = entry.filter(|entry| entry.personal.is_none());
    entry.map(|entry| plain(&entry.value)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requester_gets_no_configuration_items() {
        let context = TicketContext {
            related_cis: vec!["web-01".into(), "db-01".into()],
            impacted_services: vec!["Portal".into()],
            has_services: true,
            sla_deadline: "2026-12-01 12:00".into(),
        };
        let deadline = ("Deadline", "2026-12-01 12:00".to_owned());
        let services = ("Impacted services", "Portal".to_owned());
        let items = ("Configuration items", "web-01, db-01".to_owned());
        let english = Language::English;
        assert_eq!(
            context.values(Role::Requester, english),
            [deadline.clone(), services.clone()]
        );
        assert_eq!(
            context.values(Role::Processor, english),
            [deadline, services, items]
        );
        let chinese = context.values(Role::OnCall, Language::Chinese);
        assert_eq!(chinese[2], ("配置项", "web-01、db-01".to_owned()));
    }

    #[test]
    fn a_service_that_the_message_has_already_is_not_repeated() {
        let context = TicketContext {
            impacted_services: vec!["VPN".into()],
            ..TicketContext::default()
        };
        let values = context.values(Role::Processor, Language::English);
        assert!(
            values.iter().all(|(_, value)| value.is_empty()),
            "{values:?}"
        );
        assert_eq!(list(" a , ,b,"), ["a", "b"]);
    }
}

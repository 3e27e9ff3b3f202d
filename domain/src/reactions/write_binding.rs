//! Requests that the desk writes the values of a ticket to a record, because a person bound its case to this record, and that
//! writes to a former record end.

use events::case::CaseEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::itsm::case::Case;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "write_binding";

/// Returns one intent (a request for work) if a person bound the case to a record, or removed a binding. For any other event,
/// the list is empty.
pub fn react(envelope: &Envelope<CaseEvent>, _card: &Case) -> Vec<Intent> {
    let integration = match &envelope.event {
        CaseEvent::BindingSet(set) => &set.binding.integration,
        CaseEvent::BindingRemoved(removed) => &removed.integration,
        _ => return Vec::new(),
    };
    vec![Intent::WriteBinding {
        case: envelope.stream.clone(),
        integration: integration.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}

#[cfg(test)]
mod tests {
    use events::case::{BindingRemoved, BindingSet, FurtherBinding, Skipped};
    use events::{Meta, Moment};

    use super::*;

    #[test]
    fn only_a_change_of_a_binding_by_a_person_requests_work() {
        let react_to = |event: CaseEvent| {
            let envelope = Envelope {
                stream: "case-1".into(),
                sequence: 4,
                at: Moment(0),
                occurred_at: None,
                meta: Meta::system("c", "c"),
                event,
            };
            react(&envelope, &Case::default())
        };
        let set = BindingSet {
            by: "p1".into(),
            binding: FurtherBinding {
                integration: "crm".into(),
                record: "C-1".into(),
                mapping: 1,
                target: None,
                refused: None,
            },
        };
        let expected = Intent::WriteBinding {
            case: "case-1".into(),
            integration: "crm".into(),
            cause: "case-1:4".into(),
            correlation: "c".into(),
        };
        assert_eq!(react_to(set.into()), std::slice::from_ref(&expected));
        let removed = BindingRemoved {
            by: "p1".into(),
            integration: "crm".into(),
            record: "C-1".into(),
        };
        assert_eq!(react_to(removed.into()), [expected]);
        assert!(react_to(Skipped {}.into()).is_empty());
    }
}

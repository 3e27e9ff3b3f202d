//! Requests that the desk writes its value, or remarks, to a record again, because it began to repair a difference.

use events::case::{CaseEvent, Repair};

use crate::envelope::Envelope;
use crate::intent::{Intent, WriteRepair};
use crate::itsm::case::Case;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "write_repair";

/// Returns one intent (a request for work) if the desk repairs a difference with a write to the record. For any other event,
/// the list is empty.
pub fn react(envelope: &Envelope<CaseEvent>, card: &Case) -> Vec<Intent> {
    let CaseEvent::Repaired(repaired) = &envelope.event else {
        return Vec::new();
    };
    let Some(binding) = card.binding(&repaired.integration) else {
        return Vec::new();
    };
    if repaired.repair != Repair::Write {
        return Vec::new();
    }
    vec![Intent::WriteRepair(Box::new(WriteRepair {
        case: envelope.stream.clone(),
        record: binding.record.clone(),
        repaired: repaired.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}

#[cfg(test)]
mod tests {
    use events::case::{Repaired, Skipped};
    use events::{Meta, Moment};

    use super::*;
    use crate::itsm::case::Binding;

    #[test]
    fn only_a_repair_by_a_write_to_a_bound_record_requests_work() {
        let react_to = |event: CaseEvent| {
            let envelope = Envelope {
                stream: "case-1".into(),
                sequence: 4,
                at: Moment(0),
                occurred_at: None,
                meta: Meta::system("c", "c"),
                event,
            };
            let mut card = Case::default();
            let binding = Binding {
                record: "C-1".into(),
                ..Binding::default()
            };
            card.bindings.insert("crm".into(), binding);
            react(&envelope, &card)
        };
        let repaired = |integration: &str, repair| Repaired {
            integration: integration.into(),
            field: "remark".into(),
            found: String::new(),
            wanted: "[ledgerdesk INC1/2]".into(),
            remarks: vec![2],
            repair,
            at: Moment(0),
        };
        let expected = Intent::WriteRepair(Box::new(WriteRepair {
            case: "case-1".into(),
            record: "C-1".into(),
            repaired: repaired("crm", Repair::Write),
            cause: "case-1:4".into(),
            correlation: "c".into(),
        }));
        let found = react_to(repaired("crm", Repair::Write).into());
        assert_eq!(found, [expected]);
        for event in [
            repaired("crm", Repair::Read).into(),
            repaired("erp", Repair::Write).into(),
            Skipped {}.into(),
        ] {
            assert_eq!(react_to(event), Vec::new());
        }
    }
}

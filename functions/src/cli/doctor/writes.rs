//! Checks whether the desk could write the changes of tickets to the records of their cases.

use domain::itsm::writeback::Writeback;
use domain::views::Card;
use infra::Error;
use infra::views::Views;

use super::{Finding, fine, warning};

/// The name of the check.
pub(super) const WRITES: &str = "writes to records";

/// Returns a warning if writes to records have failed and were not requested again.
pub(super) async fn failed_writes(views: &dyn Views) -> Result<Finding, Error> {
    let count = views.count(Writeback::VIEW, "failed", "", "~").await?;
    Ok(finding_of(count))
}

fn finding_of(count: u64) -> Finding {
    let found = match count {
        0 => return fine(WRITES, "none has failed"),
        1 => "one write to a record has failed".to_owned(),
        count => format!("{count} writes to records have failed"),
    };
    warning(
        WRITES,
        found,
        "GET /v1/cases?state=failed lists the cases with the reasons; remove the reason, and send POST /v1/cases/{case}/write",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_writes_are_a_warning_with_the_next_step() {
        assert!(finding_of(0).advice.is_none());
        for (count, found) in [
            (1, "one write to a record has failed"),
            (7, "7 writes to records have failed"),
        ] {
            let finding = finding_of(count);
            assert_eq!((finding.found.as_str(), finding.is_warning), (found, true));
            let advice = finding.advice.expect("an advice");
            assert!(advice.contains("state=failed"), "{advice}");
        }
    }
}

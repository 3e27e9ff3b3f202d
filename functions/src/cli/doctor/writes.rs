//! Checks whether the desk could write the changes of tickets to the records of their cases.

use domain::itsm::writeback::Writeback;
use domain::views::Card;
use infra::Error;
use infra::views::Views;

use super::{Finding, fine, warning};

/// The name of the check.
pub(super) const WRITES: &str = "writes to records";

/// Returns a warning if writes to records have failed and were not requested again, or if the desk repeats writes.
pub(super) async fn failed_writes(views: &dyn Views) -> Result<Finding, Error> {
    let failed = views.count(Writeback::VIEW, "failed", "", "~").await?;
    let failing = views.count(Writeback::VIEW, "failing", "", "~").await?;
    Ok(finding_of(failed, failing))
}

fn finding_of(failed: u64, failing: u64) -> Finding {
    let repeated = match failing {
        0 => None,
        1 => Some(
            "the desk repeats one write to a record, because its last attempt failed".to_owned(),
        ),
        count => Some(format!(
            "the desk repeats {count} writes to records, because their last attempts failed"
        )),
    };
    let found = match failed {
        0 => {
            return match repeated {
                None => fine(WRITES, "none has failed"),
                Some(found) => warning(
                    WRITES,
                    found,
                    "GET /v1/cases?state=failing lists the cases with the reasons; remove the reason, and the desk continues",
                ),
            };
        }
        1 => "one write to a record has failed".to_owned(),
        count => format!("{count} writes to records have failed"),
    };
    let found = repeated.map_or_else(|| found.clone(), |repeated| format!("{found}; {repeated}"));
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
        assert!(finding_of(0, 0).advice.is_none());
        let failing = finding_of(0, 2);
        assert!(failing.found.contains("repeats 2 writes") && failing.is_warning);
        let advice = failing.advice.expect("an advice");
        assert!(advice.contains("state=failing"), "{advice}");
        let both = finding_of(1, 1).found;
        assert!(both.contains("has failed; the desk repeats one"), "{both}");
        for (count, found) in [
            (1, "one write to a record has failed"),
            (7, "7 writes to records have failed"),
        ] {
            let finding = finding_of(count, 0);
            assert_eq!((finding.found.as_str(), finding.is_warning), (found, true));
            let advice = finding.advice.expect("an advice");
            assert!(advice.contains("state=failed"), "{advice}");
        }
    }
}

//! Checks whether applications (requests for approval in an external ITSM) or cases wait for a person.

use domain::itsm::application::Application;
use domain::itsm::case::Case;
use domain::views::Card;
use infra::Error;
use infra::views::Views;

use super::{Finding, fine, warning};

/// The names of the checks.
pub(super) const APPLICATIONS: &str = "applications";
pub(super) const CASES: &str = "cases";

/// Returns a warning if the last request about an open application had a problem, and another one if records of sources
/// were refused.
pub(super) async fn waiting(views: &dyn Views) -> Result<[Finding; 2], Error> {
    let applications = views.count(Application::VIEW, "problem", "", "~").await?;
    let cases = views.count(Case::VIEW, "refused", "", "~").await?;
    Ok([applications_of(applications), cases_of(cases)])
}

fn applications_of(count: u64) -> Finding {
    let found = match count {
        0 => return fine(APPLICATIONS, "no open one has a problem"),
        1 => "one open application has a problem".to_owned(),
        count => format!("{count} open applications have a problem"),
    };
    warning(
        APPLICATIONS,
        found,
        "GET /v1/applications?state=open shows each one with `problem`; remove the reason, and the desk continues",
    )
}

fn cases_of(count: u64) -> Finding {
    let found = match count {
        0 => return fine(CASES, "no record is refused"),
        1 => "one record of a source is refused".to_owned(),
        count => format!("{count} records of sources are refused"),
    };
    warning(
        CASES,
        found,
        "GET /v1/cases?state=refused lists them with the reasons; correct the mapping, and send POST /v1/cases/{case}/process",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_person_is_a_warning_with_the_next_step() {
        assert!(applications_of(0).advice.is_none());
        assert!(cases_of(0).advice.is_none());
        for (finding, found, next_step) in [
            (
                applications_of(1),
                "one open application has a problem",
                "/v1/applications?state=open",
            ),
            (
                applications_of(7),
                "7 open applications have a problem",
                "`problem`",
            ),
            (
                cases_of(1),
                "one record of a source is refused",
                "state=refused",
            ),
            (cases_of(7), "7 records of sources are refused", "/process"),
        ] {
            assert_eq!((finding.found.as_str(), finding.is_warning), (found, true));
            let advice = finding.advice.expect("an advice");
            assert!(advice.contains(next_step), "{advice}");
        }
    }
}

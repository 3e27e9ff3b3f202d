//! Shows the subscriptions to messages of robots that do not work. The desk that runs has stored them.

use infra::fleet::Refused;

use super::{Finding, wrong};

/// The name with which the results of the checks name these subscriptions.
pub(super) const WHAT: &str = "subscriptions to robots";
/// Maximum number of subscriptions in the text of the result.
const NAMED_MAX: usize = 5;

/// Returns a problem with the first subscriptions of `refused`. Returns `None` if there are none.
pub(super) fn subscriptions(refused: &[Refused]) -> Option<Finding> {
    if refused.is_empty() {
        return None;
    }
    let named = refused.iter().take(NAMED_MAX);
    let named = named.map(|one| format!("{}: {}", one.filter, one.reason));
    let mut found: Vec<String> = named.collect();
    if refused.len() > NAMED_MAX {
        found.push("and more, see `GET /v1/robots`".into());
    }
    Some(wrong(
        WHAT,
        found.join("; "),
        "correct the access list of the broker; the desk subscribes again within about a minute; until then it gets no messages of these robots",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_subscriptions_are_a_problem_with_their_reason() {
        assert!(subscriptions(&[]).is_none());
        let refused: Vec<Refused> = (0..=NAMED_MAX)
            .map(|number| Refused {
                filter: format!("hall{number}/+/+/+/state"),
                reason: "the broker refuses the subscription".into(),
            })
            .collect();
        let one = subscriptions(&refused[..1]).expect("a problem");
        assert_eq!(
            one.found,
            "hall0/+/+/+/state: the broker refuses the subscription"
        );
        assert!(one.advice.is_some() && !one.is_warning);
        let all = subscriptions(&refused).expect("a problem");
        assert!(all.found.contains("hall4/"), "{}", all.found);
        assert!(!all.found.contains("hall5/"), "{}", all.found);
        assert!(all.found.ends_with("see `GET /v1/robots`"), "{}", all.found);
    }
}

//! Learns through which channel account a person answers notifications. The result only changes the order of the
//! accounts: the best one sends first, and the others send if it fails. It never uses an account that the person or the
//! policy switched off, and it never replaces an account that the person or the policy chose.

use std::collections::BTreeMap;

use events::notification::{Clause, Route, Routed};

/// The lowest number of messages of each compared account. With fewer messages, the desk changes nothing.
pub const MESSAGES_MIN: u32 = 20;
/// The lowest number of answers through the best account.
pub const ANSWERS_MIN: u32 = 10;
/// The share of answered messages of the best account must be at least this many times the share of each other account.
const FACTOR: u64 = 2;

/// The messages of one account to a person, and how many the person answered with a button or a link of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub sent: u32,
    pub answered: u32,
}

/// The usage by the name of the account.
pub type Usages = BTreeMap<String, Usage>;

/// Returns the account of `candidates` through which the person clearly answers most often. Returns `None` with fewer
/// than two candidates, with too few messages of one of them, with too few answers, and if the accounts are similar.
pub fn best<'a>(usages: &Usages, candidates: &[&'a str]) -> Option<(&'a str, Usage)> {
    let mut known = Vec::new();
    for account in candidates {
        let usage = usages.get(*account).copied().unwrap_or_default();
        if usage.sent < MESSAGES_MIN {
            return None;
        }
        known.push((*account, usage));
    }
    // The shares are compared without a division: a/b > c/d if a*d > c*b.
    let product =
        |answers: Usage, messages: Usage| u64::from(answers.answered) * u64::from(messages.sent);
    let is_best = |(account, usage): &(&str, Usage)| {
        let mut others = known.iter().filter(|(other, _)| other != account);
        usage.answered >= ANSWERS_MIN
            && others.all(|(_, other)| product(*usage, *other) >= FACTOR * product(*other, *usage))
    };
    let found = known.iter().copied().find(is_best);
    found.filter(|_| known.len() > 1)
}

/// Lets the account `best` send first. The accounts of `candidates` follow if it fails, before the fallback list.
pub fn first(routed: Routed, candidates: &[&str], best: (&str, Usage)) -> Routed {
    let (account, usage) = best;
    let is_later =
        |route: &Route| route.account != account && candidates.contains(&route.account.as_str());
    let (later, mut routes): (Vec<Route>, Vec<Route>) =
        routed.routes.into_iter().partition(is_later);
    for route in &mut routes {
        if route.account == account {
            route.clause = Some(Clause::Learned {
                sent: usage.sent,
                answered: usage.answered,
            });
        }
    }
    let fallback = later.into_iter().chain(routed.fallback).collect();
    Routed {
        routes,
        fallback,
        ..routed
    }
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use events::notification::Mode;

    use super::*;

    fn usages(numbers: &[(&str, u32, u32)]) -> Usages {
        let one = |(account, sent, answered): &(&str, u32, u32)| {
            let usage = Usage {
                sent: *sent,
                answered: *answered,
            };
            ((*account).to_owned(), usage)
        };
        numbers.iter().map(one).collect()
    }

    #[test]
    fn the_account_with_twice_the_share_of_answers_is_the_best() {
        let of = |numbers: &[(&str, u32, u32)], candidates: &[&'static str]| {
            best(&usages(numbers), candidates).map(|(account, _)| account)
        };
        let both = ["mail", "chat"];
        assert_eq!(
            of(&[("mail", 40, 5), ("chat", 40, 20)], &both),
            Some("chat")
        );
        assert_eq!(
            of(&[("mail", 40, 0), ("chat", 20, 10)], &both),
            Some("chat")
        );
        assert_eq!(
            of(&[("mail", 40, 20), ("chat", 40, 10)], &both),
            Some("mail")
        );
        assert_eq!(
            of(&[("mail", 40, 11), ("chat", 40, 20)], &both),
            None,
            "similar"
        );
        assert_eq!(
            of(&[("mail", 40, 0), ("chat", 40, 9)], &both),
            None,
            "few answers"
        );
        assert_eq!(
            of(&[("mail", 19, 0), ("chat", 40, 20)], &both),
            None,
            "few messages"
        );
        assert_eq!(of(&[("chat", 40, 20)], &both), None, "an unknown account");
        assert_eq!(of(&[("chat", 40, 20)], &["chat"]), None, "a single account");
        assert_eq!(of(&[], &[]), None);
        let three = [("mail", 40, 4), ("chat", 40, 20), ("sms", 40, 12)];
        assert_eq!(of(&three, &["mail", "chat", "sms"]), None);
        assert_eq!(of(&three, &["mail", "chat"]), Some("chat"));
    }

    #[test]
    fn the_other_accounts_follow_before_the_fallback_list() {
        let route = |account: &str| Route {
            account: account.into(),
            channel: "email".into(),
            mode: Mode::Immediate,
            clause: None,
        };
        let routed = Routed {
            routes: vec![route("mail"), route("chat"), route("floor")],
            skipped: Vec::new(),
            fallback: vec![route("sms")],
            fallback_due: None,
            expires: Moment(9),
            priority: None,
            experiment: None,
        };
        let usage = Usage {
            sent: 40,
            answered: 20,
        };
        let ordered = first(routed, &["mail", "chat"], ("chat", usage));
        let names = |routes: &[Route]| -> Vec<String> {
            routes.iter().map(|route| route.account.clone()).collect()
        };
        assert_eq!(names(&ordered.routes), ["chat", "floor"]);
        assert_eq!(names(&ordered.fallback), ["mail", "sms"]);
        let learned = Some(Clause::Learned {
            sent: 40,
            answered: 20,
        });
        assert_eq!(ordered.routes[0].clause, learned);
        assert_eq!(ordered.routes[1].clause, None);
    }
}

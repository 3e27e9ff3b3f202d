//! Finds the open cases of a node. In an open case, no transition that starts at the node has a true
//! condition, so a ticket would wait at the node.
//!
//! The module divides the possible values of each key into cases. All values in one case give the same result
//! in every condition. A case is, for example, one option of a field, a range of numbers, or one possible
//! result of a vote. The module then tests all combinations of these cases.

mod values;
mod votes;

use std::collections::{BTreeMap, BTreeSet};

use events::workflow::{Clause, Condition, Definition, NodeKind, Operator, Transition};
use events::{NodeId, TransitionId};

use crate::condition::{self, Found};
use votes::Vote;

/// Maximum number of combinations of values that are tested for one node. A node with more combinations needs
/// a default transition (a transition without a condition).
const CASES_MAX: usize = 10_000;
/// Maximum number of evaluations of conditions during the check of one workflow. More evaluations would take
/// several seconds and delay other requests.
pub(super) const TRIES_MAX: usize = 2_000_000;
/// The description of an open case if the module cannot test every case. Reasons are a number of combinations
/// above [`CASES_MAX`], a number of evaluations above [`TRIES_MAX`], or a key with unknown possible values.
const UNTRIED: &str = "something (there are too many cases to try each)";

/// Returns a description of the first open case of the node. In an open case, none of the given transitions
/// has a true condition. Returns `None` if there is no open case. If the module cannot test every case, the
/// description is general. The parameter `left` is the number of condition evaluations that are still allowed
/// (see [`TRIES_MAX`]).
pub(super) fn open_case(
    definition: &Definition,
    node: NodeId,
    transitions: &[&Transition],
    left: &mut usize,
) -> Option<String> {
    let conditions: Vec<&Condition> = transitions
        .iter()
        .filter_map(|transition| transition.condition.as_ref())
        .collect();
    let has_default = conditions.len() < transitions.len();
    if has_default
        || conditions
            .iter()
            .any(|one| conditions.iter().any(|other| is_opposite(one, other)))
    {
        return None;
    }
    let cases = Cases {
        definition,
        node,
        conditions,
    };
    let Some(dimensions) = cases.dimensions() else {
        return Some(UNTRIED.into());
    };
    let total = dimensions.iter().try_fold(1_usize, |total, dimension| {
        total.checked_mul(dimension.len())
    });
    let tries = total
        .filter(|total| *total <= CASES_MAX)
        .map(|total| total * cases.conditions.len());
    let Some(rest) = tries.and_then(|tries| left.checked_sub(tries)) else {
        return Some(UNTRIED.into());
    };
    *left = rest;
    cases.first_open(&dimensions)
}

/// The node under test, and the conditions on the transitions that start at this node.
struct Cases<'a> {
    definition: &'a Definition,
    node: NodeId,
    conditions: Vec<&'a Condition>,
}

/// One case: values that give the same result in every condition. The member `held` contains one or more keys
/// of the conditions with their values. The member `words` describes these values to people.
struct Case {
    held: Vec<(String, Found)>,
    words: Words,
}

/// The text that describes one case to people.
#[derive(Clone)]
enum Words {
    Plain(String),
    /// A range of values between a lower and an upper limit. Each limit is optional. The `bool` of a limit is
    /// true if the limit itself belongs to the range.
    Range {
        key: String,
        low: Option<(String, bool)>,
        high: Option<(String, bool)>,
    },
}

impl<'a> Cases<'a> {
    fn clauses(&self) -> impl Iterator<Item = &'a Clause> + '_ {
        self.conditions
            .iter()
            .copied()
            .flat_map(|condition| &condition.expressions)
            .flat_map(|group| &group.expressions)
    }

    /// Returns lists of cases. A case is a set of values that give the same result in every condition. Each
    /// list contains the cases of one vote, or the cases of one key that no vote sets. The cases of different
    /// lists are independent of each other. Returns `None` if the possible values of a key are unknown.
    fn dimensions(&self) -> Option<Vec<Vec<Case>>> {
        let mut seen = BTreeSet::new();
        let keys: Vec<&'a str> = self
            .clauses()
            .map(|clause| clause.key.as_str())
            .filter(|key| seen.insert(*key))
            .collect();
        let mut votes: BTreeMap<NodeId, Vote<'a>> = BTreeMap::new();
        let mut dimensions = Vec::new();
        for key in keys {
            match self.vote_of(key) {
                Some((node, what)) => votes
                    .entry(node.id)
                    .or_insert_with(|| (node, Vec::new()))
                    .1
                    .push((key, what)),
                None => dimensions.push(self.of_key(key)?),
            }
        }
        dimensions.extend(votes.values().map(|(node, keys)| self.of_vote(node, keys)));
        Some(dimensions)
    }

    /// Returns true if every path from START to the node under test (the node with the tested transitions)
    /// contains one of the nodes in `some`. The node under test can itself be in `some`.
    fn is_passed(&self, some: &BTreeSet<NodeId>) -> bool {
        let starts = self
            .definition
            .nodes
            .iter()
            .filter(|node| node.kind == NodeKind::Start && !some.contains(&node.id))
            .map(|node| node.id);
        let mut open: Vec<NodeId> = starts.collect();
        let mut seen: BTreeSet<NodeId> = open.iter().copied().collect();
        while let Some(at) = open.pop() {
            let next = self
                .definition
                .transitions_from(at)
                .into_iter()
                .map(|transition| transition.to)
                .filter(|to| !some.contains(to));
            open.extend(next.filter(|to| seen.insert(*to)));
        }
        !seen.contains(&self.node)
    }

    /// Returns a description of the first combination of cases for which all conditions are false. If the
    /// case is a range of values, the described range is as wide as possible. Returns `None` if there is no
    /// such combination.
    fn first_open(&self, dimensions: &[Vec<Case>]) -> Option<String> {
        if dimensions.iter().any(Vec::is_empty) {
            return None;
        }
        let mut chosen = vec![0; dimensions.len()];
        loop {
            if self.is_open(dimensions, &chosen) {
                // The description omits a list of cases if the conditions stay false for every case in this
                // list. The values in such a list have no influence on the open case.
                let matters = |at: &usize| {
                    (0..dimensions[*at].len())
                        .any(|case| !self.is_open(dimensions, &changed(&chosen, *at, case)))
                };
                let words: Vec<String> = (0..dimensions.len())
                    .filter(matters)
                    .map(|at| self.widened(dimensions, &chosen, at).text())
                    .collect();
                return Some(if words.is_empty() {
                    "any value".into()
                } else {
                    words.join(", ")
                });
            }
            // Each list of cases works like one digit of a number. The next combination is computed as if this
            // number were increased by one.
            let at = (0..dimensions.len()).find(|at| chosen[*at] + 1 < dimensions[*at].len())?;
            chosen[..at].fill(0);
            chosen[at] += 1;
        }
    }

    fn is_open(&self, dimensions: &[Vec<Case>], chosen: &[usize]) -> bool {
        let held = |key: &str| {
            dimensions
                .iter()
                .zip(chosen)
                .find_map(|(cases, at)| cases[*at].held.iter().find(|(known, _)| known == key))
        };
        let find = |key: &str| held(key).map_or(Found::Absent, |(_, found)| found.clone());
        !self
            .conditions
            .iter()
            .any(|condition| condition::holds(condition, TransitionId(0), &find, &mut Vec::new()))
    }

    fn widened(&self, dimensions: &[Vec<Case>], chosen: &[usize], at: usize) -> Words {
        let cases = &dimensions[at];
        let is_open = |case: usize| {
            matches!(cases[case].words, Words::Range { .. })
                && self.is_open(dimensions, &changed(chosen, at, case))
        };
        let Words::Range { key, low, high } = &cases[chosen[at]].words else {
            return cases[chosen[at]].words.clone();
        };
        let (mut low, mut high) = (low.clone(), high.clone());
        for case in (0..chosen[at]).rev().take_while(|case| is_open(*case)) {
            if let Words::Range { low: lower, .. } = &cases[case].words {
                low.clone_from(lower);
            }
        }
        for case in (chosen[at] + 1..cases.len()).take_while(|case| is_open(*case)) {
            if let Words::Range { high: higher, .. } = &cases[case].words {
                high.clone_from(higher);
            }
        }
        Words::Range {
            key: key.clone(),
            low,
            high,
        }
    }
}

/// Returns a copy of the combination `chosen` in which one index is replaced. A combination contains one
/// index for each list of cases. The parameter `at` is the position of the replaced index, and `case` is the
/// new index.
fn changed(chosen: &[usize], at: usize, case: usize) -> Vec<usize> {
    let mut other = chosen.to_vec();
    other[at] = case;
    other
}

impl Words {
    fn text(&self) -> String {
        let (key, low, high) = match self {
            Self::Plain(text) => return text.clone(),
            Self::Range { key, low, high } => (key, low, high),
        };
        if let (Some((low, true)), Some((high, true))) = (low, high)
            && low == high
        {
            return format!("{key} = {low}");
        }
        let bound = |bound: Option<&(String, bool)>, sign: &str| {
            bound.map(|(constant, is_included)| {
                format!(
                    "{key} {sign}{} {constant}",
                    if *is_included { "=" } else { "" }
                )
            })
        };
        let bounds: Vec<String> = [bound(low.as_ref(), ">"), bound(high.as_ref(), "<")]
            .into_iter()
            .flatten()
            .collect();
        if bounds.is_empty() {
            format!("{key} is filled in")
        } else {
            bounds.join(", ")
        }
    }
}

/// Returns true if one condition is the exact negation of the other condition. Each clause (single
/// comparison) of one condition must have its negation in the other condition. If there are several clauses,
/// one condition must combine them with `and`, and the other condition with `or`.
fn is_opposite(one: &Condition, other: &Condition) -> bool {
    let ([one], [other]) = (&one.expressions[..], &other.expressions[..]) else {
        return false;
    };
    let negated = |operator| match operator {
        Operator::Equal => Some(Operator::NotEqual),
        Operator::NotEqual => Some(Operator::Equal),
        Operator::In => Some(Operator::NotIn),
        Operator::NotIn => Some(Operator::In),
        Operator::Superset => Some(Operator::NotSuperset),
        Operator::NotSuperset => Some(Operator::Superset),
        // If a value cannot be compared with the constant, both `<` and `>=` are false. The operators `<`,
        // `<=`, `>` and `>=` therefore have no exact negation.
        _ => None,
    };
    let joined = one.expressions.len() == 1 || one.join != other.join;
    let has_negation = |clause: &Clause| {
        let same = |found: &&Clause| {
            found.key == clause.key && found.kind == clause.kind && found.value == clause.value
        };
        other
            .expressions
            .iter()
            .filter(same)
            .any(|found| Some(found.condition) == negated(clause.condition))
    };
    joined
        && one.expressions.len() == other.expressions.len()
        && one.expressions.iter().all(has_negation)
}

#[cfg(test)]
mod tests;

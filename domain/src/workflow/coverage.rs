//! Finds the open cases of a node. In an open case, no transition that starts at the node has a true
//! condition, so a ticket would wait at the node.
//!
//! The module divides the possible values of each key into cases. All values in one case give the same result
//! in every condition. A case is, for example, one option of a field, a range of numbers, or one possible
//! result of a vote. The module then tests all combinations of these cases.

use std::collections::{BTreeMap, BTreeSet};

use events::workflow::{
    Choice, Clause, Condition, Definition, Field, FieldKind, Holds, Node, NodeKind, Operator,
    Transition,
};
use events::{NodeId, TransitionId};
use jiff::Span;
use jiff::civil::DateTime;

use crate::condition::{self, Found};
use crate::value::plain;

/// Maximum number of combinations of values that are tested for one node. A node with more combinations needs
/// a default transition (a transition without a condition).
const CASES_MAX: usize = 10_000;
/// Maximum number of evaluations of conditions during the check of one workflow. More evaluations would take
/// several seconds and delay other requests.
pub(super) const TRIES_MAX: usize = 2_000_000;
/// Maximum number of different list elements with which the conditions of a node compare the same key. Each
/// further element doubles the number of cases (combinations of elements) that must be tested.
const ELEMENTS_MAX: usize = 6;
/// To test conditions on vote counts, the module simulates votes with 1 voter, 2 voters, and so on. This
/// range limits the maximum number of simulated voters. Within this range, the maximum depends on the largest
/// constant in the conditions.
const VOTERS: std::ops::RangeInclusive<u32> = 3..=12;
/// The description of an open case if the module cannot test every case. Reasons are a number of combinations
/// above [`CASES_MAX`], a number of evaluations above [`TRIES_MAX`], or a key with unknown possible values.
const UNTRIED: &str = "something (there are too many cases to try each)";
/// A text that occurs in no condition. The module uses this text to test the values that no condition
/// contains.
const OTHER: &str = "\u{1}";

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

/// One possible end of a vote. The members contain the numbers of voters, approvals and rejections, and the
/// last vote. The member `result` is true if the node is approved.
struct Ended {
    voters: u32,
    pass: u32,
    reject: u32,
    /// The last vote: true for an approval, false for a rejection. `None` if the ticket skipped the node
    /// without a vote.
    last: Option<bool>,
    result: bool,
}

/// The kind of value that a vote gives to a key in a condition.
#[derive(Clone, Copy)]
enum OfVote {
    Output(Holds),
    /// The decision of the last voter. The key in the condition is the key of the form field with this
    /// decision.
    Opinion,
}

/// A node at which people vote, and the keys that get their values from the vote. Each entry of the list
/// contains one key and the kind of its value.
type Vote<'a> = (&'a Node, Vec<(&'a str, OfVote)>);

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

    /// Returns the node at which a vote sets the value of the key. If the vote at the node under test (the
    /// node with the tested transitions) sets the key, this node is returned. Returns `None` if no vote sets
    /// the key, or if the votes at several other nodes set the key.
    fn vote_of(&self, key: &str) -> Option<(&'a Node, OfVote)> {
        let what = |node: &'a Node| {
            let output = node
                .outputs
                .iter()
                .find(|output| output.key == key && output.holds != Holds::Approver);
            let opinion = || {
                self.definition
                    .fields_of(node)
                    .any(|field| field.key == key && field.is_approve_result)
            };
            output
                .map(|output| OfVote::Output(output.holds))
                .or_else(|| opinion().then_some(OfVote::Opinion))
        };
        let found: Vec<(&'a Node, OfVote)> = self
            .definition
            .nodes
            .iter()
            .filter(|node| node.kind.is_vote())
            .filter_map(|node| Some((node, what(node)?)))
            .collect();
        found
            .iter()
            .find(|(node, _)| node.id == self.node)
            .or(if found.len() == 1 {
                found.first()
            } else {
                None
            })
            .copied()
    }

    /// Returns the cases that are possible after a vote at the given node. A case is one combination of
    /// values for the keys in the parameter `keys`, which get their values from this vote.
    fn of_vote(&self, node: &Node, keys: &[(&str, OfVote)]) -> Vec<Case> {
        let counts_tested = keys.iter().any(|(_, what)| {
            !matches!(what, OfVote::Opinion | OfVote::Output(Holds::ApproveResult))
        });
        let mut seen = BTreeSet::new();
        let mut cases = Vec::new();
        for ended in self.endings(node, counts_tested) {
            let counters = counters(&ended);
            let value = |what: &OfVote| match what {
                OfVote::Opinion => ended.last.map(|last| last.to_string()),
                OfVote::Output(Holds::ApproveResult) => {
                    (node.kind == NodeKind::Approval).then(|| ended.result.to_string())
                }
                OfVote::Output(holds) => counters.get(code(*holds).as_str()).cloned(),
            };
            let values: Vec<(&str, Option<String>)> =
                keys.iter().map(|(key, what)| (*key, value(what))).collect();
            if !seen.insert(values.clone()) {
                continue;
            }
            let label = |key: &str, what: &OfVote| match what {
                OfVote::Opinion => self
                    .definition
                    .field_at(node.id, key)
                    .map_or_else(|| key.to_owned(), |field| field.name.clone()),
                OfVote::Output(holds) => code(*holds),
            };
            let words = keys
                .iter()
                .zip(&values)
                .map(|((key, what), (_, value))| match value {
                    Some(value) => format!("{} = {value}", label(key, what)),
                    None => format!("{} is empty", label(key, what)),
                });
            let words = Words::Plain(words.collect::<Vec<_>>().join(", "));
            let held = values
                .into_iter()
                .map(|(key, value)| {
                    (
                        key.to_owned(),
                        value.map_or(Found::Absent, |value| Found::Value(value.into())),
                    )
                })
                .collect();
            cases.push(Case { held, words });
        }
        if !self.is_passed(&[node.id].into()) {
            let held = keys
                .iter()
                .map(|(key, _)| ((*key).to_owned(), Found::Absent))
                .collect();
            cases.push(Case {
                held,
                words: Words::Plain(format!(
                    "node {} was not passed",
                    super::named(self.definition, node.id)
                )),
            });
        }
        cases
    }

    /// Returns the possible ends of a vote at the given node. If a rejection of the node terminates the
    /// ticket, the list contains only approvals (reference/bk-itsm.md 6). If conditions use the vote counts,
    /// the parameter `counts_tested` is true, and votes with more voters are simulated.
    fn endings(&self, node: &Node, counts_tested: bool) -> Vec<Ended> {
        let finish = node.finish_condition.as_ref();
        let holds = |counters: &BTreeMap<&str, String>| {
            let find = |key: &str| {
                counters
                    .get(key)
                    .map_or(Found::Absent, |text| Found::Value(text.clone().into()))
            };
            finish.is_some_and(|condition| {
                condition::holds(condition, TransitionId(0), &find, &mut Vec::new())
            })
        };
        let constants = finish
            .into_iter()
            .flat_map(|condition| &condition.expressions)
            .flat_map(|group| &group.expressions)
            .chain(self.clauses());
        let largest = constants
            .filter_map(|clause| plain(&clause.value).trim().parse::<u32>().ok())
            .max()
            .unwrap_or_default();
        let most = if counts_tested || finish.is_some() {
            largest
                .saturating_add(2)
                .clamp(*VOTERS.start(), *VOTERS.end())
        } else {
            2
        };
        let mut endings = Vec::new();
        if node.is_allow_skip {
            endings.push(Ended {
                voters: 0,
                pass: 0,
                reject: 0,
                last: None,
                result: true,
            });
        }
        for voters in 1..=most {
            let mut open = vec![(0, 0)];
            let mut seen = BTreeSet::new();
            while let Some((passed, rejected)) = open.pop() {
                for last in [true, false] {
                    let (pass, reject) = (passed + u32::from(last), rejected + u32::from(!last));
                    let mut ended = Ended {
                        voters,
                        pass,
                        reject,
                        last: Some(last),
                        result: reject == 0,
                    };
                    let is_multi = node.is_multi || node.kind == NodeKind::Sign;
                    let by_condition = is_multi && holds(&counters(&ended));
                    if is_multi && !by_condition && pass + reject < voters {
                        open.extend(Some((pass, reject)).filter(|state| seen.insert(*state)));
                        continue;
                    }
                    // The finish condition is a condition on the vote counts. The result of the vote is an
                    // approval if this condition is true even without the rejections.
                    ended.result |= by_condition && holds(&counters(&Ended { reject: 0, ..ended }));
                    if ended.result || !node.terminate_when_rejected {
                        endings.push(ended);
                    }
                }
            }
        }
        endings
    }

    /// Returns the possible cases (values or ranges of values) of a key. The key gets its value from a form
    /// or from the ticket, and not from a vote. Returns `None` if the possible values of the key are unknown.
    fn of_key(&self, key: &str) -> Option<Vec<Case>> {
        let clauses: Vec<&Clause> = self.clauses().filter(|clause| clause.key == key).collect();
        let field = self.definition.field_at(self.node, key);
        let is_filled = self.is_always_filled(key);
        let mut cases = Self::filled(key, field, &clauses)?;
        if !is_filled {
            cases.push(Case {
                held: vec![(key.to_owned(), Found::Absent)],
                words: Words::Plain(format!("{key} is empty")),
            });
        }
        Some(cases)
    }

    fn filled(key: &str, field: Option<&Field>, clauses: &[&Clause]) -> Option<Vec<Case>> {
        let options = field.map(own_options).unwrap_or_default();
        let name = |text: &str| {
            options
                .iter()
                .find(|(known, _)| *known == text)
                .map_or_else(|| text.to_owned(), |(_, name)| (*name).to_owned())
        };
        let case = |value: String, words: String| Case {
            held: vec![(key.to_owned(), Found::Value(value.into()))],
            words: Words::Plain(words),
        };
        let is_kind = |kinds: &[&str]| {
            clauses.iter().all(|clause| {
                kinds.contains(&clause.kind.as_str()) && !is_of_sets(clause.condition)
            })
        };
        let tested_values: BTreeSet<String> = clauses
            .iter()
            .flat_map(|clause| constants(clause))
            .filter(|text| !text.is_empty())
            .collect();
        let kind = field.map(|field| field.kind);
        if kind == Some(FieldKind::Boolean) {
            return Some(
                ["true", "false", "1", "0"]
                    .into_iter()
                    .map(|text| case(text.to_owned(), format!("{key} = {text}")))
                    .collect(),
            );
        }
        if matches!(
            kind,
            Some(FieldKind::Radio | FieldKind::Select | FieldKind::TreeSelect)
        ) && !options.is_empty()
        {
            // The remaining options of the field occur in no condition. All remaining options therefore give
            // the same results, and the test needs only one of them.
            let other = options
                .iter()
                .find(|(option, _)| !tested_values.contains(*option))
                .map(|(option, _)| *option);
            let tested = options
                .iter()
                .map(|(option, _)| *option)
                .filter(|option| tested_values.contains(*option) || Some(*option) == other);
            return Some(
                tested
                    .map(|option| case(option.to_owned(), format!("{key} = {}", name(option))))
                    .collect(),
            );
        }
        if is_kind(&["INT", "number"]) {
            let is_number =
                kind == Some(FieldKind::Int) || (field.is_none() && key.ends_with("bk_biz_id"));
            let mut cases = numbers(key, &tested_values);
            cases.extend(
                (!is_number).then(|| case(OTHER.to_owned(), format!("{key} is no number"))),
            );
            return Some(cases);
        }
        if is_kind(&["DATE", "DATETIME", "date", "datetime"]) {
            let mut cases = times(key, &tested_values, kind == Some(FieldKind::Date));
            let is_time = matches!(kind, Some(FieldKind::Date | FieldKind::DateTime));
            cases.extend((!is_time).then(|| case(OTHER.to_owned(), format!("{key} is no time"))));
            return Some(cases);
        }
        if clauses
            .iter()
            .any(|clause| matches!(clause.condition, Operator::Superset | Operator::NotSuperset))
        {
            let other = options
                .iter()
                .map(|(option, _)| *option)
                .find(|option| !tested_values.contains(*option));
            let other = if options.is_empty() {
                Some(OTHER)
            } else {
                other
            };
            let elements: Vec<&str> = tested_values
                .iter()
                .map(String::as_str)
                .chain(other)
                .collect();
            if tested_values.len() > ELEMENTS_MAX {
                return None;
            }
            let set = |bits: usize| -> Vec<&str> {
                elements
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| (bits >> at) & 1 == 1)
                    .map(|(_, element)| *element)
                    .collect()
            };
            let sets = (1_usize..1 << elements.len()).map(set);
            let words = |set: &[&str]| {
                set.iter()
                    .map(|text| {
                        if *text == OTHER {
                            "another".to_owned()
                        } else {
                            name(text)
                        }
                    })
                    .collect::<Vec<_>>()
                    .join(",")
            };
            return Some(
                sets.map(|set| case(set.join(","), format!("{key} = {}", words(&set))))
                    .collect(),
            );
        }
        if clauses.iter().any(|clause| {
            matches!(
                clause.condition,
                Operator::Greater | Operator::Less | Operator::AtLeast | Operator::AtMost
            )
        }) {
            return None;
        }
        let mut cases: Vec<Case> = tested_values
            .iter()
            .map(|text| case(text.clone(), format!("{key} = {}", name(text))))
            .collect();
        let others = tested_values
            .iter()
            .map(|text| format!("{key} != {}", name(text)))
            .collect::<Vec<_>>()
            .join(", ");
        cases.push(case(
            OTHER.to_owned(),
            if others.is_empty() {
                format!("{key} is filled in")
            } else {
                others
            },
        ));
        Some(cases)
    }

    /// Returns true if the key always has a value at the node under test (the node with the tested
    /// transitions). This is true for a required field on every path from START to this node, and for some
    /// ticket attributes.
    fn is_always_filled(&self, key: &str) -> bool {
        let fills = |node: &&Node| {
            let field = self
                .definition
                .fields_of(node)
                .find(|field| field.key == key);
            field.is_some_and(|field| field.is_required && field.hidden_when.is_none())
                && !node.is_allow_skip
        };
        let is_of_the_ticket = self.definition.field(key).is_none()
            && super::is_comparable_of_the_ticket(key)
            && key != "priority"
            && key != "ticket_title";
        is_of_the_ticket
            || self.is_passed(
                &self
                    .definition
                    .nodes
                    .iter()
                    .filter(fills)
                    .map(|node| node.id)
                    .collect(),
            )
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

/// Returns the vote counters for one possible end of a vote. Each key of the map is the code of a counter,
/// such as `PASS_COUNT`. The workflow engine computes the counters in the same way.
fn counters(ended: &Ended) -> BTreeMap<&'static str, String> {
    let percent =
        |votes: u32| (f64::from(votes) * 100.0 / f64::from(ended.voters.max(1))).to_string();
    BTreeMap::from([
        ("PROCESS_COUNT", (ended.pass + ended.reject).to_string()),
        ("PASS_COUNT", ended.pass.to_string()),
        ("REJECT_COUNT", ended.reject.to_string()),
        ("PASS_RATE", percent(ended.pass)),
        ("REJECT_RATE", percent(ended.reject)),
    ])
}

/// Returns the text that represents a kind of output variable in stored workflows, such as `PASS_COUNT`.
fn code(holds: Holds) -> String {
    plain(&serde_json::to_value(holds).unwrap_or_default())
}

/// Returns the keys and names of all options that the workflow defines for a field. If the options form a
/// tree, the options of all levels are returned.
fn own_options(field: &Field) -> Vec<(&str, &str)> {
    fn flat<'a>(choices: &'a [Choice], all: &mut Vec<(&'a str, &'a str)>) {
        for choice in choices {
            all.push((&choice.key, &choice.name));
            flat(&choice.items, all);
        }
    }
    let mut all = Vec::new();
    if matches!(field.source_type.as_str(), "" | "CUSTOM") && field.kind != FieldKind::InputSelect {
        flat(&field.choice, &mut all);
    }
    all
}

fn is_of_sets(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Superset | Operator::NotSuperset | Operator::In | Operator::NotIn
    )
}

/// Returns the constants with which a clause (a single comparison) compares its key: one value, or all
/// elements of a list.
fn constants(clause: &Clause) -> Vec<String> {
    if is_of_sets(clause.condition) {
        condition::set(&clause.value).into_iter().collect()
    } else {
        vec![plain(&clause.value)]
    }
}

/// Divides the possible values of a key into cases. The parameter `sorted` contains constants in ascending
/// order. Each constant is one case. Each range between two constants, before the first constant or after the
/// last constant is also one case.
fn ranges<T: Copy>(
    key: &str,
    sorted: &[(T, String)],
    value_between: impl Fn(Option<T>, Option<T>) -> Option<String>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    let case = |value: String, low: Option<&str>, high: Option<&str>, is_included: bool| Case {
        held: vec![(key.to_owned(), Found::Value(value.into()))],
        words: Words::Range {
            key: key.to_owned(),
            low: low.map(|low| (low.to_owned(), is_included)),
            high: high.map(|high| (high.to_owned(), is_included)),
        },
    };
    for at in 0..=sorted.len() {
        let (below, above) = (at.checked_sub(1).map(|at| &sorted[at]), sorted.get(at));
        if let Some(value) = value_between(
            below.map(|(value, _)| *value),
            above.map(|(value, _)| *value),
        ) {
            cases.push(case(
                value,
                below.map(|(_, text)| text.as_str()),
                above.map(|(_, text)| text.as_str()),
                false,
            ));
        }
        if let Some((_, text)) = above {
            cases.push(case(
                text.clone(),
                Some(text.as_str()),
                Some(text.as_str()),
                true,
            ));
        }
    }
    cases
}

/// Returns the cases for a key whose value is a number. The parameter `tested_values` contains the constants
/// with which the conditions compare this key. Each constant is one case. Each range between, below or above
/// the constants is also one case.
fn numbers(key: &str, tested_values: &BTreeSet<String>) -> Vec<Case> {
    let mut sorted: Vec<(f64, String)> = tested_values
        .iter()
        .filter_map(|text| Some((condition::number(text)?, text.trim().to_owned())))
        .collect();
    sorted.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    sorted.dedup_by(|(one, _), (other, _)| one.total_cmp(other).is_eq());
    // Returns the distance between the highest or lowest constant and the value that is tested above or below
    // this constant. Normally, the distance is 1. For a very large constant, the distance is larger, because
    // rounding would remove a distance of 1.
    let step = |number: f64| 1.0_f64.max(number.abs() * 1e-6);
    ranges(key, &sorted, |below, above| {
        let value = match (below, above) {
            (Some(below), Some(above)) => f64::midpoint(below, above),
            (Some(below), None) => below + step(below),
            (None, Some(above)) => above - step(above),
            (None, None) => 0.0,
        };
        Some(value.to_string())
    })
}

/// Returns the cases for a key whose value is a date or time. The parameter `tested_values` contains the
/// constants with which the conditions compare this key. Each constant is one case. Each range between,
/// before or after the constants is also one case. If `are_days` is true, there is no value between two
/// consecutive days.
fn times(key: &str, tested_values: &BTreeSet<String>, are_days: bool) -> Vec<Case> {
    let mut sorted: Vec<(DateTime, String)> = tested_values
        .iter()
        .filter_map(|text| Some((condition::time(text)?, text.trim().to_owned())))
        .collect();
    sorted.sort_by_key(|(time, _)| *time);
    sorted.dedup_by_key(|(time, _)| *time);
    let (day, next) = (
        Span::new().days(1),
        if are_days {
            Span::new().days(1)
        } else {
            Span::new().seconds(1)
        },
    );
    ranges(key, &sorted, |below, above| {
        let time = match (below, above) {
            (Some(below), Some(above)) => {
                below.checked_add(next).ok().filter(|time| *time < above)?
            }
            (Some(below), None) => below.checked_add(day).ok()?,
            (None, Some(above)) => above.checked_sub(day).ok()?,
            (None, None) => DateTime::default(),
        };
        Some(
            time.strftime(if are_days {
                "%Y-%m-%d"
            } else {
                "%Y-%m-%d %H:%M:%S"
            })
            .to_string(),
        )
    })
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn definition(fields: &Value, node: &Value) -> Definition {
        let mut approval = json!({ "id": 3, "name": "审批", "kind": "APPROVAL", "fields": ["o"], "outputs": [
            { "key": "result", "holds": "NODE_APPROVE_RESULT" }, { "key": "rejected", "holds": "REJECT_COUNT" }, { "key": "passed", "holds": "PASS_COUNT" },
            { "key": "pass_rate", "holds": "PASS_RATE" }, { "key": "reject_rate", "holds": "REJECT_RATE" }] });
        approval
            .as_object_mut()
            .expect("an object")
            .extend(node.as_object().expect("an object").clone());
        let mut all = vec![
            json!({ "id": 99, "key": "o", "type": "RADIO", "name": "审批意见", "is_required": true, "is_approve_result": true,
            "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] }),
        ];
        all.extend(fields.as_array().expect("fields").clone());
        let keys: Vec<Value> = fields
            .as_array()
            .expect("fields")
            .iter()
            .map(|field| field["key"].clone())
            .collect();
        let definition = json!({ "name": "d", "fields": all, "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 4 }],
            "nodes": [{ "id": 1, "name": "", "kind": "START" }, { "id": 2, "name": "", "kind": "NORMAL", "fields": keys }, approval, { "id": 4, "name": "", "kind": "END" }] });
        serde_json::from_value(definition).expect("a definition")
    }

    /// Returns a description of an open case of the node. In an open case, no transition has a true
    /// condition. The parameter `transitions` contains each transition as an operator (`and` or `or`) and a
    /// list of clauses.
    fn open(definition: &Definition, node: i64, transitions: &[(&str, Value)]) -> Option<String> {
        let transitions: Vec<Transition> = transitions
            .iter()
            .map(|(join, clauses)| {
                let clauses: Vec<Value> = clauses
                    .as_array()
                    .expect("clauses")
                    .iter()
                    .map(|clause| json!({ "key": clause[0], "type": clause[1], "condition": clause[2], "value": clause[3] }))
                    .collect();
                let condition = json!({ "type": "and", "expressions": [{ "type": join, "expressions": clauses }] });
                serde_json::from_value(json!({ "id": 9, "from": node, "to": 4, "condition": condition })).expect("a transition")
            })
            .collect();
        open_case(
            definition,
            NodeId(node),
            &transitions.iter().collect::<Vec<_>>(),
            &mut { TRIES_MAX },
        )
    }

    #[test]
    fn a_case_without_a_transition_is_named() {
        let fields = json!([
            { "key": "ok", "type": "RADIO", "name": "是否", "is_required": true, "choice": [{ "key": "y", "name": "是" }, { "key": "n", "name": "否" }] },
            { "key": "amount", "type": "INT", "name": "金额", "is_required": true },
            { "key": "kind", "type": "STRING", "name": "类型", "is_required": true },
            { "key": "day", "type": "DATE", "name": "日期", "is_required": true },
            { "key": "tags", "type": "CHECKBOX", "name": "标签", "choice": [{ "key": "a", "name": "甲" }, { "key": "b", "name": "乙" }] },
            { "key": "more", "type": "STRING", "name": "其他" },
        ]);
        let definition = definition(&fields, &json!({}));
        let open_at_2 = |transitions: &[(&str, Value)]| open(&definition, 2, transitions);
        let yes = json!(["ok", "RADIO", "==", "y"]);
        let (large, small) = (
            json!(["amount", "INT", ">=", 1000]),
            json!(["amount", "INT", "<", 1000]),
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([yes, large])),
                ("and", json!([yes, small])),
                ("and", json!([["ok", "RADIO", "==", "n"]]))
            ]),
            None
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([yes])),
                ("and", json!([["ok", "RADIO", "==", "n"], small]))
            ])
            .as_deref(),
            Some("ok = 否, amount >= 1000")
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([large])),
                ("and", json!([["amount", "INT", "<", 10]]))
            ])
            .as_deref(),
            Some("amount >= 10, amount < 1000")
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([["amount", "INT", ">", 10]])),
                ("and", json!([["amount", "INT", "<", 10]]))
            ])
            .as_deref(),
            Some("amount = 10")
        );
        let of = |text: &str| json!([["kind", "STRING", "==", text]]);
        assert_eq!(
            open_at_2(&[("and", of("会签")), ("and", of("或签"))]).as_deref(),
            Some("kind != 会签, kind != 或签")
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([["day", "DATE", "<", "2026-01-01"]])),
                ("and", json!([["day", "DATE", ">", "2026-01-01"]]))
            ])
            .as_deref(),
            Some("day = 2026-01-01")
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([["day", "DATE", "<=", "2026-01-01"]])),
                ("and", json!([["day", "DATE", ">", "2026-01-01"]]))
            ]),
            None
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([["tags", "CHECKBOX", "issuperset", "a"]])),
                ("and", json!([["tags", "CHECKBOX", "issuperset", "b"]]))
            ])
            .as_deref(),
            Some("tags is empty")
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([["more", "STRING", "!=", "x"]])),
                ("and", json!([["more", "STRING", "==", "x"]]))
            ]),
            None
        );
        assert_eq!(
            open_at_2(&[
                ("and", json!([["more", "STRING", "==", "x"]])),
                ("and", json!([["more", "STRING", "notin", "x,y"]]))
            ])
            .as_deref(),
            Some("more = y")
        );
    }

    #[test]
    fn the_number_of_tested_cases_is_bounded() {
        let definition = definition(
            &json!([{ "key": "amount", "type": "INT", "name": "金额", "is_required": true }]),
            &json!({}),
        );
        let clause = json!({ "key": "amount", "type": "INT", "condition": ">", "value": 10 });
        let condition =
            json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] });
        let transition: Transition =
            serde_json::from_value(json!({ "id": 9, "from": 2, "to": 4, "condition": condition }))
                .expect("a transition");
        let mut left = TRIES_MAX;
        assert!(
            open_case(&definition, NodeId(2), &[&transition], &mut left)
                .is_some_and(|case| case.starts_with("amount"))
        );
        assert!(left < TRIES_MAX);
        assert_eq!(
            open_case(&definition, NodeId(2), &[&transition], &mut 0).as_deref(),
            Some(UNTRIED)
        );
    }

    #[test]
    fn conditions_on_outcomes_of_a_vote_cover_each_other() {
        let countersign = json!({ "is_multi": true });
        let early = json!({ "is_multi": true, "finish_condition": { "expressions": [{ "expressions": [{ "key": "REJECT_COUNT", "type": "INT", "condition": ">=", "value": 1 }] }] } });
        let ending = json!({ "is_multi": true, "terminate_when_rejected": true });
        let skipped = json!({ "is_multi": true, "is_allow_skip": true });
        let result = |is: &str| json!([["result", "SELECT", "==", is]]);
        let count = |key: &str, sign: &str, value: i64| json!([[key, "INT", sign, value]]);
        let covered = [
            (
                &countersign,
                vec![result("true"), count("rejected", ">=", 1)],
            ),
            (
                &countersign,
                vec![count("rejected", ">", 0), result("true")],
            ),
            (
                &countersign,
                vec![result("true"), count("reject_rate", ">", 0)],
            ),
            (
                &countersign,
                vec![result("true"), count("pass_rate", "<", 100)],
            ),
            (
                &countersign,
                vec![result("false"), count("rejected", "==", 0)],
            ),
            (
                &countersign,
                vec![result("false"), count("pass_rate", "==", 100)],
            ),
            (
                &countersign,
                vec![
                    json!([["o", "RADIO", "==", "false"]]),
                    json!([["o", "RADIO", "==", "true"]]),
                ],
            ),
            (&early, vec![result("true"), count("rejected", "==", 1)]),
            (&ending, vec![result("true")]),
            (&skipped, vec![result("true"), count("rejected", ">=", 1)]),
        ];
        for (node, transitions) in covered {
            let transitions: Vec<(&str, Value)> = transitions
                .into_iter()
                .map(|clauses| ("and", clauses))
                .collect();
            assert_eq!(
                open(&definition(&json!([]), node), 3, &transitions),
                None,
                "{node} {transitions:?}"
            );
        }
        let open_cases = [
            (
                &countersign,
                vec![result("true"), count("rejected", "==", 1)],
                "NODE_APPROVE_RESULT = false, REJECT_COUNT = 2",
            ),
            (
                &countersign,
                vec![result("true")],
                "NODE_APPROVE_RESULT = false",
            ),
            (
                &json!({}),
                vec![result("true"), count("passed", ">=", 1)],
                "NODE_APPROVE_RESULT = false, PASS_COUNT = 0",
            ),
        ];
        for (node, transitions, case) in open_cases {
            let transitions: Vec<(&str, Value)> = transitions
                .into_iter()
                .map(|clauses| ("and", clauses))
                .collect();
            let found = open(&definition(&json!([]), node), 3, &transitions).expect("open");
            let mut parts: Vec<&str> = found.split(", ").collect();
            let mut expected: Vec<&str> = case.split(", ").collect();
            parts.sort_unstable();
            expected.sort_unstable();
            assert_eq!(parts, expected, "{transitions:?}");
        }
    }
}

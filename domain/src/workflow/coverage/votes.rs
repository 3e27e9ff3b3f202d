//! Finds the cases of the keys that get their values from a vote: the possible ends of the vote.

use std::collections::{BTreeMap, BTreeSet};

use events::TransitionId;
use events::workflow::{Holds, Node, NodeKind};

use super::{Case, Cases, Words};
use crate::condition::{self, Found};
use crate::value::plain;

/// To test conditions on vote counts, the module simulates votes with 1 voter, 2 voters, and so on. This
/// range limits the maximum number of simulated voters. Within this range, the maximum depends on the largest
/// constant in the conditions.
const VOTERS: std::ops::RangeInclusive<u32> = 3..=12;

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
pub(super) enum OfVote {
    Output(Holds),
    /// The decision of the last voter. The key in the condition is the key of the form field with this
    /// decision.
    Opinion,
}

/// A node at which people vote, and the keys that get their values from the vote. Each entry of the list
/// contains one key and the kind of its value.
pub(super) type Vote<'a> = (&'a Node, Vec<(&'a str, OfVote)>);

impl<'a> Cases<'a> {
    /// Returns the node at which a vote sets the value of the key. If the vote at the node under test (the
    /// node with the tested transitions) sets the key, this node is returned. Returns `None` if no vote sets
    /// the key, or if the votes at several other nodes set the key.
    pub(super) fn vote_of(&self, key: &str) -> Option<(&'a Node, OfVote)> {
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
    pub(super) fn of_vote(&self, node: &Node, keys: &[(&str, OfVote)]) -> Vec<Case> {
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
                    super::super::named(self.definition, node.id)
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

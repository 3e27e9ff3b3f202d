//! Chooses the automation rule for a node. A rule acts at a node if the rule contains the name of the node and
//! the condition of the rule is true.

use events::TransitionId;
use events::execution::Clause;
use events::rule::Defined;

use crate::condition::{Found, group_holds};

/// The automation rule that acts at a node, with the evaluated clauses (comparisons) of its condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Match<'a> {
    pub rule: &'a Defined,
    pub tested: Vec<Clause>,
}

/// Returns the first enabled rule that acts at the node with the given name. Returns `None` if no rule acts.
/// The parameter `find` is a function that returns the value of a key in the ticket. The conditions of the
/// rules need these values.
///
/// The function checks the rules from the lowest order number to the highest. Rules with the same order number
/// are checked in the order of their names.
pub fn choose<'a>(
    rules: &'a [Defined],
    node: &str,
    find: &dyn Fn(&str) -> Found,
) -> Option<Match<'a>> {
    let mut of_node: Vec<&Defined> = rules
        .iter()
        .filter(|rule| rule.is_enabled && rule.node == node)
        .collect();
    of_node.sort_by_key(|rule| (rule.order, &rule.name));
    of_node.into_iter().find_map(|rule| {
        let mut trace = Vec::new();
        group_holds(&rule.condition, TransitionId::default(), find, &mut trace).then(|| Match {
            rule,
            tested: trace
                .into_iter()
                .map(|tested| Clause {
                    clause: tested.clause,
                    found: tested.found,
                    holds: tested.holds,
                })
                .collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use events::workflow::{Clause as Comparison, Group, Operator};

    use super::*;

    fn rule(name: &str, order: i64, node: &str, wanted: Option<&str>) -> Defined {
        let clause = |value: &str| Comparison {
            key: "kind".into(),
            kind: "STRING".into(),
            condition: Operator::Equal,
            value: value.into(),
        };
        Defined {
            name: name.into(),
            is_enabled: true,
            order,
            node: node.into(),
            condition: Group {
                expressions: wanted.map(clause).into_iter().collect(),
                ..Group::default()
            },
            script: "s".into(),
            parameters: Vec::new(),
            form: Vec::new(),
        }
    }

    #[test]
    fn the_first_matching_rule_of_the_node_acts() {
        let off = Defined {
            is_enabled: false,
            ..rule("off", 0, "处理", None)
        };
        let rules = [
            rule("z", 2, "处理", None),
            rule("b", 1, "处理", Some("unlock")),
            rule("a", 1, "处理", Some("reset")),
            rule("other", 0, "审批", None),
            off,
        ];
        let chosen = |kind: &str| {
            let kind = kind.to_owned();
            let find = move |_: &str| Found::Personal(kind.clone().into());
            choose(&rules, "处理", &find).map(|chosen| {
                let found = chosen.tested.first().map(|one| one.found.clone());
                (chosen.rule.name.clone(), found)
            })
        };
        let personal = Some("<personal>".to_owned());
        assert_eq!(chosen("unlock"), Some(("b".into(), personal.clone())));
        assert_eq!(chosen("reset"), Some(("a".into(), personal)));
        assert_eq!(chosen("restart"), Some(("z".into(), None)));
        let nothing = |_: &str| Found::Absent;
        assert_eq!(choose(&rules, "结束", &nothing), None);
    }
}

//! Decides whether a caller may execute an operation. The decision depends only on the relations between the
//! caller and the object of the operation ([`domain::permission`]).
//!
//! The rules are one set of Cedar policies, `ledgerdesk.cedar`. The build script validates the policies and compiles
//! them to a table (docs/decisions/0029-compiled-policies.md). An invalid policy stops the build.

use std::sync::LazyLock;

use domain::permission::{AccessRequest, Operation, Relation, Relations};

/// The result of one policy for one operation.
struct Rule {
    /// The name of the policy: its annotation `@id`.
    policy: &'static str,
    /// True if the policy permits, and false if it forbids.
    permits: bool,
    operation: &'static str,
    /// The relations on which the policy depends.
    relations: &'static [&'static str],
    /// Whether the policy applies, for every combination of the relations. Bit n of the index is set if the caller has
    /// the relation with the index n.
    applies: &'static [bool],
}

const RULES: &[Rule] = include!(concat!(env!("OUT_DIR"), "/policies.rs"));

/// The answer to an [`AccessRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub is_permitted: bool,
    /// The names of the policies that decided: the policies that forbid the operation, or else the policies that permit
    /// it. The list is empty if no policy applies. The operation is then denied.
    pub policies: Vec<&'static str>,
}

/// Answers an access request with the policies of the desk. An operation is permitted if a policy permits it and no
/// policy forbids it.
pub fn answer(request: AccessRequest) -> Answer {
    let (mut permitting, mut forbidding) = (Vec::new(), Vec::new());
    for (rule, operation, relations) in READ_RULES.iter() {
        if *operation == request.operation && rule.applies[index(relations, request)] {
            if rule.permits {
                permitting.push(rule.policy);
            } else {
                forbidding.push(rule.policy);
            }
        }
    }
    if forbidding.is_empty() {
        Answer {
            is_permitted: !permitting.is_empty(),
            policies: permitting,
        }
    } else {
        Answer {
            is_permitted: false,
            policies: forbidding,
        }
    }
}

/// The relations and policies that permit an operation. The response to a denied request contains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The relations of which one is sufficient by itself.
    pub one_of: Vec<Relation>,
    /// The names of the policies that permit the operation to a caller with one of these relations.
    pub policies: Vec<&'static str>,
}

/// Returns what permits the operation.
pub fn needs(operation: Operation) -> Needs {
    let mut needs = Needs {
        one_of: Vec::new(),
        policies: Vec::new(),
    };
    for relation in Relation::ALL {
        let answer = answer(AccessRequest {
            operation,
            relations: Relations::NONE.with(relation),
        });
        if answer.is_permitted {
            needs.one_of.push(relation);
            for policy in answer.policies {
                if !needs.policies.contains(&policy) {
                    needs.policies.push(policy);
                }
            }
        }
    }
    needs
}

/// Returns true if the policies of the desk permit the operation ([`answer`]).
pub fn permits(request: AccessRequest) -> bool {
    answer(request).is_permitted
}

/// Returns the index of the result in [`Rule::applies`].
fn index(relations: &[Relation], request: AccessRequest) -> usize {
    let has = |relation: &Relation| usize::from(request.relations.contains(*relation));
    relations
        .iter()
        .enumerate()
        .map(|(bit, relation)| has(relation) << bit)
        .sum()
}

/// The table, with the names of operations and relations replaced by their values. A name that this version of the
/// program does not know removes the rule. A test checks that no rule is removed.
static READ_RULES: LazyLock<Vec<(&'static Rule, Operation, Vec<Relation>)>> = LazyLock::new(|| {
    let read = |rule: &'static Rule| {
        let operation = Operation::ALL
            .into_iter()
            .find(|operation| operation.key() == rule.operation)?;
        let relation = |name: &&str| {
            Relation::ALL
                .into_iter()
                .find(|relation| relation.key() == *name)
        };
        let relations = rule.relations.iter().map(relation).collect::<Option<_>>()?;
        Some((rule, operation, relations))
    };
    RULES.iter().filter_map(read).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(operation: Operation, relations: Relations) -> AccessRequest {
        AccessRequest {
            operation,
            relations,
        }
    }

    #[test]
    fn every_rule_is_read_and_every_operation_has_a_rule() {
        assert_eq!(READ_RULES.len(), RULES.len());
        for operation in Operation::ALL {
            assert!(
                RULES.iter().any(|rule| rule.operation == operation.key()),
                "{operation:?}"
            );
        }
        for rule in RULES {
            assert_eq!(
                rule.applies.len(),
                1 << rule.relations.len(),
                "{}",
                rule.policy
            );
        }
    }

    #[test]
    fn the_schema_has_the_operations_and_relations_of_the_domain() {
        let schema = include_str!("ledgerdesk.cedarschema");
        let relations: Vec<&str> = schema
            .lines()
            .filter_map(|line| line.trim().strip_suffix(": Bool,"))
            .collect();
        assert_eq!(relations, Relation::ALL.map(Relation::key));
        let operations: Vec<&str> = schema
            .lines()
            .filter_map(|line| line.strip_prefix("action ")?.split(" appliesTo").next())
            .flat_map(|names| names.split(", "))
            .collect();
        assert_eq!(operations, Operation::ALL.map(Operation::key));
    }

    #[test]
    fn a_stranger_may_do_nothing() {
        for operation in Operation::ALL {
            let answer = answer(ask(operation, Relations::NONE));
            assert!(
                !answer.is_permitted && answer.policies.is_empty(),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn an_answer_names_the_policies_that_permit_the_operation() {
        let relations = Relations::NONE
            .with(Relation::Creator)
            .with(Relation::Superuser);
        let mut answer = answer(ask(Operation::ReadTicket, relations));
        answer.policies.sort_unstable();
        assert_eq!(
            answer,
            Answer {
                is_permitted: true,
                policies: vec!["participants-of-a-ticket", "superusers"],
            }
        );
    }

    #[test]
    fn the_needs_of_an_operation_name_the_relations_and_their_policies() {
        assert_eq!(
            needs(Operation::ReadRole),
            Needs {
                one_of: vec![Relation::Member, Relation::Superuser],
                policies: vec!["members-of-a-role", "superusers"],
            }
        );
        for operation in Operation::ALL {
            assert!(
                needs(operation).policies.contains(&"superusers"),
                "{operation:?}"
            );
        }
    }

    /// The deciders load further facts only if the known facts do not permit an operation. This is correct only
    /// if a further relation never removes a permission.
    #[test]
    fn a_further_relation_never_removes_a_permission() {
        let mut compared = 0;
        for operation in Operation::ALL {
            for first in Relation::ALL {
                for second in Relation::ALL {
                    let one = Relations::NONE.with(first);
                    if permits(ask(operation, one)) {
                        assert!(
                            permits(ask(operation, one.with(second))),
                            "{operation:?} {first:?} {second:?}"
                        );
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 100, "{compared}");
        assert!(RULES.iter().all(|rule| rule.permits), "no policy forbids");
    }
}

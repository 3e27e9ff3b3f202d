//! Implements escalation chains: the aggregate with the definition, and the pure functions that find the people of a step.
//! The module [`chain_check`](super::chain_check) finds the problems of a chain.

use std::collections::BTreeMap;

use events::escalation::Unnotified;
use events::escalation_chain::{Defined, EscalationChainEvent, Hours, OnlyIf, Target};
use events::person::QuietHours;
use events::{Moment, PersonId, RoleId, rota};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::quiet::quiet_until;
use super::rota::on_call;
use crate::config::Rejection;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// The current definition of one escalation chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationChain {
    pub defined: Option<Defined>,
    /// The number of the current definition. The first definition has number 1.
    pub version: u32,
}

impl Decider for EscalationChain {
    type Command = Defined;
    type Event = EscalationChainEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        definition: &Defined,
        (): &(),
    ) -> Result<Vec<EscalationChainEvent>, DecideError<Self>> {
        Ok(if self.defined.as_ref() == Some(definition) {
            Vec::new()
        } else {
            vec![definition.clone().into()]
        })
    }

    fn evolve(&mut self, EscalationChainEvent::Defined(defined): &EscalationChainEvent) {
        self.version = self.version.saturating_add(1);
        self.defined = Some(defined.clone());
    }
}

impl Card for EscalationChain {
    type Event = EscalationChainEvent;
    const VIEW: &'static str = "escalation_chain";

    fn fold(&mut self, envelope: &Envelope<EscalationChainEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let defined = self.defined.iter();
        defined.map(|chain| ("id", chain.name.clone())).collect()
    }
}

/// The data from other streams and from the directory that the steps of a chain need.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The rotas by name. A rota that is not defined has no entry.
    pub rotas: BTreeMap<String, rota::Defined>,
    pub roles: BTreeMap<RoleId, Vec<PersonId>>,
    /// The people of departments by the id of the department.
    pub teams: BTreeMap<String, Vec<PersonId>>,
    /// The leaders of the people for whom the node waits.
    pub leaders: Vec<PersonId>,
}

/// Returns the people whom a step notifies at the time `at`, or the reason why the step notifies nobody. `turn` selects
/// the person of a round robin.
pub fn people(
    target: &Target,
    known: &Known,
    at: Moment,
    turn: u64,
) -> Result<Vec<PersonId>, Unnotified> {
    let or = |people: Option<&Vec<PersonId>>, reason| {
        let people = people.filter(|people| !people.is_empty());
        people.cloned().ok_or(reason)
    };
    match target {
        Target::Person(person) => Ok(vec![person.clone()]),
        Target::Leader => or(Some(&known.leaders), Unnotified::NoLeader),
        Target::Role(role) => or(known.roles.get(role), Unnotified::RoleEmpty),
        Target::Team(team) => or(known.teams.get(team), Unnotified::TeamEmpty),
        Target::Rota(name) => {
            let rota = known.rotas.get(name).ok_or(Unnotified::RotaNotDefined)?;
            or(Some(&on_call(rota, at)), Unnotified::NobodyOnCall)
        }
        Target::RoundRobin(people) => {
            let length = u64::try_from(people.len()).unwrap_or(u64::MAX);
            let position = turn.checked_rem(length).unwrap_or_default();
            let position = usize::try_from(position).unwrap_or_default();
            Ok(people.get(position).cloned().into_iter().collect())
        }
    }
}

/// Returns the reason why the condition of a step is false at the time `at`. Returns `None` if the step has no condition,
/// or if the condition is true. `priority` is the key of the ticket priority.
pub fn prevented(only_if: Option<&OnlyIf>, at: Moment, priority: &str) -> Option<Unnotified> {
    match only_if? {
        OnlyIf::Hours(hours) if !is_within(hours, at) => Some(Unnotified::OutsideHours),
        OnlyIf::Band(keys) if keys.iter().all(|key| key != priority) => {
            Some(Unnotified::OtherPriority)
        }
        OnlyIf::Hours(_) | OnlyIf::Band(_) => None,
    }
}

fn is_within(hours: &Hours, at: Moment) -> bool {
    let Ok(zone) = TimeZone::get(&hours.zone) else {
        return false;
    };
    let period = QuietHours {
        from: hours.from.clone(),
        to: hours.to.clone(),
    };
    quiet_until(&period, &zone, at).is_some()
}

/// Returns the English text of a reason.
pub fn words(reason: Unnotified) -> &'static str {
    match reason {
        Unnotified::OutsideHours => "the time is outside of the hours of the step",
        Unnotified::OtherPriority => "the ticket has a priority that the step does not name",
        Unnotified::NobodyOnCall => "the rota has no person on call",
        Unnotified::RotaNotDefined => "the rota is not defined",
        Unnotified::RoleEmpty => "the role has no members",
        Unnotified::TeamEmpty => "the department has no people",
        Unnotified::NoLeader => "the people of the node have no leader",
    }
}

#[cfg(test)]
mod tests {
    use events::rota::{Layer, Shift};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// Returns a rota in which `a` and `b` are on call in turn, one hour each. The first shift begins at the time 0.
    fn known() -> Known {
        let layer = Layer {
            people: vec!["a".into(), "b".into()],
            start: "1970-01-01T00:00".into(),
            until: None,
            shift: Shift::Hours(1),
            zone: "UTC".into(),
            window: None,
            level: 0,
        };
        let rota = rota::Defined {
            name: "ops".into(),
            layers: vec![layer],
            overrides: Vec::new(),
        };
        Known {
            rotas: BTreeMap::from([("ops".to_owned(), rota)]),
            roles: BTreeMap::from([(RoleId(1), vec!["a".into()]), (RoleId(2), Vec::new())]),
            ..Known::default()
        }
    }

    #[test]
    fn each_target_gives_people_or_a_reason() {
        let known = known();
        let rota = |name: &str| Target::Rota(name.into());
        let both = || Target::RoundRobin(vec!["a".into(), "b".into()]);
        for (target, at, turn, expected) in [
            (Target::Person("c".into()), 0, 0, Ok("c")),
            (rota("ops"), 0, 0, Ok("a")),
            (rota("ops"), HOUR_MS, 0, Ok("b")),
            (rota("ops"), -1, 0, Err(Unnotified::NobodyOnCall)),
            (rota("none"), 0, 0, Err(Unnotified::RotaNotDefined)),
            (Target::Role(RoleId(1)), 0, 0, Ok("a")),
            (Target::Role(RoleId(2)), 0, 0, Err(Unnotified::RoleEmpty)),
            (Target::Role(RoleId(3)), 0, 0, Err(Unnotified::RoleEmpty)),
            (Target::Team("12".into()), 0, 0, Err(Unnotified::TeamEmpty)),
            (Target::Leader, 0, 0, Err(Unnotified::NoLeader)),
            (both(), 0, 0, Ok("a")),
            (both(), 0, 3, Ok("b")),
        ] {
            let expected = expected.map(|name| vec![PersonId::from(name)]);
            assert_eq!(
                people(&target, &known, Moment(at), turn),
                expected,
                "{target:?}"
            );
        }
    }

    #[test]
    fn a_condition_compares_the_time_and_the_priority() {
        let hours = OnlyIf::Hours(Hours {
            from: "08:00".into(),
            to: "20:00".into(),
            zone: "UTC".into(),
        });
        let band = OnlyIf::Band(vec!["3".into()]);
        let at = |hour: i64| Moment(hour * HOUR_MS);
        assert_eq!(prevented(None, at(0), "1"), None);
        assert_eq!(prevented(Some(&hours), at(9), "1"), None);
        let outside = Some(Unnotified::OutsideHours);
        assert_eq!(prevented(Some(&hours), at(20), "1"), outside);
        assert_eq!(prevented(Some(&band), at(0), "3"), None);
        let other = Some(Unnotified::OtherPriority);
        assert_eq!(prevented(Some(&band), at(0), "2"), other);
    }
}

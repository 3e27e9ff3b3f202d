//! Creates parts of escalation chains that both products have: repetitions, and targets with several people.

use std::collections::BTreeMap;

use events::PersonId;
use events::escalation_chain::{Step, Target};
use events::rota::{Defined, Layer, Shift};

use super::super::chains::{REPEAT_MAX, STEPS_MAX, WAIT_MAX_MIN};
use super::super::rotas::LAYERS_MAX;
use super::Mapping;

/// The begin of a rota in which all people are always on call. The time is before the first ticket of each desk.
const ALWAYS: &str = "2000-01-01T00:00:00";

/// Returns the steps with their repetitions. `count` is the number of repetitions. `pause` is the time in minutes from
/// the last step to the first step of the next repetition.
///
/// In a chain of the desk, a step has the same wait in each repetition. If the first step waits for another time before
/// a repetition, the chain contains the steps of the repetitions one after another.
pub(super) fn repeated(
    mut steps: Vec<Step>,
    count: u32,
    pause: u32,
    notes: &mut Vec<String>,
) -> (Vec<Step>, u32) {
    let first = steps.first().map(|step| step.wait_minutes);
    let Some(first_wait) = first.filter(|_| count > 0) else {
        return (steps, 0);
    };
    if count > REPEAT_MAX {
        notes.push(format!("the chain is repeated {REPEAT_MAX} times"));
    }
    let count = count.min(REPEAT_MAX);
    let waits = steps.iter().skip(1).any(|step| step.wait_minutes > 0);
    if pause == 0 && !waits {
        notes.push("the repetition is left out, because no step waits".into());
        return (steps, 0);
    }
    if first_wait == pause {
        return (steps, count);
    }
    let rounds = u32::try_from(STEPS_MAX / steps.len()).unwrap_or_default();
    let rounds = rounds.min(count + 1);
    if rounds < count + 1 {
        notes.push(format!(
            "the chain is repeated {} times, because a chain has at most {STEPS_MAX} steps",
            rounds.saturating_sub(1)
        ));
    }
    let round = steps.clone();
    for number in 1..rounds {
        steps.extend(
            round
                .iter()
                .cloned()
                .enumerate()
                .map(|(position, mut step)| {
                    if position == 0 {
                        step.wait_minutes = bounded(pause, notes);
                    }
                    // The desk changes the person of a round robin only between its own repetitions.
                    if let Target::RoundRobin(people) = &mut step.notify {
                        let turn =
                            usize::try_from(number).unwrap_or_default() % people.len().max(1);
                        people.rotate_left(turn);
                    }
                    step
                }),
        );
    }
    (steps, 0)
}

/// Returns a wait that is not longer than the desk allows.
pub(super) fn bounded(minutes: u32, notes: &mut Vec<String>) -> u32 {
    let note = format!("a wait is shortened to {WAIT_MAX_MIN} minutes");
    if minutes > WAIT_MAX_MIN && !notes.contains(&note) {
        notes.push(note);
    }
    minutes.min(WAIT_MAX_MIN)
}

/// The rotas that the export does not have, but that steps need.
#[derive(Default)]
pub(super) struct Extra(BTreeMap<String, String>);

impl Extra {
    /// Returns a target for all given people: the only person, or a rota in which all of them are always on call.
    /// `label` identifies the people, such as `team ops`. Returns an English text if the people are too few or too
    /// many.
    pub(super) fn all_of(
        &mut self,
        label: &str,
        people: &[PersonId],
        mapping: &mut Mapping,
    ) -> Result<Target, String> {
        match people {
            [] => return Err(format!("{label} has no people in the file")),
            [person] => return Ok(Target::Person(person.clone())),
            _ if people.len() > LAYERS_MAX => {
                return Err(format!("{label} has more than {LAYERS_MAX} people"));
            }
            _ => {}
        }
        let layers = people.iter().map(|person| Layer {
            people: vec![person.clone()],
            start: ALWAYS.into(),
            until: None,
            shift: Shift::Weeks(1),
            zone: "UTC".into(),
            window: None,
            level: 0,
        });
        Ok(Target::Rota(self.rota(label, layers.collect(), mapping)))
    }

    /// Returns a target for the people before or after the people who are on call in a rota. In each layer, the shift
    /// of a person is given to the person at the given distance in the list.
    pub(super) fn neighbor(
        &mut self,
        rota: &str,
        word: &str,
        mapping: &mut Mapping,
    ) -> Option<Target> {
        let mut known = mapping.import.on_call.rotas.iter();
        let mut layers = known.find(|one| one.name == rota)?.layers.clone();
        for layer in &mut layers {
            if word == "next" {
                layer.people.rotate_left(1);
            } else {
                layer.people.rotate_right(1);
            }
        }
        let name = self.rota(&format!("{rota} {word}"), layers, mapping);
        Some(Target::Rota(name))
    }

    fn rota(&mut self, label: &str, layers: Vec<Layer>, mapping: &mut Mapping) -> String {
        if let Some(known) = self.0.get(label) {
            return known.clone();
        }
        let name = mapping.names.give("rota", label);
        self.0.insert(label.to_owned(), name.clone());
        mapping.import.on_call.rotas.push(Defined {
            name: name.clone(),
            layers,
            overrides: Vec::new(),
        });
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(waits: &[u32]) -> Vec<Step> {
        let steps = waits.iter();
        steps
            .map(|wait| Step {
                wait_minutes: *wait,
                notify: Target::RoundRobin(vec!["a".into(), "b".into()]),
                accounts: Vec::new(),
                only_if: None,
                buzz: false,
            })
            .collect()
    }

    #[test]
    fn a_repetition_keeps_its_own_pause() {
        for (waits, count, pause, expected, repeat, note) in [
            (vec![0, 5], 0, 9, vec![0, 5], 0, ""),
            (vec![5, 5], 2, 5, vec![5, 5], 2, ""),
            (vec![0, 5], 2, 0, vec![0, 5], 2, ""),
            (vec![0], 2, 15, vec![0, 15, 15], 0, ""),
            (
                vec![0, 5],
                9,
                15,
                vec![0, 5, 15, 5, 15, 5, 15, 5, 15, 5, 15, 5],
                0,
                "repeated 5 times",
            ),
            (vec![0], 2, 0, vec![0], 0, "no step waits"),
            (
                vec![1; 8],
                5,
                9,
                [vec![1; 8], vec![9], vec![1; 7]].concat(),
                0,
                "repeated 1 times",
            ),
            (vec![1; 11], 5, 9, vec![1; 11], 0, "repeated 0 times"),
        ] {
            let mut notes = Vec::new();
            let (mapped, times) = repeated(steps(&waits), count, pause, &mut notes);
            let found: Vec<u32> = mapped.iter().map(|step| step.wait_minutes).collect();
            assert_eq!(
                (found, times),
                (expected, repeat),
                "{waits:?} {count} {pause}"
            );
            assert!(notes.join(";").contains(note), "{notes:?}");
            assert_eq!(notes.is_empty(), note.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn a_repetition_continues_the_round_robin() {
        let (mapped, _) = repeated(steps(&[0]), 2, 15, &mut Vec::new());
        let people = |names: [&str; 2]| Target::RoundRobin(names.map(PersonId::from).to_vec());
        let found: Vec<Target> = mapped.into_iter().map(|step| step.notify).collect();
        assert_eq!(
            found,
            [people(["a", "b"]), people(["b", "a"]), people(["a", "b"])]
        );
    }
}

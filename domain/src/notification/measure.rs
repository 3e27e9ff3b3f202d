//! Computes the figures of an experiment: how many people of each group answer their notifications in time, and whether
//! the groups differ.
//!
//! People, and not notifications, are compared, because the notifications of one person are not independent. Each
//! person counts once, with the share of notifications that this person answered. People who answered nothing count
//! with 0.

use std::collections::BTreeMap;

use events::PersonId;
use events::experiment::{Comparison, Figures, Group, Outcome, Variant};

/// Time after the event in which an answer counts, in milliseconds: 4 hours. A delay of the message is part of this
/// time.
pub const ANSWER_MS: i64 = 4 * 3_600_000;
/// Time after the event in which an answer to an urgent notification counts, in milliseconds: 30 minutes.
pub const URGENT_ANSWER_MS: i64 = 30 * 60_000;
/// The lowest number of people with urgent notifications in both groups, before the desk can find a harmful variant.
pub const URGENT_PEOPLE_MIN: usize = 10;

/// One measured notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub variant: Variant,
    pub person: PersonId,
    pub is_urgent: bool,
    /// The time from the event to the moment at which the person read the notification or used an action of it, in
    /// milliseconds. `None` if the person did not answer in time.
    pub answered_after_ms: Option<i64>,
}

/// The numbers of notifications of one person.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u32,
    answered: u32,
}

impl Count {
    fn add(&mut self, is_answered: bool) {
        self.all += 1;
        self.answered += u32::from(is_answered);
    }

    fn share(self) -> Option<f64> {
        (self.all > 0).then(|| f64::from(self.answered) / f64::from(self.all))
    }
}

/// The measured notifications of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The notifications of each person that are not urgent, and the urgent ones.
    people: BTreeMap<(Variant, PersonId), (Count, Count)>,
    /// The times of the answers to notifications that are not urgent, in seconds.
    times: BTreeMap<Variant, Vec<u32>>,
    /// The number and the sum of the ratings of usefulness.
    ratings: BTreeMap<Variant, (u32, u32)>,
}

impl Measured {
    pub fn add(&mut self, observation: Observation) {
        let key = (observation.variant, observation.person);
        let (usual, urgent) = self.people.entry(key).or_default();
        let count = if observation.is_urgent { urgent } else { usual };
        count.add(observation.answered_after_ms.is_some());
        if let Some(after_ms) = observation
            .answered_after_ms
            .filter(|_| !observation.is_urgent)
        {
            let seconds = u32::try_from(after_ms / 1_000).unwrap_or_default();
            let times = self.times.entry(observation.variant).or_default();
            times.push(seconds);
        }
    }

    /// Counts a rating of usefulness (1 to 5) of a person in the group.
    pub fn rate(&mut self, variant: Variant, rating: u8) {
        let (count, sum) = self.ratings.entry(variant).or_default();
        *count += 1;
        *sum += u32::from(rating);
    }

    /// Returns the figures. The first variant is the control.
    pub fn figures(&self, variants: &[Variant], is_cut: bool) -> Figures {
        let groups: Vec<Samples> = variants.iter().map(|one| self.samples(*one)).collect();
        let comparisons = match groups.split_first() {
            Some((control, others)) => {
                let z = if others.len() > 1 { Z_OF_TWO } else { Z_OF_ONE };
                let compared = others.iter().map(|other| compare(control, other, z));
                compared.flatten().collect()
            }
            None => Vec::new(),
        };
        Figures {
            groups: groups.iter().map(Samples::group).collect(),
            comparisons,
            is_cut,
        }
    }

    fn samples(&self, variant: Variant) -> Samples {
        let of_variant = |((of, _), counts): (&(Variant, PersonId), &(Count, Count))| {
            (*of == variant).then_some(*counts)
        };
        let people: Vec<(Count, Count)> = self.people.iter().filter_map(of_variant).collect();
        let notifications: u32 = people.iter().map(|(usual, _)| usual.all).sum();
        let times = self.times.get(&variant).cloned().unwrap_or_default();
        Samples {
            variant,
            notifications,
            median: median(times, notifications),
            ratings: self.ratings.get(&variant).copied().unwrap_or_default(),
            usual: people
                .iter()
                .filter_map(|(usual, _)| usual.share())
                .collect(),
            urgent: people
                .iter()
                .filter_map(|(_, urgent)| urgent.share())
                .collect(),
        }
    }
}

/// The number of standard errors of an interval with 95 % for one comparison.
const Z_OF_ONE: f64 = 1.96;
/// The same for two comparisons together: 97.5 % each (Bonferroni correction).
const Z_OF_TWO: f64 = 2.24;

/// The shares of the people of one group.
struct Samples {
    variant: Variant,
    notifications: u32,
    median: Option<u32>,
    /// The number and the sum of the ratings.
    ratings: (u32, u32),
    usual: Vec<f64>,
    urgent: Vec<f64>,
}

impl Samples {
    fn group(&self) -> Group {
        let share = |shares: &[f64]| u32::try_from(permille(mean(shares))).unwrap_or_default();
        let count = |shares: &[f64]| u32::try_from(shares.len()).unwrap_or(u32::MAX);
        Group {
            variant: self.variant,
            people: count(&self.usual),
            notifications: self.notifications,
            answered_permille: share(&self.usual),
            median_answer_s: self.median,
            usefulness_hundredths: (self.ratings.1 * 100).checked_div(self.ratings.0),
            ratings: self.ratings.0,
            urgent_people: count(&self.urgent),
            urgent_answered_permille: share(&self.urgent),
        }
    }
}

/// Returns the median of the times of the answers. `all` is the number of all notifications: those without an answer
/// count as later than all answers. Returns `None` if fewer than half of them were answered.
fn median(mut times: Vec<u32>, all: u32) -> Option<u32> {
    times.sort_unstable();
    let middle = usize::try_from(all.div_ceil(2).checked_sub(1)?).ok()?;
    times.get(middle).copied()
}

/// Compares a group with the control. Returns `None` if one of them has no people.
fn compare(control: &Samples, other: &Samples, z: f64) -> Option<Comparison> {
    if control.usual.is_empty() || other.usual.is_empty() {
        return None;
    }
    let (low, high) = interval(&control.usual, &other.usual, z);
    let has_urgent =
        control.urgent.len() >= URGENT_PEOPLE_MIN && other.urgent.len() >= URGENT_PEOPLE_MIN;
    let harms_urgent = has_urgent && interval(&control.urgent, &other.urgent, z).1 < 0.0;
    Some(Comparison {
        variant: other.variant,
        difference_permille: permille(mean(&other.usual) - mean(&control.usual)),
        low_permille: permille(low),
        high_permille: permille(high),
        harms_urgent,
    })
}

fn mean(shares: &[f64]) -> f64 {
    let (count, sum) = shares
        .iter()
        .fold((0.0_f64, 0.0_f64), |(count, sum), share| {
            (count + 1.0, sum + *share)
        });
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Returns the interval of the difference `other` - `control`. As in the method of Agresti and Caffo, each group gets
/// one additional person who answers everything and one who answers nothing. The interval is therefore never a single
/// point, not even if all people of both groups are equal.
fn interval(control: &[f64], other: &[f64], z: f64) -> (f64, f64) {
    let moments = |shares: &[f64]| {
        let all: Vec<f64> = shares.iter().copied().chain([0.0, 1.0]).collect();
        let mean = mean(&all);
        let squares = all.iter().map(|share| (share - mean).powi(2));
        let (count, sum) = squares.fold((0.0_f64, 0.0_f64), |(count, sum), one| {
            (count + 1.0, sum + one)
        });
        // The variance of the mean.
        (mean, sum / (count - 1.0) / count)
    };
    let ((of_control, first), (of_other, second)) = (moments(control), moments(other));
    let (difference, margin) = (of_other - of_control, z * f64::sqrt(first + second));
    (difference - margin, difference + margin)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "shares and their intervals are between -10 and 10"
)]
fn permille(share: f64) -> i32 {
    (share * 1_000.0).round() as i32
}

/// Returns the result of an experiment. `people_min` is the lowest number of people in each group.
pub fn outcome(figures: &Figures, people_min: u32) -> Outcome {
    let comparisons = &figures.comparisons;
    let is_small = figures.groups.iter().any(|group| group.people < people_min);
    if is_small || comparisons.is_empty() {
        return Outcome::NotEnoughData;
    }
    let better = comparisons
        .iter()
        .filter(|one| one.low_permille > 0 && !one.harms_urgent)
        .max_by_key(|one| one.difference_permille);
    if let Some(best) = better {
        return Outcome::Winner {
            variant: best.variant,
        };
    }
    match figures.groups.first() {
        Some(control) if comparisons.iter().all(|one| one.high_permille < 0) => Outcome::Winner {
            variant: control.variant,
        },
        _ => Outcome::NoDifference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Variant; 3] = [Variant::Immediate, Variant::Delayed, Variant::Smart];

    /// Adds `people` people with 10 notifications each. The person with the number `n` answers `answered(n)` of them.
    fn add(
        measured: &mut Measured,
        variant: Variant,
        people: u32,
        is_urgent: bool,
        answered: impl Fn(u32) -> u32,
    ) {
        for number in 0..people {
            for notification in 0..10 {
                measured.add(Observation {
                    variant,
                    person: format!("p-{variant:?}-{number}").into(),
                    is_urgent,
                    answered_after_ms: (notification < answered(number))
                        .then_some(i64::from(notification + 1) * 60_000),
                });
            }
        }
    }

    #[test]
    fn a_clear_difference_has_an_interval_without_zero() {
        let mut measured = Measured::default();
        add(&mut measured, Variant::Immediate, 200, false, |n| n % 8);
        add(&mut measured, Variant::Delayed, 200, false, |n| n % 8);
        add(&mut measured, Variant::Smart, 200, false, |n| n % 8 + 2);
        let figures = measured.figures(&ALL, false);
        let [immediate, delayed, smart] = figures.groups.as_slice() else {
            panic!("{figures:?}")
        };
        assert_eq!((immediate.people, immediate.notifications), (200, 2_000));
        assert_eq!(immediate.answered_permille, delayed.answered_permille);
        assert_eq!(smart.answered_permille, immediate.answered_permille + 200);
        let [same, better] = figures.comparisons.as_slice() else {
            panic!("{figures:?}")
        };
        assert!(same.low_permille < 0 && same.high_permille > 0, "{same:?}");
        assert!(
            better.low_permille > 100 && better.high_permille < 300,
            "{better:?}"
        );
        let winner = Outcome::Winner {
            variant: Variant::Smart,
        };
        assert_eq!(outcome(&figures, 100), winner);
        assert_eq!(outcome(&figures, 201), Outcome::NotEnoughData);
    }

    #[test]
    fn the_median_counts_notifications_without_an_answer() {
        assert_eq!(median(vec![30, 10, 20], 3), Some(20));
        assert_eq!(median(vec![30, 10, 20], 6), Some(30));
        assert_eq!(median(vec![30, 10, 20], 7), None);
        assert_eq!(median(Vec::new(), 0), None);
        let mut measured = Measured::default();
        add(&mut measured, Variant::Immediate, 1, false, |_| 6);
        measured.rate(Variant::Immediate, 5);
        measured.rate(Variant::Immediate, 4);
        let group = measured.figures(&ALL[..1], false).groups[0];
        assert_eq!(group.median_answer_s, Some(300));
        assert_eq!((group.usefulness_hundredths, group.ratings), (Some(450), 2));
    }

    #[test]
    fn the_control_wins_if_all_other_variants_are_worse() {
        let mut measured = Measured::default();
        add(&mut measured, Variant::Immediate, 200, false, |n| n % 4 + 6);
        add(&mut measured, Variant::Delayed, 200, false, |n| n % 4);
        let figures = measured.figures(&ALL[..2], false);
        let winner = Outcome::Winner {
            variant: Variant::Immediate,
        };
        assert_eq!(outcome(&figures, 100), winner);
    }

    #[test]
    fn equal_people_in_small_groups_do_not_give_a_certain_result() {
        let mut measured = Measured::default();
        add(&mut measured, Variant::Immediate, 2, false, |_| 0);
        add(&mut measured, Variant::Delayed, 2, false, |_| 10);
        let figures = measured.figures(&ALL[..2], false);
        assert_eq!(figures.comparisons[0].difference_permille, 1_000);
        assert!(figures.comparisons[0].low_permille < 0, "{figures:?}");
        assert_eq!(outcome(&figures, 1), Outcome::NoDifference);
        let none = Measured::default().figures(&ALL, false);
        assert_eq!((none.groups.len(), none.comparisons.len()), (3, 0));
        assert_eq!(outcome(&none, 1), Outcome::NotEnoughData);
    }

    #[test]
    fn fewer_answers_to_urgent_notifications_are_harmful_and_cannot_win() {
        let harmful = |people| {
            let mut measured = Measured::default();
            for variant in [Variant::Immediate, Variant::Delayed] {
                let more = u32::from(variant == Variant::Delayed) * 4;
                add(&mut measured, variant, 200, false, |n| n % 4 + more);
                add(&mut measured, variant, people, true, |n| n % 3 + 6 - more);
            }
            measured.figures(&ALL[..2], false)
        };
        assert!(harmful(60).comparisons[0].harms_urgent);
        assert_eq!(outcome(&harmful(60), 100), Outcome::NoDifference);
        let too_few = harmful(9);
        assert!(!too_few.comparisons[0].harms_urgent, "{too_few:?}");
    }
}

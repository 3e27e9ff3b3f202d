//! Compares two periods with the figures of the requirements (requirements/notifications.md, case 1): the open rate of
//! notifications, the time to the first answer, the satisfaction of users, and the tickets per processor.

use std::collections::BTreeSet;

use events::PersonId;
use events::ticket::TicketEvent;

use super::notification_meter::Figures;
use crate::envelope::Envelope;

/// Smallest number of observations in each period. With fewer observations, one person can decide the result.
pub const ENOUGH: u64 = 30;
/// Ratings with at least this number of stars count as satisfied.
const SATISFIED_STARS: u8 = 4;

/// One of the four figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// The share of notifications that were read in the inbox or answered, in percent.
    OpenRate,
    /// The median time to the first answer, in seconds.
    ResponseTime,
    /// The share of ratings with 4 or 5 stars, in percent.
    Satisfaction,
    /// The number of ended tickets for each person who worked at a node.
    Throughput,
}

impl Measure {
    pub const ALL: [Self; 4] = [
        Self::OpenRate,
        Self::ResponseTime,
        Self::Satisfaction,
        Self::Throughput,
    ];

    /// Returns the name of the measure, such as `open_rate`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenRate => "open_rate",
            Self::ResponseTime => "response_time",
            Self::Satisfaction => "satisfaction",
            Self::Throughput => "tickets_per_processor",
        }
    }

    /// Returns the change that the requirements name: percent of the old value, or percentage points for the satisfaction.
    pub fn target(self) -> f64 {
        match self {
            Self::OpenRate => 45.0,
            Self::ResponseTime => -30.0,
            Self::Satisfaction => 25.0,
            Self::Throughput => 35.0,
        }
    }

    /// Returns true if the change is a difference of percentages.
    pub fn is_in_points(self) -> bool {
        self == Self::Satisfaction
    }
}

/// The tickets of one period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tickets {
    ended: u64,
    workers: BTreeSet<PersonId>,
    ratings: u64,
    satisfied: u64,
}

impl Tickets {
    pub fn fold(&mut self, envelope: &Envelope<TicketEvent>) {
        let event = &envelope.event;
        match event {
            TicketEvent::Finished(_) | TicketEvent::Closed(_) => self.ended += 1,
            // The desk itself rates a ticket if no person rated it. This is no opinion of a user.
            TicketEvent::Rated(rated) if !rated.by.is_system() => {
                self.ratings += 1;
                self.satisfied += u64::from(rated.stars >= SATISFIED_STARS);
            }
            _ => {}
        }
        if let Some(worker) = event.handled_by().filter(|by| !by.is_system()) {
            self.workers.insert(worker.clone());
        }
    }
}

/// The value of a measure in one period, with the number of its observations. The value is `None` if it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    pub n: u64,
    pub value: Option<f64>,
}

/// Whether the change reaches the figure of the requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Reached,
    NotReached,
    /// A period has fewer than [`ENOUGH`] observations, or a value is unknown.
    NotEnoughData,
}

/// A measure in both periods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    pub measure: Measure,
    pub before: Measured,
    pub after: Measured,
    /// The change in percent of the old value, or in percentage points. `None` without enough data.
    pub change: Option<f64>,
    pub verdict: Verdict,
}

/// Compares all measures of two periods.
pub fn compare(before: (&Figures, &Tickets), after: (&Figures, &Tickets)) -> Vec<Compared> {
    let measures = Measure::ALL.into_iter();
    measures
        .map(|measure| {
            compare_one(
                measure,
                measured(measure, before.0, before.1),
                measured(measure, after.0, after.1),
            )
        })
        .collect()
}

fn compare_one(measure: Measure, before: Measured, after: Measured) -> Compared {
    let is_enough = before.n >= ENOUGH && after.n >= ENOUGH;
    let change = match (before.value, after.value) {
        (Some(old), Some(new)) if is_enough && measure.is_in_points() => Some(new - old),
        (Some(old), Some(new)) if is_enough && old > 0.0 => Some((new - old) / old * 100.0),
        _ => None,
    };
    let change = change.map(|change| (change * 100.0).round() / 100.0);
    let target = measure.target();
    let verdict = match change {
        None => Verdict::NotEnoughData,
        Some(change) if target < 0.0 && change <= target => Verdict::Reached,
        Some(change) if target > 0.0 && change >= target => Verdict::Reached,
        Some(_) => Verdict::NotReached,
    };
    Compared {
        measure,
        before,
        after,
        change,
        verdict,
    }
}

fn measured(measure: Measure, figures: &Figures, tickets: &Tickets) -> Measured {
    let answers = &figures.all;
    let measured = match measure {
        Measure::OpenRate => Measured {
            n: answers.notifications,
            value: quotient(answers.opened * 100, answers.notifications),
        },
        Measure::ResponseTime => Measured {
            n: answers.asked,
            value: answers.median_ms.and_then(|ms| {
                let ms = u64::try_from(ms).unwrap_or_default();
                quotient(ms, 1000)
            }),
        },
        Measure::Satisfaction => Measured {
            n: tickets.ratings,
            value: quotient(tickets.satisfied * 100, tickets.ratings),
        },
        Measure::Throughput => Measured {
            n: tickets.ended,
            value: quotient(tickets.ended, tickets.workers.len() as u64),
        },
    };
    // Without an observation, the value is unknown, and not 0.
    Measured {
        value: measured.value.filter(|_| measured.n > 0),
        ..measured
    }
}

/// Returns a quotient with two decimal places. Returns `None` if the divisor is 0.
fn quotient(part: u64, whole: u64) -> Option<f64> {
    let hundredths = (part * 100 + whole / 2).checked_div(whole)?;
    let hundredths = u32::try_from(hundredths).unwrap_or(u32::MAX);
    Some(f64::from(hundredths) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: u64, value: f64) -> Measured {
        Measured {
            n,
            value: Some(value),
        }
    }

    #[test]
    fn a_measure_without_observations_has_no_value() {
        let tickets = Tickets {
            workers: BTreeSet::from([PersonId::from("p1")]),
            ..Tickets::default()
        };
        for measure in Measure::ALL {
            let measured = measured(measure, &Figures::default(), &tickets);
            assert_eq!((measured.n, measured.value), (0, None), "{measure:?}");
        }
        let tickets = Tickets {
            ended: 3,
            ..tickets
        };
        let measured = measured(Measure::Throughput, &Figures::default(), &tickets);
        assert_eq!((measured.n, measured.value), (3, Some(3.0)));
    }

    #[test]
    fn a_change_is_compared_with_the_figure_of_the_requirements() {
        use Verdict::{NotEnoughData, NotReached, Reached};
        for (measure, before, after, change, verdict) in [
            (
                Measure::OpenRate,
                of(30, 40.0),
                of(30, 58.0),
                Some(45.0),
                Reached,
            ),
            (
                Measure::OpenRate,
                of(30, 40.0),
                of(30, 57.0),
                Some(42.5),
                NotReached,
            ),
            (
                Measure::OpenRate,
                of(29, 40.0),
                of(30, 58.0),
                None,
                NotEnoughData,
            ),
            (
                Measure::OpenRate,
                of(30, 0.0),
                of(30, 58.0),
                None,
                NotEnoughData,
            ),
            (
                Measure::ResponseTime,
                of(30, 100.0),
                of(30, 70.0),
                Some(-30.0),
                Reached,
            ),
            (
                Measure::ResponseTime,
                of(30, 100.0),
                of(30, 130.0),
                Some(30.0),
                NotReached,
            ),
            (
                Measure::Satisfaction,
                of(30, 50.0),
                of(30, 75.0),
                Some(25.0),
                Reached,
            ),
            (
                Measure::Satisfaction,
                of(30, 0.0),
                of(30, 25.0),
                Some(25.0),
                Reached,
            ),
            (
                Measure::Throughput,
                of(30, 10.0),
                of(30, 13.4),
                Some(34.0),
                NotReached,
            ),
        ] {
            let found = compare_one(measure, before, after);
            assert_eq!(
                (found.change, found.verdict),
                (change, verdict),
                "{found:?}"
            );
        }
        let unknown = Measured { n: 30, value: None };
        let found = compare_one(Measure::ResponseTime, unknown, of(30, 1.0));
        assert_eq!(found.verdict, NotEnoughData);
    }

    #[test]
    fn a_quotient_has_two_decimal_places() {
        assert_eq!(quotient(1, 3), Some(0.33));
        assert_eq!(quotient(2, 3), Some(0.67));
        assert_eq!(quotient(1, 0), None);
    }
}

//! Decides whether a person can be disturbed now. The decision depends on the preferences, the working calendar and
//! the appointments of the person, and on the priority of the notification (docs/decisions/0034).

use events::Moment;
use events::calendar;
use events::notification::HeldReason;
use events::person::QuietHours;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::calendar::next_working;
use super::quiet::quiet_until;

/// Maximum time in milliseconds for which appointments delay a notification that is not urgent: four hours.
pub const PRESENCE_MS: i64 = 4 * 3_600_000;
/// Maximum time in milliseconds for which appointments delay an urgent notification: 30 minutes.
pub const URGENT_PRESENCE_MS: i64 = 30 * 60_000;

/// An appointment of a person, without its title and its participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Busy {
    pub from: Moment,
    pub to: Moment,
    /// True if the person has reserved the time for work without disturbance. All other appointments are meetings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_focus: bool,
}

/// The data from which the desk decides whether a person can be disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub is_urgent: bool,
    pub is_critical: bool,
    pub quiet: Option<&'a QuietHours>,
    pub do_not_disturb_until: Option<Moment>,
    pub calendar: Option<&'a calendar::Defined>,
    /// The time zone of the quiet hours and of the working hours.
    pub zone: &'a TimeZone,
    /// The known appointments. If the appointments are unknown, the list is empty, and the person is available.
    pub appointments: &'a [Busy],
    /// The time after which appointments no longer hold the notification. The value is `None` if no appointment has
    /// held the notification.
    pub presence_limit: Option<Moment>,
    pub now: Moment,
}

/// Whether a person can be disturbed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    Free,
    Held {
        until: Moment,
        because: HeldReason,
        /// The value of [`Circumstances::presence_limit`] for the next decision about the notification.
        presence_limit: Option<Moment>,
    },
}

/// Decides whether a person can be disturbed now. If several reasons hold the notification, the result contains the
/// reason that ends last. At this time, the caller decides again.
///
/// A critical notification is never held. An urgent notification is not held by quiet hours and by the working
/// calendar. Appointments hold a notification only for a limited time.
pub fn availability(circumstances: &Circumstances<'_>) -> Availability {
    if circumstances.is_critical {
        return Availability::Free;
    }
    let now = circumstances.now;
    let presence = presence(circumstances);
    let limit = presence.map_or(circumstances.presence_limit, |(_, _, limit)| Some(limit));
    let mut reasons = vec![
        circumstances
            .do_not_disturb_until
            .map(|until| (until, HeldReason::DoNotDisturb)),
        presence.map(|(until, because, _)| (until, because)),
    ];
    if !circumstances.is_urgent {
        reasons.push(quiet(circumstances).map(|until| (until, HeldReason::QuietHours)));
        reasons.push(not_working(circumstances).map(|until| (until, HeldReason::NotWorking)));
    }
    let held = reasons
        .into_iter()
        .flatten()
        .filter(|(until, _)| *until > now);
    match held.max_by_key(|(until, _)| *until) {
        Some((until, because)) => Availability::Held {
            until,
            because,
            presence_limit: limit,
        },
        None => Availability::Free,
    }
}

fn quiet(circumstances: &Circumstances<'_>) -> Option<Moment> {
    quiet_until(circumstances.quiet?, circumstances.zone, circumstances.now)
}

/// Returns the begin of the next working time, if the person does not work now. Returns `None` for a calendar without
/// any working time, because the notification would be held without end.
fn not_working(circumstances: &Circumstances<'_>) -> Option<Moment> {
    next_working(
        circumstances.calendar?,
        circumstances.zone,
        circumstances.now,
    )
}

/// Returns the time until which appointments hold the notification, the reason, and the time after which
/// appointments no longer hold the notification. Returns `None` if no appointment holds the notification.
fn presence(circumstances: &Circumstances<'_>) -> Option<(Moment, HeldReason, Moment)> {
    let now = circumstances.now;
    let contains = |busy: &&Busy, at: Moment| busy.from <= at && at < busy.to;
    let current = circumstances.appointments.iter();
    let current: Vec<&Busy> = current.filter(|busy| contains(busy, now)).collect();
    if current.is_empty() {
        return None;
    }
    let because = if current.iter().all(|busy| busy.is_focus) {
        HeldReason::Focused
    } else {
        HeldReason::InMeeting
    };
    let delay = if circumstances.is_urgent {
        URGENT_PRESENCE_MS
    } else {
        PRESENCE_MS
    };
    let limit = circumstances
        .presence_limit
        .unwrap_or_else(|| now.plus_ms(delay));
    // Appointments without a pause between them hold the notification until the end of the last one.
    let mut until = now;
    while let Some(end) = circumstances
        .appointments
        .iter()
        .filter(|busy| contains(busy, until))
        .map(|busy| busy.to)
        .max()
    {
        until = end;
    }
    let until = until.min(limit);
    (until > now).then_some((until, because, limit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::calendar::{TimeRange, Weekday};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    /// 2026-11-22T10:00 in Shanghai, a Sunday.
    const NOW: Moment = Moment(1_795_312_800_000);

    fn at(hours: i64) -> Moment {
        NOW.plus_ms(hours * HOUR_MS)
    }

    fn busy(from: i64, to: i64, is_focus: bool) -> Busy {
        Busy {
            from: at(from),
            to: at(to),
            is_focus,
        }
    }

    /// Everything that can hold a notification, with different ends: quiet hours until 12:00, do not disturb until
    /// 13:00, a meeting until 11:00, and a working calendar that begins on Monday at 09:00.
    struct Person {
        quiet: Option<QuietHours>,
        do_not_disturb_until: Option<Moment>,
        calendar: Option<calendar::Defined>,
        appointments: Vec<Busy>,
        presence_limit: Option<Moment>,
    }

    fn person() -> Person {
        let hours = TimeRange {
            from: "09:00".into(),
            to: "18:00".into(),
        };
        Person {
            quiet: Some(QuietHours {
                from: "09:00".into(),
                to: "12:00".into(),
            }),
            do_not_disturb_until: Some(at(3)),
            calendar: Some(calendar::Defined {
                week: BTreeMap::from([(Weekday::Monday, vec![hours])]),
                ..calendar::Defined::default()
            }),
            appointments: vec![busy(-1, 1, false)],
            presence_limit: None,
        }
    }

    /// Decides about a normal (0), an urgent (1) or a critical (2) notification.
    fn decided(person: &Person, level: u8) -> Option<(Moment, HeldReason)> {
        let decided = availability(&Circumstances {
            is_urgent: level == 1,
            is_critical: level == 2,
            quiet: person.quiet.as_ref(),
            do_not_disturb_until: person.do_not_disturb_until,
            calendar: person.calendar.as_ref(),
            zone: &TimeZone::get("Asia/Shanghai").unwrap(),
            appointments: &person.appointments,
            presence_limit: person.presence_limit,
            now: NOW,
        });
        match decided {
            Availability::Free => None,
            Availability::Held { until, because, .. } => Some((until, because)),
        }
    }

    #[test]
    fn the_reason_that_ends_last_holds_a_normal_notification() {
        let mut person = person();
        assert_eq!(
            decided(&person, 0),
            Some((at(23), HeldReason::NotWorking)),
            "Monday at 09:00"
        );
        person.calendar = None;
        assert_eq!(decided(&person, 0), Some((at(3), HeldReason::DoNotDisturb)));
        person.do_not_disturb_until = Some(NOW);
        assert_eq!(decided(&person, 0), Some((at(2), HeldReason::QuietHours)));
        person.quiet = None;
        assert_eq!(decided(&person, 0), Some((at(1), HeldReason::InMeeting)));
        person.appointments.clear();
        assert_eq!(decided(&person, 0), None);
    }

    #[test]
    fn an_urgent_notification_waits_only_for_the_person() {
        let mut person = person();
        assert_eq!(decided(&person, 1), Some((at(3), HeldReason::DoNotDisturb)));
        person.do_not_disturb_until = None;
        let limit = NOW.plus_ms(URGENT_PRESENCE_MS);
        assert_eq!(decided(&person, 1), Some((limit, HeldReason::InMeeting)));
        person.presence_limit = Some(NOW);
        assert_eq!(decided(&person, 1), None);
        assert_eq!(decided(&self::person(), 2), None, "critical");
    }

    #[test]
    fn appointments_delay_a_notification_for_four_hours_at_most() {
        let mut person = Person {
            quiet: None,
            do_not_disturb_until: None,
            calendar: None,
            appointments: vec![busy(0, 2, true), busy(2, 3, false), busy(4, 9, false)],
            presence_limit: None,
        };
        assert_eq!(
            decided(&person, 0),
            Some((at(3), HeldReason::Focused)),
            "until the end of the second appointment"
        );
        person.appointments.push(busy(2, 9, false));
        assert_eq!(decided(&person, 0), Some((at(4), HeldReason::Focused)));
        person.presence_limit = Some(at(1));
        assert_eq!(decided(&person, 0), Some((at(1), HeldReason::Focused)));
        person.presence_limit = Some(NOW);
        assert_eq!(decided(&person, 0), None);
    }

    #[test]
    fn a_calendar_without_working_time_holds_nothing() {
        let person = Person {
            quiet: None,
            do_not_disturb_until: None,
            calendar: Some(calendar::Defined::default()),
            appointments: Vec::new(),
            presence_limit: None,
        };
        assert_eq!(decided(&person, 0), None);
    }
}

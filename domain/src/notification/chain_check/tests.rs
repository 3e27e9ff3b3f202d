//! Tests the standing check of escalation chains.

use events::preference::{ChannelPreference, Frequency};
use events::rota::{Layer, Shift};
use events::task_type::Repetition;
use events::{Personal, RoleId};

use super::*;
use crate::notification::suppression;

const HOUR_MS: i64 = 3_600_000;

fn step(notify: Target) -> Step {
    Step {
        wait_minutes: 5,
        notify,
        accounts: Vec::new(),
        only_if: None,
        buzz: false,
    }
}

fn chain(steps: Vec<Step>) -> Defined {
    Defined {
        name: "default".into(),
        steps,
        repeat: 0,
    }
}

/// Returns a rota in which `a` and `b` are on call in turn. The first shift begins at the time 0.
fn rota(shift: Shift) -> rota::Defined {
    let layer = Layer {
        people: vec!["a".into(), "b".into()],
        start: "1970-01-01T00:00".into(),
        until: None,
        shift,
        zone: "UTC".into(),
        window: None,
        level: 0,
    };
    rota::Defined {
        name: "ops".into(),
        layers: vec![layer],
        overrides: Vec::new(),
    }
}

fn known(shift: Shift) -> Known {
    Known {
        rotas: BTreeMap::from([("ops".to_owned(), rota(shift))]),
        roles: BTreeMap::from([(RoleId(2), Vec::new())]),
        ..Known::default()
    }
}

fn account(name: &str, channel: &str) -> (String, KnownAccount) {
    let defined = channel_account::Defined {
        name: name.into(),
        channel: channel.into(),
        is_enabled: true,
        per_minute: None,
        repetition: Repetition::AtMostOnce,
        settings: BTreeMap::new(),
    };
    let trouble = None;
    (name.to_owned(), KnownAccount { defined, trouble })
}

fn policy() -> notification_policy::Defined {
    notification_policy::Defined {
        name: "default".into(),
        accounts: vec!["mail".into()],
        fallback: Vec::new(),
        urgent: Vec::new(),
        critical: Vec::new(),
        operators: Vec::new(),
        perishable: Vec::new(),
        bands: BTreeMap::new(),
        rules: Vec::new(),
        teams: Vec::new(),
        subscriptions: Vec::new(),
        chains: BTreeMap::from([("3".to_owned(), "default".to_owned())]),
        single_publisher: false,
        system_name: String::new(),
        support_email: String::new(),
        feedback_one_in: 0,
        applies_winner: false,
        learns_times: false,
        learns_channels: false,
        chat_groups: None,
    }
}

/// Returns a person with an e-mail address.
fn reachable(person: &str) -> (PersonId, Reachable) {
    let address = Personal::new(person.into(), "a@b.example".into());
    let preferences = PreferencesChanged {
        addresses: BTreeMap::from([("email".to_owned(), address)]),
        ..PreferencesChanged::default()
    };
    let reachable = Reachable {
        preferences,
        ..Reachable::default()
    };
    (person.into(), reachable)
}

/// The data of one check.
struct Case {
    known: Known,
    accounts: BTreeMap<String, KnownAccount>,
    policy: Option<notification_policy::Defined>,
    people: BTreeMap<PersonId, Reachable>,
}

impl Case {
    /// Returns a case in which the mail account works and `a` has an address.
    fn new() -> Self {
        Self {
            known: known(Shift::Hours(1)),
            accounts: BTreeMap::from([
                account("mail", "email"),
                account("robot", "dingtalk_robot"),
            ]),
            policy: Some(policy()),
            people: BTreeMap::from([reachable("a")]),
        }
    }

    fn check(&self, steps: Vec<Step>, at: i64) -> Checked {
        let inventory = Inventory {
            known: &self.known,
            accounts: &self.accounts,
            policy: self.policy.as_ref(),
            people: &self.people,
            address_kind: |channel| match channel {
                "email" => Some("email"),
                "dingtalk_robot" => Some("dingtalk"),
                _ => None,
            },
        };
        check(&chain(steps), &inventory, Moment(at))
    }

    /// Checks a chain with one step that notifies `a`. Returns the problems as texts.
    fn of_person(&self) -> Vec<String> {
        let checked = self.check(vec![step(Target::Person("a".into()))], 0);
        let gaps = checked.gaps.iter();
        gaps.map(|gap| words(&gap.problem, "a").0).collect()
    }

    fn prefers(&mut self, kind: &str, frequency: Frequency) {
        let choice = ChannelPreference {
            frequency,
            batch_times: Vec::new(),
            categories: None,
        };
        let person = self.people.get_mut(&PersonId::from("a")).unwrap();
        person.preferences.channels.insert(kind.to_owned(), choice);
    }
}

#[test]
fn the_check_reports_each_problem_once_with_its_shift() {
    let mut case = Case::new();
    case.accounts.get_mut("robot").unwrap().defined.is_enabled = false;
    let mut with_accounts = step(Target::Person("a".into()));
    with_accounts.accounts = vec!["mail".into(), "robot".into(), "gone".into()];
    let steps = vec![
        step(Target::Rota("ops".into())),
        with_accounts,
        step(Target::Role(RoleId(2))),
        step(Target::Leader),
        step(Target::Team("12".into())),
    ];
    let checked = case.check(steps, 0);
    let found: Vec<(u32, Option<Moment>, String)> = checked
        .gaps
        .iter()
        .map(|gap| (gap.step, gap.at, words(&gap.problem, "b").0))
        .collect();
    let text = |text: &str| text.to_owned();
    let no_address = text("b has no address for any account of the step");
    assert_eq!(
        found,
        [
            (1, Some(Moment(HOUR_MS)), no_address),
            (2, None, text("the channel account robot is switched off")),
            (2, None, text("the channel account gone is not defined")),
            (
                3,
                None,
                text("the step reaches no person: the role has no members")
            ),
        ]
    );
    assert_eq!(checked.unchecked, [4, 5]);
}

#[test]
fn a_reachable_person_is_no_problem() {
    assert_eq!(Case::new().of_person(), Vec::<String>::new());
}

#[test]
fn a_switched_off_channel_reaches_nobody() {
    let mut case = Case::new();
    case.prefers("email", Frequency::Off);
    assert_eq!(
        case.of_person(),
        ["a switched off the channels of the step"]
    );
    // A batch is no obstacle, because a step of an escalation does not wait for it.
    case.prefers("email", Frequency::Batch);
    assert_eq!(case.of_person(), Vec::<String>::new());
}

#[test]
fn a_suppressed_address_reaches_nobody() {
    let mut case = Case::new();
    let person = case.people.get_mut(&PersonId::from("a")).unwrap();
    let address = person.preferences.addresses["email"].clone();
    let suppressed = suppression::suppressed("email", &address, "5.1.1");
    person.suppressed.insert("email".to_owned(), suppressed);
    assert_eq!(
        case.of_person(),
        ["a provider reported the address of a as wrong"]
    );
}

#[test]
fn a_cap_of_the_policy_reaches_nobody() {
    let mut case = Case::new();
    case.policy.as_mut().unwrap().rules = vec![notification_policy::Rule {
        cap: Some(Frequency::Off),
        ..notification_policy::Rule::default()
    }];
    assert_eq!(
        case.of_person(),
        ["a rule of the notification policy allows no message of the step to a"]
    );
}

#[test]
fn each_account_that_sends_nothing_is_named() {
    for (trouble, text) in [
        (Trouble::Stopped, "is stopped"),
        (
            Trouble::Paused,
            "is paused, because its last messages failed",
        ),
        (Trouble::Degraded, "is degraded: most of its messages fail"),
        (Trouble::SecretMissing, "has no secret in the key store"),
    ] {
        let mut case = Case::new();
        case.accounts.get_mut("mail").unwrap().trouble = Some(trouble);
        let expected = format!("the channel account mail {text}");
        assert_eq!(
            case.of_person(),
            std::slice::from_ref(&expected),
            "no account is left"
        );
        // Another account works, but the person has no address for it.
        case.policy.as_mut().unwrap().accounts.push("robot".into());
        let no_address = "a has no address for any account of the step".to_owned();
        assert_eq!(case.of_person(), [expected, no_address]);
    }
}

#[test]
fn a_working_fallback_reaches_the_person() {
    let mut case = Case::new();
    let policy = case.policy.as_mut().unwrap();
    (policy.accounts, policy.fallback) = (vec!["robot".into()], vec!["mail".into()]);
    assert_eq!(case.of_person(), Vec::<String>::new());
    case.people.clear();
    assert_eq!(
        case.of_person(),
        ["a has no address for any account of the step"]
    );
}

#[test]
fn a_chain_without_accounts_is_a_problem() {
    let mut case = Case::new();
    case.policy = None;
    assert_eq!(
        case.of_person(),
        ["neither the step nor the notification policy names a channel account"]
    );
}

#[test]
fn all_shifts_of_the_next_day_are_checked() {
    let case = Case::new();
    let rota_step = step(Target::Rota("ops".into()));
    let begins = shifts(&rota_step, &case.known, Moment(0));
    assert_eq!(begins.len(), 24);
    assert_eq!(begins.last(), Some(&Moment(LEAD_MS)));
    let weekly = known(Shift::Weeks(1));
    let week = 7 * LEAD_MS;
    assert_eq!(shifts(&rota_step, &weekly, Moment(0)), [Moment(week)]);
    let person = step(Target::Person("a".into()));
    assert!(shifts(&person, &weekly, Moment(0)).is_empty());
}

#[test]
fn the_next_check_is_before_each_shift_and_at_least_daily() {
    let weekly = known(Shift::Weeks(1));
    let (day, week) = (24 * HOUR_MS, 7 * 24 * HOUR_MS);
    for (at, expected) in [
        (0, day),
        (week - day - HOUR_MS, week - day),
        (week - day, week - HOUR_MS),
        (week - HOUR_MS, week - HOUR_MS + day),
    ] {
        assert_eq!(next_check(&weekly, Moment(at)), Moment(expected), "{at}");
    }
    assert_eq!(next_check(&Known::default(), Moment(5)), Moment(5 + day));
    // The clocks have no effect on a rota in UTC, and the shortest shift has one hour.
    let hourly = known(Shift::Hours(1));
    assert_eq!(next_check(&hourly, Moment(0)), Moment(HOUR_MS));
}

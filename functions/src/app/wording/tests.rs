//! Tests that all events, rejections and states have texts in both languages, and that no text contains words
//! of the other language.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use domain::attachment::Unfit;
use domain::automation::execution;
use domain::fleet::dispatch::Phase;
use domain::itsm::application::{self, Step};
use domain::ticket::{FieldAt, Invalid, Rejection, Status};
use events::execution::Outcome;
use events::finding::Finding;
use events::person::Language;
use events::script::Level;
use events::ticket::{NodeStatus, RemarkAdded, Tested, TicketEvent, TransitionTaken, VoteCast};
use events::workflow::Definition;
use events::{
    AttachmentId, Entry, Event as _, NodeId, PersonId, Personal, Raw, Remark, ServiceId, TicketSn,
    TransitionId,
};
use serde_json::{Value, json};

use super::{
    application, delivery, finding, line, mission, node_status, people, people_in_values,
    rejection, rejection_people, sandbox_level, ticket_status,
};

/// A function that returns the display name of a state.
type StateName = fn(Language, &str) -> &str;

const LANGUAGES: [Language; 2] = [Language::Chinese, Language::English];
const KINDS: [&str; 7] = ["open", "work", "vote", "flow", "problem", "talk", "end"];
/// The keys of JSON members with internal codes, such as person ids. A text for people must not contain such
/// a code.
const CODES: [&str; 13] = [
    "agent",
    "by",
    "creator",
    "executor",
    "kind",
    "mentions",
    "people",
    "phase",
    "processors",
    "processors_type",
    "relation",
    "sealed",
    "status",
];
/// The keys of JSON members of events whose values are maps. The texts for people may contain the keys of these maps.
const MAPS: [&str; 5] = ["columns", "inputs", "numbers", "outputs", "value"];

fn name_in(language: Language) -> &'static str {
    match language {
        Language::Chinese => "甲",
        Language::English => "Ann",
    }
}

/// Returns the sample events of all types of ticket events as JSON.
fn samples() -> Vec<Value> {
    events::samples::ALL
        .iter()
        .filter(|(name, _)| name.starts_with("ticket."))
        .map(|(name, text)| serde_json::from_str(text).unwrap_or_else(|_| panic!("{name}")))
        .collect()
}

fn read(sample: &Value) -> Option<TicketEvent> {
    let text = sample.to_string();
    let raw: Raw<'_> = serde_json::from_str(&text).ok()?;
    TicketEvent::read(&raw).ok()
}

/// Returns the sample event and several changed copies of this event. Some copies are not valid events.
fn variants(sample: &Value) -> Vec<Value> {
    let mut changes = vec![
        json!({ "by": "system" }),
        json!({ "by": "system", "reason": { "text": "母单 REQ20261122000001 已结束" } }),
        json!({ "agent": "p-77aa" }),
        json!({ "automatic": true }),
        json!({ "automatic": true, "executor": "application" }),
        json!({ "automatic": true, "executor": "dispatch" }),
        json!({ "processors_type": "OPEN" }),
        json!({ "round": 2, "attempt": 3 }),
        json!({ "pass": null }),
        json!({ "internal": false, "parent": null }),
        json!({ "people": ["p-9f1c"] }),
        json!({ "people": ["p-9f1c"], "follows": false }),
        json!({ "invited": true }),
        json!({ "node": null }),
        json!({ "name": "", "by": "p-9f1c" }),
        json!({ "replaces": null }),
        json!({ "stars": 1 }),
        json!({ "impact": "", "urgency": "", "priority": "" }),
        json!({ "tested": [{
            "transition": 4, "clause": "SHOUJI notin 13800000000", "found": "<personal>",
            "holds": false,
        }] }),
    ];
    // Only the statuses of nodes are tested here. A ticket can have any text as its status, and an unknown
    // ticket status is shown without change.
    if sample["type"] == "ticket.node_entered" || sample["type"] == "ticket.node_assigned" {
        let statuses = ["DISTRIBUTING", "RECEIVING", "RUNNING", "FAILED"];
        changes.extend(statuses.map(|status| json!({ "status": status })));
        changes.push(json!({ "status": "RUNNING", "is_vote": true }));
        changes.push(json!({ "status": "RUNNING", "processors_type": "OPEN" }));
    }
    let relations = ["raised_from", "raised", "related", "child_of", "parent_of"];
    changes.extend(relations.map(|relation| json!({ "relation": relation })));
    let phases = ["open", "waiting", "resolved", "closed"];
    changes.extend(phases.map(|phase| json!({ "phase": phase })));
    let kinds = ["request", "change", "event", "question"];
    changes.extend(kinds.map(|kind| json!({ "kind": kind })));
    let members = sample["data"].as_object().expect("an object");
    for (member, value) in members {
        match value {
            Value::Bool(is_set) => changes.push(json!({ member.as_str(): !is_set })),
            Value::Array(_) => changes.push(json!({ member.as_str(): [] })),
            _ => {}
        }
    }
    let changed = changes.into_iter().map(|change| {
        let mut changed = sample.clone();
        for (member, value) in change.as_object().expect("an object") {
            changed["data"][member.as_str()] = value.clone();
        }
        changed
    });
    std::iter::once(sample.clone()).chain(changed).collect()
}

/// Adds all texts in the JSON of an event to `values`, except internal codes. The Chinese and the English
/// description of the event may contain these texts.
fn collect(value: &Value, key: &str, values: &mut Vec<String>) {
    match value {
        Value::String(text) if !CODES.contains(&key) => {
            values.push(text.clone());
            values.extend(text.split_whitespace().map(str::to_owned));
        }
        Value::Array(items) => {
            for item in items {
                collect(item, key, values);
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                if MAPS.contains(&key) {
                    values.push(member.clone());
                }
                collect(value, member, values);
            }
        }
        _ => {}
    }
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{4e00}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}')
}

/// Fails if `text` contains words of the other language or keys of the API. The texts in `values` are allowed
/// in both languages.
fn check_text(language: Language, text: &str, values: &[String]) {
    let mut values: Vec<&String> = values.iter().filter(|value| !value.is_empty()).collect();
    values.sort_by_key(|value| Reverse(value.len()));
    let mut rest = text.to_owned();
    for value in values {
        rest = rest.replace(value.as_str(), " ");
    }
    let mut words = rest
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| word.len() > 1);
    match language {
        Language::Chinese => {
            let found = words.find(|word| !["IP", "KB", "MB", "QQ"].contains(word));
            assert_eq!(found, None, "{text}");
        }
        Language::English => {
            let is_code = |word: &&str| {
                word.len() > 2 && *word != "API" && word.chars().all(|c| c.is_ascii_uppercase())
            };
            assert_eq!(words.find(is_code), None, "{text}");
            assert_eq!(rest.chars().find(|c| is_chinese(*c)), None, "{text}");
        }
    }
    assert!(!rest.contains('_'), "{text}");
}

/// Checks the text that the timeline shows for an event in one language. Returns false if the timeline does
/// not show the event.
fn check_line(language: Language, event: &TicketEvent, sample: &Value) -> bool {
    let named = RefCell::new(BTreeSet::new());
    let name = |person: &PersonId| {
        named.borrow_mut().insert(person.clone());
        name_in(language).to_owned()
    };
    let Some(line) = line(language, event, &name, &Definition::default()) else {
        return false;
    };
    let mut known: BTreeSet<PersonId> = people(event).into_iter().cloned().collect();
    known.extend(people_in_values(event));
    let named = named.borrow();
    assert!(named.is_subset(&known), "{event:?} names {named:?}");
    assert!(KINDS.contains(&line.kind));
    assert!(!line.text.is_empty());
    let mut values = Vec::new();
    collect(&sample["data"], "", &mut values);
    for text in std::iter::once(&line.text).chain(&line.detail) {
        check_text(language, text, &values);
    }
    true
}

#[test]
fn every_event_has_a_line_in_each_language() {
    for sample in samples() {
        let event = read(&sample).expect("a sample is an event");
        for language in LANGUAGES {
            assert!(check_line(language, &event, &sample), "{event:?}");
        }
        for variant in variants(&sample) {
            let Some(event) = read(&variant) else {
                continue;
            };
            let has_only_way = matches!(&event, TicketEvent::TransitionTaken(taken)
                if taken.by.is_none() && taken.tested.is_empty());
            for language in LANGUAGES {
                let has_line = check_line(language, &event, &variant);
                assert_eq!(has_line, !has_only_way, "{event:?}");
            }
        }
    }
}

/// Returns the sentence and the details that the timeline shows for an event.
fn shown(language: Language, event: impl Into<TicketEvent>) -> (String, Vec<String>) {
    let name = |_: &PersonId| name_in(language).to_owned();
    let line = line(language, &event.into(), &name, &Definition::default()).expect("a line");
    (line.text, line.detail)
}

fn tested(clause: &str, found: &str, holds: bool) -> Tested {
    Tested {
        transition: TransitionId(3),
        clause: clause.into(),
        found: found.into(),
        holds,
    }
}

#[test]
fn a_transition_shows_each_tested_clause_with_its_values() {
    let taken = TransitionTaken {
        transition: TransitionId(4),
        name: "其他".into(),
        from: NodeId(3),
        to: NodeId(5),
        tested: vec![
            tested("DAYS > 3", "2", false),
            tested("OWNER in p0b77e21c4f9d385516ce2a90", "", false),
            tested("SHOUJI == ", "<personal>", false),
        ],
        by: None,
        reason: Remark::default(),
    };
    assert_eq!(
        shown(Language::Chinese, taken.clone()),
        (
            "其他条件都不满足，进入流转线【其他】".to_owned(),
            vec![
                "✗ 流转线 3：DAYS 大于“3”，实际值为“2”，不成立".to_owned(),
                "✗ 流转线 3：OWNER 属于“甲”，实际值为（空），不成立".to_owned(),
                "✗ 流转线 3：SHOUJI 等于（空），实际值为（个人信息），不成立".to_owned(),
            ]
        )
    );
    let is_met = TransitionTaken {
        transition: TransitionId(3),
        tested: vec![tested("DAYS > 3", "5", true)],
        ..taken
    };
    assert_eq!(
        shown(Language::English, is_met),
        (
            "Followed transition \"其他\", because its condition is true".to_owned(),
            vec![
                "✓ Transition 3: DAYS is greater than \"3\", actual value \"5\", result true"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn form_values_show_names_tables_and_erased_values() {
    let erased = Entry::new("SHOUJI", Value::Null).owned_by("p-77aa".into());
    let people = "p0b77e21c4f9d385516ce2a90,p91c3d4e85a6f7b20d1e4c3f8";
    let option = Entry {
        shown: "高".into(),
        ..Entry::new("DENGJI", "3")
    };
    let vote = VoteCast {
        node: NodeId(3),
        name: "审批".into(),
        by: "p-9f1c".into(),
        pass: false,
        form: vec![
            erased,
            Entry::new("OWNERS", people),
            Entry::new("ROWS", json!([{ "A": "1" }, { "A": "2" }])),
            Entry::new("BEIZHU", ""),
            option,
        ],
        automatic: false,
        reason: Remark {
            text: String::new(),
            personal: Some(Personal::new("p-77aa".into(), Value::Null)),
        },
    };
    assert_eq!(
        shown(Language::Chinese, vote.clone()),
        (
            "在节点【审批】审批拒绝".to_owned(),
            [
                "意见：[已删除]",
                "SHOUJI：[已删除]",
                "OWNERS：甲、甲",
                "ROWS：A：1；A：2",
                "BEIZHU：（空）",
                "DENGJI：高"
            ]
            .map(str::to_owned)
            .to_vec()
        )
    );
    let (text, detail) = shown(Language::English, vote);
    assert_eq!(text, "Rejected node \"审批\"");
    assert_eq!(detail[..2], ["Reason: [erased]", "SHOUJI: [erased]"]);
}

#[test]
fn options_and_approval_results_are_shown_with_their_names() {
    let definition: Definition = serde_json::from_value(json!({
        "name": "w",
        "nodes": [{ "id": 3, "name": "审批", "kind": "APPROVAL", "outputs": [
            { "key": "SHENPIJIEGUO", "holds": "NODE_APPROVE_RESULT" },
            { "key": "TONGYILV", "holds": "PASS_RATE" },
        ] }],
        "transitions": [],
        "fields": [{ "id": 4, "key": "SHENPIYIJIAN", "type": "RADIO", "name": "审批意见",
            "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "不通过" }] }],
    }))
    .expect("a definition");
    let vote = VoteCast {
        node: NodeId(3),
        name: "审批".into(),
        by: "p-9f1c".into(),
        pass: false,
        form: vec![Entry::new("SHENPIYIJIAN", "false")],
        automatic: false,
        reason: Remark::default(),
    };
    let taken = TransitionTaken {
        transition: TransitionId(3),
        name: "拒绝".into(),
        from: NodeId(3),
        to: NodeId(5),
        tested: vec![
            tested("SHENPIJIEGUO == false", "true", false),
            tested("TONGYILV > 50", "", false),
            tested("OTHER == false", "true", false),
        ],
        by: None,
        reason: Remark::default(),
    };
    let shown = |language, event: TicketEvent| {
        let name = |_: &PersonId| name_in(language).to_owned();
        line(language, &event, &name, &definition)
            .expect("a line")
            .detail
    };
    assert_eq!(
        shown(Language::Chinese, vote.clone().into()),
        ["审批意见：不通过"]
    );
    assert_eq!(
        shown(Language::English, vote.into()),
        ["审批意见: 不通过"],
        "the names of a workflow are shown in its language"
    );
    assert_eq!(
        shown(Language::Chinese, taken.clone().into()),
        [
            "✗ 流转线 3：审批结果 等于“拒绝”，实际值为“同意”，不成立",
            "✗ 流转线 3：同意率 大于“50”，实际值为（空），不成立",
            "✗ 流转线 3：OTHER 等于“false”，实际值为“true”，不成立",
        ]
    );
    let english = shown(Language::English, taken.into());
    assert!(
        english[0].contains("Result of the approval") && english[0].contains("\"approved\""),
        "{english:?}"
    );
}

#[test]
fn internal_remarks_are_marked() {
    let remark = RemarkAdded {
        id: 2,
        by: "p-9f1c".into(),
        parent: None,
        text: Remark::new("请看附件"),
        mentions: vec!["p-77aa".into()],
        internal: true,
        files: Vec::new(),
    };
    let (text, detail) = shown(Language::Chinese, remark.clone());
    assert_eq!(text, "添加了评论 (内部)");
    assert_eq!(detail, ["请看附件", "提到：甲"]);
    let (text, _) = shown(Language::English, remark);
    assert_eq!(text, "Added a comment (internal)");
}

/// Returns at least one rejection of each kind.
pub(crate) fn every_rejection() -> Vec<Rejection> {
    let all = rejections("x");
    for kind in Rejection::KINDS {
        let is_listed = all.iter().any(|one| <&str>::from(one) == *kind);
        assert!(is_listed, "{kind} is not in the list of rejections");
    }
    all
}

/// Returns one rejection of each kind. All names and keys in these rejections are equal to `text`.
fn rejections(text: &str) -> Vec<Rejection> {
    let at = || FieldAt {
        key: text.to_owned(),
        name: text.to_owned(),
    };
    let own = || text.to_owned();
    let by = || PersonId::from("p-9f1c");
    let node = NodeId(3);
    let unfit = |why| Rejection::FileUnfit { at: at(), why };
    let invalid = |reason: Invalid| Rejection::FieldInvalid { at: at(), reason };
    vec![
        Rejection::Exists,
        Rejection::Unknown,
        Rejection::ServiceUnknown(ServiceId(1)),
        Rejection::ServiceDisabled(ServiceId(1)),
        Rejection::ServiceNotInCatalog(ServiceId(1)),
        Rejection::ChosenNodeUnknown {
            service: own(),
            node,
        },
        Rejection::ChosenProcessorsEmpty {
            service: own(),
            node,
        },
        Rejection::FieldsMissing(vec![own(), own()]),
        Rejection::FieldUnknown(own()),
        Rejection::FieldTwice(own()),
        Rejection::FieldEmpty(at()),
        Rejection::OptionUnknown(at()),
        Rejection::OptionsMissing(own()),
        Rejection::OptionsUnavailable {
            at: at(),
            reason: "timeout".into(),
        },
        unfit(Unfit::NotUploaded),
        unfit(Unfit::TooMany(3)),
        unfit(Unfit::NotHere(AttachmentId::from(text))),
        unfit(Unfit::Type {
            accept: vec![own()],
            name: own(),
            media_type: own(),
        }),
        unfit(Unfit::TooLarge {
            most: 1 << 20,
            name: own(),
            bytes: (1 << 20) + 1,
        }),
        Rejection::ReadOnly(at()),
        Rejection::TitleTooLong,
        invalid(Invalid::NotRows),
        invalid(Invalid::NotAText),
        invalid(Invalid::NotANumber),
        invalid(Invalid::NotADate),
        invalid(Invalid::NotATime),
        invalid(Invalid::NotAFlag),
        invalid(Invalid::NotALink),
        invalid(Invalid::SeveralPeople),
        invalid(Invalid::Comma(own())),
        invalid(Invalid::CellEmpty {
            row: 1,
            column: own(),
        }),
        invalid(Invalid::CellInvalid {
            row: 1,
            column: own(),
        }),
        invalid(Invalid::Rule("EMAIL".into())),
        invalid(Invalid::Rule("of a later version".into())),
        invalid(Invalid::CustomRule),
        invalid(Invalid::CustomRuleInvalid),
        invalid(Invalid::NotAfterNow),
        invalid(Invalid::NotBeforeNow),
        invalid(Invalid::OtherFields),
        invalid(Invalid::TooLong(255)),
        Rejection::Ended,
        Rejection::Suspended,
        Rejection::NodeUnknown(node),
        Rejection::NodeFinished(node),
        Rejection::NotAllowed { by: by(), node },
        Rejection::UnknownPerson(by()),
        Rejection::NotClaimable(node),
        Rejection::NotDistributable(node),
        Rejection::NoProcessorGiven,
        Rejection::TargetKindNotAllowed,
        Rejection::TargetsOutOfRange(vec![by(), by()]),
        Rejection::DeliverNotAllowed(own()),
        Rejection::NotDeliverable,
        Rejection::DeliverMessageMissing,
        Rejection::AlreadyDecided(vec![by()]),
        Rejection::TerminateNotAllowed(own()),
        Rejection::TerminateReasonMissing,
        Rejection::SuspendReasonMissing,
        Rejection::MessageTooLong,
        Rejection::ReasonTooLong,
        Rejection::NotAllowedOnTicket(by()),
        Rejection::NotInProcess,
        Rejection::NotSuspended,
        Rejection::NotTheCreator,
        Rejection::NotRevocable,
        Rejection::AlreadyEnded,
        Rejection::HandledAlready,
        Rejection::TooManyRounds(node),
        Rejection::NotImported,
        Rejection::IsChild,
        Rejection::NotFailed(own()),
        Rejection::TransitionUnknown {
            transition: TransitionId(3),
            node,
        },
        Rejection::NotAnApproval(node),
        Rejection::ResultNotExpected,
        Rejection::NotAllowedToSee(by()),
        Rejection::MayNotRemind(by()),
        Rejection::RemindingOff,
        Rejection::NotAnEnd("RUNNING".into()),
        Rejection::TextUnfit(5),
        Rejection::RemarkUnknown(2),
        Rejection::TooMany(5),
        Rejection::NotFinished,
        Rejection::RatedAlready,
        Rejection::NotTheRater,
        Rejection::StarsUnfit(6),
        Rejection::LinkedWithItself,
        Rejection::LinkedAlready(TicketSn::from(text)),
        Rejection::NotLinked(TicketSn::from(text)),
        Rejection::MayNotSubmit {
            by: by(),
            node: own(),
        },
        Rejection::NotEscalatable(own()),
        Rejection::NoEscalationTarget,
        Rejection::NotEditable(own()),
        Rejection::NoAgency,
    ]
}

#[test]
fn every_rejection_has_a_text_in_each_language() {
    for (language, value) in [(Language::Chinese, "值"), (Language::English, "x")] {
        let mut texts = BTreeSet::new();
        for reason in rejections(value) {
            let named = RefCell::new(BTreeSet::new());
            let name = |person: &PersonId| {
                named.borrow_mut().insert(person.clone());
                name_in(language).to_owned()
            };
            let text = rejection(language, &reason, &name);
            check_text(language, &text, &[]);
            let known: BTreeSet<PersonId> =
                rejection_people(&reason).into_iter().cloned().collect();
            assert!(named.borrow().is_subset(&known), "{reason:?}");
            assert!(texts.insert(text), "{reason:?} has the text of another");
        }
    }
}

#[test]
fn every_finding_has_a_text_in_each_language() {
    for (language, value) in [(Language::Chinese, "值"), (Language::English, "x")] {
        let mut texts = BTreeSet::new();
        for word in Finding::WORDS {
            let one: Finding = serde_json::from_value(json!({
                "is": word, "since": value, "problem": value, "platform": value, "secret": value,
                "script": value, "parameter": value, "key": value, "characters": 7, "code": 7,
                "needed": "network", "reached": "limits",
            }))
            .expect("a finding with all values that a finding can have");
            assert_eq!(one.word(), *word);
            let text = finding(language, Some(&one), &one.to_string());
            check_text(language, &text, &[]);
            assert!(texts.insert(text), "{word} has the text of another finding");
        }
    }
    let levels = [Level::None, Level::Limits, Level::Files, Level::Network];
    for language in LANGUAGES {
        let names = levels.map(|level| sandbox_level(language, level));
        names
            .iter()
            .for_each(|name| check_text(language, name, &[]));
        assert_eq!(BTreeSet::from(names).len(), levels.len());
    }
}

#[test]
fn a_file_size_never_looks_smaller_than_its_limit() {
    let too_large = Rejection::FileUnfit {
        at: FieldAt {
            key: "file".into(),
            name: String::new(),
        },
        why: Unfit::TooLarge {
            most: 10 << 20,
            name: "a.log".into(),
            bytes: (10 << 20) + 1,
        },
    };
    let name = |_: &PersonId| String::new();
    assert_eq!(
        rejection(Language::Chinese, &too_large, &name),
        "字段“file”的文件不能超过 10.0 MB，“a.log”的大小是 10.1 MB，请重新上传"
    );
}

#[test]
fn every_status_has_a_name_in_each_language() {
    let statuses = [
        Status::Running,
        Status::Suspended,
        Status::Finished,
        Status::Terminated,
        Status::Revoked,
        Status::RowImported,
    ];
    let nodes = [
        NodeStatus::Distributing,
        NodeStatus::Receiving,
        NodeStatus::Running,
        NodeStatus::Finished,
        NodeStatus::Terminated,
        NodeStatus::Failed,
    ];
    for language in LANGUAGES {
        for key in statuses
            .map(Status::key)
            .iter()
            .chain(&["RESOLVED", "CONFIRMED"])
        {
            let name = ticket_status(language, key);
            assert_ne!(name, *key);
            check_text(language, &name, &[]);
        }
        let names = nodes.map(|status| node_status(language, status));
        for name in names {
            check_text(language, name, &[]);
        }
        assert_eq!(BTreeSet::from(names).len(), nodes.len());
        assert_eq!(ticket_status(language, "我的状态"), "我的状态");
    }
}

#[test]
fn every_state_has_a_name_in_each_language() {
    let phases = [
        Phase::Queued,
        Phase::Offered,
        Phase::Accepted,
        Phase::Working,
        Phase::Suspect,
        Phase::Canceling,
        Phase::Done,
    ];
    let outcomes = [
        Outcome::Succeeded,
        Outcome::NoChange,
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::ResourceExceeded,
        Outcome::Canceled,
        Outcome::Unknown,
    ];
    let of_application = application::Status::ALL.map(<&str>::from);
    let steps = [
        Step::Discover,
        Step::Create,
        Step::Probe,
        Step::Find,
        Step::Verify,
        Step::Confirm,
        Step::Poll,
        Step::Withdraw,
    ];
    let ends = ["open", "succeeded", "failed"];
    let of_execution = [
        "open",
        "queued",
        "awaiting_approval",
        "running",
        "rejected",
        "expired",
    ];

    let states: [(StateName, Vec<&str>); 4] = [
        (mission, [&phases.map(Phase::name)[..], &ends[..]].concat()),
        (delivery, vec!["open", "accepted", "failed"]),
        (
            super::execution,
            [&outcomes.map(execution::name)[..], &of_execution[..]].concat(),
        ),
        (
            application,
            [&steps.map(Step::name)[..], &ends[..], &of_application[..]].concat(),
        ),
    ];
    for language in LANGUAGES {
        for (name, keys) in &states {
            for key in keys {
                let name = name(language, key);
                assert_ne!(name, *key);
                check_text(language, name, &[]);
            }
        }
        assert_eq!(mission(language, "my_state"), "my_state");
    }
}

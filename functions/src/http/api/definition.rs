//! Defines the shapes (validation rules) of workflow definitions in request bodies of the API
//! `/v1`. A definition contains nodes, fields and conditions.
//!
//! The types in `events::workflow` accept more values than these shapes. The reason is that these
//! types also read old events. Old events can contain values that a request must not contain.

use super::shape::{COUNT, INTEGER, Member, NAMES, Shape, optional, required, unless};

const TEXTS: Shape = Shape::List(&Shape::Text);
const INTEGERS: Shape = Shape::List(&INTEGER);
const JOINS: Shape = Shape::Words(&["and", "or"]);
const OPERATORS: Shape = Shape::Words(&[
    "==",
    "!=",
    ">",
    "<",
    ">=",
    "<=",
    "issuperset",
    "notissuperset",
    "in",
    "notin",
]);
/// A duration in milliseconds.
const MILLISECONDS: Shape = Shape::Integer(0, i64::MAX);

static OPTION_SHAPE: Shape = Shape::Object(&OPTION_MEMBERS);
static OPTION_MEMBERS: [Member; 3] = [
    required("key", Shape::Text),
    required("name", Shape::Text),
    optional("items", Shape::List(&OPTION)),
];
/// One option of a field or of a dictionary. The member `items` contains the options below this
/// option.
pub(super) static OPTION: Shape = Shape::Named("Option", &OPTION_SHAPE);
/// A list of options.
pub(super) const OPTIONS: Shape = Shape::List(&OPTION);

const CLAUSE: &[Member] = &[
    required("key", Shape::Text),
    optional("type", Shape::Text),
    required("condition", OPERATORS),
    required("value", Shape::Any),
];
const GROUP: &[Member] = &[
    optional("type", JOINS),
    required("expressions", Shape::List(&Shape::Object(CLAUSE))),
];
const CONDITION_MEMBERS: &[Member] = &[
    optional("type", JOINS),
    required("expressions", Shape::List(&Shape::Object(GROUP))),
];
static CONDITION_SHAPE: Shape = Shape::Object(CONDITION_MEMBERS);
const CONDITION: Shape = Shape::Named("Condition", &CONDITION_SHAPE);

const NO_MEMBERS: &[Member] = &[];
const WHO_NAMES: &[Member] = &[required("who", NAMES)];
const WHO_TEXTS: &[Member] = &[required("who", TEXTS)];
const WHO_INTEGERS: &[Member] = &[required("who", INTEGERS)];
const WHO_TEXT: &[Member] = &[required("who", Shape::Text)];
const WHO_INTEGER: &[Member] = &[required("who", INTEGER)];
const PROCESSORS_CASES: &[(&str, &[Member])] = &[
    ("PERSON", WHO_NAMES),
    ("GENERAL", WHO_INTEGERS),
    ("STARTER", NO_MEMBERS),
    ("OPEN", NO_MEMBERS),
    ("VARIABLE", WHO_TEXTS),
    ("BY_ASSIGNOR", NO_MEMBERS),
    ("CMDB", WHO_TEXTS),
    ("STARTER_LEADER", NO_MEMBERS),
    ("ASSIGN_LEADER", WHO_INTEGER),
    ("VARIABLE_LEADER", WHO_TEXTS),
    ("ORGANIZATION", WHO_TEXT),
    ("IAM", WHO_TEXT),
    ("API", NO_MEMBERS),
    ("EMPTY", NO_MEMBERS),
];
static PROCESSORS_SHAPE: Shape = Shape::Tagged {
    tag: "type",
    cases: PROCESSORS_CASES,
};
const PROCESSORS: Shape = Shape::Named("Processors", &PROCESSORS_SHAPE);

const PAIR: &[Member] = &[required("key", Shape::Text), required("value", Shape::Text)];
const PAIRS: Shape = Shape::List(&Shape::Object(PAIR));
const POLL: &[Member] = &[
    required("interval_ms", MILLISECONDS),
    required("times_max", COUNT),
    required("until", CONDITION),
];
const OUTPUT_MAPPING: &[Member] = &[
    required("key", Shape::Text),
    optional("name", Shape::Text),
    required("path", Shape::Text),
];
const REQUEST: &[Member] = &[
    required("method", Shape::Text),
    required("url", Shape::Text),
    optional("query", PAIRS),
    optional("headers", PAIRS),
    optional("body", Shape::Any),
    optional("body_schema", Shape::Any),
    optional("secret", Shape::Text),
    optional("credentials", Shape::Text),
    optional("system", Shape::Text),
    optional("timeout_ms", MILLISECONDS),
    optional("attempts_max", COUNT),
    optional("success", CONDITION),
    optional("poll", Shape::Object(POLL)),
    optional("outputs", Shape::List(&Shape::Object(OUTPUT_MAPPING))),
];
const TASK: &[Member] = &[
    required("url", Shape::Text),
    required("bk_biz_id", Shape::Text),
    required("template_id", Shape::Text),
    optional("template_source", Shape::Text),
    optional("constants", PAIRS),
    optional("exclude_task_nodes_id", TEXTS),
    optional("secret", Shape::Text),
    optional("polls_max", COUNT),
];
const APPLICATION: &[Member] = &[required("kind", Shape::Text), optional("fields", PAIRS)];
const MISSION: &[Member] = &[
    required("task_type", Shape::Text),
    required("site", Shape::Text),
    required("station", Shape::Text),
    optional("parameters", PAIRS),
    optional("expires_after_min", COUNT),
];
const SERVICE_TASK_CASES: &[(&str, &[Member])] = &[
    ("request", REQUEST),
    ("task", TASK),
    ("application", APPLICATION),
    ("mission", MISSION),
];
static SERVICE_TASK_SHAPE: Shape = Shape::Tagged {
    tag: "does",
    cases: SERVICE_TASK_CASES,
};
const SERVICE_TASK: Shape = Shape::Named("ServiceTask", &SERVICE_TASK_SHAPE);
const SOURCE: &[Member] = &[
    required("request", Shape::Object(REQUEST)),
    optional("rows", Shape::Text),
];

const OUTPUT: &[Member] = &[
    required("key", Shape::Text),
    required(
        "holds",
        Shape::Words(&[
            "NODE_APPROVE_RESULT",
            "NODE_APPROVER",
            "PROCESS_COUNT",
            "PASS_COUNT",
            "REJECT_COUNT",
            "PASS_RATE",
            "REJECT_RATE",
        ]),
    ),
];
const NODE: &[Member] = &[
    required("id", INTEGER),
    required("name", Shape::Text),
    required(
        "kind",
        Shape::Words(&[
            "START",
            "NORMAL",
            "APPROVAL",
            "SIGN",
            "TASK",
            "TASK-SOPS",
            "WEBHOOK",
            "ROUTER",
            "ROUTER-P",
            "COVERAGE",
            "END",
        ]),
    ),
    optional("tag", Shape::Text),
    optional("processors", PROCESSORS),
    optional("assignors", PROCESSORS),
    optional("delivers", PROCESSORS),
    optional(
        "handling",
        Shape::Words(&[
            "PROCESS",
            "CLAIM_THEN_PROCESS",
            "DISTRIBUTE_THEN_PROCESS",
            "DISTRIBUTE_THEN_CLAIM",
        ]),
    ),
    optional("can_deliver", Shape::Flag),
    optional("is_terminable", Shape::Flag),
    optional("is_multi", Shape::Flag),
    optional("is_sequential", Shape::Flag),
    optional("finish_condition", CONDITION),
    optional("terminate_when_rejected", Shape::Flag),
    optional("is_allow_skip", Shape::Flag),
    optional("status_on_entry", Shape::Text),
    optional("service_task", SERVICE_TASK),
    optional("fields", TEXTS),
    optional("outputs", Shape::List(&Shape::Object(OUTPUT))),
];
const TRANSITION: &[Member] = &[
    required("id", INTEGER),
    required("from", INTEGER),
    required("to", INTEGER),
    optional("name", Shape::Text),
    optional("condition", CONDITION),
];

const RULE_FIELD: &[Member] = &[
    required("condition", OPERATORS),
    required("key", Shape::Text),
];
const RULE_SYSTEM: &[Member] = &[required("condition", OPERATORS)];
const RULE_VALUE: &[Member] = &[
    required("condition", OPERATORS),
    required("value", Shape::Any),
];
const RULE_CASES: &[(&str, &[Member])] = &[
    ("field", RULE_FIELD),
    ("system", RULE_SYSTEM),
    ("value", RULE_VALUE),
];
static COMPARISON: Shape = Shape::Tagged {
    tag: "source",
    cases: RULE_CASES,
};
const RULE: &[Member] = &[
    optional("type", JOINS),
    required("expressions", Shape::List(&COMPARISON)),
];
const TEMPLATE: &[Member] = &[required("id", Shape::Text), optional("name", Shape::Text)];
const FIELD_TYPES: Shape = Shape::Words(FIELD_TYPE_NAMES);
/// The types of form fields.
pub(super) const FIELD_TYPE_NAMES: &[&str] = &[
    "STRING",
    "TEXT",
    "RICHTEXT",
    "LINK",
    "INT",
    "BOOLEAN",
    "DATE",
    "DATETIME",
    "DATETIMERANGE",
    "SELECT",
    "RADIO",
    "INPUTSELECT",
    "MULTISELECT",
    "CHECKBOX",
    "MEMBER",
    "MEMBERS",
    "TREESELECT",
    "CASCADE",
    "TABLE",
    "CUSTOMTABLE",
    "FILE",
    "CUSTOM-FORM",
];

/// Creates the list of members that describe a form field in a request body. The arguments are the
/// members `key`, `type` and `name`, because they are required in some requests and optional in
/// others. The macro adds all other members, which are always optional.
macro_rules! field {
    ($($own:expr),*) => {
        &[
            $($own,)*
            optional("id", INTEGER),
            optional("desc", Shape::Text),
            optional("choice", OPTIONS),
            optional("is_required", Shape::Flag),
            optional("regex", Shape::Text),
            optional("custom_regex", Shape::Text),
            optional("hidden_when", Shape::Nullable(&Shape::Object(GROUP))),
            optional("default", Shape::Any),
            optional("meta", Shape::Any),
            optional("source_type", Shape::Text),
            optional("source_uri", Shape::Text),
            optional("source", Shape::Nullable(&Shape::Object(SOURCE))),
            optional("is_readonly", Shape::Flag),
            optional("node", Shape::Nullable(&INTEGER)),
            optional("rule", Shape::Nullable(&Shape::Object(RULE))),
            optional("templates", Shape::List(&Shape::Object(TEMPLATE))),
            optional("kv_relation", Shape::Nullable(&OPTION_SHAPE)),
            optional("layout", Shape::Text),
            optional("library", Shape::Text),
            optional("is_personal", Shape::Flag),
            optional("is_approve_result", Shape::Flag),
        ]
    };
}

/// The body members of a field in a workflow definition. The member `library` can contain the key
/// of a shared field (a reusable field in the library). The members `key`, `type` and `name` can
/// then be absent, because the shared field contains these members.
const FIELD: &[Member] = field![
    unless("library", "key", Shape::Text),
    unless("library", "type", FIELD_TYPES),
    unless("library", "name", Shape::Text)
];
static FIELD_SHAPE: Shape = Shape::Object(FIELD);
/// The body members of a shared field, a field that workflow definitions can copy. If a member is
/// absent from the request, the shared field keeps its stored value for this member.
pub(super) const SHARED_FIELD: &[Member] = field![
    optional("key", Shape::Text),
    optional("type", FIELD_TYPES),
    optional("name", Shape::Text)
];

const BEFORE_NODE: &[Member] = &[required("before_node", INTEGER)];
const DEFINITION: &[Member] = &[
    required("name", Shape::Text),
    optional("desc", Shape::Text),
    optional(
        "revoke",
        Shape::WordOr(&["never", "always", "before_handled"], BEFORE_NODE),
    ),
    optional("is_biz_needed", Shape::Flag),
    optional("flow_type", Shape::Text),
    optional("is_auto_approve", Shape::Flag),
    optional("is_supervise_needed", Shape::Flag),
    optional("supervisors", PROCESSORS),
    optional("notify_rule", Shape::Words(&["NONE", "ONCE", "RETRY"])),
    optional("notify_freq", COUNT),
    optional("notify", TEXTS),
    required("nodes", Shape::List(&NODE_SCHEMA)),
    required("transitions", Shape::List(&TRANSITION_SCHEMA)),
    required("fields", Shape::List(&FIELD_SCHEMA)),
];
static NODE_SHAPE: Shape = Shape::Object(NODE);
static TRANSITION_SHAPE: Shape = Shape::Object(TRANSITION);
static NODE_SCHEMA: Shape = Shape::Named("Node", &NODE_SHAPE);
static TRANSITION_SCHEMA: Shape = Shape::Named("Transition", &TRANSITION_SHAPE);
static FIELD_SCHEMA: Shape = Shape::Named("Field", &FIELD_SHAPE);
static DEFINITION_SHAPE: Shape = Shape::Object(DEFINITION);
/// The shape (the allowed members and values) of a workflow definition.
pub(super) const WORKFLOW: Shape = Shape::Named("Definition", &DEFINITION_SHAPE);

/// Returns the shapes (descriptions of allowed values) that have a name in the OpenAPI document.
#[cfg(test)]
pub(super) fn named_shapes() -> [(&'static str, &'static Shape); 8] {
    [
        ("Option", &OPTION_SHAPE),
        ("Condition", &CONDITION_SHAPE),
        ("Processors", &PROCESSORS_SHAPE),
        ("ServiceTask", &SERVICE_TASK_SHAPE),
        ("Node", &NODE_SHAPE),
        ("Transition", &TRANSITION_SHAPE),
        ("Field", &FIELD_SHAPE),
        ("Definition", &DEFINITION_SHAPE),
    ]
}

#[cfg(test)]
mod tests {
    use events::workflow::service_task::{OutputMapping, Pair, Poll, Request, Source, Task};
    use events::workflow::{
        Choice, Clause, Condition, Definition, Field, Group, Node, Output, Rule, Template,
        Transition,
    };
    use serde::de::value::Error;
    use serde::de::{DeserializeOwned, Error as _, Visitor};

    use super::*;

    /// A deserializer that reads no values. The deserializer only collects the member names of a
    /// stored type.
    struct Fields<'a>(&'a mut Vec<&'static str>);

    impl<'de> serde::Deserializer<'de> for Fields<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("not a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0.extend_from_slice(fields);
            Err(Error::custom("only the member names are read"))
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map enum
            identifier ignored_any
        }
    }

    fn check<T: DeserializeOwned>(members: &[Member]) {
        let mut stored = Vec::new();
        let _ = T::deserialize(Fields(&mut stored));
        let mut listed: Vec<&str> = members.iter().map(|member| member.name).collect();
        listed.sort_unstable();
        stored.sort_unstable();
        assert_eq!(listed, stored, "{}", std::any::type_name::<T>());
    }

    #[test]
    fn bodies_have_exactly_the_members_of_the_stored_types() {
        check::<Definition>(DEFINITION);
        check::<Node>(NODE);
        check::<Transition>(TRANSITION);
        check::<Field>(FIELD);
        check::<Field>(SHARED_FIELD);
        check::<Choice>(&OPTION_MEMBERS);
        check::<Condition>(CONDITION_MEMBERS);
        check::<Group>(GROUP);
        check::<Clause>(CLAUSE);
        check::<Rule>(RULE);
        check::<Template>(TEMPLATE);
        check::<Output>(OUTPUT);
        check::<Request>(REQUEST);
        check::<Task>(TASK);
        check::<Source>(SOURCE);
        check::<Poll>(POLL);
        check::<OutputMapping>(OUTPUT_MAPPING);
        check::<Pair>(PAIR);
        check::<events::workflow::service_task::Application>(APPLICATION);
        check::<events::workflow::service_task::Mission>(MISSION);
    }
}

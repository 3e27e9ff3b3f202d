//! What a workflow must be before tickets may run on it. Every problem names its node, transition or field.

use std::collections::{BTreeMap, BTreeSet};

use events::NodeId;
use events::service_task::{Request, ServiceTask, Source};
use events::workflow::{
    Condition, Definition, Field, FieldKind, Handling, Node, NodeKind, Other, Processors, Revoke,
    Transition,
};
use serde_json::Value;

use super::coverage::{TRIES_MAX, open_case};
use super::{named, parallel_regions::parallel_regions};
use crate::api_call::plan;
use crate::ticket::form::plain;
use crate::ticket::output_keys;
use crate::{condition, options};

/// Nodes a workflow may have; the largest real definition has 12.
pub const NODES_MAX: usize = 500;
/// Lines a workflow may have.
pub const LINES_MAX: usize = 2000;
/// Fields a workflow may have; the largest real definition has 24.
pub const FIELDS_MAX: usize = 1000;
/// Longest time one outgoing call may take; the function that makes it lives longer.
pub const TIMEOUT_MS_MAX: i64 = 20_000;
/// Longest time for options of a field; somebody waits for them before a form.
pub const OPTIONS_MS_MAX: i64 = 10_000;
/// Shortest and longest pause between two questions about the same thing.
pub const POLL_MS: std::ops::RangeInclusive<i64> = 1_000..=86_400_000;
/// Times something may be asked after.
pub const POLLS_MAX: u32 = 100_000;
/// Times a call may be tried.
pub const ATTEMPTS_MAX: u32 = 16;
/// What the finish condition of a countersign may ask for (reference/bk-itsm.md 6).
pub const COUNTERS: [&str; 5] = [
    "PROCESS_COUNT",
    "PASS_COUNT",
    "REJECT_COUNT",
    "PASS_RATE",
    "REJECT_RATE",
];

/// The findings in a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Problems, in words.
    pub problems: Vec<String>,
    /// Nodes without a default transition, each with a case for which none of its transitions holds: a ticket would wait there for a manager.
    pub open_cases: Vec<(NodeId, String)>,
}

/// Everything that is wrong with a definition; nothing where it may be deployed.
pub fn problems(definition: &Definition) -> Vec<String> {
    let Findings {
        mut problems,
        open_cases,
    } = findings(definition);
    problems.extend(open_cases.into_iter().map(|(node, case)| {
        let name = named(definition, node);
        format!("node {name} has no default transition, and the conditions of its transitions do not cover every case: none holds for {case}")
    }));
    problems
}

/// The same, with the cases for which no transition holds by themselves: a file of the original may leave some open, as the original allows.
pub fn findings(definition: &Definition) -> Findings {
    let bounds = [
        ("nodes", definition.nodes.len(), NODES_MAX),
        ("transitions", definition.transitions.len(), LINES_MAX),
        ("fields", definition.fields.len(), FIELDS_MAX),
    ];
    let too_many: Vec<String> = bounds
        .into_iter()
        .filter(|(_, is, max)| is > max)
        .map(|(what, is, max)| format!("{is} {what}, at most {max} are allowed"))
        .collect();
    if !too_many.is_empty() {
        return Findings {
            problems: too_many,
            open_cases: Vec::new(),
        };
    }
    let mut check = Check {
        definition,
        problems: Vec::new(),
        open_cases: Vec::new(),
    };
    check.ids();
    check.shape();
    // What follows walks along transitions, which must lead somewhere for that.
    if check.problems.is_empty() {
        check.ways();
        check.nodes();
        check.conditions();
        check.fields();
        if let Err(problems) = parallel_regions(definition) {
            check.problems.extend(problems);
        }
    }
    Findings {
        problems: check.problems,
        open_cases: check.open_cases,
    }
}

/// Follows transitions from some nodes as far as they lead.
pub(super) fn reachable(
    definition: &Definition,
    from: &[NodeId],
    next: impl Fn(&Transition) -> (NodeId, NodeId),
) -> BTreeSet<NodeId> {
    let mut ways: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for transition in &definition.transitions {
        let (here, there) = next(transition);
        ways.entry(here).or_default().push(there);
    }
    let mut seen: BTreeSet<NodeId> = from.iter().copied().collect();
    let mut open = from.to_vec();
    while let Some(node) = open.pop() {
        open.extend(
            ways.get(&node)
                .into_iter()
                .flatten()
                .filter(|there| seen.insert(**there))
                .copied(),
        );
    }
    seen
}

fn forward(transition: &Transition) -> (NodeId, NodeId) {
    (transition.from, transition.to)
}

fn backward(transition: &Transition) -> (NodeId, NodeId) {
    (transition.to, transition.from)
}

struct Check<'a> {
    definition: &'a Definition,
    problems: Vec<String>,
    open_cases: Vec<(NodeId, String)>,
}

impl Check<'_> {
    fn say(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn name(&self, id: NodeId) -> String {
        named(self.definition, id)
    }

    /// Ids are given once.
    fn ids(&mut self) {
        let mut nodes = BTreeSet::new();
        let mut transitions = BTreeSet::new();
        for node in &self.definition.nodes {
            if !nodes.insert(node.id) {
                self.say(format!("there are two nodes {}", node.id));
            }
        }
        for transition in &self.definition.transitions {
            if !transitions.insert(transition.id) {
                self.say(format!("there are two transitions {}", transition.id));
            }
        }
    }

    /// One beginning, one end, transitions between nodes that are there.
    fn shape(&mut self) {
        let definition = self.definition;
        for kind in [NodeKind::Start, NodeKind::End] {
            if definition
                .nodes
                .iter()
                .filter(|node| node.kind == kind)
                .count()
                != 1
            {
                self.say(format!("there must be exactly one {} node", kind.key()));
            }
        }
        let mut pairs = BTreeSet::new();
        for transition in &definition.transitions {
            for end in [transition.from, transition.to] {
                if definition.node(end).is_none() {
                    self.say(format!(
                        "transition {} leads to node {end}, which does not exist",
                        transition.id
                    ));
                }
            }
            if definition
                .node(transition.to)
                .is_some_and(|node| node.kind == NodeKind::Start)
            {
                self.say(format!("transition {} leads back to START", transition.id));
            }
            if definition
                .node(transition.from)
                .is_some_and(|node| node.kind == NodeKind::End)
            {
                self.say(format!("transition {} leads on from END", transition.id));
            }
            if !pairs.insert((transition.from, transition.to)) {
                let (from, to) = (self.name(transition.from), self.name(transition.to));
                self.say(format!(
                    "two transitions lead from node {from} to node {to}"
                ));
            }
        }
        for node in &definition.nodes {
            if node.kind != NodeKind::End && definition.transitions_from(node.id).is_empty() {
                let name = self.name(node.id);
                self.say(format!("no transition leads on from node {name}"));
            }
        }
        let start = definition
            .nodes
            .iter()
            .find(|node| node.kind == NodeKind::Start)
            .map(|node| node.id);
        let beginnings: Vec<&Transition> = definition
            .transitions
            .iter()
            .filter(|transition| Some(transition.from) == start)
            .collect();
        if beginnings.len() != 1 || beginnings[0].condition.is_some() {
            self.say("exactly one transition without a condition must lead from START".into());
        }
        if !definition
            .submit_node()
            .is_some_and(|node| node.kind == NodeKind::Manual)
        {
            self.say("START must lead to a NORMAL node, where the ticket is submitted".into());
        }
    }

    /// Everything can be reached, everything reaches the end, and nothing goes round without a person.
    fn ways(&mut self) {
        let definition = self.definition;
        let ends = |kind| {
            definition
                .nodes
                .iter()
                .filter(|node: &&Node| node.kind == kind)
                .map(|node| node.id)
                .collect::<Vec<_>>()
        };
        let (from_start, to_end) = (
            reachable(definition, &ends(NodeKind::Start), forward),
            reachable(definition, &ends(NodeKind::End), backward),
        );
        for node in &definition.nodes {
            let name = self.name(node.id);
            if !from_start.contains(&node.id) {
                self.say(format!("node {name} cannot be reached"));
            }
            if !to_end.contains(&node.id) {
                self.say(format!("no way leads from node {name} to END"));
            }
        }
        let machines = Definition {
            transitions: definition
                .transitions
                .iter()
                .filter(|transition| {
                    [transition.from, transition.to].iter().all(|id| {
                        definition
                            .node(*id)
                            .is_some_and(|node| !node.kind.is_for_people())
                    })
                })
                .cloned()
                .collect(),
            ..Definition::default()
        };
        for transition in &machines.transitions {
            if reachable(&machines, &[transition.to], forward).contains(&transition.from) {
                let name = self.name(transition.from);
                self.say(format!(
                    "transition {} from node {name} closes a loop in which nobody acts",
                    transition.id
                ));
            }
        }
    }

    fn nodes(&mut self) {
        let submit = self.definition.submit_node().map(|node| node.id);
        for node in &self.definition.nodes {
            let name = self.name(node.id);
            let mut keys = BTreeSet::new();
            for key in &node.fields {
                if self.definition.field_at(node.id, key).is_none() {
                    self.say(format!(
                        "node {name} asks for field {key}, which does not exist"
                    ));
                }
                if !keys.insert(key) {
                    self.say(format!("node {name} asks for field {key} twice"));
                }
            }
            if node.kind.is_vote()
                && !self
                    .definition
                    .fields_of(node)
                    .any(|field| field.is_approve_result)
            {
                self.say(format!("approval node {name} has no field for its result"));
            }
            if node.kind.is_for_people() && Some(node.id) != submit {
                self.people(node, &name);
            }
            if node.kind.is_automatic() {
                self.automatic(node, &name);
            }
            // One vote ends an or-sign, also if a finish condition is left over.
            let finishes_early =
                node.kind.is_vote() && (node.is_multi || node.kind == NodeKind::Sign);
            if let Some(condition) = node.finish_condition.as_ref().filter(|_| finishes_early) {
                self.answer(
                    Some(condition),
                    &format!("node {name}"),
                    "when it is decided",
                );
                for clause in condition
                    .expressions
                    .iter()
                    .flat_map(|group| &group.expressions)
                {
                    if !COUNTERS.contains(&clause.key.as_str()) {
                        self.say(format!(
                            "the finish condition of node {name} asks for {}, which is no counter",
                            clause.key
                        ));
                    }
                }
            }
        }
        if let Revoke::BeforeNode(node) = self.definition.revoke
            && self.definition.node(node).is_none()
        {
            self.say(format!(
                "withdrawing is allowed until node {node}, which does not exist"
            ));
        }
    }

    /// Somebody can be found for the node.
    fn people(&mut self, node: &Node, name: &str) {
        let handling = if node.kind.is_vote() {
            Handling::Process
        } else {
            node.handling
        };
        let distributed = matches!(
            handling,
            Handling::DistributeThenProcess | Handling::DistributeThenClaim
        );
        if distributed && node.assignors.is_unconfigured() {
            self.say(format!(
                "node {name} is not configured: nobody distributes it"
            ));
        }
        if !distributed && node.processors.is_unconfigured() && !node.is_allow_skip {
            self.say(format!(
                "node {name} is not configured: {} names nobody to handle it",
                node.processors.kind()
            ));
        }
        if !distributed && node.processors == Processors::ByAssignor {
            self.say(format!(
                "node {name} waits for an assignor, but its handling mode has none"
            ));
        }
        for processors in [&node.processors, &node.assignors, &node.delivers] {
            self.processors(node, name, processors);
        }
    }

    fn processors(&mut self, node: &Node, name: &str, processors: &Processors) {
        match processors {
            Processors::Variable(keys) | Processors::VariableLeader(keys) => {
                for key in keys {
                    match self.definition.field(key) {
                        None => self.say(format!("the processors of node {name} stand in field {key}, which does not exist")),
                        Some(field) if !field.kind.names_people() => {
                            self.say(format!("the processors of node {name} stand in field {key}, which names no people"));
                        }
                        Some(_) => {}
                    }
                }
            }
            Processors::NodeLeader(other) => {
                let comes_before =
                    reachable(self.definition, &[*other], forward).contains(&node.id);
                if self.definition.node(*other).is_none() || !comes_before {
                    self.say(format!("node {name} asks for the leader of node {other}, which does not come before it"));
                }
            }
            Processors::Business(_) if !self.definition.is_biz_needed => {
                self.say(format!("node {name} asks for a role in a business, but the workflow is not bound to one"));
            }
            _ => {}
        }
    }

    fn automatic(&mut self, node: &Node, name: &str) {
        // Whoever submits may bring variables for webhooks (`envs`, reference/bk-itsm.md 3.1).
        if let Some(service_task) = node
            .service_task
            .as_deref()
            .filter(|_| node.kind != NodeKind::Webhook)
        {
            let unknown = plan::asks_for(service_task)
                .into_iter()
                .filter(|key| !self.is_known(key));
            let said: Vec<String> = unknown
                .map(|key| format!("the call of node {name} asks for {key}, which does not exist"))
                .collect();
            self.problems.extend(said);
        }
        if let Some(service_task) = node
            .service_task
            .as_deref()
            .filter(|_| node.kind == NodeKind::Webhook)
        {
            let is_name = |key: &String| {
                !key.is_empty()
                    && key
                        .chars()
                        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
            };
            let programs = plan::asks_for(service_task)
                .into_iter()
                .filter(|key| !is_name(key));
            let said: Vec<String> = programs.map(|key| format!("the call of node {name} has the template {key:?}; a template is a name alone")).collect();
            self.problems.extend(said);
        }
        match (node.kind, node.service_task.as_deref()) {
            (_, None) => self.say(format!(
                "node {name} is not configured: it does not say what to call"
            )),
            (NodeKind::Sops, Some(ServiceTask::Task(task))) => {
                if !is_url(&task.url) || task.template_id.is_empty() || task.bk_biz_id.is_empty() {
                    self.say(format!("node {name} is not configured: it needs the platform's URL, a business and a template"));
                }
                if !(1..=POLLS_MAX).contains(&task.polls_max) {
                    self.say(format!(
                        "node {name} asks {} times, 1 to {POLLS_MAX} are allowed",
                        task.polls_max
                    ));
                }
            }
            (NodeKind::Task | NodeKind::Webhook, Some(ServiceTask::Request(request))) => {
                self.request(request, &format!("node {name}"), TIMEOUT_MS_MAX);
                self.answer(
                    request.success.as_ref(),
                    &format!("node {name}"),
                    "when its call succeeded",
                );
                self.answer(
                    request.poll.as_ref().map(|poll| &poll.until),
                    &format!("node {name}"),
                    "until when it asks again",
                );
                if !(1..=ATTEMPTS_MAX).contains(&request.attempts_max) {
                    self.say(format!(
                        "node {name} tries {} times, 1 to {ATTEMPTS_MAX} are allowed",
                        request.attempts_max
                    ));
                }
                if let Some(poll) = &request.poll
                    && !(POLL_MS.contains(&poll.interval_ms)
                        && (1..=POLLS_MAX).contains(&poll.times_max))
                {
                    self.say(format!(
                        "node {name} asks {} times, {} ms apart; 1 to {POLLS_MAX} times and {} to {} ms are allowed",
                        poll.times_max,
                        poll.interval_ms,
                        POLL_MS.start(),
                        POLL_MS.end()
                    ));
                }
            }
            (kind, Some(_)) => self.say(format!(
                "node {name} is a {} node, but says something else to do",
                kind.key()
            )),
        }
        self.processors(node, name, &node.processors);
    }

    /// Says whether a template may ask for a key: a field, what is shown of it, a variable, or what is known of every ticket.
    fn is_known(&self, key: &str) -> bool {
        self.definition
            .field(key.strip_suffix("__display").unwrap_or(key))
            .is_some()
            || super::is_of_the_ticket(key)
            || self.is_left_behind(key)
    }

    /// Says whether a form may hang on a key: a field, a variable, or what a ticket says of itself.
    fn is_comparable(&self, key: &str) -> bool {
        self.definition.field(key).is_some()
            || super::is_comparable_of_the_ticket(key)
            || self.is_left_behind(key)
    }

    fn is_left_behind(&self, key: &str) -> bool {
        let by = |node: &Node| {
            node.outputs.iter().any(|output| output.key == key)
                || output_keys(node).iter().any(|output| output == key)
        };
        self.definition.nodes.iter().any(by)
    }

    /// What must be said of an answer asks for something.
    fn answer(&mut self, condition: Option<&Condition>, whose: &str, what: &str) {
        if condition.is_some_and(|condition| condition::clauses(condition) == 0) {
            self.say(format!("{whose} is not configured: it does not say {what}"));
        }
    }

    /// A call goes where the workflow says, by a method there is, and not for ever.
    fn request(&mut self, request: &Request, whose: &str, timeout_ms_max: i64) {
        if let Some(problem) = host_problem(&request.url, &request.system) {
            self.say(format!("{whose} is not configured: {problem}"));
        }
        if !request.credentials.is_empty() && request.secret.is_empty() {
            let kind = &request.credentials;
            self.say(format!("{whose} is not configured: its call needs credentials ({kind}); name a secret of the key store that holds them"));
        }
        if !matches!(
            request.method.as_str(),
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD"
        ) {
            self.say(format!(
                "{whose} calls by {:?}, which is no method",
                request.method
            ));
        }
        if !(1..=timeout_ms_max).contains(&request.timeout_ms) {
            self.say(format!(
                "{whose} waits {} ms for an answer, 1 to {timeout_ms_max} are allowed",
                request.timeout_ms
            ));
        }
    }

    /// Lines ask for what is there when they are tested, and one of them always holds.
    fn conditions(&mut self) {
        let mut providers: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        for node in &self.definition.nodes {
            let keys = node
                .fields
                .iter()
                .cloned()
                .chain(node.outputs.iter().map(|output| output.key.clone()))
                .chain(output_keys(node));
            keys.for_each(|key| providers.entry(key).or_default().push(node.id));
        }
        for transition in &self.definition.transitions {
            let Some(condition) = &transition.condition else {
                continue;
            };
            let clauses = condition::clauses(condition);
            if clauses > condition::CLAUSES_MAX {
                self.say(format!(
                    "transition {} has {clauses} clauses, at most {} are allowed",
                    transition.id,
                    condition::CLAUSES_MAX
                ));
            }
            if clauses == 0 {
                self.say(format!(
                    "transition {} has a condition that asks for nothing",
                    transition.id
                ));
            }
            let before = reachable(self.definition, &[transition.from], backward);
            for clause in condition
                .expressions
                .iter()
                .flat_map(|group| &group.expressions)
            {
                let key = clause.key.as_str();
                match providers.get(key) {
                    None if super::is_comparable_of_the_ticket(key) => {}
                    Some(nodes) if nodes.iter().any(|node| before.contains(node)) => {}
                    Some(nodes) => {
                        let later = self.name(nodes[0]);
                        self.say(format!("transition {} asks for {key}, which only the later node {later} fills in", transition.id));
                    }
                    // A field of the ticket that no form asks for can still be set.
                    None if self.definition.field(key).is_some() => {}
                    None => self.say(format!(
                        "transition {} asks for {key}, which does not exist",
                        transition.id
                    )),
                }
            }
        }
        let (definition, mut left) = (self.definition, TRIES_MAX);
        for node in definition
            .nodes
            .iter()
            .filter(|node| !definition.transitions_from(node.id).is_empty())
        {
            let case = open_case(
                definition,
                node.id,
                &definition.transitions_from(node.id),
                &mut left,
            );
            self.open_cases.extend(case.map(|case| (node.id, case)));
        }
    }

    /// Options that another system supplies depend only on fields that are there, and on nobody's name.
    fn source(&mut self, field: &Field, source: &Source) {
        if !matches!(field.source_type.as_str(), "API" | "CUSTOM_API") {
            self.say(format!(
                "field {} says what supplies its options, but its source is {:?}",
                field.key, field.source_type
            ));
        }
        self.request(
            &source.request,
            &format!("the source of field {}", field.key),
            OPTIONS_MS_MAX,
        );
        for key in options::depends_on(source) {
            match self.definition.field(&key) {
                None => self.say(format!(
                    "the options of field {} depend on {key}, which does not exist",
                    field.key
                )),
                Some(other) if other.kind.names_people() => self.say(format!(
                    "the options of field {} depend on {key}, which names people",
                    field.key
                )),
                Some(other) if other.key == field.key => {
                    self.say(format!("the options of field {key} depend on itself"));
                }
                Some(_) => {}
            }
        }
    }

    fn fields(&mut self) {
        let mut seen = BTreeSet::new();
        for field in &self.definition.fields {
            if !seen.insert((field.node, field.key.as_str())) {
                self.say(format!("there are two fields {}", field.key));
            }
            self.problems.extend(field_problems(field));
            if field.source_type == "DATADICT" && field.source_uri.is_empty() {
                self.say(format!(
                    "field {} is not configured: it does not name the dictionary of its options",
                    field.key
                ));
            }
            if let Some(source) = &field.source {
                self.source(field, source);
            }
            for clause in field
                .hidden_when
                .iter()
                .flat_map(|group| &group.expressions)
            {
                if !self.is_comparable(&clause.key) {
                    self.say(format!(
                        "field {} is hidden by {}, which does not exist",
                        field.key, clause.key
                    ));
                }
            }
            for beside in field.rule.iter().flat_map(|rule| &rule.expressions) {
                if let Other::Field { key } = &beside.other
                    && !self.is_comparable(key)
                {
                    self.say(format!(
                        "field {} is compared with {key}, which does not exist",
                        field.key
                    ));
                }
            }
        }
    }
}

/// What is wrong with a field by itself, whatever workflow it stands in.
pub fn field_problems(field: &Field) -> Vec<String> {
    let mut problems = Vec::new();
    if field.regex == "CUSTOM"
        && !field.custom_regex.is_empty()
        && condition::pattern(&field.custom_regex).is_none()
    {
        problems.push(format!(
            "the custom rule of field {} is not a valid pattern",
            field.key
        ));
    }
    // Options that were left over in a field which offers none mean nothing.
    let offers = matches!(
        field.kind,
        FieldKind::Select
            | FieldKind::Radio
            | FieldKind::InputSelect
            | FieldKind::MultiSelect
            | FieldKind::Checkbox
            | FieldKind::TreeSelect
            | FieldKind::Cascade
    );
    if offers && let Some(option) = options::with_comma(&field.choice) {
        problems.push(format!("field {} has the option {option:?}, whose key has a comma; commas separate options that are chosen together", field.key));
    }
    let columns = field
        .meta
        .get("columns")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for column in columns
        .filter(|column| matches!(column["display"].as_str(), Some("select" | "multiselect")))
    {
        let keys = column["choice"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|choice| plain(&choice["key"]));
        let said = keys.filter(|key| key.contains(',')).map(|option| {
            let name = plain(&column["key"]);
            format!("column {name} of field {} has the option {option:?}, whose key has a comma; commas separate options that are chosen together", field.key)
        });
        problems.extend(said);
    }
    if !field.templates.is_empty() && field.kind != FieldKind::File {
        problems.push(format!(
            "field {} hands out files, but takes none",
            field.key
        ));
    }
    problems
}

fn is_url(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// The problem with the host of a URL, in words; `None` where the URL names a host. `system` is the original's name of a system that knows the host.
pub fn host_problem(url: &str, system: &str) -> Option<String> {
    const FROM_A_FORM: &str = "its host must be in the workflow, not in a form";
    let is_template = |text: &str| text.contains("${") || text.contains("{{");
    if !is_url(url) {
        let system = if system.is_empty() {
            String::new()
        } else {
            format!(" (system {system})")
        };
        return Some(if url.starts_with("${") || url.starts_with("{{") {
            FROM_A_FORM.into()
        } else if url.starts_with('/') || !system.is_empty() {
            format!("the host of {url} is unknown{system}; write the whole URL")
        } else {
            "its URL begins neither with http:// nor with https://".into()
        });
    }
    // What is between the slashes must be a host as it is: other readers of addresses pass over slashes, blanks and backslashes.
    let authority = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .unwrap_or_default();
    let is_host = !authority.is_empty()
        && authority
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte));
    if is_host && !url.contains(['\\', '\t', '\n', '\r']) {
        return None;
    }
    Some(if is_template(authority) {
        FROM_A_FORM.into()
    } else {
        "it does not name a host, or takes whom to call from what people fill in".into()
    })
}

//! Checks a workflow before its deployment. The text of each problem contains the name of the node,
//! transition or field that has the problem.

use std::collections::{BTreeMap, BTreeSet};

use events::NodeId;
use events::workflow::service_task::{Request, ServiceTask, Source};
use events::workflow::{
    Condition, Definition, Field, FieldKind, Handling, Node, NodeKind, Other, Processors, Revoke,
    Transition,
};
use serde_json::Value;

use super::coverage::{TRIES_MAX, open_case};
use super::output_keys;
use super::{named, parallel_regions::parallel_regions};
use crate::api_call::plan;
use crate::value::plain;
use crate::{condition, options};

/// Maximum number of nodes in one workflow. The largest known real workflow contains 12 nodes.
pub const NODES_MAX: usize = 500;
/// Maximum number of transitions (connections from node to node) in one workflow.
pub const LINES_MAX: usize = 2000;
/// Maximum number of fields in one workflow. The largest known real workflow contains 24 fields.
pub const FIELDS_MAX: usize = 1000;
/// Maximum timeout in milliseconds for one request that the desk sends. The program part that sends the
/// request stops a request only after a longer time.
pub const TIMEOUT_MS_MAX: i64 = 20_000;
/// Maximum timeout in milliseconds for a request that reads the options of a field. The timeout is short,
/// because a person waits for the options.
pub const OPTIONS_MS_MAX: i64 = 10_000;
/// Minimum and maximum pause between two polls, in milliseconds. A poll is a request that reads the progress
/// of work in another system.
pub const POLL_MS: std::ops::RangeInclusive<i64> = 1_000..=86_400_000;
/// Maximum number of polls in one API call. A poll is a request that reads the progress of work in another
/// system.
pub const POLLS_MAX: u32 = 100_000;
/// Maximum time limit of a mission (work for a robot), in minutes. The maximum is one week. If no robot
/// begins the work within the time limit of the mission, a person gets the work.
const EXPIRES_AFTER_MIN_MAX: u32 = 10_080;
/// Maximum number of attempts that a workflow may allow for one request.
pub const ATTEMPTS_MAX: u32 = 16;
/// The codes of the vote counters that a finish condition may use. A finish condition ends a countersign (a
/// vote of all processors) early (reference/bk-itsm.md 6).
pub const COUNTERS: [&str; 5] = [
    "PROCESS_COUNT",
    "PASS_COUNT",
    "REJECT_COUNT",
    "PASS_RATE",
    "REJECT_RATE",
];

/// The result of the checks of one workflow: its problems and its open cases. An open case is a combination
/// of values for which a node has no transition with a true condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The problems as English sentences. A workflow with problems cannot be deployed.
    pub problems: Vec<String>,
    /// The nodes that have an open case, each with a description of this case. In an open case, the
    /// conditions of all transitions are false, and the node has no default transition (a transition without
    /// a condition). The ticket then waits for a manager.
    pub open_cases: Vec<(NodeId, String)>,
}

/// Returns all problems of a workflow, including its open cases (cases in which no transition has a true
/// condition). If the list is empty, the workflow can be deployed.
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

/// Returns the problems of a workflow. Open cases (cases in which no transition has a true condition) are in
/// a separate list. The caller may accept open cases in an imported workflow, because BlueKing ITSM also
/// accepts open cases.
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
    // The next checks follow the transitions from node to node. This is possible only if each transition
    // connects two existing nodes.
    if check.problems.is_empty() {
        check.reachability();
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

/// Returns all nodes that can be reached from the nodes in `from`. For each transition, the function `next`
/// returns a start node and a target node. By swapping the two nodes, a caller can search against the
/// direction of the transitions.
pub(super) fn reachable(
    definition: &Definition,
    from: &[NodeId],
    next: impl Fn(&Transition) -> (NodeId, NodeId),
) -> BTreeSet<NodeId> {
    let mut reachability: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for transition in &definition.transitions {
        let (here, there) = next(transition);
        reachability.entry(here).or_default().push(there);
    }
    let mut seen: BTreeSet<NodeId> = from.iter().copied().collect();
    let mut open = from.to_vec();
    while let Some(node) = open.pop() {
        open.extend(
            reachability
                .get(&node)
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
    fn report(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn name(&self, id: NodeId) -> String {
        named(self.definition, id)
    }

    /// Checks that node ids and transition ids are unique.
    fn ids(&mut self) {
        let mut nodes = BTreeSet::new();
        let mut transitions = BTreeSet::new();
        for node in &self.definition.nodes {
            if !nodes.insert(node.id) {
                self.report(format!("there are two nodes {}", node.id));
            }
        }
        for transition in &self.definition.transitions {
            if !transitions.insert(transition.id) {
                self.report(format!("there are two transitions {}", transition.id));
            }
        }
    }

    /// Checks that the workflow has exactly one START and one END, and that each transition connects existing
    /// nodes. Also checks that every node except END has a transition, and that START leads to the submit node
    /// (the node with the form that opens a ticket).
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
                self.report(format!("there must be exactly one {} node", kind.key()));
            }
        }
        let mut pairs = BTreeSet::new();
        for transition in &definition.transitions {
            for end in [transition.from, transition.to] {
                if definition.node(end).is_none() {
                    self.report(format!(
                        "transition {} uses node {end}, which does not exist",
                        transition.id
                    ));
                }
            }
            if definition
                .node(transition.to)
                .is_some_and(|node| node.kind == NodeKind::Start)
            {
                self.report(format!("transition {} goes to START", transition.id));
            }
            if definition
                .node(transition.from)
                .is_some_and(|node| node.kind == NodeKind::End)
            {
                self.report(format!("transition {} starts at END", transition.id));
            }
            if !pairs.insert((transition.from, transition.to)) {
                let (from, to) = (self.name(transition.from), self.name(transition.to));
                self.report(format!(
                    "there are two transitions from node {from} to node {to}"
                ));
            }
        }
        for node in &definition.nodes {
            if node.kind != NodeKind::End && definition.transitions_from(node.id).is_empty() {
                let name = self.name(node.id);
                self.report(format!("node {name} has no outgoing transition"));
            }
        }
        let start = definition
            .nodes
            .iter()
            .find(|node| node.kind == NodeKind::Start)
            .map(|node| node.id);
        let start_transitions: Vec<&Transition> = definition
            .transitions
            .iter()
            .filter(|transition| Some(transition.from) == start)
            .collect();
        if start_transitions.len() != 1 || start_transitions[0].condition.is_some() {
            self.report(
                "START must have exactly one outgoing transition, without a condition".into(),
            );
        }
        if !definition
            .submit_node()
            .is_some_and(|node| node.kind == NodeKind::Manual)
        {
            self.report("the transition of START must go to a NORMAL node, the submit node".into());
        }
    }

    /// Checks that each node can be reached from START, and that END can be reached from each node. Also
    /// checks that each loop contains a node at which people act.
    fn reachability(&mut self) {
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
                self.report(format!("node {name} cannot be reached"));
            }
            if !to_end.contains(&node.id) {
                self.report(format!("END cannot be reached from node {name}"));
            }
        }
        let automatic_part = Definition {
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
        for transition in &automatic_part.transitions {
            if reachable(&automatic_part, &[transition.to], forward).contains(&transition.from) {
                let name = self.name(transition.from);
                self.report(format!(
                    "transition {} from node {name} closes a loop without a node for people",
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
                    self.report(format!(
                        "node {name} uses field {key}, which does not exist"
                    ));
                }
                if !keys.insert(key) {
                    self.report(format!("node {name} uses field {key} twice"));
                }
            }
            if node.kind.is_vote()
                && !self
                    .definition
                    .fields_of(node)
                    .any(|field| field.is_approve_result)
            {
                self.report(format!("approval node {name} has no field for its result"));
            }
            if node.kind.is_for_people() && Some(node.id) != submit {
                self.people(node, &name);
            }
            if node.kind.is_automatic() {
                self.automatic(node, &name);
            }
            // If the first vote decides the node (or-sign), a finish condition (a condition that ends a vote
            // early) has no effect. The workflow can still contain a finish condition from an earlier setting.
            // Such a finish condition is not checked.
            let finishes_early =
                node.kind.is_vote() && (node.is_multi || node.kind == NodeKind::Sign);
            if let Some(condition) = node.finish_condition.as_ref().filter(|_| finishes_early) {
                self.response_condition(
                    Some(condition),
                    &format!("node {name}"),
                    "finish condition",
                );
                for clause in condition
                    .expressions
                    .iter()
                    .flat_map(|group| &group.expressions)
                {
                    if !COUNTERS.contains(&clause.key.as_str()) {
                        self.report(format!(
                            "the finish condition of node {name} uses {}, which is no counter",
                            clause.key
                        ));
                    }
                }
            }
        }
        if let Revoke::BeforeNode(node) = self.definition.revoke
            && self.definition.node(node).is_none()
        {
            self.report(format!(
                "withdrawal is allowed before node {node}, which does not exist"
            ));
        }
    }

    /// Checks that the workflow selects processors (people who process the node) for the node. If the
    /// processors of the node are assigned by other people, the workflow must select these people (the
    /// assignors) instead.
    fn people(&mut self, node: &Node, name: &str) {
        let handling = if node.kind.is_vote() {
            Handling::Process
        } else {
            node.handling
        };
        let is_assigned = matches!(
            handling,
            Handling::DistributeThenProcess | Handling::DistributeThenClaim
        );
        if is_assigned && node.assignors.is_unconfigured() {
            self.report(format!(
                "node {name} is not configured: it has no assignors"
            ));
        }
        if !is_assigned && node.processors.is_unconfigured() && !node.is_allow_skip {
            self.report(format!(
                "node {name} is not configured: {} gives no processors",
                node.processors.kind()
            ));
        }
        if !is_assigned && node.processors == Processors::ByAssignor {
            self.report(format!(
                "node {name} needs an assignor, but its handling mode has none"
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
                        None => self.report(format!("the processors of node {name} come from field {key}, which does not exist")),
                        Some(field) if !field.kind.names_people() => {
                            self.report(format!("the processors of node {name} come from field {key}, which names no people"));
                        }
                        Some(_) => {}
                    }
                }
            }
            Processors::NodeLeader(other) => {
                let comes_before =
                    reachable(self.definition, &[*other], forward).contains(&node.id);
                if self.definition.node(*other).is_none() || !comes_before {
                    self.report(format!(
                        "node {name} uses the leader of node {other}, which is not before it"
                    ));
                }
            }
            Processors::Business(_) if !self.definition.is_biz_needed => {
                self.report(format!("node {name} uses a role of a business, but the workflow is not bound to a business"));
            }
            _ => {}
        }
    }

    fn automatic(&mut self, node: &Node, name: &str) {
        // The keys in placeholders of webhooks are not checked. A client app may send further variables when
        // it opens a ticket (`envs`, reference/bk-itsm.md 3.1). A webhook may therefore use keys that the
        // workflow does not define.
        if let Some(service_task) = node
            .service_task
            .as_deref()
            .filter(|_| node.kind != NodeKind::Webhook)
        {
            let unknown = plan::asks_for(service_task)
                .into_iter()
                .filter(|key| !self.is_known(key));
            let messages: Vec<String> = unknown
                .map(|key| format!("the API call of node {name} uses {key}, which does not exist"))
                .collect();
            self.problems.extend(messages);
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
            let expressions = plan::asks_for(service_task)
                .into_iter()
                .filter(|key| !is_name(key));
            let messages: Vec<String> = expressions.map(|key| format!("the API call of node {name} has the placeholder {key:?}; a placeholder must be a single name")).collect();
            self.problems.extend(messages);
        }
        match (node.kind, node.service_task.as_deref()) {
            (_, None) => self.report(format!(
                "node {name} is not configured: it has no service task"
            )),
            (NodeKind::Sops, Some(ServiceTask::Task(task))) => {
                if !is_url(&task.url) || task.template_id.is_empty() || task.bk_biz_id.is_empty() {
                    self.report(format!("node {name} is not configured: it needs the URL of BlueKing SOPS, a business and a template"));
                }
                if !(1..=POLLS_MAX).contains(&task.polls_max) {
                    self.report(format!(
                        "node {name} polls {} times; 1 to {POLLS_MAX} are allowed",
                        task.polls_max
                    ));
                }
            }
            (NodeKind::Task, Some(ServiceTask::Application(application))) => {
                if application.kind.trim().is_empty() {
                    self.report(format!(
                        "node {name} is not configured: it needs the kind of its application"
                    ));
                }
            }
            (NodeKind::Task, Some(ServiceTask::Mission(mission))) => {
                for (member, value) in [
                    ("task_type", &mission.task_type),
                    ("site", &mission.site),
                    ("station", &mission.station),
                ] {
                    if value.trim().is_empty() {
                        self.report(format!(
                            "node {name} is not configured: its mission needs `{member}`"
                        ));
                    }
                }
                if !(1..=EXPIRES_AFTER_MIN_MAX).contains(&mission.expires_after_min) {
                    self.report(format!(
                        "node {name}: `expires_after_min` must be 1 to {EXPIRES_AFTER_MIN_MAX}"
                    ));
                }
            }
            (NodeKind::Task | NodeKind::Webhook, Some(ServiceTask::Request(request))) => {
                self.request(request, &format!("node {name}"), TIMEOUT_MS_MAX);
                self.response_condition(
                    request.success.as_ref(),
                    &format!("node {name}"),
                    "success condition",
                );
                self.response_condition(
                    request.poll.as_ref().map(|poll| &poll.until),
                    &format!("node {name}"),
                    "condition that ends polling",
                );
                if !(1..=ATTEMPTS_MAX).contains(&request.attempts_max) {
                    self.report(format!(
                        "node {name} has {} attempts; 1 to {ATTEMPTS_MAX} are allowed",
                        request.attempts_max
                    ));
                }
                if let Some(poll) = &request.poll
                    && !(POLL_MS.contains(&poll.interval_ms)
                        && (1..=POLLS_MAX).contains(&poll.times_max))
                {
                    self.report(format!(
                        "node {name} polls {} times, every {} ms; 1 to {POLLS_MAX} times and {} to {} ms are allowed",
                        poll.times_max,
                        poll.interval_ms,
                        POLL_MS.start(),
                        POLL_MS.end()
                    ));
                }
            }
            (kind, Some(_)) => self.report(format!(
                "node {name} is a {} node, but has a service task of another kind",
                kind.key()
            )),
        }
        self.processors(node, name, &node.processors);
    }

    /// Returns true if a placeholder (such as `${key}`) may use this key. Placeholders may use fields, the
    /// display texts of fields, output variables, and attributes of the ticket.
    fn is_known(&self, key: &str) -> bool {
        self.definition
            .field(key.strip_suffix("__display").unwrap_or(key))
            .is_some()
            || super::is_of_the_ticket(key)
            || self.is_output(key)
    }

    /// Returns true if conditions and comparison rules of a field may use this key. The key can be a field,
    /// an output variable, or an attribute that is stored in the ticket.
    fn is_comparable(&self, key: &str) -> bool {
        self.definition.field(key).is_some()
            || super::is_comparable_of_the_ticket(key)
            || self.is_output(key)
    }

    fn is_output(&self, key: &str) -> bool {
        let by = |node: &Node| {
            node.outputs.iter().any(|output| output.key == key)
                || output_keys(node).iter().any(|output| output == key)
        };
        self.definition.nodes.iter().any(by)
    }

    /// Reports a problem if a condition is given but contains no clause (comparison). The text of the problem
    /// contains `owner` (for example the node) and `what` (the kind of the condition).
    fn response_condition(&mut self, condition: Option<&Condition>, owner: &str, what: &str) {
        if condition.is_some_and(|condition| condition::clauses(condition) == 0) {
            self.report(format!("{owner} is not configured: it has no {what}"));
        }
    }

    /// Checks that a request has a fixed host, a supported HTTP method and an allowed timeout. If the request
    /// needs credentials, the workflow must contain the name of a secret with these credentials.
    fn request(&mut self, request: &Request, owner: &str, timeout_ms_max: i64) {
        if let Some(problem) = host_problem(&request.url, &request.system) {
            self.report(format!("{owner} is not configured: {problem}"));
        }
        if !request.credentials.is_empty() && request.secret.is_empty() {
            let kind = &request.credentials;
            self.report(format!("{owner} is not configured: its call needs credentials ({kind}); name a secret of the key store with them"));
        }
        if !matches!(
            request.method.as_str(),
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD"
        ) {
            self.report(format!(
                "{owner} uses the unknown HTTP method {:?}",
                request.method
            ));
        }
        if !(1..=timeout_ms_max).contains(&request.timeout_ms) {
            self.report(format!(
                "{owner} has a timeout of {} ms; 1 to {timeout_ms_max} are allowed",
                request.timeout_ms
            ));
        }
    }

    /// Checks that each transition condition uses only values that earlier nodes or the ticket can set. Also
    /// collects the open cases of the nodes. In an open case, all conditions are false, so the ticket cannot
    /// leave the node.
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
                self.report(format!(
                    "transition {} has {clauses} clauses, at most {} are allowed",
                    transition.id,
                    condition::CLAUSES_MAX
                ));
            }
            if clauses == 0 {
                self.report(format!(
                    "the condition of transition {} has no clause",
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
                        let later_node = self.name(nodes[0]);
                        self.report(format!("transition {} uses {key}, which is set only at the later node {later_node}", transition.id));
                    }
                    // No form contains this field. A condition may still use the field, because other
                    // commands can set the value of the field.
                    None if self.definition.field(key).is_some() => {}
                    None => self.report(format!(
                        "transition {} uses {key}, which does not exist",
                        transition.id
                    )),
                }
            }
        }
        let (definition, mut tries_left) = (self.definition, TRIES_MAX);
        for node in definition
            .nodes
            .iter()
            .filter(|node| !definition.transitions_from(node.id).is_empty())
        {
            let case = open_case(
                definition,
                node.id,
                &definition.transitions_from(node.id),
                &mut tries_left,
            );
            self.open_cases.extend(case.map(|case| (node.id, case)));
        }
    }

    /// Checks the request that reads the options of a field from an external system. The request may use only
    /// existing fields, but neither fields with people nor the field itself.
    fn source(&mut self, field: &Field, source: &Source) {
        if !matches!(field.source_type.as_str(), "API" | "CUSTOM_API") {
            self.report(format!(
                "field {} has an external source of options, but its source type is {:?}",
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
                None => self.report(format!(
                    "the options of field {} depend on {key}, which does not exist",
                    field.key
                )),
                Some(other) if other.kind.names_people() => self.report(format!(
                    "the options of field {} depend on {key}, which names people",
                    field.key
                )),
                Some(other) if other.key == field.key => {
                    self.report(format!("the options of field {key} depend on itself"));
                }
                Some(_) => {}
            }
        }
    }

    fn fields(&mut self) {
        let mut seen = BTreeSet::new();
        for field in &self.definition.fields {
            if !seen.insert((field.node, field.key.as_str())) {
                self.report(format!("there are two fields {}", field.key));
            }
            self.problems.extend(field_problems(field));
            if field.source_type == "DATADICT" && field.source_uri.is_empty() {
                self.report(format!(
                    "field {} is not configured: it needs the dictionary of its options",
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
                    self.report(format!(
                        "field {} is hidden by {}, which does not exist",
                        field.key, clause.key
                    ));
                }
            }
            for comparison in field.rule.iter().flat_map(|rule| &rule.expressions) {
                if let Other::Field { key } = &comparison.other
                    && !self.is_comparable(key)
                {
                    self.report(format!(
                        "field {} is compared with {key}, which does not exist",
                        field.key
                    ));
                }
            }
        }
    }
}

/// Returns the problems of a single field. The rest of the workflow is not needed for these checks.
pub fn field_problems(field: &Field) -> Vec<String> {
    let mut problems = Vec::new();
    if field.regex == "CUSTOM"
        && !field.custom_regex.is_empty()
        && condition::pattern(&field.custom_regex).is_none()
    {
        problems.push(format!(
            "the custom pattern of field {} is not a valid regular expression",
            field.key
        ));
    }
    // Only fields of the listed kinds have options. If the kind of a field was changed, the field can still
    // contain old options. The old options have no effect.
    let has_options = matches!(
        field.kind,
        FieldKind::Select
            | FieldKind::Radio
            | FieldKind::InputSelect
            | FieldKind::MultiSelect
            | FieldKind::Checkbox
            | FieldKind::TreeSelect
            | FieldKind::Cascade
    );
    if has_options && let Some(option) = options::with_comma(&field.choice) {
        problems.push(format!("field {} has the option {option:?}, whose key has a comma; commas separate selected options", field.key));
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
        let messages = keys.filter(|key| key.contains(',')).map(|option| {
            let name = plain(&column["key"]);
            format!("column {name} of field {} has the option {option:?}, whose key has a comma; commas separate selected options", field.key)
        });
        problems.extend(messages);
    }
    if !field.templates.is_empty() && field.kind != FieldKind::File {
        problems.push(format!(
            "field {} has template files, but is not a file field",
            field.key
        ));
    }
    problems
}

fn is_url(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// Describes the problem with the host in a URL as an English phrase. Returns `None` if the URL contains a
/// fixed host. The parameter `system` is the name of the BlueKing system to which the request belongs. The
/// phrase contains this name if the URL contains no host.
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
            "its URL must begin with http:// or https://".into()
        });
    }
    // Some URL parsers ignore additional slashes, blanks and backslashes. They can therefore find another
    // host in the same URL than this desk. To prevent this, the check accepts only simple characters in a
    // host.
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
        "its URL must name a fixed host".into()
    })
}

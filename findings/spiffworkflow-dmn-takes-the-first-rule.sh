#!/usr/bin/env bash
# SpiffWorkflow: a decision table with COLLECT and SUM gives the list [10, 20] instead of 30, and RULE ORDER gives the first rule only.
#
# Expected: the hit policies of DMN 1.3 (8.2): with UNIQUE only one rule may match, so two are a fault of the table. RULE ORDER returns the
#   outputs of all matching rules as a list. COLLECT returns a list in any order, and with the aggregation SUM, MIN, MAX or COUNT it
#   returns one number. If no rule matches, the result is null.
# Happens: the table knows COLLECT, and every other policy returns the first matching rule, also UNIQUE (the default) and RULE ORDER. The
#   attribute `aggregation` is not read: SUM, MAX and COUNT give the same list. If no rule matches, no name is set, so an older
#   value of the same name stays. Nothing of this gives an error or a warning.
# Where a service desk meets it: a table adds risk points for a change, or chooses a team. "points > 15" raises TypeError for a list, and
#   len() and `in` give a wrong answer without an error. Two rows that overlap by mistake send the ticket to the upper one, and a
#   second evaluation without a match keeps the team of the first.
# What to do: use COLLECT without an aggregation and sum(points) in the next task. Set the name to None before the decision.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SpiffWorkflow==3.2.0 lxml==6.1.3

cat > "$work/table.py" <<'PY'
from importlib.metadata import version
from lxml import etree
from SpiffWorkflow.bpmn import BpmnWorkflow
from SpiffWorkflow.spiff.parser import SpiffBpmnParser

PROCESS = """<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="desk"
    xmlns:spiffworkflow="http://spiffworkflow.org/bpmn/schema/1.0/core">
  <process id="change" isExecutable="true">
    <startEvent id="start"/><sequenceFlow id="a" sourceRef="start" targetRef="decide"/>
    <businessRuleTask id="decide" name="decide"><extensionElements>
      <spiffworkflow:calledDecisionId>risk</spiffworkflow:calledDecisionId>
    </extensionElements></businessRuleTask>
    <sequenceFlow id="b" sourceRef="decide" targetRef="end"/><endEvent id="end"/>
  </process>
</definitions>"""
TABLE = """<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" id="d" name="d" namespace="desk">
  <decision id="risk" name="risk"><decisionTable id="table" {policy}>
    <input id="in" label="hours"><inputExpression id="e" typeRef="number"><text>hours</text></inputExpression></input>
    <output id="out" name="points" typeRef="number"/>
    <rule id="r1"><inputEntry id="i1"><text>&gt; 1</text></inputEntry><outputEntry id="o1"><text>10</text></outputEntry></rule>
    <rule id="r2"><inputEntry id="i2"><text>&gt; 4</text></inputEntry><outputEntry id="o2"><text>20</text></outputEntry></rule>
  </decisionTable></decision>
</definitions>"""


def decide(policy, **data):
    parser = SpiffBpmnParser()
    parser.add_bpmn_xml(etree.fromstring(PROCESS))
    parser.add_dmn_xml(etree.fromstring(TABLE.format(policy=policy)))
    workflow = BpmnWorkflow(parser.get_spec("change"))
    workflow.task_tree.data.update(data)
    workflow.do_engine_steps()
    assert workflow.is_completed()
    return workflow.last_task.data.get("points", "no value")


print(f"SpiffWorkflow {version('SpiffWorkflow')}")
print("points for 8 hours (both rules match); for 2 hours (the first matches); for 0 hours (none matches), with older points 20")
for policy in [
    "",
    'hitPolicy="UNIQUE"',
    'hitPolicy="RULE ORDER"',
    'hitPolicy="COLLECT"',
    'hitPolicy="COLLECT" aggregation="SUM"',
    'hitPolicy="COLLECT" aggregation="MAX"',
    'hitPolicy="COLLECT" aggregation="COUNT"',
]:
    print(f"{policy or 'no hitPolicy'}: {decide(policy, hours=8)}; {decide(policy, hours=2)}; {decide(policy, hours=0, points=20)}")
PY
"$work/venv/bin/python" "$work/table.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
SpiffWorkflow 3.2.0
points for 8 hours (both rules match); for 2 hours (the first matches); for 0 hours (none matches), with older points 20
no hitPolicy: 10; 10; 20
hitPolicy="UNIQUE": 10; 10; 20
hitPolicy="RULE ORDER": 10; 10; 20
hitPolicy="COLLECT": [10, 20]; [10]; 20
hitPolicy="COLLECT" aggregation="SUM": [10, 20]; [10]; 20
hitPolicy="COLLECT" aggregation="MAX": [10, 20]; [10]; 20
hitPolicy="COLLECT" aggregation="COUNT": [10, 20]; [10]; 20
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }

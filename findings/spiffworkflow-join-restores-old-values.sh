#!/usr/bin/env bash
# SpiffWorkflow: an approval in one parallel branch is undone at the join if another branch, which did not touch it, ends later.
#
# Expected: a parallel gateway joins two branches. Each value that one of them changed is in the data after the join. A branch that did not
#   change a value does not affect it.
# Happens: each branch has its own copy of all data, and the join merges the whole copies in the order in which the branches ended. The old
#   values of the last branch replace the new values of the others, also in nested objects, and its lists replace their lists. Only
#   names that did not exist before the fork are kept from all branches. The workflow completes without an error.
# Where a service desk meets it: a change waits for an approval and for the delivery of parts at the same time. The approval is given first,
#   so after the delivery the change is not approved. In a test in which the delivery ends first, it is.
# What to do: each branch writes only names that did not exist before the fork, one name per branch. A task after the join combines them.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SpiffWorkflow==3.2.0

cat > "$work/change.bpmn" <<'XML'
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="definitions" targetNamespace="https://desk.example">
  <process id="change" isExecutable="true">
    <startEvent id="start" />
    <sequenceFlow id="f1" sourceRef="start" targetRef="fork" />
    <parallelGateway id="fork" />
    <sequenceFlow id="f2" sourceRef="fork" targetRef="approval" />
    <sequenceFlow id="f3" sourceRef="fork" targetRef="delivery" />
    <manualTask id="approval" />
    <manualTask id="delivery" />
    <sequenceFlow id="f4" sourceRef="approval" targetRef="join" />
    <sequenceFlow id="f5" sourceRef="delivery" targetRef="join" />
    <parallelGateway id="join" />
    <sequenceFlow id="f6" sourceRef="join" targetRef="end" />
    <endEvent id="end" />
  </process>
</definitions>
XML
cat > "$work/run.py" <<'PY'
import json
import sys
from importlib.metadata import version
from SpiffWorkflow.bpmn.parser.BpmnParser import BpmnParser
from SpiffWorkflow.bpmn.workflow import BpmnWorkflow
from SpiffWorkflow.util.task import TaskState


def approval(data):
    data["approved"] = True
    data["ticket"]["state"] = "approved"
    data["notes"].append("approved")
    data["approved_by"] = "lisi"


def delivery(data):
    data["ticket"]["store"] = "B"
    data["notes"].append("delivered")
    data["delivered"] = True


def run(order):
    parser = BpmnParser()
    parser.add_bpmn_file(sys.argv[1])
    workflow = BpmnWorkflow(parser.get_spec("change"))
    first = workflow.get_next_task(state=TaskState.READY)
    first.data.update({"approved": False, "ticket": {"state": "new", "store": "A"}, "notes": []})
    workflow.do_engine_steps()
    tasks = {task.task_spec.bpmn_id: task for task in workflow.get_tasks(state=TaskState.READY)}
    for step in order:
        step(tasks[step.__name__].data)
        tasks[step.__name__].run()
        workflow.do_engine_steps()
    print(f"{' before '.join(step.__name__ for step in order)}, completed: {workflow.is_completed()}")
    print(f"  {json.dumps(workflow.last_task.data, sort_keys=True)}")


print(f"SpiffWorkflow {version('SpiffWorkflow')}")
run([approval, delivery])
run([delivery, approval])
PY
"$work/venv/bin/python" "$work/run.py" "$work/change.bpmn" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
SpiffWorkflow 3.2.0
approval before delivery, completed: True
  {"approved": false, "approved_by": "lisi", "delivered": true, "notes": ["delivered"], "ticket": {"state": "new", "store": "B"}}
delivery before approval, completed: True
  {"approved": true, "approved_by": "lisi", "delivered": true, "notes": ["approved"], "ticket": {"state": "approved", "store": "A"}}
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }

#!/usr/bin/env bash
# adaptivecards (npm) drops a number where a card expects a text: the fact "Priority: 1" becomes "Priority:", and a verb 42 no verb.
#
# Expected: a value of the wrong JSON type gives an event in the SerializationContext, as an unknown enum value does, or it is converted, as
#   the text "true" is converted to true for `wrap`.
# Happens: each text property takes a JSON string only. A number or a boolean becomes "absent", without an event, and validateProperties()
#   reports nothing for an optional property. toJSON() has no such member either. The conversion exists in the other direction only.
# Where a service desk meets it: a program builds a card from the fields of a ticket and forgets one conversion. Priorities, counts and
#   numbers of tickets are missing in the message, and a button sends its data without the verb that selects the action.
# What to do: convert each value of a card to a text before it is written, and compare toJSON() with the input in a test.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" adaptivecards@3.0.6

cat > "$work/numbers.cjs" <<'JS'
const { AdaptiveCard, SerializationContext } = require("./node_modules/adaptivecards/dist/adaptivecards.js");
const { version } = require("./node_modules/adaptivecards/package.json");

console.log(`adaptivecards ${version}`);
const element = (value) => ({ type: "AdaptiveCard", version: "1.5", body: [value] });
const action = (value) => ({ type: "AdaptiveCard", version: "1.5", actions: [value] });
for (const input of [
  element({ type: "FactSet", facts: [{ title: "Priority", value: "1" }] }),
  element({ type: "FactSet", facts: [{ title: "Priority", value: 1 }] }),
  element({ type: "TextBlock", text: 42 }),
  element({ type: "Input.Text", id: "count", value: 5 }),
  element({ type: "TextBlock", text: "x", wrap: "true" }),
  element({ type: "TextBlock", text: "x", size: "huge" }),
  action({ type: "Action.Execute", title: "Claim", data: { ticket: 7 }, verb: "42" }),
  action({ type: "Action.Execute", title: "Claim", data: { ticket: 7 }, verb: 42 }),
]) {
  const context = new SerializationContext();
  const card = new AdaptiveCard();
  card.parse(input, context);
  const { body = [], actions = [] } = card.toJSON();
  const given = JSON.stringify([...(input.body ?? []), ...(input.actions ?? [])][0]);
  const kept = JSON.stringify([...body, ...actions][0]);
  const problems = context.eventCount + card.validateProperties().validationEvents.length;
  console.log(`${given}\n  ${given === kept ? "unchanged" : kept}, problems: ${problems}`);
}
JS
node "$work/numbers.cjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
adaptivecards 3.0.6
{"type":"FactSet","facts":[{"title":"Priority","value":"1"}]}
  unchanged, problems: 0
{"type":"FactSet","facts":[{"title":"Priority","value":1}]}
  {"type":"FactSet","facts":[{"title":"Priority"}]}, problems: 0
{"type":"TextBlock","text":42}
  {"type":"TextBlock"}, problems: 0
{"type":"Input.Text","id":"count","value":5}
  {"type":"Input.Text","id":"count"}, problems: 0
{"type":"TextBlock","text":"x","wrap":"true"}
  {"type":"TextBlock","text":"x","wrap":true}, problems: 0
{"type":"TextBlock","text":"x","size":"huge"}
  {"type":"TextBlock","text":"x"}, problems: 1
{"type":"Action.Execute","title":"Claim","data":{"ticket":7},"verb":"42"}
  unchanged, problems: 0
{"type":"Action.Execute","title":"Claim","data":{"ticket":7},"verb":42}
  {"type":"Action.Execute","title":"Claim","data":{"ticket":7}}, problems: 0
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }

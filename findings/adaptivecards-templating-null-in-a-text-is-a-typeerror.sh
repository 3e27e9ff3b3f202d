#!/usr/bin/env bash
# adaptivecards-templating (npm) raises TypeError for "Assignee: ${assignee}" if assignee is null, and shows the placeholder if it is missing.
#
# Expected: null and a missing member are treated alike, for example as an empty text, as string() of the same language does, or as an
#   error that names the expression. coalesce() gives its second value for both.
# Happens: a text that is only "${assignee}" becomes null. With any character beside it, null ends expand() with "Cannot read properties of
#   null (reading 'toString')", which names neither the expression nor the element, and there is no card. A missing member leaves
#   "${assignee}" in the card, without an error, even inside of coalesce(). And a missing list of `$data` gives one row of
#   placeholders, not zero rows.
# Where a service desk meets it: a JSON API gives null for an assignee, a due time or a service that is not set. The template works with
#   each test ticket that has all values, and then the notification of a new ticket without an assignee is never sent.
# What to do: write ${if(assignee, assignee, '-')} in each text, and give each list of the data a default: [].
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" adaptivecards-templating@2.3.1 adaptive-expressions@4.23.3

cat > "$work/expand.cjs" <<'JS'
const { Template } = require("adaptivecards-templating");

const version = (name) => require(`./node_modules/${name}/package.json`).version;
console.log(`adaptivecards-templating ${version("adaptivecards-templating")}, adaptive-expressions ${version("adaptive-expressions")}`);
const show = (template, data) => {
  let result;
  try {
    result = JSON.stringify(new Template(template).expand({ $root: data }));
  } catch (error) {
    result = `${error.name}: ${error.message}`;
  }
  console.log(`${JSON.stringify(template)} with ${JSON.stringify(data)}\n  ${result}`);
};
for (const text of ["${assignee}", "Assignee: ${assignee}", "Assignee: ${coalesce(assignee, '-')}", "Assignee: ${if(assignee, assignee, '-')}"]) {
  for (const data of [{ assignee: "lisi" }, { assignee: null }, {}]) {
    show({ type: "TextBlock", text }, data);
  }
}
const rows = { items: [{ $data: "${tasks}", type: "TextBlock", text: "Task: ${title}" }] };
for (const data of [{ tasks: [{ title: "call" }] }, { tasks: [] }, {}]) show(rows, data);
JS
node "$work/expand.cjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
adaptivecards-templating 2.3.1, adaptive-expressions 4.23.3
{"type":"TextBlock","text":"${assignee}"} with {"assignee":"lisi"}
  {"type":"TextBlock","text":"lisi"}
{"type":"TextBlock","text":"${assignee}"} with {"assignee":null}
  {"type":"TextBlock","text":null}
{"type":"TextBlock","text":"${assignee}"} with {}
  {"type":"TextBlock","text":"${assignee}"}
{"type":"TextBlock","text":"Assignee: ${assignee}"} with {"assignee":"lisi"}
  {"type":"TextBlock","text":"Assignee: lisi"}
{"type":"TextBlock","text":"Assignee: ${assignee}"} with {"assignee":null}
  TypeError: Cannot read properties of null (reading 'toString')
{"type":"TextBlock","text":"Assignee: ${assignee}"} with {}
  {"type":"TextBlock","text":"Assignee: ${assignee}"}
{"type":"TextBlock","text":"Assignee: ${coalesce(assignee, '-')}"} with {"assignee":"lisi"}
  {"type":"TextBlock","text":"Assignee: lisi"}
{"type":"TextBlock","text":"Assignee: ${coalesce(assignee, '-')}"} with {"assignee":null}
  {"type":"TextBlock","text":"Assignee: -"}
{"type":"TextBlock","text":"Assignee: ${coalesce(assignee, '-')}"} with {}
  {"type":"TextBlock","text":"Assignee: ${assignee}"}
{"type":"TextBlock","text":"Assignee: ${if(assignee, assignee, '-')}"} with {"assignee":"lisi"}
  {"type":"TextBlock","text":"Assignee: lisi"}
{"type":"TextBlock","text":"Assignee: ${if(assignee, assignee, '-')}"} with {"assignee":null}
  {"type":"TextBlock","text":"Assignee: -"}
{"type":"TextBlock","text":"Assignee: ${if(assignee, assignee, '-')}"} with {}
  {"type":"TextBlock","text":"Assignee: -"}
{"items":[{"$data":"${tasks}","type":"TextBlock","text":"Task: ${title}"}]} with {"tasks":[{"title":"call"}]}
  {"items":[{"type":"TextBlock","text":"Task: call"}]}
{"items":[{"$data":"${tasks}","type":"TextBlock","text":"Task: ${title}"}]} with {"tasks":[]}
  {"items":[]}
{"items":[{"$data":"${tasks}","type":"TextBlock","text":"Task: ${title}"}]} with {}
  {"items":[{"type":"TextBlock","text":"Task: ${title}"}]}
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }

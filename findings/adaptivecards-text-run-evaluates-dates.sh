#!/usr/bin/env bash
# adaptivecards (npm) replaces {{DATE(...)}} and {{TIME(...)}} in a TextRun, the element that shows its text without Markdown.
#
# Expected: the document describes Markdown and the two functions as features of TextBlock, and advises a RichTextBlock for text without
#   Markdown. A text in a TextRun is therefore shown as it is.
# Happens: Markdown stays as it is in a TextRun, but the two functions are evaluated in the language of the card and in the zone of the
#   viewer. Also plain strings in `inlines` are affected. The title of a button and the value of an input keep the text. There is
#   no escape: any space in the braces keeps the text, and changes it.
# Where a service desk meets it: a ticket about a card contains such a text, for example in a log or a template. A program puts the text of
#   users into TextRuns to show it unchanged, and two viewers read two different texts.
# What to do: put U+200B between the two braces of a text of users. Use the functions on purpose in a TextRun too, because they show each
#   viewer a deadline in the zone of the viewer.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" adaptivecards@3.0.6 jsdom@26.1.0

cat > "$work/dates.cjs" <<'JS'
const { JSDOM } = require("jsdom");

const page = new JSDOM("").window;
Object.assign(globalThis, { window: page, document: page.document });
for (const name of Object.getOwnPropertyNames(page).filter((name) => /^(HTML|Node|Element)/.test(name))) globalThis[name] = page[name];
const { AdaptiveCard } = require("./node_modules/adaptivecards/dist/adaptivecards.js");
const { version } = require("./node_modules/adaptivecards/package.json");

// A host of cards brings its own Markdown processor. This one only marks its input.
AdaptiveCard.onProcessMarkdown = (text, result) => Object.assign(result, { outputHtml: `markdown(${text})`, didProcess: true });
const text = "**due** {{DATE(2026-11-30T20:00:00Z, SHORT)}} {{TIME(2026-11-30T20:00:00Z)}}";
const card = new AdaptiveCard();
card.parse({
  type: "AdaptiveCard",
  version: "1.5",
  lang: "en",
  body: [
    { type: "TextBlock", text },
    { type: "RichTextBlock", inlines: [{ type: "TextRun", text }, text, text.replaceAll("{{", "{\u200b{")] },
    { type: "Input.Text", id: "note", value: text },
  ],
  actions: [{ type: "Action.Submit", title: text }],
});
const root = card.render();
const show = (name, value) => console.log(`  ${name}: ${value.replaceAll("\u200b", "<U+200B>").replaceAll("\u202f", " ")}`);
console.log(`adaptivecards ${version}, TZ=${process.env.TZ}`);
show("TextBlock", root.querySelector(".ac-textBlock").innerHTML);
// jsdom has no layout: innerText is the value that the library assigned.
const [run, plain, escaped] = [...root.querySelectorAll(".ac-textRun")].map((element) => element.innerText);
show("TextRun", run);
show("string in inlines", plain);
show("TextRun with U+200B", escaped);
show("value of an input", root.querySelector("input").value);
show("title of a button", root.querySelector("button").title);
JS
for zone in Asia/Shanghai America/New_York; do
    TZ=$zone node "$work/dates.cjs"
done | tee "$work/seen"

cat > "$work/expected" <<'OUT'
adaptivecards 3.0.6, TZ=Asia/Shanghai
  TextBlock: markdown(**due** Tue, Dec 1, 2026 4:00 AM)
  TextRun: **due** Tue, Dec 1, 2026 4:00 AM
  string in inlines: **due** Tue, Dec 1, 2026 4:00 AM
  TextRun with U+200B: **due** {<U+200B>{DATE(2026-11-30T20:00:00Z, SHORT)}} {<U+200B>{TIME(2026-11-30T20:00:00Z)}}
  value of an input: **due** {{DATE(2026-11-30T20:00:00Z, SHORT)}} {{TIME(2026-11-30T20:00:00Z)}}
  title of a button: **due** {{DATE(2026-11-30T20:00:00Z, SHORT)}} {{TIME(2026-11-30T20:00:00Z)}}
adaptivecards 3.0.6, TZ=America/New_York
  TextBlock: markdown(**due** Mon, Nov 30, 2026 3:00 PM)
  TextRun: **due** Mon, Nov 30, 2026 3:00 PM
  string in inlines: **due** Mon, Nov 30, 2026 3:00 PM
  TextRun with U+200B: **due** {<U+200B>{DATE(2026-11-30T20:00:00Z, SHORT)}} {<U+200B>{TIME(2026-11-30T20:00:00Z)}}
  value of an input: **due** {{DATE(2026-11-30T20:00:00Z, SHORT)}} {{TIME(2026-11-30T20:00:00Z)}}
  title of a button: **due** {{DATE(2026-11-30T20:00:00Z, SHORT)}} {{TIME(2026-11-30T20:00:00Z)}}
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }

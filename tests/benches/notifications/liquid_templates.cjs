// Renders templates with LiquidJS and automatic escaping. The templates are compiled once.
//
// usage: node liquid_templates.cjs FOLDER FILE
//   FOLDER has node_modules. FILE has `templates` (texts) and `contexts`. Prints {"seconds": ..., "first": [texts]}.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [folder, file] = process.argv.slice(2);
const { Liquid } = createRequire(`${folder}/`)("liquidjs");
const given = JSON.parse(readFileSync(file, "utf8"));
const engine = new Liquid({ outputEscape: "escape" });
const templates = given.templates.map((text) => engine.parse(text));
const first = templates.map((template) => engine.renderSync(template, given.contexts[0]));
let length = 0;
const begin = performance.now();
for (const template of templates) {
  for (const context of given.contexts) {
    length += engine.renderSync(template, context).length;
  }
}
const seconds = (performance.now() - begin) / 1000;
console.log(JSON.stringify({ seconds, first, length }));

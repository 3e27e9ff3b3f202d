// Reads messages for Microsoft Teams with the npm package adaptivecards, unchanged.
//
// usage: teams_cards.mjs MODULES FILE
//
// MODULES is the directory that contains node_modules. FILE contains a JSON list of messages with one Adaptive Card each.
// The program fails if a card has an error, an element or an action that the package does not know, or a text that the
// package would treat as Markdown. Prints the number of cards, the types of all elements and actions, and the buttons as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, file] = process.argv.slice(2);
const cards = createRequire(`${modules}/`)("adaptivecards/dist/adaptivecards.js");

const problems = [];
const types = new Set();
const buttons = [];

// Collects the types in the JSON form of a card. The package drops unknown elements, so it cannot list them.
function collect(value) {
    if (Array.isArray(value)) {
        value.forEach(collect);
    } else if (value && typeof value === "object") {
        if (typeof value.type === "string") types.add(value.type);
        for (const [key, member] of Object.entries(value)) {
            // Members for Teams alone are not part of the schema of Adaptive Cards.
            if (key !== "msteams") collect(member);
        }
    }
}

const messages = JSON.parse(readFileSync(file, "utf8"));
for (const [number, message] of messages.entries()) {
    for (const attachment of message.attachments) {
        const card = new cards.AdaptiveCard();
        const context = new cards.SerializationContext(cards.Versions.v1_4);
        card.parse(attachment.content, context);
        for (let index = 0; index < context.eventCount; index += 1) {
            problems.push(`card ${number}: ${context.getEventAt(index).message}`);
        }
        const validation = card.validateProperties();
        for (const failure of validation.validationEvents) {
            problems.push(`card ${number}: ${failure.message}`);
        }
        // The package drops an element or an action that it does not know.
        const before = [attachment.content.body.length, (attachment.content.actions ?? []).length];
        const after = [card.getItemCount(), card.getActionCount()];
        if (`${before}` !== `${after}`) problems.push(`card ${number}: ${before} became ${after}`);
        collect(attachment.content);
        for (let index = 0; index < card.getActionCount(); index += 1) {
            const action = card.getActionAt(index);
            buttons.push([action.getJsonTypeName(), action.title, action.verb ?? action.url]);
        }
        for (let index = 0; index < card.getItemCount(); index += 1) {
            const item = card.getItemAt(index);
            // Only the mention of the person may be a text block, because the package treats its text as Markdown.
            if (item.getJsonTypeName() === "TextBlock" && !/^<at>[^<>*[\]]+<\/at>$/.test(item.text)) {
                problems.push(`card ${number}: ${item.text} is Markdown`);
            }
        }
    }
}
const known = new Set(["AdaptiveCard"]);
for (const registry of [cards.GlobalRegistry.elements, cards.GlobalRegistry.actions]) {
    for (let index = 0; index < registry.getItemCount(); index += 1) known.add(registry.getItemAt(index).typeName);
}
for (const type of types) {
    if (!known.has(type)) problems.push(`${type} is not an element or an action`);
}
console.log(JSON.stringify({ cards: messages.length, types: [...types].sort(), buttons, problems }));
process.exitCode = problems.length ? 1 : 0;

/**
 * What became of each change, in words: accepted · applied in 118 ms · settled, and the model's notes on it.
 */

import { announce, element, make } from "./dom.js";

const SHOWN = 3;

/** What is painted, by the values of `apply`. @type {Record<string, string>} */
export const PAINTED = { all: "everything", background: "the room, and I stay", person: "me, and the room stays" };

/** @type {import("../client.js").Receipt[]} */
const rows = [];

/** @param {import("../client.js").Receipt} receipt */
export function showReceipt(receipt) {
  if (!rows.includes(receipt)) {
    if (rows[0] && drags(rows[0], receipt)) rows.shift(); // a dragged slider is one row, not fifty
    rows.unshift(receipt);
    rows.length = Math.min(rows.length, SHOWN);
  }
  element("receipts").replaceChildren(...rows.map((shown, age) => row(shown, age === 0 || shown.error !== null ? notes(shown) : [])));
  const said = [what(receipt), phases(receipt), ...notes(receipt)].join(". ");
  if (receipt.phase !== "superseded" && receipt.phase !== "sent") announce(said);
}

/** @param {import("../client.js").Receipt} older @param {import("../client.js").Receipt} newer */
function drags(older, newer) {
  const fields = (/** @type {import("../client.js").Receipt} */ r) => Object.keys(r.command).sort().join();
  return newer.command.type === "params.set" && fields(older) === fields(newer) && !older.error;
}

/** @param {import("../client.js").Receipt} receipt @param {string[]} remarks */
function row(receipt, remarks) {
  return make("li", {}, [
    make("span", { className: "what", textContent: what(receipt) }),
    make("span", { className: "phases", textContent: phases(receipt) }),
    ...remarks.map((textContent) => make("span", { className: "note", textContent })),
    ...(receipt.error ? [make("code", { textContent: receipt.error.code })] : []),
  ]);
}

/** @param {import("../client.js").Receipt} receipt */
function what({ command }) {
  const { type, id: _id, ...fields } = command;
  if (type === "prompt.set") return command.text ? `“${command.text}”` : "no prompt";
  if (type === "control.patch") return [`“${command.prompt}”`, ...numbers({ ...command.params, ...(command.apply && { apply: command.apply }) })].join(", ");
  if (type === "params.set") return numbers(fields).join(", ");
  return { "history.undo": "undo", "history.redo": "redo", "stream.panic": "panic", "stream.pause": "pause", "stream.resume": "resume" }[type] ?? type;
}

/** @param {Record<string, unknown>} params @returns {string[]} */
function numbers(params) {
  const shown = Object.entries(params).filter(([name]) => name !== "blend_ms");
  return shown.map(([name, value]) => {
    if (name === "apply") return `painted: ${PAINTED[String(value)] ?? value}`;
    return `${name} ${typeof value === "number" ? +value.toFixed(3) : value}`;
  });
}

/** @param {import("../client.js").Receipt} receipt */
function phases(receipt) {
  const applied = receipt.latencyMs === null ? [] : [`applied in ${Math.round(receipt.latencyMs)} ms`];
  switch (receipt.phase) {
    case "waiting":
      return "waiting for the connection";
    case "sent":
      return "sent";
    case "accepted":
      return "accepted";
    case "applied":
      return ["accepted", ...applied].join(" · ");
    case "settled":
      return receipt.command.type.startsWith("stream.") ? "accepted" : ["accepted", ...applied, "settled"].join(" · ");
    case "superseded":
      return "superseded by a newer change";
    case "refused":
      return "not taken";
    case "lost":
      return "the connection was lost before its receipt came";
  }
}

/** @param {import("../client.js").Receipt} receipt @returns {string[]} */
function notes({ answer, error, command }) {
  const asked = { ...command, ...command["params"] };
  if (error) return [[error.message, error.hint].filter(Boolean).join(" ")];
  if (command.type.startsWith("stream.")) return []; // the words are not what this was about
  const changed = Object.entries(answer?.effective ?? {})
    .filter(([name, value]) => typeof value === "number" && typeof asked[name] === "number" && value !== asked[name])
    .map(([name, value]) => `${name}: asked for ${asked[name]}, in force ${value}`);
  return [...(answer?.notes ?? []), ...changed];
}

/**
 * The one line that always says the state and, where it is not live, the cause and what will happen next. Pure.
 */

/**
 * @typedef {object} Told
 * @property {string} word  for the tally
 * @property {"live"|"wait"|"alarm"} kind
 * @property {string} line
 * @property {"" | "resume" | "new" | "over" | "retry"} action  what a button next to the line offers
 *
 * @typedef {object} Known
 * @property {import("../live/link.js").LinkState} connection
 * @property {import("../live/protocol.js").SessionState} state
 * @property {import("../live/protocol.js").Quality | null} quality
 * @property {import("../live/route.js").Detour | null} detour
 * @property {import("../live/protocol.js").Swap | null} swap
 */

/** What comes next in each state, where nobody needs to do anything, or what to do. @type {Record<string, string>} */
const NEXT = {
  queued: "It starts by itself when a place is free.",
  warming: "The picture starts by itself.",
  ready: "The first picture is being made.",
  live: "",
  paused: "The picture is held until you resume it.",
  degraded: "The picture goes on with fewer new frames and recovers by itself.",
  standby: "The safe picture is shown until there is something to generate from.",
  panic: "The safe picture is on air, for everyone, until you resume.",
  reconnecting: "The last picture is held; it goes on by itself.",
  closed: "Nothing more comes from this session.",
};

/** @param {Known} known @returns {Told} */
export function tell({ connection, state, quality, detour, swap }) {
  if (connection.state === "closed" && connection.code !== "closed") {
    const word = connection.code === "session_gone" ? "ended" : "closed";
    return { word, kind: "wait", line: `${connection.message} ${code(connection.code)}`, action: "new" };
  }
  if (connection.state === "waiting" || (connection.state === "connecting" && connection.code)) {
    const line = `${connection.message} The last picture is held; trying again by itself.`;
    return { word: "reconnecting", kind: "wait", line, action: "retry" };
  }
  if (connection.state !== "open") {
    return { word: "connecting", kind: "wait", line: "Connecting. The picture starts by itself.", action: "" };
  }
  const told = tellState(state, quality);
  return { ...told, line: [told.line, swapping(swap), around(detour)].filter(Boolean).join(" ") };
}

/**
 * Why the picture comes over the WebSocket; said only while that may change: the figures say the rest.
 *
 * @param {import("../live/route.js").Detour | null} detour
 */
function around(detour) {
  if (!detour || detour.final) return "";
  return `Over WebSocket: ${detour.message} — ${detour.retryAt ? "trying again" : "trying it again now"}`;
}

/** What becomes of another model, until it paints: from then on the top of the page names it. @param {import("../live/protocol.js").Swap | null} swap */
function swapping(swap) {
  if (swap?.state === "warming") return `Another model, ${swap.model}, is warming up beside this one${swap.stage ? ` (${swap.stage})` : ""}.`;
  if (swap?.state === "failed") return `${swap.model} could not take over; this one goes on. ${sentence(swap.cause ?? "")}`;
  return "";
}

/**
 * @param {import("../live/protocol.js").SessionState} state
 * @param {import("../live/protocol.js").Quality | null} quality
 * @returns {Told}
 */
function tellState(state, quality) {
  const next = NEXT[state.state] ?? "";
  const line = [because(state, next), gaveUp(quality)].filter(Boolean).join(" ");
  const action = { paused: "resume", panic: "resume", closed: "new", standby: "over" }[/** @type {string} */ (state.state)] ?? "";
  const kind = state.state === "live" ? "live" : state.state === "panic" ? "alarm" : "wait";
  return { word: state.state, kind, line, action: /** @type {Told["action"]} */ (action) };
}

/**
 * The server's own words where it has any: two sentences of it say what comes next already.
 *
 * @param {import("../live/protocol.js").SessionState} state
 * @param {string} next
 */
function because(state, next) {
  const cause = state.cause ?? "";
  const whole = /^\p{Lu}.*[.!?]$/u.test(cause);
  const named = head(state);
  const says = whole ? (named.includes("(") ? `${named}. ${cause}` : cause) : `${named}${cause ? `: ${sentence(cause)}` : "."}`;
  return whole && /[.!?] \p{Lu}/u.test(cause) ? says : `${says} ${next}`.trim();
}

/** The state and its details, but those that the cause tells already. @param {import("../live/protocol.js").SessionState} state */
function head({ state, cause = "", position, stage, estimate_s }) {
  const name = state.charAt(0).toUpperCase() + state.slice(1);
  const details = [
    ...(position && !cause.includes(String(position)) ? [`place ${position} in the queue`] : []),
    ...(stage && !cause.includes(stage) ? [stage] : []),
    ...(estimate_s ? [`estimate: ${Math.round(estimate_s)} s`] : []),
  ];
  return details.length ? `${name} (${details.join(", ")})` : name;
}

/** @param {import("../live/protocol.js").Quality | null} quality */
function gaveUp(quality) {
  if (!quality?.gave_up.length) return "";
  return `Given up for now: ${quality.gave_up.join(", ")}, because ${sentence(quality.cause)}`;
}

/** @param {string} text */
function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** @param {string} name */
function code(name) {
  return name ? `(${name})` : "";
}

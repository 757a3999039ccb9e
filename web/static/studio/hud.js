/**
 * The figures: one line, and the rest on a click. Every figure is measured; one that is not yet, is an em dash.
 * Ages are this page's own to tell only while it publishes: they are taken on its clock, from the moment that the
 * camera's picture came to the moment that the picture shaped by it was painted.
 */

import { Kind, Meter } from "../client.js";
import { button, element, make, setText } from "./dom.js";

const DASH = "—";
const WORDS = new Set(["prompt.set", "control.patch"]);
/** @type {Record<string, string>} */
const KIND_WORDS = { warped: "moved", blended: "blended", repeated: "repeated", standby: "standby" };

export class Hud {
  /** @type {import("../live/protocol.js").Stats | null} */
  #stats = null;
  #motion = new Meter();
  #content = new Meter();
  /** @type {number | null} */
  #promptMs = null;
  /** @type {{receipt: import("../client.js").Receipt}[]} */
  #awaited = [];
  #shown = 0;
  #shownFps = DASH;
  #skipped = 0;
  /** @type {{sent: number, seen: number} | null} */
  #rate = null;
  /** @type {import("../live/peer-figures.js").Figures | null} */
  #figures = null;
  #live;

  /** @param {import("../client.js").Live} live */
  constructor(live) {
    this.#live = live;
    live.on("stats", (stats) => (this.#stats = stats));
    live.on("picture", (picture) => this.#picture(picture));
    live.on("figures", (figures) => (this.#figures = figures));
    live.on("receipt", (receipt) => this.#awaitPrompt(receipt));
    live.on("connection", ({ state }) => {
      if (state !== "open") this.#stats = null;
    });
    this.timer = setInterval(() => this.#second(), 1000);
  }

  /** @param {{sent: number, seen: number} | null} rate  camera pictures a second; null when the camera is off */
  setRate(rate) {
    this.#rate = rate;
    if (!rate) {
      this.#motion.clear();
      this.#content.clear();
    }
  }

  /** @param {import("../live/painter.js").Painted} picture */
  #picture({ header, paintedAt, skipped, own }) {
    this.#shown += 1;
    this.#skipped = skipped;
    const now = performance.now();
    if (header.kind !== Kind.standby && header.source > 0 && own) {
      this.#motion.add((paintedAt - header.source) / 1000, now);
      this.#content.add((paintedAt - header.source + header.age) / 1000, now);
    }
    if (header.kind === Kind.standby) return;
    const landed = this.#awaited.filter(({ receipt }) => (receipt.answer?.version ?? Infinity) <= header.version);
    const last = landed.at(-1);
    if (!last) return;
    this.#awaited = this.#awaited.filter((awaited) => !landed.includes(awaited));
    this.#promptMs = paintedAt / 1000 - performance.timeOrigin - last.receipt.askedAt;
  }

  /** @param {import("../client.js").Receipt} receipt */
  #awaitPrompt(receipt) {
    if (WORDS.has(receipt.command.type) && receipt.phase === "sent") this.#awaited.push({ receipt });
    else if (["superseded", "refused", "lost"].includes(receipt.phase)) {
      this.#awaited = this.#awaited.filter((awaited) => awaited.receipt !== receipt);
    }
  }

  #second() {
    this.#shownFps = this.#shown ? String(this.#shown) : DASH;
    this.#shown = 0;
    const now = performance.now();
    const motion = this.#motion.read(now);
    const content = this.#content.read(now);
    const out = fixed(this.#stats?.out_fps, 1);
    const fresh = fixed(this.#stats?.generated_fps, 0);
    setText(element("hud-line"), `${out} fps · ${fresh} new · ${motion ? Math.round(motion.p50) : DASH} ms`);
    if (button("hud").getAttribute("aria-expanded") === "true") this.#rest(motion, content);
  }

  /**
   * @param {{p50: number, p95: number} | null} motion
   * @param {{p50: number, p95: number} | null} content
   */
  #rest(motion, content) {
    const stats = this.#stats;
    const rows = [
      ["Out", stats ? sum(stats) : DASH],
      ["Motion age, p50 / p95", ages(motion)],
      ["Content age, p50 / p95", ages(content)],
      ["Prompt to picture", this.#promptMs === null ? DASH : `${Math.round(this.#promptMs)} ms`],
      ["Flicker · warp error", stats ? `${fixed(stats.flicker ?? undefined, 1)} · ${fixed(stats.warp_error ?? undefined, 1)} of 255` : DASH],
      ["Missed · replaced · dropped", stats ? `${stats.missed} · ${stats.replaced} · ${stats.dropped}` : DASH],
      ["Shown here", `${this.#shownFps} fps, ${this.#skipped} skipped`],
      ["Camera in", this.#rate ? `${this.#rate.sent} of ${this.#rate.seen} fps sent` : DASH],
      ...carriedRows(this.#live.carried, this.#figures),
    ];
    const cells = rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]);
    element("figure-list").replaceChildren(...cells);
    const stages = Object.entries(stats?.latency ?? {}).map(([name, p]) => stageRow(name.replaceAll("_", " "), p));
    if (stats?.motion_age) stages.push(stageRow("motion age at hand-off", stats.motion_age));
    if (stats?.content_age) stages.push(stageRow("content age at hand-off", stats.content_age));
    if (stages.length) element("stages").replaceChildren(...stages);
  }

  close() {
    clearInterval(this.timer);
  }
}

/**
 * How the picture comes, and what that connection's own statistics say.
 *
 * @param {import("../live/carriage.js").Carried} carried
 * @param {import("../live/peer-figures.js").Figures | null} figures
 */
function carriedRows({ carrier, detour }, figures) {
  if (carrier === "") return [["Carried by", DASH]];
  if (carrier === "socket") return [["Carried by", `WebSocket, JPEG${detour?.final ? `: ${detour.message}` : ""}`]];
  const up = figures?.upKbps === null ? "" : ` · ${megabits(figures?.upKbps)} up`;
  return [
    ["Carried by", `WebRTC${figures?.codec ? `, ${figures.codec}` : ""}`],
    ["Bit rate", `${megabits(figures?.kbps)} down${up}`],
    ["Round trip · loss", `${unit(figures?.roundTripMs, 0, "ms")} · ${unit(scaled(figures?.lost, 100), 1, "%")}`],
    ["Jitter buffer", unit(figures?.jitterBufferMs, 0, "ms")],
    ["Without a partner", figures ? `${figures.unmatched}` : DASH],
  ];
}

/** A click on the line opens the rest. */
export function wireHud() {
  const hud = button("hud");
  hud.addEventListener("click", () => {
    const open = hud.getAttribute("aria-expanded") !== "true";
    hud.setAttribute("aria-expanded", String(open));
    element("figures").hidden = !open;
  });
}

/**
 * What goes out, and what it is made of: an equation only where it adds up (a moved picture may be new as well).
 *
 * @param {import("../live/protocol.js").Stats} stats
 */
export function sum({ out_fps, generated_fps, standin_fps }) {
  const kinds = typeof standin_fps === "number" ? { "stand-ins": standin_fps } : standin_fps;
  const named = Object.entries(kinds).filter(([kind, fps]) => kind !== "standby" || fps > 0);
  const total = named.reduce((all, [, fps]) => all + fps, generated_fps);
  const parts = [`${fixed(generated_fps, 1)} new`, ...named.map(([kind, fps]) => `${fixed(fps, 1)} ${KIND_WORDS[kind] ?? kind}`)];
  const adds = Math.abs(total - out_fps) < 0.6;
  return `${fixed(out_fps, 1)} fps${adds ? " = " : ": "}${parts.join(adds ? " + " : " · ")}`;
}

/** @param {string} name @param {import("../live/protocol.js").Percentiles} p */
function stageRow(name, p) {
  const cells = [p.p50, p.p95, p.p99].map((ms) => make("td", { textContent: fixed(ms, 1) }));
  return make("tr", {}, [make("th", { scope: "row", textContent: name }), ...cells]);
}

/** @param {{p50: number, p95: number} | null} age */
function ages(age) {
  return age ? `${Math.round(age.p50)} / ${Math.round(age.p95)} ms` : DASH;
}

/** @param {number | null | undefined} kbps */
function megabits(kbps) {
  return unit(scaled(kbps, 1 / 1000), 2, "Mbit/s");
}

/** @param {number | null | undefined} value @param {number} by */
function scaled(value, by) {
  return typeof value === "number" ? value * by : null;
}

/** @param {number | null | undefined} value @param {number} digits @param {string} name */
function unit(value, digits, name) {
  const text = fixed(value, digits);
  return text === DASH ? DASH : `${text} ${name}`;
}

/** @param {number | null | undefined} value @param {number} digits */
function fixed(value, digits) {
  return typeof value === "number" && Number.isFinite(value) ? value.toFixed(digits) : DASH;
}

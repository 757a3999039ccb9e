/**
 * What became of each command: accepted (valid, has a version), applied (in a picture), settled (its transition is
 * over), or superseded by a newer one. Pure bookkeeping over the server's events; sends nothing itself.
 */

import { LiveError } from "./errors.js";

const NEWS = new Set(["control.applied", "control.settled", "control.superseded"]);
const UNCLAIMED = 16;

/** @typedef {"waiting"|"sent"|"accepted"|"applied"|"settled"|"superseded"|"refused"|"lost"} Phase */

/** One command and its answers. */
export class Receipt {
  /** @type {Phase} */
  phase = "waiting";
  /** @type {import("./protocol.js").Accepted | null} */
  answer = null;
  /** @type {LiveError | null} */
  error = null;
  /** @type {number | null} milliseconds from the server taking the change to the hand-off of its first picture */
  latencyMs = null;
  /** Milliseconds on `performance.now()`. */
  askedAt = performance.now();
  /** @type {(answer: import("./protocol.js").Accepted) => void} */
  #accept = () => {};
  /** @type {(error: LiveError) => void} */
  #refuse = () => {};
  /** @type {(phase: Phase) => void} */
  #finish = () => {};

  /** @param {import("./protocol.js").WireEvent} command */
  constructor(command) {
    this.command = command;
    /** Answers, or rejects with a `LiveError`. @type {Promise<import("./protocol.js").Accepted>} */
    this.accepted = new Promise((resolve, reject) => {
      this.#accept = resolve;
      this.#refuse = reject;
    });
    this.accepted.catch(() => {}); // whoever does not look is not told
    /** How it ended: `settled`, `superseded`, `refused` or `lost`. @type {Promise<Phase>} */
    this.ended = new Promise((resolve) => (this.#finish = resolve));
  }

  /** @param {Phase} phase @param {{answer?: import("./protocol.js").Accepted, error?: LiveError}} [detail] */
  move(phase, { answer, error } = {}) {
    this.phase = phase;
    if (answer) {
      this.answer = answer;
      this.#accept(answer);
    }
    if (error) {
      this.error = error;
      this.#refuse(error);
    }
    if (phase === "settled" || phase === "superseded" || phase === "refused" || phase === "lost") this.#finish(phase);
  }
}

/** The receipts that are still open. */
export class Receipts {
  /** @type {Map<string, Receipt>} */
  #byId = new Map();
  /** @type {Map<number, Receipt>} */
  #byVersion = new Map();
  /** News of versions that no receipt here has (yet): an answer over HTTP may come after them. @type {import("./protocol.js").WireEvent[]} */
  #unclaimed = [];

  /** @param {Receipt} receipt */
  add(receipt) {
    this.#byId.set(receipt.command.id, receipt);
  }

  /** Forget one that was never sent. @param {Receipt} receipt */
  drop(receipt) {
    this.#byId.delete(receipt.command.id);
  }

  /**
   * A change that was made over HTTP got its version: its news come as events, and some may have come already.
   *
   * @param {Receipt} receipt
   * @param {import("./protocol.js").Accepted} answer
   */
  adopt(receipt, answer) {
    receipt.move("accepted", { answer });
    this.#byVersion.set(answer.version, receipt);
    for (const event of this.#unclaimed.filter(({ version }) => version === answer.version)) this.receive(event);
  }

  /** Commands that no answer came to: to be sent (again) on a new connection; a repeated id is not done twice. */
  unanswered() {
    return [...this.#byId.values()];
  }

  /**
   * @param {import("./protocol.js").WireEvent} event
   * @returns {Receipt | null} the receipt that moved
   */
  receive(event) {
    if (event.type === "error" && typeof event.id === "string") {
      const receipt = this.#take(event.id);
      receipt?.move("refused", { error: new LiveError(/** @type {any} */ (event)) });
      return receipt;
    }
    if (event.type === "control.accepted") {
      const receipt = this.#take(event.id);
      if (!receipt) return null;
      receipt.move("accepted", { answer: /** @type {any} */ (event) });
      if (makesVersion(receipt.command.type)) this.#byVersion.set(event.version, receipt);
      else receipt.move("settled"); // pause, resume and panic make no version: no picture will tell of them
      return receipt;
    }
    if (!NEWS.has(event.type)) return null;
    const receipt = this.#byVersion.get(event.version) ?? null;
    if (!receipt) {
      this.#unclaimed = [...this.#unclaimed.slice(1 - UNCLAIMED), event];
      return null;
    }
    if (event.type === "control.applied") {
      receipt.latencyMs = event.latency_ms;
      receipt.move("applied");
    } else if (event.type === "control.settled") {
      this.#byVersion.delete(event.version);
      receipt.move("settled");
    } else {
      this.#byVersion.delete(event.version);
      receipt.move("superseded");
    }
    return receipt;
  }

  /** Versions whose news were missed while there was no connection. @returns {Receipt[]} */
  lose() {
    const lost = [...this.#byVersion.values()];
    this.#byVersion.clear();
    for (const receipt of lost) receipt.move("lost");
    return lost;
  }

  /** @param {string} id */
  #take(id) {
    const receipt = this.#byId.get(id) ?? null;
    this.#byId.delete(id);
    return receipt;
  }
}

/** @param {string} command */
function makesVersion(command) {
  return !command.startsWith("stream.") && !command.startsWith("session.");
}

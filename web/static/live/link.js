/**
 * One connection kept alive: opens a transport, and after a loss another one, 1, 2, 4 … 60 s apart with jitter.
 * Every connection begins with `hello`. A connection that says nothing for 5 s is asked, and left after 5 s more.
 * Knows nothing of sessions or pictures. Runs in the page and in the publishing worker.
 */

import { Emitter } from "./emitter.js";
import { closeMeaning } from "./errors.js";

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 60_000;
const STABLE_AFTER_MS = 5000;
const SILENCE_MS = 5000;

/**
 * How long to wait before a further try.
 *
 * @param {number} attempt  0 for the first
 * @param {number} random  0 to 1
 * @returns {number} milliseconds: 1, 2, 4 … 60 s, each shortened by up to a quarter
 */
export function reconnectDelay(attempt, random) {
  const full = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 10));
  return full * (1 - random / 4);
}

/**
 * @typedef {object} LinkState
 * @property {"connecting"|"open"|"waiting"|"closed"} state
 * @property {string} code  what ended the last connection, for programs; empty at first
 * @property {string} message  the same for people
 * @property {number} retryAt  milliseconds on `performance.now()`; 0 unless waiting
 */

/**
 * @extends {Emitter<{
 *   state: LinkState,
 *   event: import("./protocol.js").WireEvent,
 *   frame: ArrayBuffer,
 * }>}
 */
export class Link extends Emitter {
  /** @type {LinkState} */
  state = { state: "closed", code: "", message: "", retryAt: 0 };
  /** @type {import("./transport.js").Transport | null} */
  #transport = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;
  #attempt = 0;
  #openedAt = 0;
  #heardAt = 0;
  #askedAt = 0;
  #greeted = false;
  #forever;
  #open;

  /**
   * @param {import("./transport.js").OpenTransport} open
   * @param {{forever?: boolean}} [options]  `forever`: try again even where it cannot help, as what is on air must
   */
  constructor(open, { forever = false } = {}) {
    super();
    this.#open = open;
    this.#forever = forever;
  }

  /** Connect now, also while waiting for the next try. */
  connect() {
    if (this.#transport) return;
    clearTimeout(this.#timer);
    this.#tell({ state: "connecting", code: this.state.code, message: this.state.message, retryAt: 0 });
    this.#greeted = false;
    this.#heardAt = this.#openedAt = performance.now();
    this.#transport = this.#open({
      opened: () => {},
      event: (event) => this.#heard(event),
      frame: (message) => {
        this.#heardAt = performance.now();
        this.emit("frame", message);
      },
      closed: (code, reason) => this.#lost(code, reason),
    });
    this.#watch = setInterval(() => this.#listen(), 1000);
  }

  /** Whether `hello` came on the present connection. */
  get open() {
    return this.#greeted;
  }

  /** @param {import("./protocol.js").WireEvent} event */
  sendEvent(event) {
    this.#transport?.sendEvent(event);
  }

  /** @param {ArrayBuffer} message */
  sendFrame(message) {
    this.#transport?.sendFrame(message);
  }

  /** End it; nothing is tried again. */
  close() {
    this.#drop();
    this.#tell({ state: "closed", code: "closed", message: "", retryAt: 0 });
  }

  /** @param {import("./protocol.js").WireEvent} event */
  #heard(event) {
    this.#heardAt = performance.now();
    if (event.type === "hello") {
      this.#greeted = true;
      this.#tell({ state: "open", code: "", message: "", retryAt: 0 });
    }
    this.emit("event", event);
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    const meaning = closeMeaning(code, reason);
    if (this.#greeted && performance.now() - this.#openedAt > STABLE_AFTER_MS) this.#attempt = 0;
    this.#drop();
    if (!meaning.again && !this.#forever) {
      this.#tell({ state: "closed", code: meaning.code, message: meaning.message, retryAt: 0 });
      return;
    }
    const delay = reconnectDelay(this.#attempt++, Math.random());
    this.#timer = setTimeout(() => this.connect(), delay);
    const retryAt = performance.now() + delay;
    this.#tell({ state: "waiting", code: meaning.code, message: meaning.message, retryAt });
  }

  #drop() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#transport?.close();
    this.#transport = null;
    this.#greeted = false;
  }

  /** A connection can be dead without a word: ask, and leave it when nothing answers. */
  #listen() {
    const now = performance.now();
    if (now - this.#heardAt < SILENCE_MS) {
      this.#askedAt = 0;
    } else if (this.#askedAt === 0) {
      this.#askedAt = now;
      this.sendEvent({ type: "ping", t: Math.round(now) });
    } else if (now - this.#askedAt > SILENCE_MS) {
      this.#askedAt = 0;
      this.#lost(1006, "");
    }
  }

  /** @param {LinkState} state */
  #tell(state) {
    this.state = state;
    this.emit("state", state);
  }
}

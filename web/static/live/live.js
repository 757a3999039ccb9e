/**
 * A session as a page sees it: its state, its pictures, and what the page asks of it. One object for one session;
 * it owns one link for watching and steering, and at most one publisher. It paints through whatever is attached and
 * keeps no picture itself.
 */

import { call, listModels, openSession } from "./api.js";
import { Emitter } from "./emitter.js";
import { LiveError } from "./errors.js";
import { Link } from "./link.js";
import { Painter } from "./painter.js";
import { Publisher } from "./publisher.js";
import { Receipt, Receipts } from "./receipts.js";
import { socketTransport } from "./transport.js";

/**
 * @typedef {object} Credentials
 * @property {string} server  origin of the server
 * @property {string} session
 * @property {string} token
 *
 * @typedef {object} LiveEvents
 * @property {import("./protocol.js").Hello} hello  first on every connection
 * @property {import("./protocol.js").SessionState} state
 * @property {import("./link.js").LinkState} connection
 * @property {import("./protocol.js").Control} control
 * @property {import("./protocol.js").Stats} stats
 * @property {import("./protocol.js").Quality} quality
 * @property {Receipt} receipt  each time one moves
 * @property {import("./painter.js").Painted} picture  each picture shown
 * @property {LiveError} error  what no receipt tells
 */

/** @extends {Emitter<LiveEvents>} */
export class Live extends Emitter {
  /** @type {import("./protocol.js").Hello | null} */
  hello = null;
  /** @type {import("./protocol.js").SessionState} */
  state = { state: "reconnecting" };
  /** @type {import("./protocol.js").Control | null} */
  control = null;
  /** @type {Publisher | null} */
  publisher = null;
  /** @type {Painter | null} */
  #painter = null;
  #receipts = new Receipts();
  #statsEvery = 0;
  #ids = `c${Math.floor(Math.random() * 0xffffff).toString(36)}`;
  #count = 0;
  #link;

  /**
   * @param {Credentials} credentials
   * @param {{forever?: boolean, open?: import("./transport.js").OpenTransport}} [options]  `open`: another transport
   */
  constructor(credentials, { forever = false, open = socketTransport(credentials) } = {}) {
    super();
    this.credentials = credentials;
    this.#link = new Link(open, { forever });
    this.#link.on("state", (state) => this.emit("connection", state));
    this.#link.on("event", (event) => this.#receive(event));
    this.#link.on("frame", (message) => this.#painter?.offer(message));
  }

  /**
   * Open a session and make its `Live`; call `connect()` next.
   *
   * @param {{server?: string, token?: string, name?: string, body?: Record<string, unknown>}} [options]
   * @returns {Promise<{live: Live, opened: import("./protocol.js").SessionBody}>}
   * @throws {LiveError}
   */
  static async open({ server = location.origin, token = "", name = "", body = {} } = {}) {
    const opened = await openSession(server, body, { name, token });
    return { live: new Live({ server, session: opened.id, token: opened.token }), opened };
  }

  /** The models that a server has. @param {string} [server] */
  static models(server = location.origin) {
    return listModels(server);
  }

  get connection() {
    return this.#link.state;
  }

  /** Connect, or try again at once while waiting for the next try. */
  connect() {
    this.#link.connect();
  }

  /** Leave: the connection, the publisher and the painter end; the session goes on for a while without us. */
  close() {
    this.unpublish();
    this.detach();
    this.#link.close();
  }

  /**
   * Paint into `canvas` from now on.
   *
   * @param {HTMLCanvasElement} canvas  one that was never attached before
   */
  attach(canvas) {
    this.detach();
    const painter = new Painter(canvas);
    painter.on("decoded", (seq) => this.#link.sendEvent({ type: "frame.ack", seq }));
    painter.on("painted", (picture) => this.emit("picture", picture));
    this.#painter = painter;
  }

  detach() {
    this.#painter?.close();
    this.#painter = null;
  }

  /**
   * Publish a camera's pictures into the session; the newest publisher wins.
   *
   * @param {MediaStreamTrack} track
   * @returns {Publisher}
   */
  publish(track) {
    this.unpublish();
    this.publisher = new Publisher(this.credentials, track);
    return this.publisher;
  }

  unpublish() {
    this.publisher?.close();
    this.publisher = null;
  }

  /** @param {string} text @param {{blend_ms?: number, negative?: string}} [options] */
  setPrompt(text, options = {}) {
    return this.command({ type: "prompt.set", text, ...options });
  }

  /** @param {{strength?: number, steps?: number, seed?: number, guidance?: number}} params */
  setParams(params) {
    return this.command({ type: "params.set", ...params });
  }

  /**
   * Change words and numbers together, as one version and one step of undo.
   *
   * @param {{prompt?: string, negative?: string, params?: Record<string, number>}} wish
   * @returns {Receipt}
   */
  change(wish) {
    const { server, session, token } = this.credentials;
    const receipt = new Receipt({ type: "control.patch", id: this.#nextId(), ...wish });
    receipt.move("sent");
    this.emit("receipt", receipt);
    call(server, `/v1/sessions/${encodeURIComponent(session)}`, { method: "PATCH", token, body: wish })
      .then(
        (answer) => this.#receipts.adopt(receipt, answer),
        (error) => receipt.move("refused", { error }),
      )
      .finally(() => this.emit("receipt", receipt));
    return receipt;
  }

  /** End the session for everybody. @throws {LiveError} */
  async end() {
    const { server, session, token } = this.credentials;
    await call(server, `/v1/sessions/${encodeURIComponent(session)}`, { method: "DELETE", token });
  }

  undo = () => this.command({ type: "history.undo" });
  redo = () => this.command({ type: "history.redo" });
  pause = () => this.command({ type: "stream.pause" });
  resume = () => this.command({ type: "stream.resume" });
  panic = () => this.command({ type: "stream.panic" });

  /** Ask for `stats` events; asked again on each new connection. @param {number} intervalMs */
  watchStats(intervalMs) {
    this.#statsEvery = intervalMs;
    if (this.#link.open) this.#link.sendEvent({ type: "stats.subscribe", interval_ms: intervalMs });
  }

  /**
   * Send a command; without a connection it waits for the next one, where a newer of its type takes its place.
   *
   * @param {{type: string, [field: string]: unknown}} fields
   * @returns {Receipt}
   */
  command(fields) {
    const receipt = new Receipt({ ...fields, id: this.#nextId() });
    if (!this.#link.open) this.#supersedeWaiting(fields.type);
    this.#receipts.add(receipt);
    this.#send(receipt);
    return receipt;
  }

  #nextId() {
    return `${this.#ids}-${++this.#count}`;
  }

  /** @param {Receipt} receipt */
  #send(receipt) {
    if (this.#link.open) {
      receipt.move("sent");
      this.#link.sendEvent(receipt.command);
    }
    this.emit("receipt", receipt);
  }

  /** @param {string} type */
  #supersedeWaiting(type) {
    const older = this.#receipts.unanswered().find((r) => r.phase === "waiting" && r.command.type === type);
    if (!older) return;
    this.#receipts.drop(older);
    older.move("superseded");
    this.emit("receipt", older);
  }

  /** @param {import("./protocol.js").WireEvent} event */
  #receive(event) {
    const receipt = this.#receipts.receive(event);
    if (receipt) return this.emit("receipt", receipt);
    switch (event.type) {
      case "hello":
        return this.#greet(/** @type {any} */ (event));
      case "session.state":
        this.state = /** @type {any} */ (event);
        return this.emit("state", this.state);
      case "control.changed":
        return this.#changed(event.control);
      case "stats":
        return this.emit("stats", /** @type {any} */ (event));
      case "quality.changed":
        return this.emit("quality", /** @type {any} */ (event));
      case "error":
        return this.emit("error", new LiveError(/** @type {any} */ (event)));
      default: // an event of a newer server: not ours to judge
    }
  }

  /** @param {import("./protocol.js").Hello} hello */
  #greet(hello) {
    this.hello = hello;
    this.#painter?.reset();
    for (const lost of this.#receipts.lose()) this.emit("receipt", lost);
    this.emit("hello", hello);
    const told = hello.state;
    this.state = typeof told === "string" ? { state: told } : told;
    this.emit("state", this.state);
    this.#changed(hello.control);
    for (const receipt of this.#receipts.unanswered()) this.#send(receipt);
    if (this.#statsEvery) this.watchStats(this.#statsEvery);
  }

  /** @param {import("./protocol.js").Control} control */
  #changed(control) {
    this.control = control;
    this.emit("control", control);
  }
}

/**
 * A session as a page sees it: its state, its pictures, and what the page asks of it. One object for one session;
 * it owns the route that carries it, and at most one camera on its way. It shows through whatever is attached and keeps
 * no picture itself.
 */

import { call, listModels, openSession, preview } from "./api.js";
import { Carriage } from "./carriage.js";
import { Emitter } from "./emitter.js";
import { LiveError } from "./errors.js";
import { hasWebRtc, peerTransport } from "./peer.js";
import { Receipt, Receipts } from "./receipts.js";
import { Route } from "./route.js";
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
 * @property {import("./protocol.js").Swap} swap  of the model, as it goes on
 * @property {Receipt} receipt  each time one moves
 * @property {import("./painter.js").Painted} picture  each picture shown, whatever carried it
 * @property {import("./carriage.js").Carried} carried  how the session is carried, when that changes
 * @property {import("./peer-figures.js").Figures | null} figures  of the peer, once a second; null when none carries
 * @property {LiveError} error  what no receipt tells
 *
 * @typedef {object} LiveOptions
 * @property {boolean} [forever]  reconnect whatever the server says
 * @property {"auto" | "webrtc" | "socket"} [transport]  `auto`: WebRTC where it can be had, else the socket
 * @property {boolean} [publishes]  whether a camera may be published from here; false asks for the picture alone
 * @property {import("./transport.js").OpenTransport} [open]  another transport, in place of both
 */

const PANIC_ANSWER_MS = 500;
/** Until the server has told. */
const USUAL_SIZE = Object.freeze({ width: 640, height: 360 });

/** @extends {Emitter<LiveEvents>} */
export class Live extends Emitter {
  /** @type {import("./protocol.js").Hello | null} */
  hello = null;
  /** @type {import("./protocol.js").SessionState} */
  state = { state: "reconnecting" };
  /** @type {import("./protocol.js").Control | null} */
  control = null;
  #receipts = new Receipts();
  #statsEvery = 0;
  #ids = uniquePrefix();
  #count = 0;
  #route;
  #carriage;

  /**
   * @param {Credentials} credentials
   * @param {LiveOptions} [options]
   */
  constructor(credentials, { forever = false, transport = "auto", publishes = true, open } = {}) {
    super();
    this.credentials = credentials;
    const peer = transport !== "socket" && !open && hasWebRtc() ? peerTransport(credentials, { publishes }) : null;
    const peerOnly = transport === "webrtc" && peer !== null;
    const route = new Route({ socket: open ?? socketTransport(credentials), peer, peerOnly, forever });
    route.on("state", (state) => this.emit("connection", state));
    route.on("hello", ({ hello, seamless }) => this.#greet(/** @type {any} */ (hello), seamless));
    route.on("event", (event) => this.#receive(event));
    this.#route = route;
    this.#carriage = new Carriage(route, credentials);
    this.#carriage.on("picture", (picture) => this.emit("picture", picture));
    this.#carriage.on("carried", (carried) => this.emit("carried", carried));
    this.#carriage.on("figures", (figures) => this.emit("figures", figures));
  }

  /**
   * Open a session and make its `Live`; call `connect()` next.
   *
   * @param {{server?: string, token?: string, name?: string, body?: Record<string, unknown>} & LiveOptions} [options]
   * @returns {Promise<{live: Live, opened: import("./protocol.js").SessionBody}>}
   * @throws {LiveError}
   */
  static async open({ server = location.origin, token = "", name = "", body = {}, ...options } = {}) {
    const opened = await openSession(server, body, { name, token });
    return { live: new Live({ server, session: opened.id, token: opened.token }, options), opened };
  }

  /** The models that a server has. @param {string} [server] */
  static models(server = location.origin) {
    return listModels(server);
  }

  get connection() {
    return this.#route.state;
  }

  /** How the session is carried now. */
  get carried() {
    return this.#carriage.carried;
  }

  /** Connect, or try again at once while waiting for the next try. */
  connect() {
    this.#route.connect();
  }

  /** Leave: the connection, the camera and the picture end; the session goes on for a while without us. */
  close() {
    this.#carriage.close();
    this.#route.close();
  }

  /**
   * Show the picture in `place` from now on: put into it as a canvas or a video that fills it, or, where it is a canvas
   * itself, painted on it. A canvas takes no video, so the socket carries then.
   *
   * @param {HTMLElement} place  empty; a canvas: one that was never attached before
   */
  attach(place) {
    this.#carriage.attach(place);
  }

  detach() {
    this.#carriage.detach();
  }

  /** The camera on its way into the session; null while there is none. */
  get publisher() {
    return this.#carriage.sending;
  }

  /**
   * Publish a camera's pictures into the session; the newest publisher wins.
   *
   * @param {MediaStreamTrack} track
   */
  publish(track) {
    return this.#carriage.publish(track, () => this.hello?.size ?? USUAL_SIZE);
  }

  unpublish() {
    this.#carriage.unpublish();
  }

  /** @param {string} text @param {{blend_ms?: number, negative?: string}} [options] */
  setPrompt(text, options = {}) {
    return this.command({ type: "prompt.set", text, ...options });
  }

  /** @param {{strength?: number, steps?: number, seed?: number, blend_ms?: number, guidance?: number, edge?: number, depth?: number, similarity?: number, apply?: string}} params */
  setParams(params) {
    return this.command({ type: "params.set", ...params });
  }

  /**
   * Change words and numbers together, as one version and one step of undo.
   *
   * @param {{prompt?: string, negative?: string, apply?: string, params?: Record<string, number>}} wish
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

  /**
   * A small picture of what a change would make of the newest source; nothing changes by it.
   *
   * @param {Record<string, unknown>} change  as `PATCH` takes it: prompt, params
   * @returns {Promise<Blob>} a JPEG, its longer side 160 pixels
   * @throws {LiveError}
   */
  preview(change) {
    return preview(this.credentials, change);
  }

  undo = () => this.command({ type: "history.undo" });
  redo = () => this.command({ type: "history.redo" });
  pause = () => this.command({ type: "stream.pause" });
  resume = () => this.command({ type: "stream.resume" });

  /** Taken within a slot; a connection that does not answer at once is left for another one. */
  panic() {
    const receipt = this.command({ type: "stream.panic" });
    setTimeout(() => receipt.phase === "sent" && this.#route.doubt(), PANIC_ANSWER_MS);
    return receipt;
  }

  /** Ask for `stats` events; asked again on each new connection. @param {number} intervalMs */
  watchStats(intervalMs) {
    this.#statsEvery = intervalMs;
    if (this.#route.open) this.#route.sendEvent({ type: "stats.subscribe", interval_ms: intervalMs });
  }

  /**
   * Send a command; without a connection it waits for the next one, where a newer of its type takes its place.
   *
   * @param {{type: string, [field: string]: unknown}} fields
   * @returns {Receipt}
   */
  command(fields) {
    const receipt = new Receipt({ ...fields, id: this.#nextId() });
    if (!this.#route.open) this.#supersedeWaiting(fields.type);
    this.#receipts.add(receipt);
    this.#send(receipt);
    return receipt;
  }

  #nextId() {
    return `${this.#ids}-${++this.#count}`;
  }

  /** @param {Receipt} receipt */
  #send(receipt) {
    if (this.#route.open) {
      receipt.move("sent");
      this.#route.sendEvent(receipt.command);
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
      case "session.state":
        this.state = /** @type {any} */ (event);
        return this.emit("state", this.state);
      case "control.changed":
        return this.#changed(event.control);
      case "stats":
        return this.emit("stats", /** @type {any} */ (event));
      case "quality.changed":
        return this.emit("quality", /** @type {any} */ (event));
      case "model.changed":
        return this.emit("swap", /** @type {any} */ (event));
      case "error":
        return this.#complained(new LiveError(/** @type {any} */ (event)));
      default: // an event of a newer server: not ours to judge
    }
  }

  /**
   * @param {import("./protocol.js").Hello} hello
   * @param {boolean} seamless  the connection before this one was heard until now: no news was missed
   */
  #greet(hello, seamless) {
    this.hello = hello;
    if (!seamless) for (const lost of this.#receipts.lose()) this.emit("receipt", lost);
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

  /** @param {LiveError} error */
  #complained(error) {
    if (error.code === "publisher_replaced" && this.publisher) this.publisher.replaced(error);
    else this.emit("error", error);
  }
}

/** Ids that no other page has: the server takes a command that comes again under its id for the same one. */
function uniquePrefix() {
  const drawn = crypto.getRandomValues(new Uint32Array(3));
  return `c${[...drawn].map((part) => part.toString(36).padStart(7, "0")).join("")}`;
}


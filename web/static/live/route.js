/**
 * Which connection carries a session: WebRTC first; the socket after 3 s without a picture, or when a peer that worked
 * is lost; and back again as soon as a peer tried beside it shows its first picture. Whoever listens hears one
 * connection: each change begins with a `hello`. Knows nothing of sessions. Runs in the page.
 */

import { Emitter } from "./emitter.js";
import { Link, reconnectDelay } from "./link.js";
import { PeerLosses, retryDelay } from "./losses.js";

const FIRST_PICTURE_MS = 3000;
/** Nothing waits for a trial beside a working socket. */
const TRIAL_MS = 8000;
const STABLE_AFTER_MS = 30_000;

/**
 * @typedef {"webrtc" | "socket" | ""} Carrier
 *
 * @typedef {object} Detour  why the socket carries although WebRTC was asked for
 * @property {string} code
 * @property {string} message  for people, as the end of a sentence
 * @property {number} retryAt  milliseconds on `performance.now()`; 0 while it is being tried, or where it never is
 * @property {boolean} final  it is not tried again
 *
 * @typedef {object} Trial  a peer and what it has come to
 * @property {import("./peer.js").Peer} peer
 * @property {import("./protocol.js").WireEvent[]} held  what it said before it carried
 * @property {boolean} greeted
 * @property {boolean} pictured
 * @property {number} since  milliseconds on `performance.now()`
 * @property {ReturnType<typeof setTimeout> | undefined} deadline
 */

/**
 * @extends {Emitter<{
 *   state: import("./link.js").LinkState,
 *   hello: {hello: import("./protocol.js").WireEvent, seamless: boolean},
 *   event: import("./protocol.js").WireEvent,
 *   frame: ArrayBuffer,
 *   carrier: Carrier,
 *   pictured: import("./peer.js").Peer,
 *   trial: import("./peer.js").Peer,
 *   dropped: import("./peer.js").Peer,
 *   detour: Detour | null,
 * }>}
 */
export class Route extends Emitter {
  /** @type {import("./link.js").LinkState} */
  state = { state: "closed", code: "", message: "", retryAt: 0 };
  /** Whose events and pictures count now. @type {Carrier} */
  carrier = "";
  /** @type {Detour | null} */
  detour = null;
  #link;
  #openPeer;
  #socketAllowed;
  /** The peer that carries, or is being tried. @type {Trial | null} */
  #trial = null;
  #attempt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  #wanted = false;
  #final = false;
  #outage = false;

  /**
   * @param {object} ways
   * @param {import("./transport.js").OpenTransport} ways.socket
   * @param {import("./peer.js").OpenPeer | null} ways.peer  null: the socket alone
   * @param {boolean} [ways.peerOnly]  never the socket
   * @param {boolean} [ways.forever]  see `Link`
   */
  constructor({ socket, peer, peerOnly = false, forever = false }) {
    super();
    this.#openPeer = peer;
    this.#socketAllowed = !peerOnly;
    this.#link = new Link(socket, { forever });
    this.#link.on("state", (state) => this.#linkMoved(state));
    this.#link.on("event", (event) => this.#linkSaid(event));
    this.#link.on("frame", (message) => this.emit("frame", message));
  }

  get open() {
    return this.state.state === "open";
  }

  /** The peer that carries; null while it is the socket, or nothing. */
  get peer() {
    return this.carrier === "webrtc" ? (this.#trial?.peer ?? null) : null;
  }

  /** Whether a peer's video has a place to be shown; without one the socket carries. @param {boolean} wanted */
  set wantsPeer(wanted) {
    if (this.#wanted === wanted) return;
    this.#wanted = wanted;
    if (this.state.state === "closed") return;
    if (wanted) this.#try();
    else if (this.#trial) this.#fall(PeerLosses.place);
  }

  get wantsPeer() {
    return this.#wanted && this.#openPeer !== null && !this.#final;
  }

  /** Connect, or try again at once while waiting for the next try. */
  connect() {
    if (this.carrier || this.#trial) return;
    if (this.wantsPeer) {
      if (this.#link.state.state === "waiting") this.#link.connect();
      else if (this.#link.state.state === "closed") this.#tell({ ...this.state, state: "connecting", retryAt: 0 });
      this.#try();
    } else {
      this.#link.connect();
    }
  }

  /** @param {import("./protocol.js").WireEvent} event */
  sendEvent(event) {
    (this.peer ?? this.#link).sendEvent(event);
  }

  /** The socket's own flow control, whoever carries by now. @param {number} seq */
  acknowledge(seq) {
    this.#link.sendEvent({ type: "frame.ack", seq });
  }

  close() {
    this.#drop();
    clearTimeout(this.#retry);
    removeEventListener("online", this.#online);
    this.#carry("");
    this.#link.close();
    this.#tell({ state: "closed", code: "closed", message: "", retryAt: 0 });
  }

  // --- the peer --------------------------------------------------------------------------------------------------

  #try() {
    clearTimeout(this.#retry);
    if (this.#trial || !this.wantsPeer || !this.#openPeer) return;
    addEventListener("online", this.#online);
    if (this.detour) this.#setDetour({ ...this.detour, retryAt: 0 });
    /** @type {Trial} */
    const trial = { peer: /** @type {any} */ (null), held: [], greeted: false, pictured: false, since: performance.now(), deadline: undefined };
    this.#trial = trial;
    try {
      trial.peer = this.#openPeer({
        event: (event) => this.#peerSaid(trial, event),
        pictured: () => this.#pictured(trial),
        closed: (loss) => this.#peerLost(trial, loss),
      });
    } catch {
      this.#trial = null;
      return this.#fall(PeerLosses.browser); // it has the name and forbids the thing
    }
    trial.deadline = setTimeout(() => this.#fall(PeerLosses.noPath), this.carrier ? TRIAL_MS : FIRST_PICTURE_MS);
    this.emit("trial", trial.peer);
  }

  /** @param {Trial} trial @param {import("./protocol.js").WireEvent} event */
  #peerSaid(trial, event) {
    if (event.type === "hello") {
      trial.greeted = true;
      trial.held = [event];
      if (trial.pictured) this.#settle(trial);
      else if (!this.carrier) this.#adopt(trial); // nothing else speaks: its pictures may still be on their way
      return;
    }
    if (this.peer === trial.peer) this.emit("event", event);
    else trial.held.push(event);
  }

  /** @param {Trial} trial */
  #pictured(trial) {
    trial.pictured = true;
    if (trial.greeted) this.#settle(trial);
  }

  /** The trial has proved itself. @param {Trial} trial */
  #settle(trial) {
    clearTimeout(trial.deadline);
    clearTimeout(this.#retry);
    if (this.peer !== trial.peer) this.#adopt(trial);
    this.#link.close();
    this.#setDetour(null);
    this.emit("pictured", trial.peer);
  }

  /** @param {Trial} trial */
  #adopt(trial) {
    const seamless = this.carrier !== "";
    const [hello, ...later] = trial.held;
    trial.held = [];
    this.#carry("webrtc");
    this.#tell({ state: "open", code: "", message: "", retryAt: 0 });
    if (hello) this.emit("hello", { hello, seamless });
    for (const event of later) this.emit("event", event);
  }

  /** @param {Trial} trial @param {import("./losses.js").PeerLoss} loss */
  #peerLost(trial, loss) {
    if (this.#trial !== trial) return;
    const worked = trial.pictured && this.peer === trial.peer;
    if (worked && performance.now() - trial.since > STABLE_AFTER_MS) this.#attempt = 0;
    if (this.peer === trial.peer) this.#carry("");
    this.#fall(loss);
  }

  /** What must not wait got no answer: a peer that carries is taken for lost. */
  doubt() {
    if (this.#trial && this.peer) this.#peerLost(this.#trial, PeerLosses.lost);
  }

  /** The peer is of no use, for now or for good: the socket carries. @param {import("./losses.js").PeerLoss} loss */
  #fall(loss) {
    const trial = this.#trial;
    this.#final ||= loss.final;
    clearTimeout(trial?.deadline);
    clearTimeout(this.#retry);
    const speaks = trial !== null && this.peer === trial.peer; // without a picture, but heard: it speaks until the socket does
    if (!speaks) this.#drop();
    const delay = retryDelay(this.#attempt++);
    const retryAt = this.wantsPeer ? performance.now() + delay : 0;
    if (this.wantsPeer) this.#retry = setTimeout(() => this.#try(), delay);
    if (!this.#socketAllowed) return this.#waitForPeer(loss);
    this.#setDetour(this.#wanted ? { code: loss.code, message: loss.message, retryAt, final: this.#final } : null);
    if (this.carrier === "" && this.#link.state.state !== "open") {
      this.#tell({ state: "connecting", code: this.state.state === "open" ? loss.code : "", message: sentence(loss.message), retryAt: 0 });
    }
    this.#link.connect();
  }

  /** @param {import("./losses.js").PeerLoss} loss */
  #waitForPeer(loss) {
    this.#drop();
    this.#carry("");
    clearTimeout(this.#retry);
    if (this.#final) return this.#tell({ state: "closed", code: loss.code, message: sentence(loss.message), retryAt: 0 });
    const delay = reconnectDelay(this.#attempt - 1, Math.random());
    this.#retry = setTimeout(() => this.#try(), delay);
    this.#tell({ state: "waiting", code: loss.code, message: sentence(loss.message), retryAt: performance.now() + delay });
  }

  #drop() {
    const trial = this.#trial;
    this.#trial = null;
    clearTimeout(trial?.deadline);
    trial?.peer.close();
    if (trial) this.emit("dropped", trial.peer);
  }

  /** The network is back: what was unreachable a moment ago may not be. */
  #online = () => {
    if (this.carrier !== "webrtc" && this.state.state !== "closed") this.#try();
  };

  // --- the socket ------------------------------------------------------------------------------------------------

  /** @param {import("./link.js").LinkState} state */
  #linkMoved(state) {
    if (this.carrier === "webrtc") return; // it is opened beside the peer, or closed after it
    if (state.state === "connecting" && !state.code && this.state.state === "connecting") return; // said, with a cause
    this.#outage ||= state.state === "waiting";
    if (state.state === "waiting" || state.state === "closed") this.#carry("");
    if (state.state === "closed") {
      if (state.code === "closed") return; // by us
      this.#drop();
      clearTimeout(this.#retry);
    }
    if (state.state !== "open") this.#tell(state);
  }

  /** @param {import("./protocol.js").WireEvent} event */
  #linkSaid(event) {
    if (event.type !== "hello") {
      if (this.carrier === "socket") this.emit("event", event);
      return;
    }
    const seamless = this.carrier === "webrtc";
    if (seamless) this.#drop();
    this.#carry("socket");
    this.#tell({ state: "open", code: "", message: "", retryAt: 0 });
    this.emit("hello", { hello: event, seamless });
    if (this.#outage) this.#try(); // what took both away is over
    this.#outage = false;
  }

  // --- what is told ----------------------------------------------------------------------------------------------

  /** @param {Carrier} carrier */
  #carry(carrier) {
    if (this.carrier === carrier) return;
    this.carrier = carrier;
    this.emit("carrier", carrier);
  }

  /** @param {Detour | null} detour */
  #setDetour(detour) {
    this.detour = detour;
    this.emit("detour", detour);
  }

  /** @param {import("./link.js").LinkState} state */
  #tell(state) {
    this.state = state;
    this.emit("state", state);
  }
}

/** @param {string} words  the end of a sentence */
function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

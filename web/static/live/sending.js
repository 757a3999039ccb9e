/**
 * A camera on its way into the session, by whichever connection carries it: the peer's own video line, or a publisher
 * on a socket beside it. A change of the carrier moves the camera; whoever asked for it to be published sees one thing.
 */

import { Emitter } from "./emitter.js";
import { LiveError } from "./errors.js";
import { Publisher } from "./publisher.js";

/** How long the old way goes on while the first picture comes by the new one. */
const OVERLAP_MS = 2000;

/**
 * @extends {Emitter<{
 *   connection: import("./link.js").LinkState,
 *   rate: {sent: number, seen: number},
 *   error: LiveError,
 *   ended: null,
 * }>}
 */
export class Sending extends Emitter {
  #credentials;
  #track;
  #size;
  /** @type {import("./peer.js").Peer | null} */
  #peer = null;
  /** @type {Publisher | null} */
  #publisher = null;
  /** @type {Publisher[]} */
  #past = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #overlap;
  #closed = false;

  /**
   * @param {import("./live.js").Credentials} credentials
   * @param {MediaStreamTrack} track  the caller's own; it is not stopped here
   * @param {() => {width: number, height: number}} size  the session's
   */
  constructor(credentials, track, size) {
    super();
    this.#credentials = credentials;
    this.#track = track;
    this.#size = size;
  }

  /** Send this way from now on. @param {import("./peer.js").Peer | null} peer  null: by a socket */
  use(peer) {
    if (this.#closed || (peer ? peer === this.#peer : this.#publisher)) return;
    this.#peer?.setCamera(null, this.#size());
    this.#peer = peer;
    if (peer) {
      peer.setCamera(this.#track, this.#size());
      this.#retire();
    } else {
      this.#publisher = this.#publish();
    }
  }

  /** Whether a picture with this clock reading went out from here on a socket. @param {number} source */
  sentSource(source) {
    return [this.#publisher, ...this.#past].some((publisher) => publisher?.sentSource(source));
  }

  /** What a peer's statistics say of the camera. @param {{sent: number, seen: number}} rate */
  measured(rate) {
    if (this.#peer) this.emit("rate", rate);
  }

  /** The peer was told that somebody else publishes now. @param {LiveError} error */
  replaced(error) {
    if (!this.#peer) return;
    const { code, message } = error;
    this.emit("connection", { state: "closed", code, message, retryAt: 0 });
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#overlap);
    this.#peer?.setCamera(null, this.#size());
    this.#peer = null;
    for (const publisher of [this.#publisher, ...this.#past]) publisher?.close();
    this.#publisher = null;
  }

  #publish() {
    const publisher = new Publisher(this.#credentials, this.#track);
    const ours = (/** @type {() => void} */ tell) => {
      if (publisher === this.#publisher) tell();
    };
    publisher.on("connection", (state) => ours(() => this.emit("connection", state)));
    publisher.on("rate", (rate) => ours(() => this.emit("rate", rate)));
    publisher.on("error", (error) => ours(() => this.emit("error", error)));
    publisher.on("ended", () => ours(() => this.emit("ended", null)));
    return publisher;
  }

  /** The peer's first picture replaces the publisher at the server; until then it goes on. */
  #retire() {
    const publisher = this.#publisher;
    if (!publisher) return;
    clearTimeout(this.#overlap);
    for (const past of this.#past) past.close();
    this.#publisher = null;
    this.#past = [publisher]; // pictures that it sent are still on their way back
    publisher.on("connection", ({ state }) => state === "closed" && publisher.close());
    this.#overlap = setTimeout(() => publisher.close(), OVERLAP_MS);
  }
}

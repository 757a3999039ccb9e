/** Asks the peer that carries for its statistics, once a second. */

import { figuresOf } from "./peer-figures.js";

const EVERY_MS = 1000;

export class PeerMeter {
  #tell;
  /** @type {import("./peer.js").Peer | null} */
  #peer = null;
  /** @type {RTCStatsReport | null} */
  #before = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {(figures: import("./peer-figures.js").Figures | null) => void} tell */
  constructor(tell) {
    this.#tell = tell;
  }

  /** @param {import("./peer.js").Peer | null} peer  null: none carries */
  watch(peer) {
    if (peer === this.#peer) return;
    clearInterval(this.#timer);
    this.#peer = peer;
    this.#before = null;
    if (!peer) return this.#tell(null);
    this.#timer = setInterval(() => void this.#measure(peer), EVERY_MS);
  }

  /** @param {import("./peer.js").Peer} peer */
  async #measure(peer) {
    const report = await peer.stats().catch(() => null); // it ended in the meantime
    if (!report || peer !== this.#peer) return;
    const before = this.#before;
    this.#before = report;
    if (before) this.#tell(figuresOf(report, before, peer.picture.unmatched));
  }
}

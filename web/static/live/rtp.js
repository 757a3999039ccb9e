/**
 * RTP time stamps, and what each presented picture was: the slot by `stream.clock`, its story by that slot's
 * `frame.meta`. Pure; a picture whose story never comes is counted and never guessed. Runs in the page.
 */

const WRAP = 2 ** 32;
const KEPT_METAS = 240;
const PATIENCE_MS = 500;

/**
 * How far `later` is ahead of `earlier`, across the wrap.
 *
 * @param {number} later @param {number} earlier
 * @returns {number} ticks, from -2^31 to 2^31 - 1
 */
export function rtpSince(later, earlier) {
  return (later - earlier) | 0;
}

/** @param {number} ticks @returns {number} 0 to 2^32 - 1 */
export function rtpWrapped(ticks) {
  return ((ticks % WRAP) + WRAP) % WRAP;
}

/** @typedef {{rtp_origin: number, slot0: number, ticks_per_slot: number}} StreamClock */

/** Slots by time stamp. Time stamps wrap every 13 hours and slots do not: the last one seen says which turn it is. */
export class SlotClock {
  #clock;
  #lastRtp;
  #lastTicks = 0;

  /** @param {StreamClock} clock */
  constructor(clock) {
    this.#clock = clock;
    this.#lastRtp = clock.rtp_origin;
  }

  /** @param {number} rtp  of a presented picture @returns {number} */
  slot(rtp) {
    this.#lastTicks += rtpSince(rtp, this.#lastRtp);
    this.#lastRtp = rtp;
    return this.#clock.slot0 + Math.round(this.#lastTicks / this.#clock.ticks_per_slot);
  }
}

/**
 * Presented pictures and the stories told of their slots, whichever comes first.
 *
 * @template Presented
 */
export class Partners {
  /** Pictures that were shown and never told of. */
  unmatched = 0;
  /** @type {SlotClock | null} */
  #clock = null;
  /** @type {Map<number, import("./protocol.js").FrameMeta>} */
  #metas = new Map();
  /** @type {{rtp: number, slot: number | null, at: number, presented: Presented}[]} */
  #waiting = [];

  /**
   * @param {StreamClock} clock
   * @param {number} now  milliseconds
   * @returns {{meta: import("./protocol.js").FrameMeta, presented: Presented}[]} what found its partner by this
   */
  clock(clock, now) {
    this.#clock = new SlotClock(clock);
    for (const waiting of this.#waiting) waiting.slot = this.#clock.slot(waiting.rtp);
    return this.#match(now);
  }

  /**
   * @param {import("./protocol.js").FrameMeta} meta
   * @param {number} now  milliseconds
   */
  told(meta, now) {
    this.#metas.set(meta.slot, meta);
    if (this.#metas.size > KEPT_METAS) this.#metas.delete(/** @type {number} */ (this.#metas.keys().next().value));
    return this.#match(now);
  }

  /**
   * @param {number} rtp
   * @param {Presented} presented
   * @param {number} now  milliseconds
   */
  shown(rtp, presented, now) {
    this.#waiting.push({ rtp, slot: this.#clock?.slot(rtp) ?? null, at: now, presented });
    return this.#match(now);
  }

  /** @param {number} now */
  #match(now) {
    const matched = [];
    const still = [];
    for (const waiting of this.#waiting) {
      const meta = waiting.slot === null ? undefined : this.#metas.get(waiting.slot);
      if (meta) matched.push({ meta, presented: waiting.presented });
      else if (now - waiting.at > PATIENCE_MS) this.unmatched += 1;
      else still.push(waiting);
    }
    this.#waiting = still;
    return matched;
  }
}

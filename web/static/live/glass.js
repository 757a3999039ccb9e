/**
 * From lens to screen: which moment of the camera each sent RTP time stamp stands for. Encoded pictures tell their time
 * stamp and no capture time, the local preview tells capture times and no time stamp; the two differ by one constant
 * (rtp = 90 · captureTime + C, modulo 2³²), which is found here from both logs. Pure; all times are milliseconds on the
 * page's clock, `performance.now()`. A time stamp that this page did not send has no answer.
 */

import { rtpSince, rtpWrapped } from "./rtp.js";

const TICKS_PER_MS = 90;
const ENOUGH = 24;
const KEPT_CAPTURES = 150;
const KEPT_FITTED = 150;
const KEPT_SENT = 1024;
/** A picture comes out of the encoder within this of being taken … */
const LATEST_MS = 400;
/** … and never before, though clocks may disagree by a little; pairs that say so show that their band is a wrong one. */
const EARLIEST_MS = -150;
const CAUSAL_MS = -2;
const FEW = 0.02;
/** The sender counts whole milliseconds, so that one constant shows as a band. */
const BAND_TICKS = 2 * TICKS_PER_MS;
/** With a camera as regular as a metronome every whole frame of shift fits nearly as well. */
const NEARLY = 0.85;

/** @typedef {{rtp: number, at: number}} Sent  `at`: when it came out of the encoder */

export class Glass {
  /** @type {number | null} ticks; null until it is known */
  #constant = null;
  /** @type {number[]} */
  #captures = [];
  /** @type {Sent[]} */
  #fitting = [];
  /** @type {Set<number>} */
  #sent = new Set();
  #sinceFit = 0;

  /** Whether this page sent a picture with this time stamp, of those it remembers. @param {number} rtp */
  sent(rtp) {
    return this.#sent.has(rtp);
  }

  /** An encoded picture left. @param {number} rtp @param {number} at */
  addSent(rtp, at) {
    this.#sent.add(rtp);
    if (this.#sent.size > KEPT_SENT) this.#sent.delete(/** @type {number} */ (this.#sent.values().next().value));
    this.#fitting.push({ rtp, at });
    if (this.#fitting.length > KEPT_FITTED) this.#fitting.shift();
    this.#sinceFit += 1;
    if (this.#sinceFit < ENOUGH) return;
    this.#sinceFit = 0;
    this.#fit();
  }

  /** The camera took a picture. @param {number} at */
  addCapture(at) {
    this.#captures.push(at);
    if (this.#captures.length > KEPT_CAPTURES) this.#captures.shift();
  }

  /** Another camera, or another encoder: what was found no longer holds. What was sent stays ours. */
  restart() {
    this.#constant = null;
    this.#captures = [];
    this.#fitting = [];
    this.#sinceFit = 0;
  }

  /**
   * When the camera took the picture that was sent with this time stamp.
   *
   * @param {number} rtp
   * @returns {number | null} milliseconds; null where it is not ours, or not known (yet)
   */
  capturedAt(rtp) {
    const near = this.#captures.at(-1);
    if (this.#constant === null || near === undefined || !this.#sent.has(rtp)) return null;
    const there = rtpWrapped(Math.round(TICKS_PER_MS * near) + this.#constant);
    return near + rtpSince(rtp, there) / TICKS_PER_MS;
  }

  #fit() {
    const found = fitConstant(this.#fitting, this.#captures, this.#constant);
    if (found !== null) this.#constant = found;
  }
}

/**
 * The constant between capture times and RTP time stamps: the band of 2 ms that most pairs fall into, and the median
 * in it. Bands that hold nearly as many are told apart by cause and effect: in the right one no picture leaves the
 * encoder before it is taken, in a later one the quickest do. Of those left it is the one already known, or else the one
 * with the shortest way through the encoder.
 *
 * @param {Sent[]} sent
 * @param {number[]} captures  milliseconds
 * @param {number | null} [known]  ticks
 * @returns {number | null} ticks, 0 to 2³² - 1; null where fewer than 24 pairs agree
 */
export function fitConstant(sent, captures, known = null) {
  const pairs = pairUp(sent, captures);
  const reference = pairs[0]?.constant ?? 0;
  const bands = bandsOf(pairs);
  const most = Math.max(0, ...bands.map((band) => band.length));
  if (most < ENOUGH) return null;
  const found = bands
    .filter((band) => band.length >= NEARLY * most && isCausal(band))
    .map((band) => ({
      constant: rtpWrapped(reference + median(band.map(({ offset }) => offset))),
      delay: median(band.map(({ delay }) => delay)),
    }))
    .sort((a, b) => a.delay - b.delay);
  const same = found.find(({ constant }) => known !== null && Math.abs(rtpSince(constant, known)) <= BAND_TICKS);
  return (same ?? found[0])?.constant ?? null;
}

/** @param {Pair[]} band */
function isCausal(band) {
  return band.filter(({ delay }) => delay < CAUSAL_MS).length <= FEW * band.length;
}

/**
 * @typedef {{constant: number, offset: number, delay: number}} Pair  `offset`: ticks from the first pair's constant
 *
 * @param {Sent[]} sent
 * @param {number[]} captures
 * @returns {Pair[]} the first has offset 0
 */
function pairUp(sent, captures) {
  /** @type {Pair[]} */
  const pairs = [];
  for (const { rtp, at } of sent) {
    for (const captured of captures) {
      const delay = at - captured;
      if (delay < EARLIEST_MS || delay > LATEST_MS) continue;
      const constant = rtpWrapped(rtp - Math.round(TICKS_PER_MS * captured));
      pairs.push({ constant, offset: rtpSince(constant, pairs[0]?.constant ?? constant), delay });
    }
  }
  return pairs;
}

/**
 * The fullest bands that do not overlap.
 *
 * @param {Pair[]} pairs
 * @returns {Pair[][]}
 */
function bandsOf(pairs) {
  const sorted = [...pairs].sort((a, b) => a.offset - b.offset);
  const bands = sorted.map((pair, from) => {
    let to = from;
    while (to < sorted.length && /** @type {Pair} */ (sorted[to]).offset - pair.offset <= BAND_TICKS) to += 1;
    return { from, to };
  });
  bands.sort((a, b) => b.to - b.from - (a.to - a.from));
  const taken = new Uint8Array(sorted.length);
  /** @type {Pair[][]} */
  const chosen = [];
  for (const { from, to } of bands) {
    if (taken[from] || taken[to - 1]) continue;
    taken.fill(1, from, to);
    chosen.push(sorted.slice(from, to));
  }
  return chosen;
}

/** @param {number[]} values  at least one */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

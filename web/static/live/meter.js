/**
 * Percentiles over the last few seconds, and only where there are enough samples to speak of any. Pure.
 */

const ENOUGH = 24;

export class Meter {
  /** @type {{at: number, value: number}[]} */
  #samples = [];
  #windowMs;

  /** @param {number} [windowMs] */
  constructor(windowMs = 5000) {
    this.#windowMs = windowMs;
  }

  /** @param {number} value @param {number} now milliseconds */
  add(value, now) {
    this.#samples.push({ at: now, value });
    this.#forget(now);
  }

  clear() {
    this.#samples = [];
  }

  /**
   * @param {number} now milliseconds
   * @returns {{p50: number, p95: number} | null} null under 24 samples
   */
  read(now) {
    this.#forget(now);
    if (this.#samples.length < ENOUGH) return null;
    const sorted = this.#samples.map(({ value }) => value).sort((a, b) => a - b);
    const at = (/** @type {number} */ share) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return { p50: at(0.5), p95: at(0.95) };
  }

  /** @param {number} now */
  #forget(now) {
    const from = this.#samples.findIndex(({ at }) => at >= now - this.#windowMs);
    this.#samples = from < 0 ? [] : from > 0 ? this.#samples.slice(from) : this.#samples;
  }
}

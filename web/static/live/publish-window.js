/**
 * How many pictures may be on their way to the server: it gives credit with each acknowledgement. Pure.
 */

const FIRST_CREDIT = 3;

export class PublishWindow {
  #next = 0;
  #acknowledged = -1;
  #credit = FIRST_CREDIT;

  /** Whether one more may be sent now. */
  get open() {
    return this.unacknowledged < this.#credit;
  }

  get unacknowledged() {
    return this.#next - 1 - this.#acknowledged;
  }

  /** The number of the picture that is sent now. */
  take() {
    return this.#next++;
  }

  /** @param {number} seq cumulative @param {number} credit */
  acknowledge(seq, credit) {
    this.#acknowledged = Math.max(this.#acknowledged, Math.min(seq, this.#next - 1));
    if (credit >= 1) this.#credit = credit;
  }

  /** A new connection: what was on its way is gone; the numbers go on. */
  reset() {
    this.#acknowledged = this.#next - 1;
    this.#credit = FIRST_CREDIT;
  }
}

/**
 * The page's end of the painter: hands messages to where they are decoded and tells what was shown. Holds at most
 * the newest message while the worker starts.
 */

import { startActor } from "./actor.js";
import { Emitter } from "./emitter.js";

/**
 * @typedef {object} Painted
 * @property {import("./header.js").Header} header
 * @property {number} width
 * @property {number} height
 * @property {number} paintedAt  microseconds, `clockMicros()`
 * @property {number} decodeMs
 * @property {number} skipped  pictures that came and were not painted, since the painter began
 * @property {boolean} own  a camera picture of this very page shaped it
 */

/** @extends {Emitter<{decoded: number, painted: Painted}>} */
export class Painter extends Emitter {
  /** @type {import("./actor.js").Actor | null} */
  #actor = null;
  /** @type {ArrayBuffer | null} */
  #early = null;
  #closed = false;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    void this.#start(canvas);
  }

  /** @param {ArrayBuffer} message  header and payload; it is given away */
  offer(message) {
    if (this.#actor) this.#actor.post({ type: "frame", message }, [message]);
    else this.#early = message;
  }

  /** A new connection: slots may count anew. The picture shown stays until a newer one comes. */
  reset() {
    this.#early = null;
    this.#actor?.post({ type: "reset" });
  }

  close() {
    this.#closed = true;
    this.#actor?.close();
    this.#actor = null;
  }

  /** @param {HTMLCanvasElement} canvas */
  async #start(canvas) {
    const local = async () => {
      const { PaintCore } = await import("./paint-core.js");
      return (/** @type {import("./actor.js").Post} */ post) => new PaintCore(post);
    };
    const script = new URL("./paint.worker.js", import.meta.url);
    const canOffscreen = typeof canvas.transferControlToOffscreen === "function";
    const actor = await startActor({
      script,
      local,
      answer: ({ painted }) => this.#painted(painted),
      pageOnly: !canOffscreen,
    });
    if (this.#closed) return actor.close();
    const target = actor.inWorker ? canvas.transferControlToOffscreen() : canvas;
    actor.post({ type: "canvas", canvas: target }, actor.inWorker ? [/** @type {OffscreenCanvas} */ (target)] : []);
    this.#actor = actor;
    if (this.#early) this.offer(this.#early);
    this.#early = null;
  }

  /** @param {Painted} painted */
  #painted(painted) {
    if (this.#closed) return;
    this.emit("decoded", painted.header.seq);
    this.emit("painted", painted);
  }
}

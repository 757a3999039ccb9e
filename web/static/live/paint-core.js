/**
 * Decodes pictures and paints them, newest first: one is decoded at a time, a newer one takes the place of the one
 * that waits, and nothing older than what is shown is ever painted. Runs in a worker, or in the page as a fallback.
 */

import { Codec, HEADER_BYTES, clockMicros, decodeHeader } from "./header.js";

/** @type {Record<number, string>} */
const MEDIA_TYPES = { [Codec.jpeg]: "image/jpeg", [Codec.webp]: "image/webp" };

/** @typedef {{header: import("./header.js").Header, payload: Uint8Array<ArrayBuffer>, epoch: number}} Waiting */

export class PaintCore {
  /** @type {HTMLCanvasElement | OffscreenCanvas | null} */
  #canvas = null;
  /** @type {ImageBitmapRenderingContext | null} */
  #context = null;
  /** @type {Waiting | null} */
  #waiting = null;
  #decoding = false;
  #epoch = 0;
  #shown = -1;
  #skipped = 0;
  #post;

  /** @param {import("./actor.js").Post} post */
  constructor(post) {
    this.#post = post;
  }

  /** @param {{type: string, canvas?: HTMLCanvasElement | OffscreenCanvas, message?: ArrayBuffer}} message */
  receive(message) {
    if (message.type === "canvas" && message.canvas) {
      this.#canvas = message.canvas;
      this.#context = /** @type {ImageBitmapRenderingContext} */ (message.canvas.getContext("bitmaprenderer"));
    } else if (message.type === "frame" && message.message) {
      this.#offer(message.message);
    } else if (message.type === "reset") {
      this.#epoch += 1; // a new connection counts its slots anew, and what the old one sent is late
      this.#shown = -1;
      this.#waiting = null;
    } else if (message.type === "close") {
      this.#epoch += 1;
      this.#context = null;
      this.#waiting = null;
    }
  }

  /** @param {ArrayBuffer} message */
  #offer(message) {
    const header = decodeHeader(message);
    if (!header || !(header.codec in MEDIA_TYPES) || header.seq <= this.#shown) {
      this.#skipped += 1;
      return;
    }
    if (this.#waiting) this.#skipped += 1;
    this.#waiting = { header, payload: new Uint8Array(message, HEADER_BYTES), epoch: this.#epoch };
    if (!this.#decoding) void this.#decode();
  }

  async #decode() {
    this.#decoding = true;
    while (this.#waiting) {
      const { header, payload, epoch } = this.#waiting;
      this.#waiting = null;
      const began = performance.now();
      const bitmap = await createImageBitmap(new Blob([payload], { type: MEDIA_TYPES[header.codec] })).catch(() => null);
      if (epoch !== this.#epoch || !bitmap) {
        bitmap?.close();
        this.#skipped += bitmap ? 0 : 1;
        continue;
      }
      this.#paint(header, bitmap, performance.now() - began);
    }
    this.#decoding = false;
  }

  /** @param {import("./header.js").Header} header @param {ImageBitmap} bitmap @param {number} decodeMs */
  #paint(header, bitmap, decodeMs) {
    const canvas = this.#canvas;
    if (!canvas || !this.#context) return bitmap.close();
    const { width, height } = bitmap;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    this.#context.transferFromImageBitmap(bitmap);
    this.#shown = header.seq;
    const painted = { header, width, height, paintedAt: clockMicros(), decodeMs, skipped: this.#skipped };
    this.#post({ type: "painted", painted });
  }
}

/**
 * Tiles of looks: each painted by the model from the newest picture of this session, one after the other, so that they
 * cost the program little. A hidden page, or one that has scrolled them away, paints none.
 */

import { LiveError } from "../client.js";

/** From one tile to the next: quick until each has been painted once. */
const FIRST_ROUND_MS = 60;
const LATER_MS = 700;
const REFUSED_MS = 3000;
const PAINTABLE = new Set(["live", "degraded"]);

/** @typedef {{look: import("../live/protocol.js").Look, button: HTMLElement, canvas: HTMLCanvasElement}} Tile */

export class Tiles {
  /** @type {Tile[]} */
  #tiles = [];
  #next = 0;
  #painted = 0;
  #seen = false;
  #timer = 0;
  /** @type {import("../client.js").Live | null} */
  #live = null;

  /** @param {HTMLElement} place  that holds the tiles */
  constructor(place) {
    new IntersectionObserver(([entry]) => {
      this.#seen = Boolean(entry?.isIntersecting);
      this.#soon(0);
    }).observe(place);
    document.addEventListener("visibilitychange", () => this.#soon(0));
  }

  /** @param {Tile[]} tiles */
  show(tiles) {
    this.#tiles = tiles;
    this.#begin();
  }

  /** @param {import("../client.js").Live} live */
  use(live) {
    this.#live = live;
    live.on("state", () => this.#soon(0));
    live.on("hello", () => this.#begin());
    this.#begin();
  }

  #begin() {
    this.#next = this.#painted = 0;
    this.#soon(0);
  }

  /** @param {number} after  milliseconds */
  #soon(after) {
    if (this.#timer !== 0) return;
    this.#timer = window.setTimeout(async () => {
      const wait = await this.#paintNext();
      this.#timer = 0;
      if (wait !== null) this.#soon(wait);
    }, after);
  }

  /** @returns {Promise<number | null>} how long to wait before the next; null: until something changes */
  async #paintNext() {
    const live = this.#live;
    const able = live !== null && live.connection.state === "open" && PAINTABLE.has(live.state.state) && live.hello?.role === "controller";
    if (!able || !this.#seen || document.visibilityState !== "visible") return null;
    const shown = this.#tiles.filter(({ button }) => !button.hidden);
    const tile = shown[this.#next % Math.max(1, shown.length)];
    if (!tile) return null;
    this.#next += 1;
    const { prompt, strength } = tile.look;
    try {
      const picture = await createImageBitmap(await live.preview({ prompt, ...(strength !== undefined && { params: { strength } }) }));
      tile.canvas.width = picture.width;
      tile.canvas.height = picture.height;
      tile.canvas.getContext("2d")?.drawImage(picture, 0, 0);
      picture.close();
    } catch (error) {
      const gone = error instanceof LiveError && !error.retryable;
      return gone ? null : Math.max(REFUSED_MS, error instanceof LiveError ? error.retryAfter * 1000 : 0);
    }
    this.#painted += 1;
    return this.#painted < shown.length ? FIRST_ROUND_MS : LATER_MS;
  }
}

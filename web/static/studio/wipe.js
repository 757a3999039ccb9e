/**
 * The line between the camera on its left and the generated picture on its right: dragged, or moved by keys. It plays
 * once when there is something to compare. The camera side is a local preview; it is painted in this page only.
 */

import { byId, element } from "./dom.js";

const PLAY_MS = 1400;
const REST = 50;

export class Wipe {
  #stage = element("stage");
  #line = element("wipe");
  #at = 0;
  #played = false;
  #playing = 0;

  constructor() {
    this.#line.addEventListener("pointerdown", (event) => {
      this.#line.setPointerCapture(event.pointerId);
      this.#line.focus();
      this.#playing = 0;
      event.preventDefault();
    });
    this.#line.addEventListener("pointermove", (event) => {
      if (!this.#line.hasPointerCapture(event.pointerId)) return;
      const box = this.#stage.getBoundingClientRect();
      this.#move(((event.clientX - box.left) / box.width) * 100);
    });
    this.#line.addEventListener("keydown", (event) => this.#key(event));
    this.#move(0);
  }

  /** The camera alone: while nothing generated from it exists. */
  cameraOnly() {
    this.#playing = 0;
    this.#line.hidden = true;
    this.#move(100);
  }

  /** The program alone. */
  programOnly() {
    this.#playing = 0;
    this.#line.hidden = true;
    this.#move(0);
  }

  /** Something to compare: the line plays once from the camera to the middle, then it is the user's. */
  compare() {
    if (!this.#line.hidden) return;
    this.#line.hidden = false;
    byId("preview", HTMLVideoElement).hidden = false;
    if (this.#played || matchMedia("(prefers-reduced-motion: reduce)").matches) return this.#move(REST);
    this.#played = true;
    const began = (this.#playing = performance.now());
    const step = () => {
      if (this.#playing !== began) return;
      const share = Math.min(1, (performance.now() - began) / PLAY_MS);
      this.#move(100 - (100 - REST) * (1 - (1 - share) ** 3));
      if (share < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = event.shiftKey ? 10 : 2;
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: this.#at - step, ArrowDown: this.#at - step, ArrowRight: this.#at + step, ArrowUp: this.#at + step,
      PageDown: this.#at - 10, PageUp: this.#at + 10, Home: 0, End: 100,
    };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.#playing = 0;
    this.#move(place);
  }

  /** @param {number} percent */
  #move(percent) {
    this.#at = Math.min(100, Math.max(0, percent));
    this.#stage.style.setProperty("--wipe", `${this.#at}%`);
    this.#stage.dataset["edge"] = this.#at < 4 ? "left" : this.#at > 96 ? "right" : "";
    this.#line.setAttribute("aria-valuenow", String(Math.round(this.#at)));
    this.#line.setAttribute("aria-valuetext", `${Math.round(this.#at)} % camera`);
    element("side-camera").classList.toggle("sr-only", this.#at < 15);
    element("side-program").classList.toggle("sr-only", this.#at > 85);
  }
}

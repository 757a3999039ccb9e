/**
 * Where the picture is, in a page: a canvas that the socket's pictures are painted on, or the video of a peer, one on
 * top of the other while one takes over from the other. What was shown last stays until its successor has something to
 * show: never a black moment. Knows nothing of connections.
 */

import { Painter } from "./painter.js";

/** Long enough for a picture that a worker painted to be on the display; a hidden tab has no animation frames. */
const LATEST_MS = 150;

export class Screen {
  /** Paints the socket's pictures; null while there is no canvas. @type {Painter | null} */
  painter = null;
  #place;
  #onPainted;
  #onDecoded;

  /**
   * @param {HTMLElement} place  a canvas to paint on, or any other element to put the picture into
   * @param {{painted: (picture: import("./painter.js").Painted) => void, decoded: (seq: number) => void}} listeners
   */
  constructor(place, { painted, decoded }) {
    this.#place = place;
    this.#onPainted = painted;
    this.#onDecoded = decoded;
  }

  /** Whether a video can be shown here. */
  get takesVideo() {
    return !(this.#place instanceof HTMLCanvasElement);
  }

  /** Be ready for the socket's pictures. */
  expectFrames() {
    if (this.painter) return;
    const canvas = this.#place instanceof HTMLCanvasElement ? this.#place : document.createElement("canvas");
    if (canvas !== this.#place) {
      canvas.width = canvas.height = 1;
      this.#place.prepend(canvas);
    }
    this.painter = new Painter(canvas);
    this.painter.on("decoded", this.#onDecoded);
    this.painter.on("painted", (picture) => {
      // A worker's picture reaches the page later than its word: not before the canvas has grown to its size.
      if (this.takesVideo && canvas.width === picture.width) this.#takeOver(canvas);
      this.#onPainted(picture);
    });
  }

  /** Under what is shown, until it is shown itself: some browsers play no video outside the page. @param {HTMLVideoElement} video */
  prepare(video) {
    if (this.takesVideo) this.#place.prepend(video);
  }

  /** The video has a picture: it is what is seen from now on. @param {HTMLVideoElement} video */
  show(video) {
    if (!this.takesVideo) return;
    if (video.parentElement !== this.#place) {
      this.#place.prepend(video);
      void video.play().catch(() => {}); // it paused when it was taken from another place
    }
    this.#takeOver(video);
    this.painter?.close();
    this.painter = null;
  }

  /** A peer's picture is over: its video goes; where it is what is seen, its last frame stays. @param {import("./peer-picture.js").PeerPicture} picture */
  release({ video, still }) {
    if (still && this.#place.lastElementChild === video) video.replaceWith(still);
    else video.remove();
  }

  close() {
    this.painter?.close();
    this.painter = null;
    if (this.takesVideo) this.#place.replaceChildren();
  }

  /** @param {HTMLElement} layer */
  #takeOver(layer) {
    const older = [...this.#place.children].slice([...this.#place.children].indexOf(layer) + 1);
    if (!older.length) return;
    whenOnDisplay(() => older.forEach((element) => element.remove()));
  }
}

/** @param {() => void} then */
function whenOnDisplay(then) {
  let done = false;
  const once = () => {
    if (!done) then();
    done = true;
  };
  requestAnimationFrame(() => requestAnimationFrame(once));
  setTimeout(once, LATEST_MS);
}

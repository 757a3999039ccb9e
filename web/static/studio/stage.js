/**
 * The stage: what covers the picture while there is none, the local camera beside it, and panic. It decides what is
 * seen in this page; what goes on air is the server's alone.
 */

import { Kind } from "../client.js";
import { byId, element, setText } from "./dom.js";
import { Wipe } from "./wipe.js";

export class Stage {
  #wipe = new Wipe();
  #preview = byId("preview", HTMLVideoElement);
  #hasPicture = false;
  #hasOwn = false;
  /** @type {MediaStreamTrack | null} */
  #camera = null;
  /** @type {import("../live/protocol.js").SessionState} */
  #state = { state: "reconnecting" };
  #waiting = "";

  /** @param {import("../client.js").Live} live */
  use(live) {
    live.on("hello", ({ size }) => element("stage").style.setProperty("--aspect", `${size.width} / ${size.height}`));
    live.on("connection", ({ state, code }) => {
      if (state === "closed" && code !== "closed") this.wait("no session");
    });
    live.on("state", (state) => {
      this.#state = state;
      this.#waiting = "";
      this.#update();
    });
    live.on("picture", ({ header, own: shaped }) => {
      if (header.kind === Kind.standby) return;
      const own = this.#camera !== null && shaped;
      if (this.#hasPicture && this.#hasOwn === (own || this.#hasOwn)) return;
      this.#hasPicture = true;
      this.#hasOwn ||= own;
      this.#update();
    });
  }

  /** What is waited for before there is a session. @param {string} text */
  wait(text) {
    this.#waiting = text;
    this.#update();
  }

  /** Show the camera beside the picture; null takes it away. @param {MediaStreamTrack | null} track */
  setCamera(track) {
    this.#camera = track;
    this.#hasOwn = false;
    this.#preview.srcObject = track ? new MediaStream([track]) : null;
    if (track) void this.#preview.play().catch(() => {});
    this.#update();
  }

  #update() {
    const panic = this.#state.state === "panic";
    const camera = this.#camera !== null && !panic;
    element("panic-banner").hidden = !panic;
    element("slate").hidden = this.#hasPicture || camera || panic;
    setText(element("slate-text"), this.#waiting || this.#word());
    this.#preview.hidden = !camera;
    element("side-camera").hidden = !camera;
    element("side-program").hidden = !camera || !this.#hasOwn;
    setText(element("side-camera"), this.#hasOwn ? "camera, seen only here" : `${this.#word()} · your camera, seen only here`);
    if (!camera) this.#wipe.programOnly();
    else if (this.#hasOwn) this.#wipe.compare();
    else this.#wipe.cameraOnly();
  }

  #word() {
    const { state, stage, position } = this.#state;
    if (state === "reconnecting") return "connecting";
    if (state === "queued" && position) return `queued: place ${position}`;
    if (state === "live") return "waiting for the first picture";
    return stage ? `${state}: ${stage}` : state;
  }
}

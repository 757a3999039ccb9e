/**
 * *Use my camera*: one button that takes the camera, publishes it into the session on show, and gives it back.
 */

import { button, element, select, setText } from "./dom.js";
import { CameraError, listCameras, openCamera } from "./camera.js";

const KEY = "liveglass.camera";

export class Publishing {
  /** @type {MediaStreamTrack | null} */
  #track = null;
  #starting = false;
  #live;
  #stage;
  #hud;

  /**
   * @param {import("../client.js").Live} live
   * @param {import("./stage.js").Stage} stage
   * @param {import("./hud.js").Hud} hud
   */
  constructor(live, stage, hud) {
    this.#live = live;
    this.#stage = stage;
    this.#hud = hud;
    button("camera").onclick = () => (this.#track ? this.stop() : void this.start());
    select("devices").onchange = () => void this.start(select("devices").value);
    if (publishedTo() !== live.credentials.session) return;
    const stop = live.on("hello", () => {
      stop();
      void this.#resume();
    });
  }

  /** After a reload: the camera again, but only where the browser asks nobody; a question needs a press before it. */
  async #resume() {
    const name = /** @type {PermissionName} */ ("camera");
    const state = await navigator.permissions.query({ name }).then((permission) => permission.state, () => "prompt");
    if (state === "granted" && !this.#track) await this.start();
  }

  /** @param {string} [deviceId] */
  async start(deviceId) {
    if (this.#starting) return;
    this.#starting = true;
    button("camera").disabled = true;
    notice("");
    try {
      this.stop(); // some cameras open once only
      const track = await openCamera(this.#live.hello?.size ?? { width: 640, height: 360 }, deviceId);
      this.#publish(track);
      await this.#offerCameras(track);
    } catch (error) {
      notice(error instanceof CameraError ? error.message : String(error));
    } finally {
      this.#starting = false;
      button("camera").disabled = false;
      this.#label();
    }
  }

  stop() {
    this.#track?.stop();
    this.#track = null;
    rememberPublishing("");
    this.#live.unpublish();
    this.#stage.setCamera(null);
    this.#hud.setRate(null);
    this.#label();
  }

  /** @param {MediaStreamTrack} track */
  #publish(track) {
    this.#track = track;
    rememberPublishing(this.#live.credentials.session);
    this.#stage.setCamera(track);
    const publisher = this.#live.publish(track);
    publisher.on("rate", (rate) => this.#hud.setRate(rate));
    publisher.on("error", (error) => error.code === "publisher_replaced" || notice([error.message, error.hint].join(" ")));
    publisher.on("connection", ({ state, message, code }) => {
      if (state !== "closed" || code === "closed") return;
      this.stop();
      notice(`Your camera is off: ${message} Press “Use my camera” to take it back. (${code})`);
    });
    track.onended = () => {
      this.stop();
      notice("The camera was unplugged, or the browser took it away. Connect it and press “Use my camera”.");
    };
  }

  /** @param {MediaStreamTrack} track */
  async #offerCameras(track) {
    const cameras = await listCameras().catch(() => []);
    const picker = select("devices");
    picker.hidden = cameras.length < 2;
    picker.replaceChildren(...cameras.map((c, i) => new Option(c.label || `Camera ${i + 1}`, c.deviceId)));
    picker.value = track.getSettings().deviceId ?? "";
  }

  #label() {
    setText(button("camera"), this.#track ? "Stop my camera" : "Use my camera");
    button("camera").classList.toggle("primary", !this.#track);
  }
}

/** The session that this tab's camera went to when it was last on. */
function publishedTo() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage is off: after a reload the camera waits for a press
  }
}

/** @param {string} session  empty: the camera is off, and stays so */
function rememberPublishing(session) {
  try {
    if (session) sessionStorage.setItem(KEY, session);
    else sessionStorage.removeItem(KEY);
  } catch {
    // storage is off
  }
}

/** Something to read and do, next to the picture. @param {string} text  empty takes it away */
export function notice(text) {
  element("notice").hidden = !text;
  setText(element("notice"), text);
}

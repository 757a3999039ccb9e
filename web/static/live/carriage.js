/**
 * What a route carries besides words: the picture, on the screen that is attached, and the camera, by whichever
 * connection it is. A change of the carrier moves both. Knows nothing of commands.
 */

import { Emitter } from "./emitter.js";
import { PeerMeter } from "./peer-meter.js";
import { Screen } from "./screen.js";
import { Sending } from "./sending.js";

/**
 * @typedef {object} Carried
 * @property {import("./route.js").Carrier} carrier  empty: nothing carries now
 * @property {import("./route.js").Detour | null} detour  why it is the socket although WebRTC was asked for
 */

/**
 * @extends {Emitter<{
 *   picture: import("./painter.js").Painted,
 *   carried: Carried,
 *   figures: import("./peer-figures.js").Figures | null,
 * }>}
 */
export class Carriage extends Emitter {
  /** @type {Sending | null} */
  sending = null;
  /** @type {Screen | null} */
  #screen = null;
  #route;
  #credentials;
  #meter = new PeerMeter((figures) => this.#measured(figures));

  /**
   * @param {import("./route.js").Route} route
   * @param {import("./live.js").Credentials} credentials
   */
  constructor(route, credentials) {
    super();
    this.#route = route;
    this.#credentials = credentials;
    route.on("hello", () => this.#screen?.painter?.reset());
    route.on("frame", (message) => {
      this.#screen?.expectFrames();
      this.#screen?.painter?.offer(message);
    });
    route.on("carrier", () => this.#moved());
    route.on("detour", () => this.emit("carried", this.carried));
    route.on("trial", (trial) => this.#tried(trial));
    route.on("pictured", ({ picture }) => this.#screen?.show(picture.video));
    route.on("dropped", ({ picture }) => this.#screen?.release(picture));
  }

  /** @returns {Carried} */
  get carried() {
    return { carrier: this.#route.carrier, detour: this.#route.detour };
  }

  /** @param {HTMLElement} place */
  attach(place) {
    this.detach();
    const screen = new Screen(place, {
      decoded: (seq) => this.#route.acknowledge(seq),
      painted: (picture) => {
        const own = this.sending?.sentSource(picture.header.source) ?? false;
        this.emit("picture", { ...picture, own });
      },
    });
    this.#screen = screen;
    this.#route.wantsPeer = screen.takesVideo;
    const { peer } = this.#route;
    if (peer && screen.takesVideo) screen.show(peer.picture.video);
    else if (!this.#route.wantsPeer) screen.expectFrames();
  }

  detach() {
    this.#screen?.close();
    this.#screen = null;
  }

  /**
   * @param {MediaStreamTrack} track
   * @param {() => {width: number, height: number}} size  the session's
   * @returns {Sending}
   */
  publish(track, size) {
    this.unpublish();
    this.sending = new Sending(this.#credentials, track, size);
    this.sending.use(this.#route.peer);
    return this.sending;
  }

  unpublish() {
    this.sending?.close();
    this.sending = null;
  }

  close() {
    this.unpublish();
    this.detach();
    this.#meter.watch(null);
  }

  #moved() {
    const { carrier, peer } = this.#route;
    if (carrier === "socket") this.#screen?.expectFrames();
    this.#meter.watch(peer);
    this.sending?.use(peer);
    this.emit("carried", this.carried);
  }

  /** @param {import("./peer.js").Peer} trial */
  #tried(trial) {
    this.#screen?.prepare(trial.picture.video);
    trial.picture.on("painted", (picture) => {
      if (this.#route.peer === trial) this.emit("picture", picture);
    });
  }

  /** @param {import("./peer-figures.js").Figures | null} figures */
  #measured(figures) {
    if (figures?.camera) this.sending?.measured(figures.camera);
    this.emit("figures", figures);
  }
}

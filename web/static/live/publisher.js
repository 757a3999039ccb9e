/**
 * The page's end of publishing: takes a camera track to where its pictures are encoded and sent.
 *
 * Three ways, the first that the browser has:
 *  1. `MediaStreamTrackProcessor` here, its stream read in the worker (Chromium): goes on in a hidden tab.
 *  2. The track itself handed to the worker, which has the processor (Safari): goes on in a hidden tab.
 *  3. `requestVideoFrameCallback` on a `<video>` here, bitmaps to the worker (Firefox): stops in a hidden tab.
 */

import { startActor } from "./actor.js";
import { Emitter } from "./emitter.js";
import { LiveError } from "./errors.js";
import { clockMicros } from "./header.js";

const REMEMBERED_SOURCES = 1024;

/**
 * @extends {Emitter<{
 *   connection: import("./link.js").LinkState,
 *   rate: {sent: number, seen: number},
 *   error: LiveError,
 *   ended: null,
 * }>}
 */
export class Publisher extends Emitter {
  /** Which of the three ways is in use. @type {"processor" | "worker-track" | "video" | ""} */
  path = "";
  /** @type {import("./actor.js").Actor | null} */
  #actor = null;
  /** @type {MediaStreamTrack} */
  #track;
  /** @type {HTMLVideoElement | null} */
  #video = null;
  /** The clock readings that went out, oldest first. @type {Set<number>} */
  #sources = new Set();
  #closed = false;

  /**
   * @param {import("./live.js").Credentials} credentials
   * @param {MediaStreamTrack} track  a clone of it is read; the caller's own stays the caller's
   */
  constructor(credentials, track) {
    super();
    this.#track = track.clone();
    void this.#start(credentials);
  }

  /** Whether this page sent the picture with this clock reading: only then are its ages ours to tell. @param {number} source */
  sentSource(source) {
    return this.#sources.has(source);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#track.stop();
    this.#video?.pause();
    this.#actor?.post({ type: "close" });
    if (!this.#actor?.inWorker) this.#actor = null; // a worker ends when it says that it has closed
  }

  /** @param {import("./live.js").Credentials} credentials */
  async #start(credentials) {
    const local = async () => {
      const { PublishCore } = await import("./publish-core.js");
      return (/** @type {import("./actor.js").Post} */ post) => new PublishCore(post);
    };
    const script = new URL("./publish.worker.js", import.meta.url);
    const actor = await startActor({ script, local, answer: (message) => this.#receive(message) });
    this.#actor = actor;
    if (this.#closed) return actor.close();
    actor.post({ type: "connect", address: credentials });
    if (typeof MediaStreamTrackProcessor === "function") {
      this.path = "processor";
      const { readable } = new MediaStreamTrackProcessor({ track: this.#track, maxBufferSize: 1 });
      actor.post({ type: "readable", readable }, [readable]);
    } else if (!this.#giveTrack(actor)) {
      this.#readVideo();
    }
  }

  /** @param {import("./actor.js").Actor} actor @returns {boolean} whether the track could be handed over */
  #giveTrack(actor) {
    if (!actor.inWorker) return false;
    try {
      const track = this.#track.clone();
      actor.post({ type: "track", track }, [/** @type {any} */ (track)]);
      this.path = "worker-track";
      return true;
    } catch {
      return false; // this browser's tracks cannot travel
    }
  }

  #readVideo() {
    this.path = "video";
    const video = document.createElement("video");
    video.muted = true;
    video.playsInline = true;
    video.srcObject = new MediaStream([this.#track]);
    this.#video = video;
    const next = () => {
      if (this.#closed) return;
      const capturedAt = clockMicros();
      createImageBitmap(video)
        .then((image) => this.#actor?.post({ type: "frame", image, capturedAt }, [image]))
        .catch(() => {}); // not a whole picture yet
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    void video.play().catch(() => {});
  }

  /** @param {any} message */
  #receive(message) {
    if (message.type === "closed") this.#actor?.close();
    if (this.#closed) return;
    if (message.type === "sent") this.#remember(message.source);
    else if (message.type === "connection") this.emit("connection", message.state);
    else if (message.type === "rate") this.emit("rate", message);
    else if (message.type === "error") this.emit("error", new LiveError(message.error));
    else if (message.type === "unsupported") this.#readVideo();
    else if (message.type === "ended") this.emit("ended", null);
  }

  /** @param {number} source */
  #remember(source) {
    this.#sources.add(source);
    if (this.#sources.size <= REMEMBERED_SOURCES) return;
    const [oldest] = this.#sources;
    this.#sources.delete(oldest);
  }
}

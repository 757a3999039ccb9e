/**
 * The picture of one peer connection: a video, and what each presented frame of it was. Tells the same as the painter
 * does of the socket's pictures. A video goes black with its connection, so its last frame is kept as a still.
 */

import { Emitter } from "./emitter.js";
import { Codec, kindNumber } from "./header.js";
import { Partners, rtpSince } from "./rtp.js";

const TICKS_PER_US = 90 / 1000;

/**
 * @typedef {object} Origins  what this page knows of the camera pictures that it sent itself
 * @property {(rtp: number) => number | null} capturedAt  milliseconds on `performance.now()`
 * @property {(rtp: number) => boolean} sent
 *
 * @typedef {object} Presented
 * @property {number} paintedAt  microseconds, as `clockMicros()`
 * @property {number} width
 * @property {number} height
 * @property {number} decodeMs
 * @property {boolean} exact  whether it is certain which frame it was: only then is its age told
 */

/** @extends {Emitter<{painted: import("./painter.js").Painted}>} */
export class PeerPicture extends Emitter {
  video = document.createElement("video");
  /** The last frame, once this has stopped; null if there never was one. @type {HTMLCanvasElement | null} */
  still = null;
  /** @type {Partners<Presented>} */
  #partners = new Partners();
  #receiver;
  #origins;
  #first;
  #shown = false;
  #stopped = false;
  #lastSlot = -1;
  #skipped = 0;

  /**
   * @param {RTCRtpReceiver} receiver
   * @param {Origins & {first: () => void}} parts  `first`: the first picture is on show
   */
  constructor(receiver, { first, ...origins }) {
    super();
    this.#receiver = receiver;
    this.#first = first;
    this.#origins = origins;
    const { video } = this;
    video.muted = true;
    video.autoplay = true;
    video.playsInline = true;
    video.disablePictureInPicture = true;
    video.disableRemotePlayback = true;
    video.srcObject = new MediaStream([receiver.track]);
    video.onloadeddata = () => this.#begin(); // in a hidden tab no frame is ever presented
    video.requestVideoFrameCallback(this.#presented);
    void video.play().catch(() => {});
  }

  /** Pictures shown here that nobody told of. */
  get unmatched() {
    return this.#partners.unmatched;
  }

  /** @param {import("./protocol.js").FrameMeta} meta */
  told(meta) {
    this.#tell(this.#partners.told(meta, performance.now()));
  }

  /** @param {import("./rtp.js").StreamClock} clock */
  clock(clock) {
    this.#tell(this.#partners.clock(clock, performance.now()));
  }

  /** To be called while the connection still is. */
  stop() {
    if (this.#stopped) return;
    this.#stopped = true;
    const { video } = this;
    if (!this.#shown || !video.videoWidth) return;
    const still = document.createElement("canvas");
    still.width = video.videoWidth;
    still.height = video.videoHeight;
    still.getContext("2d", { alpha: false })?.drawImage(video, 0, 0);
    this.still = still;
  }

  #begin() {
    if (this.#shown || this.#stopped) return;
    this.#shown = true;
    this.#first();
  }

  /** @type {VideoFrameRequestCallback} */
  #presented = (_now, frame) => {
    if (this.#stopped) return;
    this.video.requestVideoFrameCallback(this.#presented);
    this.#begin();
    const rtp = frame.rtpTimestamp ?? this.#playing();
    if (rtp === undefined) return;
    const presented = {
      paintedAt: Math.round((performance.timeOrigin + frame.expectedDisplayTime) * 1000),
      width: frame.width,
      height: frame.height,
      decodeMs: (frame.processingDuration ?? 0) * 1000,
      exact: frame.rtpTimestamp !== undefined,
    };
    this.#tell(this.#partners.shown(rtp, presented, performance.now()));
  };

  /** Where a browser does not tell it of the frame: that of the newest one given to the video, at most one frame off. */
  #playing() {
    return this.#receiver.getSynchronizationSources()[0]?.rtpTimestamp;
  }

  /** @param {{meta: import("./protocol.js").FrameMeta, presented: Presented}[]} matched */
  #tell(matched) {
    for (const { meta, presented } of matched) {
      if (this.#lastSlot >= 0) this.#skipped += Math.max(0, meta.slot - this.#lastSlot - 1);
      this.#lastSlot = Math.max(this.#lastSlot, meta.slot);
      this.emit("painted", { ...presented, header: this.#header(meta, presented.exact), own: this.#own(meta), skipped: this.#skipped });
    }
  }

  /** @param {import("./protocol.js").FrameMeta} meta */
  #own({ src_rtp }) {
    return src_rtp !== null && this.#origins.sent(src_rtp);
  }

  /**
   * @param {import("./protocol.js").FrameMeta} meta
   * @param {boolean} dated
   * @returns {import("./header.js").Header}
   */
  #header({ slot, kind, version, src_rtp, base_rtp, age_ms }, dated) {
    const captured = src_rtp === null || !dated ? null : this.#origins.capturedAt(src_rtp);
    const exact = src_rtp !== null && base_rtp !== null;
    return {
      kind: kindNumber(kind),
      codec: Codec.h264,
      flags: 0,
      seq: slot,
      source: captured === null ? 0 : Math.round((performance.timeOrigin + captured) * 1000),
      version,
      age: exact ? Math.max(0, Math.round(rtpSince(src_rtp, base_rtp) / TICKS_PER_US)) : Math.round((age_ms ?? 0) * 1000),
    };
  }
}

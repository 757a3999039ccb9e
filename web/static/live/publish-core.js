/**
 * Sends camera pictures: newest first, as JPEG, on a connection of its own. Nothing here waits for an animation frame
 * or a page's canvas, so it goes on while the tab is hidden. Runs in a worker, or in the page as a fallback.
 */

import { Codec, Flag, HEADER_BYTES, Kind, clockMicros, encodeHeader } from "./header.js";
import { Link } from "./link.js";
import { PublishWindow } from "./publish-window.js";
import { socketTransport } from "./transport.js";

const JPEG_QUALITY = 0.8;
const STATS_MS = 1000;
const PLAUSIBLE_AGE_US = 1_000_000;
const MINUTE_US = 60_000_000;

/** @typedef {{image: VideoFrame | ImageBitmap, capturedAt: number}} Captured  `capturedAt` in microseconds */

export class PublishCore {
  #window = new PublishWindow();
  /** @type {Link | null} */
  #link = null;
  /** @type {Captured | null} */
  #waiting = null;
  /** @type {ReadableStreamDefaultReader<VideoFrame> | null} */
  #reader = null;
  /** @type {OffscreenCanvas | null} */
  #canvas = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #size = { width: 640, height: 360 };
  #encoding = false;
  #sent = 0;
  #seen = 0;
  #post;

  /** @param {import("./actor.js").Post} post */
  constructor(post) {
    this.#post = post;
  }

  /** @param {any} message  connect, readable, track, frame or close */
  receive(message) {
    if (message.type === "connect") this.#connect(message.address);
    else if (message.type === "readable") void this.#read(message.readable);
    else if (message.type === "track") this.#readTrack(message.track);
    else if (message.type === "frame") this.#offer({ image: message.image, capturedAt: message.capturedAt });
    else if (message.type === "close") this.#close();
  }

  /** @param {import("./transport.js").SocketAddress} address */
  #connect(address) {
    this.#link = new Link(socketTransport({ ...address, publish: true, view: false }));
    this.#link.on("state", (state) => this.#post({ type: "connection", state }));
    this.#link.on("event", (event) => {
      if (event.type === "hello") {
        this.#size = event.size ?? this.#size;
        this.#window.reset();
      } else if (event.type === "publish.ack") {
        this.#window.acknowledge(event.seq, event.credit);
      } else if (event.type === "error") {
        this.#post({ type: "error", error: event });
      }
      void this.#pump();
    });
    this.#link.connect();
    this.#timer = setInterval(() => {
      this.#post({ type: "rate", sent: this.#sent, seen: this.#seen });
      this.#sent = this.#seen = 0;
    }, STATS_MS);
  }

  /** @param {MediaStreamTrack} track */
  #readTrack(track) {
    if (typeof MediaStreamTrackProcessor !== "function") return this.#post({ type: "unsupported" });
    void this.#read(new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable);
  }

  /** @param {ReadableStream<VideoFrame>} readable */
  async #read(readable) {
    const reader = readable.getReader();
    const clock = new CaptureClock();
    this.#reader = reader;
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
      if (done || !value) break;
      this.#offer({ image: value, capturedAt: clock.read(value) });
    }
    this.#post({ type: "ended" });
  }

  /** @param {Captured} captured */
  #offer(captured) {
    this.#seen += 1;
    this.#waiting?.image.close();
    this.#waiting = captured;
    void this.#pump();
  }

  async #pump() {
    if (this.#encoding || !this.#waiting || !this.#link?.open || !this.#window.open) return;
    const { image, capturedAt } = this.#waiting;
    this.#waiting = null;
    this.#encoding = true;
    try {
      const jpeg = await this.#encode(image);
      if (this.#link?.open) this.#send(jpeg, capturedAt);
    } catch {
      // a picture that cannot be read is skipped: the next one is 1/30 s away
    } finally {
      image.close();
      this.#encoding = false;
    }
    void this.#pump();
  }

  /** @param {VideoFrame | ImageBitmap} image @returns {Promise<ArrayBuffer>} */
  async #encode(image) {
    const { width, height } = coverSize(sizeOf(image), this.#size);
    this.#canvas ??= new OffscreenCanvas(width, height);
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
      this.#canvas.getContext("2d", { alpha: false, willReadFrequently: true })
    );
    context.drawImage(image, 0, 0, width, height);
    const blob = await this.#canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY });
    return blob.arrayBuffer();
  }

  /** @param {ArrayBuffer} jpeg @param {number} source */
  #send(jpeg, source) {
    const seq = this.#window.take();
    const header = encodeHeader({
      kind: Kind.camera,
      codec: Codec.jpeg,
      flags: Flag.keyframe | Flag.camera,
      seq,
      source,
      version: 0,
      age: 0,
    });
    const message = new Uint8Array(HEADER_BYTES + jpeg.byteLength);
    message.set(new Uint8Array(header));
    message.set(new Uint8Array(jpeg), HEADER_BYTES);
    this.#link?.sendFrame(message.buffer);
    this.#sent += 1;
    this.#post({ type: "sent", source });
  }

  #close() {
    clearInterval(this.#timer);
    this.#link?.close();
    this.#link = null;
    void this.#reader?.cancel().catch(() => {});
    this.#waiting?.image.close();
    this.#waiting = null;
    this.#post({ type: "closed" });
  }
}

/**
 * The smallest even size that covers `target`, never larger than the picture itself.
 *
 * @param {{width: number, height: number}} picture
 * @param {{width: number, height: number}} target
 */
export function coverSize(picture, target) {
  const scale = Math.min(1, Math.max(target.width / picture.width, target.height / picture.height));
  const even = (/** @type {number} */ length) => Math.max(2, 2 * Math.round((length * scale) / 2));
  return { width: even(picture.width), height: even(picture.height) };
}

/** @param {VideoFrame | ImageBitmap} image */
function sizeOf(image) {
  return "displayWidth" in image ? { width: image.displayWidth, height: image.displayHeight } : image;
}

/**
 * When the camera took each picture, on `clockMicros()`. A browser that tells `captureTime` is believed where it is
 * plausible. Otherwise the pictures' own time stamps count on a clock of unknown origin: the quickest delivery of the
 * last minute ties it to ours, so that a picture which waited on its way here is told as old as it is; what even the
 * quickest one took is left out.
 */
class CaptureClock {
  /** Quickest delivery of the minute before, and of this one: our clock less theirs, in microseconds. */
  #before = Infinity;
  #now = Infinity;
  #since = 0;

  /** @param {VideoFrame} frame @returns {number} microseconds */
  read(frame) {
    const now = clockMicros();
    const metadata = "metadata" in frame ? /** @type {any} */ (frame).metadata() : {};
    const told = Math.round((performance.timeOrigin + metadata.captureTime) * 1000);
    if (told <= now && now - told < PLAUSIBLE_AGE_US) return told;
    if (now - this.#since > MINUTE_US) {
      this.#before = this.#now;
      this.#now = Infinity;
      this.#since = now;
    }
    this.#now = Math.min(this.#now, now - frame.timestamp);
    const reckoned = frame.timestamp + Math.min(this.#before, this.#now);
    return now - reckoned < PLAUSIBLE_AGE_US ? reckoned : now;
  }
}

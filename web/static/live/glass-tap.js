/**
 * Reads what `Glass` needs off a sender: the time stamps of encoded pictures (in a worker where the browser can, else
 * in the page) and the capture times of the track (a hidden preview). Changes neither. Where a browser gives one of
 * the two not, nothing is known, and the figures stay a dash.
 */

import { Glass } from "./glass.js";

export class GlassTap {
  /** Whether time stamps of what is sent come to be known here. */
  works = false;
  #glass = new Glass();
  /** @type {Worker | null} */
  #worker = null;
  /** @type {HTMLVideoElement | null} */
  #preview = null;
  #closed = false;

  /** What a peer connection must be told before it is made, where only the older way exists. @returns {object} */
  static get configuration() {
    return hasWorkerTransform() ? {} : hasPageStreams() ? { encodedInsertableStreams: true } : {};
  }

  /**
   * To be called before the line is negotiated: later, pictures pass unseen.
   *
   * @param {RTCRtpTransceiver} transceiver
   */
  constructor({ sender, receiver }) {
    if (hasWorkerTransform()) {
      this.#tapInWorker(sender);
    } else if (hasPageStreams()) {
      this.#tapInPage(/** @type {any} */ (sender));
      const { readable, writable } = /** @type {any} */ (receiver).createEncodedStreams(); // what is not carried stays out
      void readable.pipeTo(writable).catch(() => {});
    }
  }

  /** @param {MediaStreamTrack | null} track  what the sender sends from now on */
  watch(track) {
    this.#glass.restart();
    if (this.#preview) this.#preview.srcObject = null;
    this.#preview = null;
    if (!track || this.#closed) return;
    const preview = document.createElement("video");
    preview.muted = true;
    preview.playsInline = true;
    preview.srcObject = new MediaStream([track]);
    this.#preview = preview;
    if (!("requestVideoFrameCallback" in preview)) return;
    /** @type {VideoFrameRequestCallback} */
    const next = (_now, { captureTime }) => {
      if (this.#preview !== preview) return;
      if (captureTime !== undefined) this.#glass.addCapture(captureTime);
      preview.requestVideoFrameCallback(next);
    };
    preview.requestVideoFrameCallback(next);
    void preview.play().catch(() => {});
  }

  /** Whether this page sent the picture with this time stamp. @param {number} rtp */
  sent(rtp) {
    return this.#glass.sent(rtp);
  }

  /** @param {number} rtp @returns {number | null} milliseconds on `performance.now()` */
  capturedAt(rtp) {
    return this.#glass.capturedAt(rtp);
  }

  close() {
    this.#closed = true;
    this.watch(null);
    this.#worker?.terminate();
    this.#worker = null;
  }

  /** @param {RTCRtpSender} sender */
  #tapInWorker(sender) {
    try {
      const worker = new Worker(new URL("./glass.worker.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }) => {
        if (typeof data.rtp === "number") this.#glass.addSent(data.rtp, data.at - performance.timeOrigin);
      };
      worker.onerror = () => {
        sender.transform = null;
        this.works = false;
      };
      sender.transform = new RTCRtpScriptTransform(worker, {});
      this.#worker = worker;
      this.works = true;
    } catch {
      // a page of another origin may not start our worker: the picture goes out all the same
    }
  }

  /** @param {RTCRtpSender & {createEncodedStreams: () => {readable: ReadableStream, writable: WritableStream}}} sender */
  #tapInPage(sender) {
    const { readable, writable } = sender.createEncodedStreams();
    this.works = true;
    const noting = new TransformStream({
      transform: (picture, controller) => {
        this.#glass.addSent(picture.getMetadata().rtpTimestamp ?? picture.timestamp, performance.now());
        controller.enqueue(picture);
      },
    });
    void readable.pipeThrough(noting).pipeTo(writable).catch(() => {}); // ends with its sender
  }
}

function hasWorkerTransform() {
  return typeof RTCRtpScriptTransform === "function" && typeof Worker === "function";
}

function hasPageStreams() {
  return "createEncodedStreams" in RTCRtpSender.prototype;
}

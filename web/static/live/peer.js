/**
 * One WebRTC connection as a transport: events on the data channel `events`, the picture as a video, and, where the
 * page may publish, the camera on the same line. From the offer to its end; it never reconnects (route.js does) and
 * knows no event by name but the two that tell of pictures. Runs in the page.
 */

import { GlassTap } from "./glass-tap.js";
import { PeerLosses, lossOf } from "./losses.js";
import { PeerPicture } from "./peer-picture.js";
import { MOST_BITRATE, gathered, playAtOnce, preferCodecs, shapeEncoding } from "./peer-shape.js";
import { answerTo, dismiss, view } from "./signalling.js";
import { parse } from "./transport.js";

const SILENCE_MS = 2000;
const LISTEN_MS = 250;
/** Over this many bytes unsent nobody reads at the other end any more. */
const MOST_UNSENT = 1 << 20;

/**
 * @typedef {import("./transport.js").Transport & {
 *   setCamera: (track: MediaStreamTrack | null, size: {width: number, height: number}) => void,
 *   picture: PeerPicture,
 *   stats: () => Promise<RTCStatsReport>,
 * }} Peer
 *
 * @typedef {object} PeerHandlers
 * @property {(event: import("./protocol.js").WireEvent) => void} event
 * @property {() => void} pictured  the first picture is on show
 * @property {(loss: import("./losses.js").PeerLoss) => void} closed  once, at the end
 *
 * @typedef {(handlers: PeerHandlers) => Peer} OpenPeer
 */

/** Whether this browser can. */
export function hasWebRtc() {
  return typeof RTCPeerConnection === "function" && "requestVideoFrameCallback" in HTMLVideoElement.prototype;
}

/**
 * @param {import("./live.js").Credentials} credentials
 * @param {{publishes?: boolean}} [options]  `publishes`: offer the camera's way up as well
 * @returns {OpenPeer}
 */
export function peerTransport(credentials, { publishes = true } = {}) {
  return (handlers) => new PeerConnection(credentials, publishes, handlers);
}

/** @implements {Peer} */
class PeerConnection {
  #connection;
  #events;
  #transceiver;
  #credentials;
  #handlers;
  /** @type {GlassTap | null} */
  #tap = null;
  #resource = "";
  #sends = false;
  #over = false;
  #heardAt = 0;
  #listenedAt = 0;
  /** @type {number | undefined} */
  #playing;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;

  /**
   * @param {import("./live.js").Credentials} credentials
   * @param {boolean} publishes
   * @param {PeerHandlers} handlers
   */
  constructor(credentials, publishes, handlers) {
    this.#credentials = credentials;
    this.#handlers = handlers;
    this.#connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...(publishes && GlassTap.configuration) });
    this.#events = this.#connection.createDataChannel("events", { ordered: true });
    this.#events.onmessage = ({ data }) => this.#event(data);
    this.#events.onclose = () => this.#lose(PeerLosses.lost);
    const meta = this.#connection.createDataChannel("meta", { ordered: false, maxRetransmits: 0 });
    meta.onmessage = ({ data }) => this.#event(data);
    this.#transceiver = this.#connection.addTransceiver("video", {
      direction: publishes ? "sendrecv" : "recvonly",
      ...(publishes && { sendEncodings: [{ maxBitrate: MOST_BITRATE }] }),
    });
    preferCodecs(this.#transceiver);
    playAtOnce(this.#transceiver.receiver);
    if (publishes) this.#tap = new GlassTap(this.#transceiver);
    this.picture = new PeerPicture(this.#transceiver.receiver, {
      first: () => this.#over || handlers.pictured(),
      capturedAt: (rtp) => this.#tap?.capturedAt(rtp) ?? null,
      sent: (rtp) => (this.#tap?.works ? this.#tap.sent(rtp) : this.#sends),
    });
    this.#connection.onconnectionstatechange = () => {
      const { connectionState } = this.#connection;
      if (connectionState === "connected") this.#listenFrom(performance.now());
      if (connectionState === "failed" || connectionState === "closed") this.#lose(PeerLosses.lost);
    };
    addEventListener("pagehide", this.#leave);
    void this.#offer();
  }

  /** The page goes away; should it come back (a browser may keep it), its channel is closed and the loss is told. */
  #leave = () => this.#dismiss();

  /** @param {import("./protocol.js").WireEvent} event */
  sendEvent(event) {
    if (this.#events.readyState !== "open") return;
    if (this.#events.bufferedAmount > MOST_UNSENT) return this.#lose(PeerLosses.lost);
    this.#events.send(JSON.stringify(event));
  }

  /** The camera goes up as video, and never as frames of the socket. */
  sendFrame() {}

  /**
   * Send this track from now on; null: none. Nothing is negotiated: the server sees the next picture, or none.
   *
   * @param {MediaStreamTrack | null} track
   * @param {{width: number, height: number}} size  the session's: more than covers it is not sent
   */
  setCamera(track, size) {
    const { sender } = this.#transceiver;
    this.#sends = track !== null;
    if (track) track.contentHint = "motion";
    this.#tap?.watch(track);
    void sender
      .replaceTrack(track)
      .then(() => track && shapeEncoding(sender, track, size))
      .catch(() => {}); // it ended in the meantime
  }

  stats() {
    return this.#connection.getStats();
  }

  /** No handler is called any more. The last picture stays on its video. */
  close() {
    this.#end();
  }

  async #offer() {
    try {
      const told = await view(this.#credentials);
      if (this.#over) return;
      if (!told.urls["peer"]) return this.#lose(PeerLosses.server);
      this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers: told.ice_servers ?? [] });
      await this.#connection.setLocalDescription();
      await gathered(this.#connection);
      if (this.#over) return;
      const { sdp, resource } = await answerTo(this.#credentials, this.#connection.localDescription?.sdp ?? "");
      this.#resource = resource;
      if (this.#over) return this.#dismiss();
      await this.#connection.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      this.#lose(lossOf(error));
    }
  }

  /** @param {unknown} data */
  #event(data) {
    if (this.#over || typeof data !== "string") return;
    const event = parse(data);
    if (!event) return;
    this.#heardAt = performance.now();
    if (event.type === "frame.meta") this.picture.told(/** @type {any} */ (event));
    else if (event.type === "stream.clock") this.picture.clock(/** @type {any} */ (event));
    else this.#handlers.event(event);
  }

  /**
   * Pictures come and are told of 24 times a second: a silence is a loss that nothing else may tell for half a minute.
   *
   * @param {number} now
   */
  #listenFrom(now) {
    this.#heardAt = this.#listenedAt = now;
    this.#watch ??= setInterval(() => this.#listen(), LISTEN_MS);
  }

  #listen() {
    const now = performance.now();
    const paused = now - this.#listenedAt > SILENCE_MS / 2; // the page itself stood still: what came meanwhile waits behind this
    this.#listenedAt = now;
    const playing = this.#transceiver.receiver.getSynchronizationSources()[0]?.rtpTimestamp;
    if (playing !== this.#playing) this.#heardAt = now;
    this.#playing = playing;
    if (!paused && now - this.#heardAt > SILENCE_MS) this.#lose(PeerLosses.lost);
  }

  /** @param {import("./losses.js").PeerLoss} loss */
  #lose(loss) {
    if (this.#over) return;
    this.#end();
    this.#handlers.closed(loss);
  }

  #end() {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    removeEventListener("pagehide", this.#leave);
    this.#tap?.close();
    this.picture.stop();
    this.#connection.close();
    this.#dismiss();
  }

  #dismiss() {
    if (this.#resource) dismiss(this.#resource, this.#credentials.token);
    this.#resource = "";
  }
}

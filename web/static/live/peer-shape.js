/** How a peer connection is made to suit live pictures: which codecs, how much goes up, and nothing kept waiting. */

export const MOST_BITRATE = 2_500_000;
const GATHERING_MS = 200;

/**
 * H.264 that may be cut into packets first, then VP8; nothing that the server cannot do.
 *
 * @param {RTCRtpTransceiver} transceiver
 */
export function preferCodecs(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (!codecs || typeof transceiver.setCodecPreferences !== "function") return;
  const wanted = codecs.filter((codec) => rank(codec) !== null).sort((a, b) => Number(rank(a)) - Number(rank(b)));
  if (wanted.length) transceiver.setCodecPreferences(wanted);
}

/** @param {{mimeType: string, sdpFmtpLine?: string}} codec @returns {number | null} null: not wanted */
function rank({ mimeType, sdpFmtpLine = "" }) {
  switch (mimeType.toLowerCase()) {
    case "video/h264":
      if (!sdpFmtpLine.includes("packetization-mode=1")) return null;
      return /profile-level-id=42e0/i.test(sdpFmtpLine) ? 0 : 1;
    case "video/vp8":
      return 2;
    case "video/rtx":
      return 3;
    default:
      return null;
  }
}

/** @param {RTCRtpReceiver} receiver */
export function playAtOnce(receiver) {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
}

/**
 * Frames before sharpness, and no more pixels than cover the session's picture.
 *
 * @param {RTCRtpSender} sender
 * @param {MediaStreamTrack} track
 * @param {{width: number, height: number}} size  the session's
 */
export async function shapeEncoding(sender, track, size) {
  const { width = size.width, height = size.height } = track.getSettings();
  const parameters = sender.getParameters();
  const [encoding] = parameters.encodings;
  if (!encoding) return;
  encoding.maxBitrate = MOST_BITRATE;
  encoding.scaleResolutionDownBy = Math.max(1, Math.min(width / size.width, height / size.height));
  parameters.degradationPreference = "maintain-framerate";
  await sender.setParameters(parameters);
}

/**
 * Candidates that are there at once travel in the offer; the others are found by their first packet.
 *
 * @param {RTCPeerConnection} connection
 * @returns {Promise<void>}
 */
export function gathered(connection) {
  return new Promise((resolve) => {
    const look = () => connection.iceGatheringState === "complete" && resolve();
    connection.addEventListener("icegatheringstatechange", look);
    setTimeout(resolve, GATHERING_MS);
    look();
  });
}

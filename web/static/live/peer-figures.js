/**
 * What a connection's statistics say in figures that mean something: rates over the time between two reports. Pure.
 */

/**
 * @typedef {object} Figures
 * @property {string} codec  `H.264`, `VP8` …; empty while unknown
 * @property {number | null} kbps  what came, kilobits a second
 * @property {number | null} upKbps  what went; null where no camera goes up
 * @property {number | null} roundTripMs
 * @property {number | null} lost  share of the packets that did not come, 0 to 1
 * @property {number | null} jitterBufferMs  how long a frame waited to be decoded, on average
 * @property {number} unmatched  pictures shown that nobody told of
 * @property {{sent: number, seen: number} | null} camera  pictures a second
 */

/** @type {Record<string, string>} */
const CODECS = { "video/h264": "H.264", "video/vp8": "VP8", "video/vp9": "VP9", "video/av1": "AV1" };

/** @typedef {Map<string, any> | RTCStatsReport} Report */

/**
 * @param {Report} report
 * @param {Report | null} before  the one before it
 * @param {number} unmatched
 * @returns {Figures}
 */
export function figuresOf(report, before, unmatched) {
  const inbound = find(report, "inbound-rtp");
  const outbound = find(report, "outbound-rtp");
  const down = inbound && rates(inbound, before);
  const up = outbound && rates(outbound, before);
  const source = outbound && report.get(outbound.mediaSourceId);
  const pair = report.get(find(report, "transport")?.selectedCandidatePairId);
  const received = down?.("packetsReceived") ?? 0;
  const lost = Math.max(0, down?.("packetsLost") ?? 0);
  const emitted = down?.("jitterBufferEmittedCount") ?? 0;
  const sending = Boolean(source) && (up?.("framesSent") ?? 0) > 0;
  return {
    codec: codecOf(report, inbound),
    kbps: down ? (down("bytesReceived") * 8) / 1000 : null,
    upKbps: sending && up ? (up("bytesSent") * 8) / 1000 : null,
    roundTripMs: typeof pair?.currentRoundTripTime === "number" ? pair.currentRoundTripTime * 1000 : null,
    lost: received + lost > 0 ? lost / (received + lost) : null,
    jitterBufferMs: emitted > 0 ? ((down?.("jitterBufferDelay") ?? 0) / emitted) * 1000 : null,
    unmatched,
    camera: sending && up ? { sent: Math.round(up("framesSent")), seen: Math.round(source.framesPerSecond ?? up("framesSent")) } : null,
  };
}

/** @param {Report} report @param {string} type @returns {any} the video one, where there are several */
function find(report, type) {
  for (const entry of report.values()) {
    if (entry.type === type && (entry.kind === undefined || entry.kind === "video")) return entry;
  }
  return null;
}

/**
 * By how much a counter grew, a second.
 *
 * @param {any} entry
 * @param {Report | null} before
 * @returns {(counter: string) => number}
 */
function rates(entry, before) {
  const older = before?.get(entry.id);
  const seconds = older ? (entry.timestamp - older.timestamp) / 1000 : 0;
  return (counter) => (seconds > 0 ? ((entry[counter] ?? 0) - (older[counter] ?? 0)) / seconds : 0);
}

/** @param {Report} report @param {any} inbound */
function codecOf(report, inbound) {
  const type = String(report.get(inbound?.codecId)?.mimeType ?? "").toLowerCase();
  return CODECS[type] ?? type.replace("video/", "");
}

/**
 * The 24 bytes, big-endian, in front of every picture on the socket. Pure; runs in the page and in workers.
 */

export const HEADER_BYTES = 24;
export const HEADER_VERSION = 1;

export const Kind = Object.freeze({ camera: 0, generated: 1, warped: 2, blended: 3, repeated: 4, standby: 5 });
export const Codec = Object.freeze({ jpeg: 1, h264: 2, webp: 3, rgb24: 4 });
export const Flag = Object.freeze({ keyframe: 1, alpha: 2, camera: 4 });

const KIND_NAMES = Object.freeze(["camera", "generated", "warped", "blended", "repeated", "standby"]);

/**
 * @typedef {object} Header
 * @property {number} kind
 * @property {number} codec
 * @property {number} flags
 * @property {number} seq  camera: the sender's counter; output: the slot number
 * @property {number} source  microseconds on the publisher's clock; 0 if none
 * @property {number} version  the control version that made the generated base
 * @property {number} age  microseconds from `source` back to the camera picture that the base was made from
 */

/** The picture's kind as a word. @param {number} kind */
export function kindName(kind) {
  return KIND_NAMES[kind] ?? `kind ${kind}`;
}

/** The number of a kind that came as a word; -1 for one of a newer server. @param {string} name */
export function kindNumber(name) {
  return KIND_NAMES.indexOf(name);
}

/**
 * @param {Header} header
 * @returns {ArrayBuffer} 24 bytes
 */
export function encodeHeader(header) {
  const bytes = new ArrayBuffer(HEADER_BYTES);
  const view = new DataView(bytes);
  view.setUint8(0, HEADER_VERSION);
  view.setUint8(1, header.kind);
  view.setUint8(2, header.codec);
  view.setUint8(3, header.flags);
  view.setUint32(4, header.seq >>> 0);
  view.setBigInt64(8, BigInt(Math.round(header.source)));
  view.setUint32(16, header.version >>> 0);
  view.setUint32(20, header.age >>> 0);
  return bytes;
}

/**
 * @param {ArrayBuffer} message  header and payload
 * @returns {Header | null} null where the message is too short or of another version
 */
export function decodeHeader(message) {
  if (message.byteLength < HEADER_BYTES) return null;
  const view = new DataView(message);
  if (view.getUint8(0) !== HEADER_VERSION) return null;
  return {
    kind: view.getUint8(1),
    codec: view.getUint8(2),
    flags: view.getUint8(3),
    seq: view.getUint32(4),
    source: Number(view.getBigInt64(8)), // exact up to 2^53 microseconds: the year 2255
    version: view.getUint32(16),
    age: view.getUint32(20),
  };
}

/** This page's and its workers' one clock, in microseconds: comparable between them. */
export function clockMicros() {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** Why a peer connection is of no use, in words, and when to try another one. Pure. */

import { LiveError } from "./errors.js";

const FIRST_RETRY_MS = 10_000;
const LONGEST_RETRY_MS = 60_000;

/**
 * @typedef {object} PeerLoss
 * @property {string} code  for programs
 * @property {string} message  for people, as the end of a sentence
 * @property {boolean} final  trying again cannot help
 */

/** Those that need no server to be known. @type {Readonly<Record<"noPath" | "lost" | "place" | "browser" | "server", PeerLoss>>} */
export const PeerLosses = Object.freeze({
  noPath: { code: "no_webrtc_path", message: "no WebRTC path (UDP blocked?)", final: false },
  lost: { code: "webrtc_lost", message: "the WebRTC connection was lost", final: false },
  place: { code: "no_place_for_video", message: "the page has no place for a video", final: false },
  browser: { code: "no_webrtc", message: "this browser has no WebRTC", final: true },
  server: { code: "webrtc_not_available", message: "this server has no WebRTC", final: true },
});

/** What a failed offer means. @param {unknown} error @returns {PeerLoss} */
export function lossOf(error) {
  if (!(error instanceof LiveError)) return { code: "webrtc_failed", message: `WebRTC failed in this browser (${error})`, final: false };
  const { code, status, message } = error;
  if (status === 501 || status === 405) return PeerLosses.server;
  if (status === 0) return { code, message: "the server does not answer", final: false };
  const offer = status === 400 || status === 415 || status === 422;
  return { code, message: offer ? `the server did not take the WebRTC offer: ${message}` : `WebRTC was refused: ${message}`, final: offer };
}

/**
 * How long the socket carries before WebRTC is tried again.
 *
 * @param {number} attempt  0 after the first that failed
 * @returns {number} milliseconds: 10, 20, 40, 60, 60 … s
 */
export function retryDelay(attempt) {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10));
}

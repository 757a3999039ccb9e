/**
 * What WebRTC asks of the server over HTTP: where to, by way of what, an answer to an offer, and the end.
 */

import { ask, call } from "./api.js";
import { LiveError } from "./errors.js";

/**
 * @param {import("./live.js").Credentials} credentials
 * @returns {Promise<import("./protocol.js").SessionView>}
 * @throws {LiveError}
 */
export function view({ server, session, token }) {
  return call(server, `/v1/sessions/${encodeURIComponent(session)}`, { token });
}

/**
 * @param {import("./live.js").Credentials} credentials
 * @param {string} offer  SDP
 * @returns {Promise<{sdp: string, resource: string}>} the answer, and the address that ends what it began
 * @throws {LiveError}
 */
export async function answerTo({ server, session, token }, offer) {
  const url = new URL(`/v1/sessions/${encodeURIComponent(session)}/peer`, server);
  const response = await ask(url, { method: "POST", token, body: offer, type: "application/sdp" });
  const location = response.headers.get("location");
  if (!location) throw new LiveError({ code: "no_location", message: "The answer has no address." });
  return { sdp: await response.text(), resource: new URL(location, response.url).href };
}

/** It is over for us; said also while the page goes away. @param {string} resource @param {string} token */
export function dismiss(resource, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  void fetch(resource, { method: "DELETE", headers, keepalive: true }).catch(() => {}); // it ends by itself, later
}

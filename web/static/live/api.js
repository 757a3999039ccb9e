/**
 * The server over HTTP: opening and reading sessions, and the models. Every refusal becomes a `LiveError`.
 */

import { LiveError } from "./errors.js";

/**
 * @param {string} server  origin
 * @param {string} path
 * @param {{method?: string, token?: string, body?: unknown}} [request]
 * @returns {Promise<any>} the JSON body; null where there is none
 * @throws {LiveError} a refusal, or `unreachable`
 */
export async function call(server, path, { method = "GET", token = "", body } = {}) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), type: "application/json" };
  const response = await ask(new URL(path, server), { method, token, ...sent });
  return response.json().catch(() => null);
}

/**
 * @param {URL} url
 * @param {{method: string, token?: string, body?: string, type?: string}} request  `type`: of the body
 * @returns {Promise<Response>} one that is no refusal
 * @throws {LiveError} a refusal, or `unreachable`
 */
export async function ask(url, { method, token = "", body, type = "" }) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (token) headers["authorization"] = `Bearer ${token}`;
  if (type) headers["content-type"] = type;
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, { method, headers, body });
  } catch {
    throw new LiveError({ code: "unreachable", message: "The server does not answer.", retryable: true });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const error = answer?.error ?? { code: `http_${response.status}`, message: `The server answered ${response.status}.` };
  throw new LiveError(error, {
    status: response.status,
    retryAfter: Number(response.headers.get("retry-after")) || 0,
  });
}

/**
 * Open a session: `POST /v1/sessions`, or `PUT` where it has a name.
 *
 * @param {string} server
 * @param {Record<string, unknown>} [body]
 * @param {{name?: string, token?: string}} [options]  `token`: an operator token or stream key, where one is needed
 * @returns {Promise<import("./protocol.js").SessionBody>}
 */
export function openSession(server, body = {}, { name = "", token = "" } = {}) {
  return name
    ? call(server, `/v1/sessions/${encodeURIComponent(name)}`, { method: "PUT", token, body })
    : call(server, "/v1/sessions", { method: "POST", token, body });
}

/**
 * A small picture of what a change would make, without making it.
 *
 * @param {import("./live.js").Credentials} credentials
 * @param {Record<string, unknown>} change  as `PATCH` takes it
 * @returns {Promise<Blob>} a JPEG, its longer side 160 pixels
 * @throws {LiveError} a refusal, or `unreachable`
 */
export async function preview({ server, session, token }, change) {
  const url = new URL(`/v1/sessions/${encodeURIComponent(session)}/preview.jpg`, server);
  return (await ask(url, { method: "POST", token, body: JSON.stringify(change), type: "application/json" })).blob();
}

/**
 * @param {string} server
 * @param {string} [token]
 * @returns {Promise<import("./protocol.js").Model[]>}
 */
export async function listModels(server, token = "") {
  return (await call(server, "/v1/models", { token })).models;
}

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
  /** @type {Record<string, string>} */
  const headers = {};
  if (token) headers["authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  /** @type {Response} */
  let response;
  try {
    response = await fetch(new URL(path, server), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new LiveError({ code: "unreachable", message: "The server does not answer.", retryable: true });
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
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
 * @param {string} server
 * @param {string} [token]
 * @returns {Promise<import("./protocol.js").Model[]>}
 */
export async function listModels(server, token = "") {
  return (await call(server, "/v1/models", { token })).models;
}

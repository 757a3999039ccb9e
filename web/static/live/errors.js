/**
 * Errors with a stable code, the same over HTTP and the socket, and what each way of closing a socket means.
 */

/** An error that the server, or this client, can name. */
export class LiveError extends Error {
  /**
   * @param {{code: string, message: string, retryable?: boolean, hint?: string, field?: string | null}} body
   * @param {{status?: number, retryAfter?: number}} [http]  `retryAfter` in seconds
   */
  constructor(body, http = {}) {
    super(body.message);
    this.name = "LiveError";
    this.code = body.code;
    this.retryable = body.retryable ?? false;
    this.hint = body.hint ?? "";
    this.field = body.field ?? null;
    this.status = http.status ?? 0;
    this.retryAfter = http.retryAfter ?? 0;
  }
}

/**
 * @typedef {object} CloseMeaning
 * @property {string} code  stable, for programs
 * @property {string} message  for people
 * @property {boolean} again  whether trying again can help
 */

/** @type {Record<number, CloseMeaning>} */
const CLOSES = {
  1000: { code: "closed", message: "The connection was closed.", again: true },
  1001: { code: "server_shutdown", message: "The server is shutting down.", again: true },
  1008: { code: "flood", message: "The server closed the connection: too many messages in too short a time.", again: true },
  4401: { code: "token_invalid", message: "The token in this address is missing, wrong or expired.", again: false },
  4403: { code: "not_allowed", message: "This token may watch, but not publish or steer.", again: false },
  4404: { code: "session_gone", message: "This session has ended.", again: false },
  4409: { code: "publisher_replaced", message: "Another page or program publishes into this session now.", again: false },
};

/**
 * What a close code means, and whether trying again can help.
 *
 * @param {number} code
 * @param {string} reason  the server's own words, shown where it has any
 * @returns {CloseMeaning}
 */
export function closeMeaning(code, reason) {
  const known = CLOSES[code];
  if (!known) return { code: "connection_lost", message: "The connection to the server was lost.", again: true };
  return code === 1008 && reason ? { ...known, message: `The server closed the connection: ${reason}` } : known;
}

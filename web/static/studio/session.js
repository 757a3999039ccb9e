/**
 * Which session this tab steers: the one in its address, the one it steered before a reload, or a new one.
 * The token goes from the address into the tab's own store at once: addresses are seen when a screen is shared.
 */

import { LiveError, Live } from "../client.js";

const KEY = "liveglass.session";

/** What opens a session where the server asks for it: an operator's token or a stream key, from `#token=` alone. */
let openWith = "";

/** @typedef {{session: string, token: string, viewerToken: string, origin: "opened" | "link" | "stored"}} Place */

/** @returns {Place | null} the session to come back to */
export function remembered() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const session = fragment.get("session");
  if (!session && fragment.has("token")) {
    openWith = fragment.get("token") ?? "";
    history.replaceState(null, "", location.pathname + location.search);
  }
  const stored = read();
  if (session) {
    history.replaceState(null, "", location.pathname + location.search);
    const same = stored?.session === session ? stored : null;
    const token = fragment.get("token") ?? same?.token ?? "";
    /** @type {Place} */
    const place = { origin: "link", session, token, viewerToken: fragment.get("viewer") ?? same?.viewerToken ?? "" };
    remember(place);
    return place;
  }
  return stored;
}

/** @param {Place} place */
export function remember({ session, token, viewerToken }) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ session, token, viewerToken }));
  } catch {
    // storage is off: a reload opens a new session
  }
}

export function forget() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // storage is off
  }
}

/**
 * Open a session on the sample; while the server is full, wait as long as it asks and try again.
 *
 * @param {import("../live/protocol.js").Model | null} model
 * @param {(waiting: {message: string, retryAt: number}) => void} waiting
 * @returns {Promise<Place>}
 * @throws {LiveError} a refusal that waiting cannot change
 */
export async function openSample(model, waiting) {
  const look = model?.looks[0];
  const body = {
    source: "sample",
    camera_visible: "person", // and only where somebody asks for it, by `apply`
    ...(look && { prompt: look.prompt }),
    ...(look?.strength !== undefined && { params: { strength: look.strength } }),
  };
  for (let attempt = 0; ; attempt++) {
    try {
      const { opened } = await Live.open({ body, token: openWith });
      /** @type {Place} */
      const place = { origin: "opened", session: opened.id, token: opened.token, viewerToken: opened.viewer_token };
      remember(place);
      return place;
    } catch (error) {
      if (!(error instanceof LiveError) || !error.retryable) throw error;
      const seconds = error.retryAfter || Math.min(60, 2 ** attempt);
      waiting({ message: error.message, retryAt: performance.now() + seconds * 1000 });
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

/** @returns {Place | null} */
function read() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return stored ? { ...stored, origin: "stored" } : null;
  } catch {
    return null;
  }
}

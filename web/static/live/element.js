/**
 * `<live-glass session=… token=… server=…>`: a session's picture and nothing else, in any page.
 *
 * Attributes: `session`, `token`; `server` (the origin this script came from, unless given); `fit` = `cover` (default)
 * or `contain`; `lost` = `hold` (default: the last picture stays) or `clear` (fades to transparent while there is no
 * picture, and goes at once on panic); `transport` = `auto` (default: WebRTC where it can be had, else the socket),
 * `webrtc` or `socket`; `forever`: reconnect whatever the server says.
 * Property `live`: the session; set it to show one that the page has opened already.
 */

import { Live } from "./live.js";
import { Kind } from "./header.js";

const SHEET = `
  :host { display: block; position: relative; overflow: hidden; }
  .picture { position: absolute; inset: 0; opacity: 1; }
  .picture.clear { opacity: 0; }
  .picture.fade { transition: opacity 400ms linear; }
  .picture > * { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: var(--live-glass-fit, cover); pointer-events: none; }
`;

export class LiveGlass extends HTMLElement {
  static observedAttributes = ["session", "token", "server", "fit", "transport"];

  /** @type {Live | null} */
  #live = null;
  #owned = false;
  #inPage = false; // `isConnected` is true already while the attributes of a parsed element are told one by one
  /** @type {HTMLElement | null} */
  #picture = null;
  /** @type {(() => void)[]} */
  #stop = [];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(SHEET);
    root.adoptedStyleSheets = [sheet];
  }

  /** The session shown; null before there is one. @returns {Live | null} */
  get live() {
    return this.#live;
  }

  set live(live) {
    this.#release();
    this.#owned = false;
    this.#live = live;
    if (this.#inPage) this.#show();
  }

  connectedCallback() {
    this.#inPage = true;
    if (!this.#live) this.#join();
    else this.#show();
  }

  disconnectedCallback() {
    this.#inPage = false;
    this.#release();
    if (this.#owned) this.#live = null;
  }

  attributeChangedCallback(/** @type {string} */ name) {
    if (name === "fit") this.style.setProperty("--live-glass-fit", this.#fit());
    else if (this.#inPage && (this.#owned || !this.#live)) {
      this.#release();
      this.#live = null;
      this.#join();
    }
  }

  #fit() {
    return this.getAttribute("fit") === "contain" ? "contain" : "cover";
  }

  #join() {
    const session = this.getAttribute("session");
    if (!session) return;
    const server = this.getAttribute("server") || new URL(import.meta.url).origin;
    const credentials = { server, session, token: this.getAttribute("token") ?? "" };
    this.#owned = true;
    this.#live = new Live(credentials, {
      forever: this.hasAttribute("forever"),
      transport: transportNamed(this.getAttribute("transport")),
      publishes: false,
    });
    this.#show();
    this.#live.connect();
  }

  #show() {
    const live = this.#live;
    if (!live || !this.shadowRoot) return;
    const picture = document.createElement("div");
    picture.className = "picture";
    picture.setAttribute("part", "picture");
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", this.getAttribute("aria-label") ?? "Live generated picture");
    this.shadowRoot.replaceChildren(picture);
    this.#picture = picture;
    if (this.#clears()) this.#cover("clear");
    live.attach(picture);
    this.#stop = [
      live.on("picture", ({ header }) => {
        if (this.#clears()) this.#cover(header.kind === Kind.standby || live.state.state === "panic" ? "fade" : "show");
      }),
      live.on("state", ({ state }) => {
        if (this.#clears() && state === "panic") this.#cover("clear");
      }),
      live.on("connection", ({ state }) => {
        if (this.#clears() && state !== "open") this.#cover("fade");
      }),
    ];
  }

  #clears() {
    return this.getAttribute("lost") === "clear";
  }

  /** @param {"show" | "fade" | "clear"} how */
  #cover(how) {
    if (how === "fade" && this.#picture?.classList.contains("clear")) return;
    this.#picture?.classList.toggle("fade", how === "fade");
    this.#picture?.classList.toggle("clear", how !== "show");
  }

  #release() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    if (this.#owned) this.#live?.close();
    else this.#live?.detach();
    this.#picture = null;
    this.shadowRoot?.replaceChildren();
  }
}

/** @param {string | null} name @returns {"auto" | "webrtc" | "socket"} */
export function transportNamed(name) {
  return name === "webrtc" || name === "socket" ? name : "auto";
}

/** Make the element known, once. */
export function defineLiveGlass() {
  if (!customElements.get("live-glass")) customElements.define("live-glass", LiveGlass);
}

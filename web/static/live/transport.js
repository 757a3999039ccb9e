/**
 * The seam between a session and what carries it. A transport is one connection, from opening to its close: it takes
 * events and frames, and hands over what arrives. It never reconnects (link.js does) and knows no event by name.
 * The WebSocket is here; a WebRTC peer (peer.js) has the same shape and a picture of its own, with `frame` unused.
 *
 * @typedef {object} TransportHandlers
 * @property {() => void} opened
 * @property {(event: import("./protocol.js").WireEvent) => void} event
 * @property {(message: ArrayBuffer) => void} frame  header and payload
 * @property {(code: number, reason: string) => void} closed  once, at the end
 *
 * @typedef {object} Transport
 * @property {(event: import("./protocol.js").WireEvent) => void} sendEvent
 * @property {(message: ArrayBuffer) => void} sendFrame
 * @property {() => void} close  no handler is called any more
 *
 * @typedef {(handlers: TransportHandlers) => Transport} OpenTransport
 *
 * @typedef {object} SocketAddress
 * @property {string} server  the server's origin, e.g. `https://example.org`
 * @property {string} session
 * @property {string} token
 * @property {boolean} [publish]
 * @property {boolean} [view]
 */

/**
 * A WebSocket as a transport. The token travels as a subprotocol, so that it stays out of addresses and their logs.
 *
 * @param {SocketAddress} address
 * @returns {OpenTransport}
 */
export function socketTransport({ server, session, token, publish = false, view = true }) {
  const url = new URL(`/v1/sessions/${encodeURIComponent(session)}/socket`, server);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = `?publish=${publish ? 1 : 0}&view=${view ? 1 : 0}&format=jpeg`;
  return (handlers) => {
    const socket = new WebSocket(url, token ? [`liveglass.token.${token}`] : []);
    socket.binaryType = "arraybuffer";
    let over = false;
    socket.onopen = () => handlers.opened();
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return handlers.frame(data);
      const event = parse(data);
      if (event) handlers.event(event);
    };
    socket.onclose = ({ code, reason }) => {
      if (!over) handlers.closed(code, reason);
      over = true;
    };
    return {
      sendEvent: (event) => send(socket, JSON.stringify(event)),
      sendFrame: (message) => send(socket, message),
      close: () => {
        over = true;
        socket.close();
      },
    };
  };
}

/** @param {WebSocket} socket @param {string | ArrayBuffer} message */
function send(socket, message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(message);
}

/** @param {string} text @returns {import("./protocol.js").WireEvent | null} */
export function parse(text) {
  try {
    const event = JSON.parse(text);
    return typeof event?.type === "string" ? event : null;
  } catch {
    return null; // a frame of text that is no event: the next one will be
  }
}

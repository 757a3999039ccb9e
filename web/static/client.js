/**
 * liveglass in a browser: one import, no dependencies.
 *
 *     import { Live } from "https://your-server/client.js";
 *     const { live } = await Live.open({ server: "https://your-server", body: { prompt: "ink fox" } });
 *     live.attach(element); // the picture fills it: a video over WebRTC, a canvas over the WebSocket
 *     live.connect();
 *     const { notes } = await live.setPrompt("neon fox").accepted;
 *
 * or, for the picture alone: `<live-glass session="…" token="…"></live-glass>`.
 */

import { defineLiveGlass } from "./live/element.js";

export { LiveGlass, transportNamed } from "./live/element.js";
export { LiveError } from "./live/errors.js";
export { Codec, Flag, HEADER_BYTES, Kind, clockMicros, decodeHeader, encodeHeader, kindName } from "./live/header.js";
export { Live } from "./live/live.js";
export { Meter } from "./live/meter.js";
export { Receipt } from "./live/receipts.js";

defineLiveGlass();

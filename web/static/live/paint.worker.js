/** The worker's end of the painter: decoding off the page's thread, onto an OffscreenCanvas. */

import { PaintCore } from "./paint-core.js";

const scope = /** @type {WorkerScope} */ (/** @type {unknown} */ (self));
const core = new PaintCore((message, transfer) => scope.postMessage(message, transfer));
scope.onmessage = ({ data }) => core.receive(data);
scope.postMessage({ type: "ready" });

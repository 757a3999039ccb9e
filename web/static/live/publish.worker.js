/** The worker's end of the publisher: reads, encodes and sends camera pictures off the page's thread. */

import { PublishCore } from "./publish-core.js";

const scope = /** @type {WorkerScope} */ (/** @type {unknown} */ (self));
const core = new PublishCore((message, transfer) => scope.postMessage(message, transfer));
scope.onmessage = ({ data }) => core.receive(data);
scope.postMessage({ type: "ready" });

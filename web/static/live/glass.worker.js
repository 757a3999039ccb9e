/** Stands in the way of encoded pictures to note their time stamps, and lets each one pass as it came. */

const scope = /** @type {WorkerScope} */ (/** @type {unknown} */ (self));

scope.onrtctransform = ({ transformer }) => {
  const noting = new TransformStream({
    transform(picture, controller) {
      scope.postMessage({ rtp: picture.getMetadata().rtpTimestamp ?? picture.timestamp, at: performance.timeOrigin + performance.now() });
      controller.enqueue(picture);
    },
  });
  void transformer.readable.pipeThrough(noting).pipeTo(transformer.writable).catch(() => {}); // ends with its sender
};
scope.postMessage({ type: "ready" });

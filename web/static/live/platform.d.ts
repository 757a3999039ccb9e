// What browsers have and TypeScript's DOM library does not describe yet. Types only: nothing here is served to run.

interface MediaStreamTrackProcessor {
  readonly readable: ReadableStream<VideoFrame>;
}

declare var MediaStreamTrackProcessor:
  | { new (init: { track: MediaStreamTrack; maxBufferSize?: number }): MediaStreamTrackProcessor }
  | undefined;

interface RTCRtpReceiver {
  /** Chromium's earlier word for `jitterBufferTarget`, in seconds. */
  playoutDelayHint?: number | null;
}

/** The part of a dedicated worker's global scope that the workers here use. */
interface WorkerScope {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
  onrtctransform: ((event: { transformer: { readable: ReadableStream; writable: WritableStream } }) => void) | null;
}

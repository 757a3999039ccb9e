// What browsers have and TypeScript's DOM library does not describe yet. Types only: nothing here is served to run.

interface MediaStreamTrackProcessor {
  readonly readable: ReadableStream<VideoFrame>;
}

declare var MediaStreamTrackProcessor:
  | { new (init: { track: MediaStreamTrack; maxBufferSize?: number }): MediaStreamTrackProcessor }
  | undefined;

/** The part of a dedicated worker's global scope that the two workers here use. */
interface WorkerScope {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

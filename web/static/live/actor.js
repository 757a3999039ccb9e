/**
 * Starts a piece of work in a worker, or, where no worker may start, in the page itself: same messages either way.
 * A page on another origin cannot start our worker script directly; there a small local one imports it.
 */

/**
 * @typedef {(message: any, transfer?: Transferable[]) => void} Post
 * @typedef {{receive: (message: any) => void}} Core  takes messages; answers through the `Post` it was made with
 * @typedef {{post: Post, close: () => void, inWorker: boolean}} Actor
 */

/**
 * @param {object} parts
 * @param {URL} parts.script  the worker's module
 * @param {() => Promise<(post: Post) => Core>} parts.local  makes the same work in the page
 * @param {(message: any) => void} parts.answer
 * @param {boolean} [parts.pageOnly]  start no worker
 * @returns {Promise<Actor>}
 */
export async function startActor({ script, local, answer, pageOnly = false }) {
  const worker = pageOnly ? null : await startWorker(script);
  if (worker) {
    worker.onmessage = ({ data }) => answer(data);
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      close: () => worker.terminate(),
      inWorker: true,
    };
  }
  const core = (await local())((message) => answer(message));
  return {
    post: (message) => core.receive(message),
    close: () => core.receive({ type: "close" }),
    inWorker: false,
  };
}

/** @param {URL} script @returns {Promise<Worker | null>} null where none may start */
async function startWorker(script) {
  if (typeof Worker === "undefined") return null;
  try {
    const foreign = script.origin !== location.origin;
    const address = foreign ? bridge(script) : script;
    const worker = new Worker(address, { type: "module" });
    const ready = await new Promise((resolve) => {
      worker.onmessage = () => resolve(true); // the worker's first word is that it runs
      worker.onerror = () => resolve(false);
      worker.onmessageerror = () => resolve(false);
    });
    if (foreign) URL.revokeObjectURL(/** @type {string} */ (address));
    if (ready) return worker;
    worker.terminate();
  } catch {
    // a security policy, or a browser without module workers
  }
  return null;
}

/** @param {URL} script */
function bridge(script) {
  return URL.createObjectURL(new Blob([`import ${JSON.stringify(script.href)};`], { type: "text/javascript" }));
}

/**
 * The outside observer of benchmarks/latency.py; goes into the page before the page's own scripts.
 *
 * It is the camera: `getUserMedia` gives a track whose pictures carry the time of their drawing as black and white
 * blocks. And it is the eye: it reads those blocks back from what the page presents. Of the page's own code it uses
 * nothing but the element that shows the picture, and the event that says when to look.
 */

(() => {
  const SIDE = 512;
  const COLUMNS = 8;
  const ROWS = 4; // of 64 pixels, over the upper half: 32 bits
  const TENTHS = 2 ** 20; // the time in tenths of a millisecond comes round every 104.8576 s
  const SYNC = 0b1010;
  const REPEATED_MS = 30; // a picture that still looks the same then is the same picture again

  const clock = () => performance.timeOrigin + performance.now(); // one clock for the page and its workers

  /** Eight bits over the other 24, so that a picture that lossy coding has damaged is not read as another time. */
  const check = (value) => {
    let crc = 0xa5;
    for (let bit = 23; bit >= 0; bit--) {
      const out = (crc >> 7) ^ ((value >> bit) & 1);
      crc = (crc << 1) & 0xff;
      if (out) crc ^= 0x07;
    }
    return crc;
  };

  const camera = `
    const SIDE = ${SIDE}, COLUMNS = ${COLUMNS}, CELL = ${SIDE / COLUMNS};
    const clock = ${clock};
    const check = ${check};
    const canvas = new OffscreenCanvas(SIDE, SIDE);
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    const scene = new OffscreenCanvas(2 * SIDE, SIDE / 2);
    const paint = scene.getContext("2d");
    for (let n = 0; n < 600; n++) { // something to look at under the code: pictures should weigh what pictures weigh
      const tone = (n * 7919) % 360;
      paint.fillStyle = "hsl(" + tone + " 45% " + (25 + (n * 31) % 50) + "%)";
      const x = (n * 2654435761) % SIDE, y = (n * 40503) % (SIDE / 2), size = 12 + (n * 13) % 60;
      for (const shift of [0, SIDE]) paint.fillRect(x + shift - size / 2, y - size / 2, size, size);
    }
    let writer, fps = 24, phase = 0, count = 0, timer;
    const origin = clock();
    const draw = () => {
      const drawn = clock();
      const time = Math.round(drawn * 10) % ${TENTHS};
      const value = (${SYNC} << 20) | time;
      context.drawImage(scene, (count * 3) % SIDE, 0, SIDE, SIDE / 2, 0, SIDE / 2, SIDE, SIDE / 2);
      const word = [...value.toString(2).padStart(24, "0"), ...check(value).toString(2).padStart(8, "0")];
      word.forEach((bit, n) => {
        context.fillStyle = bit === "1" ? "#fff" : "#000";
        context.fillRect((n % COLUMNS) * CELL, Math.floor(n / COLUMNS) * CELL, CELL, CELL);
      });
      count += 1;
      const frame = new VideoFrame(canvas, { timestamp: Math.round(drawn * 1000) });
      void writer.ready.then(() => writer.write(frame)).catch(() => frame.close());
      next();
    };
    const next = () => {
      const now = clock() - origin - phase;
      const due = (Math.floor((now * fps) / 1000) + 1) * (1000 / fps);
      clearTimeout(timer);
      timer = setTimeout(draw, due - now);
    };
    onmessage = ({ data }) => {
      if (data.writable) writer = data.writable.getWriter();
      fps = data.fps ?? fps;
      phase = data.phase ?? phase;
      next();
    };`;

  const tracks = new WeakSet();
  const bench = {
    /** @type {{at: number, display: number | null, drawn: number}[]} */
    samples: [],
    unreadable: 0,
    looks: 0,
    /** @type {Set<string>} where pictures were seen, and their sizes */
    sizes: new Set(),
    hidden: false,
    /** @type {Worker | null} */
    worker: null,
    set: (options) => bench.worker?.postMessage(options),
    clear: () => {
      bench.samples.length = bench.unreadable = bench.looks = 0;
      bench.hidden = document.hidden;
      bench.sizes.clear();
    },
    take: () => ({
      samples: bench.samples.splice(0),
      unreadable: bench.unreadable,
      looks: bench.looks,
      sizes: [...bench.sizes],
      hidden: bench.hidden,
    }),
    watch,
  };
  Object.defineProperty(window, "bench", { value: bench });
  document.addEventListener("visibilitychange", () => (bench.hidden ||= document.hidden));

  navigator.mediaDevices.getUserMedia = async () => {
    const track = new MediaStreamTrackGenerator({ kind: "video" });
    bench.worker?.terminate();
    bench.worker = new Worker(URL.createObjectURL(new Blob([camera], { type: "text/javascript" })));
    bench.worker.postMessage({ writable: track.writable, fps: 24, phase: 0 }, [track.writable]);
    tracks.add(track);
    return new MediaStream([track]);
  };

  // A camera's driver says when it took each picture, and Chromium hands that on as `captureTime`. A generated track
  // has no driver; its pictures' own time stamps say it, which come through as `mediaTime`.
  const request = HTMLVideoElement.prototype.requestVideoFrameCallback;
  HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
    return request.call(this, (now, told) => {
      const own = this.srcObject instanceof MediaStream && this.srcObject.getVideoTracks().some((t) => tracks.has(t));
      const captureTime = told.mediaTime * 1000 - performance.timeOrigin;
      callback(now, own ? { ...told, captureTime } : told);
    });
  };
  const clone = MediaStreamTrack.prototype.clone;
  MediaStreamTrack.prototype.clone = function () {
    const made = clone.call(this);
    if (tracks.has(this)) tracks.add(made);
    return made;
  };

  const eye = document.createElement("canvas");
  eye.width = COLUMNS * 4;
  eye.height = ROWS * 4;
  const sight = eye.getContext("2d", { alpha: false, willReadFrequently: true });

  /** The time of drawing that a picture shows, in milliseconds on `clock()`; null where it cannot be read. */
  function read(picture, width, height, now) {
    sight.imageSmoothingQuality = "low";
    sight.drawImage(picture, 0, 0, width, height / 2, 0, 0, eye.width, eye.height);
    const { data } = sight.getImageData(0, 0, eye.width, eye.height);
    let word = 0;
    for (let n = 0; n < COLUMNS * ROWS; n++) {
      const at = 4 * ((Math.floor(n / COLUMNS) * 4 + 2) * eye.width + (n % COLUMNS) * 4 + 2);
      word = word * 2 + (data[at + 1] > 127 ? 1 : 0);
    }
    const value = Math.floor(word / 256);
    if (value >> 20 !== SYNC || check(value) !== word % 256) return null;
    const age = (Math.floor(now * 10) - (value % TENTHS)) % TENTHS;
    return now - ((age + TENTHS) % TENTHS) / 10;
  }

  function look(from, width, height, drawn, at, display) {
    bench.looks += 1;
    bench.sizes.add(`${from} ${width}x${height}`);
    if (drawn === null) bench.unreadable += 1;
    else bench.samples.push({ at, display, drawn });
  }

  /**
   * Look at every picture that the element presents, from now on.
   *
   * Of a `<video>`: when it is presented, at the time that the browser says. Of a canvas: when the page says that it has
   * painted, and again every millisecond until the new picture is to be seen there, for a worker paints it; the time is
   * that of the first look that saw it.
   */
  function watch(element) {
    const { shadowRoot, live } = element;
    const shown = () => shadowRoot.querySelector(".picture")?.lastElementChild; // it lies on top
    let newest = 0;
    live.on("picture", () => {
      const canvas = shown();
      if (!(canvas instanceof HTMLCanvasElement)) return;
      const told = clock();
      const again = () => {
        const at = clock();
        const { width, height } = canvas;
        const drawn = read(canvas, width, height, at);
        const same = drawn === null || Math.abs(drawn - newest) < 0.2;
        if (same && at - told < REPEATED_MS) return void setTimeout(again, 1);
        newest = drawn ?? newest;
        look("canvas", width, height, drawn, same ? told : at, null);
      };
      again();
    });
    let followed = null;
    const follow = () => {
      const video = shown();
      if (!(video instanceof HTMLVideoElement) || video === followed) return;
      followed = video;
      const next = (_now, told) => {
        if (shown() !== video) return;
        video.requestVideoFrameCallback(next);
        const at = performance.timeOrigin + told.presentationTime;
        const drawn = read(video, told.width, told.height, at);
        look("video", told.width, told.height, drawn, at, performance.timeOrigin + told.expectedDisplayTime);
      };
      video.requestVideoFrameCallback(next);
    };
    new MutationObserver(follow).observe(shadowRoot, { childList: true, subtree: true });
    follow();
  }
})();

/**
 * The studio: opens on the sample already generating, or comes back to the session of before a reload, and puts the
 * parts of the page together around one `Live`.
 */

import { Live, LiveError, LiveGlass, transportNamed } from "./client.js";
import { Desk } from "./studio/desk.js";
import { announce, button, byId, element, setText } from "./studio/dom.js";
import { Hud, wireHud } from "./studio/hud.js";
import { wireKeys } from "./studio/keys.js";
import { Publishing, notice } from "./studio/publishing.js";
import { showReceipt } from "./studio/receipts.js";
import { forget, openSample, remembered } from "./studio/session.js";
import { wireShare } from "./studio/share.js";
import { Stage } from "./studio/stage.js";
import { tell } from "./studio/status.js";

const STATS_MS = 1000;
const ACTIONS = { resume: "Resume", new: "Open a new session", over: "Back to the sample", retry: "Try now", "": "" };

const stage = new Stage();
const desk = new Desk();
/** @type {Live | null} */
let live = null;
/** When the present wait is over, on `performance.now()`; 0 where nothing is waited for. */
let waitsUntil = 0;
/** `?transport=socket` keeps the page off WebRTC, `?transport=webrtc` off the socket. */
const transport = transportNamed(new URLSearchParams(location.search).get("transport"));

/** @param {import("./studio/session.js").Place} place @param {import("./live/protocol.js").Model | null} model */
function begin(place, model) {
  const session = new Live({ server: location.origin, session: place.session, token: place.token }, { transport });
  live = session;
  /** @type {import("./live/protocol.js").Quality | null} */
  let quality = null;
  /** @type {import("./live/protocol.js").Swap | null} */
  let swap = null;
  let stale = place.origin === "stored"; // until the server greets
  const hud = new Hud(session);

  const say = () => {
    const { detour } = session.carried;
    waitsUntil = session.connection.retryAt || (session.connection.state === "open" && detour?.retryAt) || 0;
    showState(tell({ connection: session.connection, state: session.state, quality, detour, swap }));
  };
  session.on("state", say);
  session.on("carried", say);
  session.on("connection", ({ state, code }) => {
    const gone = state === "closed" && (code === "session_gone" || code === "token_invalid");
    steerable(state !== "closed");
    if (gone && stale) return restart(session, hud, model); // what was remembered is over: open anew, without a word
    say();
  });
  session.on("quality", (changed) => {
    quality = changed;
    say();
  });
  session.on("swap", (changed) => {
    swap = changed;
    if (changed.state === "ready") void showModel();
    say();
  });
  session.on("hello", ({ role }) => {
    void showModel(); // a server that went away may be back with another one
    stale = false;
    quality = swap = null; // said again where they still hold
    document.body.dataset["role"] = role;
  });
  session.on("receipt", showReceipt);
  session.on("error", ({ message, hint }) => notice([message, hint].filter(Boolean).join(" ")));

  steerable(true);
  stage.use(session);
  desk.use(session);
  new Publishing(session, stage, hud);
  wireShare(place, () => session.hello?.size ?? { width: 640, height: 360 });
  byId("picture", LiveGlass).live = session;
  session.connect();
  session.watchStats(STATS_MS);
}

/** @param {Live} over @param {Hud} hud @param {import("./live/protocol.js").Model | null} model */
function restart(over, hud, model) {
  over.close();
  hud.close();
  steerable(false);
  forget();
  void open(model);
}

/** @param {import("./live/protocol.js").Model | null} model */
async function open(model) {
  showState({ word: "opening", kind: "wait", line: "Opening a session on the built-in sample.", action: "" });
  try {
    const place = await openSample(model, ({ message, retryAt }) => {
      waitsUntil = retryAt;
      stage.wait("waiting for a place");
      showState({ word: "waiting", kind: "wait", line: `${message} Trying again by itself.`, action: "" });
    });
    waitsUntil = 0;
    begin(place, model);
  } catch (error) {
    const code = error instanceof LiveError ? ` (${error.code})` : "";
    const hint = error instanceof LiveError ? error.hint : "";
    const message = error instanceof Error ? error.message : String(error);
    stage.wait("no session");
    showState({ word: "refused", kind: "wait", line: `${[message, hint].filter(Boolean).join(" ")}${code}`, action: "new" });
  }
}

/** @param {import("./studio/status.js").Told} told */
function showState({ word, kind, line, action }) {
  if (element("tally").textContent !== word) announce(`${word}. ${line}`); // read out once; its figures change each second
  setText(element("tally"), word);
  element("tally").dataset["kind"] = kind;
  setText(element("state"), line);
  document.body.toggleAttribute("data-alarm", kind === "alarm");
  const offer = button("state-action");
  const watches = document.body.dataset["role"] === "viewer";
  offer.hidden = action === "" || (watches && (action === "resume" || action === "over"));
  setText(offer, ACTIONS[action]);
  offer.onclick = () => {
    if (action === "resume") live?.resume();
    else if (action === "retry") live?.connect();
    else if (action === "new") startOver();
    else if (action === "over") void live?.end().catch(() => {}).then(startOver); // its place is free for the next one
  };
  setText(button("pause"), word === "paused" ? "Resume" : "Pause");
  button("pause").disabled = word === "panic"; // panic ends by its own button alone
  countDown();
}

function startOver() {
  forget();
  location.reload();
}

/** Without a session there is nothing to steer. @param {boolean} can */
function steerable(can) {
  for (const part of document.querySelectorAll(".steer")) part.toggleAttribute("inert", !can);
  button("panic").disabled = !can;
}

function countDown() {
  const seconds = waitsUntil ? Math.max(0, Math.ceil((waitsUntil - performance.now()) / 1000)) : 0;
  setText(element("countdown"), seconds ? `in ${seconds} s` : "");
}

button("pause").addEventListener("click", () => {
  if (live?.state.state === "paused") live.resume();
  else live?.pause();
});
function panic() {
  const receipt = live?.panic();
  if (receipt?.phase !== "waiting") return;
  notice("Panic waits: this page has no connection to the server, so the picture may still be on air. It is sent first thing when the connection is back.");
  void receipt.ended.then(() => notice(""));
}
button("panic").addEventListener("click", panic);
button("panic-resume").addEventListener("click", () => live?.resume());
wireHud();
wireKeys({ takeLook: (place) => desk.takeLook(place), focusPrompt: () => desk.focusPrompt(), panic });
setInterval(countDown, 1000);
addEventListener("online", () => {
  if (live?.connection.state === "waiting") live.connect();
});

/** The model that serves now. */
async function resident() {
  const models = await Live.models().catch(() => []);
  return models.find(({ resident }) => resident) ?? models[0] ?? null;
}

let asked = 0;

/** Another one may have taken its place. */
async function showModel() {
  const number = ++asked;
  const model = await resident();
  if (model && number === asked) desk.setModel(model);
}

steerable(false);
const place = remembered();
const model = await resident();
const opening = place ? null : open(model); // asked for before the page is filled in: the picture comes sooner
if (model) desk.setModel(model);
if (place) begin(place, model);
await opening;

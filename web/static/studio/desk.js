/**
 * The desk: prompt, looks, words and numbers. Shows what is in force and sends what is asked; keeps nothing else.
 */

import { button, byId, element, input, make, select } from "./dom.js";
import { PAINTED } from "./receipts.js";
import { Tiles } from "./tiles.js";

const SEND_EVERY_MS = 60;
/** Numbers that only some models take, each in a field of its name. @type {("guidance" | "edge" | "depth")[]} */
const NUMBERS = ["guidance", "edge", "depth"];
const MAX_SEED = 2 ** 32 - 1;

export class Desk {
  /** @type {import("../client.js").Live | null} */
  #live = null;
  /** @type {import("../live/protocol.js").Model | null} */
  #model = null;
  #prompt = byId("prompt", HTMLTextAreaElement);
  #tiles = new Tiles(element("looks"));
  #seedLocked = true;
  /** @type {Record<string, number>} */
  #unsent = {};
  /** @type {number | null} */
  #sendTimer = null;
  #lastSent = 0;

  constructor() {
    byId("prompt-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    this.#prompt.addEventListener("input", () => this.#markWords());
    const strength = input("strength");
    strength.addEventListener("input", () => {
      this.#showStrength(Number(strength.value));
      this.#set({ strength: Number(strength.value) });
    });
    select("steps").addEventListener("change", () => this.#set({ steps: Number(select("steps").value) }));
    input("seed").addEventListener("change", () => this.#seedChanged());
    for (const name of NUMBERS) input(name).addEventListener("change", () => this.#set({ [name]: input(name).valueAsNumber }));
    select("apply").addEventListener("change", () => this.#live?.setParams({ apply: select("apply").value }));
    button("seed-lock").addEventListener("click", () => this.#lockSeed(!this.#seedLocked));
    button("undo").addEventListener("click", () => this.#live?.undo());
    button("redo").addEventListener("click", () => this.#live?.redo());
  }

  /** @param {import("../client.js").Live} live */
  use(live) {
    this.#live = live;
    live.on("hello", ({ applies = ["all"] }) => this.#offerApplies(applies));
    live.on("control", (control) => this.#show(control));
    this.#tiles.use(live);
  }

  /** @param {import("../live/protocol.js").Model} model */
  setModel(model) {
    this.#model = model;
    element("model").textContent = model.title;
    element("strength-hint").textContent = model.strength;
    input("strength").disabled = model.controls["strength"] === false;
    select("steps").replaceChildren(...model.valid_steps.map((n) => new Option(String(n), String(n))));
    select("steps").value = String(model.default_steps);
    for (const name of [...NUMBERS, "negative"]) element(`${name}-field`).hidden = !model.controls[name];
    const tiles = model.looks.map((look, i) => this.#tile(look, i));
    element("looks").replaceChildren(...tiles.map((tile) => tile.button));
    this.#tiles.show(tiles);
    const groups = this.#wordGroups(model.vocabulary);
    element("words").replaceChildren(...groups);
    element("words-section").hidden = groups.length === 0; // a model of any words has no list of them
    this.#markWords();
    if (this.#live?.hello) this.#offerApplies(this.#live.hello.applies ?? ["all"]);
    if (this.#live?.control) this.#show(this.#live.control);
  }

  focusPrompt() {
    this.#prompt.focus();
    this.#prompt.select();
  }

  /** Send what stands in the box. */
  send() {
    this.#take({ prompt: this.#prompt.value.trim() });
  }

  /** Take the look at a place in the deck. @param {number} place from 0 */
  takeLook(place) {
    const look = this.#model?.looks[place];
    if (!look) return;
    this.#prompt.value = look.prompt;
    this.#take(look);
  }

  /** What is painted can be chosen where this session and server allow more than one thing. @param {string[]} applies */
  #offerApplies(applies) {
    element("apply-field").hidden = applies.length < 2;
    select("apply").replaceChildren(...applies.map((name) => new Option(PAINTED[name] ?? name, name)));
    select("apply").value = this.#live?.control?.apply ?? "all";
    for (const [i, chip] of [...element("looks").children].entries()) {
      const wanted = this.#model?.looks[i]?.apply;
      /** @type {HTMLElement} */ (chip).hidden = Boolean(wanted) && !applies.includes(String(wanted));
    }
  }

  /** @param {{prompt: string, strength?: number, apply?: string | null}} wish */
  #take({ prompt, strength, apply }) {
    const params = this.#live?.control?.params;
    const numbers = {
      ...(strength !== undefined && strength !== params?.strength && { strength }),
      ...(!this.#seedLocked && { seed: Math.floor(Math.random() * (MAX_SEED + 1)) }),
    };
    const negative = this.#model?.controls["negative"] ? { negative: input("negative").value } : {};
    const blend_ms = Number(select("transition").value);
    const kept = apply && apply !== this.#live?.control?.apply ? { apply } : {};
    if (Object.keys({ ...numbers, ...kept }).length) this.#live?.change({ prompt, ...negative, ...kept, params: { ...numbers, blend_ms } });
    else this.#live?.setPrompt(prompt, { blend_ms, ...negative });
    this.#markWords();
  }

  /** A dragged slider sends at most every 60 ms, and always its last value. @param {Record<string, number>} numbers */
  #set(numbers) {
    Object.assign(this.#unsent, numbers);
    if (this.#sendTimer !== null) return;
    const wait = Math.max(0, SEND_EVERY_MS - (performance.now() - this.#lastSent));
    this.#sendTimer = window.setTimeout(() => {
      this.#sendTimer = null;
      this.#lastSent = performance.now();
      const params = this.#unsent;
      this.#unsent = {};
      this.#live?.setParams(params);
    }, wait);
  }

  #seedChanged() {
    const seed = input("seed").valueAsNumber;
    const valid = Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED;
    input("seed").setAttribute("aria-invalid", String(!valid));
    element("seed-hint").textContent = valid ? "Unlocked, each prompt draws a new seed." : "A seed is a whole number from 0 to 4,294,967,295.";
    if (valid) this.#set({ seed, blend_ms: Number(select("transition").value) });
  }

  /** @param {boolean} locked */
  #lockSeed(locked) {
    this.#seedLocked = locked;
    button("seed-lock").setAttribute("aria-pressed", String(locked));
    button("seed-lock").textContent = locked ? "Locked" : "Unlocked";
  }

  /** What is in force, unless the user has a hand on it. @param {import("../live/protocol.js").Control} control */
  #show({ version, prompts, params, apply }) {
    const text = prompts.map((prompt) => prompt.text).join(", ");
    const writing = document.activeElement === this.#prompt && this.#prompt.value !== "";
    if (!writing) this.#prompt.value = text;
    if (this.#sendTimer === null) {
      input("strength").value = String(params.strength);
      this.#showStrength(params.strength);
    }
    select("steps").value = String(params.steps);
    select("apply").value = apply ?? "all";
    element("apply-hint").hidden = apply !== "background";
    if (document.activeElement !== input("seed")) input("seed").value = String(params.seed);
    for (const name of NUMBERS) {
      if (params[name] !== undefined && document.activeElement !== input(name)) input(name).value = String(params[name]);
    }
    element("version").textContent = `version ${version}`;
    const inForce = this.#model?.looks.findIndex((look) => look.prompt === text) ?? -1;
    for (const [i, chip] of [...element("looks").children].entries()) chip.setAttribute("aria-pressed", String(i === inForce));
    this.#markWords();
  }

  /** @param {number} strength */
  #showStrength(strength) {
    element("strength-value").textContent = strength.toFixed(2);
  }

  /** @param {import("../live/protocol.js").Look} look @param {number} place @returns {import("./tiles.js").Tile} */
  #tile(look, place) {
    const canvas = make("canvas");
    const name = make("span", {}, place < 9 ? [make("kbd", { textContent: String(place + 1) }), look.name] : [look.name]);
    const button = make("button", { type: "button", className: "tile" }, [canvas, name]);
    button.hidden = Boolean(look.apply); // until the server says that it can
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => this.takeLook(place));
    return { look, button, canvas };
  }

  /** Words that mean something become chips; synonyms and fillers are not for tapping. @param {Record<string, unknown>} vocabulary */
  #wordGroups(vocabulary) {
    const groups = Object.entries(vocabulary).filter(([name]) => name !== "fillers");
    return groups.flatMap(([name, words]) => (Array.isArray(words) && words.length > 0 ? [this.#wordGroup(name, words)] : []));
  }

  /** @param {string} name @param {string[]} words */
  #wordGroup(name, words) {
    const chips = words.map((word) => {
      const chip = make("button", { type: "button", className: "chip", textContent: word });
      chip.addEventListener("click", () => this.#toggleWord(word));
      return chip;
    });
    return make("div", { className: "word-group" }, [
      make("h3", { textContent: name }),
      make("div", { className: "chips" }, chips),
    ]);
  }

  /** Put a word in or take it out, and send: in a live picture a word is tried by looking. @param {string} word */
  #toggleWord(word) {
    const text = this.#prompt.value;
    const found = wordPattern(word).exec(text);
    const changed = found ? text.slice(0, found.index) + text.slice(found.index + found[0].length) : `${text}, ${word}`;
    this.#prompt.value = changed.replace(/\s*,(\s*,)+/g, ",").replace(/\s{2,}/g, " ").replace(/\s+,/g, ",").replace(/^[\s,]+|[\s,]+$/g, "");
    this.send();
  }

  #markWords() {
    for (const chip of element("words").querySelectorAll("button")) {
      chip.setAttribute("aria-pressed", String(wordPattern(chip.textContent ?? "").test(this.#prompt.value)));
    }
  }
}

/** @param {string} word */
function wordPattern(word) {
  return new RegExp(`(?<![\\p{L}\\p{N}])${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\p{L}\\p{N}])`, "iu");
}

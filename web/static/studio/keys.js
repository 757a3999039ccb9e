/** Keys for the whole page. Panic works everywhere, in text boxes too; the others not where one writes. */

import { button, byId } from "./dom.js";

/**
 * @param {{takeLook: (place: number) => void, focusPrompt: () => void, panic: () => void}} desk
 */
export function wireKeys({ takeLook, focusPrompt, panic }) {
  const list = byId("keys", HTMLDialogElement);
  button("help").addEventListener("click", () => list.showModal());
  document.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain && (event.code === "Backquote" || event.key === "`")) {
      event.preventDefault();
      if (!event.repeat) panic();
      return;
    }
    if (event.key === "Escape" && writes(event.target)) return /** @type {HTMLElement} */ (event.target).blur();
    if (event.defaultPrevented || event.repeat || writes(event.target) || document.querySelector("dialog[open]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      button(event.shiftKey ? "redo" : "undo").click();
    } else if (plain) {
      plainKey(event, { takeLook, focusPrompt, help: () => list.showModal() });
    }
  });
}

/**
 * @param {KeyboardEvent} event
 * @param {{takeLook: (place: number) => void, focusPrompt: () => void, help: () => void}} actions
 */
function plainKey(event, { takeLook, focusPrompt, help }) {
  const key = event.key.toLowerCase();
  /** @type {Record<string, () => void>} */
  const actions = {
    "?": help,
    "/": focusPrompt,
    c: () => button("camera").click(),
    p: () => button("pause").click(),
    h: () => button("hud").click(),
  };
  const action = /^[1-9]$/.test(key) ? () => takeLook(Number(key) - 1) : actions[key];
  if (!action) return;
  event.preventDefault();
  action();
}

/** @param {EventTarget | null} target */
function writes(target) {
  if (target instanceof HTMLInputElement) return target.type !== "range";
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

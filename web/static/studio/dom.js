/** Finding and making elements. */

/**
 * The element with this id, of the type that the caller expects.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`#${id} is missing from the page`);
  return found;
}

/** @param {string} id */
export const button = (id) => byId(id, HTMLButtonElement);
/** @param {string} id */
export const input = (id) => byId(id, HTMLInputElement);
/** @param {string} id */
export const select = (id) => byId(id, HTMLSelectElement);
/** @param {string} id */
export const element = (id) => byId(id, HTMLElement);

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<{className: string, textContent: string, type: string, value: string, title: string, scope: string}>} [properties]
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

let announceTimer = 0;

/** Say it to a screen reader once things are quiet, so that a dragged slider is not read out at every step. @param {string} text */
export function announce(text) {
  clearTimeout(announceTimer);
  announceTimer = window.setTimeout(() => (element("announce").textContent = text), 600);
}

/** Set a text only where it changed: a live region speaks at each write. @param {HTMLElement} target @param {string} text */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

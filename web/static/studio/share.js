/** The two addresses to give away: the overlay for OBS, and the studio for someone who only watches. */

import { button, byId, element, input } from "./dom.js";

/**
 * @param {import("./session.js").Place} place
 * @param {() => {width: number, height: number}} size
 */
export function wireShare(place, size) {
  const ways = [
    { id: "obs", title: "Put it in OBS", address: overlayAddress(place), text: obsText },
    { id: "watch", title: "Viewer link", address: viewerAddress(place), text: () => "Whoever opens it sees the picture and can change nothing." },
  ];
  for (const { id, title, address, text } of ways) {
    button(id).disabled = !place.viewerToken;
    button(id).title = place.viewerToken ? "" : "Only the page that opened the session has its viewer token.";
    button(id).onclick = () => show(title, text(size()), address);
  }
}

/** @param {{width: number, height: number}} size */
function obsText({ width, height }) {
  return `In OBS: Sources, +, Browser. Paste the address, width ${width}, height ${height}. It carries a token that can only watch; keep it out of the picture.`;
}

/** @param {import("./session.js").Place} place */
function overlayAddress({ session, viewerToken }) {
  return `${location.origin}/overlay/${encodeURIComponent(session)}?token=${encodeURIComponent(viewerToken)}&fit=cover&lost=hold`;
}

/** @param {import("./session.js").Place} place */
function viewerAddress({ session, viewerToken }) {
  return `${location.origin}/#session=${encodeURIComponent(session)}&token=${encodeURIComponent(viewerToken)}`;
}

/** @param {string} title @param {string} text @param {string} address */
function show(title, text, address) {
  element("share-title").textContent = title;
  element("share-text").textContent = text;
  input("share-address").value = address;
  button("share-copy").onclick = () => copy(address);
  byId("share", HTMLDialogElement).showModal();
  copy(address);
}

/** @param {string} address */
function copy(address) {
  const said = element("share-said");
  said.textContent = "";
  const byHand = () => {
    input("share-address").select();
    said.textContent = "Press Ctrl+C to copy the address.";
  };
  if (!navigator.clipboard) return byHand();
  navigator.clipboard.writeText(address).then(() => (said.textContent = "The address is copied."), byHand);
}

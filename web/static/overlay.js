/**
 * What goes on air: `/overlay/{id}?token=…&fit=cover|contain&lost=hold|clear&transport=auto|webrtc|socket`. Shows the
 * picture, and never anything else: no word, no cursor, no spinner. Reconnects for ever.
 */

import { LiveGlass } from "./client.js";

const query = new URLSearchParams(location.search);
const fragment = new URLSearchParams(location.hash.slice(1));
const session = decodeURIComponent(location.pathname.split("/").pop() ?? "");

const picture = new LiveGlass();
picture.setAttribute("session", session);
picture.setAttribute("token", query.get("token") ?? fragment.get("token") ?? "");
picture.setAttribute("server", location.origin);
picture.setAttribute("fit", query.get("fit") === "contain" ? "contain" : "cover");
picture.setAttribute("lost", query.get("lost") === "clear" ? "clear" : "hold");
picture.setAttribute("transport", query.get("transport") ?? "auto");
picture.setAttribute("forever", "");
document.body.append(picture);

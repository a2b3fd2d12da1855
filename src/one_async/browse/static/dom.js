// Elements are made of text nodes and attributes alone, so that names from the tables are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

// Control characters, and those that change the direction of the text after them: a name must not be read as another.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
const shown = (child) => (typeof child === "string" ? child.replace(CONTROLS, "\ufffd") : child);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, given] of Object.entries(value)) element.style.setProperty(key, given);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map(shown));
  return element;
}

/** Return an HTML element; children are elements or texts, `on…` attributes are listeners. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Return an SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

/** Return a number with separators between the thousands. */
export const count = (number) => number.toLocaleString("en-US");

/** Return a number with its noun. */
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Return a list of names as parts between which a line may break. */
export const breakable = (value) => String(value).split(/(?<=[,/])/).flatMap((part) => [part, h("wbr")]);

/** Return a protocol without the prefix that all of a rig's have, which leaves no room for the rest. */
export const shortProtocol = (name) => name.replaceAll("_iblrig_tasks_", "…");

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Frames of notebooks may not use the clipboard's interface.
    const area = h("textarea", { class: "off-screen", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Return a button that copies a text. */
export function copyButton(text, label = "Copy") {
  const button = h("button", { type: "button", class: "copy", title: `Copy ${text}` }, label);
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    button.textContent = (await toClipboard(text)) ? "Copied" : "Not copied";
    setTimeout(() => { button.textContent = label; }, 1200);
  });
  return button;
}

/** Return a line of code with a button that copies it. */
export function codeLine(code, label = "Copy code") {
  return [h("code", { title: code }, code), copyButton(code, label)];
}

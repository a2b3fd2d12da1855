// The list of sessions: only the rows in view exist, and the server sends a page of them at a time.

import { h, count, shortProtocol } from "./dom.js";
import { get } from "./api.js";

const ROW = 30; // height of a row, as in style.css
const PAGE = 200;
const TALLEST = 8_000_000; // browsers lay out no element that is much taller
const COLUMNS = ["Subject", "Date", "#", "Lab", "Task protocol", "Projects", "Files"];
const CLASSES = ["subject", "date", "nr", "lab", "protocol", "projects", "files"];

export class SessionList {
  constructor(element, select) {
    Object.assign(this, { select, total: 0, pages: new Map(), rows: new Map(), selected: null, at: null });
    this.space = h("div", { class: "space" });
    this.view = h("div", {
      class: "view", tabindex: "0", role: "listbox", "aria-label": "Sessions, latest first",
      onscroll: () => this.schedule(), onkeydown: (event) => this.press(event),
    }, this.space);
    const head = h("div", { class: "row head", "aria-hidden": "true" },
      COLUMNS.map((name, at) => h("span", { class: CLASSES[at] }, name)));
    element.append(head, this.view);
    new ResizeObserver(() => {
      head.style.setProperty("--scroll-bar", `${this.view.offsetWidth - this.view.clientWidth}px`);
      this.schedule();
    }).observe(this.view);
  }

  /** Show the sessions of a new answer. */
  show(parameters, total, first) {
    Object.assign(this, { parameters, total, at: null });
    this.pages.forEach((page) => page.abort?.());
    this.pages = new Map([[0, { rows: first, whole: first.length === Math.min(total, PAGE) }]]);
    this.space.style.height = `${Math.min(total * ROW, TALLEST)}px`;
    this.view.scrollTop = 0;
    this.clear();
    this.render();
  }

  clear() {
    this.rows.forEach((row) => row.remove());
    this.rows.clear();
  }

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.render();
    });
  }

  /** Return the first row in view, with its fraction. Of very many rows, each step of the scroll bar passes several. */
  get first() {
    const inView = this.view.clientHeight / ROW;
    const way = this.space.offsetHeight - this.view.clientHeight;
    if (this.total * ROW <= TALLEST || way <= 0) return this.view.scrollTop / ROW;
    return (this.view.scrollTop / way) * (this.total - inView);
  }

  render() {
    const first = this.first;
    const begin = Math.max(0, Math.floor(first) - 4);
    const end = Math.min(this.total, Math.ceil(first + this.view.clientHeight / ROW) + 4);
    for (const [at, row] of this.rows) {
      if (at < begin || at >= end) {
        row.remove();
        this.rows.delete(at);
      }
    }
    for (let at = begin; at < end; at++) {
      const session = this.session(at);
      let row = this.rows.get(at);
      if (!row || (session && row.classList.contains("waiting"))) {
        row?.remove();
        row = this.row(at, session);
        this.rows.set(at, row);
        this.space.append(row);
      }
      row.style.transform = `translateY(${Math.round(this.view.scrollTop + (at - first) * ROW)}px)`;
    }
    this.request(begin, end);
  }

  session(at) {
    return this.pages.get(Math.floor(at / PAGE))?.rows[at % PAGE];
  }

  row(at, session) {
    if (!session) {
      return h("div", { class: "row waiting", role: "option", "aria-setsize": this.total, "aria-posinset": at + 1 },
        CLASSES.map((name) => h("span", { class: name }, h("i"))));
    }
    const [eid, subject, date, number, lab, protocol, projects, files] = session;
    const texts = [subject, date, number, lab, protocol, projects, count(files)].map((text) => String(text ?? ""));
    const shown = texts.with(4, shortProtocol(texts[4]));
    return h("div", {
      class: "row", role: "option", id: `row-${at}`, "aria-setsize": this.total, "aria-posinset": at + 1,
      "aria-selected": String(eid === this.selected), onclick: () => this.choose(at),
    }, texts.map((text, place) => h("span", { class: CLASSES[place], title: text.length > 12 ? text : null }, shown[place])));
  }

  /** Request the pages in view that are not there, once the list has come to rest. */
  request(begin, end) {
    clearTimeout(this.timer);
    const wanted = new Set();
    for (let page = Math.floor(begin / PAGE); page * PAGE < end; page++) {
      if (!this.pages.get(page)?.whole) wanted.add(page);
    }
    if (wanted.size) this.timer = setTimeout(() => wanted.forEach((page) => this.load(page)), 40);
  }

  async load(number) {
    const { pages, parameters } = this;
    const controller = new AbortController();
    const known = pages.get(number);
    if (known?.whole || known?.abort) return;
    pages.set(number, { rows: known?.rows ?? [], whole: false, abort: () => controller.abort() });
    const query = new URLSearchParams(parameters);
    query.set("offset", number * PAGE);
    query.set("limit", PAGE);
    try {
      pages.set(number, { rows: (await get("sessions", query, controller.signal)).rows, whole: true });
    } catch {
      pages.delete(number); // requested again when it is next in view
    }
    if (pages === this.pages) this.render();
  }

  press(event) {
    const inView = Math.max(1, Math.floor(this.view.clientHeight / ROW) - 1);
    const from = this.at ?? -1;
    const to = { ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + inView, PageUp: from - inView, Home: 0, End: this.total - 1 }[event.key];
    if (to === undefined || !this.total) return;
    event.preventDefault();
    this.choose(Math.min(Math.max(to, 0), this.total - 1), true);
  }

  choose(at, follow = false) {
    this.at = at;
    if (follow) this.reveal(at);
    const session = this.session(at);
    if (!session) return;
    this.mark(session[0]);
    this.view.setAttribute("aria-activedescendant", `row-${at}`);
    this.select(session[0]);
  }

  mark(eid) {
    this.selected = eid;
    for (const [place, row] of this.rows) {
      row.setAttribute("aria-selected", String(this.session(place)?.[0] === eid));
    }
  }

  reveal(at) {
    const inView = this.view.clientHeight / ROW;
    const first = this.first;
    const wanted = at < first ? at : at + 1 > first + inView ? at + 1 - inView : first;
    if (wanted !== first) {
      const scale = this.total * ROW <= TALLEST ? ROW : (this.space.offsetHeight - this.view.clientHeight) / (this.total - inView);
      this.view.scrollTop = wanted * scale;
      this.render();
    }
  }
}

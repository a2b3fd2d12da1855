// The filters at the left: fields of text with the values that occur, a range of dates, the quality of datasets.

import { byId, count, h, shortProtocol } from "./dom.js";
import { histogram } from "./charts.js";

const FACETS = [
  ["lab", "Lab", "A part of the lab's name"],
  ["subject", "Subject", "A part of the subject's name"],
  ["project", "Project", "A part of the project's name"],
  ["protocol", "Task protocol", "A part of the protocol's name"],
  ["dataset", "Datasets", "A part of a file name"],
];
const FEW = 5;
const DATE = /^\d{4}(-\d{2}(-\d{2})?)?$/;
const WAIT = 60; // milliseconds between a keystroke and its request

export class Filters {
  constructor(changed) {
    this.changed = changed;
    this.facets = Object.fromEntries(FACETS.map((facet) => [facet[0], new Facet(this, ...facet)]));
    this.dates = new Dates(this);
    this.quality = new Quality(this);
    const { lab, subject, project, protocol, dataset } = this.facets;
    const parts = [lab, subject, this.dates, project, protocol, dataset, this.quality];
    byId("filters").append(...parts.map((part) => part.element));
    this.parts = parts;
  }

  /** Return what is set as the parameters of a request. */
  parameters() {
    const parameters = new URLSearchParams();
    for (const part of this.parts) part.write(parameters);
    return parameters;
  }

  read(parameters) {
    for (const part of this.parts) part.read(parameters);
  }

  get isEmpty() {
    return this.parameters().size === 0;
  }

  clear() {
    this.read(new URLSearchParams());
    this.changed();
  }

  show(answer) {
    for (const [name, facet] of Object.entries(this.facets)) facet.show(answer.facets[name]);
    this.dates.show(answer.dates);
    this.quality.show(answer.qc);
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.changed(), WAIT);
  }
}

class Facet {
  constructor(filters, name, title, hint) {
    Object.assign(this, { filters, name, chosen: [], isOpen: false });
    this.input = h("input", {
      type: "search", id: `filter-${name}`, placeholder: hint, autocomplete: "off", spellcheck: "false",
      oninput: () => filters.soon(),
    });
    this.list = h("ul", { "aria-label": `Values of ${title}` });
    this.more = h("button", { type: "button", class: "plain more", onclick: () => this.toggle() });
    this.element = h("section", { class: "filter" }, h("label", { for: `filter-${name}` }, title), this.input, this.list, this.more);
  }

  write(parameters) {
    for (const value of this.chosen) parameters.append(this.name, value);
    if (this.input.value.trim()) parameters.append(`${this.name}.text`, this.input.value.trim());
  }

  read(parameters) {
    this.chosen = parameters.getAll(this.name);
    this.input.value = parameters.get(`${this.name}.text`) ?? "";
  }

  choose(value) {
    const isChosen = this.chosen.includes(value);
    this.chosen = isChosen ? this.chosen.filter((one) => one !== value) : [...this.chosen, value];
    if (!isChosen) this.input.value = "";
    this.filters.changed();
  }

  toggle() {
    this.isOpen = !this.isOpen;
    this.show(this.answer);
  }

  show(answer) {
    this.answer = answer;
    const shown = this.isOpen ? answer.values : answer.values.slice(0, FEW);
    const largest = Math.max(1, ...answer.values.map((pair) => pair[1]), ...answer.chosen.map((pair) => pair[1]));
    this.list.replaceChildren(
      ...answer.chosen.map((pair) => this.value(pair, largest, true)),
      ...shown.map((pair) => this.value(pair, largest, false)),
    );
    const hidden = answer.values.length - shown.length + answer.more;
    this.more.hidden = !this.isOpen && answer.values.length <= FEW;
    this.more.textContent = this.isOpen
      ? answer.more ? `Show fewer (${count(answer.more)} more: type a part of the name)` : "Show fewer"
      : `${count(hidden)} more`;
    if (this.input.value && !answer.values.length && !answer.chosen.length) {
      this.list.append(h("li", { class: "none" }, "no such value"));
    }
  }

  value([name, number], largest, isChosen) {
    return h("li", {}, h("button", {
      type: "button", class: "value", "aria-pressed": String(isChosen), title: name || "(none)",
      vars: { "--share": String(number / largest) }, onclick: () => this.choose(name),
    }, h("span", { class: name ? "name" : "name none" }, this.name === "protocol" ? shortProtocol(name) || "(none)" : name || "(none)"), h("span", { class: "number" }, count(number))));
  }
}

class Dates {
  constructor(filters) {
    const field = (id, hint, label) => h("input", {
      type: "text", id, placeholder: hint, "aria-label": label, title: "yyyy, yyyy-mm or yyyy-mm-dd", maxlength: 10,
      autocomplete: "off", inputmode: "numeric", oninput: () => this.type(),
    });
    this.filters = filters;
    this.from = field("filter-from", "from 2023", "First date, month or year");
    this.to = field("filter-to", "to 2024", "Last date, month or year");
    this.chart = h("div", { class: "dates-chart" });
    this.element = h("section", { class: "filter" }, h("span", { class: "label" }, "Date"), this.chart,
      h("div", { class: "dates" }, this.from, this.to));
    new ResizeObserver(() => this.answer && this.show(this.answer)).observe(this.chart);
  }

  /** Ask once what was typed is a date; a part of one selects nothing. */
  type() {
    for (const field of [this.from, this.to]) {
      field.setAttribute("aria-invalid", String(field.value.trim() !== "" && !DATE.test(field.value.trim())));
    }
    this.filters.soon();
  }

  write(parameters) {
    for (const [name, field] of [["from", this.from], ["to", this.to]]) {
      if (DATE.test(field.value.trim())) parameters.append(name, field.value.trim());
    }
  }

  read(parameters) {
    this.from.value = parameters.get("from") ?? "";
    this.to.value = parameters.get("to") ?? "";
    for (const field of [this.from, this.to]) field.removeAttribute("aria-invalid");
  }

  show(answer) {
    this.answer = answer;
    const select = (from, to) => {
      this.read(new URLSearchParams({ from, to }));
      this.filters.changed();
    };
    const set = new URLSearchParams();
    this.write(set);
    this.chart.replaceChildren(histogram(answer, set.get("from"), set.get("to"), this.chart.clientWidth || 220, select));
  }
}

class Quality {
  constructor(filters) {
    Object.assign(this, { filters, level: null });
    this.list = h("ul", {});
    this.element = h("section", { class: "filter" }, h("span", { class: "label" }, "Dataset QC at worst"), this.list);
  }

  write(parameters) {
    if (this.level) parameters.append("qc", this.level);
  }

  read(parameters) {
    this.level = parameters.get("qc");
  }

  show(levels) {
    const largest = Math.max(1, ...levels.map((pair) => pair[1]));
    this.list.replaceChildren(...levels.map(([name, number]) => h("li", {}, h("button", {
      type: "button", class: "value", "aria-pressed": String(name === this.level), vars: { "--share": String(number / largest) },
      onclick: () => { this.level = name === this.level ? null : name; this.filters.changed(); },
    }, h("span", { class: `dot ${name}` }), h("span", { class: "name" }, name), h("span", { class: "number" }, count(number))))));
  }
}

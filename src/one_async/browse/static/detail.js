// The selected session at the right: what it is, plots of its data, its quality, insertions and datasets.

import { onTheme } from "./theme.js";
import { breakable, byId, codeLine, copyButton, count, counted, h } from "./dom.js";
import { get, latest } from "./api.js";
import { psychometric, psychometricLegend, raster, wheel } from "./charts.js";

const TITLES = { psychometric: "Psychometric curve", raster: "Raster", wheel: "Wheel position (rad)" };
const AXES = { psychometric: "choices to the right by contrast, right − left" };
const WAIT = 120; // milliseconds that a session stays selected before its data are loaded

export class Detail {
  constructor(about, closed) {
    this.about = about;
    this.closed = closed;
    this.element = byId("detail");
    this.session = latest((signal, eid) => get("session", { eid }, signal));
    this.record = latest((signal, eid) => get("record", { eid }, signal));
    this.redraw = [];
    let width = 0;
    new ResizeObserver(() => {
      if (this.element.clientWidth === width) return;
      width = this.element.clientWidth;
      this.redraw.forEach((draw) => draw());
    }).observe(this.element);
    onTheme(() => this.redraw.forEach((draw) => draw()));
    this.clear();
  }

  clear() {
    this.eid = null;
    this.element.classList.remove("open");
    this.element.replaceChildren(h("p", { class: "empty" }, "Select a session to see its datasets, insertions, quality and plots."));
  }

  async show(eid) {
    if (eid === this.eid) return;
    this.eid = eid;
    this.element.classList.add("open");
    this.element.setAttribute("aria-busy", "true");
    clearTimeout(this.timer);
    let session;
    try {
      session = await this.session(eid);
    } catch (error) {
      this.element.replaceChildren(this.closing(), h("p", { class: "problem" }, error.message));
      return;
    } finally {
      this.element.removeAttribute("aria-busy");
    }
    this.redraw = [];
    const quality = h("div", { class: "quality" }, qualityBar(session.qc));
    const probes = h("div", {});
    const plots = groups(session.plots).map((group) => new Plot(this, eid, group));
    this.element.replaceChildren(
      h("header", {}, this.closing(), h("h2", {}, `${session.fields.subject ?? "?"} `, h("span", {}, `${session.fields.date ?? ""} #${session.fields.number ?? "?"}`)),
        h("div", { class: "eid" }, h("code", {}, eid), copyButton(eid, "Copy eid"))),
      fields({ lab: session.fields.lab, protocol: session.fields.task_protocol, projects: session.fields.projects }),
      ...plots.map((plot) => plot.element),
      section("Quality", quality),
      section("Insertions", probes),
      datasets(session),
    );
    this.element.scrollTop = 0;
    probes.replaceChildren(insertions(session.insertions, this.about.online));
    this.timer = setTimeout(() => {
      for (const plot of plots) plot.begin();
      if (this.about.online) this.showRecord(eid, session, quality, probes);
    }, WAIT);
  }

  async showRecord(eid, session, quality, probes) {
    let record;
    try {
      record = await this.record(eid);
    } catch (error) {
      quality.append(h("p", { class: "note" }, `The database was not asked: ${error.message}`));
      probes.replaceChildren(insertions(session.insertions, false));
      return;
    }
    quality.replaceChildren(...checks(record), qualityBar(session.qc));
    probes.replaceChildren(insertions(record.insertions, false));
  }

  closing() {
    return h("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => { this.clear(); this.closed(); } }, "×");
  }
}

const section = (title, ...children) => h("section", {}, h("h3", {}, title), ...children);

function fields(values) {
  const known = Object.entries(values).filter(([, value]) => value);
  return h("dl", {}, known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, ...breakable(value))]));
}

/** Return the plots of each kind, of which a probe or task may have several. */
function groups(plots) {
  const found = new Map();
  for (const plot of plots) found.set(plot.kind, [...(found.get(plot.kind) ?? []), plot]);
  return [...found.values()];
}

class Plot {
  constructor(detail, eid, plots) {
    Object.assign(this, { detail, eid, plots, plot: plots[0], data: null });
    this.load = latest((signal, { kind, collection }) => get("plot", { eid, kind, collection }, signal));
    this.tabs = h("div", { class: "tabs" });
    this.body = h("div", { class: "plot-body" });
    this.code = h("div", { class: "code-line" });
    this.element = h("section", { class: `plot-of-${this.plot.kind}` },
      h("div", { class: "plot-head" },
        h("h3", {}, TITLES[this.plot.kind], AXES[this.plot.kind] ? h("span", { class: "note" }, ` ${AXES[this.plot.kind]}`) : null), this.tabs), this.body, this.code);
    this.detail.redraw.push(() => this.data && this.draw());
    this.choose(this.plot);
  }

  choose(plot) {
    this.plot = plot;
    this.tabs.replaceChildren(...(this.plots.length < 2 ? [] : this.plots.map((one) => h("button", {
      type: "button", class: "plain", "aria-pressed": String(one === plot), title: one.collection,
      onclick: () => { this.choose(one); this.begin(); },
    }, one.collection.replace(/^alf\/?/, "") || "alf"))));
    this.code.replaceChildren(...codeLine(plot.code, "Copy"));
    this.data = null;
    this.body.replaceChildren(h("p", { class: "note" }, "…"));
  }

  /** Draw what is on disk; ask before anything is fetched. */
  begin() {
    if (this.plot.on_disk || !this.detail.about.online) {
      this.fetch();
      return;
    }
    const size = this.plot.size ? ` (${this.plot.size})` : "";
    this.body.replaceChildren(h("button", { type: "button", class: "fetch", onclick: () => this.fetch() }, `Download and draw${size}`));
  }

  async fetch() {
    this.body.replaceChildren(h("p", { class: "note" }, this.plot.on_disk ? "Loading …" : "Downloading …"));
    try {
      this.data = await this.load(this.plot);
      this.plot.on_disk = true;
      this.draw();
    } catch (error) {
      this.body.replaceChildren(h("p", { class: "note" }, error.message));
    }
  }

  draw() {
    const width = Math.max(240, this.body.clientWidth);
    const { kind } = this.plot;
    if (kind === "psychometric") this.body.replaceChildren(psychometric(this.data, width), psychometricLegend(this.data));
    if (kind === "wheel") this.body.replaceChildren(wheel(this.data, width));
    if (kind === "raster") {
      const { spikes, over } = this.data;
      this.body.replaceChildren(raster(this.data, width), h("div", { class: "legend" }, h("span", { class: "note" }, `${counted(spikes, "spike")} by ${over}`)));
    }
  }
}

function qualityBar(levels) {
  const total = levels.reduce((sum, pair) => sum + pair[1], 0);
  const there = levels.filter((pair) => pair[1]);
  if (!total) return h("p", { class: "note" }, "no datasets");
  return h("div", {},
    h("p", { class: "note" }, "Datasets by QC"),
    h("div", { class: "stack", role: "img", "aria-label": "Datasets by QC" }, there.map(([name, number]) => h("span", { class: `part ${name}`, title: `${name}: ${count(number)}`, vars: { "--share": String(number) } }))),
    h("div", { class: "legend" }, there.map(([name, number]) => h("span", { class: "key" }, h("span", { class: `dot ${name}` }), `${name} ${count(number)}`))));
}

function checks(record) {
  const rows = record.checks.map(([name, value]) => [h("dt", {}, name),
    typeof value === "number"
      ? h("dd", {}, h("span", { class: "meter", vars: { "--share": String(value) } }), h("span", { class: "number" }, `${+(value * 100).toFixed(1)} %`))
      : h("dd", {}, value)]);
  return [
    record.qc ? h("p", { class: "verdict" }, h("span", { class: `dot ${record.qc}` }), `Session QC: ${record.qc}`) : null,
    fields(record.fields),
    rows.length ? h("details", { class: "checks" }, h("summary", {}, counted(rows.length, "check")), h("dl", {}, rows.flat())) : null,
  ].filter(Boolean);
}

function insertions(rows, isWaiting) {
  if (rows === null && isWaiting) return h("p", { class: "note" }, "…");
  if (rows === null) return h("p", { class: "note" }, "The tables have no insertions.");
  if (!rows.length) return h("p", { class: "note" }, "none");
  return h("ul", { class: "insertions" }, rows.map(({ pid, name, model, code }) => h("li", {},
    h("span", {}, h("strong", {}, name || "?"), model ? ` ${model}` : ""), h("code", { title: pid }, pid), copyButton(code, "Copy code"))));
}

function datasets(session) {
  const folders = new Map();
  for (const one of session.datasets) folders.set(one.folder, [...(folders.get(one.folder) ?? []), one]);
  const more = session.total - session.datasets.length;
  return h("section", { class: "datasets" },
    h("h3", {}, "Datasets ", h("span", { class: "note" }, counted(session.total, "dataset"))),
    h("div", { class: "code-line" }, ...codeLine(session.code, "Copy")),
    [...folders].map(([folder, files]) => h("details", { open: folders.size <= 2 || folder === "alf" },
      h("summary", {}, h("span", { class: "name" }, folder || "(the session's folder)"), h("span", { class: "number" }, count(files.length))),
      h("ul", {}, files.map(dataset)))),
    more > 0 ? h("p", { class: "note" }, `and ${counted(more, "further dataset")}`) : null);
}

function dataset({ name, size, qc, exists, default: isDefault, code }) {
  const remarks = [exists ? null : "does not exist", isDefault ? null : "not the default revision"].filter(Boolean).join(", ");
  return h("li", { class: remarks ? "dim" : null, title: remarks || null },
    h("span", { class: `dot ${qc}`, title: `QC ${qc}` }), h("span", { class: "name", title: name }, name),
    h("span", { class: "number" }, size), copyButton(code, "Copy code"));
}

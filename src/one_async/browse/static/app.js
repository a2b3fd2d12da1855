// The page: filters at the left, sessions in the middle, the selected session at the right.

import { byId, codeLine, count } from "./dom.js";
import { get, latest } from "./api.js";
import { Detail } from "./detail.js";
import { Filters } from "./filters.js";
import { SessionList } from "./list.js";

const query = latest((signal, parameters) => get("query", parameters, signal));

async function start() {
  const about = await get("about");
  byId("database").textContent = about.database;
  byId("tables").textContent = `${count(about.sessions)} sessions, ${count(about.datasets)} datasets` + (about.created ? `, tables of ${about.created}` : "");
  const detail = new Detail(about, () => list.mark(null));
  const list = new SessionList(byId("list"), (eid) => detail.show(eid));
  const filters = new Filters(() => update());

  async function update() {
    const parameters = filters.parameters();
    // The filters stay when the page is loaded again.
    history.replaceState(null, "", parameters.size ? `#${parameters}` : location.pathname);
    byId("reset").hidden = filters.isEmpty;
    document.body.setAttribute("aria-busy", "true");
    try {
      const answer = await query(parameters);
      byId("total").textContent = count(answer.total);
      byId("noun").textContent = answer.total === 1 ? "session" : "sessions";
      byId("search-code").replaceChildren(...codeLine(answer.code));
      list.show(parameters, answer.total, answer.rows);
      filters.show(answer);
      problem(null);
    } catch (error) {
      problem(error.message);
    }
    document.body.removeAttribute("aria-busy");
  }

  byId("reset").addEventListener("click", () => filters.clear());
  byId("show-filters").addEventListener("click", (event) => {
    const isOpen = document.body.classList.toggle("with-filters");
    event.currentTarget.setAttribute("aria-expanded", String(isOpen));
  });
  filters.read(new URLSearchParams(location.hash.slice(1)));
  await update();
}

function problem(text) {
  byId("problem").hidden = text === null;
  byId("problem").textContent = text ?? "";
}

start().catch((error) => problem(error.message));

// The theme: that of the notebook around the page's frame if it tells, else the system's.

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];
let ofNotebook = null;

function apply() {
  document.documentElement.classList.toggle("dark", ofNotebook ?? system.matches);
  listeners.forEach((listener) => listener());
}

/** Call a function whenever the theme changes. */
export function onTheme(listener) {
  listeners.push(listener);
}

system.addEventListener("change", apply);
addEventListener("message", ({ source, data }) => {
  if (source !== parent || source === window || typeof data?.dark !== "boolean") return;
  ofNotebook = data.dark;
  apply();
});
apply();

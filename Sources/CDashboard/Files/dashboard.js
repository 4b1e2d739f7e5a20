// The dashboard: which page is shown, how often it is drawn anew, the keys, the colours.
import { el } from "./widgets.js";
import { takeToken, Refused } from "./api.js";
import { meshPage, servicesPage, servicePage } from "./mesh-pages.js";
import { tapPage, rolloutsPage } from "./live-pages.js";
import { requestsPage, configurationPage, healthPage } from "./more-pages.js";

const pages = [
  { path: "mesh", title: "Mesh", make: meshPage, every: 2000 },
  { path: "services", title: "Services", make: servicesPage, every: 2000 },
  { path: "requests", title: "Requests", make: requestsPage, every: 2000 },
  { path: "tap", title: "Tap", make: tapPage, every: 1000 },
  { path: "rollouts", title: "Rollouts", make: rolloutsPage, every: 2000 },
  { path: "configuration", title: "Configuration", make: configurationPage, every: 5000 },
  { path: "health", title: "Health", make: healthPage, every: 3000 },
];
const details = { service: servicePage };

const main = document.getElementById("main");
const live = document.getElementById("live");
let current = null;
let turn = 0;

function route() {
  const [path, ...rest] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  const page = pages.find((p) => p.path === path) ?? (details[path] ? null : pages[0]);
  document.getElementById("pages").replaceChildren(...pages.map((p) =>
    el("a", { href: `#/${p.path}`, "aria-current": p === page ? "page" : null }, p.title)));
  document.title = `${page ? page.title : rest.join("/")} · Apus`;
  current?.leave?.();
  turn += 1;
  current = page ? page.make(main, rest) : details[path](main, rest);
  current.every = page?.every ?? 3000;
  refresh(turn);
}

async function refresh(own) {
  if (own !== turn) return;
  try {
    if (!document.hidden) {
      await current.refresh();
      live.textContent = `live, ${new Date().toLocaleTimeString()}`;
      live.classList.remove("lost");
    }
  } catch (error) {
    if (own !== turn) return;
    live.classList.add("lost");
    live.textContent = "not live";
    if (error instanceof Refused && error.status === 401) return noSession();
    current.failed?.(error);
    console.warn(`apus: ${error.message}`);
  }
  setTimeout(() => refresh(own), current.every);
}

function noSession() {
  main.replaceChildren(el("section", { class: "panel" }, el("h1", {}, "This page has no session"),
    el("p", {}, "Run ", el("code", {}, "apus dashboard"), " in a terminal and open the address that it prints. Sessions end with the control plane, and after twelve hours.")));
}

function theme() {
  const isDark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("apus-theme", document.documentElement.dataset.theme);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.closest("input, select, textarea, dialog");
  if (isTyping) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key >= "1" && event.key <= String(pages.length)) location.hash = `#/${pages[Number(event.key) - 1].path}`;
  else if (event.key === "/") {
    const search = main.querySelector("input[type=search]");
    if (!search) return;
    search.focus();
  } else if (event.key === "?") document.getElementById("keys").showModal();
  else if (event.key === "d") theme();
  else if (!current?.key?.(event.key)) return;
  event.preventDefault();
}

const kept = localStorage.getItem("apus-theme");
if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
document.getElementById("theme").addEventListener("click", theme);
document.getElementById("help").addEventListener("click", () => document.getElementById("keys").showModal());
document.addEventListener("keydown", keys);
addEventListener("hashchange", () => { takeToken(); route(); });
takeToken();
route();

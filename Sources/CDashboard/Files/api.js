// The API of the control plane, with the token of this session. The token comes with the address, behind the #, which no
// server and no log ever sees, and stays in this tab.

const key = "apus-session";

/** Takes the token out of the address, where there is one. */
export function takeToken() {
  const found = location.hash.match(/^#token=([A-Za-z0-9_-]+)$/);
  if (!found) return;
  sessionStorage.setItem(key, found[1]);
  history.replaceState(null, "", `${location.pathname}#/mesh`);
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Questions that are not answered by then are given up, so that the page asks again instead of standing still, ms. */
const patience = 10000;

/** What this session may do, as the last answer said: the control plane refuses the rest. */
export const session = { mayWrite: false };

export async function ask(path, options = {}) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(key) ?? ""}`, ...options.headers };
  const answer = await fetch(path, { signal: AbortSignal.timeout(patience), ...options, headers, cache: "no-store", credentials: "omit" });
  const rights = answer.headers.get("apus-session");
  if (rights) session.mayWrite = rights.includes("writes");
  const body = await answer.text();
  let value = null;
  try { value = JSON.parse(body); } catch { /* not every page is JSON */ }
  if (!answer.ok) throw new Refused(answer.status, value?.message ?? body.slice(0, 300) ?? answer.statusText);
  return value;
}

/** Calls `take` with each line of an answer that goes on, until it ends or the signal ends it. */
async function lines(path, signal, take) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(key) ?? ""}` };
  const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit" });
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).slice(0, 300));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) take(JSON.parse(part));
  }
}

const mesh = "/apis/apus.dev/v1";
const items = async (path) => (await ask(path)).items ?? [];
const query = (parameters) => new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();

export const api = {
  stats: (window = 30) => items(`${mesh}/stats?window=${window}`),
  traffic: (by, parameters = {}) => items(`${mesh}/traffic?${query({ by, window: 30, ...parameters })}`),
  history: (parameters) => items(`${mesh}/history?${query({ window: 3600, step: 60, ...parameters })}`),
  decisions: (parameters) => items(`${mesh}/decisions?${query(parameters)}`),
  tap: (parameters, signal, take) => lines(`${mesh}/tap?${query(parameters)}`, signal, take),
  why: (parameters) => ask(`${mesh}/why?${query(parameters)}`),
  proxies: () => items(`${mesh}/proxies`),
  proxyPage: (proxy, page) => ask(`${mesh}/proxies/${encodeURIComponent(proxy)}/${page}`),
  workloads: () => items(`${mesh}/workloads`),
  version: () => ask("/version"),
  kinds: async () => {
    const core = await ask("/api/v1");
    const groups = (await ask("/apis")).groups ?? [];
    const lists = [["/api/v1", core]];
    for (const group of groups) for (const version of group.versions ?? []) lists.push([`/apis/${version.groupVersion}`, await ask(`/apis/${version.groupVersion}`)]);
    return lists.flatMap(([path, list]) => (list.resources ?? []).map((r) => ({ ...r, path: `${path}/${r.name}` }))).filter((r) => r.name !== "workloads" && !r.name.includes("/"));
  },
  list: (path) => items(path),
};

/** Requests as they end; see `apus tap`. */
export const follow = api.tap;

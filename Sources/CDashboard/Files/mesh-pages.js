// The mesh as a graph, its services as a list, and a page for each service.
import { el, table, tiles, panel, widePanel, percent, rate, milliseconds, name, success, health, rateChart, latencyChart, heatMap, none } from "./widgets.js";
import { api } from "./api.js";
import { Graph, model } from "./graph.js";

const link = (namespace, service) => el("a", { href: `#/service/${encodeURIComponent(namespace || "default")}/${encodeURIComponent(service)}` }, name(namespace, service));

export function meshPage(main) {
  const summary = el("div");
  const search = el("input", { type: "search", placeholder: "Search a service  ( / )", "aria-label": "Search a service", oninput: () => graph.find(search.value) });
  const group = el("button", { type: "button", "aria-pressed": "false", onclick: () => { isGrouped = !isGrouped; isOwnChoice = true; group.setAttribute("aria-pressed", isGrouped); graph.isMoved = false; draw(); } }, "Group by namespace");
  const space = el("select", { "aria-label": "Namespace", onchange: () => { graph.isMoved = false; draw(); } }, el("option", { value: "" }, "all namespaces"));
  const side = el("aside", { class: "side", hidden: true, "aria-label": "What is chosen" });
  let isGrouped = false, isOwnChoice = false, data = null;
  const idle = el("p", { class: "idle-list" });
  const graph = new Graph({ chosen: (node) => tell(node) });
  const picture = el("section", { class: "panel graph", "aria-label": "Service graph" }, el("div", { class: "holder" }), side);
  picture.firstChild.replaceWith(graph.canvas);
  picture.append(graph.buttons());
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Mesh"), el("p", {}, "the last 30 seconds")), summary,
    el("div", { class: "controls" }, search, space, group, el("p", { class: "legend" }, "lock: mutual TLS · width: requests · colour and figures: success, rate, p99")), picture, idle);
  const resized = new ResizeObserver(() => { if (!graph.isMoved) graph.fit(); });
  resized.observe(graph.canvas);

  function draw() {
    if (!data) return;
    const chosen = space.value;
    const rows = data.rows.filter((r) => !chosen || r.destinationNamespace === chosen || r.sourceNamespace === chosen);
    const stats = data.stats.filter((s) => !chosen || s.namespace === chosen);
    const drawn = model(rows, stats, isGrouped);
    const called = new Set([...drawn.edges.values()].flatMap((e) => [e.from, e.to]));
    const apart = [...drawn.nodes.values()].filter((node) => !called.has(node.key)).sort((a, b) => (a.key < b.key ? -1 : 1));
    // Services that nobody calls would take the picture from those that are called.
    if (called.size) for (const node of apart) drawn.nodes.delete(node.key);
    idle.replaceChildren(...(called.size && apart.length ? [`${apart.length} that nobody calls by name: `, ...apart.flatMap((node, index) => [index ? ", " : "", isGrouped ? node.label : link(node.namespace, [...node.services][0])])] : []));
    graph.show(drawn);
    if (graph.chosen) tell(graph.data.nodes.get(graph.chosen));
  }

  function tell(node) {
    side.hidden = !node;
    if (!node) return;
    const calls = [...graph.data.edges.values()];
    const list = (title, edges, other) => [el("h2", {}, title), table([
      { title: "Service", name: true, cell: (e) => graph.data.nodes.get(e[other]).label }, { title: "Success", cell: success },
      { title: "Rate", number: true, cell: (e) => rate(e.rps) }, { title: "p99", number: true, cell: (e) => milliseconds(e.p99Ms) },
    ], edges, { empty: "none", pick: (e) => graph.choose(e[other]) })];
    side.replaceChildren(el("h1", {}, node.label), el("p", { class: "empty" }, isGrouped ? `${node.services.size} services` : `namespace ${node.namespace}`),
      isGrouped ? "" : el("p", {}, link(node.namespace, node.label), " has all about it"),
      ...list("Called by", calls.filter((e) => e.to === node.key), "from"), ...list("Calls", calls.filter((e) => e.from === node.key), "to"));
  }

  return {
    key: (key) => graph.key(key),
    leave: () => resized.disconnect(),
    async refresh() {
      const [rows, stats, proxies] = await Promise.all([api.traffic("sourceService,service,security"), api.stats(), api.proxies()]);
      data = { rows, stats };
      const services = stats.filter((s) => s.kind === "service" && s.name !== "unknown");
      const spaces = [...new Set(services.map((s) => s.namespace))].sort();
      if (space.options.length !== spaces.length + 1) space.append(...spaces.filter((s) => ![...space.options].some((o) => o.value === s)).map((s) => el("option", { value: s }, s)));
      if (!isOwnChoice && services.length > 60 && spaces.length > 2) { isGrouped = true; group.setAttribute("aria-pressed", "true"); }
      summary.replaceChildren(tiles(totals(services, rows, proxies)));
      draw();
    },
  };
}

function totals(services, rows, proxies) {
  const requests = services.reduce((sum, s) => sum + s.requests, 0);
  const failures = services.reduce((sum, s) => sum + s.failures, 0);
  const secured = rows.filter((r) => r.mutualTLS).reduce((sum, r) => sum + r.requests, 0);
  const all = rows.filter((r) => r.mutualTLS !== undefined).reduce((sum, r) => sum + r.requests, 0);
  const worst = Math.max(0, ...services.map((s) => s.p99Ms ?? 0));
  const synced = proxies.filter((p) => p.status === "SYNCED").length;
  return [
    ["Services", services.length], ["Proxies in step", `${synced}/${proxies.length}`, null, synced < proxies.length ? "warn" : null],
    ["Success", requests ? percent(1 - failures / requests) : none, null, health({ requests, successRate: 1 - failures / Math.max(1, requests) })],
    ["Requests", rate(services.reduce((sum, s) => sum + s.rps, 0))], ["Slowest p99", worst ? milliseconds(worst) : none],
    ["Mutual TLS", all ? percent(secured / all) : none, null, all && secured < all ? "warn" : null],
  ];
}

export function servicesPage(main) {
  const search = el("input", { type: "search", placeholder: "Search  ( / )", "aria-label": "Search a service", oninput: () => draw() });
  const list = el("section", { class: "panel" });
  let rows = [];
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Services"), el("p", {}, "the last 30 seconds")), el("div", { class: "controls" }, search), list);

  function draw() {
    const text = search.value.trim().toLowerCase();
    const shown = rows.filter((r) => `${r.namespace}/${r.name}`.toLowerCase().includes(text));
    const focused = document.activeElement?.closest("tr")?.rowIndex;
    list.replaceChildren(table([
      { title: "Service", name: true, cell: (r) => link(r.namespace, r.name) }, { title: "Meshed", number: true, cell: (r) => (r.meshed === "0/0" ? none : r.meshed) },
      { title: "Success", cell: success }, { title: "Rate", number: true, cell: (r) => rate(r.rps) }, { title: "p50", number: true, cell: (r) => milliseconds(r.p50Ms) },
      { title: "p95", number: true, cell: (r) => milliseconds(r.p95Ms) }, { title: "p99", number: true, cell: (r) => milliseconds(r.p99Ms) },
      { title: "Retries", number: true, cell: (r) => String(r.retries) }, { title: "Reasons", cell: (r) => Object.entries(r.reasons).map(([k, v]) => `${v} ${k}`).join(", ") || none },
    ], shown, { empty: "no service", label: "Services" }));
    if (focused !== undefined) list.querySelectorAll("tr")[focused]?.querySelector("a")?.focus();
  }

  return { async refresh() { rows = (await api.stats()).filter((r) => r.kind === "service" && r.name !== "unknown"); draw(); } };
}

export function servicePage(main, [namespace, service]) {
  const to = `${namespace}/${service}`;
  const figures = el("div"), charts = el("div", { class: "columns" }), tables = el("div", { class: "columns" });
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, name(namespace, service)), el("p", {}, `namespace ${namespace}; the last 30 seconds, and the hour in the charts`),
    el("a", { href: `#/requests/to=${encodeURIComponent(to)}` }, "requests to it")), figures, charts, tables);
  let turn = 0, points = [];

  return {
    failed: (error) => figures.replaceChildren(el("p", { class: "notice" }, error.message)),
    async refresh() {
      if (turn++ % 5 === 0) points = await api.history({ to });
      const [stats, callers, called, rules, versions, workloads, proxies, policies] = await Promise.all([
        api.stats(), api.traffic("sourceService,security", { to }), api.traffic("service,security", { from: to }),
        api.traffic("route", { to }), api.traffic("version", { to }), api.workloads(), api.proxies(), api.list("/apis/apus.dev/v1/trafficpolicies")]);
      const own = stats.find((s) => s.kind === "service" && s.namespace === namespace && s.name === service) ?? { requests: 0, reasons: {} };
      figures.replaceChildren(tiles([
        ["Success", percent(own.successRate), null, health(own)], ["Requests", rate(own.rps ?? 0)], ["p50", milliseconds(own.p50Ms)], ["p95", milliseconds(own.p95Ms)],
        ["p99", milliseconds(own.p99Ms)], ["Retries", own.retries ?? 0, "in 30 s"], ["TCP connections", own.tcpConnections ?? 0],
      ]));
      charts.replaceChildren(panel("Requests", rateChart(points)), panel("Latency", latencyChart(points)), panel("Latency by time", heatMap(points)), panel("Reasons, last 30 seconds", reasons(own)));
      const behind = workloads.filter((w) => w.status.services.includes(to));
      const balancer = await endpoints(to, callers, proxies);
      const aimed = policies.filter((p) => (p.spec.targetRefs ?? []).some((t) => t.name === service && (t.namespace ?? p.metadata.namespace) === namespace));
      tables.replaceChildren(
        panel("Called by", edgeTable(callers, (r) => link(r.sourceNamespace, r.sourceService), "nobody within 30 seconds")),
        panel("Calls", edgeTable(called, (r) => link(r.destinationNamespace, r.service), "nothing within 30 seconds")),
        panel("Routes", plainTable("Route", (r) => r.route || "(no route)", rules)), panel("Versions side by side", sideBySide(versions, behind)),
        widePanel("Endpoints", endpointTable(behind, balancer, proxies)),
        panel("Policies", table([{ title: "Policy", name: true, cell: (p) => name(p.metadata.namespace, p.metadata.name) },
          { title: "Sets", cell: (p) => Object.keys(p.spec).filter((k) => k !== "targetRefs").join(", ") }], aimed, { empty: "none: the mesh's defaults hold" })));
    },
  };
}

const reasons = (own) => table([{ title: "Reason", name: true, cell: ([k]) => k }, { title: "Requests", number: true, cell: ([, v]) => String(v) }],
  Object.entries(own.reasons ?? {}), { empty: "the mesh refused and ended nothing" });

const golden = [{ title: "Success", cell: success }, { title: "Rate", number: true, cell: (r) => rate(r.rps) }, { title: "p50", number: true, cell: (r) => milliseconds(r.p50Ms) },
  { title: "p99", number: true, cell: (r) => milliseconds(r.p99Ms) }];

const plainTable = (title, cell, rows) => table([{ title, name: true, cell }, ...golden], rows, { empty: "no requests within 30 seconds" });

/** Each version in a column of its own: what callers saw of it, and how many instances there are. */
function sideBySide(versions, workloads) {
  const rows = versions.filter((v) => v.requests || v.version);
  if (!rows.length) return el("p", { class: "empty" }, "no requests within 30 seconds");
  const whole = rows.reduce((sum, v) => sum + v.requests, 0);
  const up = (v) => workloads.filter((w) => (w.metadata.labels.version ?? "") === v.version).length;
  const told = (v) => Object.entries(v.reasons).map(([k, n]) => `${n} ${k}`).join(", ");
  const lines = [["Success", success], ["Share", (v) => (whole ? percent(v.requests / whole) : none)], ["Rate", (v) => rate(v.rps)], ["p50", (v) => milliseconds(v.p50Ms)],
    ["p95", (v) => milliseconds(v.p95Ms)], ["p99", (v) => milliseconds(v.p99Ms)], ["Retries", (v) => String(v.retries)], ["Instances", (v) => String(up(v))], ["Reasons", (v) => told(v) || none]];
  return table([{ title: "", name: true, cell: ([title]) => title }, ...rows.map((v) => ({ title: v.version || "(no version)", number: true, cell: ([, read]) => read(v) }))], lines, { label: "Versions side by side" });
}

const edgeTable = (rows, cell, empty) => table([{ title: "Service", name: true, cell },
  { title: "TLS", cell: (r) => (r.mutualTLS === undefined ? none : r.mutualTLS ? "mutual" : el("span", { class: "mark bad" }, "plaintext")) }, ...golden], rows, { empty });

/** What the balancer of one caller's proxy knows of the endpoints: callers differ, one is shown. */
async function endpoints(to, callers, proxies) {
  const caller = callers.map((c) => proxies.find((p) => p.service === c.sourceService && p.namespace === c.sourceNamespace && p.status !== "DISCONNECTED")).find(Boolean);
  if (!caller) return new Map();
  try {
    const page = await api.proxyPage(caller.id, "endpoints");
    const found = (page.clusters ?? []).filter((c) => c.service === to).flatMap((c) => c.endpoints ?? []);
    return new Map(found.map((e) => [e.uid, { ...e, seenBy: caller.id }]));
  } catch { return new Map(); }
}

function endpointTable(workloads, balancer, proxies) {
  const state = (w) => balancer.get(w.metadata.uid)?.state ?? w.status.health;
  const left = (w) => {
    const end = proxies.find((p) => p.id === w.metadata.uid)?.certificateNotAfter;
    if (!end) return none;
    const hours = (Date.parse(end) - Date.now()) / 3600000;
    return hours <= 0 ? el("span", { class: "mark bad" }, "expired") : hours < 1 ? `${Math.round(hours * 60)} min` : `${Math.round(hours)} h`;
  };
  return table([{ title: "Workload", name: true, cell: (w) => w.metadata.uid },
    { title: "State", cell: (w) => el("span", { class: `mark ${state(w) === "healthy" ? "good" : "bad"}` }, state(w)) },
    { title: "Weight", number: true, cell: (w) => String(balancer.get(w.metadata.uid)?.weight ?? none) },
    { title: "Busy", number: true, cell: (w) => String(balancer.get(w.metadata.uid)?.inFlight ?? 0) },
    { title: "Latency", number: true, cell: (w) => { const e = balancer.get(w.metadata.uid); return e?.latencyMicroseconds ? milliseconds(e.latencyMicroseconds / 1000) : none; } },
    { title: "Certificate", number: true, cell: left }, { title: "Identity", cell: (w) => w.status.identity || "no proxy" },
  ], workloads, { empty: "nothing stands behind this service" });
}

// Requests and why, configuration, and the health of the mesh itself.
import { el, table, tiles, panel, milliseconds, name, none } from "./widgets.js";
import { api, ask } from "./api.js";

export function requestsPage(main, [preset]) {
  const given = new URLSearchParams(preset ?? "");
  const field = (id, label, size = 14) => el("input", { type: id === "id" ? "search" : "text", id, size, value: given.get(id), placeholder: label, "aria-label": label, onchange: () => refresh() });
  const fields = { id: field("id", "request id  ( / )", 24), from: field("from", "from service"), to: field("to", "to service"), path: field("path", "path begins with"), reason: field("reason", "reason") };
  const notable = el("button", { type: "button", "aria-pressed": "false", onclick: (e) => { press(e.currentTarget); refresh(); } }, "Failures and retries only");
  const pause = el("button", { type: "button", "aria-pressed": "false", onclick: (e) => press(e.currentTarget) }, "Hold");
  const between = el("button", { type: "button", onclick: () => explain({ from: fields.from.value, to: fields.to.value, path: fields.path.value }) }, "Why between these two?");
  const answer = el("div", { "aria-live": "polite" });
  const list = el("section", { class: "panel" });
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Requests"), el("p", {}, "the last that the proxies keep; choose one to learn why it came out so")),
    el("div", { class: "controls" }, ...Object.values(fields), notable, pause, between), answer, list);

  async function explain(question) {
    try { answer.replaceChildren(why(await api.why(question))); } catch (error) { answer.replaceChildren(el("p", { class: "notice" }, error.message)); }
    answer.scrollIntoView({ block: "nearest" });
  }

  async function refresh() {
    const wanted = Object.fromEntries(Object.entries(fields).map(([key, input]) => [key, input.value.trim()]));
    between.disabled = !wanted.from || !wanted.to;
    const rows = await api.decisions({ ...wanted, notable: isPressed(notable) ? "1" : "", limit: 100 });
    if (isPressed(pause)) return;
    const focused = document.activeElement?.closest("tr.pick")?.rowIndex;
    list.replaceChildren(table([
      { title: "Time", cell: (r) => new Date(r.endedMilliseconds).toLocaleTimeString() }, { title: "Side", cell: (r) => (r.reporter === "source" ? "caller" : "service") },
      { title: "From", name: true, cell: (r) => name(r.sourceNamespace, r.sourceService) }, { title: "To", name: true, cell: called },
      { title: "Request", cell: (r) => (r.connection ? `connection from ${r.peer}` : `${r.method} ${r.path}`) }, { title: "Status", cell: status }, { title: "Took", number: true, cell: (r) => milliseconds(r.durationMs) },
      { title: "Tries", number: true, cell: (r) => String(r.attempts) }, { title: "Reason", cell: (r) => r.reason || r.attemptReason || none },
    ], rows, { empty: "no request is kept that is like this", label: "Requests", pick: (r) => explain(r.requestID ? { id: r.requestID } : { from: `${r.sourceNamespace}/${r.sourceService}`, to: `${r.destinationNamespace}/${r.service}` }) }));
    if (focused) list.querySelectorAll("tr")[focused]?.focus();
    if (wanted.id && fields.id.dataset.told !== wanted.id) { fields.id.dataset.told = wanted.id; explain({ id: wanted.id }); }
  }

  return { refresh: async () => { if (!isPressed(pause)) await refresh(); } };
}

export const press = (button) => button.setAttribute("aria-pressed", String(!isPressed(button)));
export const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

/** The service that was asked for, and the backend that a route chose, where that is another. */
export const called = (r) => (r.asked && r.asked !== r.service ? `${name(r.askedNamespace, r.asked)} (${r.service})` : name(r.destinationNamespace, r.service));

export function status(record) {
  const word = record.failure || record.status >= 500 || record.status === 0 ? "bad" : record.status >= 400 ? "warn" : "good";
  return el("span", { class: `mark ${word}` }, record.connection ? "refused" : record.tunnel && !record.status ? "TCP" : String(record.status || "cut"));
}

/** An explanation: the sentence, the chain, what to do. */
export function why(told) {
  const facts = [["decided by", told.object?.text], ["reason", told.reason], ["what to do", told.remedy]].filter(([, text]) => text);
  return el("section", { class: "panel why" }, el("p", { class: "sentence" }, told.sentence),
    el("ol", {}, told.chain.map((step) => el("li", {}, el("strong", {}, step.place), ": ", step.text))),
    el("dl", {}, facts.flatMap(([title, text]) => [el("dt", {}, title), el("dd", {}, text)])));
}

export function configurationPage(main) {
  const findings = el("div"), list = el("section", { class: "panel" }), shown = el("section", { class: "panel", hidden: true });
  const search = el("input", { type: "search", placeholder: "Search  ( / )", "aria-label": "Search an object", oninput: () => draw() });
  let objects = [], kinds = null;
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Configuration"), el("p", {}, "what is applied, and what is wrong with it")), findings, el("div", { class: "controls" }, search), shown, list);

  function draw() {
    const text = search.value.trim().toLowerCase();
    const rows = objects.filter((o) => `${o.kind} ${o.metadata.namespace}/${o.metadata.name}`.toLowerCase().includes(text));
    list.replaceChildren(table([{ title: "Kind", cell: (o) => o.kind }, { title: "Name", name: true, cell: (o) => name(o.metadata.namespace, o.metadata.name) },
      { title: "State", cell: (o) => (bad(o) ? el("span", { class: "mark bad" }, `! ${bad(o).type} is ${bad(o).status}`) : unwell(o) ? el("span", { class: "mark warn" }, `! ${unwell(o).reason}`) : el("span", { class: "mark good" }, "in force")) },
      { title: "Message", cell: (o) => (bad(o) ?? unwell(o))?.message ?? "" }, { title: "Since", cell: (o) => new Date(o.metadata.creationTimestamp).toLocaleString() },
    ], rows, { empty: "nothing is applied", label: "Objects", pick: show }));
  }

  function show(object) {
    shown.hidden = false;
    shown.replaceChildren(el("div", { class: "head" }, el("h2", {}, `${object.kind} ${name(object.metadata.namespace, object.metadata.name)}`),
      el("button", { type: "button", class: "quiet", onclick: () => { shown.hidden = true; } }, "Close")), el("pre", { tabindex: 0 }, JSON.stringify(object, null, 2)));
    shown.scrollIntoView({ block: "start" });
  }

  return {
    failed: (error) => list.replaceChildren(el("p", { class: "notice" }, error.message)),
    async refresh() {
      kinds ??= await api.kinds();
      objects = (await Promise.all(kinds.map((kind) => ask(kind.path)))).flatMap((found, index) =>
        (found.items ?? []).map((o) => ({ kind: kinds[index].kind, ...o })));
      objects.sort((a, b) => Boolean(bad(b)) - Boolean(bad(a)) || a.kind.localeCompare(b.kind) || a.metadata.name.localeCompare(b.metadata.name));
      const found = (await ask("/apis/apus.dev/v1/analyze")).items ?? [];
      const scrolled = findings.querySelector(".limited")?.scrollTop ?? 0;
      findings.replaceChildren(panel("Findings", el("div", { class: "limited", tabindex: 0, role: "region", "aria-label": "Findings" }, table([
        { title: "Severity", cell: (f) => el("span", { class: `mark ${{ error: "bad", warning: "warn" }[f.severity] ?? "idle"}` }, f.severity) }, { title: "Code", cell: (f) => f.code },
        { title: "Object", name: true, cell: (f) => `${f.kind ?? ""} ${name(f.namespace, f.object)}` }, { title: "Finding", cell: (f) => `${f.path ? `${f.path}: ` : ""}${f.message}` }, { title: "What to do", cell: (f) => f.mend },
      ], found, { empty: "nothing is wrong" }))));
      findings.querySelector(".limited").scrollTop = scrolled;
      draw();
    },
  };
}

const bad = (object) => [...(object.status?.conditions ?? []), ...(object.status?.parents ?? []).flatMap((p) => p.conditions ?? []), ...(object.status?.ancestors ?? []).flatMap((p) => p.conditions ?? [])]
  .find((c) => (["Accepted", "ResolvedRefs", "Programmed"].includes(c.type) && c.status === "False") || (["Conflicted"].includes(c.type) && c.status === "True"));

/** A release that was taken back or has stopped: its object is in force, and yet somebody should look. */
const unwell = (object) => (object.status?.conditions ?? []).find((c) => c.type === "Healthy" && c.status === "False");

export function healthPage(main) {
  const summary = el("div"), list = el("section", { class: "panel" }), detail = el("section", { class: "panel", hidden: true });
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Health"), el("p", {}, "of the mesh itself: control plane, proxies, certificates")), summary, list, detail);

  async function show(proxy) {
    detail.hidden = false;
    const title = el("h2", {}, proxy.id);
    try {
      const [secrets, listeners] = await Promise.all([api.proxyPage(proxy.id, "secrets"), api.proxyPage(proxy.id, "listeners")]);
      detail.replaceChildren(title, table([{ title: "Certificate", cell: (c) => c.kind }, { title: "Identity", name: true, cell: (c) => c.identity },
        { title: "Ends", cell: (c) => new Date(c.notAfterSeconds * 1000).toLocaleString() }, { title: "Serial", cell: (c) => c.serial }], secrets.certificates ?? []),
      table([{ title: "Listener", name: true, cell: (l) => l.name }, { title: "Kind", cell: (l) => l.kind ?? "outbound" }, { title: "Address", cell: (l) => l.address },
        { title: "For", cell: (l) => l.service ?? (l.port ? `port ${l.port}` : "any service") }], listeners.listeners ?? []));
    } catch (error) { detail.replaceChildren(title, el("p", { class: "notice" }, error.message)); }
    detail.scrollIntoView({ block: "nearest" });
  }

  return {
    failed: (error) => summary.replaceChildren(el("p", { class: "notice" }, error.message)),
    async refresh() {
      const [proxies, version, ready] = await Promise.all([api.proxies(), api.version(), fetch("/readyz").then((r) => r.ok)]);
      const count = (state) => proxies.filter((p) => p.status === state).length;
      const ends = proxies.map((p) => Date.parse(p.certificateNotAfter)).filter((t) => t > 0);
      const soonest = ends.length ? (Math.min(...ends) - Date.now()) / 3600000 : null;
      summary.replaceChildren(tiles([
        ["Control plane", ready ? "ready" : "not ready", `v${version.version}`, ready ? "good" : "bad"], ["In step", count("SYNCED"), `of ${proxies.length}`],
        ["Waiting", count("STALE"), null, count("STALE") ? "warn" : null], ["Refused something", count("NACKED"), null, count("NACKED") ? "bad" : null],
        ["Away", count("DISCONNECTED"), null, count("DISCONNECTED") ? "warn" : null],
        ["Next certificate ends", soonest === null ? none : soonest < 1 ? `${Math.round(soonest * 60)} min` : `${Math.round(soonest)} h`, null, soonest !== null && soonest < 0.1 ? "bad" : null],
      ]));
      const focused = document.activeElement?.closest("tr.pick")?.rowIndex;
      const word = { SYNCED: "good", STALE: "warn", NACKED: "bad", DISCONNECTED: "idle" };
      list.replaceChildren(table([{ title: "Proxy", name: true, cell: (p) => p.id }, { title: "Service", cell: (p) => name(p.namespace, p.service) },
        { title: "Status", cell: (p) => el("span", { class: `mark ${word[p.status] ?? "idle"}` }, p.status.toLowerCase()) },
        { title: "Connected since", cell: (p) => (p.connectedSince ? new Date(p.connectedSince).toLocaleString() : none) },
        { title: "Certificate ends", cell: (p) => (p.certificateNotAfter ? new Date(p.certificateNotAfter).toLocaleString() : none) },
        { title: "Refused", cell: (p) => p.nack?.message ?? "" },
      ], proxies, { empty: "no proxy is connected", label: "Proxies", pick: show }));
      if (focused) list.querySelectorAll("tr")[focused]?.focus();
    },
  };
}

// Requests as they end, and releases as they are judged.
import { el, svg, table, panel, widePanel, percent, rate, milliseconds, name, none, chartFrame, place, dot } from "./widgets.js";
import { api, ask, follow, session } from "./api.js";
import { called, status, why, press, isPressed } from "./more-pages.js";

/** Rows of the tap that stay; older ones go. */
const mostRows = 300;

export function tapPage(main, [preset]) {
  const given = new URLSearchParams(preset ?? "");
  const field = (id, label, size = 12) => el("input", { type: "text", id, size, value: given.get(id), placeholder: label, "aria-label": label, onchange: () => begin() });
  const fields = { from: field("from", "from service"), to: field("to", "to service"), path: field("path", "path begins with"), method: field("method", "method", 7), status: field("status", "status: 503, 5xx", 12), reason: field("reason", "reason") };
  const notable = el("button", { type: "button", "aria-pressed": "false", onclick: (e) => { press(e.currentTarget); begin(); } }, "Failures and retries only");
  const heads = el("button", { type: "button", "aria-pressed": "false", title: "Keep the header fields of requests that come from now on", onclick: (e) => { press(e.currentTarget); begin(); } }, "Heads");
  const hold = el("button", { type: "button", "aria-pressed": "false", onclick: (e) => { press(e.currentTarget); draw(); } }, "Hold");
  const clear = el("button", { type: "button", onclick: () => { rows = []; omitted = 0; draw(); } }, "Clear");
  const answer = el("div", { "aria-live": "polite" }), count = el("p", { class: "empty", role: "status" });
  const list = el("section", { class: "panel" });
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Tap"), el("p", {}, "requests as they end, from both sides of each call; never with queries, bodies and the values of secret header fields")),
    el("div", { class: "controls" }, ...Object.values(fields), notable, heads, hold, clear), answer, count, list);
  let rows = [], omitted = 0, stopper = null, drawn = "";

  async function begin() {
    stopper?.abort();
    const own = stopper = new AbortController();
    const wanted = Object.fromEntries(Object.entries(fields).map(([key, input]) => [key, input.value.trim()]));
    try {
      await follow({ ...wanted, notable: isPressed(notable) ? "1" : "", heads: isPressed(heads) ? "1" : "", rate: 50 }, own.signal, (event) => {
        if (event.type === "OMITTED") omitted += event.count;
        if (event.type === "REQUEST" && !isPressed(hold)) rows = [event.object, ...rows].slice(0, mostRows);
      });
    } catch (error) {
      if (own.signal.aborted) return;
      answer.replaceChildren(el("p", { class: "notice" }, error.message));
    }
    // The stream has ended, with the control plane perhaps: the next turn begins another.
    if (stopper === own) stopper = null;
  }

  async function explain(record) {
    const question = record.requestID ? { id: record.requestID } : { from: `${record.sourceNamespace}/${record.sourceService}`, to: `${record.destinationNamespace}/${record.service}` };
    const own = bothHeads(record);
    try { answer.replaceChildren(...[why(await api.why(question)), own].filter(Boolean)); } catch (error) { answer.replaceChildren(...[el("p", { class: "notice" }, error.message), own].filter(Boolean)); }
    answer.scrollIntoView({ block: "nearest" });
  }

  function draw() {
    count.textContent = `${rows.length} shown${omitted ? `, ${omitted} left out: more than 50 a second came` : ""}${isPressed(hold) ? ", held" : ""}`;
    const newest = rows[0] ? `${rows[0].proxy} ${rows[0].endedMilliseconds} ${rows[0].requestID} ${rows.length}` : "none";
    if (newest === drawn) return;
    drawn = newest;
    const focused = document.activeElement?.closest("tr.pick")?.rowIndex;
    list.replaceChildren(table([
      { title: "Time", cell: (r) => new Date(r.endedMilliseconds).toLocaleTimeString() }, { title: "Side", cell: (r) => (r.reporter === "source" ? "caller" : "service") },
      { title: "From", name: true, cell: (r) => name(r.sourceNamespace, r.sourceService) }, { title: "To", name: true, cell: called },
      { title: "Request", cell: (r) => (r.connection ? `connection from ${r.peer}` : `${r.method} ${r.path}`) }, { title: "Status", cell: status },
      { title: "Took", number: true, cell: (r) => milliseconds(r.durationMs) }, { title: "Upstream", number: true, cell: (r) => milliseconds(r.upstreamMs) },
      { title: "Tries", number: true, cell: (r) => String(r.attempts) }, { title: "Reason", cell: (r) => r.reason || r.attemptReason || none },
    ], rows, { empty: "no request has ended since", label: "Requests as they end", pick: explain }));
    if (focused) list.querySelectorAll("tr")[focused]?.focus();
  }

  draw();
  return { leave: () => stopper?.abort(), async refresh() { if (!stopper) begin(); draw(); } };
}

/** The fields of both heads at the proxy that told of the request; nothing where none were kept. */
function bothHeads(record) {
  const sides = [["Request, as it was sent on", record.requestHead], ["Answer, as it came", record.responseHead]].filter(([, fields]) => fields?.length);
  if (!sides.length) return null;
  return el("div", { class: "columns heads" }, sides.map(([title, fields]) => panel(title,
    el("dl", { class: "facts mono" }, fields.flatMap((field) => [el("dt", {}, field.name), el("dd", {}, field.value)])))));
}

const words = { Idle: "good", Progressing: "warn", Waiting: "warn", Paused: "warn", RolledBack: "bad", Stopped: "bad" };

/** What a person can ask of a rollout, and when; the control plane refuses the rest as well. */
const verbs = [
  ["promote", "Promote", (s) => s.release && s.phase !== "Stopped"], ["pause", "Pause", (s) => s.release && s.phase !== "Stopped" && !s.release.isPaused],
  ["resume", "Resume", (s) => s.phase === "Stopped" || s.release?.isPaused], ["abort", "Abort", (s) => s.release], ["retry", "Retry", (s) => s.phase === "RolledBack"],
];
const readsOnly = "this session only reads: `apus dashboard --allow-writes` opens one that may write";

export function rolloutsPage(main, [namespace, own]) {
  const list = el("div"), shown = el("div", { class: "stack" }), notice = el("p", { class: "empty", role: "status" });
  main.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Rollouts"), el("p", {}, "releases, judged by what the clients' proxies count")), notice, list, shown);
  let chosen = namespace && own ? `${namespace}/${own}` : null, histories = { at: 0, key: "", points: [] };

  async function act(rollout, verb) {
    const { namespace: space, name: text } = rollout.metadata;
    try {
      const answer = await ask(`/apis/apus.dev/v1/namespaces/${encodeURIComponent(space)}/rollouts/${encodeURIComponent(text)}/${verb}`, { method: "POST" });
      notice.textContent = `${text}: ${answer.status?.message ?? verb}`;
    } catch (error) {
      notice.textContent = error.message;
    }
  }

  async function detail(rollout) {
    const state = rollout.status ?? {};
    const key = placeOf(rollout);
    const versions = state.versions ?? [];
    if (histories.key !== key || Date.now() - histories.at > 9000) {
      const services = versions.filter((v) => v.service);
      const found = await Promise.all(services.map((v) => api.history({ to: `${rollout.metadata.namespace}/${v.service}`, window: 900, step: 10 })));
      histories = { at: Date.now(), key, points: services.map((v, index) => ({ version: v, points: found[index] })) };
    }
    const buttons = verbs.map(([verb, label, isApt]) => el("button", { type: "button", disabled: !session.mayWrite || !isApt(state), title: session.mayWrite ? (isApt(state) ? null : "makes no sense now") : readsOnly, onclick: () => act(rollout, verb) }, label));
    const focused = document.activeElement?.closest?.(".rollout button")?.textContent;
    shown.replaceChildren(
      el("section", { class: "panel wide rollout" }, el("div", { class: "head" }, el("h2", {}, key), el("span", { class: `mark ${words[state.phase] ?? "idle"}` }, state.phase ?? none),
        el("p", {}, state.message ?? "")), el("div", { class: "controls" }, ...buttons, session.mayWrite ? null : el("span", { class: "empty" }, readsOnly))),
      el("div", { class: "columns" },
        panel("Decision", decisionCurve(samplesOf(state))),
        panel("Success by version", versionCurves(histories.points, (p) => (p.requests ? 100 * p.successRate : null), (v) => `${v.toFixed(v > 99 ? 2 : 1)} %`, "Success rate of each version over a quarter of an hour", true)),
        panel("p95 by version", versionCurves(histories.points, (p) => p.p95Ms, milliseconds, "p95 of each version over a quarter of an hour", false)),
        panel("Versions side by side", sideBySide(versions)),
        widePanel("Checks", checks(state.checks ?? [])),
        widePanel("What happened", table([{ title: "When", cell: (e) => new Date(e.at).toLocaleTimeString() }, { title: "What", cell: (e) => e.text }], [...(state.events ?? [])].reverse(), { empty: "nothing yet" }))));
    if (focused) [...shown.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
  }

  return {
    failed: (error) => { notice.textContent = error.message; },
    async refresh() {
      const rollouts = await api.list("/apis/apus.dev/v1/rollouts");
      if (!rollouts.some((r) => placeOf(r) === chosen)) chosen = rollouts.length ? placeOf(rollouts[0]) : null;
      const focused = document.activeElement?.closest?.("tr.pick")?.rowIndex;
      list.replaceChildren(el("section", { class: "panel" }, table([
        { title: "Rollout", name: true, cell: (r) => name(r.metadata.namespace, r.metadata.name) }, { title: "Service", cell: (r) => r.spec.service },
        { title: "Phase", cell: (r) => el("span", { class: `mark ${words[r.status?.phase] ?? "idle"}` }, r.status?.phase ?? none) },
        { title: "Stable", cell: (r) => r.status?.stableVersion || none }, { title: "Candidate", cell: (r) => r.status?.candidateVersion || none },
        { title: "Weight", number: true, cell: (r) => `${r.status?.weight ?? 0} %` }, { title: "Message", cell: (r) => r.status?.message ?? "" },
      ], rollouts, { empty: "there is no Rollout; docs/rollouts.md has one to begin with", label: "Rollouts", pick: (r) => { chosen = placeOf(r); detail(r); } })));
      if (focused) list.querySelectorAll("tr")[focused]?.focus();
      const found = rollouts.find((r) => placeOf(r) === chosen);
      if (found) await detail(found); else shown.replaceChildren();
    },
  };
}

const placeOf = (rollout) => `${rollout.metadata.namespace}/${rollout.metadata.name}`;

function checks(rows) {
  const figure = (check, value) => (value === null || value === undefined ? none : check.name === "success-rate" ? `${Number(value).toFixed(2)} %` : check.name === "latency" ? milliseconds(Number(value)) : String(value));
  return table([{ title: "Check", name: true, cell: (c) => c.name }, { title: "Of", cell: (c) => c.rule || "all requests" },
    { title: "Stable", number: true, cell: (c) => figure(c, c.stableValue) }, { title: "Candidate", number: true, cell: (c) => figure(c, c.candidateValue) },
    { title: "Limit", cell: (c) => c.limit }, { title: "Evidence", cell: (c) => evidence(c.progress) },
    { title: "Verdict", cell: (c) => el("span", { class: `mark ${{ Passed: "good", Failed: "bad" }[c.verdict] ?? "idle"}` }, c.verdict) },
  ], rows, { empty: "nothing is checked now" });
}

/** From -100, taken back, to 100, promoted. */
function evidence(progress) {
  const bar = svg("svg", { class: "evidence", viewBox: "-100 0 200 12", role: "img", "aria-label": `evidence ${progress} of 100` });
  bar.append(svg("rect", { class: "trough", x: -100, y: 0, width: 200, height: 12 }), svg("rect", { class: progress < 0 ? "against" : "for", x: Math.min(0, progress), y: 0, width: Math.abs(progress), height: 12 }),
    svg("line", { x1: 0, x2: 0, y1: 0, y2: 12 }));
  return el("span", { class: "evidence-cell" }, bar, ` ${progress}`);
}

/** The next point of a path. */
const line = (isOpen, x, y) => (isOpen ? `L${x.toFixed(1)},${y.toFixed(1)}` : dot(`${x.toFixed(1)},${y.toFixed(1)}`));

const tones = ["a", "b", "c", "d", "e", "f"];

/** What the control plane has kept of the release's looks, and where it stands now. */
function samplesOf(state) {
  const { checks: names = [], points = [] } = state.curve ?? {};
  const kept = points.map((p) => ({ at: p.at, weight: p.weight, checks: (p.progress ?? []).map((progress, index) => ({ name: names[index], progress })) }));
  if (!kept.length || !state.release) return kept;
  const checks = (state.checks ?? []).map((c) => ({ name: c.rule ? `${c.name} of ${c.rule}` : c.name, progress: c.progress }));
  return [...kept, { at: Math.max(Date.now(), kept[kept.length - 1].at), weight: state.weight ?? 0, checks }];
}

/** How the evidence of each check has moved between its two bounds, and the candidate's share. */
function decisionCurve(samples) {
  if (!samples.length) return el("p", { class: "empty" }, "nothing is judged now");
  const names = [...new Set(samples.flatMap((s) => s.checks.map((c) => c.name)))].slice(0, tones.length);
  const chart = chartFrame("Evidence for and against the candidate since the release began", [[100, "promote"], [0, "0"], [-100, "roll back"]], -100, 100, samples[0].at, samples[samples.length - 1].at);
  const x = (at) => place.x((at - samples[0].at) / Math.max(1, samples[samples.length - 1].at - samples[0].at));
  const y = (value) => place.y((value + 100) / 200);
  names.forEach((text, index) => {
    const points = samples.map((s) => [s.at, s.checks.find((c) => c.name === text)?.progress]).filter(([, v]) => v !== undefined && v !== null);
    chart.append(svg("path", { class: `line tone-${tones[index]}`, d: points.map(([at, v], i) => line(i, x(at), y(v))).join("") }));
  });
  chart.append(svg("path", { class: "line share", d: samples.map((s, i) => line(i, x(s.at), y(2 * s.weight - 100))).join("") }));
  const last = samples[samples.length - 1];
  return el("div", {}, chart, el("p", { class: "key" }, ...names.map((text, index) => el("span", { class: `tone-${tones[index]}` }, `${text} ${last.checks.find((c) => c.name === text)?.progress ?? none}`)), el("span", { class: "share" }, `share ${last.weight} %`)));
}

/** One line for each version over the same time. */
function versionCurves(series, read, unit, label, isShare) {
  const values = series.flatMap((s) => s.points.map(read)).filter((v) => v !== null && v !== undefined);
  if (!values.length) return el("p", { class: "empty" }, "no requests within a quarter of an hour");
  const least = isShare ? Math.min(99, ...values) : 0, most = isShare ? 100 : Math.max(1, ...values);
  const times = series[0].points.map((p) => Date.parse(p.time));
  const chart = chartFrame(label, [[most, unit(most)], [(least + most) / 2, unit((least + most) / 2)], [least, unit(least)]], least, most, times[0], times[times.length - 1]);
  series.forEach((one, index) => {
    let path = "", isOpen = false;
    one.points.forEach((point, number) => {
      const value = read(point);
      if (value === null || value === undefined) { isOpen = false; return; }
      path += line(isOpen, place.x(number / Math.max(1, one.points.length - 1)), place.y((value - least) / Math.max(0.000001, most - least)));
      isOpen = true;
    });
    chart.append(svg("path", { class: `line tone-${tones[index]}`, d: path }));
  });
  return el("div", {}, chart, el("p", { class: "key" }, ...series.map((one, index) => el("span", { class: `tone-${tones[index]}` }, `${one.version.version} (${one.version.role})`))));
}

function sideBySide(versions) {
  const share = (v) => (v.requests ? percent(1 - v.failures / v.requests) : none);
  const lines = [["Role", (v) => v.role], ["Service", (v) => v.service], ["Share", (v) => `${v.weight} %`], ["Instances", (v) => String(v.ready)], ["Requests", (v) => String(v.requests)],
    ["Failures", (v) => String(v.failures)], ["Success", share], ["Rate", (v) => rate(Number(v.requestsPerSecond ?? 0))], ["p50", (v) => milliseconds(v.p50Ms === undefined ? null : Number(v.p50Ms))], ["p95", (v) => milliseconds(v.p95Ms === undefined ? null : Number(v.p95Ms))]];
  return table([{ title: "", name: true, cell: ([title]) => title }, ...versions.map((v) => ({ title: v.version, number: true, cell: ([, read]) => read(v) }))], lines, { label: "Versions side by side" });
}

// Elements, numbers and small charts. Text is always set as text: nothing that a peer sends becomes markup.

/** An element with attributes and children; `onX` members are listeners. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const none = "–";

export function percent(share) {
  if (share === null || share === undefined) return none;
  const hundredths = share >= 1 ? 10000 : Math.min(9999, Math.round(share * 10000));
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")} %`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return none;
  if (value < 9.95) return `${value.toFixed(1)} ms`;
  return value < 999.5 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function rate(value) {
  if (value === null || value === undefined) return none;
  if (value >= 10000) return `${(value / 1000).toFixed(0)}k/s`;
  return value >= 1000 ? `${(value / 1000).toFixed(1)}k/s` : `${value.toFixed(1)}/s`;
}

export function name(namespace, text) {
  if (!text || text === "unknown") return none;
  return !namespace || namespace === "default" || namespace === "unknown" ? text : `${namespace}/${text}`;
}

/** How something fares, in one word that is also a class of style. */
export function health(row) {
  if (!row || !row.requests) return "idle";
  if (row.successRate < 0.95) return "bad";
  return row.successRate < 0.995 ? "warn" : "good";
}

export function success(row) {
  const word = health(row);
  return el("span", { class: `mark ${word}` }, (word === "bad" ? "! " : "") + percent(row && row.requests ? row.successRate : null));
}

/** A table: columns are {title, cell(row), number}, `pick` is called with the row that is opened. */
export function table(columns, rows, { empty = "nothing", pick, label } = {}) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const head = el("tr", {}, columns.map((c) => el("th", { scope: "col", class: c.number ? "number" : null }, c.title)));
  const body = rows.map((row) => {
    const cells = columns.map((c) => el("td", { class: c.number ? "number" : c.name ? "name" : null }, c.cell(row) ?? none));
    if (!pick) return el("tr", {}, cells);
    const open = () => pick(row);
    return el("tr", { class: "pick", tabindex: 0, onclick: open, onkeydown: (e) => e.key === "Enter" && open() }, cells);
  });
  return el("div", { class: "scroll" }, el("table", { "aria-label": label }, el("thead", {}, head), el("tbody", {}, body)));
}

export function tiles(items) {
  return el("dl", { class: "tiles" }, items.map(([title, value, note, word]) =>
    el("div", {}, el("dt", {}, title), el("dd", { class: word }, String(value), note ? el("small", {}, ` ${note}`) : null))));
}

/** A panel over the whole width. */
export function widePanel(title, ...content) {
  const section = panel(title, ...content);
  section.classList.add("wide");
  return section;
}

export function panel(title, ...content) {
  return el("section", { class: "panel" }, el("h2", {}, title), ...content);
}

const width = 600, height = 140, left = 60, bottom = 18, top = 8;

/** Where a share of the width, from the left, and of the height, from below, lies in a chart. */
export const place = { x: (share) => left + share * (width - left), y: (share) => top + (1 - share) * (height - top - bottom) };

/** The beginning of a line that can be seen even where nothing follows. */
export const dot = (at) => `M${at}h0.01`;

/** A chart with lines at these values, each with its words, and the times of its ends. */
export function chartFrame(label, marks, least, most, begin, end) {
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const [value, words] of marks) {
    const y = place.y((value - least) / Math.max(0.000001, most - least));
    chart.append(svg("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }), svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, words));
  }
  const time = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  chart.append(svg("text", { x: left, y: height - 3 }, time(begin)), svg("text", { x: width, y: height - 3, "text-anchor": "end" }, time(end)));
  return chart;
}

function frame(label, most, unit, points) {
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const share of [0, 0.5, 1]) {
    const y = top + (1 - share) * (height - top - bottom);
    chart.append(svg("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }),
      svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, unit(most * share)));
  }
  const time = (point) => (point ? new Date(point.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "");
  chart.append(svg("text", { x: left, y: height - 3 }, time(points[0])),
    svg("text", { x: width, y: height - 3, "text-anchor": "end" }, time(points[points.length - 1])));
  return chart;
}

/** Requests a second as bars: what succeeded, and what failed below it. */
export function rateChart(points) {
  const most = Math.max(1, ...points.map((p) => p.rps));
  const chart = frame("Requests a second over the last hour", most, (v) => v.toFixed(v < 10 ? 1 : 0), points);
  const bar = (width - left) / Math.max(1, points.length);
  const scale = (height - top - bottom) / most;
  points.forEach((point, index) => {
    const whole = point.rps * scale, failed = point.requests ? (whole * point.failures) / point.requests : 0;
    const place = { x: left + index * bar, width: Math.max(1, bar - 1) };
    chart.append(svg("rect", { class: "ok", ...place, y: height - bottom - whole, height: whole - failed }),
      svg("rect", { class: "fail", ...place, y: height - bottom - failed, height: failed }));
  });
  return el("div", {}, chart, el("p", { class: "key" }, "bars: requests a second; red: failed"));
}

/** Latency quantiles as lines. */
export function latencyChart(points) {
  const most = Math.max(1, ...points.map((p) => p.p99Ms ?? 0));
  const chart = frame("Latency over the last hour", most, milliseconds, points);
  const bar = (width - left) / Math.max(1, points.length);
  for (const quantile of ["p50", "p95", "p99"]) {
    let path = "";
    points.forEach((point, index) => {
      const value = point[`${quantile}Ms`];
      if (value === null || value === undefined) { path += " "; return; }
      const y = height - bottom - (value / most) * (height - top - bottom);
      const isFirst = !path.trim() || path.endsWith(" ");
      const at = `${(left + (index + 0.5) * bar).toFixed(1)},${y.toFixed(1)}`;
      path += isFirst ? dot(at) : `L${at}`;
    });
    if (path.trim()) chart.append(svg("path", { class: `line ${quantile}`, d: path }));
  }
  const last = [...points].reverse().find((p) => p.p99Ms !== null) ?? {};
  const key = ["p50", "p95", "p99"].map((q) => el("span", {}, `${q} ${milliseconds(last[`${q}Ms`])}`));
  return el("div", {}, chart, el("p", { class: "key" }, "now:", ...key));
}

/** Quantiles by time as a strip of cells, darker is slower (logarithmic). */
export function heatMap(points) {
  const values = points.flatMap((p) => [p.p50Ms, p.p99Ms]).filter((v) => v > 0);
  const least = Math.log(Math.max(0.05, Math.min(...values))), most = Math.log(Math.max(...values) + 0.01);
  const grid = el("div", { class: "heat", role: "img", "aria-label": "Latency quantiles by time; darker is slower" });
  grid.style.setProperty("--steps", points.length);
  for (const quantile of ["p99Ms", "p95Ms", "p50Ms"]) {
    grid.append(el("span", {}, quantile.slice(0, 3)));
    for (const point of points) {
      const cell = el("i", { title: `${new Date(point.time).toLocaleTimeString()}: ${milliseconds(point[quantile])}` });
      if (point[quantile] > 0) {
        const share = most > least ? (Math.log(point[quantile]) - least) / (most - least) : 0;
        cell.style.background = "var(--accent)";
        cell.style.opacity = (0.15 + 0.85 * Math.min(1, Math.max(0, share))).toFixed(2);
      }
      grid.append(cell);
    }
  }
  return values.length ? grid : el("p", { class: "empty" }, "no requests within the hour");
}

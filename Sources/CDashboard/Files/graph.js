// The service graph: services as boxes in layers, callers left of what they call.
import { el, svg, percent, rate, milliseconds, health } from "./widgets.js";

const boxWidth = 184, boxHeight = 46, gapX = 64, gapY = 20, columnLimit = 26;
/** Height that an edge takes where it passes a layer. */
const passHeight = 16;

/** Services and calls out of the rows of the API. */
export function model(rows, stats, group) {
  const nodes = new Map();
  const edges = new Map();
  const known = (namespace, service) => {
    const key = group ? `${namespace || "default"}/` : `${namespace || "default"}/${service}`;
    if (!nodes.has(key)) nodes.set(key, { key, namespace: namespace || "default", label: group ? namespace || "default" : service, services: new Set() });
    nodes.get(key).services.add(service);
    return key;
  };
  for (const item of stats) {
    if (item.kind !== "service") continue;
    const node = nodes.get(known(item.namespace, item.name));
    if (!group) node.figures = item;
    else node.figures = add(node.figures, item);
  }
  for (const row of rows) {
    if (!row.service || !row.sourceService || row.service === "unknown") continue;
    const from = known(row.sourceNamespace === "unknown" ? "outside" : row.sourceNamespace, row.sourceService === "unknown" ? "outside the mesh" : row.sourceService);
    const to = known(row.destinationNamespace, row.service);
    if (from === to && group) continue;
    const key = `${from}>${to}`;
    const edge = edges.get(key) ?? { key, from, to, requests: 0, failures: 0, rps: 0, secured: 0, open: 0, p99Ms: null };
    edge.requests += row.requests;
    edge.failures += row.failures;
    edge.rps += row.rps;
    if (row.mutualTLS !== undefined) edge[row.mutualTLS ? "secured" : "open"] += row.requests + row.tcpConnections + row.tcpOpened;
    if (row.p99Ms !== null) edge.p99Ms = Math.max(edge.p99Ms ?? 0, row.p99Ms);
    edge.successRate = edge.requests ? 1 - edge.failures / edge.requests : null;
    edges.set(key, edge);
  }
  return { nodes, edges };
}

function add(sum, item) {
  const whole = sum ?? { requests: 0, failures: 0, rps: 0, p99Ms: null };
  whole.requests += item.requests;
  whole.failures += item.failures;
  whole.rps += item.rps;
  if (item.p99Ms !== null) whole.p99Ms = Math.max(whole.p99Ms ?? 0, item.p99Ms);
  whole.successRate = whole.requests ? 1 - whole.failures / whole.requests : null;
  return whole;
}

/** Gives every node a place: its layer is the longest way to it, its row follows its neighbours. */
export function place({ nodes, edges }) {
  const next = new Map([...nodes.keys()].map((key) => [key, []]));
  const before = new Map([...nodes.keys()].map((key) => [key, []]));
  const state = new Map();
  // Edges that close a circle are not followed.
  for (const edge of edges.values()) if (edge.from !== edge.to) next.get(edge.from).push(edge.to);
  const order = [];
  const visit = (key) => {
    state.set(key, 1);
    next.set(key, next.get(key).filter((other) => state.get(other) !== 1));
    for (const other of next.get(key)) if (!state.has(other)) visit(other);
    state.set(key, 2);
    order.unshift(key);
  };
  const roots = [...nodes.keys()].sort();
  const called = new Set([...edges.values()].filter((e) => e.from !== e.to).map((e) => e.to));
  for (const key of [...roots.filter((k) => !called.has(k)), ...roots]) if (!state.has(key)) visit(key);
  for (const [key, others] of next) for (const other of others) before.get(other).push(key);
  const layer = new Map();
  for (const key of order) layer.set(key, Math.max(0, ...before.get(key).map((other) => (layer.get(other) ?? 0) + 1)));
  const lonely = roots.filter((key) => !next.get(key).length && !before.get(key).length);
  const layers = [];
  for (const key of order) if (!lonely.includes(key)) (layers[layer.get(key)] ??= []).push(key);
  const passes = addPasses(edges, layer, layers, next, before);
  for (let sweep = 0; sweep < 8; sweep++) {
    const near = sweep % 2 ? next : before;
    const row = new Map(layers.flatMap((keys) => keys.map((key, index) => [key, index / keys.length])));
    for (const keys of sweep % 2 ? [...layers].reverse() : layers) {
      const weight = new Map(keys.map((key) => [key, mean(near.get(key).map((other) => row.get(other) ?? 0)) ?? row.get(key)]));
      keys.sort((a, b) => weight.get(a) - weight.get(b) || (a < b ? -1 : 1));
      keys.forEach((key, index) => row.set(key, index / keys.length));
    }
  }
  // A layer that is too tall is set in several columns.
  const columns = layers.flatMap((keys) => split(keys, nodes)).concat(chunks(lonely, columnLimit));
  const tall = (key) => (nodes.has(key) ? boxHeight + gapY : passHeight);
  const heights = columns.map((keys) => keys.reduce((sum, key) => sum + tall(key), 0));
  const tallest = Math.max(1, ...heights);
  columns.forEach((keys, column) => {
    let y = (tallest - heights[column]) / 2;
    for (const key of keys) {
      const place = nodes.get(key) ?? passes.get(key);
      place.x = column * (boxWidth + gapX);
      place.y = y;
      y += tall(key);
    }
  });
  return { width: columns.length * (boxWidth + gapX) - gapX, height: tallest - gapY };
}

/** Edges that go over several layers get a place in each, so that they pass between the boxes. */
function addPasses(edges, layer, layers, next, before) {
  const passes = new Map();
  for (const edge of edges.values()) {
    edge.via = [];
    const [from, to] = [layer.get(edge.from), layer.get(edge.to)];
    if (!next.get(edge.from)?.includes(edge.to) || to - from < 2) continue;
    let last = edge.from;
    for (let level = from + 1; level < to; level++) {
      const key = `${edge.key} ${level}`;
      const pass = { x: 0, y: 0 };
      passes.set(key, pass);
      edge.via.push(pass);
      layers[level].push(key);
      next.set(key, []);
      before.set(key, [last]);
      next.get(last).push(key);
      last = key;
    }
    next.get(last).push(edge.to);
    before.get(edge.to).push(last);
  }
  return passes;
}

/** The columns of a layer: as many as its boxes need. */
function split(keys, nodes) {
  const boxes = keys.filter((key) => nodes.has(key)).length;
  return boxes > columnLimit ? chunks(keys, Math.ceil((keys.length * columnLimit) / boxes)) : [keys];
}

const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);

function chunks(list, size) {
  const count = Math.ceil(list.length / size);
  return Array.from({ length: count }, (_, i) => list.slice(Math.ceil((i * list.length) / count), Math.ceil(((i + 1) * list.length) / count)));
}

/** From the right side of a box to the left side of another, by the places between. */
function forwardLine(a, b, via) {
  const points = [[a.x + boxWidth, a.y + boxHeight / 2], ...via.flatMap((p) => [[p.x, p.y + passHeight / 2], [p.x + boxWidth, p.y + passHeight / 2]]), [b.x - 7, b.y + boxHeight / 2]];
  let path = `M${points[0]}`;
  for (let i = 1; i < points.length; i++) {
    const [[x1, y1], [x2, y2]] = [points[i - 1], points[i]];
    const bend = (x2 - x1) / 2;
    path += ` C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
  }
  const [first, second] = points;
  return { path, middle: [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2] };
}

/** Back to a box further left, below both. */
function backLine(a, b) {
  const [x1, x2] = [a.x + boxWidth / 2, b.x + boxWidth / 2];
  const depth = 36 + 26 * Math.round(Math.abs(x1 - x2) / (boxWidth + gapX));
  const [y1, y2] = [a.y + boxHeight, b.y + boxHeight];
  return { path: `M${x1},${y1} C${x1},${y1 + depth} ${x2},${y2 + depth} ${x2},${y2 + 7}`, middle: [(x1 + x2) / 2, (y1 + y2) / 2 + depth * 0.75] };
}

/** The picture, which keeps its place while its figures change. */
export class Graph {
  constructor({ chosen }) {
    this.onChosen = chosen;
    this.stage = svg("g");
    this.edgeLayer = svg("g");
    this.nodeLayer = svg("g");
    this.stage.append(this.edgeLayer, this.nodeLayer);
    // The picture is drawn at its own size and moved as a whole: the browser does not draw it anew while it moves.
    this.picture = svg("svg", { role: "group", "aria-label": "Service graph; Tab walks through the services" }, this.stage);
    this.canvas = el("div", { class: "canvas" }, this.picture);
    this.view = { x: 0, y: 0, scale: 1 };
    this.nodes = new Map();
    this.edges = new Map();
    this.search = "";
    this.listen();
  }

  show(data) {
    this.data = data;
    const shape = [...data.nodes.keys()].sort().join() + [...data.edges.keys()].sort().join();
    if (shape !== this.shape) {
      this.size = place(data);
      this.picture.setAttribute("width", Math.max(1, this.size.width));
      this.picture.setAttribute("height", Math.max(1, this.size.height));
      this.draw();
      if (!this.shape || !this.isMoved) this.fit();
      this.shape = shape;
    }
    this.refresh();
  }

  draw() {
    this.nodeLayer.replaceChildren();
    this.edgeLayer.replaceChildren();
    this.nodes.clear();
    this.edges.clear();
    for (const edge of this.data.edges.values()) {
      const path = svg("path"), lock = svg("g", { class: "lock" }), title = svg("title");
      const [a, b] = [this.data.nodes.get(edge.from), this.data.nodes.get(edge.to)];
      const isBack = b.x <= a.x;
      const line = isBack ? backLine(a, b) : forwardLine(a, b, edge.via);
      path.setAttribute("d", line.path);
      lock.setAttribute("transform", `translate(${line.middle[0] - 5},${line.middle[1] - 7})`);
      lock.append(svg("rect", { class: "plate", x: -3, y: -3, width: 16, height: 19, rx: 4 }), svg("path", { class: "bow" }), svg("rect", { class: "body", x: 0, y: 6, width: 10, height: 7, rx: 1.5 }));
      const tip = isBack ? [b.x + boxWidth / 2, b.y + boxHeight] : [b.x, b.y + boxHeight / 2];
      const arrow = svg("path", { class: "arrow", d: isBack ? `M${tip[0]},${tip[1]} l-4,8 h8 z` : `M${tip[0]},${tip[1]} l-8,-4 v8 z` });
      const group = svg("g", { class: "edge" }, title, path, arrow, lock);
      this.edges.set(edge.key, { group, path, lock, title });
      this.edgeLayer.append(group);
    }
    for (const node of [...this.data.nodes.values()].sort((a, b) => a.x - b.x || a.y - b.y)) {
      const choose = () => this.choose(node.key);
      const figures = svg("text", { class: "figures", x: 14, y: 36 });
      const group = svg("g", { class: "node", tabindex: 0, role: "button", transform: `translate(${node.x},${node.y})`, onclick: choose,
        onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); } }, onfocus: () => this.reveal(node) },
        svg("rect", { class: "box", width: boxWidth, height: boxHeight, rx: 8 }), svg("rect", { class: "side-bar", width: 5, height: boxHeight - 12, x: 4, y: 6, rx: 2.5 }),
        svg("text", { class: "name", x: 14, y: 19 }, short(node.label, 20)), figures);
      this.nodes.set(node.key, { group, figures });
      this.nodeLayer.append(group);
    }
  }

  refresh() {
    for (const [key, parts] of this.nodes) {
      const node = this.data.nodes.get(key);
      const figures = node.figures;
      const word = health(figures);
      parts.group.setAttribute("class", `node ${word}${key === this.chosen ? " chosen" : ""}${this.isDim(node) ? " dim" : ""}`);
      const text = figures && figures.requests ? `${word === "bad" ? "! " : ""}${percent(figures.successRate)}  ${rate(figures.rps)}  ${milliseconds(figures.p99Ms)}` : "no requests";
      parts.figures.textContent = text;
      parts.group.setAttribute("aria-label", `${node.namespace}/${node.label}: ${text}`);
    }
    for (const [key, parts] of this.edges) {
      const edge = this.data.edges.get(key);
      const isDim = this.isDim(this.data.nodes.get(edge.from)) || this.isDim(this.data.nodes.get(edge.to)) || (this.chosen && edge.from !== this.chosen && edge.to !== this.chosen);
      parts.group.setAttribute("class", `edge ${health(edge)}${isDim ? " dim" : ""}`);
      parts.path.setAttribute("stroke-width", Math.min(6, 1.2 + Math.log10(1 + edge.rps)).toFixed(1));
      const isOpen = edge.open > 0;
      parts.lock.setAttribute("class", `lock${isOpen ? " open" : ""}${isOpen || edge.secured > 0 ? "" : " none"}`);
      parts.lock.children[1].setAttribute("d", isOpen ? "M2,6 V3 a3,3 0 0 1 6,0" : "M2,6 V3.5 a3,3 0 0 1 6,0 V6");
      if (isOpen) parts.lock.children[1].setAttribute("transform", "translate(5.5,0)"); else parts.lock.children[1].removeAttribute("transform");
      parts.title.textContent = `${edge.from} → ${edge.to}: ${percent(edge.successRate)}, ${rate(edge.rps)}, p99 ${milliseconds(edge.p99Ms)}, ${isOpen ? "not all encrypted" : "mutual TLS"}`;
    }
  }

  isDim(node) {
    if (this.search && !`${node.namespace}/${node.label} ${[...node.services].join(" ")}`.toLowerCase().includes(this.search)) return true;
    if (!this.chosen || !this.data.nodes.has(this.chosen)) return false;
    return node.key !== this.chosen && !this.data.edges.has(`${node.key}>${this.chosen}`) && !this.data.edges.has(`${this.chosen}>${node.key}`);
  }

  find(text) {
    this.search = text.trim().toLowerCase();
    if (this.data) this.refresh();
    const hit = this.search && this.data ? [...this.data.nodes.values()].find((node) => !this.isDim(node)) : null;
    if (hit) this.reveal(hit, true);
  }

  choose(key) {
    this.chosen = this.chosen === key ? null : key;
    this.refresh();
    this.onChosen(this.chosen ? this.data.nodes.get(this.chosen) : null);
  }

  fit() {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width || !this.size) return;
    // Names stay readable: what does not fit then is moved to.
    const scale = Math.min(1.15, Math.max(0.65, Math.min((box.width - 40) / this.size.width, (box.height - 60) / this.size.height)));
    // Callers stand at the left, in the middle of the height: there a large picture begins.
    this.view = { scale, x: Math.max(20, (box.width - this.size.width * scale) / 2), y: (box.height - 30 - this.size.height * scale) / 2 };
    this.isMoved = false;
    this.apply();
  }

  zoom(factor, x, y) {
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [x ?? box.width / 2, y ?? box.height / 2];
    const scale = Math.min(3, Math.max(0.08, this.view.scale * factor));
    this.view.x = px - ((px - this.view.x) * scale) / this.view.scale;
    this.view.y = py - ((py - this.view.y) * scale) / this.view.scale;
    this.view.scale = scale;
    this.isMoved = true;
    this.apply();
  }

  move(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.isMoved = true;
    this.apply();
  }

  /** Brings a node into the picture. */
  reveal(node, centre = false) {
    const box = this.canvas.getBoundingClientRect();
    const { x, y, scale } = this.view;
    const [left, top] = [x + node.x * scale, y + node.y * scale];
    const isInside = left >= 0 && top >= 0 && left + boxWidth * scale <= box.width && top + boxHeight * scale <= box.height;
    if (isInside && !centre) return;
    this.move(box.width / 2 - left - (boxWidth * scale) / 2, box.height / 2 - top - (boxHeight * scale) / 2);
  }

  apply() {
    const { style } = this.picture;
    style.willChange = "transform";
    style.transform = `translate(${this.view.x.toFixed(1)}px,${this.view.y.toFixed(1)}px) scale(${this.view.scale.toFixed(3)})`;
    // At rest it is drawn sharply.
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { style.willChange = ""; }, 200);
  }

  listen() {
    let last = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".node")) return;
      last = [event.clientX, event.clientY];
      this.canvas.setPointerCapture(event.pointerId);
      this.canvas.classList.add("moving");
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      this.move(event.clientX - last[0], event.clientY - last[1]);
      last = [event.clientX, event.clientY];
    });
    const end = () => { last = null; this.canvas.classList.remove("moving"); };
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.canvas.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
  }

  /** The buttons below the picture. */
  buttons() {
    const button = (text, label, act) => el("button", { type: "button", "aria-label": label, onclick: act }, text);
    return el("div", { class: "zoom" }, button("+", "Larger", () => this.zoom(1.25)), button("−", "Smaller", () => this.zoom(0.8)), button("Fit", "Fit the graph", () => this.fit()));
  }

  /** Keys while the graph is shown; true where one was taken. */
  key(key) {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (moves[key]) this.move(...moves[key]);
    else if (key === "+" || key === "=") this.zoom(1.25);
    else if (key === "-") this.zoom(0.8);
    else if (key === "0") this.fit();
    else if (key === "Escape" && this.chosen) this.choose(this.chosen);
    else return false;
    return true;
  }
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

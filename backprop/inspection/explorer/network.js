// -- network.js: the picture of the network: neurons and edges, or a heat map a layer ---------

const MOST_NEURONS = 10;
const MOST_LAYERS = 6;

/** Whether the network is drawn neuron by neuron: a chain of small layers of neurons. */
const isSmall = page.kind === "chain" && page.layers.length <= MOST_LAYERS
  && page.layers.every((layer) => layer.kind === "dense" && !layer.steps && allWhole(arrayAt(layer.a), parameterOf(layer, "w"))
    && arrayAt(layer.a).shape[0] <= MOST_NEURONS && parameterOf(layer, "w").shape[1] <= MOST_NEURONS);

/** Whether an entry is the node of a graph, and no layer inside one. */
const isNode = (layer) => page.kind === "graph" && !layer.inside;

/** What a layer is called: "node dense_1", "layer 0". */
const calledOf = (layer) => `${isNode(layer) ? "node" : "layer"} ${layer.name}`;

/** What a layer shows of itself in a pass: its array, its symbol. */
function shownOf(layer, way) {
  if (way === "backward") {
    const delta = arrayAt(layer.delta);
    if (delta) return [delta, `δ${layer.sup}`];
    const nabla = arrayAt(layer.nabla_a);
    return [nabla, isNode(layer) ? `∂C/∂${layer.name}` : `∂C/∂a${layer.sup}`];
  }
  return [arrayAt(layer.a), isNode(layer) ? layer.name : `a${layer.sup}`];
}

let drawn = ""; // what the heat maps show, which do not depend on what is pointed at

/** Draw the picture for a step into `parent`; `choose(layer, neuron)` is called by what is pressed. */
function drawNetwork(parent, state, step, pointed, choose) {
  if (isSmall) {
    parent.replaceChildren(neuronsAndEdges(state, step, pointed, choose));
    return;
  }
  const shows = [state.example, page.steps.indexOf(step), look.shapes, colours().paper].join();
  if (shows === drawn) return;
  drawn = shows;
  parent.replaceChildren(heatMaps(state, step, choose));
}

// -- neuron by neuron ------------------------------------------------------------------------

function neuronsAndEdges(state, step, pointed, choose) {
  const way = step.way === "backward" ? "backward" : "forward";
  const columns = [{ values: arrayAt(page.x).of(state.example), symbol: "x", layer: -1 }];
  page.layers.forEach((layer, at) => {
    const [array, symbol] = shownOf(layer, way);
    columns.push({ values: array.of(state.example), symbol, layer: at });
  });
  const most = Math.max(...columns.map((column) => column.values.length));
  const [across, down, radius] = [columns.length > 4 ? 130 : 170, 62, 23];
  const [width, height] = [across * (columns.length - 1) + 100, most * down + 44];
  const place = (column, neuron) => [50 + column * across,
    44 + down * (neuron + 0.5 + (most - columns[column].values.length) / 2)];
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: `neurons ${way}`, role: "group",
    "aria-label": "The network. Arrow keys go from neuron to neuron." });
  svg.style.maxWidth = `${width * 1.15}px`;
  page.layers.forEach((layer, at) => drawEdges(svg, layer, at, place, step, pointed));
  const nodes = [];
  columns.forEach((column, at) => {
    const isNow = column.layer === step.layer;
    const head = draw("text", { x: place(at, 0)[0], y: 18, class: isNow ? "head now" : "head" },
      at === 0 ? "x" : `${column.symbol}`);
    svg.append(head, draw("text", { x: place(at, 0)[0], y: 33, class: "sub" },
      at === 0 ? "the input" : `layer ${page.layers[at - 1].name}`));
    column.values.forEach((value, neuron) => {
      nodes.push(drawNeuron(svg, column, neuron, value, place(at, neuron), radius, state, step, pointed, choose));
    });
  });
  nodes.forEach((node, at) => node.addEventListener("keydown", (event) => moveInPicture(event, nodes, columns, at)));
  const now = nodes.find((node) => node.classList.contains("pointed")) || nodes[nodes.length - 1];
  nodes.forEach((node) => node.setAttribute("tabindex", node === now ? 0 : -1));
  return make("div", { class: "scroll" }, svg);
}

function drawNeuron(svg, column, neuron, value, [x, y], radius, state, step, pointed, choose) {
  const scale = extent(column.values);
  const palette = colours();
  const isPointed = column.layer === step.layer && pointed !== null && pointed[0] === neuron && step.layer >= 0;
  const words = column.layer < 0
    ? `input ${neuron}: x = ${text(value)}`
    : `layer ${page.layers[column.layer].name}, neuron ${neuron}: ${column.symbol} = ${text(value)}`;
  const group = draw("g", { class: `neuron${isPointed ? " pointed" : ""}`, role: "button", "aria-label": words,
    "aria-pressed": String(isPointed), "data-value": String(value), "data-layer": column.layer, "data-neuron": neuron });
  const circle = draw("circle", { cx: x, cy: y, r: radius });
  circle.style.fill = fillBehindText(value, scale, palette);
  group.append(draw("title", {}, words), circle, draw("text", { x, y: y + 4 }, shortText(value)));
  const act = () => choose(column.layer, neuron);
  group.addEventListener("click", act);
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      act();
    }
  });
  svg.append(group);
  return group;
}

/** A number in a circle: three digits. */
function shortText(value) {
  if (!Number.isFinite(value) || value === 0) return text(value);
  const size = Math.abs(value);
  if (size < 0.001 || size >= 10000) return signed(value.toExponential(0).replace("e-", "e−").replace("e+", "e"));
  return signed(String(Number(value.toPrecision(size < 0.1 ? 2 : 3))).replace(/^(-?)0\./, "$1."));
}

function drawEdges(svg, layer, at, place, step, pointed) {
  const isNow = step.layer === at;
  const showsGradient = step.role === "nabla_w" && isNow;
  const shown = showsGradient ? arrayAt(lastOf(step).result) : parameterOf(layer, "w");
  const { size } = extent(shown.values);
  const [n, m] = shown.shape;
  for (let j = 0; j < n; j++) {
    for (let k = 0; k < m; k++) {
      const value = shown.at([j, k]);
      const [[x1, y1], [x2, y2]] = [place(at, k), place(at + 1, j)];
      const part = hasPart(step, at, j, k, pointed);
      const edge = draw("line", { x1, y1, x2, y2, class: `edge ${value < 0 ? "minus" : "plus"}${part ? " part" : ""}` });
      edge.style.strokeWidth = (0.6 + 4.4 * Math.abs(value) / size).toFixed(2);
      edge.append(draw("title", {}, `${showsGradient ? "∂C/∂" : ""}w${layer.sup}[${j}, ${k}] = ${text(value)}`));
      svg.append(edge);
      if (part && (n * m <= 16 || pointed.length > 1 || m + n <= 8)) labelEdge(svg, x1, y1, x2, y2, value);
    }
  }
}

/** Whether an edge has a part in what is pointed at. */
function hasPart(step, at, j, k, pointed) {
  if (pointed === null) return false;
  if (step.role === "z" && step.layer === at) return pointed[0] === j;
  if (step.role === "nabla_w" && step.layer === at) return pointed[0] === j && pointed[1] === k;
  if (step.role === "delta" && step.arrives === "above" && step.above === at) return pointed[0] === k;
  return false;
}

function labelEdge(svg, x1, y1, x2, y2, value) {
  const [x, y] = [x1 + (x2 - x1) * 0.36, y1 + (y2 - y1) * 0.36];
  svg.append(draw("text", { x, y: y - 3, class: "on-edge" }, shortText(value)));
}

function moveInPicture(event, nodes, columns, at) {
  if (!ARROWS[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  const [down, across] = ARROWS[event.key];
  let column = 0;
  let neuron = at;
  while (neuron >= columns[column].values.length) neuron -= columns[column++].values.length;
  column = Math.min(columns.length - 1, Math.max(0, column + across));
  neuron = Math.min(columns[column].values.length - 1, Math.max(0, neuron + down));
  const first = columns.slice(0, column).reduce((sum, one) => sum + one.values.length, 0);
  nodes.forEach((node, i) => node.setAttribute("tabindex", i === first + neuron ? 0 : -1));
  nodes[first + neuron].focus();
}

// -- a heat map a layer ----------------------------------------------------------------------

function heatMaps(state, step, choose) {
  const way = step.way === "backward" ? "backward" : "forward";
  const list = make("ol", { class: `cards ${page.kind} ${way}` });
  if (page.kind === "chain") list.append(cardOf(null, -1, arrayAt(page.x), "x", state, step, choose));
  page.layers.forEach((layer, at) => {
    const [array, symbol] = shownOf(layer, way);
    list.append(cardOf(layer, at, array, symbol, state, step, choose));
  });
  page.costs.forEach((cost, at) => {
    const value = arrayAt(cost.each).of(state.example)[0];
    list.append(make("li", {}, make("button", { type: "button", class: "card", "data-layer": "cost",
      "aria-current": step.cost === at && step.way === "cost" ? "true" : null, onclick: () => choose("cost", at) },
    make("b", {}, page.costs.length > 1 ? `cost of ${cost.of}` : "cost"),
    make("span", { class: "card-value" }, `Cₓ = ${text(value)}`),
    make("small", {}, cost.name.replaceAll("_", " ")))));
  });
  return list;
}

function cardOf(layer, at, array, symbol, state, step, choose) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const title = layer === null ? "input" : layer.name;
  const words = `${layer === null ? "the input" : `${calledOf(layer)}, ${layer.title}`}: ${symbol}`;
  const card = make("button", { type: "button", class: "card", "data-layer": at, "aria-label": words,
    "aria-current": step.layer === at && step.layer >= 0 ? "true" : null, onclick: () => choose(at, null) },
  make("b", {}, title), canvas,
  make("span", { class: "card-symbol math" }, array === null ? "" : symbol),
  make("small", {}, layer === null ? sizes(array.shape) : layer.title));
  if (array === null) canvas.remove();
  else paintSmall(canvas, array, state.example, 84);
  const nested = layer && layer.inside ? ` inside ${layer.inside}` : "";
  return make("li", { class: nested ? "nested" : "" }, card);
}

/** Draw an array as one small picture, several images as a mosaic. */
function paintSmall(canvas, array, example, room) {
  const view = new View(array);
  const images = Math.min(view.images, 16);
  const across = Math.ceil(Math.sqrt(images));
  const down = Math.ceil(images / across);
  const gap = images > 1 ? 2 : 0;
  const size = Math.max(look.shapes && view.rows * across * 7 <= 2 * room ? 7 : 0.25,
    Math.min(18, (room - gap * across) / Math.max(view.rows * down, view.columns * across)));
  const step = size >= 1 ? Math.floor(size) : size;
  const [wide, high] = [view.columns * step + gap, view.rows * step + gap];
  const context = contextOf(canvas, across * wide, down * high);
  const scale = extent(array.of(example));
  const palette = colours();
  const shapes = look.shapes;
  look.shapes = shapes && step >= 5;
  if (shapes && !look.shapes) scale.isSigned = false;
  for (let image = 0; image < images; image++) {
    paintImage(context, view, image, example, scale, palette, (image % across) * wide,
      Math.floor(image / across) * high, step);
  }
  look.shapes = shapes;
}

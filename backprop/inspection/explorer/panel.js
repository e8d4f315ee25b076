// -- panel.js: one step: its equation, its arrays, the numbers of what is pointed at -----------

const DELTA_ROLES = ["delta", "nabla_b", "nabla_w", "down"];

/** Which arrays a step shows: [symbol, array, sign before it, name of its marks]; the last is made. */
function arraysOf(step, layer) {
  const last = lastOf(step);
  const result = last ? [last.left, arrayAt(last.result)] : null;
  const s = step.symbols || {};
  const w = parameterOf(layer, "w");
  switch (step.role) {
    case "z":
      return layer.kind === "activation" || w === null
        ? [[s.a_prev, arrayAt(layer.a_prev), "", "a_prev"], [...result, "=", "z"]]
        : [[s.w, w, "", "w"], [s.a_prev, arrayAt(layer.a_prev), layer.kind === "dense" ? "·" : "⋆", "a_prev"],
          [s.b, parameterOf(layer, "b"), "+", "b"], [...result, "=", "z"]];
    case "a":
      return [[`z${layer.sup}`, arrayAt(layer.z), "σ of", "z"], [...result, "=", "a"]];
    case "delta":
      return deltaArrays(step, layer, result);
    case "nabla_b":
      return [[`δ${layer.sup}`, arrayAt(layer.delta), "Σ", "delta"], [...result, "=", "nabla_b"]];
    case "nabla_w":
      return [[`δ${layer.sup}`, arrayAt(layer.delta), "", "delta"],
        [layer.kind === "transposed" ? "a of the layer below" : symbolOfInput(layer), arrayAt(layer.a_prev), "with", "a_prev"],
        [...result, "=", "nabla_w"]];
    case "down":
      return w === null
        ? [[`δ${layer.sup}`, arrayAt(layer.delta), "", "delta"], [...result, "=", "down"]]
        : [[symbolOfW(layer), w, "", "w"], [`δ${layer.sup}`, arrayAt(layer.delta), "with", "delta"],
          [...result, "=", "down"]];
    case "words":
      return [];
    default:
      return step.shown.map((one) => [one.left, arrayAt(one.result), "", ""]);
  }
}

function deltaArrays(step, layer, result) {
  const prime = arrayAt(layer.sigma_prime);
  const second = prime ? [[`σ′(z${layer.sup})`, prime, "⊙", "sigma_prime"]] : [];
  const made = [...result, "=", "delta"];
  if (step.arrives === "canonical") {
    const y = arrayAt(page.cost.y);
    const target = y ? [["y", y, "−", "y"]] : [];
    return [[`a${layer.sup}`, arrayAt(layer.a), "", "a"], ...target, made];
  }
  if (step.arrives === "above") {
    const above = page.layers[step.above];
    return [[symbolOfW(above), parameterOf(above, "w"), "transposed", "w"],
      [`δ${above.sup}`, arrayAt(above.delta), "·", "above"], ...second, made];
  }
  return [[step.arrivingSymbol || "∂C/∂a", arrayAt(layer.nabla_a), "", "nabla_a"], ...second, made];
}

/** One step on the screen. */
class Panel {
  constructor(parent, state, onPoint) {
    Object.assign(this, { parent, state, onPoint });
  }

  /** Show a step from the start. */
  show(step) {
    this.step = step;
    this.layer = step.layer >= 0 ? page.layers[step.layer] : null;
    this.maps = {};
    this.filled = make("section", { class: "filled", "aria-label": "The numbers of what is pointed at" });
    this.parent.replaceChildren(...this.words(), this.maps_(), this.filled);
    if (step.role === "cost") {
      this.fill(filledCost(this.state.example));
      this.picked = null;
      return;
    }
    this.picked = this.start();
    this.point(this.picked, false);
  }

  words() {
    const { step } = this;
    const equations = step.shown.filter((one) => step.role === "all" || step.role === "products" || step.role === "cost"
      || one === lastOf(step)).filter((one) => one.formula || step.shown.length === 1);
    const list = equations.map((one) => make("p", { class: "equation math" },
      one.tag ? make("span", { class: "tag" }, one.tag) : null, one.left, one.formula ? ` = ${one.formula}` : ""));
    const words = [...step.words];
    if (step.way === "backward" && DELTA_ROLES.includes(step.role) && page.batch > 1) {
      words.push(`δ is shown as the layer has it, of the mean cost: it carries 1/B, B = ${page.batch}. `
        + `${page.batch} · δ is the example's own δ, as the book has it.`);
    }
    return [...list, ...words.map((text_) => make("p", { class: "words" }, text_))];
  }

  maps_() {
    const { step, layer, state } = this;
    const row = make("div", { class: "maps" });
    const list = step.role === "cost" ? this.costArrays() : arraysOf(step, layer || { parameters: {} });
    const isSingle = step.role !== "all" && step.role !== "cost" && step.role !== "products";
    const made = isSingle ? list.length - 1 : step.role === "products" ? list.length - 1 : -1;
    list.forEach(([symbol, array, sign, name], at) => {
      if (array === null) return;
      if (sign) row.append(make("span", { class: "sign math", "aria-hidden": "true" }, sign));
      const isMade = at === made;
      const map = new NumberMap({
        symbol, array, example: state.example, note: array.byExample && page.batch > 1 ? `example ${state.example}` : "",
        point: isMade ? (index, isPicked) => this.pointed(index, isPicked) : null,
        width: window.innerWidth < 560 ? Math.min(300, window.innerWidth - 64) : list.length > 3 ? 230 : 290,
      });
      if (name) this.maps[name] = map;
      if (isMade) this.made = map;
      row.append(map.element);
    });
    if (made < 0) this.made = null;
    return row;
  }

  costArrays() {
    const cost = page.cost;
    return [["a", arrayAt(cost.a), "", "a"], ["y", arrayAt(cost.y), "", "y"]]
      .concat(this.step.shown.filter((one) => one.left.includes("∇")).map((one) => [one.left, arrayAt(one.result), "", ""]));
  }

  /** Where the reader starts: what was pointed at last in this layer, or the largest number. */
  start() {
    if (this.made === null || this.made === undefined) return null;
    const array = this.made.array;
    const kept = this.state.points[`${this.step.layer} ${array.shape.join("x")}`];
    if (kept) return kept;
    const values = array.of(this.state.example);
    let largest = 0;
    values.forEach((value, i) => {
      if (Math.abs(value) > Math.abs(values[largest])) largest = i;
    });
    const cells = this.made.view.cells;
    const [image, rest] = [Math.floor(largest / cells), largest % cells];
    return this.made.view.index(image, Math.floor(rest / this.made.view.columns), rest % this.made.view.columns);
  }

  /** A number of the result is pointed at; null when the mouse has left. */
  pointed(index, isPicked) {
    if (isPicked) {
      this.picked = index;
      this.state.points[`${this.step.layer} ${this.made.array.shape.join("x")}`] = index;
    }
    this.point(index === null ? this.picked : index, isPicked);
  }

  point(index, isSpoken) {
    if (index === null) {
      this.filled.replaceChildren();
      this.onPoint(null);
      return;
    }
    const { step, layer, state } = this;
    const maker = layer && step.role === "products" ? filledProducts : (FILLED[layer && layer.kind] || {})[step.role];
    const filled = maker ? maker(layer, step, index, state.example) : null;
    const isWhole = this.made.array.isWhole;
    for (const map of Object.values(this.maps)) map.mark([]);
    if (filled === null) {
      this.made.mark([index]);
      const value = isWhole ? this.made.array.at(index, state.example) : null;
      const why = maker ? "Not all numbers that it is made of are on this page." : "";
      this.filled.replaceChildren(
        make("p", { class: "lines math" }, `${this.made.symbol}${brackets(index)}`,
          ...(value === null ? [] : [" = ", number(value, "result")])),
        make("p", { class: "note" }, why || "How it is made is in the equations above."));
    } else {
      for (const [name, marks] of Object.entries(filled.marks)) {
        if (this.maps[name]) this.maps[name].mark(marks);
      }
      this.made.mark([index]);
      this.fill(filled);
      if (isSpoken) say(`${filled.symbol} = ${text(filled.result)}`);
    }
    this.onPoint(index);
  }

  /** Write a formula with its numbers. */
  fill(filled) {
    const lines = filled.lines.map((line) => make("p", { class: "lines math" },
      ...line.map((part) => (typeof part === "string" ? part : number(...part)))));
    const own = this.step.role === "delta" && page.batch > 1
      ? [make("p", { class: "note" }, `${page.batch} · ${filled.symbol} = `, number(page.batch * filled.result), ", the example's own δ.")]
      : [];
    this.filled.replaceChildren(
      make("h3", {}, filled.symbol, " = ", number(filled.result, "result")),
      ...lines, ...own,
      make("div", { class: "side" }, ...filled.sums.map((sum) => tableOf(sum)), filled.curve ? curveOf(filled.curve) : null,
        filled.products && filled.products.image ? productsOf(filled.products) : null),
      make("p", { class: "python" }, "In Python: ", make("code", {}, filled.python)));
  }
}

/** w ⊙ a as an image: what the neuron makes of every pixel. */
function productsOf({ symbol, values, image }) {
  const map = new NumberMap({ symbol, array: new ComputedArray([values.length], values, image), example: 0,
    note: "each pixel's part in the sum", width: 230 });
  return map.element;
}

/** A sum as a table: its terms, a bar for each, the total. */
function tableOf(sum, all = false) {
  const { terms, others, rest } = shownTerms(sum, all);
  const largest = Math.max(...terms.map((term) => Math.abs(term.product)), Math.abs(rest), 1e-300);
  const cell = (value) => make("td", {}, number(value));
  const isProduct = sum.columns.length > 2 || Boolean(sum.joiner);
  const head = make("tr", {}, ...sum.columns.map((name) => make("th", { scope: "col", class: "math" }, name)),
    isProduct ? make("th", { scope: "col" }, sum.joiner || "product") : null, make("th", { scope: "col" }, make("span", { class: "spoken" }, "size")));
  const rows = terms.map((term) => make("tr", { class: term.isOwn ? "own" : "" },
    make("th", { scope: "row" }, term.isOwn ? `▸ ${term.label}` : term.label), ...term.values.map(cell),
    isProduct ? cell(term.product) : null, barOf(term.product, largest)));
  const span = String(sum.columns.length);
  const ends = [];
  if (others > 0) {
    ends.push(make("tr", { class: "rest" }, make("th", { scope: "row", colspan: isProduct ? span : "1" },
      `the ${others} others, which are smaller`), make("td", {}, number(rest)), barOf(rest, largest)));
  }
  ends.push(make("tr", { class: "total" }, make("th", { scope: "row", colspan: isProduct ? span : "1", class: "math" }, sum.symbol),
    make("td", {}, number(sum.total, "sum")), make("td")));
  const table = make("table", { class: "sum" }, make("thead", {}, head), make("tbody", {}, ...rows), make("tfoot", {}, ...ends));
  const box = make("div", { class: "scroll sum-box" }, table);
  if (sum.terms.length > MOST_TERMS && sum.terms.length <= 2000) {
    box.append(make("button", { type: "button", class: "small more", onclick: () => {
      const other = tableOf(sum, !all);
      box.replaceWith(other);
      other.querySelector("button").focus();
    } }, all ? "only the largest" : `all ${sum.terms.length} terms`));
  }
  return box;
}

/** A bar to the right for a positive number, to the left and hollow for a negative one. */
function barOf(value, largest) {
  const share = Math.min(1, Math.abs(value) / largest) || 0;
  const bar = make("span", { class: value < 0 ? "bar minus" : "bar plus" });
  bar.style.width = `${(50 * share).toFixed(1)}%`;
  return make("td", { class: "bars", "aria-hidden": "true" }, bar);
}

/** Upstream x local = downstream, of a node of a graph. */
function filledProducts(layer, step, index, example) {
  const lines = [];
  let result = 0;
  for (const one of step.products) {
    const [up, local, down] = [one.upstream, one.local, one.downstream].map(arrayAt);
    if (!allWhole(up, local, down) || up.shape.length !== index.length) return null;
    if (index.some((i, axis) => i >= up.shape[axis])) return null;
    result = down.at(index, example);
    lines.push([`to ${one.name}: upstream × local (${one.label}) = `, [up.at(index, example), "sum"], " × ",
      [local.at(index, example), "prime"], " = ", [result, "result"]]);
  }
  return {
    symbol: `∂C/∂${step.products[step.products.length - 1].name}${brackets(index)} by way of ${layer.name}`,
    python: `trace["${layer.name}"].downstream`, result, lines, sums: [], marks: {}, curve: null,
  };
}

// -- panel.js: one step: its equation, its arrays, the numbers of what is pointed at -----------

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
        : [[s.w, w, "", "w"], [s.a_prev, arrayAt(layer.a_prev), { dense: "·", convolution: "⋆", transposed: "∗" }[layer.kind], "a_prev"],
          [s.b, parameterOf(layer, "b"), "+", "b"], [...result, "=", "z"]];
    case "a":
      return [[`z${layer.sup}`, arrayAt(layer.z), "σ of", "z"], [...result, "=", "a"]];
    case "delta":
      return deltaArrays(step, layer, result);
    case "nabla_b":
      return [[`δ${layer.sup}`, arrayAt(layer.delta), "Σ", "delta"], [...result, "=", "nabla_b"]];
    case "nabla_w":
      return [[`δ${layer.sup}`, arrayAt(layer.delta), "", "delta"],
        [symbolOfInput(layer), arrayAt(layer.a_prev), "with", "a_prev"],
        [...result, "=", "nabla_w"]];
    case "down":
      return w === null
        ? [[`δ${layer.sup}`, arrayAt(layer.delta), "", "delta"], [...result, "=", "down"]]
        : [[symbolOfW(layer), w, "", "w"], [`δ${layer.sup}`, arrayAt(layer.delta), "with", "delta"],
          [...result, "=", "down"]];
    case "words":
      return [];
    default:
      return [...(step.used || []).map(([place, name]) => [name, arrayAt(place), "", ""]),
        ...step.shown.map((one) => [one.left, arrayAt(one.result), "", "", one])];
  }
}

function deltaArrays(step, layer, result) {
  const prime = arrayAt(layer.sigma_prime);
  const second = prime ? [[`σ′(z${layer.sup})`, prime, "⊙", "sigma_prime"]] : [];
  const made = [...result, "=", "delta"];
  if (step.arrives === "canonical") {
    const y = arrayAt(page.costs[step.cost].y);
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

/** Whether an array holds derivatives of C, of one example: they carry its 1/B. */
function isGradientIn(step, symbol, array, name, one) {
  if (!array.byExample) return false;
  if (step.way !== "backward") return step.way === "cost" && Boolean(one);
  return Boolean(one) || ["delta", "above", "nabla_a", "down"].includes(name) || /^[(]?(δ|∂C|∇)/.test(symbol);
}

/** What stands beside the name of an array: of which example it is, and of which cost. */
function noteOf(array, isGradient, example) {
  if (page.batch === 1 || !array.byExample) return "";
  return isGradient ? `example ${example}, with 1/B` : `example ${example}`;
}

/** The marks of the numbers of an array that have a part; of very many the block they lie in. */
function marksOf(touched) {
  if (!touched) return [];
  const indices = [...touched.values()];
  if (indices.length <= 200) return indices;
  return [indices[0].map((_, axis) => [Math.min(...indices.map((i) => i[axis])), Math.max(...indices.map((i) => i[axis]))])];
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
    this.maps = {}; // by what they are in the formulas of the scripts
    this.all = [];
    this.filled = make("section", { class: "filled", "aria-label": "The numbers of what is pointed at" });
    this.parent.replaceChildren(...this.words(), this.maps_(), this.filled);
    if (step.role === "cost") {
      this.picked = null;
      this.showCost();
      return;
    }
    this.picked = this.start();
    this.pickedIn = this.made;
    this.point(this.picked, false);
  }

  words() {
    const { step } = this;
    const equations = step.shown.filter((one) => step.role === "all" || step.role === "cost"
      || one === lastOf(step)).filter((one) => one.formula || step.shown.length === 1);
    const list = equations.map((one) => make("p", { class: "equation math" },
      one.tag ? make("span", { class: "tag" }, one.tag) : null, one.left, one.formula ? ` = ${one.formula}` : ""));
    const words = [...step.words];
    if (step.way === "backward" && step.shown.length && page.batch > 1) {
      words.push(`δ and ∂C/∂a are shown as the layer has them, of the mean cost C: they carry 1/B, B = ${page.batch}. `
        + `${page.batch} times as large they are those of the example's own cost Cₓ, as the book has them.`);
    }
    return [...list, ...words.map((text_) => make("p", { class: "words" }, text_))];
  }

  maps_() {
    const { step, layer, state } = this;
    const row = make("div", { class: step.role === "all" ? "maps free" : "maps" });
    const list = step.role === "cost" ? this.costArrays() : arraysOf(step, layer || { parameters: {} });
    const isSingle = !["all", "cost"].includes(step.role);
    this.made = null;
    list.forEach(([symbol, array, sign, name, one], at) => {
      if (array === null) return;
      if (sign) row.append(make("span", { class: "sign math", "aria-hidden": "true" }, sign));
      const isResult = isSingle && at === list.length - 1;
      const record = isResult ? lastOf(step) : one;
      const canPoint = isResult || Boolean(record && record.made);
      const isGradient = isGradientIn(step, symbol, array, name, one);
      const map = new NumberMap({
        symbol, array, example: state.example, isGradient, note: noteOf(array, isGradient, state.example),
        point: canPoint ? (index, isPicked) => this.pointed(map, index, isPicked) : null,
        width: window.innerWidth < 560 ? Math.min(300, window.innerWidth - 64) : list.length > 3 ? 230 : 290,
      });
      map.record = record;
      if (name) this.maps[name] = map;
      if (canPoint) this.made = map;
      this.all.push(map);
      row.append(map.element);
    });
    return row;
  }

  /** What fills in the one result of this step, if a script does. */
  maker() {
    const { step, layer } = this;
    return layer ? (FILLED[layer.kind] || {})[step.role] || null : null;
  }

  costArrays() {
    const cost = page.costs[this.step.cost];
    return [[cost.symbol, arrayAt(cost.a), "", "a"], ["y", arrayAt(cost.y), "", "y"]]
      .concat(this.step.shown.filter((one) => one.left.includes("∇")).map((one) => [one.left, arrayAt(one.result), "", "", one]));
  }

  /** Where the reader starts: what was pointed at last in this layer, or the largest number. */
  start() {
    if (this.made === null) return null;
    const { array, view } = this.made;
    const kept = this.state.points[this.placeKey(this.made)];
    if (kept) return kept;
    const values = array.of(this.state.example);
    let largest = 0;
    values.forEach((value, i) => {
      if (Math.abs(value) > Math.abs(values[largest])) largest = i;
    });
    const [image, rest] = [Math.floor(largest / view.cells), largest % view.cells];
    return view.index(image, Math.floor(rest / view.columns), rest % view.columns);
  }

  placeKey(map) {
    return `${this.step.layer} ${map.array.shape.join("x")}`;
  }

  /** A number of a result is pointed at; null when the mouse has left. */
  pointed(map, index, isPicked) {
    if (isPicked) {
      [this.picked, this.pickedIn] = [index, map];
      this.state.points[this.placeKey(map)] = index;
    }
    this.made = index === null ? this.pickedIn : map;
    this.point(index === null ? this.picked : index, isPicked);
  }

  point(index, isSpoken) {
    if (index === null) {
      if (this.step.role === "cost") this.showCost();
      else this.filled.replaceChildren();
      this.onPoint(null);
      return;
    }
    const { step, layer, state } = this;
    const { record, array } = this.made;
    const maker = this.maker();
    const filled = maker ? maker(layer, step, index, state.example)
      : record && record.made ? filledElements(record, array, index, state.example, layer) : null;
    for (const map of this.all) {
      map.mark([]);
      map.element.classList.toggle("now", map === this.made);
    }
    if (filled === null) {
      this.made.mark([index]);
      const value = array.isWhole ? array.at(index, state.example) : null;
      const isMissing = maker || (record && record.made);
      this.filled.replaceChildren(
        make("p", { class: "lines math" }, `${this.made.symbol}${brackets(index)}`,
          ...(value === null ? [] : [" = ", number(value, "result")])),
        make("p", { class: "note" }, isMissing ? "Not all numbers that it is made of are on this page."
          : "How it is made is in the equations above."));
      this.filled.dataset.value = "";
    } else {
      for (const [name, marks] of Object.entries(filled.marks)) {
        if (this.maps[name]) this.maps[name].mark(marks);
      }
      for (const map of filled.touched ? this.all : []) {
        map.mark(marksOf(filled.touched.get(arrays.indexOf(map.array))));
      }
      this.made.mark([index]);
      this.fill(filled);
      if (isSpoken) say(`${filled.symbol} = ${text(filled.result)}`);
    }
    this.onPoint(step.role === "cost" ? null : index);
  }

  /** C, as long as no number of its gradient is pointed at. */
  showCost() {
    this.made = this.pickedIn = null;
    for (const map of this.all) {
      map.mark([]);
      map.element.classList.remove("now");
    }
    this.fill(filledCost(this.step, this.state.example));
  }

  /** Write a formula with its numbers. */
  fill(filled) {
    const lines = filled.lines.map((line) => make("p", { class: "lines math" },
      ...line.map((part) => (typeof part === "string" ? part : number(...part)))));
    const own = this.made && this.made.isGradient && page.batch > 1
      ? [make("p", { class: "note own" }, `With the 1/B of the mean cost. B · ${filled.symbol} = `, number(page.batch * filled.result),
        `, of example ${this.state.example}'s own cost Cₓ, as the book has it.`)]
      : [];
    this.filled.replaceChildren(
      make("h3", {}, filled.symbol, " = ", number(filled.result, "result")),
      ...lines, ...own,
      make("div", { class: "side" }, ...filled.sums.map((sum) => tableOf(sum)), filled.curve ? curveOf(filled.curve) : null,
        filled.products && filled.products.image ? productsOf(filled.products) : null),
      filled.python ? make("p", { class: "python" }, "In Python: ", make("code", {}, filled.python)) : "");
    this.filled.dataset.value = filled.value === undefined ? "" : String(filled.value);
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
  const { terms, others, rest } = shownTerms(sum, all || sum.isMaximum);
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
  if (!sum.isMaximum && sum.terms.length > MOST_TERMS && sum.terms.length <= 2000) {
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

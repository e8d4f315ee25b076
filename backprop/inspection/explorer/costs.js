// -- costs.js: C of one example, and where the backward pass starts ---------------------------

const TERMS = { // what an output adds to C_x; `targets.py` has tried that it does
  half_square: { text: "½ (a − y)²", of: (a, y) => (a - y) ** 2 / 2 },
  square: { text: "(a − y)²", of: (a, y) => (a - y) ** 2 },
  mean_square: { text: "(a − y)² / n", of: (a, y, n) => (a - y) ** 2 / n },
  cross_entropy: {
    text: "−y ln a − (1 − y) ln(1 − a)",
    of: (a, y) => -timesLn(y, a) - timesLn(1 - y, 1 - a),
  },
  log_likelihood: { text: "−y ln a", of: (a, y) => -timesLn(y, a) },
};
const timesLn = (factor_, of) => (factor_ === 0 ? 0 : factor_ * Math.log(of));

/** C of an example, as a sum over the outputs, and C, the mean over the batch. */
function filledCost(step, example) {
  const cost = page.costs[step.cost];
  const [each, value] = [arrayAt(cost.each), arrayAt(cost.value).values[0]];
  const own = each.of(example)[0];
  const [a, y] = [arrayAt(cost.a), arrayAt(cost.y)];
  const filled = {
    symbol: "Cₓ", python: `${pathOf(null)}.${page.kind === "graph" ? "each" : "cost_per_example"}[${example}]`,
    result: own, lines: [], sums: [], marks: {}, curve: null,
  };
  if (cost.terms && allWhole(a, y)) {
    const term = TERMS[cost.terms];
    const n = count(a.shape);
    const [as, ys] = [a.of(example), y.of(example)];
    const terms = Array.from({ length: n }, (_, i) => ({
      label: unflat(i, a.shape).join(", "), values: [as[i], ys[i]], product: term.of(as[i], ys[i], n),
    }));
    filled.sums.push({ ...sumOf("Cₓ", ["output", "a", "y"], terms), joiner: term.text });
  }
  filled.lines.push([`Cₓ, of example ${example}, = `, [own, "result"]]);
  if (page.batch > 1) {
    filled.lines.push([`C = (1/B) Σₓ Cₓ, the mean over the B = ${page.batch} examples, = `, [value, "result"]]);
  }
  return filled;
}

/** BP1 of a canonical pair: the two factors are one. */
function canonicalDelta(filled, step, layer, index, example) {
  const cost = page.costs[step.cost];
  const [a, y] = [arrayAt(layer.a), arrayAt(cost.y)];
  if (cost.factor === null || !allWhole(a, y)) return null;
  const counts = arrayAt(cost.counts);
  if (counts && counts.of(example)[flat(index.slice(1), counts.shape.slice(1))] === 0) {
    filled.lines.push([`${filled.symbol} = `, [filled.result, "result"], ": the label of this step is −1, it costs nothing."]);
    return filled;
  }
  const [output, target] = [a.at(index, example), y.of(example)[flat(index, a.shape)]];
  const times = cost.factor === 1 ? "" : `${cost.factor} · `;
  const divided = cost.divisor > 1 ? ` / ${cost.divisor}` : "";
  const [open, close] = times || divided ? ["(", ")"] : ["", ""];
  const at = brackets(index);
  filled.lines.push([`${filled.symbol} = ${times}${open}a${layer.sup}${at} − y${at}${close}${divided}`]);
  filled.lines.push([`= ${times}${open}`, [output, "z"], " − ", [target, "sum"], `${close}${divided} = `, [filled.result, "result"]]);
  filled.marks.a = [index];
  filled.marks.y = [index];
  return filled;
}

// -- formulas.js: what is common to the formulas that are filled in, and those of sigma --------

/*
 * A formula that is filled in for one number is a plain object:
 *
 *   symbol, python   what it is, as mathematics and as Python finds it in the trace
 *   lines            lists of parts: text, or [number, role] of a number with all its digits
 *   sums             tables of terms: see `sumOf`
 *   marks            which numbers of which arrays have a part in it
 *   result           the number, as the trace has it
 *   curve            of sigma: the activation, z, a and the slope
 */

const MOST_TERMS = 12; // shown of a sum, before only the largest are
const LARGEST_TERMS = 8;

/** A sum of products as a table: a term has a label, its factors, and the product. */
function sumOf(symbol, columns, terms) {
  return { symbol, columns, terms, total: terms.reduce((sum, term) => sum + term.product, 0) };
}

/** Which terms are shown: all, or of many the largest, and the sum of the others. */
function shownTerms(sum, all) {
  if (all || sum.terms.length <= MOST_TERMS) return { terms: sum.terms, others: 0, rest: 0 };
  const order = sum.terms.map((_, i) => i)
    .sort((i, j) => Math.abs(sum.terms[j].product) - Math.abs(sum.terms[i].product));
  const terms = order.slice(0, LARGEST_TERMS).map((i) => sum.terms[i]);
  const shown = terms.reduce((total, term) => total + term.product, 0);
  return { terms, others: sum.terms.length - terms.length, rest: sum.total - shown };
}

/** How Python finds a number in the trace. */
function pythonOf(layer, name, index, example) {
  const place = [...index];
  if (example !== null) {
    if (layer && layer.steps) place.push(place.pop() * page.batch + example); // steps and examples, one axis
    else place.push(example);
  }
  return `${pathOf(layer)}.${name}${brackets(place)}`;
}

/** How Python finds a layer, or the cost, in the trace. */
function pathOf(layer) {
  if (layer === null) return page.kind === "graph" ? `trace.costs[${page.steps[state.step].cost}]` : "trace";
  return layer.python || `trace["${layer.name}"]`;
}

const parameterOf = (layer, name) => arrayAt(layer.parameters[name]);

/** Whether all numbers of these arrays are there, so that a formula can be filled in. */
const allWhole = (...some) => some.every((array) => array !== null && array.isWhole);

// -- sigma -----------------------------------------------------------------------------------

/** a = sigma(z), for one number. */
function filledActivation(layer, step, index, example) {
  const [z, a] = [arrayAt(layer.z), arrayAt(layer.a)];
  if (!allWhole(z, a)) return null;
  const [name, sigma] = [`a${layer.sup}${brackets(index)}`, layer.sigma];
  const [at, result] = [z.at(index, example), a.at(index, example)];
  const filled = {
    symbol: name, python: pythonOf(layer, "a", index, example), result,
    lines: [[`${name} = σ(z${layer.sup}${brackets(index)})`]], sums: [],
    marks: { z: [index], a: [index] }, curve: null,
  };
  if (sigma && sigma.name === "softmax") return softmaxFilled(filled, layer, z, index, example);
  filled.lines.push(["σ(", [at, "z"], ") = ", [result, "result"]]);
  if (sigma && sigma.formula) filled.lines[0].push(`,  σ(z) = ${sigma.formula}  (${sigma.name})`);
  else if (sigma) filled.lines[0].push(`,  σ is ${sigma.name}`);
  const prime = arrayAt(layer.sigma_prime);
  if (sigma && sigma.curve && prime && prime.isWhole) {
    filled.curve = { sigma, z: at, a: result, prime: prime.at(index, example) };
  }
  return filled;
}

function softmaxFilled(filled, layer, z, index, example) {
  const tail = index.slice(1);
  const all = Array.from({ length: z.shape[0] }, (_, k) => z.at([k, ...tail], example));
  const largest = Math.max(...all);
  const terms = all.map((value, k) => ({
    label: String(k), values: [value], product: Math.exp(value - largest), isOwn: k === index[0],
  }));
  const sum = sumOf(`Σₖ e^(z${layer.sup}[k] − ${text(largest)})`,
    ["k", `z${layer.sup}[k]`, "e^(z − max)"], terms);
  filled.lines = [
    [`${filled.symbol} = e^z${layer.sup}${brackets(index)} / Σₖ e^z${layer.sup}[k]`,
      ",  both with the largest z taken off, which changes nothing"],
    ["= ", [terms[index[0]].product, "z"], " / ", [sum.total, "sum"], " = ", [filled.result, "result"]],
  ];
  filled.sums = [sum];
  filled.marks.z = [[null, ...tail]];
  return filled;
}

// -- delta: BP1 and BP2 ----------------------------------------------------------------------

/** delta of one number: the gradient that arrives, times sigma'. */
function filledDelta(layer, step, index, example) {
  const delta = arrayAt(layer.delta);
  if (!allWhole(delta)) return null;
  const filled = {
    symbol: `δ${layer.sup}${brackets(index)}`, python: pythonOf(layer, "delta", index, example),
    result: delta.at(index, example), lines: [], sums: [], marks: { delta: [index] }, curve: null,
  };
  if (step.arrives === "canonical") return canonicalDelta(filled, step, layer, index, example);
  const arriving = step.arrives === "above"
    ? arrivingFromAbove(filled, page.layers[step.above], layer, index, example)
    : arrivingGiven(filled, step, layer, index, example);
  if (arriving === null) return null;
  const prime = arrayAt(layer.sigma_prime);
  if (prime === null) return softmaxDelta(filled, layer, index, example);
  if (!prime.isWhole) return null;
  const slope = prime.at(index, example);
  filled.lines.push([`${filled.symbol} = ${arriving.symbol} · σ′(z${layer.sup}${brackets(index)})`]);
  filled.lines.push(["= ", [arriving.value, "sum"], " · ", [slope, "prime"], " = ", [filled.result, "result"]]);
  filled.marks.sigma_prime = [index];
  const [z, a] = [arrayAt(layer.z), arrayAt(layer.a)];
  if (layer.sigma && layer.sigma.curve && allWhole(z, a)) {
    filled.curve = { sigma: layer.sigma, z: z.at(index, example), a: a.at(index, example), prime: slope };
  }
  return filled;
}

/** The sum of BP2: w^T delta of the layer above. */
function arrivingFromAbove(filled, above, layer, index, example) {
  const [w, delta] = [parameterOf(above, "w"), arrayAt(above.delta)];
  if (!allWhole(w, delta)) return null;
  const sum = transposedProduct(above, index, example);
  filled.sums.push(sum);
  filled.marks.w = [[null, index[0]]];
  filled.marks.above = [[null, ...index.slice(1)]];
  return { symbol: `(${sum.symbol})`, value: sum.total };
}

function arrivingGiven(filled, step, layer, index, example) {
  const given = arrayAt(layer.nabla_a);
  if (!allWhole(given)) return null;
  filled.marks.nabla_a = [index];
  return { symbol: `${step.arrivingSymbol}${brackets(index)}`, value: given.at(index, example) };
}

/** delta through the Jacobian of a softmax. */
function softmaxDelta(filled, layer, index, example) {
  const [a, g] = [arrayAt(layer.a), arrayAt(layer.nabla_a)];
  if (!layer.sigma || layer.sigma.name !== "softmax" || !allWhole(a, g)) return null;
  const [tail, name] = [index.slice(1), `a${layer.sup}`];
  const terms = Array.from({ length: a.shape[0] }, (_, k) => {
    const values = [g.at([k, ...tail], example), a.at([k, ...tail], example)];
    return { label: String(k), values, product: values[0] * values[1], isOwn: k === index[0] };
  });
  const sum = sumOf(`Σₖ g[k] ${name}[k]`, ["k", "g[k]", `${name}[k]`], terms);
  const own = terms[index[0]].values;
  filled.sums = [...filled.sums, sum];
  filled.marks.nabla_a = [[null, ...tail]];
  filled.lines = [
    [`${filled.symbol} = ${name}${brackets(index)} (g${brackets(index)} − ${sum.symbol}),  g = ∂C/∂${name}`],
    ["= ", [own[1], "z"], " · (", [own[0], "sum"], " − ", [sum.total, "sum"], ") = ", [filled.result, "result"]],
  ];
  return filled;
}

/** The terms of a sum over examples, and over steps where there are some. */
function* columnsOf(shape, from) {
  const tail = shape.slice(from);
  for (let x = 0; x < page.examples; x++) {
    for (let place = 0; place < count(tail); place++) yield [x, unflat(place, tail)];
  }
}

const columnName = (x, tail) => (tail.length ? `${x}, place ${tail.join(", ")}` : String(x));

/** What the examples that are not on this page add to a gradient. */
function ofOtherExamples(filled, sum) {
  if (page.examples === page.batch) return;
  const others = filled.result - sum.total;
  filled.lines.push([`The other ${page.batch - page.examples} examples, which this page does not have, add `,
    [others, ""], "."]);
}

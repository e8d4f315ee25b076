// -- dense.js: the equations of neurons, filled in for one number -----------------------------

/** w^T delta of a layer, for the number at `index` of its input. */
function transposedProduct(layer, index, example) {
  const [w, delta] = [parameterOf(layer, "w"), arrayAt(layer.delta)];
  const [k, tail] = [index[0], index.slice(1)];
  const names = [`${symbolOfW(layer)}[i, ${k}]`, `δ${layer.sup}[i${tail.map((t) => `, ${t}`).join("")}]`];
  const terms = Array.from({ length: w.shape[0] }, (_, i) => {
    const values = [w.at([i, k]), delta.at([i, ...tail], example)];
    return { label: String(i), values, product: values[0] * values[1] };
  });
  return sumOf(`Σᵢ ${names[0]} ${names[1]}`, ["i", ...names], terms);
}

/** The symbol of a layer's w, which may belong to another layer. */
function symbolOfW(layer) {
  const step = page.steps.find((s) => s.role === "z" && page.layers[s.layer] === layer);
  return (step && step.symbols && step.symbols.w) || `w${layer.sup}`;
}

/** z = w a + b. */
function denseWeightedInput(layer, step, index, example) {
  const [w, b] = [parameterOf(layer, "w"), parameterOf(layer, "b")];
  const [a, z] = [arrayAt(layer.a_prev), arrayAt(layer.z)];
  if (!allWhole(w, b, a, z)) return null;
  const [j, tail] = [index[0], index.slice(1)];
  const symbols = step.symbols;
  const names = [`${symbols.w}[${j}, k]`, `${symbols.a_prev}[k${tail.map((t) => `, ${t}`).join("")}]`];
  const terms = Array.from({ length: w.shape[1] }, (_, k) => {
    const values = [w.at([j, k]), a.at([k, ...tail], example)];
    return { label: String(k), values, product: values[0] * values[1] };
  });
  const sum = sumOf(`Σₖ ${names[0]} ${names[1]}`, ["k", ...names], terms);
  const [bias, result] = [b.at([j, 0]), z.at(index, example)];
  const symbol = `z${layer.sup}${brackets(index)}`;
  return {
    symbol, python: pythonOf(layer, "z", index, example), result, curve: null, sums: [sum],
    lines: [[`${symbol} = ${sum.symbol} + ${symbols.b}[${j}, 0]`],
      ["= ", [sum.total, "sum"], " + ", [bias, "b"], " = ", [result, "result"]]],
    marks: { w: [[j, null]], a_prev: [[null, ...tail]], b: [[j, 0]], z: [index] },
    products: { symbol: `${names[0]} ${names[1]}`, values: terms.map((term) => term.product), image: a.image },
  };
}

/** BP3: a sum over the examples. */
function denseBiasGradient(layer, step, index, example) {
  const [delta, gradient] = [arrayAt(layer.delta), arrayAt(lastOf(step).result)];
  if (!allWhole(delta, gradient)) return null;
  const j = index[0];
  const terms = [...columnsOf(delta.shape, 1)].map(([x, tail]) => {
    const value = delta.at([j, ...tail], x);
    return { label: columnName(x, tail), values: [value], product: value, isOwn: x === example };
  });
  const sum = sumOf(`Σₓ δ${layer.sup}[${j}, x]`, ["example x", `δ${layer.sup}[${j}, x]`], terms);
  return gradientFilled(layer, step, index, "b", sum, gradient.at(index), { delta: [[j, ...delta.shape.slice(1).map(() => null)]] });
}

/** BP4: delta times a, a sum over the examples. */
function denseWeightGradient(layer, step, index, example) {
  const [delta, a] = [arrayAt(layer.delta), arrayAt(layer.a_prev)];
  const gradient = arrayAt(lastOf(step).result);
  if (!allWhole(delta, a, gradient)) return null;
  const [j, k] = index;
  const below = symbolOfInput(layer);
  const terms = [...columnsOf(delta.shape, 1)].map(([x, tail]) => {
    const values = [delta.at([j, ...tail], x), a.at([k, ...tail], x)];
    return { label: columnName(x, tail), values, product: values[0] * values[1], isOwn: x === example };
  });
  const names = [`δ${layer.sup}[${j}, x]`, `${below}[${k}, x]`];
  const sum = sumOf(`Σₓ ${names.join(" ")}`, ["example x", ...names], terms);
  const all = delta.shape.slice(1).map(() => null);
  const marks = { delta: [[j, ...all]], a_prev: [[k, ...all]] };
  return gradientFilled(layer, step, index, "w", sum, gradient.at(index), marks);
}

/** The symbol of what goes into a layer. */
function symbolOfInput(layer) {
  const step = page.steps.find((s) => s.role === "z" && page.layers[s.layer] === layer);
  return step.symbols.a_prev;
}

/** BP3 or BP4 with its sum. */
function gradientFilled(layer, step, index, name, sum, result, marks) {
  const symbol = `${lastOf(step).left}${brackets(index)}`;
  const place = unflat(flat(index, arrayAt(lastOf(step).result).shape), parameterOf(layer, name).shape);
  const filled = {
    symbol, python: pythonOf(layer, layer.gradients[name], place, null), result, sums: [sum], curve: null,
    lines: [[`${symbol} = ${sum.symbol}`], ["= ", [sum.total, "sum"]]],
    marks: { ...marks, [`nabla_${name}`]: [index] },
  };
  if (page.examples === page.batch) filled.lines[1] = ["= ", [result, "result"]];
  ofOtherExamples(filled, sum);
  return filled;
}

/** w^T delta, where no layer below has it in its BP2. */
function denseDownstream(layer, step, index, example) {
  const [w, delta] = [parameterOf(layer, "w"), arrayAt(layer.delta)];
  const below = arrayAt(layer.downstream);
  if (!allWhole(w, delta, below)) return null;
  const sum = transposedProduct(layer, index, example);
  const [symbol, result] = [`${lastOf(step).left}${brackets(index)}`, below.at(index, example)];
  return {
    symbol, python: pythonOf(layer, "downstream", index, example), result, sums: [sum], curve: null,
    lines: [[`${symbol} = ${sum.symbol}`], ["= ", [result, "result"]]],
    marks: { w: [[null, index[0]]], delta: [[null, ...index.slice(1)]], down: [index] },
  };
}

const lastOf = (step) => step.shown[step.shown.length - 1];

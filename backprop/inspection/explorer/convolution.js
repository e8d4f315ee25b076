// -- convolution.js: the equations of convolutions, filled in for one number ------------------

/** Every place in a kernel, as offsets along its axes. */
const offsetsOf = (kernel) => Array.from({ length: count(kernel) }, (_, i) => unflat(i, kernel));

/** The channels of the input that output m sees, and the first of them. */
function groupOf(layer, w, m) {
  const perGroup = w.shape[0] / layer.windows.groups;
  return { first: Math.floor(m / perGroup) * w.shape[1], size: w.shape[1] };
}

/** The place of the input that element `offset` of a kernel lies on, or null on the padding. */
function placeUnder(layer, sizesOfInput, place, offset) {
  const { stride, dilation, front } = layer.windows;
  const found = place.map((p, axis) => stride[axis] * p + dilation[axis] * offset[axis] - front[axis]);
  return found.every((p, axis) => p >= 0 && p < sizesOfInput[axis]) ? found : null;
}

/** Marks on some channels of the input, of intervals [from, to] along the other axes; none on the padding alone. */
function marksOn(a, channels, intervals) {
  const inside = intervals.map(([from, to], axis) => [Math.max(0, from), Math.min(a.shape[axis + 1] - 1, to)]);
  return inside.every(([from, to]) => from <= to) ? channels.map((channel) => [channel, ...inside]) : [];
}

/** z = the kernel on its window of the input, + b. */
function convolutionWeightedInput(layer, step, index, example) {
  const [w, b] = [parameterOf(layer, "w"), parameterOf(layer, "b")];
  const [a, z] = [arrayAt(layer.a_prev), arrayAt(layer.z)];
  if (!allWhole(w, b, a, z)) return null;
  const [m, ...place] = index;
  const kernel = w.shape.slice(2);
  const group = groupOf(layer, w, m);
  const terms = [];
  for (let c = 0; c < group.size; c++) {
    for (const offset of offsetsOf(kernel)) {
      const under = placeUnder(layer, a.shape.slice(1), place, offset);
      if (under === null) continue;
      const values = [w.at([m, c, ...offset]), a.at([group.first + c, ...under], example)];
      terms.push({
        label: `[${[m, c, ...offset].join(", ")}] on [${[group.first + c, ...under].join(", ")}]`,
        values, product: values[0] * values[1],
      });
    }
  }
  const { w: nameOfW, a_prev: nameOfA, b: nameOfB } = step.symbols;
  const sum = sumOf(`Σ ${nameOfW}[${m}, …] ${nameOfA}[…]`, ["kernel on input", nameOfW, nameOfA], terms);
  const bias = b.values[m];
  const result = z.at(index, example);
  const symbol = `z${layer.sup}${brackets(index)}`;
  const { stride, dilation, front } = layer.windows;
  const channels = Array.from({ length: group.size }, (_, c) => group.first + c);
  const covered = place.map((p, axis) => {
    const from = stride[axis] * p - front[axis];
    return [from, from + dilation[axis] * (kernel[axis] - 1)];
  });
  return {
    symbol, python: pythonOf(layer, "z", index, example), result, curve: null, sums: [sum],
    lines: [
      [`${symbol} = ${sum.symbol} + ${nameOfB}[${m}],  the kernel ${m} on its window of the input`],
      ["= ", [sum.total, "sum"], " + ", [bias, "b"], " = ", [result, "result"]],
    ],
    marks: {
      w: [[m, ...new Array(w.shape.length - 1).fill(null)]], b: [bIndex(b, m)], z: [index],
      a_prev: marksOn(a, channels, covered),
    },
  };
}

const bIndex = (b, m) => [m, ...new Array(b.shape.length - 1).fill(0)];

/** BP2: every output whose window covers this number of the input. */
function convolutionDownstream(layer, step, index, example) {
  const [w, delta] = [parameterOf(layer, "w"), arrayAt(layer.delta)];
  const below = arrayAt(layer.downstream);
  if (!allWhole(w, delta, below)) return null;
  const [channel, ...place] = index;
  const { stride, dilation, front, groups } = layer.windows;
  const outputs = w.shape[0] / groups;
  const group = Math.floor(channel / w.shape[1]);
  const terms = [];
  const places = [];
  for (let m = group * outputs; m < (group + 1) * outputs; m++) {
    for (const offset of offsetsOf(w.shape.slice(2))) {
      const from = place.map((p, axis) => (p + front[axis] - dilation[axis] * offset[axis]) / stride[axis]);
      if (!from.every((p, axis) => Number.isInteger(p) && p >= 0 && p < delta.shape[axis + 1])) continue;
      const at = [m, channel - group * w.shape[1], ...offset];
      const values = [w.at(at), delta.at([m, ...from], example)];
      places.push([m, ...from]);
      terms.push({ label: `${brackets(at)} with ${brackets([m, ...from])}`, values, product: values[0] * values[1] });
    }
  }
  const names = [symbolOfW(layer), `δ${layer.sup}`];
  const sum = sumOf(`Σ ${names[0]}[…] ${names[1]}[…]`, ["kernel with δ", ...names], terms);
  const [symbol, result] = [`${lastOf(step).left}${brackets(index)}`, below.at(index, example)];
  return {
    symbol, python: pythonOf(layer, "downstream", index, example), result, sums: [sum], curve: null,
    lines: [[`${symbol} = ${sum.symbol},  over all windows that cover this place`], ["= ", [result, "result"]]],
    marks: { delta: places, down: [index], w: [] },
  };
}

/** BP3: delta of a map, added up over its places and the examples. */
function convolutionBiasGradient(layer, step, index, example) {
  const [delta, gradient] = [arrayAt(layer.delta), arrayAt(lastOf(step).result)];
  if (!allWhole(delta, gradient)) return null;
  const m = index[0];
  const size = count(delta.shape.slice(1));
  const terms = Array.from({ length: page.examples }, (_, x) => {
    const value = delta.of(x).subarray(m * size, (m + 1) * size).reduce((sum, d) => sum + d, 0);
    return { label: String(x), values: [value], product: value, isOwn: x === example };
  });
  const name = `Σ δ${layer.sup}[${m}, …]`;
  const sum = sumOf(`Σₓ ${name}`, ["example x", `${name} over ${size} places`], terms);
  const all = delta.shape.slice(1).map((n) => [0, n - 1]);
  return gradientFilled(layer, step, index, "b", sum, gradient.at(index), { delta: [[m, ...all]] });
}

/** BP4: delta of every window, times the input under this element of the kernel. */
function convolutionWeightGradient(layer, step, index, example) {
  const [delta, a] = [arrayAt(layer.delta), arrayAt(layer.a_prev)];
  const [w, gradient] = [parameterOf(layer, "w"), arrayAt(lastOf(step).result)];
  if (!allWhole(delta, a, w, gradient)) return null;
  const [m, c, ...offset] = index;
  const channel = groupOf(layer, w, m).first + c;
  const places = offsetsOf(delta.shape.slice(1));
  const terms = [];
  for (let x = 0; x < page.examples; x++) {
    for (const place of places) {
      const under = placeUnder(layer, a.shape.slice(1), place, offset);
      if (under === null) continue;
      const values = [delta.at([m, ...place], x), a.at([channel, ...under], x)];
      terms.push({ label: `${x}, window ${place.join(", ")}`, values, product: values[0] * values[1], isOwn: x === example });
    }
  }
  const names = [`δ${layer.sup}[${m}, …]`, `${symbolOfInput(layer)}[${channel}, …]`];
  const sum = sumOf(`Σ ${names.join(" ")}`, ["example, window", ...names], terms);
  const all = delta.shape.slice(1).map((n) => [0, n - 1]);
  const { stride, dilation, front } = layer.windows;
  const under = delta.shape.slice(1).map((n, axis) => {
    const from = dilation[axis] * offset[axis] - front[axis];
    return [from, from + stride[axis] * (n - 1)];
  });
  return gradientFilled(layer, step, index, "w", sum, gradient.at(index),
    { delta: [[m, ...all]], a_prev: marksOn(a, [channel], under) });
}

const FILLED = { // by kind of layer and role of step
  dense: {
    z: denseWeightedInput, a: filledActivation, delta: filledDelta,
    nabla_b: denseBiasGradient, nabla_w: denseWeightGradient, down: denseDownstream,
  },
  convolution: {
    z: convolutionWeightedInput, a: filledActivation, delta: filledDelta,
    nabla_b: convolutionBiasGradient, nabla_w: convolutionWeightGradient, down: convolutionDownstream,
  },
  transposed: { a: filledActivation, delta: filledDelta },
  activation: { a: filledActivation, delta: filledDelta },
};

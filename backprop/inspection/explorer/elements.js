// -- elements.js: formulas that come with the page, computed and printed for one number --------

/*
 * A formula is a list whose first entry says what it is; `elements.py` writes it:
 *
 *   ["of", [array, name], places]   a number of an array; places are a list, "here" or "flat"
 *   ["number", value]
 *   ["+", left, right]              and so - * / ^
 *   ["sum", inside, indices, where] indices are [name, size]; "max" is the largest of the terms
 *   ["call", name, of]
 *   ["rows", starts, terms]         another term from each of these rows on
 *   ["if", place, term, other]      where that place is not 0, and where it is
 *
 * A place is a whole number, the name of an index (of the number that is made "0", "1", ...), an
 * operation, or ["at", [array, name], places], which stands in an array of whole numbers.
 */

const RAISED_LETTERS = { i: "ᵢ", j: "ⱼ", k: "ₖ", m: "ₘ", n: "ₙ", p: "ₚ", s: "ₛ", t: "ₜ", x: "ₓ", h: "ₕ", v: "ᵥ", r: "ᵣ" };

/** What a formula is computed in: the number that is made, and the indices of the sums around. */
class Surroundings {
  constructor(index, shape, example) {
    Object.assign(this, { index, shape, example, touched: new Map(), indices: {} });
    index.forEach((i, axis) => { this.indices[axis] = i; });
  }

  /** The same, for a term that counts its rows from `start`. */
  from(start) {
    const other = new Surroundings([this.index[0] - start, ...this.index.slice(1)], this.shape, this.example);
    other.touched = this.touched;
    return other;
  }
}

/** A place as a number; null if it is none, or an index of it is not known. */
function placeOf(tree, around) {
  if (typeof tree === "number") return tree;
  if (typeof tree === "string") return tree in around.indices ? around.indices[tree] : null;
  if (tree[0] === "at") return numberAt(tree, around);
  const [left, right] = [placeOf(tree[1], around), placeOf(tree[2], around)];
  if (left === null || right === null) return null;
  switch (tree[0]) {
    case "+": return left + right;
    case "-": return left - right;
    case "*": return left * right;
    case "//": return Math.floor(left / right);
    default: return left % right === 0 ? left / right : null;
  }
}

/** The index of a number in its array; null outside of it. */
function indexOf([, [place], places], around) {
  const { shape } = arrays[place];
  if (places === "flat") return unflat(flat(around.index, around.shape), shape);
  const index = places === "here"
    ? shape.map((size, axis) => (size > 1 && axis < around.index.length ? around.index[axis] : 0))
    : places.map((tree) => placeOf(tree, around));
  return index.every((i, axis) => i !== null && i >= 0 && i < shape[axis]) ? index : null;
}

function numberAt(term, around) {
  const index = indexOf(term, around);
  if (index === null) return null;
  const place = term[1][0];
  const example = "x" in around.indices ? around.indices.x : around.example;
  if (example === around.example || !arrays[place].byExample) {
    if (!around.touched.has(place)) around.touched.set(place, new Map());
    around.touched.get(place).set(index.join(), index);
  }
  return arrays[place].at(index, example);
}

const FUNCTIONS = {
  exp: { of: Math.exp, text: (inside) => ["e^(", ...inside, ")"] },
  sqrt: { of: Math.sqrt, text: (inside) => ["√(", ...inside, ")"] },
  square: { of: (value) => value * value, text: (inside) => ["(", ...inside, ")²"] },
  tanh: { of: Math.tanh, text: (inside) => ["tanh(", ...inside, ")"] },
  s: { of: (value) => 1 / (1 + Math.exp(-value)), text: (inside) => ["s(", ...inside, ")"] },
  relu: { of: (value) => Math.max(0, value), text: (inside) => ["max(0, ", ...inside, ")"] },
  ln: { of: Math.log, text: (inside) => ["ln(", ...inside, ")"] },
  sin: { of: Math.sin, text: (inside) => ["sin(", ...inside, ")"] },
  cos: { of: Math.cos, text: (inside) => ["cos(", ...inside, ")"] },
  identity: { of: (value) => value, text: (inside) => inside },
};

/** The value of a formula; null if a number of it lies outside of its array. */
function valueOf(term, around) {
  switch (term[0]) {
    case "number": return term[1];
    case "of": return numberAt(term, around);
    case "sum": case "max": return totalOf(term, around);
    case "if": return valueOf(chosen(term, around), around);
    case "rows": {
      const [one, inside] = chosenRows(term, around);
      return valueOf(one, inside);
    }
    case "call": {
      const value = valueOf(term[2], around);
      return value === null ? null : FUNCTIONS[term[1]].of(value);
    }
    default: return calculated(term, around);
  }
}

function calculated([sign, first, second], around) {
  const left = valueOf(first, around);
  const right = valueOf(second, around);
  if (left === null || right === null) return null;
  return { "+": left + right, "-": left - right, "*": left * right, "/": left / right, "^": left ** right }[sign];
}

/** The term of an "if" that holds for the number that is made. */
const chosen = ([, place, then, otherwise], around) => (placeOf(place, around) ? then : otherwise);

/** The term for the row of the number that is made, and what it is computed in. */
function chosenRows([, starts, terms], around) {
  const which = starts.filter((start) => start <= around.index[0]).length - 1;
  return [terms[which], around.from(starts[which])];
}

/** Call `act(values of the indices)` wherever a sum has a term, with the indices set. */
function forEachTerm([, , indices, where], around, act) {
  const names = indices.map(([name]) => name);
  const sizes = indices.map(([name, size]) => (name === "x" ? Math.min(size, page.examples) : size));
  const outside = names.map((name) => around.indices[name]);
  for (let place = 0; place < count(sizes); place++) {
    const values = unflat(place, sizes);
    names.forEach((name, i) => { around.indices[name] = values[i]; });
    if (where === null || placeOf(where[0], around) === placeOf(where[1], around)) act(values);
  }
  names.forEach((name, i) => {
    if (outside[i] === undefined) delete around.indices[name];
    else around.indices[name] = outside[i];
  });
}

function totalOf(term, around) {
  let total = term[0] === "max" ? -Infinity : 0;
  forEachTerm(term, around, () => {
    const value = valueOf(term[1], around);
    if (value !== null) total = term[0] === "max" ? Math.max(total, value) : total + value;
  });
  return total;
}

// -- as text ---------------------------------------------------------------------------------

/** A place with the numbers that are known, and the letters of the sums: "2 i + 3". */
function placeText(tree, around) {
  const value = placeOf(tree, around);
  if (value !== null) return String(value);
  if (typeof tree === "string") return tree;
  if (tree[0] === "at") return `${tree[1][1]}[${tree[2].map((one) => placeText(one, around)).join(", ")}]`;
  const [left, right] = [placeText(tree[1], around), placeText(tree[2], around)];
  const inner = (words) => (/^-?\d+$|^\w$/.test(words) ? words : `(${words})`);
  switch (tree[0]) {
    case "+": return left === "0" ? right : right === "0" ? left : `${left} + ${right}`;
    case "-": return right === "0" ? left : `${left} − ${right}`;
    case "*": return left === "1" ? right : right === "1" ? left : `${inner(left)} ${inner(right)}`;
    case "//": return right === "1" ? left : `⌊${left}/${right}⌋`;
    default: return right === "1" ? left : `${inner(left)}/${right}`;
  }
}

const STRENGTH = { "+": 1, "-": 1, "*": 2, "/": 2, "^": 3, sum: 2 };
const SIGNS = { "+": " + ", "-": " − ", "*": " · ", "/": " / ", "^": " ^ " };

/**
 * A formula as parts of a line: text, and [value, role] of numbers with `asNumbers`.
 *
 * A sum is its letters, or as a number its total.
 */
function partsOf(term, around, asNumbers) {
  const [kind] = term;
  if (kind === "number") return [asNumbers ? [term[1], ""] : text(term[1])];
  if (kind === "of") return asNumbers ? [[numberAt(term, around), ""]] : [nameOf(term, around)];
  if (kind === "if") return partsOf(chosen(term, around), around, asNumbers);
  if (kind === "rows") {
    const [one, inside] = chosenRows(term, around);
    return partsOf(one, inside, asNumbers);
  }
  if (kind === "call") return FUNCTIONS[term[1]].text(partsOf(term[2], around, asNumbers));
  if (kind === "sum" || kind === "max") {
    return asNumbers ? [[totalOf(term, around), "sum"]] : [symbolOfTotal(term, around)];
  }
  const side = (part, isRight) => {
    const inside = partsOf(part, around, asNumbers);
    const [own, other] = [STRENGTH[kind], STRENGTH[part[0]] || 4];
    const isNegative = asNumbers && isRight && inside.length === 1 && inside[0][0] < 0;
    const isWeak = other < own || (other === own && (kind === "^" || (isRight && kind !== "+" && kind !== "*")));
    return isWeak || isNegative ? ["(", ...inside, ")"] : inside;
  };
  return [...side(term[1], false), SIGNS[kind], ...side(term[2], true)];
}

function nameOf(term, around) {
  const { shape } = arrays[term[1][0]];
  const known = indexOf(term, around);
  const places = known !== null ? known : term[2].map((tree) => placeText(tree, around));
  const shown = term[2] === "here" ? places.filter((_, axis) => shape[axis] > 1 || shape.length === 1) : places;
  return `${term[1][1]}${brackets(shown)}`;
}

/** "Σₖ w[2, k] a[k]", with the letters it runs over below. */
function symbolOfTotal(term, around) {
  const hidden = new Surroundings(around.index, around.shape, around.example);
  Object.assign(hidden.indices, around.indices);
  for (const [name] of term[2]) delete hidden.indices[name];
  const inside = partsOf(term[1], hidden, false).join("");
  const letters = term[2].map(([name]) => RAISED_LETTERS[name] || name).join("");
  const isSum = ["+", "-"].includes(term[1][0]);
  const where = term[3] === null ? "" : `, where ${placeText(term[3][0], hidden)} = ${placeText(term[3][1], hidden)}`;
  return `${term[0] === "max" ? "max" : "Σ"}${letters} ${isSum ? `(${inside})` : inside}${where}`;
}

/** The sums of a formula, those inside of others left out, with what they are computed in. */
function totalsIn(term, around) {
  if (term[0] === "sum" || term[0] === "max") return [[term, around]];
  if (term[0] === "if") return totalsIn(chosen(term, around), around);
  if (term[0] === "rows") return totalsIn(...chosenRows(term, around));
  if (term[0] === "call") return totalsIn(term[2], around);
  if (term[0] === "of" || term[0] === "number") return [];
  return [...totalsIn(term[1], around), ...totalsIn(term[2], around)];
}

/** The numbers of arrays in a formula, those of sums inside left out. */
function factorsIn(term) {
  if (term[0] === "of") return [term];
  if (["number", "sum", "max", "rows"].includes(term[0])) return [];
  if (term[0] === "call") return factorsIn(term[2]);
  const found = [...factorsIn(term[1]), ...factorsIn(term[2])];
  return found.filter((one, i) => found.findIndex((other) => String(other) === String(one)) === i);
}

/** A sum as a table, see `sumOf`. */
function tableOfTotal(term, around) {
  const factors = factorsIn(term[1]);
  const terms = [];
  forEachTerm(term, around, (values) => {
    const product = valueOf(term[1], around);
    if (product === null) return;
    const x = term[2].findIndex(([name]) => name === "x");
    terms.push({ label: values.join(", "), values: factors.map((one) => numberAt(one, around)), product,
      isOwn: x >= 0 && values[x] === around.example });
  });
  const hidden = new Surroundings(around.index, around.shape, around.example);
  for (const [name] of term[2]) delete hidden.indices[name];
  const names = factors.map((one) => nameOf(one, hidden));
  const label = term[2].map(([name]) => (name === "x" ? "example" : name)).join(", ");
  const sum = sumOf(symbolOfTotal(term, around), [label, ...names], terms);
  if (term[0] === "max") {
    sum.isMaximum = true;
    sum.total = Math.max(...terms.map((one) => one.product));
    const first = terms.findIndex((one) => one.product === sum.total);
    terms.forEach((one, i) => { one.isOwn = i === first; });
  }
  if (factors.length === 1 && term[1][0] !== "of") sum.joiner = "term";
  return sum;
}

// -- filled in -------------------------------------------------------------------------------

/** The arrays that a formula is made of, by their places. */
function arraysIn(term) {
  if (!Array.isArray(term)) return [];
  const own = term[0] === "of" || term[0] === "at" ? [term[1][0]] : [];
  return [...own, ...term.flatMap(arraysIn)];
}

/** Whether a sum of a formula runs over the examples. */
const isOverExamples = (term) => Array.isArray(term)
  && ((["sum", "max"].includes(term[0]) && term[2].some(([name]) => name === "x")) || term.some(isOverExamples));

/** A formula that comes with the page, filled in; null where numbers of it are not there. */
function filledElements(one, array, index, example, layer) {
  if (!array.isWhole || !arraysIn(one.made).every((place) => arrays[place].isWhole)) return null;
  const around = new Surroundings(index, array.shape, example);
  let { made } = one;
  while (made[0] === "if") made = chosen(made, around);
  const isPart = page.examples < page.batch && isOverExamples(made);
  if (isPart && made[0] !== "sum") return null;
  const value = valueOf(made, around);
  if (value === null) return null;
  const { touched } = around;
  const [symbol, result] = [`${one.left}${brackets(index)}`, array.at(index, example)];
  const sums = totalsIn(made, around).map(([term, inside]) => tableOfTotal(term, inside));
  const filled = {
    symbol, result, sums, curve: null, value,
    python: one.python ? pythonOf(layer, one.python, index, array.byExample ? example : null) : "",
    lines: [[`${symbol} = `, ...partsOf(made, around, false)], ["= ", ...partsOf(made, around, true), " = ", [result, "result"]]],
    marks: {}, touched,
  };
  if (["of", "sum", "max"].includes(made[0])) filled.lines.splice(1, 1, ["= ", [result, "result"]]);
  if (isPart) {
    filled.lines[1] = ["= ", ...partsOf(made, around, true)];
    ofOtherExamples(filled, sums[0]);
    filled.value = result;
  }
  return filled;
}

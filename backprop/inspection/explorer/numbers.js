// -- numbers.js: arrays out of the page's data, and numbers as text ---------------------------

const page = JSON.parse(document.getElementById("data").textContent);

/** An array of the trace: of one example after another, or of no example. */
class PackedArray {
  constructor(record) {
    this.shape = record.shape;
    this.byExample = record.byExample === true;
    this.image = record.image || null;
    this.pool = record.pool || null; // rows and columns of which the largest number is kept
    this.images = record.images; // kept, of a pooled array
    this.record = record;
    this.read = null;
  }

  /** Whether every number is there, and not only the largest of a block. */
  get isWhole() {
    return this.pool === null;
  }

  get values() {
    if (this.read === null) {
      const bytes = Uint8Array.from(atob(this.record.data), (c) => c.charCodeAt(0));
      const view = new DataView(bytes.buffer); // the lowest byte first, whatever the machine
      const [width, get] = this.record.type === "f8" ? [8, "getFloat64"] : [4, "getFloat32"];
      const all = { length: bytes.length / width };
      this.read = Float64Array.from(all, (_, i) => view[get](width * i, true));
      this.record.data = null;
    }
    return this.read;
  }

  /** All numbers of one example, or all there are. */
  of(example) {
    if (!this.byExample) return this.values;
    const n = this.values.length / page.examples;
    return this.values.subarray(example * n, (example + 1) * n);
  }

  /** The number at an index, one for every axis; of a whole array. */
  at(index, example) {
    return this.of(example)[flat(index, this.shape)];
  }
}

const arrays = page.arrays.map((record) => new PackedArray(record));
const arrayAt = (place) => (place === undefined || place === null ? null : arrays[place]);

/** An array that the page computes: of the chosen example. */
class ComputedArray {
  constructor(shape, values, image = null) {
    Object.assign(this, { shape, values, image, byExample: false, isWhole: true, pool: null });
  }

  of() {
    return this.values;
  }
}

/** Where an index lies in an array of that shape, row by row. */
function flat(index, shape) {
  return shape.reduce((sum, size, axis) => sum * size + index[axis], 0);
}

/** The index of a place, the reverse of `flat`. */
function unflat(place, shape) {
  const index = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = place % shape[axis];
    place = Math.floor(place / shape[axis]);
  }
  return index;
}

const count = (shape) => shape.reduce((product, size) => product * size, 1);

const RAISED = { 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹", "-": "⁻" };

/** A number with four digits, as a person writes it: −0.1174, 2.5·10⁻⁵, 0. */
function text(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 9999.5 || size < 1e-3) {
    const [digits, exponent] = value.toExponential(3).split("e");
    const raised = [...String(Number(exponent))].map((c) => RAISED[c]).join("");
    return signed(`${trimmed(digits)}·10${raised}`);
  }
  return signed(trimmed(value.toPrecision(4)));
}

const trimmed = (digits) => (digits.includes(".") ? digits.replace(/0+$/, "").replace(/\.$/, "") : digits);
const signed = (digits) => digits.replace("-", "−");

/** A number inside a product or sum: a negative one in parentheses. */
const factor = (value) => (value < 0 ? `(${text(value)})` : text(value));

/** An index as it stands behind a symbol: [3, 0]; nothing of a scalar. */
const brackets = (index) => (index.length ? `[${index.join(", ")}]` : "");

/** A new element with attributes, and children that are elements or text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A number as an element that keeps all of its digits. */
function number(value, role = "") {
  return make("span", { class: `number ${role}`.trim(), "data-value": String(value) }, text(value));
}

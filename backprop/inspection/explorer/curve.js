// -- curve.js: the picture of sigma with its tangent ------------------------------------------

const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** sigma between z = -6 and 6, the point (z, a) on it, and the tangent, whose slope is sigma'. */
function curveOf({ sigma, z, a, prime }) {
  const [width, height, pad] = [280, 150, 22];
  const values = sigma.curve;
  const [low, high] = [Math.min(0, ...values), Math.max(...values)];
  const x = (at) => pad + ((at + 6) / 12) * (width - 2 * pad);
  const y = (at) => height - pad - ((at - low) / (high - low || 1)) * (height - 2 * pad);
  const points = values.map((value, i) => `${x(-6 + (12 * i) / (values.length - 1)).toFixed(1)},${y(value).toFixed(1)}`);
  const words = `${sigma.name}: at z = ${text(z)} it is a = ${text(a)}, with the slope σ′(z) = ${text(prime)}`;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words, class: "curve" });
  svg.append(draw("line", { class: "axis", x1: x(-6), x2: x(6), y1: y(0), y2: y(0) }));
  svg.append(draw("line", { class: "axis", x1: x(0), x2: x(0), y1: y(low), y2: y(high) }));
  svg.append(draw("polyline", { class: "sigma", points: points.join(" ") }));
  const labels = [[x(6), y(0) - 4, "z", "end"], [x(0) + 5, y(high) + 4, "σ(z)", "start"],
    [x(-6), y(0) + 12, "−6", "middle"], [x(6), y(0) + 12, "6", "middle"]];
  for (const [left, top, words_, anchor] of labels) {
    svg.append(draw("text", { x: left, y: top, "text-anchor": anchor }, words_));
  }
  const isInside = Math.abs(z) <= 6;
  if (isInside && Number.isFinite(prime)) {
    const reach = 2 / Math.sqrt(1 + (prime * ((height - 2 * pad) / (high - low || 1)) / ((width - 2 * pad) / 12)) ** 2);
    svg.append(draw("line", { class: "tangent", x1: x(z - reach), y1: y(a - reach * prime),
      x2: x(z + reach), y2: y(a + reach * prime) }));
    svg.append(draw("line", { class: "drop", x1: x(z), x2: x(z), y1: y(0), y2: y(a) }));
    svg.append(draw("circle", { class: "point", cx: x(z), cy: y(a), r: 4.5 }));
  }
  const outside = isInside ? "" : " z is outside of the picture.";
  return make("figure", { class: "sigma-figure" }, svg,
    make("figcaption", {}, `${sigma.name}${sigma.prime ? `, σ′(z) = ${sigma.prime}` : ""}; the tangent at z = ${text(z)} has the slope σ′ = ${text(prime)}.${outside}`));
}

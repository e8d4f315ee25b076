// -- paint.js: numbers as colours, and as shapes that need no colour --------------------------

const look = { shapes: false }; // what the reader has chosen

let palette_ = null; // asked of the style sheet once, until the colours change

/** The colours of the style sheet, light or dark. */
function colours() {
  if (palette_ !== null) return palette_;
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  palette_ = {
    paper: of("--paper"), ink: of("--ink"), soft: of("--soft"), line: of("--line"),
    plus: of("--plus"), minus: of("--minus"), accent: of("--accent"), none: of("--none"),
  };
  return palette_;
}

/** Have the colours asked for again: it has become dark or light. */
function forgetColours() {
  palette_ = null;
}

/** A mixture of two colours written as #rrggbb, `share` of the second. */
function mixed(first, second, share) {
  const part = (colour, i) => parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
  const channel = (i) => Math.round(part(first, i) * (1 - share) + part(second, i) * share);
  return `rgb(${channel(0)}, ${channel(1)}, ${channel(2)})`;
}

/** The fill of a cell: no colour at 0, the stronger the larger. */
function fillOf(value, scale, palette) {
  if (value === undefined) return palette.paper;
  if (Number.isNaN(value)) return palette.accent;
  const share = Math.min(1, Math.abs(value) / scale.size) ** 0.7;
  if (!scale.isSigned) return mixed(palette.none, palette.ink, 0.92 * share);
  return mixed(palette.none, value < 0 ? palette.minus : palette.plus, share);
}

/** The fill of a cell with text on it: so light, or in the dark so dark, that it can be read. */
function fillBehindText(value, scale, palette) {
  return fillOf(value, { ...scale, size: scale.size * (scale.isSigned ? 3.2 : 4.5) }, palette);
}

/** Draw one image of a view, with the corner of its first cell at (left, top). */
function paintImage(context, view, image, example, scale, palette, left, top, size) {
  for (let row = 0; row < view.rows; row++) {
    for (let column = 0; column < view.columns; column++) {
      const value = view.value(image, row, column, example);
      const x = left + column * size;
      const y = top + row * size;
      if (look.shapes) paintShape(context, value, scale, palette, x, y, size);
      else paintCell(context, value, scale, palette, x, y, size);
    }
  }
}

function paintCell(context, value, scale, palette, x, y, size) {
  context.fillStyle = fillOf(value, scale, palette);
  context.fillRect(x, y, size, size);
  const isLarge = size >= 12 && scale.isSigned && Math.abs(value) > 0.04 * scale.size;
  if (isLarge && value < 0) { // its sign, also for those who see no colours
    context.fillStyle = palette.ink;
    context.fillRect(x + size * 0.32, y + size / 2 - 0.5, size * 0.36, 1);
  }
}

/** A square as large as the number: full if it is positive, hollow if it is negative. */
function paintShape(context, value, scale, palette, x, y, size) {
  context.fillStyle = palette.paper;
  context.fillRect(x, y, size, size);
  if (value === undefined || value === 0) return;
  if (!Number.isFinite(value)) {
    paintCross(context, palette, x, y, size);
    return;
  }
  const side = (size - 1) * Math.min(1, Math.sqrt(Math.abs(value) / scale.size));
  if (side < 0.5) return;
  const inset = (size - side) / 2;
  if (value > 0) {
    context.fillStyle = palette.ink;
    context.fillRect(x + inset, y + inset, side, side);
  } else {
    context.strokeStyle = palette.ink;
    context.lineWidth = 1;
    context.strokeRect(x + inset + 0.5, y + inset + 0.5, Math.max(side - 1, 0.5), Math.max(side - 1, 0.5));
  }
}

function paintCross(context, palette, x, y, size) {
  context.strokeStyle = palette.ink;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x + 1, y + 1);
  context.lineTo(x + size - 1, y + size - 1);
  context.moveTo(x + size - 1, y + 1);
  context.lineTo(x + 1, y + size - 1);
  context.stroke();
}

/** A frame around cells, seen on any ground. */
function paintFrame(context, palette, x, y, width, height, thickness) {
  context.lineWidth = thickness + 2;
  context.strokeStyle = palette.paper;
  context.strokeRect(x, y, width, height);
  context.lineWidth = thickness;
  context.strokeStyle = palette.accent;
  context.strokeRect(x, y, width, height);
}

/** Give a canvas a size in the page's pixels, sharp on any screen; return where to draw. */
function contextOf(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

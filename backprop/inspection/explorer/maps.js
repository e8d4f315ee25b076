// -- maps.js: a heat map or a table that can be pointed at, with mouse, finger and keys --------

const MOST_ROWS = 12; // of a table of numbers
const MOST_COLUMNS = 8;
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * An array with a caption, drawn so that it can be pointed at.
 *
 * `point(index, isPicked)` is called with what is pointed at, and with null when the mouse leaves.
 */
class NumberMap {
  constructor({ symbol, note = "", array, example, point = null, width = 300, isGradient = false }) {
    Object.assign(this, { symbol, array, example, width, callback: point, isGradient });
    this.asImage = true;
    this.marks = [];
    this.view = null;
    this.caption = make("figcaption", {}, make("b", { class: "math" }, symbol), " ",
      make("span", { class: "shape" }, sizes(array.shape)), note ? make("small", {}, note) : null);
    this.body = make("div", { class: "map-body" });
    this.readout = make("p", { class: "readout" });
    this.element = make("figure", { class: point ? "map result" : "map" }, this.caption, this.body,
      this.readout);
    if (array.image && array.isWhole) this.caption.append(this.imageButton());
    this.build();
  }

  imageButton() {
    return make("button", { type: "button", class: "small", onclick: (event) => {
      this.asImage = !this.asImage;
      event.target.textContent = this.asImage ? "as a list" : "as an image";
      this.build();
      this.mark(this.marks);
    } }, "as a list");
  }

  get isTable() {
    const view = this.view;
    return view.images === 1 && view.rows <= MOST_ROWS && view.columns <= MOST_COLUMNS && this.array.isWhole;
  }

  build() {
    const index = this.view === null ? null : this.view.index(...this.cursor);
    this.view = new View(this.array, this.asImage);
    this.cursor = index === null ? [0, 0, 0] : this.view.cell(index);
    this.painted = null;
    this.scale = extent(this.array.of(this.example));
    this.body.replaceChildren();
    if (this.isTable) this.buildTable();
    else this.buildCanvas();
    if (!this.array.isWhole) this.body.append(make("p", { class: "note" }, this.pooledWords()));
    this.readScale();
  }

  pooledWords() {
    const [down, across] = this.array.pool;
    const all = count(this.array.shape.slice(0, -2));
    const some = all > this.view.images ? ` The first ${this.view.images} of ${all} images.` : "";
    return `Too many numbers for this page: of every ${down} × ${across} the largest is shown.${some}`;
  }

  readScale() {
    const values = this.array.of(this.example);
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    this.range = low < high ? `from ${text(low)} to ${text(high)}` : text(values[0]);
    this.readout.textContent = this.range;
    const target = this.isTable ? this.table : this.canvas;
    target.setAttribute("aria-label", `${this.symbol}, ${sizes(this.array.shape) || "one number"}, ${this.range}`);
  }

  // -- a table ------------------------------------------------------------------------------

  buildTable() {
    const { rows, columns } = this.view;
    this.table = make("table", { role: "grid", class: "numbers" });
    this.boxes = [];
    for (let row = 0; row < rows; row++) {
      const line = make("tr", { role: "row" });
      for (let column = 0; column < columns; column++) {
        const value = this.view.value(0, row, column, this.example);
        const box = make("td", { role: "gridcell", tabindex: this.boxes.length ? -1 : 0,
          "data-value": String(value) }, text(value));
        box.style.setProperty("--fill", fillBehindText(value, this.scale, colours()));
        box.addEventListener("focus", () => this.go([0, row, column], true));
        box.addEventListener("click", () => this.go([0, row, column], true));
        box.addEventListener("pointerenter", () => this.go([0, row, column], false));
        box.addEventListener("keydown", (event) => this.key(event, [0, row, column]));
        line.append(box);
        this.boxes.push(box);
      }
      this.table.append(line);
    }
    this.table.addEventListener("pointerleave", () => this.leave());
    this.body.append(make("div", { class: "scroll" }, this.table));
  }

  // -- a canvas -----------------------------------------------------------------------------

  buildCanvas() {
    const { images, rows, columns } = this.view;
    const most = look.shapes ? 7 : 1;
    this.size = Math.max(most, Math.min(26, Math.floor(this.width / Math.max(rows, columns)) || 1));
    this.canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": "heat map" });
    this.canvas.addEventListener("pointermove", (event) => this.pointer(event, false));
    this.canvas.addEventListener("pointerdown", (event) => this.pointer(event, true));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("keydown", (event) => this.key(event, this.cursor));
    this.canvas.addEventListener("focus", () => this.go(this.cursor, true));
    this.body.append(make("div", { class: "scroll" }, this.canvas));
    if (images > 1) this.buildThumbnails();
    this.paint();
  }

  buildThumbnails() {
    const { images, rows, columns } = this.view;
    this.small = Math.max(1, Math.floor(36 / Math.max(rows, columns)));
    const [wide, high] = [columns * this.small + 3, rows * this.small + 3];
    this.across = Math.max(1, Math.min(images, Math.floor(this.width / wide)));
    this.thumbnails = make("canvas", { class: "thumbnails", "aria-hidden": "true" });
    this.thumbnails.addEventListener("pointerdown", (event) => {
      const { x, y } = placeIn(this.thumbnails, event);
      const image = Math.floor(y / high) * this.across + Math.floor(x / wide);
      if (image < images) this.go([image, this.cursor[1], this.cursor[2]], true);
    });
    this.which = make("p", { class: "note" });
    this.strip = make("div", { class: "scroll strip" }, this.thumbnails);
    this.body.append(this.strip, this.which);
    this.thumbnailSize = [wide, high];
  }

  paint() {
    const { rows, columns } = this.view;
    const [width, height] = [columns * this.size, rows * this.size];
    const image = this.cursor[0];
    const key = `${image} ${this.size} ${look.shapes}`;
    if (this.painted !== key) { // the numbers; the frames are drawn on top of a copy
      this.ground = document.createElement("canvas");
      paintImage(contextOf(this.ground, width, height), this.view, image, this.example, this.scale,
        colours(), 0, 0, this.size);
      this.painted = key;
    }
    const context = contextOf(this.canvas, width + 4, height + 4);
    context.drawImage(this.ground, 2, 2, width, height);
    const palette = colours();
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.strokeRect(1.5, 1.5, width + 1, height + 1);
    for (const range of this.marks.map((mark) => this.view.range(mark))) {
      if (range && !range.all && (range.image === null || range.image === image)) {
        this.frame(context, palette, range);
      }
    }
    if (this.view.images > 1) this.paintThumbnails(palette);
  }

  frame(context, palette, { top, left, bottom, right }) {
    const s = this.size;
    paintFrame(context, palette, 2 + left * s, 2 + top * s, (right - left + 1) * s,
      (bottom - top + 1) * s, s > 6 ? 2 : 1.5);
  }

  paintThumbnails(palette) {
    const { images, rows, columns } = this.view;
    const [wide, high] = this.thumbnailSize;
    if (!this.sheet) {
      this.sheet = document.createElement("canvas");
      const sheet = contextOf(this.sheet, this.across * wide, Math.ceil(images / this.across) * high);
      const [shapes, scale] = [look.shapes, { ...this.scale }];
      if (shapes) scale.isSigned = false; // too small for shapes: sizes only
      look.shapes = false;
      for (let image = 0; image < images; image++) {
        const [x, y] = [(image % this.across) * wide, Math.floor(image / this.across) * high];
        paintImage(sheet, this.view, image, this.example, scale, palette, x + 1, y + 1, this.small);
      }
      look.shapes = shapes;
    }
    const context = contextOf(this.thumbnails, this.across * wide, Math.ceil(images / this.across) * high);
    context.drawImage(this.sheet, 0, 0, this.across * wide, Math.ceil(images / this.across) * high);
    const image = this.cursor[0];
    const [x, y] = [(image % this.across) * wide, Math.floor(image / this.across) * high];
    paintFrame(context, palette, x + 1, y + 1, columns * this.small, rows * this.small, 1.5);
    const [top, room] = [this.strip.scrollTop, this.strip.clientHeight];
    if (y < top || y + high > top + room) this.strip.scrollTop = y - (room - high) / 2;
    this.which.textContent = `image ${image} of ${images}, ${this.symbol}${imageIndex(this.array.shape, image)}`;
  }

  // -- what is pointed at -------------------------------------------------------------------

  pointer(event, isPicked) {
    const { x, y } = placeIn(this.canvas, event);
    const row = Math.min(this.view.rows - 1, Math.max(0, Math.floor((y - 2) / this.size)));
    const column = Math.min(this.view.columns - 1, Math.max(0, Math.floor((x - 2) / this.size)));
    if (this.view.value(this.cursor[0], row, column, this.example) === undefined) return;
    this.go([this.cursor[0], row, column], isPicked);
  }

  key(event, [image, row, column]) {
    const { rows, columns, images } = this.view;
    let place = null;
    if (ARROWS[event.key] && !event.altKey && !event.ctrlKey && !event.metaKey) {
      const [down, across] = ARROWS[event.key];
      place = [image, Math.min(rows - 1, Math.max(0, row + down)), Math.min(columns - 1, Math.max(0, column + across))];
    } else if (event.key === "PageDown") place = [Math.min(images - 1, image + 1), row, column];
    else if (event.key === "PageUp") place = [Math.max(0, image - 1), row, column];
    if (place === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (this.view.value(...place, this.example) === undefined) return;
    if (this.isTable) this.boxes[place[1] * columns + place[2]].focus();
    else this.go(place, true);
  }

  go(place, isPicked) {
    if (isPicked) this.cursor = place;
    const index = this.view.index(...place);
    this.read(index, this.view.value(...place, this.example), isPicked);
    if (this.callback) this.callback(index, isPicked);
    else if (isPicked && this.array.isWhole) this.mark([index]);
  }

  leave() {
    this.readout.textContent = this.range;
    if (this.callback) this.callback(null, false);
  }

  read(index, value, isPicked) {
    const own = this.isGradient && page.batch > 1 ? `; B times it is ${text(page.batch * value)}` : "";
    const words = `${this.symbol}${brackets(index)}${this.view.blockOf(index)} = ${text(value)}${own}`;
    this.readout.textContent = words;
    if (isPicked && !this.callback) say(words);
  }

  /** Frame what has a part in the number that is pointed at: see `View.range`. */
  mark(marks) {
    if (!marks.length && !this.marks.length) return;
    this.marks = marks;
    const ranges = marks.map((mark) => this.view.range(mark)).filter((range) => range);
    const first = ranges.find((range) => range.image !== null);
    if (first && !(this.isTable || first.image === this.cursor[0])) {
      this.cursor = [first.image, this.cursor[1], this.cursor[2]];
    }
    if (first && !first.all && this.callback) this.cursor = [first.image, first.top, first.left];
    if (!this.isTable) {
      this.paint();
      return;
    }
    const within = (row, column) => ranges.some((r) => !r.all && row >= r.top && row <= r.bottom
      && column >= r.left && column <= r.right);
    this.boxes.forEach((box, place) => {
      const isIn = within(Math.floor(place / this.view.columns), place % this.view.columns);
      box.classList.toggle("marked", isIn);
      if (this.callback) {
        box.setAttribute("aria-selected", String(isIn));
        box.tabIndex = isIn ? 0 : -1;
      }
    });
    if (!this.boxes.some((box) => box.tabIndex === 0)) this.boxes[0].tabIndex = 0;
  }
}

function placeIn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/** A shape in words: "10 × 30"; nothing of a single number. */
const sizes = (shape) => (shape.length ? shape.join(" × ") : "");

/** The index of one image of an array: "[2, 0, …]". */
function imageIndex(shape, image) {
  const leading = shape.length > 2 ? shape.slice(0, -2) : shape.slice(0, 1);
  return leading.length ? `[${unflat(image, leading).join(", ")}, …]` : "";
}

/** Have a screen reader say something. */
function say(words) {
  document.getElementById("spoken").textContent = words;
}

// -- views.js: an array of any number of axes as images, rows and columns ---------------------

/** How an array is laid out: which number stands in which cell of which image. */
class View {
  constructor(array, asImage = true) {
    this.array = array;
    const shape = array.shape;
    const last = shape.length ? shape[shape.length - 1] : 1;
    this.image = asImage && array.isWhole ? array.image : null;
    this.wrap = 0; // of a vector: numbers in a row
    this.block = 0; // of a pooled vector: numbers of which one is kept
    if (!array.isWhole && isVector(shape)) {
      this.images = 1;
      this.wrap = 32;
      this.block = array.pool[0] * array.pool[1];
      this.rows = Math.ceil(count(shape) / this.block / this.wrap);
      this.columns = this.wrap;
    } else if (!array.isWhole) {
      const rows = shape.length > 1 ? shape[shape.length - 2] : 1;
      this.images = array.images;
      this.rows = Math.ceil(rows / array.pool[0]);
      this.columns = Math.ceil(last / array.pool[1]);
    } else if (this.image) {
      this.images = count(shape) / last;
      [this.rows, this.columns] = this.image;
    } else if (isVector(shape)) {
      const n = count(shape);
      this.images = 1;
      this.wrap = n <= 12 ? 1 : n <= 200 ? 10 : 32;
      this.rows = Math.ceil(n / this.wrap);
      this.columns = this.wrap;
    } else {
      this.images = count(shape.slice(0, -2));
      this.rows = shape[shape.length - 2];
      this.columns = last;
    }
    this.cells = this.rows * this.columns;
  }

  /** The number in a cell, or undefined where a vector has ended. */
  value(image, row, column, example) {
    const place = image * this.cells + row * this.columns + column;
    const values = this.array.of(example);
    return this.wrap && place >= values.length ? undefined : values[place];
  }

  /** The array's index of a cell; of a pooled array that of the block's first number. */
  index(image, row, column) {
    const shape = this.array.shape;
    const cell = image * this.cells + row * this.columns + column;
    if (this.array.isWhole || this.block) return unflat(cell * (this.block || 1), shape);
    const rows = shape.length > 1 ? shape[shape.length - 2] : 1;
    const [down, across] = this.array.pool;
    const place = (image * rows + row * down) * shape[shape.length - 1] + column * across;
    return unflat(place, shape);
  }

  /** The cell of an index. */
  cell(index) {
    const shape = this.array.shape;
    if (this.array.isWhole || this.block) return this.cellAt(Math.floor(flat(index, shape) / (this.block || 1)));
    const leading = shape.slice(0, -2);
    const row = shape.length > 1 ? Math.floor(index[shape.length - 2] / this.array.pool[0]) : 0;
    const column = Math.floor(index[shape.length - 1] / this.array.pool[1]);
    return [Math.min(flat(index, leading), this.images - 1), row, column];
  }

  cellAt(place) {
    const image = Math.floor(place / this.cells);
    const rest = place % this.cells;
    return [image, Math.floor(rest / this.columns), rest % this.columns];
  }

  /**
   * What a mark covers: an image and a range of rows and columns, the ends included.
   *
   * A mark has a number, an interval [from, to], or null, which is all, for every axis.
   */
  range(mark) {
    const shape = this.array.shape;
    if (!this.array.isWhole || mark.length !== shape.length) return null;
    const low = mark.map((m) => (m === null ? 0 : Array.isArray(m) ? m[0] : m));
    const high = mark.map((m, axis) => (m === null ? shape[axis] - 1 : Array.isArray(m) ? m[1] : m));
    const [image, top, left] = this.cell(low);
    const [, bottom, right] = this.cell(high);
    if (this.image) {
      const all = mark[mark.length - 1] === null;
      return all
        ? { image, top: 0, left: 0, bottom: this.rows - 1, right: this.columns - 1, all: true }
        : { image: mark.length > 1 && mark[0] === null ? null : image, top, left, bottom: top, right: left };
    }
    if (this.wrap) {
      return mark.every((m) => m === null)
        ? { image: 0, top: 0, left: 0, bottom: this.rows - 1, right: this.columns - 1, all: true }
        : { image: 0, top, left, bottom: top, right: left };
    }
    const someImages = mark.slice(0, -2).some((m) => m === null);
    return { image: someImages ? null : image, top, left, bottom, right };
  }

  /** What a pooled cell stands for, in words; nothing of a whole array. */
  blockOf(index) {
    if (this.array.isWhole) return "";
    const [down, across] = this.array.pool;
    return `, the largest of a block of ${down} × ${across} numbers`;
  }
}

/** Whether all axes but one have a single place. */
const isVector = (shape) => shape.filter((size) => size !== 1).length <= 1;

/** The largest size of a number, and whether some are negative. */
function extent(values) {
  let size = 0;
  let isSigned = false;
  for (const value of values) {
    if (Number.isFinite(value) && Math.abs(value) > size) size = Math.abs(value);
    if (value < 0) isSigned = true;
  }
  return { size: size || 1, isSigned };
}

// Pictures along time, decoded tile by tile as they come into sight, in the colours of the page.
"use strict";
(function (V) {
  const KEPT = 14; // tiles that are kept decoded
  const SLICE = 1500; // columns that get their colours at once
  const OVERVIEW = -1; // number of the tile of the whole

  /** Colours of the values 0 to 255 as one Uint32Array of pixels, from a list of [r, g, b]. */
  V.colourTable = function (stops, gamma = 1, top = 255) {
    const table = new Uint32Array(256);
    for (let value = 0; value < 256; value++) {
      const place = Math.pow(Math.min(1, value / top), gamma) * (stops.length - 1);
      const index = Math.min(Math.floor(place), stops.length - 2), part = place - index;
      const [r, g, b] = [0, 1, 2].map((c) =>
        Math.round(stops[index][c] + part * (stops[index + 1][c] - stops[index][c])));
      table[value] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return table;
  };

  V.Strip = class {
    /**
     * @param info what the page says about the tiles.
     * @param table colours, see V.colourTable.
     * @param whenReady called when a tile that was missing has come.
     */
    constructor(info, table, whenReady) {
      Object.assign(this, { info, table, whenReady });
      this.tiles = new Map(); // number → {values, columns, canvas} or a promise
    }
    setTable(table) { this.table = table; }
    get end() { return this.info.start + this.info.columns / this.info.columnsPerSecond; }

    _tile(number) {
      let tile = this.tiles.get(number);
      if (!tile) {
        tile = { loading: true };
        this.tiles.set(number, tile);
        this._load(number, tile);
        const old = [...this.tiles.keys()].filter((key) => key !== OVERVIEW).slice(0, -KEPT);
        for (const key of old) this.tiles.delete(key);
      } else if (number !== OVERVIEW) {
        this.tiles.delete(number); // to the end: the first are the oldest
        this.tiles.set(number, tile);
      }
      return tile.loading ? null : tile;
    }
    async _load(number, tile) {
      const file = this.info.name + "-" + (number === OVERVIEW ? "overview" : number);
      await V.present(file);
      const blob = new Blob([V.bytes(file)], { type: this.info.kind });
      const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
      const { width: columns, height: rows } = bitmap;
      const canvas = V.element("canvas", { width: columns, height: rows });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      Object.assign(tile, { values: new Uint8Array(columns * rows), columns, rows, canvas, context, table: this.table });
      // Bit by bit: a scroll must not wait for it.
      for (let first = 0; first < columns; first += SLICE) {
        if (first) await new Promise((resolve) => setTimeout(resolve));
        this._slice(tile, first, Math.min(SLICE, columns - first), true);
      }
      tile.loading = false;
      this.whenReady();
    }
    /** Give some columns of a tile their colours, and keep their values when they are read. */
    _slice(tile, first, count, read) {
      const { values, columns, rows, context, table } = tile;
      const image = read ? context.getImageData(first, 0, count, rows) : context.createImageData(count, rows);
      const pixels = new Uint32Array(image.data.buffer);
      for (let row = 0; row < rows; row++) {
        const from = row * count, to = row * columns + first;
        for (let i = 0; i < count; i++) {
          if (read) values[to + i] = pixels[from + i] & 255;
          pixels[from + i] = table[values[to + i]];
        }
      }
      context.putImageData(image, first, 0);
    }
    _coloured(tile) {
      if (tile.table !== this.table) { // light or dark, or more contrast
        tile.table = this.table;
        this._slice(tile, 0, tile.columns, false);
      }
      return tile.canvas;
    }
    /** Load the tile of the whole before somebody zooms out. */
    prepareOverview() { if (this.info.overviewColumns) this._tile(OVERVIEW); }
    /** Load the tiles beside a part before they come into sight. */
    prepare(view) {
      const { start, tileSeconds, tiles, mostInSight } = this.info;
      if (view.seconds > tileSeconds * mostInSight / 2) return;
      for (const time of [view.start - view.seconds, view.end + view.seconds]) {
        const number = Math.floor((time - start) / tileSeconds);
        if (number >= 0 && number < tiles && !this.tiles.has(number)) this._tile(number);
      }
    }

    /** Draw some rows of the picture into a box of a canvas; returns whether all was there. */
    draw(context, view, top, height, { row = 0, rows = this.info.rows, smooth = true } = {}) {
      const { start, columnsPerSecond, tileSeconds, tiles, overviewColumns, mostInSight } = this.info;
      context.imageSmoothingEnabled = smooth;
      const from = Math.max(view.start, start), to = Math.min(view.end, this.end);
      if (to <= from) return true;
      const inSight = Math.ceil((view.whole || to - from) / tileSeconds);
      const perPixel = columnsPerSecond / view.scale;
      const first = Math.floor((from - start) / tileSeconds);
      const last = Math.min(tiles - 1, Math.floor((to - start) / tileSeconds));
      const far = overviewColumns && (inSight > mostInSight ||
        overviewColumns / (this.end - start) >= 0.8 * view.scale);
      if (far) {
        const whole = this._tile(OVERVIEW);
        if (!whole) return false;
        const rate = whole.columns / (this.end - start);
        this._put(context, whole, view, start, rate, top, height, row, rows);
        return true;
      }
      let complete = true;
      for (let number = first; number <= last; number++) {
        const tile = this._tile(number);
        if (tile) {
          this._put(context, tile, view, start + number * tileSeconds, columnsPerSecond, top,
            height, row, rows, perPixel);
        } else complete = false;
      }
      return complete;
    }
    _put(context, tile, view, start, rate, top, height, row, rows) {
      // Only the columns in sight: a browser scales what it is given, in sight or not.
      const a = Math.max(0, Math.floor((view.start - start) * rate) - 1);
      const b = Math.min(tile.columns, Math.ceil((view.end - start) * rate) + 1);
      if (b <= a) return;
      const x = view.x(start + a / rate), width = (b - a) / rate * view.scale;
      context.drawImage(this._coloured(tile), a, row, b - a, rows, x, top, width, height);
    }
    /** Values of a column at a time, by row; null if it is outside or not there yet. */
    column(time) {
      const { start, columnsPerSecond, tileSeconds } = this.info;
      if (time < start || time >= this.end) return null;
      const number = Math.floor((time - start) / tileSeconds + 1e-9);
      const tile = this._tile(number);
      if (!tile) return null;
      const column = Math.min(tile.columns - 1,
        Math.floor((time - start - number * tileSeconds) * columnsPerSecond + 1e-6));
      if (this.last && this.last.tile === tile && this.last.column === column) return this.last.values;
      const values = new Uint8Array(tile.rows);
      for (let r = 0; r < tile.rows; r++) values[r] = tile.values[r * tile.columns + column];
      this.last = { tile, column, values };
      return values;
    }
  };
})(window.Viewer);

// Pictures along time, decoded tile by tile as they come into sight, in the colours of the page.
"use strict";
(function (V) {
  const KEPT = 14; // tiles that are kept decoded
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

  /**
   * Draw what moves with the view: what is still in sight is moved, and only the rest drawn.
   * @param key what else the picture depends on; another one draws all of it.
   * @param draw called with a context and the part of the view to draw; returns whether all was there.
   */
  V.drawMoving = function (canvas, view, height, key, draw) {
    const ratio = window.devicePixelRatio || 1, before = canvas.drawn;
    const context = V.fit(canvas, view.width, height);
    let from = 0, to = view.width;
    const step = before ? Math.round((view.start - before.start) * view.scale * ratio) : 0;
    const same = before && before.complete && before.scale === view.scale && before.key === key &&
      before.width === canvas.width && before.height === canvas.height && Math.abs(step) < canvas.width;
    if (same && step === 0) return;
    if (same) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalCompositeOperation = "copy";
      context.drawImage(canvas, -step, 0);
      context.globalCompositeOperation = "source-over";
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      if (step > 0) from = (canvas.width - step) / ratio;
      else to = -step / ratio;
    }
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, height);
    context.clip();
    context.clearRect(from, 0, to - from, height);
    const part = { start: view.time(from), end: view.time(to), scale: view.scale, whole: view.seconds, x: (t) => view.x(t) };
    const complete = draw(context, part);
    context.restore();
    canvas.drawn = { start: view.start, scale: view.scale, key, complete, width: canvas.width, height: canvas.height };
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
    setTable(table) {
      this.table = table;
      for (const tile of this.tiles.values()) tile.canvas = null;
    }
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
      const blob = new Blob([V.bytes(file)], { type: this.info.kind });
      const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
      const canvas = document.createElement("canvas");
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
      const values = new Uint8Array(canvas.width * canvas.height);
      for (let i = 0; i < values.length; i++) values[i] = pixels[4 * i];
      Object.assign(tile, { values, columns: canvas.width, rows: canvas.height, canvas: null });
      tile.loading = false;
      this.whenReady();
    }
    _coloured(tile) {
      if (!tile.canvas) {
        const canvas = document.createElement("canvas");
        canvas.width = tile.columns;
        canvas.height = tile.rows;
        const context = canvas.getContext("2d");
        const image = context.createImageData(tile.columns, tile.rows);
        const pixels = new Uint32Array(image.data.buffer);
        for (let i = 0; i < pixels.length; i++) pixels[i] = this.table[tile.values[i]];
        context.putImageData(image, 0, 0);
        tile.canvas = canvas;
      }
      return tile.canvas;
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
      const whole = overviewColumns ? this._tile(OVERVIEW) : null;
      if (far) {
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

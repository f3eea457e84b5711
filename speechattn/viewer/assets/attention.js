// Where the model looked: the attention of a frame, in its window, for any layer and head.
"use strict";
(function (V) {
  V.Attention = class {
    /**
     * @param info what the page says: heads, left, right, vectorSeconds, levels, start, end.
     * @param strip the tiles with the weights.
     */
    constructor(info, strip) {
      Object.assign(this, { info, strip });
      this.layers = info.left.length;
      const [layer, head] = info.first || [this.layers - 1, 0];
      this.layer = V.clamp(layer, 0, this.layers - 1);
      this.head = V.clamp(head, 0, info.heads - 1);
      this.firstRows = [];
      let row = 0;
      for (let l = 0; l < this.layers; l++) {
        this.firstRows.push(row);
        row += this.keys(l) * info.heads;
      }
    }
    keys(layer) { return this.info.left[layer] + 1 + this.info.right[layer]; }
    row(layer, head) { return this.firstRows[layer] + head * this.keys(layer); }
    /** The window of a layer around the vector at a time: start and end in seconds. */
    window(time, layer = this.layer) {
      const { vectorSeconds, left, right } = this.info;
      const vector = Math.floor(time / vectorSeconds + 1e-6);
      return [(vector - left[layer]) * vectorSeconds, (vector + 1 + right[layer]) * vectorSeconds];
    }
    weight(value) { return (value / this.info.levels) ** 2; }
    /** Weights of a head for the vector at a time; null outside, or when the tile is not there. */
    weights(time, layer = this.layer, head = this.head) {
      const column = this.strip.column(time);
      if (!column) return null;
      const row = this.row(layer, head);
      return Array.from(column.subarray(row, row + this.keys(layer)), (v) => this.weight(v));
    }
    covers(time) { return time >= this.info.start && time < this.info.end; }

    /** What the bars depend on beside the view. */
    barsKey(time) {
      const vector = Math.floor(time / this.info.vectorSeconds + 1e-6);
      return `${this.covers(time) ? vector : -1} ${this.layer} ${this.head}`;
    }
    /** Draw the weights of the frame at a time as bars where their keys lie; returns whether they are there. */
    drawBars(context, part, height, time, palette) {
      if (!this.covers(time)) return true;
      const weights = this.weights(time);
      if (!weights) return false;
      const [from, to] = this.window(time), step = this.info.vectorSeconds;
      const most = Math.max(0.05, ...weights), room = height - 16;
      const base = height - 2;
      context.fillStyle = palette.window;
      context.fillRect(part.x(from), 0, part.x(to) - part.x(from), height);
      context.fillStyle = palette.attention;
      weights.forEach((weight, k) => {
        const x = part.x(from + k * step), size = weight / most * room;
        context.fillRect(x + 0.5, base - size, Math.max(1, step * part.scale - 1), size);
      });
      context.fillStyle = palette.accent;
      const own = from + this.info.left[this.layer] * step;
      context.fillRect(part.x(own), base, Math.max(2, step * part.scale), 2);
      context.fillStyle = palette.line;
      for (const edge of [from, to]) context.fillRect(part.x(edge) - 0.5, 0, 1, height);
      return true;
    }
    /** Draw the weights of all frames of a part: time across, keys from past to future upwards. */
    drawMap(context, part, height, palette) {
      const rows = this.keys(this.layer), row = this.row(this.layer, this.head);
      context.save(); // future above past, as on the axis
      context.translate(0, height);
      context.scale(1, -1);
      const complete = this.strip.draw(context, part, 0, height, { row, rows, smooth: false });
      context.restore();
      const middle = height * (1 - (this.info.left[this.layer] + 0.5) / rows);
      context.fillStyle = palette.line;
      context.fillRect(0, middle, part.width, 0.5);
      return complete;
    }
    /** Draw all layers and heads at a time onto one canvas behind their buttons, a row of cells each. */
    drawGrid({ canvas, cells, width, height }, time, table) {
      const column = this.covers(time) ? this.strip.column(time) : null;
      const most = Math.max(...cells.map(({ layer }) => this.keys(layer)));
      if (!this.small) this.small = V.element("canvas", { width: most, height: cells.length });
      const small = this.small.getContext("2d", { willReadFrequently: true });
      const image = small.createImageData(most, cells.length);
      const pixels = new Uint32Array(image.data.buffer);
      cells.forEach(({ layer, head }, n) => {
        const row = this.row(layer, head);
        for (let k = 0; k < this.keys(layer); k++) pixels[n * most + k] = table[column ? column[row + k] : 0];
      });
      small.putImageData(image, 0, 0);
      const context = V.fit(canvas, width, height);
      context.clearRect(0, 0, width, height);
      context.imageSmoothingEnabled = false;
      cells.forEach(({ layer, place }, n) => {
        context.drawImage(this.small, 0, n, this.keys(layer), 1, place.x, place.y, place.width, place.height);
      });
    }
    /** What the weights of a frame say, in words. */
    describe(time) {
      const weights = this.weights(time);
      if (!weights) return "no attention at this time";
      const most = weights.indexOf(Math.max(...weights));
      const away = Math.round((most - this.info.left[this.layer]) * this.info.vectorSeconds * 1000);
      const where = away === 0 ? "on the frame itself" : `${Math.abs(away)} ms ${away < 0 ? "before" : "after"} it`;
      return `layer ${this.layer + 1}, head ${this.head + 1}: largest weight ${weights[most].toFixed(2)}, ${where}`;
    }
  };
})(window.Viewer);

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

    /** Draw the weights of the frame at a time as bars where their keys lie. */
    drawBars(canvas, view, height, time, palette) {
      const context = V.fit(canvas, view.width, height);
      context.clearRect(0, 0, view.width, height);
      context.font = palette.font;
      context.textBaseline = "middle";
      const { start, end } = this.info;
      if (!this.covers(time) || view.end < start || view.start > end) {
        context.fillStyle = palette.textSoft;
        context.textAlign = "left";
        context.fillText(`This page has the attention of ${V.clock(start + this.origin, 1)} to ` +
          `${V.clock(end + this.origin, 1)}; --attention START-END chooses it.`, 8, height / 2);
        return;
      }
      const weights = this.weights(time);
      if (!weights) return;
      const [from, to] = this.window(time), step = this.info.vectorSeconds;
      const most = Math.max(0.05, ...weights), room = height - 16;
      const base = height - 2;
      context.fillStyle = palette.window;
      context.fillRect(view.x(from), 0, view.x(to) - view.x(from), height);
      context.fillStyle = palette.attention;
      weights.forEach((weight, k) => {
        const x = view.x(from + k * step), size = weight / most * room;
        context.fillRect(x + 0.5, base - size, Math.max(1, step * view.scale - 1), size);
      });
      context.fillStyle = palette.accent;
      const own = from + this.info.left[this.layer] * step;
      context.fillRect(view.x(own), base, Math.max(2, step * view.scale), 2);
      context.fillStyle = palette.line;
      for (const edge of [from, to]) context.fillRect(view.x(edge) - 0.5, 0, 1, height);
      context.fillStyle = palette.text;
      context.textBaseline = "top";
      const text = `largest weight ${most.toFixed(2)}`;
      const right = view.x(to) + 6, wide = context.measureText(text).width;
      const inside = Math.max(4, view.x(from) + 6);
      context.textAlign = "left";
      context.fillText(text, right + wide < view.width ? right : inside, 3);
    }
    /** Draw the weights of all frames in sight: time across, keys from past to future upwards. */
    drawMap(canvas, view, height, palette) {
      const rows = this.keys(this.layer), row = this.row(this.layer, this.head);
      if (palette !== this.palette) this.version = (this.version || 0) + 1;
      this.palette = palette;
      V.drawMoving(canvas, view, height, `${row} ${this.version}`, (context, part) => {
        context.save(); // future above past, as on the axis
        context.translate(0, height);
        context.scale(1, -1);
        const complete = this.strip.draw(context, part, 0, height, { row, rows, smooth: false });
        context.restore();
        const middle = height * (1 - (this.info.left[this.layer] + 0.5) / rows);
        context.fillStyle = palette.line;
        context.fillRect(part.x(part.start), middle, part.x(part.end) - part.x(part.start), 0.5);
        return complete;
      });
    }
    /** Draw all layers and heads at a time as a row of cells each, into small canvases. */
    drawGrid(buttons, time, table) {
      const column = this.covers(time) ? this.strip.column(time) : null;
      for (const { canvas, layer, head } of buttons) {
        const keys = this.keys(layer);
        if (canvas.width !== keys) canvas.width = keys;
        if (canvas.height !== 1) canvas.height = 1;
        const context = canvas.getContext("2d");
        const image = context.createImageData(keys, 1);
        const pixels = new Uint32Array(image.data.buffer);
        const row = this.row(layer, head);
        for (let k = 0; k < keys; k++) pixels[k] = table[column ? column[row + k] : 0];
        context.putImageData(image, 0, 0);
      }
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

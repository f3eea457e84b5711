// What moves with the view: drawn once onto pieces of a tape, which a scroll only pushes along.
"use strict";
(function (V) {
  const KEPT = 4; // pieces of a tape, half a view each

  V.Tape = class {
    /**
     * @param node an element that the tape is seen through.
     * @param opaque whether the pictures cover what lies behind them, which browsers draw faster.
     */
    constructor(node, opaque) {
      this.node = node;
      this.opaque = opaque;
      this.reel = V.element("div", { class: "reel" });
      this.node.append(this.reel);
      this.pieces = new Map(); // number → {canvas, complete}
      this.spare = [];
      this.key = "";
      this.moved = "";
      this.background = "#fff"; // of an opaque one
      this.complete = false; // whether all that is in sight has been drawn
    }
    /**
     * Show what is in sight.
     * @param key what the picture depends on beside the view; another one draws all of it anew.
     * @param draw called with a context and a part of the view; returns whether all was there.
     */
    show(view, height, key, draw) {
      const ratio = V.ratio();
      this.pixels = Math.ceil(view.width * ratio / 2);
      this.width = this.pixels / ratio;
      Object.assign(this, { view, height, ratio, draw });
      const whole = `${key} ${view.anchor} ${view.scale} ${this.pixels} ${height} ${ratio}`;
      const anew = whole !== this.key;
      if (anew) {
        this.key = whole;
        this.node.style.height = height + "px";
        for (const piece of this.pieces.values()) this.spare.push(piece.canvas);
        this.pieces.clear();
      }
      const offset = (view.start - view.anchor) * view.scale;
      this.first = Math.floor(offset / this.width + 1e-6);
      this.last = Math.ceil((offset + view.width) / this.width - 1e-6) - 1;
      this.complete = true;
      for (let number = this.first; number <= this.last; number++) {
        if (!this._piece(number)) this.complete = false;
      }
      if (anew) for (const canvas of this.spare) canvas.hidden = true;
      const moved = `translateX(${-Math.round(offset * ratio) / ratio}px)`;
      if (moved !== this.moved) this.reel.style.transform = this.moved = moved;
    }
    /** Draw the next piece before it comes into sight; returns whether there was one to draw. */
    ahead(direction) {
      if (!this.complete) return false;
      const number = direction > 0 ? this.last + 1 : this.first - 1;
      const start = this._start(number);
      if (this.pieces.has(number) || start >= this.view.duration || start + this.width / this.view.scale <= 0) return false;
      this._piece(number);
      return true;
    }
    _start(number) { return this.view.anchor + number * this.width / this.view.scale; }
    _piece(number) {
      let piece = this.pieces.get(number);
      if (!piece) {
        piece = { canvas: this._canvas(number), complete: false };
        this.pieces.set(number, piece);
      }
      if (!piece.complete) {
        const { view, width, height } = this, start = this._start(number);
        const context = V.fit(piece.canvas, width, height, this.opaque);
        if (this.opaque) {
          context.fillStyle = this.background;
          context.fillRect(0, 0, width, height);
        } else context.clearRect(0, 0, width, height);
        const part = { start, end: start + width / view.scale, scale: view.scale, width, whole: view.seconds,
          x: (time) => (time - start) * view.scale };
        piece.complete = this.draw(context, part) !== false;
      }
      return piece.complete;
    }
    /** A canvas at the place of a piece: one that is not needed any more, or a new one. */
    _canvas(number) {
      let canvas = this.spare.pop();
      if (!canvas && this.pieces.size >= KEPT) {
        const away = (n) => Math.max(this.first - n, n - this.last);
        const farthest = [...this.pieces.keys()].reduce((a, b) => (away(b) > away(a) ? b : a));
        canvas = this.pieces.get(farthest).canvas;
        this.pieces.delete(farthest);
      }
      if (!canvas) {
        canvas = V.element("canvas", { "aria-hidden": "true" });
        this.reel.append(canvas);
      }
      canvas.hidden = false;
      canvas.style.width = this.width + "px";
      canvas.style.height = this.height + "px";
      canvas.style.transform = `translateX(${number * this.width}px)`;
      return canvas;
    }
    /** A canvas of what is in sight, for paper, which has another width than the screen. */
    still() {
      const { view, ratio } = this, canvas = V.element("canvas", { class: "still", "aria-hidden": "true" });
      const context = V.fit(canvas, view.width, this.height);
      const offset = (view.start - view.anchor) * view.scale;
      for (let n = this.first; n <= this.last; n++) {
        context.drawImage(this.pieces.get(n).canvas, Math.round((n * this.width - offset) * ratio) / ratio, 0, this.width, this.height);
      }
      return canvas;
    }
  };
})(window.Viewer);

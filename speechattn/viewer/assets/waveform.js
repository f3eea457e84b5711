// The waveform and the axis of time, drawn by uPlot: an envelope from afar, samples from nearby.
"use strict";
(function (V) {
  // Steps between ticks in seconds, and how many digits of milliseconds their labels need.
  const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];

  /** The line of samples; or of an envelope the outline from the high values and back along the low ones; a line at least one pixel high. */
  function polygon(u, series, first, last) {
    const [xs, highs, lows] = u.data, path = new Path2D();
    const { left, top, width, height } = u.bbox, { min, max } = u.scales.x;
    const x = (i) => left + (xs[i] - min) / (max - min) * width;
    const y = (value) => top + (1 - value) / 2 * height;
    if (highs === lows) { // samples
      for (let i = first; i <= last; i++) path.lineTo(x(i), y(highs[i]));
      return { fill: null, stroke: path };
    }
    for (let i = first; i <= last; i++) path.lineTo(x(i), y(highs[i]) - 0.5);
    for (let i = last; i >= first; i--) path.lineTo(x(i), y(lows[i]) + 0.5);
    path.closePath();
    return { fill: path, stroke: null };
  }

  const END = 0.3; // steps before the end, in which a label would not be seen whole
  const MARGIN = 64; // pixels drawn beyond a part, for the labels of the axis

  V.Waveform = class {
    /** @param again called when samples that were missing have been decoded. */
    constructor(view, envelope, player, { height, origin, again }) {
      Object.assign(this, { view, player, height, origin, again });
      const bytes = V.bytes(envelope.name);
      this.high = new Int8Array(bytes.buffer, 0, envelope.points);
      this.low = new Int8Array(bytes.buffer, envelope.points, envelope.points);
      this.rate = envelope.rate;
      const style = () => V.colour("wave");
      const axis = { stroke: () => V.colour("text-soft"), font: "11px system-ui, sans-serif" };
      this.plot = new uPlot({
        width: 100, height,
        padding: [0, 0, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        select: { show: false },
        scales: { x: { time: false, range: (u, min, max) => [min, max] }, y: { range: [-1, 1] } },
        axes: [
          {
            ...axis, side: 0, size: 26, gap: 3,
            grid: { stroke: () => V.colour("grid"), width: 1 },
            ticks: { stroke: () => V.colour("line"), size: 5, width: 1 },
            incrs: STEPS, space: 84,
            values: (u, ticks, _, __, step) => ticks.map((t) => this.tick(t + this.origin, step)),
          },
          { show: false },
        ],
        series: [
          {},
          // An envelope is one polygon, filled: two lines would take three times as long to draw.
          { fill: style, stroke: style, width: 1.25, points: { show: false }, paths: polygon },
          { show: false },
        ],
      }, [[0, 1], [0, 0], [0, 0]], document.createElement("div"));
    }
    /** A time on the axis: milliseconds, in long recordings minutes and seconds. */
    tick(time, step) {
      if (time < this.origin - 1e-6 || time > this.origin + this.view.duration + 1e-6) return "";
      const text = this.inMilliseconds ? V.milliseconds(time, step < 0.001 ? 1 : 0).replace(" ms", "")
        : V.clock(time, step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3);
      // The first and the last label stand beside their ticks, for the picture ends there.
      const room = "\u2007".repeat(text.length);
      if (time > this.origin + this.view.duration - END * step) return text + room;
      return time > this.origin + 1e-6 ? text : room + text;
    }
    get inMilliseconds() { return this.origin + this.view.duration <= 300; }
    /** Draw a part of the view; returns whether its samples were there, if they are seen. */
    draw(context, part) {
      const { plot } = this, ratio = window.devicePixelRatio || 1, margin = Math.round(MARGIN * ratio) / ratio;
      const view = { start: part.start - margin / part.scale, end: part.end + margin / part.scale, scale: part.scale };
      const width = part.width + 2 * margin;
      if (plot.width !== width) plot.setSize({ width, height: this.height });
      const samples = this._samples(view);
      plot.batch(() => {
        plot.setData(samples || this._envelope(view), false);
        plot.setScale("x", { min: view.start, max: view.end });
      });
      const { canvas } = plot.ctx;
      context.drawImage(canvas, margin * ratio, 0, part.width * ratio, canvas.height, 0, 0, part.width, canvas.height / ratio);
      return samples !== null || this.decoded(view);
    }
    decoded(view) { return view.scale <= this.rate || !this.player.info || this.player.ready.has(this.player.numberAt(Math.max(0, view.start))); }
    _envelope(view) {
      const { rate } = this;
      const first = Math.max(0, Math.floor(view.start * rate) - 1);
      const last = Math.min(this.high.length, Math.ceil(view.end * rate) + 2);
      const step = Math.max(1, Math.round(rate / view.scale));
      const begin = first - (first % step), count = Math.max(0, Math.ceil((last - begin) / step));
      if (!this.room || this.room.length < 3 * count) this.room = new Float64Array(4 * count);
      const [xs, highs, lows] = [0, 1, 2].map((n) => this.room.subarray(n * count, (n + 1) * count));
      for (let i = begin, n = 0; i < last; i += step, n++) {
        let high = -128, low = 127;
        const stop = Math.min(i + step, this.high.length);
        for (let j = i; j < stop; j++) {
          if (this.high[j] > high) high = this.high[j];
          if (this.low[j] < low) low = this.low[j];
        }
        xs[n] = (i + step / 2) / rate;
        highs[n] = high / 127;
        lows[n] = low / 127;
      }
      return [xs, highs, lows];
    }
    /** Samples themselves, when a pixel stands for less than a point of the envelope. */
    _samples(view) {
      const { player, rate } = this;
      if (view.scale <= rate || !player.info) return null;
      const piece = player.at(Math.max(0, view.start), this.again);
      if (!piece) return null;
      const first = Math.max(0, Math.floor(view.start * player.info.rate) - 1 - piece.first);
      const last = Math.ceil(view.end * player.info.rate) + 2 - piece.first;
      const atEnd = piece.first + piece.samples.length >= player.info.samples;
      if (last > piece.samples.length && !atEnd) return null; // it goes on in the next piece
      if (!this.peak) this.peak = this._peak(piece);
      const xs = [], ys = [];
      for (let i = first; i < Math.min(last, piece.samples.length); i++) {
        xs.push((piece.first + i) / player.info.rate);
        ys.push(piece.samples[i] / this.peak);
      }
      return [xs, ys, ys];
    }
    /** What the envelope's 127 stands for, found where both are known. */
    _peak(piece) {
      let sample = 1e-6, point = 1;
      const { rate } = this.player.info;
      for (const value of piece.samples) sample = Math.max(sample, Math.abs(value));
      const first = Math.floor(piece.first / rate * this.rate);
      const last = Math.ceil((piece.first + piece.samples.length) / rate * this.rate);
      for (let i = first; i < Math.min(last, this.high.length); i++) {
        point = Math.max(point, this.high[i], -this.low[i]);
      }
      return sample / (point / 127);
    }
  };
})(window.Viewer);

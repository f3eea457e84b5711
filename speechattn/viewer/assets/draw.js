// What is in sight, drawn: panels, scales, marks, and the texts about a frame. Methods of the app of show.js.
"use strict";
(function (V) {
  const HEIGHTS = V.HEIGHTS = { wave: 122, spectrogram: 170, words: 30, phones: 36, bars: 84, map: 99 };
  const ROW = 7, NARROW_ROW = 10; // pixels of a phone of the posteriors
  const COLUMN = 22; // pixels from one column of their names to the other
  const APART = 17; // pixels from the edge at which a label of a scale is clear of one at the edge
  const READABLE = 50; // ms for which texts stay, while the sound plays or the mouse moves
  const LATER = 300; // ms after the first picture at which what is not in sight is loaded
  const SURE = 0.02; // least probability that is listed under the cursor

  V.drawing = {
    draw() {
      const { view, parts, palette, tapes, strips, attention, version } = this;
      tapes.wave.show(view, HEIGHTS.wave, version, (context, part) => this.waveform.draw(context, part));
      tapes.spectrogram.show(view, HEIGHTS.spectrogram, version, (context, part) =>
        strips.spectrogram.draw(context, part, 0, HEIGHTS.spectrogram));
      for (const row of this.rows) this.drawTier(row);
      if (attention) {
        tapes.map.show(view, HEIGHTS.map, `${version} ${attention.layer} ${attention.head}`, (context, part) =>
          attention.drawMap(context, part, HEIGHTS.map, palette));
      }
      const height = this.posteriorsHeight();
      tapes.posteriors.show(view, height, version, (context, part) =>
        strips.posteriors.draw(context, part, 0, height, { smooth: false }));
      this.drawMarks();
      this.drawFrame();
      this.drawOverviewBox();
      this.drawAhead();
      if (parts.details.open) { // once the view stands still
        clearTimeout(this.listing);
        this.listing = setTimeout(() => this.list(), 150);
      }
      if (!this.drawn && tapes.spectrogram.complete && tapes.posteriors.complete) {
        this.drawn = true;
        requestAnimationFrame(() => {
          performance.mark("first-picture");
          document.documentElement.dataset.drawn = "yes";
          setTimeout(() => Object.values(this.strips).forEach((strip) => strip.prepareOverview()), LATER);
        });
      }
    },
    drawTier(row) {
      const selected = this.selected && this.selected.tier === row.tier ? this.selected.i : -1;
      const height = row.tier.name === "words" ? HEIGHTS.words : HEIGHTS.phones;
      row.tape.show(this.view, height, `${this.version} ${this.edits} ${selected}`, (context, part) =>
        V.drawTier(context, part, row.tier, height, this.palette,
          { selected, differs: (i) => this.differs(row.tier, i), reference: row.reference }));
    },
    /** While the view moves on, a piece in each frame that will soon be in sight. */
    drawAhead() {
      const { view } = this, moved = view.start - (this.startBefore || 0);
      this.startBefore = view.start;
      if (moved === 0 || Math.abs(moved) > view.seconds / 8) return;
      for (const strip of Object.values(this.strips)) strip.prepare(view);
      this.allTapes().some((tape) => tape.ahead(moved));
    },
    posteriorsHeight() { return this.data.labels.length * (this.narrow ? NARROW_ROW : ROW); },
    /** The scales in the gutter: they change with colours, sizes and the head of the attention only. */
    drawScales() {
      const { parts, gutter, data } = this;
      const scale = (name) => parts[name].querySelector(".scale");
      V.drawScale(scale("spectrogramPanel"), gutter, HEIGHTS.spectrogram,
        [0, 2, 4, 6, 8].map((k) => [HEIGHTS.spectrogram * (1 - k / 8), k === 8 ? "8 kHz" : String(k)]), 10);
      const row = this.posteriorsHeight() / data.labels.length; // names in two columns, so that they may be higher than a row
      V.drawScale(scale("posteriorsPanel"), gutter, this.posteriorsHeight(), data.labels.map((label, i) =>
        [(i + 0.5) * row, label, i % 2 ? COLUMN : 0]), this.narrow ? 10.5 : 9.5);
      if (!this.attention) return;
      const { left, right, vectorSeconds } = this.attention.info, { layer } = this.attention;
      const own = HEIGHTS.map * (1 - (left[layer] + 0.5) / this.attention.keys(layer));
      const far = (n) => Math.round(n * vectorSeconds * 1000), unit = this.narrow ? "" : " ms";
      const marks = []; // of the sides that the window has, and of the frame where there is room
      if (right[layer]) marks.push([0, `+${far(right[layer])}${unit}`]);
      if (left[layer]) marks.push([HEIGHTS.map, `−${far(left[layer])}${right[layer] ? "" : unit}`]);
      if (marks.every(([y]) => Math.abs(y - own) >= APART)) marks.push([own, "0"]);
      V.drawScale(scale("mapPanel"), gutter, HEIGHTS.map, marks, 10);
    },
    drawOverview() {
      const { view, data } = this, width = Math.max(20, this.parts.overview.parentNode.clientWidth);
      const height = 34, context = V.fit(this.parts.overview, width, height);
      context.clearRect(0, 0, width, height);
      context.fillStyle = V.colour("wave");
      const { high, low } = this.waveform, per = high.length / width;
      for (let x = 0; x < width; x++) {
        let most = 0, least = 0;
        const last = Math.min(high.length, Math.ceil((x + 1) * per)), step = Math.max(1, Math.floor(per / 60));
        for (let i = Math.floor(x * per); i < last; i += step) {
          if (high[i] > most) most = high[i];
          if (low[i] < least) least = low[i];
        }
        context.fillRect(x, height / 2 * (1 - most / 127), 1, Math.max(0.5, (most - least) / 254 * height));
      }
      if (data.differences) {
        context.fillStyle = V.colour("wrong");
        for (const [time] of data.differences) context.fillRect(time / view.duration * width, height - 5, 1.5, 5);
      }
      this.overview = { width };
      this.drawOverviewBox();
    },
    drawOverviewBox() {
      const { view, parts, overview } = this;
      if (!overview) return;
      const { style } = parts.overviewBox;
      style.transform = `translateX(${view.start / view.duration * overview.width}px)`;
      const width = Math.max(3, view.seconds / view.duration * overview.width) + "px";
      if (style.width !== width) style.width = width;
    },
    /** Lines and shades lie where their times are on the tapes, so that a scroll pushes them along. */
    drawMarks() {
      const { view, parts } = this, limit = 2e5;
      const x = (time) => V.clamp((time - view.anchor) * view.scale, -limit, limit);
      const put = (node, from, to) => {
        const hidden = from === null, key = `translateX(${from}px)`, width = to - from + "px";
        if (node.hidden !== hidden) node.hidden = hidden;
        if (hidden) return;
        if (node.style.transform !== key) node.style.transform = key;
        if (to !== undefined && node.style.width !== width) node.style.width = width;
      };
      const shade = (node, span) => (span ? put(node, x(span[0]), x(span[1])) : put(node, null));
      const time = this.player.position(), at = this.frameTime();
      parts.marks.style.transform = `translateX(${-(view.start - view.anchor) * view.scale}px)`;
      put(parts.playhead, x(time));
      put(parts.hover, this.cursor === null ? null : x(this.cursor));
      shade(parts.selection, this.range);
      shade(parts.window, this.attention && this.attention.covers(at) ? this.attention.window(at) : null);
      const text = `${V.milliseconds(time + this.data.origin)} (${V.clock(time + this.data.origin)})`;
      if (parts.clock.textContent !== text) parts.clock.textContent = text;
    },
    /** The time that the attention and the posteriors are shown of: the mouse's, or the playhead's. */
    frameTime() {
      const time = this.cursor === null ? this.player.position() : this.cursor;
      return V.clamp(time, 0, this.view.duration - 1e-6);
    },
    drawFrame() {
      const time = this.frameTime(), { attention } = this;
      if (attention) this.drawBars(time);
      if (this.waiting) return;
      const rest = (this.textsAt || 0) + READABLE - performance.now();
      if (rest <= 0) this.drawTexts(time);
      else {
        this.waiting = setTimeout(() => {
          this.waiting = null;
          this.drawTexts(this.frameTime());
        }, rest);
      }
    },
    /** The texts change with the time, not with the view: a scroll leaves them alone. */
    drawTexts(time) {
      const { parts, attention } = this;
      const weights = attention && attention.covers(time) ? attention.strip.column(time) : null;
      const column = this.strips.posteriors.column(time);
      const key = [time, this.hertz, this.version, this.editor.count, this.number, weights !== null, column !== null,
        attention && attention.layer, attention && attention.head].join();
      if (key === this.frameDrawn) return;
      this.frameDrawn = key;
      this.textsAt = performance.now();
      if (attention) this.drawAttentionTexts(time);
      const listed = column ? [...column].map((v, i) => [(v / 255) ** 2, this.data.labels[i]])
        .filter(([p]) => p >= SURE).sort((a, b) => b[0] - a[0]).slice(0, 6) : [];
      parts.frame.replaceChildren(...listed.map(([p, label]) => {
        const bar = V.element("span", { class: "bar", role: "presentation" });
        bar.style.width = (p * 100).toFixed(1) + "%";
        return V.element("div", { class: "probability" }, V.element("bdi", { class: "phone" }, V.visible(label)),
          V.element("span", { class: "track" }, bar), V.element("span", { class: "number" }, (p * 100).toFixed(0) + " %"));
      }));
      parts.segment.replaceChildren(...this.describeAt(time));
    },
    drawBars(time) {
      const { attention, parts } = this, covered = attention.covers(time);
      this.tapes.bars.show(this.view, HEIGHTS.bars, `${this.version} ${attention.barsKey(time)}`, (context, part) =>
        attention.drawBars(context, part, HEIGHTS.bars, time, this.palette));
      if (parts.note.hidden !== covered) parts.note.hidden = covered;
    },
    drawAttentionTexts(time) {
      const { attention } = this;
      attention.drawGrid(this.heads, time, this.tables.attention);
      for (const { node, layer, head } of this.heads.cells) {
        const pressed = String(layer === attention.layer && head === attention.head);
        if (node.getAttribute("aria-pressed") !== pressed) node.setAttribute("aria-pressed", pressed);
      }
      const weights = attention.weights(time), span = attention.window(time);
      this.parts.most.textContent = weights ? "max " + Math.max(...weights).toFixed(2) : "";
      this.parts.look.textContent = `Frame at ${V.milliseconds(time + this.data.origin)}; ${attention.describe(time)}. ` +
        `Window: ${V.milliseconds(time - span[0])} before to ${V.milliseconds(span[1] - time)} after.`;
    },
  };
})(window.Viewer);

// The page that shows recordings: puts the parts together and draws what is in sight.
"use strict";
(function (V) {
  const HEIGHTS = { wave: 122, spectrogram: 170, words: 30, phones: 36, bars: 84, map: 99 };
  const ROW = 7; // pixels of a phone of the posteriors
  const SURE = 0.02; // least probability that is listed under the cursor

  class App {
    constructor(root) {
      const { title, recordings } = V.data("show");
      this.act = {
        open: (n) => this.open(n),
        play: () => this.play(),
        loop: () => this.toggleLoop(),
        difference: (d) => this.difference(d),
        undo: () => this.editor.undo(),
        redo: () => this.editor.redo(),
        save: () => this.editor.save(this.fileName(), this.data.origin, this.data.duration),
        zoom: (factor) => this.view.zoom(factor, this.middle()),
        all: () => this.view.set(0, 0),
        contrast: () => this.recolour(),
        help: () => this.parts.help.showModal(),
      };
      this.parts = V.buildLayout(root, { title, recordings, act: this.act });
      this.recordings = recordings;
      this.loop = false;
      V.connectPointers(this.parts.figure, this, () => this.gutter);
      V.connectOverview(this.parts.overview, this);
      V.connectKeys(this);
      V.onTheme(() => this.recolour());
      new ResizeObserver(() => this.resize()).observe(this.parts.figure);
      this.parts.details.addEventListener("toggle", () => this.list());
      window.addEventListener("beforeprint", () => this.beforePrint());
      window.addEventListener("beforeunload", (event) => {
        if (this.editor && this.editor.dirty) event.preventDefault();
      });
      this.open(0);
    }

    /** Paper is light, and what is in sight is listed; all of it must be drawn at once. */
    beforePrint() {
      const theme = V.theme();
      this.parts.details.open = true;
      V.setTheme("light");
      this.list();
      this.draw();
      window.addEventListener("afterprint", () => V.setTheme(theme), { once: true });
    }

    // ---- a recording ----
    open(number) {
      if (this.editor && this.editor.dirty && !window.confirm("Leave the corrections unsaved?")) {
        this.parts.chooser.value = this.number;
        return;
      }
      if (this.player) this.player.pause();
      this.number = number;
      this.parts.chooser.value = number;
      const data = this.data = V.data("r" + number);
      this.view = new V.View(data.duration);
      this.view.listeners.push(() => this.draw());
      this.player = new V.Player(data.sound || null);
      this.player.listeners.push(() => this.played());
      this.selected = null; // {tier, i}
      this.range = null; // [start, end]
      this.cursor = null;
      this.tiers = data.tiers.map((t) => new V.Tier(t, true));
      this.references = data.reference.map((t) => new V.Tier(t, false));
      for (const tier of this.tiers) {
        tier.other = this.references.find((r) => r.compared && r.name === tier.name);
      }
      this.editor = new V.Editor(this.tiers, this.references, () => this.edited());
      this.buildTiers();
      const again = () => this.view.changed();
      this.version = (this.version || 0) + 1;
      this.strips = {};
      for (const [name, info] of Object.entries(data.tiles)) this.strips[name] = new V.Strip(info, null, again);
      this.attention = data.attention ? new V.Attention(data.attention, this.strips.attention) : null;
      if (this.attention) this.attention.origin = data.origin;
      for (const part of ["barsPanel", "mapPanel"]) this.parts[part].hidden = !this.attention;
      document.querySelector(".below .attention").hidden = !this.attention;
      this.heads = this.attention
        ? V.buildHeads(this.parts.grid, this.attention, (l, h) => this.chooseHead(l, h)) : [];
      this.parts.wave.replaceChildren();
      this.waveform = new V.Waveform(this.parts.wave, this.view, data.envelope, this.player,
        { gutter: this.gutter, height: HEIGHTS.wave, origin: data.origin });
      const facts = [`${V.clock(data.duration)} min`, `model ${data.model}`];
      if (data.origin) facts.push(`from ${V.clock(data.origin)} on`);
      if (data.differences) facts.push(`${data.differences.length} differences`);
      this.parts.facts.textContent = [...facts, ...data.warnings].join(" · ");
      document.querySelector(".differences").hidden = !data.differences;
      for (const name of ["play", "loop"]) this.parts[name].disabled = !data.sound;
      this.parts.unit.textContent = this.waveform.inMilliseconds ? "ms" : "min:s";
      this.recolour();
      this.resize();
      this.view.set(0, this.view.width / Math.min(data.duration, Math.max(3, this.view.width / 160)));
      this.edited();
    }
    buildTiers() {
      this.rows = [];
      const add = (tier, reference) => this.rows.push({ tier, reference, ...V.buildTier(tier, reference) });
      for (const tier of this.tiers) {
        add(tier, false);
        const other = this.references.find((r) => r.name === tier.name);
        if (other) add(other, true);
      }
      for (const tier of this.references) {
        if (!this.tiers.some((t) => t.name === tier.name)) add(tier, true);
      }
      this.parts.tiers.replaceChildren(...this.rows.map((row) => row.box));
      for (const row of this.rows) {
        row.slider.addEventListener("focus", () => {
          if (!this.selected || this.selected.tier !== row.tier) {
            this.pick(row.tier, row.tier.at(this.player.position()), { quiet: true });
          }
        });
      }
    }
    get gutter() { return window.innerWidth < 600 ? 40 : 64; }
    tierOf(slider) {
      const row = this.rows.find((r) => r.slider === slider);
      return row ? row.tier : null;
    }
    fileName() { return this.data.name.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "") + ".TextGrid"; }

    // ---- colours and sizes ----
    recolour() {
      const c = V.colour, dark = V.isDark();
      const rgb = (name) => c(name).split(",").map(Number);
      const paper = rgb("paper-rgb"), ink = rgb("ink-rgb");
      const range = Number(this.parts.contrast.value), floor = 1 - range / 70;
      const shown = V.colourTable([paper, ink], dark ? 0.9 : 1);
      const table = new Uint32Array(256);
      for (let v = 0; v < 256; v++) table[v] = shown[Math.round(255 * V.clamp((v / 255 - floor) / (1 - floor), 0, 1))];
      this.tables = {
        spectrogram: table,
        posteriors: V.colourTable([paper, rgb("sure-rgb"), rgb("surest-rgb")], 1.5),
        attention: V.colourTable([paper, rgb("attention-rgb"), rgb("attention-most-rgb")], 1,
          this.attention ? this.attention.info.levels : 255),
      };
      for (const [name, strip] of Object.entries(this.strips)) strip.setTable(this.tables[name]);
      this.version = (this.version || 0) + 1; // what was drawn before has other colours
      this.palette = {
        font: "13px system-ui, 'Noto Sans', 'DejaVu Sans', 'Noto Color Emoji', sans-serif",
        confidence: V.confidenceColours(),
        plain: c("plain"), wrong: c("wrong"), edited: c("edited"), line: c("line"), text: c("text"),
        textSoft: c("text-soft"), accent: c("accent"), attention: `rgb(${c("attention-rgb")})`, window: c("window"),
      };
      this.waveform.repaint();
      this.drawScales();
      this.drawOverview();
      this.view.changed();
    }
    resize() {
      const width = this.parts.figure.clientWidth - this.gutter;
      document.documentElement.style.setProperty("--gutter", this.gutter + "px");
      this.waveform.gutter = this.gutter;
      this.waveform.plot.axes[1].size = () => this.gutter;
      this.view.resize(width);
      this.waveform.resize(this.view.width, HEIGHTS.wave);
      this.drawScales();
      this.drawOverview();
    }

    // ---- drawing ----
    draw() {
      const { view, parts, palette } = this;
      this.waveform.draw();
      V.drawMoving(parts.spectrogram, view, HEIGHTS.spectrogram, this.version, (context, part) =>
        this.strips.spectrogram.draw(context, part, 0, HEIGHTS.spectrogram));
      for (const row of this.rows) {
        const selected = this.selected && this.selected.tier === row.tier ? this.selected.i : -1;
        V.drawTier(row.canvas, row.tier, view, row.tier.name === "words" ? HEIGHTS.words : HEIGHTS.phones,
          palette, { selected, differs: (i) => this.differs(row.tier, i), reference: row.reference });
      }
      if (this.attention) this.attention.drawMap(parts.map, view, HEIGHTS.map, palette);
      this.drawPosteriors();
      this.drawMarks();
      this.drawFrame();
      this.drawOverviewBox();
      if (parts.details.open) { // once the view stands still
        clearTimeout(this.listing);
        this.listing = setTimeout(() => this.list(), 150);
      }
      const whole = [parts.spectrogram, parts.posteriors].every((canvas) => canvas.drawn.complete);
      if (!this.drawn && whole) {
        this.drawn = true;
        requestAnimationFrame(() => {
          performance.mark("first-picture");
          document.documentElement.dataset.drawn = "yes";
        });
      }
    }
    drawPosteriors() {
      const height = this.data.labels.length * ROW;
      V.drawMoving(this.parts.posteriors, this.view, height, this.version, (context, part) =>
        this.strips.posteriors.draw(context, part, 0, height, { smooth: false }));
    }
    /** The scales in the gutter: they change with colours, sizes and the head of the attention only. */
    drawScales() {
      const { parts, gutter, data } = this;
      const scale = (name) => parts[name].querySelector(".scale");
      V.drawScale(scale("spectrogramPanel"), gutter, HEIGHTS.spectrogram,
        [0, 2, 4, 6, 8].map((k) => [HEIGHTS.spectrogram * (1 - k / 8), k === 8 ? "8 kHz" : String(k)]), 10);
      V.drawScale(scale("posteriorsPanel"), gutter, data.labels.length * ROW, data.labels.map((label, i) =>
        [(i + 0.5) * ROW, label, gutter > 50 && i % 2 ? 22 : 0]), gutter > 50 ? 8.5 : 6.5);
      if (!this.attention) return;
      const { left, right, vectorSeconds } = this.attention.info, { layer } = this.attention;
      const own = HEIGHTS.map * (1 - (left[layer] + 0.5) / this.attention.keys(layer));
      const far = (n) => Math.round(n * vectorSeconds * 1000);
      V.drawScale(scale("mapPanel"), gutter, HEIGHTS.map,
        [[0, `+${far(right[layer])}${gutter > 50 ? " ms" : ""}`], [own, "0"], [HEIGHTS.map, `−${far(left[layer])}`]], 10);
    }
    drawOverview() {
      const { view, data } = this, width = Math.max(20, this.parts.overview.parentNode.clientWidth - this.gutter);
      const height = 34, picture = document.createElement("canvas"), context = V.fit(picture, width, height);
      V.fit(this.parts.overview, width, height);
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
      this.overview = { width, picture };
      this.drawOverviewBox();
    }
    drawOverviewBox() {
      if (!this.overview) return;
      const { view, parts, overview } = this, context = parts.overview.getContext("2d");
      const key = [view.start, view.scale, overview].join();
      if (key === this.boxDrawn && overview === this.boxOf) return;
      Object.assign(this, { boxDrawn: key, boxOf: overview });
      context.clearRect(0, 0, overview.width, 34);
      context.drawImage(overview.picture, 0, 0, overview.width, 34);
      const x = view.start / view.duration * overview.width;
      const width = Math.max(3, view.seconds / view.duration * overview.width);
      context.fillStyle = V.colour("shade");
      context.fillRect(x, 0, width, 34);
      context.strokeStyle = V.colour("accent");
      context.lineWidth = 1.5;
      context.strokeRect(x + 0.75, 0.75, Math.max(1, width - 1.5), 32.5);
    }
    drawMarks() {
      const { view, parts } = this;
      const line = (node, time) => {
        const x = time === null ? -9 : view.x(time);
        node.hidden = x < -1 || x > view.width + 1;
        if (!node.hidden) node.style.transform = `translateX(${x}px)`;
      };
      const shade = (node, span) => {
        const from = span ? V.clamp(view.x(span[0]), 0, view.width) : 0;
        const to = span ? V.clamp(view.x(span[1]), 0, view.width) : 0;
        node.hidden = to - from < 0.5;
        node.style.transform = `translateX(${from}px)`;
        node.style.width = to - from + "px";
      };
      const time = this.player.position();
      line(parts.playhead, time);
      line(parts.hover, this.cursor);
      shade(parts.selection, this.range);
      const at = this.frameTime();
      shade(parts.window, this.attention && this.attention.covers(at) ? this.attention.window(at) : null);
      const text = `${V.milliseconds(time + this.data.origin)} (${V.clock(time + this.data.origin)})`;
      if (parts.clock.textContent !== text) parts.clock.textContent = text;
    }
    /** The time that the attention and the posteriors are shown of: the mouse's, or the playhead's. */
    frameTime() {
      const time = this.cursor === null ? this.player.position() : this.cursor;
      return V.clamp(time, 0, this.view.duration - 1e-6);
    }
    drawFrame() {
      const time = this.frameTime(), { parts, attention } = this;
      if (attention) attention.drawBars(parts.bars, this.view, HEIGHTS.bars, time, this.palette);
      // The texts change with the time, not with the view: a scroll leaves them alone.
      const weights = attention && attention.covers(time) ? attention.strip.column(time) : null;
      const column = this.strips.posteriors.column(time);
      const key = [time, this.version, this.editor.count, this.number, weights !== null, column !== null,
        attention && attention.layer, attention && attention.head].join();
      if (key === this.frameDrawn) return;
      this.frameDrawn = key;
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
    }
    drawAttentionTexts(time) {
      const { attention } = this;
      attention.drawGrid(this.heads, time, this.tables.attention);
      for (const { node, layer, head } of this.heads) {
        node.setAttribute("aria-pressed", String(layer === attention.layer && head === attention.head));
      }
      const span = attention.window(time);
      this.parts.look.textContent = `Frame at ${V.milliseconds(time + this.data.origin)}; ${attention.describe(time)}. ` +
        `Window: ${V.milliseconds(time - span[0])} before to ${V.milliseconds(span[1] - time)} after.`;
    }
  }

  Object.assign(App.prototype, V.words, V.actions);
  V.app = new App(document.getElementById("app"));
})(window.Viewer);

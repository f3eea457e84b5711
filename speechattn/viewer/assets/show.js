// The page that shows recordings: puts the parts together and draws what is in sight.
"use strict";
(function (V) {
  const HEIGHTS = { wave: 122, spectrogram: 170, words: 30, phones: 36, bars: 84, map: 99 };
  const ROW = 7; // pixels of a phone of the posteriors
  const READABLE = 50; // ms for which texts stay, while the sound plays or the mouse moves
  const SURE = 0.02; // least probability that is listed under the cursor

  class App {
    constructor(root) {
      const { title, recordings } = V.data("show");
      this.act = {
        open: (n) => this.change(n),
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
      this.tapes = { wave: new V.Tape(this.parts.wave, true), spectrogram: new V.Tape(this.parts.spectrogram, true),
        bars: new V.Tape(this.parts.bars, false), map: new V.Tape(this.parts.map, true),
        posteriors: new V.Tape(this.parts.posteriors, true) };
      V.connectPointers(this.parts.figure, this, () => this.gutter);
      V.connectOverview(this.parts.overview, this);
      V.connectKeys(this);
      V.onTheme(() => this.recolour());
      new ResizeObserver(() => this.resize()).observe(this.parts.figure);
      this.parts.details.addEventListener("toggle", () => this.list());
      window.addEventListener("beforeprint", () => this.beforePrint());
      window.addEventListener("afterprint", () => this.afterPrint());
      window.addEventListener("beforeunload", (event) => {
        if (this.editor && this.editor.dirty) event.preventDefault();
      });
      this.open(0);
    }

    /** Paper is light, and what is in sight is listed; all of it must be drawn at once. */
    beforePrint() {
      this.themeBefore = V.theme();
      this.parts.details.open = true;
      V.setTheme("light");
      this.list();
      this.draw();
      for (const tape of this.allTapes()) tape.node.append(tape.still());
    }
    afterPrint() {
      for (const still of document.querySelectorAll(".still")) still.remove();
      V.setTheme(this.themeBefore);
    }

    // ---- a recording ----
    async change(number) {
      if (this.editor && this.editor.dirty && !window.confirm("Leave the corrections unsaved?")) {
        this.parts.chooser.value = this.number;
        return;
      }
      await V.present("r" + number);
      await V.present(`r${number}-envelope`);
      this.open(number);
    }
    open(number) {
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
      if (this.attention) {
        const { start, end } = data.attention;
        this.parts.note.textContent = `This page has the attention of ${V.clock(start + data.origin, 1)} to ` +
          `${V.clock(end + data.origin, 1)}; --attention START-END chooses it.`;
      }
      document.querySelector(".below .attention").hidden = !this.attention;
      this.heads = this.attention
        ? V.buildHeads(this.parts.grid, this.attention, (l, h) => this.chooseHead(l, h)) : null;
      this.waveform = new V.Waveform(this.view, data.envelope, this.player,
        { height: HEIGHTS.wave, origin: data.origin, again });
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
      const add = (tier, reference) => {
        const row = { tier, reference, ...V.buildTier(tier, reference) };
        this.rows.push({ ...row, tape: new V.Tape(row.slider, false) });
      };
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
    allTapes() {
      const { bars, map, ...tapes } = this.tapes;
      return [...Object.values(tapes), ...(this.attention ? [bars, map] : []), ...this.rows.map((row) => row.tape)];
    }
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
        card: c("card"), textSoft: c("text-soft"), accent: c("accent"), attention: `rgb(${c("attention-rgb")})`, window: c("window"),
      };
      for (const tape of this.allTapes()) tape.background = this.palette.card;
      this.drawScales();
      this.drawOverview();
      this.view.changed();
    }
    resize() {
      const width = this.parts.figure.clientWidth - this.gutter;
      document.documentElement.style.setProperty("--gutter", this.gutter + "px");
      this.view.resize(width);
      if (this.heads) V.placeHeads(this.parts.grid, this.heads);
      this.frameDrawn = "";
      this.drawScales();
      this.drawOverview();
    }

    // ---- drawing ----
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
      const height = this.data.labels.length * ROW;
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
        });
      }
    }
    drawTier(row) {
      const selected = this.selected && this.selected.tier === row.tier ? this.selected.i : -1;
      const height = row.tier.name === "words" ? HEIGHTS.words : HEIGHTS.phones;
      row.tape.show(this.view, height, `${this.version} ${this.edits} ${selected}`, (context, part) =>
        V.drawTier(context, part, row.tier, height, this.palette,
          { selected, differs: (i) => this.differs(row.tier, i), reference: row.reference }));
    }
    /** While the view moves on, a piece in each frame that will soon be in sight. */
    drawAhead() {
      const { view } = this, moved = view.start - (this.startBefore || 0);
      this.startBefore = view.start;
      if (moved === 0 || Math.abs(moved) > view.seconds / 8) return;
      for (const strip of Object.values(this.strips)) strip.prepare(view);
      this.allTapes().some((tape) => tape.ahead(moved));
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
    }
    drawOverviewBox() {
      const { view, parts, overview } = this;
      if (!overview) return;
      const { style } = parts.overviewBox;
      style.transform = `translateX(${view.start / view.duration * overview.width}px)`;
      const width = Math.max(3, view.seconds / view.duration * overview.width) + "px";
      if (style.width !== width) style.width = width;
    }
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
    }
    /** The time that the attention and the posteriors are shown of: the mouse's, or the playhead's. */
    frameTime() {
      const time = this.cursor === null ? this.player.position() : this.cursor;
      return V.clamp(time, 0, this.view.duration - 1e-6);
    }
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
    }
    /** The texts change with the time, not with the view: a scroll leaves them alone. */
    drawTexts(time) {
      const { parts, attention } = this;
      const weights = attention && attention.covers(time) ? attention.strip.column(time) : null;
      const column = this.strips.posteriors.column(time);
      const key = [time, this.version, this.editor.count, this.number, weights !== null, column !== null,
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
    }
    drawBars(time) {
      const { attention, parts } = this, covered = attention.covers(time);
      this.tapes.bars.show(this.view, HEIGHTS.bars, `${this.version} ${attention.barsKey(time)}`, (context, part) =>
        attention.drawBars(context, part, HEIGHTS.bars, time, this.palette));
      if (parts.note.hidden !== covered) parts.note.hidden = covered;
    }
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
    }
  }

  Object.assign(App.prototype, V.words, V.actions);
  V.app = new App(document.getElementById("app"));
})(window.Viewer);

// The page that shows recordings: puts the parts together and draws what is in sight.
"use strict";
(function (V) {
  const PAPER = 680, PAPER_RATIO = 2.5; // CSS pixels across a sheet, and pixels drawn for each

  class App {
    constructor(root) {
      const { title, recordings } = V.data("show");
      this.act = {
        open: (n) => this.change(n),
        play: () => this.play(),
        loop: () => this.toggleLoop(),
        slower: () => this.slower(),
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
      // Drawn as wide as a sheet. Pictures and scales are fitted to it by the same factor, so that rows keep their names.
      const { view } = this, { start, seconds, scale } = view;
      this.seenBefore = { start, scale };
      V.setPaper(PAPER_RATIO);
      view.width = PAPER - this.gutter;
      view.set(start, view.width / seconds);
      this.draw();
      this.drawScales();
      const { style } = document.documentElement, heads = this.parts.grid.clientWidth;
      style.setProperty("--printed-gutter", 100 * this.gutter / PAPER + "%");
      style.setProperty("--printed-heads", heads + "px");
      style.setProperty("--printed-zoom", Math.min(1, 0.9 * PAPER / Math.max(1, heads)));
      for (const tape of this.allTapes()) tape.node.append(tape.still());
    }
    afterPrint() {
      for (const still of document.querySelectorAll(".still")) still.remove();
      V.setPaper(null);
      this.resize();
      this.view.set(this.seenBefore.start, this.seenBefore.scale);
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
        this.parts.explained.textContent = "For the frame under the cursor: how much a head takes from each " +
          `${Math.round(data.attention.vectorSeconds * 1000)} ms around it. The green area is its window; beyond it nothing is seen.`;
        this.parts.note.textContent = `This page has the attention of ${V.clock(start + data.origin, 1)} to ` +
          `${V.clock(end + data.origin, 1)}; --attention START-END chooses it.`;
      }
      document.querySelector(".below .attention").hidden = !this.attention;
      this.heads = this.attention
        ? V.buildHeads(this.parts.grid, this.attention, (l, h) => this.chooseHead(l, h)) : null;
      this.waveform = new V.Waveform(this.view, data.envelope, this.player,
        { height: V.HEIGHTS.wave, origin: data.origin, again });
      this.player.speed = this.speed || 1;
      this.compared = this.editor.count;
      this.keyOf = V.phoneKey(data.keys || {});
      this.tellFacts();
      document.querySelector(".differences").hidden = !data.differences;
      for (const name of ["play", "loop", "speed"]) this.parts[name].disabled = !data.sound;
      this.parts.unit.textContent = this.waveform.inMilliseconds ? "ms" : "min:s";
      this.recolour();
      this.resize();
      this.view.set(0, this.view.width / Math.min(data.duration, Math.max(3, this.view.width / 160)));
      this.edited();
    }
    tellFacts() {
      const { data } = this, facts = [`${V.clock(data.duration)} min`, `model ${data.model}`];
      if (data.origin) facts.push(`from ${V.clock(data.origin)} on`);
      if (data.attentionLeftOut) facts.push("without its attention, for which the page has no room");
      if (data.differences) {
        const { length } = data.differences;
        facts.push(length === 1 ? "1 difference" : `${length} differences`);
      }
      this.parts.facts.textContent = [...facts, ...data.warnings].join(" · ");
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
    get narrow() { return window.innerWidth < 600; } // as in show.css
    get gutter() { return this.narrow ? 48 : 64; }
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
  }

  Object.assign(App.prototype, V.drawing, V.words, V.actions);
  V.app = new App(document.getElementById("app"));
})(window.Viewer);

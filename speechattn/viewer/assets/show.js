// The page that shows recordings: puts the parts together and draws what is in sight.
"use strict";
(function (V) {
  const HEIGHTS = { wave: 122, spectrogram: 170, words: 30, phones: 36, bars: 84, map: 99 };
  const ROW = 7; // pixels of a phone of the posteriors
  const MOST_LISTED = 200; // rows of the table
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
      window.addEventListener("beforeprint", () => { this.parts.details.open = true; this.list(); });
      window.addEventListener("beforeunload", (event) => {
        if (this.editor && this.editor.dirty) event.preventDefault();
      });
      this.open(0);
    }

    // ---- a recording ----
    open(number) {
      if (this.editor && this.editor.dirty && !window.confirm("Leave the corrections unsaved?")) {
        this.parts.chooser.value = this.number;
        return;
      }
      if (this.player) this.player.pause();
      this.number = number;
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
      this.editor = new V.Editor(this.tiers, () => this.edited());
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
      if (!this.drawn) {
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

    // ---- words about segments ----
    differs(tier, i) {
      const partner = tier.partners[i];
      if (partner === -1) return true;
      if (!tier.compared || partner < 0) return false;
      const [recognised, reference] = this.pairOf(tier);
      const [a, b] = tier === recognised ? [i, partner] : [partner, i];
      if (!reference || a >= recognised.count || b >= reference.count) return false;
      return !this.alike(recognised.labels[a], reference.labels[b]);
    }
    pairOf(tier) {
      return [this.tiers.find((t) => t.name === tier.name), this.references.find((t) => t.name === tier.name)];
    }
    alike(one, other) {
      const key = (label) => this.data.keys && this.data.keys[label] !== undefined ? this.data.keys[label]
        : label.toUpperCase().replace(/[012]$/, "");
      return key(one) === key(other);
    }
    describe(tier, i) {
      const { origin } = this.data, start = tier.start(i), end = tier.ends[i];
      const label = tier.labels[i] === "" ? "silence" : V.visible(tier.labels[i]);
      const words = [label, `${V.milliseconds(start + origin)} to ${V.milliseconds(end + origin)}`,
        `${V.milliseconds(end - start)} long`];
      if (tier.confidences[i] !== null && !this.references.includes(tier)) words.push(`confidence ${tier.confidences[i].toFixed(2)}`);
      if (tier.compared && tier.partners[i] === -1) {
        words.push(this.references.includes(tier) ? "not recognised" : "not in the reference");
      } else if (this.differs(tier, i)) {
        const other = this.pairOf(tier).find((t) => t !== tier);
        words.push(`${this.references.includes(tier) ? "recognised" : "reference"} ${V.visible(other.labels[tier.partners[i]])}`);
      }
      if (tier.edited[i]) words.push("corrected");
      return words;
    }
    describeAt(time) {
      const lines = this.rows.map((row) => {
        const name = row.reference ? `reference ${row.tier.name}` : row.tier.name;
        return V.element("span", { class: "line" }, V.element("b", {}, name + ": "),
          V.element("bdi", {}, this.describe(row.tier, row.tier.at(time)).join(", ")));
      });
      return [V.element("span", { class: "line" }, V.element("b", {}, "time: "), V.milliseconds(time + this.data.origin)), ...lines];
    }

    // ---- playing ----
    play() {
      if (this.player.playing) this.player.pause();
      else if (this.range && this.loop) this.player.play(this.range[0], this.range[1], { loop: true, after: "start" });
      else {
        const from = this.player.position();
        this.player.play(from >= this.view.duration - 0.01 ? 0 : from, this.view.duration);
      }
    }
    playSelected() {
      if (this.range) this.player.play(this.range[0], this.range[1], { loop: this.loop, after: "start" });
    }
    toggleLoop() {
      this.loop = !this.loop;
      this.parts.loop.setAttribute("aria-pressed", String(this.loop));
      if (this.loop && this.range) this.playSelected();
      else if (!this.loop && this.player.playing && this.player.current.loop) this.player.pause();
      V.announce(this.loop ? "loop on" : "loop off");
    }
    played() {
      const { player, parts } = this;
      parts.play.textContent = player.playing ? "❚❚" : "▶";
      parts.play.setAttribute("aria-pressed", String(player.playing));
      if (player.playing && !this.following) {
        this.following = true;
        const follow = () => {
          if (!this.player.playing) { this.following = false; this.refresh(); return; }
          const time = this.player.position();
          if (time > this.view.end || time < this.view.start) this.view.set(time - 0.05 * this.view.seconds, this.view.scale);
          this.refresh();
          requestAnimationFrame(follow);
        };
        requestAnimationFrame(follow);
      }
      this.refresh();
    }
    refresh() {
      this.drawMarks();
      this.drawFrame();
    }
    middle() {
      const time = this.player.position();
      return time >= this.view.start && time <= this.view.end ? time : (this.view.start + this.view.end) / 2;
    }
    goTo(time) {
      this.player.pause();
      this.player.seek(time);
      this.view.reveal(time);
    }

    // ---- selecting ----
    hover(time) {
      this.cursor = time;
      if (!this.hovering) {
        this.hovering = true;
        requestAnimationFrame(() => { this.hovering = false; this.refresh(); });
      }
    }
    click(time, tier) {
      time = V.clamp(time, 0, this.view.duration);
      if (tier) this.pick(tier, tier.at(time), { play: true });
      else {
        this.range = null;
        this.selected = null;
        this.player.pause();
        this.player.seek(time);
        this.view.changed();
      }
    }
    select(from, to) {
      this.range = [from, to];
      this.selected = null;
      this.player.pause();
      this.player.seek(from);
      this.view.changed();
    }
    pick(tier, i, { play = false, quiet = false } = {}) {
      i = V.clamp(i, 0, tier.count - 1);
      this.selected = { tier, i };
      this.range = [tier.start(i), tier.ends[i]];
      this.player.pause();
      this.player.seek(tier.start(i));
      const row = this.rows.find((r) => r.tier === tier);
      row.slider.setAttribute("aria-valuenow", i);
      row.slider.setAttribute("aria-valuemax", tier.count - 1);
      row.slider.setAttribute("aria-valuetext", this.describe(tier, i).join(", "));
      if (!quiet && this.range[1] - this.range[0] < this.view.seconds) {
        this.view.reveal(this.range[1]);
        this.view.reveal(this.range[0]);
      }
      this.view.changed();
      if (play) this.playSelected();
    }
    step(direction) {
      const row = this.selected ? null : this.rows[this.rows.length - 1 - [...this.rows].reverse().findIndex((r) => !r.reference)];
      const tier = row ? row.tier : this.selected.tier;
      const i = row ? tier.at(this.player.position()) : this.selected.i + direction;
      this.pick(tier, i, { play: true });
      this.rows.find((r) => r.tier === tier).slider.focus({ preventScroll: true });
    }
    otherTier(direction) {
      const at = this.selected ? this.rows.findIndex((r) => r.tier === this.selected.tier) : -1;
      const row = this.rows[V.clamp(at + direction, 0, this.rows.length - 1)];
      const time = this.player.position();
      this.pick(row.tier, row.tier.at(time), { play: false });
      row.slider.focus({ preventScroll: true });
    }
    nudge(seconds) {
      const time = V.clamp(this.player.position() + seconds, 0, this.view.duration);
      this.goTo(time);
    }
    clear() {
      this.range = null;
      this.selected = null;
      this.player.pause();
      this.view.changed();
    }
    showSelected() { if (this.range) this.view.show(this.range[0], this.range[1], 1); }
    difference(direction) {
      const all = this.data.differences || [];
      if (!all.length) return;
      const now = this.player.position();
      const found = direction > 0 ? all.find(([t]) => t > now + 1e-4)
        : [...all].reverse().find(([t]) => t < now - 1e-4);
      const [time, text] = found || (direction > 0 ? all[0] : all[all.length - 1]);
      this.view.reveal(time, 0.3);
      const tier = this.tiers.find((t) => t.compared);
      if (tier) this.pick(tier, tier.at(time + 1e-4), { quiet: true });
      this.player.seek(time);
      this.view.changed();
      V.announce(`${V.milliseconds(time + this.data.origin)}: ${text}`);
      this.parts.facts.textContent = `difference ${all.findIndex(([t]) => t === time) + 1} of ${all.length}: ${V.visible(text)}`;
    }

    // ---- attention ----
    chooseHead(layer, head) {
      if (!this.attention) return;
      Object.assign(this.attention, { layer, head });
      this.drawScales();
      V.announce(this.attention.describe(this.frameTime()));
      this.view.changed();
    }
    nextHead(by) {
      if (!this.attention) return;
      const { heads } = this.attention.info, { layers } = this.attention;
      const n = (this.attention.layer * heads + this.attention.head + by + layers * heads) % (layers * heads);
      this.chooseHead(Math.floor(n / heads), n % heads);
    }
    nextLayer(by) {
      if (!this.attention) return;
      this.chooseHead(V.clamp(this.attention.layer + by, 0, this.attention.layers - 1), this.attention.head);
    }

    // ---- correcting ----
    edited() {
      const { parts, editor } = this;
      parts.undo.disabled = !editor.done.length;
      parts.redo.disabled = !editor.undone.length;
      parts.save.classList.toggle("dirty", editor.dirty);
      document.title = (editor.dirty ? "• " : "") + V.visible(this.data.name);
      if (this.selected) {
        const { tier } = this.selected;
        this.selected.i = Math.min(this.selected.i, tier.count - 1);
        this.range = [tier.start(this.selected.i), tier.ends[this.selected.i]];
      }
      this.list();
      this.view.changed();
    }
    editable() { return this.selected && this.selected.tier.editable ? this.selected : null; }
    renameSelected() {
      const at = this.editable();
      if (at) this.rename(at.tier, at.i);
    }
    rename(tier, i) {
      if (this.field) this.field.remove();
      this.pick(tier, i, { quiet: false });
      this.player.pause();
      const row = this.rows.find((r) => r.tier === tier);
      const field = this.field = V.element("input", { class: "rename", type: "text", dir: "auto", spellcheck: "false",
        "aria-label": `label of ${this.describe(tier, i).slice(0, 2).join(", ")}` });
      field.value = tier.labels[i];
      const x = V.clamp(this.view.x((tier.start(i) + tier.ends[i]) / 2), 40, this.view.width - 40);
      field.style.left = this.gutter + x - 45 + "px";
      row.box.append(field);
      field.focus();
      field.select();
      const finish = (keep) => {
        if (this.field !== field) return;
        this.field = null;
        field.remove();
        if (keep && field.value !== tier.labels[i]) {
          this.editor.change(`renamed to ${field.value || "silence"}`, () => tier.rename(i, field.value));
        }
        row.slider.focus({ preventScroll: true });
      };
      field.addEventListener("keydown", (event) => {
        if (event.key === "Enter") finish(true);
        else if (event.key === "Escape") finish(false);
        else if (event.key === "Tab") {
          finish(true);
          const next = i + (event.shiftKey ? -1 : 1);
          if (next >= 0 && next < tier.count) this.rename(tier, next);
        } else return;
        event.preventDefault();
        event.stopPropagation();
      });
      field.addEventListener("blur", () => finish(true));
    }
    split() {
      const at = this.editable(), time = this.player.position();
      if (!at) return;
      const i = at.tier.at(time);
      const middle = (at.tier.start(i) + at.tier.ends[i]) / 2;
      const where = time - at.tier.start(i) > 0.002 ? time : middle;
      this.editor.change("split", () => at.tier.split(i, where));
    }
    merge() {
      const at = this.editable();
      if (at) this.editor.change("merged", () => at.tier.merge(at.i));
    }
    shift(seconds, ofStart) {
      const at = this.editable();
      if (!at) return;
      const i = ofStart ? at.i - 1 : at.i;
      if (i < 0 || i >= at.tier.count - 1) return;
      this.editor.begin("boundary moved");
      const moved = this.editor.move(this.editor.together(at.tier, i, false), at.tier.ends[i] + seconds);
      this.editor.commit();
      V.announce(`boundary at ${V.milliseconds(moved + this.data.origin)}`);
    }

    // ---- the table ----
    list() {
      const { parts, view } = this;
      if (!parts.details.open) return;
      const rows = [];
      let more = 0;
      for (const { tier, reference } of this.rows) {
        for (let i = tier.at(view.start); i < tier.count && tier.start(i) < view.end; i++) {
          if (rows.length >= MOST_LISTED) { more += 1; continue; }
          const { origin } = this.data, confidence = tier.confidences[i];
          const other = tier.partners[i] >= 0 ? this.pairOf(tier).find((t) => t !== tier).labels[tier.partners[i]] : "";
          const cells = [reference ? `reference ${tier.name}` : tier.name, V.element("bdi", {}, V.visible(tier.labels[i]) || "–"),
            ...[tier.start(i), tier.ends[i]].map((t) => ((t + origin) * 1000).toFixed(0)),
            ((tier.ends[i] - tier.start(i)) * 1000).toFixed(0),
            confidence === null || reference ? "" : confidence.toFixed(2), V.element("bdi", {}, V.visible(other))];
          rows.push(V.element("tr", { class: this.differs(tier, i) ? "differs" : null },
            ...cells.map((cell) => V.element("td", {}, cell))));
        }
      }
      parts.table.replaceChildren(...rows);
      parts.tableNote.textContent = "What is in sight" + (more ? `; ${more} more, zoom in to list them` : "");
    }
  }

  V.app = new App(document.getElementById("app"));
})(window.Viewer);

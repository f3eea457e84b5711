// What the page does when asked to: play, select, correct. Methods of the app of show.js.
"use strict";
(function (V) {
  const SPEEDS = [1, 0.75, 0.5];

  V.actions = {
    // ---- playing ----
    play() {
      if (this.player.playing) this.player.pause();
      else if (this.range && this.loop) this.player.play(this.range[0], this.range[1], { loop: true, after: "start" });
      else {
        const from = this.player.position();
        this.player.play(from >= this.view.duration - 0.01 ? 0 : from, this.view.duration);
      }
    },
    playSelected() {
      if (this.range) this.player.play(this.range[0], this.range[1], { loop: this.loop, after: "start" });
    },
    toggleLoop() {
      this.loop = !this.loop;
      this.parts.loop.setAttribute("aria-pressed", String(this.loop));
      if (this.loop && this.range) this.playSelected();
      else if (!this.loop && this.player.playing && this.player.current.loop) this.player.pause();
      V.announce(this.loop ? "loop on" : "loop off");
    },
    /** The next of the speeds. */
    slower() {
      const speed = SPEEDS[(SPEEDS.indexOf(this.player.speed) + 1) % SPEEDS.length];
      this.speed = speed;
      this.player.setSpeed(speed);
      this.parts.speed.textContent = speed + "×";
      this.parts.speed.setAttribute("aria-label", `${speed}× speed`);
      V.announce(`speed ${speed}`);
    },
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
    },
    refresh() {
      this.drawMarks();
      this.drawFrame();
    },
    middle() {
      const time = this.player.position();
      return time >= this.view.start && time <= this.view.end ? time : (this.view.start + this.view.end) / 2;
    },
    goTo(time) {
      this.player.pause();
      this.player.seek(time);
      this.view.reveal(time);
    },

    // ---- selecting ----
    hover(time, hertz = null) {
      this.cursor = time;
      this.hertz = time === null ? null : hertz;
      if (!this.hovering) {
        this.hovering = true;
        requestAnimationFrame(() => { this.hovering = false; this.refresh(); });
      }
    },
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
    },
    select(from, to) {
      this.range = [from, to];
      this.selected = null;
      this.player.pause();
      this.player.seek(from);
      this.view.changed();
    },
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
    },
    step(direction) {
      const row = this.selected ? null : this.rows[this.rows.length - 1 - [...this.rows].reverse().findIndex((r) => !r.reference)];
      const tier = row ? row.tier : this.selected.tier;
      const i = row ? tier.at(this.player.position()) : this.selected.i + direction;
      this.pick(tier, i, { play: true });
      this.rows.find((r) => r.tier === tier).slider.focus({ preventScroll: true });
    },
    otherTier(direction) {
      const at = this.selected ? this.rows.findIndex((r) => r.tier === this.selected.tier) : -1;
      const row = this.rows[V.clamp(at + direction, 0, this.rows.length - 1)];
      const time = this.player.position();
      this.pick(row.tier, row.tier.at(time), { play: false });
      row.slider.focus({ preventScroll: true });
    },
    nudge(seconds) {
      const time = V.clamp(this.player.position() + seconds, 0, this.view.duration);
      this.goTo(time);
    },
    clear() {
      this.range = null;
      this.selected = null;
      this.player.pause();
      this.view.changed();
    },
    showSelected() { if (this.range) this.view.show(this.range[0], this.range[1], 1); },
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
    },

    // ---- attention ----
    chooseHead(layer, head) {
      if (!this.attention) return;
      Object.assign(this.attention, { layer, head });
      this.drawScales();
      V.announce(this.attention.describe(this.frameTime()));
      this.view.changed();
    },
    nextHead(by) {
      if (!this.attention) return;
      const { heads } = this.attention.info, { layers } = this.attention;
      const n = (this.attention.layer * heads + this.attention.head + by + layers * heads) % (layers * heads);
      this.chooseHead(Math.floor(n / heads), n % heads);
    },
    nextLayer(by) {
      if (!this.attention) return;
      this.chooseHead(V.clamp(this.attention.layer + by, 0, this.attention.layers - 1), this.attention.head);
    },

    // ---- correcting ----
    /** Compare the phones with the reference again: they have been corrected. */
    compareAgain() {
      const { data, references } = this, reference = references.find((tier) => tier.compared);
      const tier = reference && this.tiers.find((one) => one.name === reference.name);
      if (!tier) return;
      data.differences = V.compare(reference, tier, this.keyOf);
      this.tellFacts();
      this.drawOverview();
    },
    edited() {
      const { parts, editor } = this;
      if (editor.count !== this.compared) this.compareAgain();
      this.compared = editor.count;
      parts.undo.disabled = !editor.done.length;
      parts.redo.disabled = !editor.undone.length;
      parts.save.classList.toggle("dirty", editor.dirty);
      document.title = (editor.dirty ? "• " : "") + V.visible(this.data.name);
      if (this.selected) {
        const { tier } = this.selected;
        this.selected.i = Math.min(this.selected.i, tier.count - 1);
        this.range = [tier.start(this.selected.i), tier.ends[this.selected.i]];
      }
      this.edits = (this.edits || 0) + 1; // tiers are drawn anew
      this.list();
      this.view.changed();
    },
    editable() { return this.selected && this.selected.tier.editable ? this.selected : null; },
    renameSelected() {
      const at = this.editable();
      if (at) this.rename(at.tier, at.i);
    },
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
    },
    split() {
      const at = this.editable(), time = this.player.position();
      if (!at) return;
      const i = at.tier.at(time);
      const middle = (at.tier.start(i) + at.tier.ends[i]) / 2;
      const where = time - at.tier.start(i) > 0.002 ? time : middle;
      this.editor.change("split", () => at.tier.split(i, where));
    },
    merge() {
      const at = this.editable();
      if (at) this.editor.change("merged", () => at.tier.merge(at.i));
    },
    shift(seconds, ofStart) {
      const at = this.editable();
      if (!at) return;
      const i = ofStart ? at.i - 1 : at.i;
      if (i < 0 || i >= at.tier.count - 1) return;
      this.editor.begin("boundary moved");
      const moved = this.editor.move(this.editor.together(at.tier, i, false), at.tier.ends[i] + seconds);
      this.editor.commit();
      V.announce(`boundary at ${V.milliseconds(moved + this.data.origin)}`);
    },
  };
})(window.Viewer);

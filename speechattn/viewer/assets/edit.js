// Corrections of tiers: every one can be undone, and a boundary that two tiers share moves in both.
"use strict";
(function (V) {
  const MOST_KEPT = 200; // corrections that can be undone
  const SHARED = 0.0015; // seconds by which boundaries of two tiers may differ and be one

  V.Editor = class {
    /**
     * @param tiers that may be edited.
     * @param references that they are compared with.
     * @param changed called after every change.
     */
    constructor(tiers, references, changed) {
      Object.assign(this, { tiers, changed, all: [...tiers, ...references], done: [], undone: [], saved: 0 });
      this.count = 0; // of changes since the start
    }
    get dirty() { return this.count !== this.saved; }
    /** Keep the tiers as they are, before they are changed. */
    begin(what) {
      this.pending = { what, kept: this.all.map((tier) => tier.snapshot()), count: this.count };
    }
    commit() {
      if (!this.pending) return;
      this.done.push(this.pending);
      if (this.done.length > MOST_KEPT) this.done.shift();
      this.undone = [];
      this.pending = null;
      this.count = Math.max(this.count, ...this.done.map((d) => d.count)) + 1;
      this.changed();
    }
    cancel() {
      if (!this.pending) return;
      this.all.forEach((tier, t) => tier.restore(this.pending.kept[t]));
      this.pending = null;
      this.changed();
    }
    /** Do something that returns whether it changed anything. */
    change(what, act) {
      this.begin(what);
      if (act() === false) {
        this.pending = null;
        return false;
      }
      this.commit();
      V.announce(what);
      return true;
    }
    undo() { return this._back(this.done, this.undone, "undone"); }
    redo() { return this._back(this.undone, this.done, "done again"); }
    _back(from, to, word) {
      const last = from.pop();
      if (!last) return false;
      to.push({ what: last.what, count: this.count, kept: this.all.map((tier) => tier.snapshot()) });
      this.all.forEach((tier, t) => tier.restore(last.kept[t]));
      this.count = last.count;
      this.changed();
      V.announce(`${last.what}: ${word}`);
      return true;
    }
    /** Boundaries at the end of interval i of a tier and, at the same time, of other tiers. */
    together(tier, i, alone) {
      const time = tier.ends[i];
      const found = [{ tier, i }];
      for (const other of alone ? [] : this.tiers) {
        if (other === tier) continue;
        const j = V.above(other.ends, time - SHARED);
        if (j < other.count - 1 && Math.abs(other.ends[j] - time) <= SHARED) found.push({ tier: other, i: j });
      }
      return found;
    }
    move(boundaries, time) {
      for (const { tier, i } of boundaries) { // where all of them may go
        time = V.clamp(time, tier.start(i) + 0.001, tier.ends[i + 1] - 0.001);
      }
      for (const { tier, i } of boundaries) tier.move(i, time);
      this.changed();
      return time;
    }
    /** Let the browser save the tiers as a TextGrid. */
    save(name, origin, duration) {
      const text = V.textGrid(this.tiers, origin, duration);
      const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
      const link = V.element("a", { href: url, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      this.saved = this.count;
      this.changed();
      V.announce(`saved as ${name}`);
    }
  };
})(window.Viewer);

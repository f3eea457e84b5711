// What the page says in words: about segments, and as a table. Methods of the app of show.js.
"use strict";
(function (V) {
  const MOST_LISTED = 200; // rows of the table

  V.words = {
    // ---- words about segments ----
    differs(tier, i) {
      const partner = tier.partners[i];
      if (partner === -1) return true;
      if (!tier.compared || partner < 0) return false;
      const [recognised, reference] = this.pairOf(tier);
      const [a, b] = tier === recognised ? [i, partner] : [partner, i];
      if (!reference || a >= recognised.count || b >= reference.count) return false;
      return !this.alike(recognised.labels[a], reference.labels[b]);
    },
    pairOf(tier) {
      return [this.tiers.find((t) => t.name === tier.name), this.references.find((t) => t.name === tier.name)];
    },
    alike(one, other) { return this.keyOf(one) === this.keyOf(other); },
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
    },
    describeAt(time) {
      const lines = this.rows.map((row) => {
        const name = row.reference ? `reference ${row.tier.name}` : row.tier.name;
        return V.element("span", { class: "line" }, V.element("b", {}, name + ": "),
          V.element("bdi", {}, this.describe(row.tier, row.tier.at(time)).join(", ")));
      });
      const place = V.milliseconds(time + this.data.origin) +
        (this.hertz === null || this.hertz === undefined ? "" : `, ${V.hertz(this.hertz)} in the spectrogram`);
      return [V.element("span", { class: "line" }, V.element("b", {}, "time: "), place), ...lines];
    },

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
    },
  };
})(window.Viewer);

// Tiers of labelled intervals without gaps, what is done to them, and how they are saved and drawn.
"use strict";
(function (V) {
  const SHORTEST = 0.001; // seconds of an interval

  V.Tier = class {
    /** @param data what the page says; @param editable whether it may be changed. */
    constructor(data, editable) {
      this.name = data.name;
      this.editable = editable;
      this.ends = data.ends.slice();
      this.labels = data.labels.slice();
      this.confidences = data.confidences.slice();
      this.partners = (data.partners || data.ends.map(() => -2)).slice();
      this.edited = data.ends.map(() => false);
      this.compared = Boolean(data.partners);
    }
    get count() { return this.ends.length; }
    start(i) { return i > 0 ? this.ends[i - 1] : 0; }
    at(time) { return Math.min(V.above(this.ends, time), this.count - 1); }
    snapshot() {
      return ["ends", "labels", "confidences", "partners", "edited"].map((k) => this[k].slice());
    }
    restore(kept) {
      ["ends", "labels", "confidences", "partners", "edited"].forEach((k, i) => {
        this[k] = kept[i].slice();
      });
    }
    /** Move the end of interval i; returns where it went. */
    move(i, time) {
      const low = this.start(i) + SHORTEST, high = this.ends[i + 1] - SHORTEST;
      this.ends[i] = Math.round(V.clamp(time, low, high) * 1e6) / 1e6;
      this.edited[i] = this.edited[i + 1] = true;
      return this.ends[i];
    }
    rename(i, label) {
      this.labels[i] = label;
      this.confidences[i] = null;
      this.edited[i] = true;
    }
    split(i, time) {
      if (time - this.start(i) < SHORTEST || this.ends[i] - time < SHORTEST) return false;
      this.ends.splice(i, 0, Math.round(time * 1e6) / 1e6);
      this.labels.splice(i + 1, 0, "");
      this.confidences.splice(i + 1, 0, null);
      this.partners.splice(i + 1, 0, -2);
      this.edited.splice(i + 1, 0, true);
      this.edited[i] = true;
      return true;
    }
    /** Make one of interval i and the next; labels of both are joined. */
    merge(i) {
      if (i + 1 >= this.count) return false;
      const labels = [this.labels[i], this.labels[i + 1]].filter((label) => label !== "");
      this.ends.splice(i, 1);
      this.labels.splice(i, 2, labels.join(this.name === "words" ? " " : ""));
      this.confidences.splice(i, 2, null);
      this.partners.splice(i, 2, this.partners[i] >= 0 ? this.partners[i] : this.partners[i + 1]);
      this.edited.splice(i, 2, true);
      return true;
    }
  };

  /** Text of a TextGrid, in Praat's long form. */
  V.textGrid = function (tiers, origin, duration) {
    const number = (x) => {
      const text = String(Math.round((x + origin) * 1e9) / 1e9);
      return text.includes("e") ? (x + origin).toFixed(9) : text;
    };
    const quoted = (text) => '"' + text.replace(/"/g, '""') + '"';
    const first = number(0), last = number(duration);
    const lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "",
      `xmin = ${first}`, `xmax = ${last}`, "tiers? <exists>", `size = ${tiers.length}`, "item []:"];
    tiers.forEach((tier, t) => {
      lines.push(`    item [${t + 1}]:`, '        class = "IntervalTier"',
        `        name = ${quoted(tier.name)}`, `        xmin = ${first}`, `        xmax = ${last}`,
        `        intervals: size = ${tier.count}`);
      for (let i = 0; i < tier.count; i++) {
        const end = i === tier.count - 1 ? last : number(tier.ends[i]);
        lines.push(`        intervals [${i + 1}]:`, `            xmin = ${number(tier.start(i))}`,
          `            xmax = ${end}`, `            text = ${quoted(tier.labels[i])}`);
      }
    });
    return lines.join("\n") + "\n";
  };

  const LEVELS = 10;
  /** Colours of confidences, by tenths, in the theme of now. */
  V.confidenceColours = function () {
    const [r, g, b] = V.colour("sure-rgb").split(",").map(Number);
    return Array.from({ length: LEVELS + 1 }, (_, i) =>
      `rgba(${r},${g},${b},${(0.06 + 0.6 * (i / LEVELS) ** 1.5).toFixed(3)})`);
  };

  /** Write a label into its interval: in a wide one again and again, in a narrow one upright or cut off. */
  function drawLabel(context, part, text, left, right, height, palette) {
    const width = right - left, size = context.measureText(text).width;
    context.fillStyle = palette.text;
    if (size < width - 2) {
      const times = Math.max(1, Math.round(width / part.width));
      for (let n = 0; n < times; n++) {
        const middle = left + (n + 0.5) * width / times;
        if (middle > -size && middle < part.width + size) context.fillText(text, middle, height / 2);
      }
    } else if (text.length <= 3) {
      context.save();
      context.translate((left + right) / 2, height / 2);
      context.rotate(-Math.PI / 2);
      context.fillText(text, 0, 0.5);
      context.restore();
    } else if (width > 24) {
      context.save();
      context.beginPath();
      context.rect(left + 1, 0, width - 2, height);
      context.clip();
      context.textAlign = "left";
      context.fillText(text, left + 3, height / 2);
      context.restore();
    }
  }

  /** Draw a part of a tier; `state` says which interval is selected, and `differs(i)` what is marked. */
  V.drawTier = function (context, part, tier, height, palette, { selected, differs, reference }) {
    context.font = palette.font;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const first = Math.max(0, tier.at(part.start) - 1);
    let drawn = -Infinity; // right edge of what is drawn
    for (let i = first; i < tier.count && tier.start(i) < part.end; i++) {
      const right = part.x(tier.ends[i]);
      if (right - drawn < 0.7 && i !== selected) continue; // too narrow to be seen from here
      const left = part.x(tier.start(i)), width = right - left;
      drawn = right;
      const label = tier.labels[i];
      if (label !== "") {
        const confidence = tier.confidences[i];
        context.fillStyle = reference || confidence === null ? palette.plain
          : palette.confidence[Math.round(LEVELS * V.clamp(confidence, 0, 1))];
        context.fillRect(left, 0, width, height);
      }
      const wrong = differs(i);
      if (wrong) {
        context.fillStyle = palette.wrong;
        context.fillRect(left, height - 5, width, 5);
        context.fillRect(left, 0, width, 2);
      }
      if (tier.edited[i]) {
        context.fillStyle = palette.edited;
        context.fillRect(left, 0, width, 3);
      }
      if (width > 2.5) {
        context.fillStyle = palette.line;
        context.fillRect(Math.round(right) - 0.5, 0, 1, height);
      }
      if (label !== "" && width > 9) drawLabel(context, part, V.visible(label), left, right, height, palette);
      if (i === selected) {
        context.strokeStyle = palette.accent;
        context.lineWidth = 2;
        context.strokeRect(left + 1, 1, Math.max(2, width - 2), height - 2);
      }
    }
  };
})(window.Viewer);

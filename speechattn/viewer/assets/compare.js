// Recognised phones beside those of a reference, after corrections: as viewer/differences.py compares them.
"use strict";
(function (V) {
  const LEAST_PAUSE = 0.03; // seconds that are silent in both, where the alignment may be cut
  const FARTHEST = 0.2; // seconds between two segments that stand for each other
  const NEARNESS = 1e-4; // edits that a second between the middles of a pair costs
  const LONGEST_BLOCK = 120; // seconds that are aligned at once
  const SILENCES = new Set(["", "sil", "sp", "spn", "pau", "h#", "<eps>", "#"]);
  const DELETED = 0, PAIRED = 1, INSERTED = 2;

  /** The function from a label to what it is compared as; `known` are the labels that the page knows. */
  V.phoneKey = function (known) {
    const upper = new Map(Object.entries(known).map(([label, key]) => [label.toUpperCase(), key]));
    return (label) => {
      if (SILENCES.has(label.toLowerCase())) return "";
      if (Object.hasOwn(known, label)) return known[label];
      const bare = label.toUpperCase();
      const key = upper.get(bare) ?? upper.get(bare.replace(/[012]+$/, ""));
      return key === undefined ? label : key;
    };
  };

  /** Compare two tiers; sets the partners of both, and returns the differences: [[time, text], …]. */
  V.compare = function (reference, recognised, key) {
    const sides = [reference, recognised].map((tier) => tier.labels.map((label, i) => {
      const start = tier.start(i), end = tier.ends[i];
      return { label, key: key(label), start, end, middle: (start + end) / 2, partner: -1 };
    }));
    const edges = cuts(sides);
    const first = [0, 0];
    for (const edge of edges) {
      const parts = sides.map((side, n) => {
        const from = first[n];
        while (first[n] < side.length && side[first[n]].middle < edge) first[n] += 1;
        return side.slice(from, first[n]).filter((segment) => segment.key);
      });
      align(parts[0], parts[1]);
    }
    [reference, recognised].forEach((tier, n) => {
      const numbers = new Map(sides[1 - n].map((segment, i) => [segment, i]));
      tier.partners = sides[n].map((s) => (!s.key ? -2 : s.partner === -1 ? -1 : numbers.get(s.partner)));
    });
    return differences(sides);
  };

  /** Times at which both sides may be cut; the last is beyond all. */
  function cuts([reference, recognised]) {
    const pauses = [reference, recognised].map((side) => side.filter((s) => !s.key)), found = [];
    let j = 0;
    for (const pause of pauses[0]) {
      while (j < pauses[1].length && pauses[1][j].end <= pause.start) j += 1;
      if (j === pauses[1].length) break;
      const start = Math.max(pause.start, pauses[1][j].start), end = Math.min(pause.end, pauses[1][j].end);
      if (end - start >= LEAST_PAUSE) found.push((start + end) / 2);
    }
    const end = Math.max(0, ...[reference, recognised].filter((side) => side.length).map((side) => side[side.length - 1].end));
    const filled = [];
    for (const cut of [...found, end]) {
      let last = filled.length ? filled[filled.length - 1] : 0;
      while (cut - last > LONGEST_BLOCK) filled.push(last += LONGEST_BLOCK / 2);
      filled.push(cut);
    }
    filled[filled.length - 1] = Infinity;
    return filled;
  }

  /** Levenshtein's alignment of a block; of those with as few edits the one whose pairs lie closest. */
  function align(reference, recognised) {
    const width = recognised.length + 1, steps = new Uint8Array((reference.length + 1) * width);
    let row = Float64Array.from({ length: width }, (_, j) => j);
    reference.forEach((one, i) => {
      const best = new Float64Array(width), step = (i + 1) * width;
      best[0] = row[0] + 1;
      for (let j = 1; j < width; j++) {
        const other = recognised[j - 1];
        const apart = Math.max(other.start - one.end, one.start - other.end) > FARTHEST;
        const shift = Math.min(1, Math.abs(other.middle - one.middle));
        const paired = row[j - 1] + (apart ? 3 : (other.key !== one.key) + shift * NEARNESS);
        const deleted = row[j] + 1;
        best[j] = Math.min(paired, deleted);
        steps[step + j] = paired < deleted ? PAIRED : DELETED;
        if (best[j - 1] + 1 < best[j] - 1e-9) {
          best[j] = best[j - 1] + 1;
          steps[step + j] = INSERTED;
        }
      }
      row = best;
    });
    let i = reference.length, j = recognised.length;
    while (i && j) {
      const step = steps[i * width + j];
      if (step === PAIRED) {
        i -= 1;
        j -= 1;
        reference[i].partner = recognised[j];
        recognised[j].partner = reference[i];
      } else if (step === INSERTED) j -= 1;
      else i -= 1;
    }
  }

  function differences([reference, recognised]) {
    const found = [];
    for (const one of recognised) {
      if (!one.key) continue;
      if (one.partner === -1) found.push([one.start, `${one.label} is not in the reference`]);
      else if (one.key !== one.partner.key) found.push([one.start, `${one.label}, reference ${one.partner.label}`]);
    }
    for (const one of reference) {
      if (one.key && one.partner === -1) found.push([one.start, `${one.label} of the reference is missing`]);
    }
    return found.sort(([a, s], [b, t]) => a - b || (s < t ? -1 : 1));
  }
})(window.Viewer);

// Slower speech at the same pitch: WSOLA (Verhelst and Roelands, 1993).
"use strict";
(function (V) {
  const HALF_SECONDS = 0.0125; // half a window, which is what a frame adds
  const SEARCH_SECONDS = 0.008; // to either side; more than half a period of the lowest voices
  const STRIDE = 2; // of the search, in samples: speech at 16 kHz changes little in one

  /**
   * Samples that last 1 / speed times as long.
   * @param samples a Float32Array.
   * @param rate samples a second.
   * @param speed such as 0.5.
   */
  V.stretch = function (samples, rate, speed) {
    const half = Math.round(HALF_SECONDS * rate), search = Math.round(SEARCH_SECONDS * rate);
    const count = Math.round(samples.length / speed), out = new Float32Array(count);
    const fade = Float32Array.from({ length: half }, (_, i) => 0.5 - 0.5 * Math.cos(Math.PI * (i + 0.5) / half));
    out.set(samples.subarray(0, Math.min(half, count)));
    let before = 0; // where the last frame was taken from
    for (let to = half; to < count; to += half) {
      const next = before + half; // what would follow it naturally
      const last = Math.max(0, samples.length - half);
      const at = closest(samples, next, Math.min(Math.round(to * speed), last), half, search, last);
      const size = Math.min(half, count - to);
      for (let i = 0; i < size; i++) {
        const old = samples[next + i] || 0, now = samples[at + i] || 0;
        out[to + i] = old + (now - old) * fade[i];
      }
      before = at;
    }
    return out;
  };

  /** Where, near a place, the samples are most like those that would follow naturally. */
  function closest(samples, next, place, half, search, last) {
    if (next + half > samples.length) return place;
    let best = place, most = -Infinity;
    const from = Math.max(0, place - search), to = Math.min(last, place + search);
    for (let at = from; at <= to; at += STRIDE) {
      let product = 0, power = 1e-9;
      for (let i = 0; i < half; i += STRIDE) {
        const value = samples[at + i];
        product += value * samples[next + i];
        power += value * value;
      }
      const likeness = product / Math.sqrt(power);
      if (likeness > most) { most = likeness; best = at; }
    }
    return best;
  }
})(window.Viewer);

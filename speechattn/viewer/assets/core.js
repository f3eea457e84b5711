// What all parts of a page share: data in the page, elements, colours, and the stretch in sight.
"use strict";
window.Viewer = window.Viewer || {};
(function (V) {
  /** JSON that the page carries under this name. */
  V.data = (name) => JSON.parse(document.getElementById(name).textContent);

  /** Wait until the page carries something under this name: it is shown before all of it is read. */
  V.present = async function (name) {
    while (!document.getElementById(name) && document.readyState === "loading") {
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  };

  /** Bytes that the page carries under this name, as a Uint8Array. */
  V.bytes = function (name) {
    const coded = document.getElementById(name).textContent;
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(coded);
    const text = atob(coded);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };

  /** An element. Attributes are set as such, `on…` as listeners; children are nodes or plain text. */
  V.element = function (tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  };

  // Characters that would be invisible, or change the direction of what follows, get a visible form.
  const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const NAMED = { "\n": "⏎", "\t": "⇥" };

  /** A label as it is shown: one line. */
  V.visible = (text) => text.replace(CONTROL, (c) => NAMED[c] || "␣");

  const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");

  /** Milliseconds for people, such as 12 345 ms. */
  V.milliseconds = (seconds, digits = 0) => {
    const [whole, part] = (seconds * 1000).toFixed(digits).split(".");
    return group(whole) + (part ? "." + part : "") + " ms";
  };

  /** Hertz for people, to 10 Hz, such as 1 850 Hz. */
  V.hertz = (value) => group((Math.round(value / 10) * 10).toFixed(0)) + " Hz";

  /** Minutes and seconds, such as 1:05.250. */
  V.clock = function (seconds, digits = 3) {
    const scale = 10 ** digits;
    const whole = Math.round(seconds * scale);
    const minutes = Math.floor(whole / (60 * scale));
    const rest = ((whole - minutes * 60 * scale) / scale).toFixed(digits);
    return minutes + ":" + (rest.indexOf(".") === 1 || rest.length === 1 ? "0" : "") + rest;
  };

  /** Number of the first element of a sorted list that is above x. */
  V.above = function (sorted, x) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] > x) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  V.clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const choice = { theme: "auto" };

  /** Whether the page is dark now. */
  V.isDark = () => (choice.theme === "auto" ? dark.matches : choice.theme === "dark");

  /** A colour of the style sheet, by its name without dashes in front. */
  V.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  /** Call a function whenever light and dark change, and when the page is printed. */
  V.onTheme = function (listener) {
    dark.addEventListener("change", listener);
    document.addEventListener("themechange", listener);
  };

  /** The theme that was chosen: "auto", "light" or "dark". */
  V.theme = () => choice.theme;

  /** Choose "auto", "light" or "dark". */
  V.setTheme = function (theme) {
    choice.theme = theme;
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new Event("themechange"));
  };

  const announcer = V.element("div", { class: "sr-only", "aria-live": "polite", role: "status" });
  document.body.append(announcer);

  /** Tell a screen reader. */
  V.announce = (text) => { announcer.textContent = text; };

  const screenRatio = () => window.devicePixelRatio || 1;
  /** Pixels that are drawn for each CSS pixel: of the screen, or of paper while the page is printed. */
  V.ratio = screenRatio;
  V.setPaper = (ratio) => { V.ratio = ratio ? () => ratio : screenRatio; };

  const FAR = 100000; // pixels that pictures are moved at most

  /** The stretch of a recording in sight. Listeners are called once a frame after changes. */
  V.View = class {
    constructor(duration, most = 4000) {
      this.duration = duration;
      this.most = most; // pixels a second, at the nearest
      this.width = 100;
      this.start = 0;
      this.scale = 1; // pixels a second
      this.anchor = 0; // time that pictures were drawn from: a scroll moves them
      this.listeners = [];
      this.waiting = false;
    }
    get seconds() { return this.width / this.scale; }
    get end() { return this.start + this.seconds; }
    get least() { return this.width / this.duration; }
    x(time) { return (time - this.start) * this.scale; }
    time(x) { return this.start + x / this.scale; }
    set(start, scale) {
      const before = [this.start, this.scale];
      this.scale = V.clamp(scale, this.least, Math.max(this.most, this.least));
      // On whole pixels of the screen, so that what has been drawn can be moved as it is.
      const pixel = 1 / (this.scale * V.ratio());
      const last = Math.max(0, this.duration - this.seconds);
      this.start = V.clamp(Math.round(start / pixel) * pixel, 0, Math.floor(last / pixel) * pixel);
      const jump = Math.abs(this.start - before[0]) * this.scale >= this.width;
      if (jump || this.scale !== before[1] || Math.abs(this.start - this.anchor) * this.scale > FAR) this.anchor = this.start;
      this.changed();
    }
    resize(width) {
      const whole = this.scale <= this.least * 1.0001;
      this.width = Math.max(20, width);
      this.set(this.start, whole ? 0 : this.scale);
    }
    zoom(factor, time) {
      const scale = V.clamp(this.scale * factor, this.least, Math.max(this.most, this.least));
      this.set(time - (time - this.start) * this.scale / scale, scale);
    }
    pan(seconds) { this.set(this.start + seconds, this.scale); }
    show(from, to, margin = 0.1) {
      const length = Math.max(to - from, 0.01) * (1 + 2 * margin);
      this.set((from + to - length) / 2, this.width / length);
    }
    /** Move as little as needed to have a time in sight. */
    reveal(time, margin = 0.08) {
      const room = this.seconds * margin;
      if (time < this.start + room) this.set(time - room, this.scale);
      else if (time > this.end - room) this.set(time + room - this.seconds, this.scale);
    }
    changed() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        for (const listener of this.listeners) listener();
      });
    }
  };

  /** Write names beside rows of a picture, right-aligned: [[y, name], …]. */
  V.drawScale = function (canvas, width, height, names, size = 9) {
    const context = V.fit(canvas, width, height);
    context.clearRect(0, 0, width, height);
    context.font = `${size}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillStyle = V.colour("text-soft");
    for (const [y, name, indent = 0] of names) {
      context.fillText(V.visible(name), width - 5 - indent, V.clamp(y, size / 2 + 1, height - size / 2 - 1));
    }
  };

  /** Fit a canvas to its place; returns its context in CSS pixels. */
  V.fit = function (canvas, width, height, opaque = false) {
    const ratio = V.ratio();
    const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
    if (canvas.width !== w) canvas.width = w;
    if (canvas.height !== h) canvas.height = h;
    const context = canvas.getContext("2d", { alpha: !opaque });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
  };
})(window.Viewer);

// The elements of a page that shows a recording: tool bar, panels, texts.
"use strict";
(function (V) {
  const KEYS = [
    ["Space", "play from the playhead, or stop"],
    ["Enter", "play the selection, or the selected phone"],
    ["L", "loop the selection"],
    ["T", "play slower, at the same pitch: 0.75×, 0.5×, and 1× again"],
    ["← →", "previous or next phone of the tier; with Alt: 10 ms"],
    ["↑ ↓", "another tier"],
    ["+ −", "zoom; 0 shows all, Z the selection"],
    ["Page Up, Page Down", "scroll; Home and End: to the ends"],
    ["N, Shift+N", "next or previous difference from the reference"],
    ["[ ]", "attention: previous or next head; { }: layer"],
    ["F2 or R", "rename; Tab goes on to the next"],
    ["S", "split at the playhead"],
    ["M", "merge with the next"],
    [", .", "move the end of the phone by 5 ms; with Shift: its start"],
    ["Ctrl+Z, Ctrl+Y", "undo, redo"],
    ["Ctrl+S", "save as a TextGrid"],
    ["Escape", "nothing selected"],
    ["?", "these keys"],
  ];
  const GESTURES = [
    "Click a phone to hear it. Drag over the waveform or the spectrogram to select.",
    "Ctrl and the wheel, or two fingers, zoom. Shift and the wheel, or a sideways swipe, scroll.",
    "Drag a boundary to move it; with Alt only in its own tier. Double-click a label to rename it.",
  ];

  const button = (label, text, onclick, more) =>
    V.element("button", { type: "button", "aria-label": label, title: label, onclick, ...more }, text);
  V.button = button;

  /** What is seen of a tape, as a picture with a name. */
  const track = (label) => V.element("div", { class: "track", role: "img", "aria-label": label });
  const panel = (label, ...children) =>
    V.element("div", { class: "panel" }, V.element("div", { class: "gutter", "aria-hidden": "true" }, label),
      ...children);
  const scaled = (...children) => panel(V.element("canvas", { class: "scale" }), ...children);
  const canvas = (label) => V.element("canvas", { role: "img", "aria-label": label });

  /** Build the page; returns its elements by name. `act` are the functions of its buttons. */
  V.buildLayout = function (root, { title, recordings, act }) {
    const parts = {};
    parts.chooser = V.element("select", { "aria-label": "recording", onchange: (e) => act.open(Number(e.target.value)) },
      ...recordings.map((r, i) => V.element("option", { value: i }, V.visible(r.name))));
    parts.title = V.element("h1", {}, V.element("bdi", {}, V.visible(title)));
    parts.facts = V.element("p", { class: "facts" });
    parts.play = button("Play or stop (Space)", "▶", act.play, { class: "main" });
    parts.loop = button("Loop the selection (L)", "⟳", act.loop, { "aria-pressed": "false" });
    parts.speed = button("Speed of what is played, at the same pitch (T)", "1×", act.slower, { "aria-label": "1× speed" });
    parts.previous = button("Previous difference (Shift+N)", "◀ difference", () => act.difference(-1));
    parts.next = button("Next difference (N)", "difference ▶", () => act.difference(1));
    parts.undo = button("Undo (Ctrl+Z)", "↶", act.undo);
    parts.redo = button("Redo (Ctrl+Y)", "↷", act.redo);
    parts.save = button("Save TextGrid (Ctrl+S)", "Save TextGrid", act.save);
    parts.contrast = V.element("input", { type: "range", min: 20, max: 70, value: 50, class: "contrast",
      "aria-label": "range of the spectrogram in decibels", title: "Range of the spectrogram in decibels",
      oninput: () => act.contrast(Number(parts.contrast.value)) });
    parts.theme = V.element("select", { "aria-label": "colours", onchange: (e) => V.setTheme(e.target.value) },
      ...["auto", "light", "dark"].map((t) => V.element("option", { value: t }, t)));
    parts.clock = V.element("output", { class: "clock", "aria-label": "playhead" });
    parts.tools = V.element("div", { class: "tools", role: "toolbar", "aria-label": "recording" },
      parts.play, parts.loop, parts.speed, parts.clock,
      V.element("span", { class: "group" }, button("Zoom out (−)", "−", () => act.zoom(0.5)),
        button("Zoom in (+)", "+", () => act.zoom(2)), button("Show all (0)", "all", act.all)),
      V.element("span", { class: "group differences" }, parts.previous, parts.next),
      V.element("span", { class: "group" }, parts.undo, parts.redo, parts.save),
      V.element("span", { class: "group" }, V.element("label", { class: "small" }, "dB ", parts.contrast), parts.theme,
        button("Keys and gestures (?)", "Keys", act.help)));
    parts.help = V.element("dialog", { "aria-label": "Keys" }, V.element("h2", {}, "Keys and gestures"),
      V.element("dl", {}, ...KEYS.flatMap(([k, what]) => [V.element("dt", {}, k), V.element("dd", {}, what)])),
      ...GESTURES.map((text) => V.element("p", {}, text)),
      V.element("form", { method: "dialog" }, V.element("button", {}, "Close")));

    parts.overview = canvas("the whole recording; the frame is what is in sight");
    parts.overviewBox = V.element("div", { class: "box", role: "presentation" });
    parts.overviewPanel = panel("", V.element("div", { class: "whole" }, parts.overview, parts.overviewBox));
    parts.overviewPanel.classList.add("overview");
    parts.unit = V.element("span", { class: "unit", "aria-hidden": "true" });
    parts.wave = track("waveform over time in milliseconds");
    parts.spectrogram = track("spectrogram, 0 to 8 kHz");
    parts.posteriors = track("posteriors: how probable each phone is over time");
    parts.bars = track("attention of the frame under the cursor, in its window");
    parts.map = track("attention of all frames: time across, keys before and after upwards");
    parts.tiers = V.element("div", { class: "tiers" });
    parts.spectrogramPanel = scaled(parts.spectrogram);
    parts.most = V.element("div");
    parts.note = V.element("p", { class: "note", hidden: true });
    parts.barsPanel = panel("attention", parts.bars, parts.note);
    parts.barsPanel.firstChild.append(parts.most);
    parts.mapPanel = scaled(parts.map);
    parts.posteriorsPanel = scaled(parts.posteriors);
    parts.playhead = V.element("div", { class: "mark playhead", role: "presentation" });
    parts.hover = V.element("div", { class: "mark hover", role: "presentation" });
    parts.selection = V.element("div", { class: "shade selection", role: "presentation" });
    parts.window = V.element("div", { class: "shade window", role: "presentation" });
    parts.marks = V.element("div", { class: "marks" }, parts.window, parts.selection, parts.hover, parts.playhead);
    const over = V.element("div", { class: "over" }, parts.marks);
    parts.figure = V.element("div", { class: "figure", role: "group", "aria-label": "recording over time" },
      panel(parts.unit, parts.wave), parts.spectrogramPanel, parts.tiers,
      parts.barsPanel, parts.mapPanel, parts.posteriorsPanel, over);

    parts.segment = V.element("p", { class: "segment" });
    parts.frame = V.element("div", { class: "frame" });
    parts.grid = V.element("div", { class: "heads", role: "group", "aria-label": "layers and heads of the attention" });
    parts.look = V.element("p", { class: "look" });
    parts.explained = V.element("p", { class: "small" });
    parts.table = V.element("tbody");
    parts.tableNote = V.element("caption");
    parts.details = V.element("details", { class: "list" }, V.element("summary", {}, "Segments as a table"),
      V.element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "segments in sight" },
        V.element("table", {}, parts.tableNote, V.element("thead", {}, V.element("tr", {},
        ...["tier", "label", "start (ms)", "end (ms)", "length (ms)", "confidence", "reference"].map((t) =>
          V.element("th", { scope: "col" }, t)))), parts.table)));
    root.append(
      V.element("header", {}, parts.title, recordings.length > 1 ? parts.chooser : "", parts.facts),
      V.element("main", {}, parts.tools, parts.overviewPanel, parts.figure,
        V.element("div", { class: "below" },
          V.element("section", { "aria-label": "under the cursor" }, V.element("h2", {}, "Under the cursor"), parts.segment, parts.frame),
          V.element("section", { class: "attention", "aria-label": "attention" }, V.element("h2", {}, "Attention"),
            parts.explained, parts.look, parts.grid)),
        parts.details),
      parts.help);
    return parts;
  };

  /** A tier as a panel: a slider for the keyboard and for screen readers. */
  V.buildTier = function (tier, reference) {
    const name = reference ? `reference ${tier.name}` : tier.name;
    const slider = V.element("div", { class: "tier track", tabindex: 0, role: "slider", "aria-label": name,
      "aria-valuemin": 0, "aria-valuemax": tier.count - 1, "aria-valuenow": 0 });
    const box = panel(name, slider);
    if (reference) box.classList.add("reference");
    return { box, slider };
  };

  /** Buttons of all layers and heads, over one canvas with a small picture of each. */
  V.buildHeads = function (parent, attention, choose) {
    const picture = canvas("");
    picture.setAttribute("aria-hidden", "true");
    const heads = { canvas: picture, cells: [] };
    const rows = [];
    for (let layer = 0; layer < attention.layers; layer++) {
      const row = V.element("div", { class: "layer" }, V.element("span", { class: "small" }, `layer ${layer + 1}`));
      for (let head = 0; head < attention.info.heads; head++) {
        const name = `layer ${layer + 1}, head ${head + 1}`;
        const node = button(name, "", () => choose(layer, head), { class: "head", "aria-pressed": "false" });
        row.append(node);
        heads.cells.push({ node, layer, head });
      }
      rows.push(row);
    }
    parent.replaceChildren(picture, ...rows);
    return heads;
  };
  /** Find where the buttons lie, after the page has got another size. */
  V.placeHeads = function (parent, heads) {
    Object.assign(heads, { width: parent.clientWidth, height: parent.clientHeight });
    for (const cell of heads.cells) {
      const { offsetLeft: x, offsetTop: y, offsetWidth: width, offsetHeight: height } = cell.node;
      cell.place = { x: x + 4, y: y + 4, width: width - 8, height: height - 8 };
    }
  };
})(window.Viewer);

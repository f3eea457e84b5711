// Charts and tables of a report. Every chart has a text for screen readers, and a table of its values.
"use strict";
(function (V) {
  const charts = []; // functions that draw them again

  V.percent = (x, digits = 1) => (x === null || x === undefined ? "–" : (100 * x).toFixed(digits) + " %");
  V.whole = (x) => Math.round(x).toLocaleString("en").replace(/,/g, "\u202f");

  /** A table of values: head and rows of text. */
  V.plainTable = function (head, rows) {
    return V.element("table", null,
      V.element("thead", null, V.element("tr", null, ...head.map((h) => V.element("th", { scope: "col" }, h)))),
      V.element("tbody", null, ...rows.map((row) => V.element("tr", null, ...row.map((cell, i) =>
        V.element(i ? "td" : "th", i ? { class: "number" } : { scope: "row" }, cell))))));
  };

  function valueTable(options) {
    const box = V.element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "values" });
    const details = V.element("details", null, V.element("summary", null, "values"), box);
    const fill = () => {
      if (box.firstChild) return;
      const head = [options.xLabel, ...options.series.map((s) => s.label)];
      const rows = options.x.map((x, i) => [
        options.xFormat(x, i), ...options.series.map((s) => (s.values[i] === null ? "–" : options.yFormat(s.values[i]))),
      ]);
      box.append(V.plainTable(head, rows));
    };
    details.addEventListener("toggle", () => details.open && fill());
    return details;
  }

  /**
   * A chart. options: label (for screen readers), x, xLabel, yLabel, xFormat, yFormat, and series of
   * {label, values, colour, kind: "line" | "bars" | "points", dash}.
   */
  V.chart = function (host, options) {
    const place = V.element("div", { class: "chart", role: "img", "aria-label": options.label });
    host.append(place, valueTable(options));
    let plot = null;
    const draw = () => {
      if (plot) plot.destroy();
      const soft = V.colour("text-soft"), grid = V.colour("grid");
      const axis = (label, format, size) => ({
        label, size, labelSize: 22, stroke: soft, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 },
        values: (u, splits) => splits.map((v) => (v === null ? "" : format(v))),
        font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      });
      const series = options.series.map((s, n) => {
        const colour = V.colour(s.colour);
        const common = { label: s.label, stroke: colour, width: 2, dash: s.dash, value: (u, v) => (v === null ? "–" : options.yFormat(v)) };
        if (s.kind === "bars") {
          return { ...common, width: 1, fill: colour + "99", points: { show: false },
            paths: uPlot.paths.bars({ size: [0.86 / options.series.length, 60], align: options.series.length > 1 ? (n ? 1 : -1) : 0 }) };
        }
        const points = { show: s.kind === "points" || options.x.length < 60, size: 6, fill: colour };
        return { ...common, points };
      });
      plot = new uPlot({
        width: Math.max(220, place.clientWidth), height: options.height || 260,
        scales: { x: { time: false, range: options.xRange }, y: { range: options.yRange } },
        axes: [axis(options.xLabel, options.xFormat, 34), axis(options.yLabel, options.yFormat, 58)],
        cursor: { drag: { x: false, y: false } },
        series: [{ label: options.xLabel, value: (u, v) => (v === null ? "–" : options.xFormat(v)) }, ...series],
      }, [options.x, ...options.series.map((s) => s.values)], place);
    };
    draw();
    charts.push(draw);
    new ResizeObserver(() => {
      const width = Math.max(220, place.clientWidth);
      if (plot && plot.width !== width) plot.setSize({ width, height: options.height || 260 });
    }).observe(place);
  };

  V.onTheme(() => charts.forEach((draw) => draw()));

  /**
   * A table that is sorted by a click on a head. columns: {head, title, value(row), text(row), node(row),
   * first: "down" | "up"}; shown(row) tells which rows are shown.
   */
  V.sortable = function (host, columns, rows, label) {
    const state = { column: -1, up: true, shown: () => true };
    const body = V.element("tbody");
    const heads = columns.map((column, n) => {
      const text = column.title ? V.element("abbr", { title: column.title }, column.head) : column.head;
      if (!column.value) return V.element("th", { scope: "col" }, text);
      const button = V.element("button", { type: "button", class: "sort", onclick: () => sort(n) }, text,
        V.element("span", { class: "arrow", "aria-hidden": "true" }));
      return V.element("th", { scope: "col" }, button);
    });
    const made = new Map();
    const line = (row) => {
      if (!made.has(row)) {
        made.set(row, V.element("tr", null, ...columns.map((column, n) => V.element(
          n ? "td" : "th",
          n ? { class: column.node ? null : "number" } : { scope: "row" },
          column.node ? column.node(row) : column.text(row)))));
      }
      return made.get(row);
    };
    function fill() {
      const list = rows.filter(state.shown);
      if (state.column >= 0) {
        const { value } = columns[state.column], sign = state.up ? 1 : -1;
        const missing = (v) => v === null || v === undefined || Number.isNaN(v);
        list.sort((a, b) => {
          const x = value(a), y = value(b);
          if (missing(x) || missing(y)) return missing(x) - missing(y);
          return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
        });
      }
      body.replaceChildren(...list.map(line));
      return list.length;
    }
    function sort(n) {
      state.up = state.column === n ? !state.up : columns[n].first !== "down";
      state.column = n;
      heads.forEach((head, i) => {
        if (i === n) head.setAttribute("aria-sort", state.up ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
      fill();
      V.announce(`sorted by ${columns[n].title || columns[n].head}, ${state.up ? "ascending" : "descending"}`);
    }
    fill();
    host.append(V.element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
      V.element("table", null, V.element("thead", null, V.element("tr", null, ...heads)), body)));
    return { filter: (shown) => { state.shown = shown; return fill(); } };
  };

  /** A number with a bar behind it, of a share from 0 to 1. */
  V.bar = function (text, share, wrong) {
    const track = V.element("span", { class: "track", "aria-hidden": "true" }, V.element("span", { class: wrong ? "bar wrong" : "bar" }));
    track.firstChild.style.width = 100 * V.clamp(share || 0, 0, 1) + "%";
    return V.element("span", { class: "barred" }, V.element("span", { class: "value" }, text), track);
  };
})(window.Viewer);

// The parts of a report: each function fills one section, if the page has it.
"use strict";
(function (V) {
  const data = V.data("report");
  const part = (name) => document.querySelector(`[data-part="${name}"]`);
  const explain = (host, text) => host.append(V.element("p", { class: "small" }, text));
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const ms = (frames) => Math.round((1000 * frames) / data.frames_per_second);

  const parts = {
    training(host) {
      const rows = data.history, steps = rows.map((r) => r.step);
      const name = (rows[0] && Object.keys(rows[0]).find((k) => k.startsWith("dev_"))) || "dev_frame_accuracy";
      const said = name.replace("dev_", "").replace(/_/g, " ");
      const shown = { x: steps, xLabel: "step", xFormat: V.whole };
      const accuracy = rows.map((r) => (r[name] === undefined ? null : r[name]));
      const known = accuracy.filter((a) => a !== null);
      const two = V.element("div", { class: "two" }, V.element("div"), V.element("div"));
      host.append(two);
      const losses = rows.map((r) => r.loss);
      V.chart(two.children[0], { ...shown, yLabel: "loss, nats a frame", yFormat: (v) => v.toFixed(2),
        label: `training loss by step, from ${losses[0].toFixed(2)} to ${losses[losses.length - 1].toFixed(2)}`,
        series: [{ label: "loss", values: losses, colour: "accent", kind: "line" }] });
      if (!known.length) return;
      const best = Math.max(...known), at = steps[accuracy.indexOf(best)];
      V.chart(two.children[1], { ...shown, yLabel: `${said} on dev`, yFormat: (v) => V.percent(v),
        label: `${said} on dev by step; highest ${V.percent(best)} at step ${at}`,
        series: [{ label: `${said} on dev`, values: accuracy, colour: "wrong", kind: "line" }] });
      explain(host, `Highest ${said} on dev: ${V.percent(best)} at step ${V.whole(at)}.`);
    },

    confusions(host) {
      const order = data.order.filter(({ i }) => sum(data.confusions[i]) || data.confusions.some((row) => row[i]));
      explain(host, "Rows: phones of the reference; columns: what they were taken for, in 10 ms frames. Depth: share of " +
        "the row, on a square-root scale. Phones are sorted by class. Arrow keys move; the line below reads the cell.");
      const said = V.element("p", { class: "said", "aria-live": "polite" }, "\u00a0");
      const cells = [];
      const text = (r, c) => {
        const row = data.confusions[r.i], all = sum(row), n = row[c.i];
        if (!all) return `${r.name}: not in the reference`;
        return `${r.name} ${r.i === c.i ? "recognised as such" : "taken for " + c.name}: ${V.percent(n / all)} of its ${V.whole(all)} frames (${V.whole(n)})`;
      };
      const starts = (n) => n > 0 && order[n].kind !== order[n - 1].kind;
      const line = (r, y) => V.element("tr", { class: starts(y) ? "starts" : null },
        V.element("th", { scope: "row" }, r.name),
        ...order.map((c, x) => {
          const all = sum(data.confusions[r.i]), share = all ? data.confusions[r.i][c.i] / all : 0;
          const cell = V.element("td", { title: text(r, c), tabindex: x || y ? "-1" : "0", "aria-label": text(r, c),
            class: [x === y ? "right" : "", starts(x) ? "starts" : "", all ? "" : "none"].join(" ").trim() || null });
          if (share >= 0.0005) cell.style.setProperty("--share", Math.sqrt(share).toFixed(3));
          (cells[y] = cells[y] || [])[x] = cell;
          return cell;
        }));
      const table = V.element("table", { class: "matrix", role: "grid", "aria-label": "confusions by phone" },
        V.element("thead", null, V.element("tr", null, V.element("td"),
          ...order.map((c, x) => V.element("th", { scope: "col", class: starts(x) ? "starts" : null }, V.element("span", null, c.name))))),
        V.element("tbody", null, ...order.map(line)));
      const find = (cell) => { for (let y = 0; y < cells.length; y++) { const x = cells[y].indexOf(cell); if (x >= 0) return [y, x]; } return null; };
      const show = (cell) => { if (cell && cell.title) said.textContent = cell.title; };
      table.addEventListener("pointerover", (event) => show(event.target.closest("tbody td")));
      table.addEventListener("focusin", (event) => show(event.target.closest("tbody td")));
      table.addEventListener("click", (event) => { const cell = event.target.closest("tbody td"); if (cell) cell.focus(); });
      const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -999], End: [0, 999] };
      table.addEventListener("keydown", (event) => {
        const place = find(document.activeElement), move = moves[event.key];
        if (!place || !move) return;
        event.preventDefault();
        const y = V.clamp(place[0] + move[0], 0, cells.length - 1), x = V.clamp(place[1] + move[1], 0, cells.length - 1);
        cells[place[0]][place[1]].tabIndex = -1;
        cells[y][x].tabIndex = 0;
        cells[y][x].focus();
      });
      const kinds = [...new Set(order.map((p) => p.kind))].map((kind) =>
        `${kind}: ${order.filter((p) => p.kind === kind).map((p) => p.name).join(" ")}`);
      host.append(V.element("div", { class: "scroll wide" }, table), said);
      explain(host, kinds.join("; ") + ".");
    },

    phones(host) {
      const size = data.order.length, compared = Boolean(data.confusions);
      const rows = data.order.filter((p) => p.kind !== "silence").map((p) => {
        const edits = data.edits[p.i], spoken = sum(edits), right = edits[p.i], deleted = edits[size];
        const inserted = data.edits[size][p.i], wrong = spoken - right - deleted;
        let most = -1;
        edits.forEach((n, j) => { if (j !== p.i && j < size && n && (most < 0 || n > edits[most])) most = j; });
        const names = Object.fromEntries(data.order.map((q) => [q.i, q.name]));
        const found = data.phone_counts.recognised[p.i];
        return { ...p, spoken, right: spoken ? right / spoken : null, wrong, deleted, inserted, found,
          most: most < 0 ? "" : `${names[most]} (${V.whole(edits[most])})`,
          length: found ? ms(data.phone_frames.recognised[p.i] / found) : null,
          expected: data.phone_counts.reference[p.i] ? ms(data.phone_frames.reference[p.i] / data.phone_counts.reference[p.i]) : null,
          confidence: found ? data.confidence_sums[p.i] / found : null };
      }).filter((p) => p.spoken || p.found);
      const number = (head, key, title) => ({ head, title, value: (r) => r[key], text: (r) => (r[key] === null ? "–" : V.whole(r[key])), first: "down" });
      const columns = [
        { head: "phone", value: (r) => r.name, node: (r) => V.visible(r.name) + (r.ipa && r.ipa !== r.name ? ` [${r.ipa}]` : "") },
        { head: "class", value: (r) => r.kind, node: (r) => r.kind },
      ];
      if (compared) {
        columns.push(
          number("spoken", "spoken", "in the reference"),
          { head: "right", title: "share of the reference's phones that is right", value: (r) => r.right, node: (r) => V.bar(V.percent(r.right), r.right) },
          number("S", "wrong", "substituted: taken for another"), number("D", "deleted", "deleted: missing"), number("I", "inserted", "inserted"),
          { head: "most taken for", node: (r) => r.most });
      }
      columns.push(number("recognised", "found", "how often it was recognised"),
        { head: "confidence", title: "mean confidence", value: (r) => r.confidence, node: (r) => V.bar(V.percent(r.confidence), r.confidence) },
        number("ms", "length", "mean length as recognised, milliseconds"));
      if (compared) columns.push(number("reference ms", "expected", "mean length in the reference, milliseconds"));
      V.sortable(host, columns, rows, "by phone");
    },

    speakers(host) {
      const columns = [
        { head: "speaker", value: (r) => r.name, node: (r) => V.visible(r.name) },
        { head: "utterances", value: (r) => r.utterances, text: (r) => V.whole(r.utterances), first: "down" },
        { head: "phones", value: (r) => r.phones, text: (r) => V.whole(r.phones), first: "down" },
        { head: "PER", title: "phone error rate", value: (r) => r.per, node: (r) => V.bar(V.percent(r.per), r.per, true), first: "down" },
        ...[["S", "substitutions"], ["I", "insertions"], ["D", "deletions"]].map(([head, key]) => (
          { head, title: key, value: (r) => r[key], text: (r) => V.whole(r[key]), first: "down" })),
        { head: "frame accuracy", value: (r) => r.path_accuracy, text: (r) => V.percent(r.path_accuracy) },
        { head: "boundary F1", value: (r) => r.boundary_f1, text: (r) => V.percent(r.boundary_f1) },
      ];
      if (data.all_speakers > data.speakers.length) {
        explain(host, `The ${data.speakers.length} of ${V.whole(data.all_speakers)} speakers with the highest error rates.`);
      }
      V.sortable(host, columns, data.speakers, "by speaker");
    },

    durations(host) {
      const sides = ["recognised", "reference"].filter((side) => sum(data.durations[side]));
      const bins = data.durations.recognised.map((_, i) => ms(i + 1));
      const share = (side) => { const all = sum(data.durations[side]); return data.durations[side].map((n) => n / all); };
      const colours = { recognised: "accent", reference: "wrong" };
      V.chart(host, { x: bins, xLabel: "length, ms", yLabel: "share of phones", yFormat: (v) => V.percent(v),
        xFormat: (v) => (v === bins[bins.length - 1] ? "≥ " : "") + V.whole(v), label: `lengths of phones: ${sides.join(" and ")}`,
        series: sides.map((side) => ({ label: side, values: share(side), colour: colours[side], kind: "bars" })) });
      explain(host, `Silence left out; phones of ${bins[bins.length - 1]} ms and more are in the last bar.`);
    },

    boundaries(host) {
      const counts = data.boundary_errors, all = sum(counts), x = counts.map((_, i) => ms(i - data.farthest));
      if (!all) return explain(host, "No phone is right, so nothing can be compared.");
      const near = (limit) => sum(counts.filter((_, i) => Math.abs(x[i]) <= limit)) / all;
      const mean = sum(counts.map((n, i) => n * x[i])) / all;
      V.chart(host, { x, xLabel: "begins too late by, ms (early: negative)", yLabel: "share of phones", yFormat: (v) => V.percent(v), xFormat: (v) => String(v),
        label: `errors of boundaries; ${V.percent(near(20))} within 20 ms, mean ${mean.toFixed(1)} ms`,
        series: [{ label: "phones that are right", values: counts.map((n) => n / all), colour: "accent", kind: "bars" }] });
      explain(host, `Phones that are right begin within 10 ms of the reference in ${V.percent(near(10))} of cases, within 20 ms in ${V.percent(near(20))}, ` +
        `on average ${Math.abs(mean).toFixed(1)} ms too ${mean < 0 ? "early" : "late"}. The outermost bars hold all beyond.`);
    },

    calibration(host) {
      const rows = data.reliability.filter((r) => r.phones);
      if (!rows.length) return explain(host, "No phone was recognised, so there are no confidences to judge.");
      const exact = rows.map((r) => r.confidence);
      V.chart(host, { x: exact, xLabel: "confidence", yLabel: "share that is right", xFormat: (v) => v.toFixed(2), yFormat: (v) => V.percent(v, 0),
        xRange: [0, 1], yRange: [0, 1], label: `share of right phones by confidence; expected calibration error ${V.percent(data.calibration_error)}`,
        series: [{ label: "share that is right", values: rows.map((r) => r.accuracy), colour: "accent", kind: "points" },
          { label: "ideal", values: exact, colour: "text-soft", kind: "line", dash: [6, 5] }] });
      host.append(V.plainTable(["confidence", "phones", "mean", "right"], rows.map((r) => [
        `${r.low.toFixed(1)}–${r.high.toFixed(1)}`, V.whole(r.phones), r.confidence.toFixed(3), V.percent(r.accuracy)])));
      explain(host, `Expected calibration error: ${V.percent(data.calibration_error)}. Where the curve is below the dashed line, phones are less often right than their confidence says.`);
    },

    confidences(host) {
      const counts = data.confidences, all = sum(counts);
      if (!all) return explain(host, "No phone was recognised.");
      V.chart(host, { x: counts.map((_, i) => (i + 0.5) / counts.length), xLabel: "confidence", yLabel: "share of phones", xFormat: (v) => v.toFixed(2),
        yFormat: (v) => V.percent(v), xRange: [0, 1], label: "confidences of the recognised phones",
        series: [{ label: "phones", values: counts.map((n) => n / all), colour: "accent", kind: "bars" }] });
    },

    utterances(host) {
      const rows = data.utterances, compared = rows.some((r) => "rate" in r);
      const worst = rows.filter((r) => r.group === "worst").length, best = rows.length - worst;
      const how = compared ? "phone error rate" : "confidence of their phones";
      explain(host, `By ${how}: the ${worst} worst${best ? ` and the ${best} best` : ""} of ${V.whole(data.total)}. ` +
        (compared ? "Struck through: what the reference has; underlined: what was recognised instead." : ""));
      const search = V.element("input", { type: "search", id: "find" });
      const group = V.element("select", { id: "group" }, ...["all", "worst", "best"].map((g) => V.element("option", { value: g }, g)));
      const count = V.element("span", { class: "small", role: "status" });
      host.append(V.element("div", { class: "tools" }, V.element("label", { for: "find" }, "Find"), search,
        V.element("label", { for: "group" }, "Show"), group, count));
      const columns = [
        { head: "utterance", value: (r) => r.name, node: (r) => V.element("span", { class: "name" }, V.visible(r.name)) },
        { head: "speaker", value: (r) => r.speaker, node: (r) => V.visible(r.speaker) },
        { head: "s", title: "length in seconds", value: (r) => r.seconds, text: (r) => r.seconds.toFixed(1), first: "down" },
      ];
      if (compared) {
        columns.push({ head: "PER", title: "phone error rate", value: (r) => r.rate, first: "down",
          node: (r) => V.bar(r.rate === null ? "–" : `${V.percent(r.rate, 0)} (${r.errors}/${r.phones})`, r.rate, true) });
      }
      columns.push({ head: "confidence", title: "mean confidence", value: (r) => r.confidence,
        node: (r) => V.bar(r.confidence === null ? "–" : V.percent(r.confidence, 0), r.confidence) });
      columns.push({ head: "sound", node: player }, { head: "phones", node: phones });
      const table = V.sortable(host, columns, rows, "utterances");
      const filter = () => {
        const words = search.value.toLowerCase();
        const n = table.filter((r) => (group.value === "all" || r.group === group.value) &&
          (r.corpus + " " + r.speaker + " " + r.name + " " + r.pairs.flat().join(" ")).toLowerCase().includes(words));
        count.textContent = `${n} of ${rows.length} shown`;
      };
      search.addEventListener("input", filter);
      group.addEventListener("change", filter);
      filter();
    },
  };

  function player(row) {
    if (!row.sound) return V.element("span", { class: "small" }, "no player");
    const audio = V.element("audio", { controls: true, preload: "none", src: row.sound, "aria-label": "sound of " + V.visible(row.name) });
    audio.addEventListener("error", () => audio.replaceWith(V.element("span", { class: "small", role: "status" }, "cannot be played; is the recording still there?")));
    audio.addEventListener("play", () => document.querySelectorAll("audio").forEach((other) => other !== audio && other.pause()));
    return audio;
  }

  function phones(row) {
    const nodes = [];
    for (const pair of row.pairs) {
      if (typeof pair === "string") nodes.push(V.visible(pair));
      else {
        if (pair[0] !== null) nodes.push(V.element("del", { title: "reference" }, V.visible(pair[0])));
        if (pair[1] !== null) nodes.push(V.element("ins", { title: "recognised" }, V.visible(pair[1])));
      }
      nodes.push(" ");
    }
    if (row.cut) nodes.push("…");
    return V.element("span", { class: "phones" }, ...nodes);
  }

  const theme = V.element("select", { id: "scheme", "aria-label": "colours of the page" },
    ...["auto", "light", "dark"].map((t) => V.element("option", { value: t }, t)));
  theme.addEventListener("change", () => V.setTheme(theme.value));
  document.getElementById("theme").append(theme);
  for (const [name, fill] of Object.entries(parts)) {
    const host = part(name);
    if (host) fill(host);
  }
  document.documentElement.dataset.drawn = "yes";
})(window.Viewer);

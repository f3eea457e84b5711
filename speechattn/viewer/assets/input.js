// Mouse, trackpad, touch and keyboard.
"use strict";
(function (V) {
  const NEAR = 5; // pixels from a boundary at which it can be taken; 12 for fingers
  const STILL = 4; // pixels that a click may move

  /** Connect the panels with an app: see show.js for what it offers. */
  V.connectPointers = function (figure, app, gutter) {
    const fingers = new Map();
    let gesture = null;
    const place = (event) => {
      const box = figure.getBoundingClientRect();
      return event.clientX - box.left - gutter();
    };
    const tierAt = (event) => app.tierOf(event.target.closest ? event.target.closest(".tier") : null);

    function hertzAt(event) {
      const box = app.parts.spectrogram.getBoundingClientRect(), y = (event.clientY - box.top) / box.height;
      return y >= 0 && y < 1 ? 8000 * (1 - y) : null;
    }
    function boundaryAt(event) {
      const tier = tierAt(event);
      if (!tier || !tier.editable) return null;
      const { view } = app, x = place(event), near = event.pointerType === "touch" ? 12 : NEAR;
      const i = Math.max(0, V.above(tier.ends, view.time(x - near)));
      let best = null, distance = near;
      for (let j = i; j < Math.min(tier.count - 1, i + 4); j++) {
        const away = Math.abs(view.x(tier.ends[j]) - x);
        if (away <= distance) { best = j; distance = away; }
      }
      // In a narrow interval the middle is for clicks.
      if (best !== null && distance > (view.x(tier.ends[best]) - view.x(tier.start(best))) / 3) return null;
      return best === null ? null : { tier, i: best };
    }
    function pinch() {
      const [a, b] = [...fingers.values()];
      return { middle: (a + b) / 2, apart: Math.max(20, Math.abs(a - b)) };
    }

    figure.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (place(event) < 0) return;
      if (event.pointerType === "touch") fingers.set(event.pointerId, place(event));
      if (fingers.size === 2) {
        const now = pinch();
        gesture = { kind: "pinch", apart: now.apart, time: app.view.time(now.middle), scale: app.view.scale };
        return;
      }
      const boundary = boundaryAt(event);
      const start = place(event);
      gesture = { kind: "click", start, time: app.view.time(start), tier: tierAt(event), boundary, event,
        touch: event.pointerType === "touch", viewStart: app.view.start };
      if (boundary) gesture.boundaries = app.editor.together(boundary.tier, boundary.i, event.altKey);
      if (event.target.setPointerCapture) event.target.setPointerCapture(event.pointerId);
      const slider = event.target.closest && event.target.closest(".tier");
      if (slider) slider.focus({ preventScroll: true });
      if (!gesture.touch) event.preventDefault();
    });
    figure.addEventListener("pointermove", (event) => {
      const x = place(event);
      if (fingers.has(event.pointerId)) fingers.set(event.pointerId, x);
      if (gesture === null) {
        if (event.pointerType !== "touch") {
          app.hover(x >= 0 ? app.view.time(x) : null, hertzAt(event));
          figure.classList.toggle("resizing", boundaryAt(event) !== null);
        }
        return;
      }
      const { view } = app;
      if (gesture.kind === "pinch") {
        if (fingers.size < 2) return;
        const now = pinch();
        const scale = gesture.scale * now.apart / gesture.apart;
        view.set(gesture.time - now.middle / scale, scale);
        return;
      }
      const moved = Math.abs(x - gesture.start) > STILL;
      if (gesture.kind === "click" && moved) {
        gesture.kind = gesture.boundary ? "boundary" : gesture.touch ? "pan" : "select";
        if (gesture.kind === "boundary") app.editor.begin("boundary moved");
      }
      if (gesture.kind === "boundary") {
        const time = app.editor.move(gesture.boundaries, view.time(x));
        app.hover(time);
      } else if (gesture.kind === "pan") {
        view.set(gesture.viewStart - (x - gesture.start) / view.scale, view.scale);
      } else if (gesture.kind === "select") {
        const time = V.clamp(view.time(V.clamp(x, 0, view.width)), 0, view.duration);
        app.select(Math.min(gesture.time, time), Math.max(gesture.time, time));
        if (x < 0 || x > view.width) view.pan((x < 0 ? x : x - view.width) / view.scale / 8);
        app.hover(time);
      }
    });
    function finish(event) {
      fingers.delete(event.pointerId);
      const ended = gesture;
      if (ended === null || (ended.kind === "pinch" && fingers.size)) return;
      gesture = null;
      if (ended.kind === "boundary") {
        if (event.type === "pointercancel") app.editor.cancel();
        else app.editor.commit();
      } else if (ended.kind === "click" && event.type === "pointerup") app.click(ended.time, ended.tier);
    }
    figure.addEventListener("pointerup", finish);
    figure.addEventListener("pointercancel", finish);
    figure.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && gesture === null) app.hover(null);
    });
    figure.addEventListener("dblclick", (event) => {
      const tier = tierAt(event);
      if (tier && tier.editable) app.rename(tier, tier.at(app.view.time(place(event))));
    });
    figure.addEventListener("wheel", (event) => {
      const { view } = app, unit = event.deltaMode === 1 ? 16 : 1;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        view.zoom(Math.exp(-event.deltaY * unit * 0.01), view.time(V.clamp(place(event), 0, view.width)));
      } else {
        const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
        if (Math.abs(sideways) < Math.abs(event.deltaY) && !event.shiftKey) return; // the page scrolls
        if (!sideways) return;
        event.preventDefault();
        view.pan(sideways * unit / view.scale);
      }
    }, { passive: false });
  };

  /** The strip of the whole recording: drag what is in sight. */
  V.connectOverview = function (canvas, app) {
    const go = (event) => {
      const box = canvas.getBoundingClientRect(), { view } = app;
      view.set((event.clientX - box.left) / box.width * view.duration - view.seconds / 2, view.scale);
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
  };

  /** Keys work wherever the focus is, but for fields of text and lists. */
  V.connectKeys = function (app) {
    document.addEventListener("keydown", (event) => {
      const target = event.target, command = event.ctrlKey || event.metaKey;
      if (target.closest("dialog") || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
      const onButton = target.closest("button, summary, a") !== null;
      if (onButton && (event.key === " " || event.key === "Enter")) return;
      const act = command ? COMMANDS[event.key.toLowerCase()] : KEYS[event.key] || KEYS[event.key.toLowerCase()];
      if (!act || (command && event.altKey)) return;
      event.preventDefault();
      act(app, event);
    });
  };
  const COMMANDS = {
    z: (app, event) => (event.shiftKey ? app.act.redo() : app.act.undo()),
    y: (app) => app.act.redo(),
    s: (app) => app.act.save(),
  };
  const arrow = (direction) => (app, event) =>
    event.altKey ? app.nudge(direction * 0.01) : app.step(direction);
  const KEYS = {
    " ": (app) => app.act.play(),
    "Enter": (app) => app.playSelected(),
    "t": (app) => app.act.slower(),
    "l": (app) => app.act.loop(),
    "ArrowLeft": arrow(-1),
    "ArrowRight": arrow(1),
    "ArrowUp": (app) => app.otherTier(-1),
    "ArrowDown": (app) => app.otherTier(1),
    "+": (app) => app.act.zoom(2),
    "=": (app) => app.act.zoom(2),
    "-": (app) => app.act.zoom(0.5),
    "0": (app) => app.act.all(),
    "z": (app) => app.showSelected(),
    "PageUp": (app) => app.view.pan(-0.9 * app.view.seconds),
    "PageDown": (app) => app.view.pan(0.9 * app.view.seconds),
    "Home": (app) => app.goTo(0),
    "End": (app) => app.goTo(app.view.duration),
    "n": (app, event) => app.act.difference(event.shiftKey ? -1 : 1),
    "[": (app) => app.nextHead(-1),
    "]": (app) => app.nextHead(1),
    "{": (app) => app.nextLayer(-1),
    "}": (app) => app.nextLayer(1),
    "F2": (app) => app.renameSelected(),
    "r": (app) => app.renameSelected(),
    "s": (app) => app.split(),
    "m": (app) => app.merge(),
    ",": (app) => app.shift(-0.005, false),
    ".": (app) => app.shift(0.005, false),
    "<": (app) => app.shift(-0.005, true),
    ">": (app) => app.shift(0.005, true),
    "Escape": (app) => app.clear(),
    "?": (app) => app.act.help(),
  };
})(window.Viewer);

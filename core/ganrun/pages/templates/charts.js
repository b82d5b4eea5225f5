// Curves as SVG: hover or arrow keys read values, dragging zooms, a double click or Escape shows all, "log" changes the axis.
(() => {
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"];
  const DASHES = ["", "6 3", "2 3", "8 3 2 3", "4 2", "1 2"];
  const NS = "http://www.w3.org/2000/svg";
  const WIDTH = 420, HEIGHT = 220, LEFT = 56, RIGHT = 10, TOP = 8, BOTTOM = 24;

  const make = (parent, name, attributes, text) => {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.appendChild(node);
    return node;
  };
  const short = (value) => value === null ? "no number" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(2) : String(Number(value.toPrecision(4)));

  const ticks = (low, high, count) => {
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) found.push(tick);
    return found;
  };

  function chart(figure) {
    const curves = JSON.parse(figure.querySelector("script").textContent);
    const marks = JSON.parse(document.getElementById("findings").textContent);
    const svg = figure.querySelector("svg"), reading = figure.querySelector(".reading");
    const all = [Math.min(...curves.flatMap((c) => c.steps)), Math.max(...curves.flatMap((c) => c.steps))];
    const state = { log: false, view: all[0] === all[1] ? [all[0] - 1, all[1] + 1] : all, hidden: new Set(), at: null };
    const whole = [...state.view];
    const usable = (value) => value !== null && value !== undefined && (!state.log || value > 0);
    const scaled = (value) => state.log ? Math.log10(value) : value;
    const x = (step) => LEFT + (step - state.view[0]) / (state.view[1] - state.view[0]) * (WIDTH - LEFT - RIGHT);
    let y = (value) => value;

    function draw() {
      svg.replaceChildren();
      const shown = curves.map((curve, number) => ({ ...curve, number })).filter((c) => !state.hidden.has(c.number));
      const inside = [];
      for (const curve of shown) {
        curve.steps.forEach((step, i) => {
          if (step < state.view[0] || step > state.view[1]) return;
          for (const value of [curve.values[i], curve.low[i], curve.high[i]]) if (usable(value)) inside.push(scaled(value));
        });
      }
      let low = inside.length ? Math.min(...inside) : 0, high = inside.length ? Math.max(...inside) : 1;
      if (low === high) { low -= Math.abs(low) * 0.05 || 1; high += Math.abs(high) * 0.05 || 1; }
      const pad = (high - low) * 0.04;
      low -= pad; high += pad;
      y = (value) => TOP + (high - scaled(value)) / (high - low) * (HEIGHT - TOP - BOTTOM);
      for (const tick of ticks(low, high, 5)) {
        const value = state.log ? 10 ** tick : tick, place = y(value);
        make(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: place, y2: place, class: "rule" });
        make(svg, "text", { x: LEFT - 6, y: place + 4, class: "tick", "text-anchor": "end" }, short(value));
      }
      for (const tick of ticks(state.view[0], state.view[1], 5).filter((t) => Number.isInteger(t))) {
        make(svg, "text", { x: x(tick), y: HEIGHT - 8, class: "tick", "text-anchor": "middle" }, tick.toLocaleString("en"));
      }
      for (const mark of marks) {
        if (mark.step < state.view[0] || mark.step > state.view[1]) continue;
        const line = make(svg, "line", { x1: x(mark.step), x2: x(mark.step), y1: TOP, y2: HEIGHT - BOTTOM, class: "finding" });
        make(line, "title", {}, `${mark.name}, step ${mark.step}`);
      }
      for (const curve of shown) {
        const colour = COLOURS[curve.number % COLOURS.length];
        const band = curve.steps.map((s, i) => i).filter((i) => usable(curve.low[i]) && usable(curve.high[i]));
        if (band.length > 1) {
          const edge = band.map((i) => `${x(curve.steps[i])},${y(curve.high[i])}`)
            .concat(band.reverse().map((i) => `${x(curve.steps[i])},${y(curve.low[i])}`));
          make(svg, "polygon", { points: edge.join(" "), fill: colour, class: "band" });
        }
        let path = "", pen = false, points = 0;
        curve.steps.forEach((step, i) => {
          if (!usable(curve.values[i])) { pen = false; return; }
          path += `${pen ? "L" : "M"}${x(step).toFixed(1)},${y(curve.values[i]).toFixed(1)}`;
          pen = true; points += 1;
        });
        make(svg, "path", { d: path, stroke: colour, class: "curve",
          "stroke-dasharray": DASHES[Math.floor(curve.number / COLOURS.length) % DASHES.length] });
        if (points <= 40) curve.steps.forEach((step, i) => {
          if (usable(curve.values[i])) make(svg, "circle", { cx: x(step), cy: y(curve.values[i]), r: 2.5, fill: colour });
        });
      }
      if (state.at !== null) make(svg, "line", { x1: x(state.at), x2: x(state.at), y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor" });
    }

    function read() {
      if (state.at === null) { reading.textContent = ""; return; }
      const parts = curves.filter((c, n) => !state.hidden.has(n)).map((curve) => {
        let best = 0;
        curve.steps.forEach((step, i) => { if (Math.abs(step - state.at) < Math.abs(curve.steps[best] - state.at)) best = i; });
        const band = curve.low[best] === null || curve.low[best] === undefined ? "" : ` (${short(curve.low[best])} to ${short(curve.high[best])})`;
        return `${curve.name} ${short(curve.values[best])}${band}`;
      });
      reading.textContent = `step ${Math.round(state.at).toLocaleString("en")}: ${parts.join("; ")}`;
    }

    const stepAt = (event) => {
      const box = svg.getBoundingClientRect(), place = (event.clientX - box.left) / box.width * WIDTH;
      const step = state.view[0] + (place - LEFT) / (WIDTH - LEFT - RIGHT) * (state.view[1] - state.view[0]);
      return Math.min(Math.max(step, state.view[0]), state.view[1]);
    };
    const nearest = (step) => curves.flatMap((c) => c.steps).reduce((a, b) => Math.abs(b - step) < Math.abs(a - step) ? b : a);
    let from = null;
    svg.addEventListener("pointermove", (event) => { state.at = nearest(stepAt(event)); draw(); read(); });
    svg.addEventListener("pointerleave", () => { state.at = null; draw(); read(); });
    svg.addEventListener("pointerdown", (event) => { from = stepAt(event); });
    svg.addEventListener("pointerup", (event) => {
      const to = stepAt(event);
      if (from !== null && Math.abs(x(to) - x(from)) > 12) state.view = [Math.min(from, to), Math.max(from, to)];
      from = null; draw();
    });
    const reset = () => { state.view = [...whole]; draw(); };
    svg.addEventListener("dblclick", reset);
    svg.addEventListener("keydown", (event) => {
      const steps = [...new Set(curves.flatMap((c) => c.steps))].sort((a, b) => a - b);
      const now = state.at === null ? -1 : steps.indexOf(nearest(state.at));
      if (event.key === "ArrowRight") state.at = steps[Math.min(now + 1, steps.length - 1)];
      else if (event.key === "ArrowLeft") state.at = steps[Math.max(now - 1, 0)];
      else if (event.key === "Escape") { reset(); return; }
      else return;
      event.preventDefault(); draw(); read();
    });
    const log = figure.querySelector(".log");
    if (log) log.addEventListener("change", () => { state.log = log.checked; draw(); });
    figure.querySelectorAll(".legend input").forEach((box, number) => box.addEventListener("change", () => {
      box.checked ? state.hidden.delete(number) : state.hidden.add(number);
      draw();
    }));
    draw();
  }

  document.querySelectorAll("figure.chart").forEach(chart);
  document.querySelectorAll(".slider").forEach((slider) => {
    const range = slider.querySelector("input"), pictures = slider.querySelectorAll("img"), label = slider.querySelector("output");
    const show = () => pictures.forEach((picture, number) => {
      picture.hidden = number !== Number(range.value);
      if (!picture.hidden) label.textContent = picture.alt;
    });
    range.addEventListener("input", show);
    show();
  });
})();

// A board's plot: any score against any cost. The drawing is Chart.js; this says what is drawn.
"use strict";

(() => {
  const { live, state, plotAxes: axes, plotLayers: layers } = cssbench;
  const section = document.getElementById("explore");
  if (!section || !live.data || !window.Chart) return;
  const part = (name) => section.querySelector(`[data-plot="${name}"]`);
  const canvas = part("canvas");
  const MARKERS = { o: "circle", s: "rect", D: "rectRot", "^": "triangle", v: "triangle", P: "cross", X: "crossRot", p: "rectRounded", h: "star" };
  const PAUSE = 120; // ms without a key, after which the plot follows the table's filter
  let chart = null;
  let points = [];
  let focused = -1;
  let waiting = 0;

  function choose(select, keys, wanted) {
    for (const key of keys) {
      const { name, unit, unknown } = live.column(key);
      const known = live.rows.some((row) => row.values[key][0] !== null);
      const option = live.element("option", known ? `${name} (${unit})` : `${name}: ${unknown}`, { value: key });
      option.disabled = !known;
      select.append(option);
    }
    const open = keys.filter((key) => live.rows.some((row) => row.values[key][0] !== null));
    select.value = open.includes(wanted) ? wanted : (open[0] ?? "");
  }

  // The filter of the table holds for the plot too.
  const ranking = document.getElementById("board");
  const lines = new Map(cssbench.rows(ranking).all.map((line) => [line.id, line]));
  const wanted = () => live.rows.filter((row) => row.kind === "ranked" && cssbench.rows(ranking).passes(lines.get(row.id)));

  const axis = (name) => part(name).value;
  const ticked = (name) => part(name).checked;

  function found() {
    const [x, y] = [axis("x"), axis("y")];
    const { factor: fx } = live.column(x);
    const { factor: fy } = live.column(y);
    const known = wanted().filter((row) => row.values[x][0] !== null && row.values[y][0] !== null);
    const all = known.map((row) => ({
      row,
      x: row.values[x][0] / fx,
      y: row.values[y][0] / fy,
      sx: (row.values[x][1] ?? 0) / fx,
      sy: (row.values[y][1] ?? 0) / fy,
    }));
    return all.filter((p) => (!logged("x") || p.x > 0) && (!logged("y") || p.y > 0)).sort((a, b) => a.x - b.x || a.y - b.y);
  }

  function logged(name) {
    return ticked(`log-${name}`) && !part(`log-${name}`).disabled;
  }

  function settleLog(name) {
    const key = axis(name);
    const values = live.rows.filter((row) => row.kind === "ranked").map((row) => row.values[key][0]).filter((v) => v !== null);
    const box = part(`log-${name}`);
    const { possible, wanted: fit } = axes.logFor(values);
    box.disabled = !possible;
    box.title = possible ? "" : "has values below zero, or none above";
    box.checked = name === "x" && fit;
  }

  // A scale that holds the points with their spread, and beside them joint training and published values.
  function scale(name) {
    const log = logged(name);
    const spread = name === "x" ? "sx" : "sy";
    const reach = points.flatMap((p) => [p[name], p[name] + p[spread], ...(log && p[name] <= p[spread] ? [] : [p[name] - p[spread]])]);
    const beside = name === "y" ? layers.beside(axis("y"), ticked("papers")).filter((value) => !log || value > 0) : [];
    const { name: title, unit, better: direction } = live.column(axis(name));
    return axes.scale(points.length ? [...reach, ...beside] : [0, 1], log, `${title} (${unit}), ${direction} is better`);
  }

  function config() {
    return {
      type: "scatter",
      data: { datasets: [{ data: points, ...looks() }] },
      options: {
        animation: false, // the layers would not move along
        maintainAspectRatio: false,
        scales: { x: scale("x"), y: scale("y") },
        interaction: { mode: "nearest", intersect: true },
        onHover: (_, active) => active.length && detail(active[0].index),
        plugins: { legend: { display: false }, tooltip: { displayColors: false, bodyFont: { size: 0.95 * axes.size() }, callbacks: { label: (item) => spoken(points[item.dataIndex]) } } },
      },
      plugins: [layers.plugin(() => ({ points, y: axis("y"), better: better(), shown: ticked, label: live.label, focused: points[focused] ?? null }))],
    };
  }

  const better = () => ({ x: live.column(axis("x")).better, y: live.column(axis("y")).better });

  function looks() {
    const colours = points.map((p) => live.colour(p.row));
    const card = live.ink("--card");
    const strokes = points.map((p) => ["cross", "crossRot", "star"].includes(MARKERS[p.row.marker]));
    return {
      backgroundColor: colours,
      borderColor: points.map((p, i) => (strokes[i] ? colours[i] : card)),
      borderWidth: strokes.map((stroke) => (stroke ? 2.5 : 1)),
      pointStyle: points.map((p) => MARKERS[p.row.marker] ?? "circle"),
      rotation: points.map((p) => (p.row.marker === "v" ? 180 : 0)),
      radius: axes.size() * (points.length > 60 ? 0.3 : 0.48),
      hoverRadius: axes.size() * 0.65,
    };
  }

  function spoken({ row }) {
    const [x, y] = [axis("x"), axis("y")];
    return [live.label(row.name, 60), `${live.column(y).name} ${live.show(y, row.values[y])}`, `${live.column(x).name} ${live.show(x, row.values[x])}`];
  }

  function detail(index) {
    const { row } = points[index];
    focused = index;
    const [name, ...numbers] = spoken(points[index]);
    const link = live.element("a", name, { href: `#${row.id}` });
    const on = row.on === null ? "" : ` Works on top of ${live.label(live.rows[row.on].name)}.`;
    const front = layers.front(points, better()).includes(points[index]) ? " On the Pareto front." : "";
    const seeds = row.seeds === 1 ? "one seed, so no spread" : `${row.seeds} seeds`;
    part("details").replaceChildren(link, `: ${numbers.join("; ")}; ${seeds}.${front}${on}`);
  }

  function inWords() {
    const [x, y] = [axis("x"), axis("y")];
    part("head").replaceChildren(...["Method", live.column(x).name, live.column(y).name, "Pareto front"].map((text) => live.element("th", text, { scope: "col" })));
    const front = new Set(layers.front(points, better()));
    part("body").replaceChildren(
      ...points.map((p) => {
        const line = document.createElement("tr");
        line.append(live.element("th", live.label(p.row.name, 200), { scope: "row" }));
        line.append(...[live.show(x, p.row.values[x]), live.show(y, p.row.values[y]), front.has(p) ? "yes" : ""].map((text) => live.element("td", text)));
        return line;
      }),
    );
  }

  function draw() {
    points = found();
    focused = -1;
    const away = wanted().length - points.length;
    part("missing").textContent = away ? `${away} finished row${away > 1 ? "s" : ""} without both numbers, or below zero on a log axis, not drawn.` : "";
    canvas.setAttribute("aria-label", `${live.column(axis("y")).name} against ${live.column(axis("x")).name} of ${points.length} rows. Left and right arrow keys go from point to point; a table is below.`);
    if (chart) {
      const next = config();
      Object.assign(chart.options, next.options);
      chart.data.datasets = next.data.datasets;
      chart.update();
    } else chart = new Chart(canvas, config());
    inWords();
    cssbench.plot = { chart, points: () => points };
  }

  function step(event) {
    const moves = { ArrowRight: focused + 1, ArrowLeft: focused - 1, Home: 0, End: points.length - 1 };
    if (event.key === "Enter" && focused >= 0) location.hash = points[focused].row.id;
    if (!(event.key in moves) || !points.length) return;
    event.preventDefault();
    const index = Math.min(Math.max(moves[event.key], 0), points.length - 1);
    const active = [{ datasetIndex: 0, index }];
    chart.setActiveElements(active);
    chart.tooltip.setActiveElements(active, chart.getDatasetMeta(0).data[index]);
    chart.update("none");
    detail(index);
  }

  function start() {
    section.hidden = false;
    choose(part("x"), live.data.x, state.get("x", live.data.x[0]));
    choose(part("y"), live.data.y, state.get("y", live.data.y[0]));
    if (!axis("x") || !axis("y")) {
      section.hidden = true;
      return;
    }
    for (const name of ["x", "y"]) {
      const kept = state.get(`log-${name}`);
      settleLog(name);
      if (kept && !part(`log-${name}`).disabled) part(`log-${name}`).checked = kept === "yes";
      part(name).addEventListener("change", () => {
        settleLog(name);
        state.set(`log-${name}`, "");
        state.set(name, axis(name), live.data[name][0]);
        draw();
      });
      part(`log-${name}`).addEventListener("change", () => {
        state.set(`log-${name}`, ticked(`log-${name}`) ? "yes" : "no");
        draw();
      });
    }
    for (const name of ["front", "spread", "joins", "names", "papers"]) part(name).addEventListener("change", draw);
    part("papers").parentElement.hidden = live.data.papers.length === 0;
    const printed = document.querySelector("details.gallery");
    if (printed) printed.open = false; // the same plots, as figures
    if (printed) addEventListener("beforeprint", () => (printed.open = true));
    canvas.addEventListener("keydown", step);
    live.dark.addEventListener("change", draw);
    live.onChange(draw);
    ranking.addEventListener("filtered", () => {
      clearTimeout(waiting);
      waiting = setTimeout(draw, PAUSE);
    });
    draw();
  }

  Chart.defaults.font.family = live.ink("--sans");
  start();
})();

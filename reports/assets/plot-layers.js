// What a board's plot shows beside its points: the Pareto front, spreads, joins, joint training, names.
"use strict";

(() => {
  const { live, plotAxes } = cssbench;
  const { size } = plotAxes;
  const CROWD = 60;
  const NAMED = 14; // names beside points: of all up to this many, then of those on the front

  // Points that no other one beats: none costs no more and scores no less and differs in one of the two.
  function front(points, better) {
    const sign = { x: better.x === "lower" ? 1 : -1, y: better.y === "higher" ? -1 : 1 };
    const order = [...points].sort((a, b) => sign.x * (a.x - b.x) || sign.y * (a.y - b.y));
    const best = [];
    for (const p of order) {
      const last = best.at(-1);
      if (!last || sign.y * (p.y - last.y) < 0 || (p.x === last.x && p.y === last.y)) best.push(p);
    }
    return best;
  }

  function bound(key) {
    const joint = live.rows.find((row) => row.kind === "bound");
    if (!joint || !["miou_all_percent", "miou_old_percent", "miou_new_percent"].includes(key)) return null;
    return joint.values[key][0];
  }

  // Published values of a score over the same classes as the board counts now; of new classes all papers agree.
  function papers(key) {
    const own = live.data.background && live.convention.background ? "with" : "without";
    const fits = (paper) => paper.convention === own || key === "miou_new_percent";
    return live.data.papers.filter((paper) => fits(paper) && (paper.values[key] ?? null) !== null);
  }

  // What an axis must reach beside the points themselves.
  function beside(key, published) {
    const joint = bound(key);
    return [...(joint === null ? [] : [joint]), ...(published ? papers(key).map((paper) => paper.values[key]) : [])];
  }

  // Open marks at the right edge: papers print no cost as it is counted here, so that they have no place across.
  function drawPapers(chart, { y, label }) {
    const { ctx, chartArea: area, scales } = chart;
    const [half, left] = [0.4 * size(), area.right - size()];
    let free = Infinity;
    for (const paper of papers(y).toSorted((a, b) => a.values[y] - b.values[y])) {
      const top = scales.y.getPixelForValue(paper.values[y]);
      const corners = [[left, top - half], [left + half, top], [left, top + half], [left - half, top], [left, top - half]];
      line(ctx, corners, paper.colour ? live.colour(paper) : live.ink("--muted"), 1.5);
      if (top > free - 1.2 * size()) continue;
      write(ctx, label(paper.name, 22), left - size(), top, "right");
      free = top;
    }
  }

  function line(context, path, colour, width, dash = []) {
    context.save();
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    context.restore();
  }

  function drawFront(chart, { points, better }) {
    const { x, y } = chart.scales;
    const best = front(points, better).map((p) => [x.getPixelForValue(p.x), y.getPixelForValue(p.y)]);
    if (!best.length) return;
    const path = best.flatMap(([px, py], i) => (i ? [[px, best[i - 1][1]], [px, py]] : [[px, py]]));
    path.push([better.x === "lower" ? chart.chartArea.right : chart.chartArea.left, best.at(-1)[1]]);
    line(chart.ctx, path, live.ink("--muted"), 1.5);
  }

  function drawBound(chart, { y }) {
    const value = bound(y);
    if (value === null) return;
    const { left, right } = chart.chartArea;
    const height = chart.scales.y.getPixelForValue(value / live.column(y).factor);
    line(chart.ctx, [[left, height], [right, height]], live.ink("--ink"), 1, [6, 3]);
    write(chart.ctx, "joint training", left + 5, height - 0.7 * size());
  }

  // Of a crowd, only what is told of the point in focus and of those on the front is drawn.
  function told({ points, better, focused }) {
    return points.length <= CROWD ? points : [...front(points, better), ...(focused ? [focused] : [])];
  }

  function drawSpread(chart, view) {
    const { x, y } = chart.scales;
    for (const p of told(view)) {
      const [px, py, colour] = [x.getPixelForValue(p.x), y.getPixelForValue(p.y), live.colour(p.row)];
      const low = (scale, value, spread, edge) => (scale.type === "logarithmic" && value <= spread ? edge : scale.getPixelForValue(value - spread));
      if (p.sy) line(chart.ctx, [[px, low(y, p.y, p.sy, chart.chartArea.bottom)], [px, y.getPixelForValue(p.y + p.sy)]], colour, 1.2);
      if (p.sx) line(chart.ctx, [[low(x, p.x, p.sx, chart.chartArea.left), py], [x.getPixelForValue(p.x + p.sx), py]], colour, 1.2);
    }
  }

  // A dotted line from a method to the row that works on top of it.
  function drawJoins(chart, view) {
    const { x, y } = chart.scales;
    const at = new Map(view.points.map((p) => [p.row.index, p]));
    for (const p of told(view)) {
      const base = p.row.on === null ? null : at.get(p.row.on);
      if (!base) continue;
      const ends = [base, p].map((each) => [x.getPixelForValue(each.x), y.getPixelForValue(each.y)]);
      line(chart.ctx, ends, live.colour(p.row), 1.4, [2, 3]);
    }
  }

  function write(context, text, x, y, align = "left") {
    context.save();
    context.font = `${size()}px ${live.ink("--sans")}`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = live.ink("--card");
    context.strokeText(text, x, y);
    context.fillStyle = live.ink("--ink");
    context.fillText(text, x, y);
    context.restore();
  }

  // Each name in the first of its places that covers neither a point nor a name, and is left out if none does.
  function drawNames(chart, { points, y, better, label }) {
    const { ctx, chartArea: area, scales } = chart;
    const at = points.map((p) => [scales.x.getPixelForValue(p.x), scales.y.getPixelForValue(p.y)]);
    const taken = at.map(([x, y]) => ({ left: x - 7, right: x + 7, top: y - 7, bottom: y + 7 }));
    const best = new Set(front(points, better));
    const joint = bound(y);
    if (joint !== null) {
      const height = scales.y.getPixelForValue(joint / live.column(y).factor);
      taken.push({ left: area.left, right: area.left + 9 * size(), top: height - 1.3 * size(), bottom: height });
    }
    ctx.font = `${size()}px ${live.ink("--sans")}`;
    points.forEach((p, i) => {
      if (points.length > NAMED && !best.has(p)) return;
      const text = label(p.row.name, area.right - area.left < 420 ? 18 : 30);
      const width = ctx.measureText(text).width;
      const [left, top] = at[i];
      const [near, half] = [0.85 * size(), 0.55 * size()];
      const [after, before, middle] = [left + near, left - near - width, left - width / 2];
      const places = [[after, top], [before, top], [middle, top - 1.5 * near], [middle, top + 1.5 * near], [after, top - near], [after, top + near], [before, top - near], [before, top + near]];
      const boxes = places.map(([from, height]) => ({ left: from, right: from + width, top: height - half, bottom: height + half }));
      const free = boxes.find((b) => b.left > area.left && b.right < area.right && b.top > area.top && b.bottom < area.bottom && !taken.some((t) => t.left < b.right && b.left < t.right && t.top < b.bottom && b.top < t.bottom));
      if (!free) return;
      taken.push(free);
      write(ctx, text, free.left, (free.top + free.bottom) / 2);
    });
  }

  function clipped(chart, draw) {
    const { left, top, width, height } = chart.chartArea;
    chart.ctx.save();
    chart.ctx.beginPath();
    chart.ctx.rect(left, top, width, height);
    chart.ctx.clip();
    draw();
    chart.ctx.restore();
  }

  function plugin(view) {
    return {
      id: "layers",
      beforeDatasetsDraw(chart) {
        const v = view();
        clipped(chart, () => {
          drawBound(chart, v);
          if (v.shown("front")) drawFront(chart, v);
          if (v.shown("joins")) drawJoins(chart, v);
          if (v.shown("spread")) drawSpread(chart, v);
          if (v.shown("papers")) drawPapers(chart, v);
        });
      },
      afterDatasetsDraw(chart) {
        if (view().shown("names")) drawNames(chart, view());
      },
    };
  }

  cssbench.plotLayers = { front, beside, papers, plugin };
})();

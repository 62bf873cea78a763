// NetScore with the reader's own exponents. A row's score is 20 (alpha A - beta P - gamma M), where A, P and M are
// means over its seeds of log10 of a, p and m: linear in each exponent, so that where two rows swap is solved, not searched.
"use strict";

(() => {
  const { live, state, tables } = cssbench;
  const section = document.getElementById("netscore")?.closest("section");
  const controls = section?.querySelector("[data-netscore=controls]");
  if (!controls || !live.data) return;
  const part = (name) => section.querySelector(`[data-netscore="${name}"]`);
  const table = document.getElementById("netscore-table");
  const BOARDS = ["train", "clora", "deploy"];
  const OWN = { alpha: 2, beta: 0.5, gamma: 0.5 };
  const SYMBOLS = { alpha: "α", beta: "β", gamma: "γ" };
  const MARKED = 10; // rows whose swaps are marked on the sliders
  const LEVEL = 1e-9; // scores, and exponents, that differ by less are the same
  const lines = new Map([...table.tBodies[0].rows].map((line) => [live.rows.find((row) => row.id === line.dataset.row), line]));
  const exponents = { ...OWN };
  let shown = null; // the row whose numbers stand in the formula
  let before = new Map();

  const board = () => section.querySelector("input[name=netscore-board]:checked").value;

  function parts(row, name) {
    const [p, m] = row.logs[name];
    return row.log_a === null || p === null || m === null ? null : { alpha: 20 * row.log_a, beta: -20 * p, gamma: -20 * m };
  }

  function scoreOf(row, name, at = exponents) {
    const terms = parts(row, name);
    return terms && at.alpha * terms.alpha + at.beta * terms.beta + at.gamma * terms.gamma;
  }

  function standing(name, at = exponents) {
    const rows = live.rows.filter((row) => row.kind === "ranked" && scoreOf(row, name, at) !== null);
    const scores = rows.map((row) => scoreOf(row, name, at));
    const places = live.places(scores.map((score) => Math.round(score / LEVEL)));
    return rows.map((row, i) => ({ row, score: scores[i], place: places[i] })).sort((a, b) => a.place - b.place);
  }

  // The value of one exponent, the others as they are, at which two rows have the same score; null if there is none.
  function turn(one, other, name, exponent) {
    const slope = parts(one, name)[exponent] - parts(other, name)[exponent];
    if (Math.abs(slope) < LEVEL) return null;
    const value = exponents[exponent] - (scoreOf(one, name) - scoreOf(other, name)) / slope;
    return { value, above: slope > 0 ? one : other, below: slope > 0 ? other : one };
  }

  function turns(rows, name, exponent) {
    const pairs = rows.flatMap((one, i) => rows.slice(i + 1).map((other) => turn(one, other, name, exponent)));
    return pairs.filter((each) => each !== null).sort((a, b) => a.value - b.value);
  }

  // The next swap with the exponent moving up (1) or down (-1): always one of two neighbours in the ranking. Rows that
  // are level now stand as they will stand just after.
  function nextTurn(rows, name, exponent, direction) {
    const at = rows.map((row) => ({ row, score: scoreOf(row, name), slope: direction * parts(row, name)[exponent] }));
    at.sort((a, b) => (Math.abs(a.score - b.score) < LEVEL ? b.slope - a.slope : b.score - a.score));
    const found = at.slice(1).map((entry, i) => turn(at[i].row, entry.row, name, exponent));
    const ahead = found.filter((each) => each !== null && direction * (each.value - exponents[exponent]) > LEVEL);
    return ahead.sort((a, b) => direction * (a.value - b.value))[0] ?? null;
  }

  function place(row, name, exponent, value) {
    const at = { ...exponents, [exponent]: value };
    return 1 + live.rows.filter((other) => other.kind === "ranked" && other !== row && scoreOf(other, name, at) > scoreOf(row, name, at) + LEVEL).length;
  }

  function showTurns(exponent, rows) {
    const slider = part(exponent);
    const name = board();
    const [low, high] = [Number(slider.min), Number(slider.max)];
    const inside = (each) => each !== null && each.value > low && each.value < high;
    const marked = turns(rows.slice(0, MARKED), name, exponent).filter(inside);
    part(`${exponent}-marks`).replaceChildren(...marked.map((each) => mark((each.value - low) / (high - low))));
    const [last, next] = [-1, 1].map((direction) => nextTurn(rows, name, exponent, direction)).map((each) => (inside(each) ? each : null));
    part(`${exponent}-turns`).replaceChildren(
      ...(last ? said(last, exponent, "Below", last.below, last.above) : []),
      ...(next ? said(next, exponent, "Above", next.above, next.below) : []),
      ...(last || next ? [] : [`No two rows swap for any ${SYMBOLS[exponent]} from ${low} to ${high}.`]),
    );
  }

  function mark(share) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of Object.entries({ x1: `${100 * share}%`, x2: `${100 * share}%`, y1: 0, y2: "100%" })) line.setAttribute(key, value);
    return line;
  }

  function said(swap, exponent, where, winner, loser) {
    const button = live.element("button", live.print(swap.value, 3), { type: "button", title: `set ${exponent} to where they are level` });
    button.addEventListener("click", () => set(exponent, swap.value));
    const rank = place(winner, board(), exponent, swap.value);
    const name = live.element("bdi", live.label(winner.name));
    const other = live.element("bdi", live.label(loser.name));
    const line = live.element("span", `${where} `);
    line.append(button, " ", name, " passes ", other, ` for rank ${rank}.`);
    return [line, " "];
  }

  // Numbers of a row as the formula takes them: with several seeds their geometric means.
  function formula(row) {
    const [p, m] = row.logs[board()];
    const score = scoreOf(row, board());
    const base = (log) => live.print(10 ** log, 10 ** log < 100 ? 3 : 1);
    part("row").textContent = live.label(row.name, 60);
    const filled = score === null ? null : { a: base(row.log_a), p: base(p), m: base(m), ...exponentTexts(), score: live.print(score, 2) };
    part("worked").hidden = filled === null;
    part("unscored").hidden = filled !== null;
    for (const [key, value] of Object.entries(filled ?? {})) part(`f-${key}`).textContent = value;
    part("averaged").textContent = row.seeds > 1 ? `a, p and m: geometric means over ${row.seeds} seeds.` : "One seed.";
  }

  const exponentTexts = () => Object.fromEntries(Object.entries(exponents).map(([key, value]) => [key, live.print(value, decimals(value))]));
  const decimals = (value) => Math.min(3, (String(Number(value.toFixed(3))).split(".")[1] ?? "").length);

  function fill() {
    for (const [index, name] of BOARDS.entries()) {
      const own = new Map(standing(name, OWN).map((entry) => [entry.row, entry.place]));
      const now = new Map(standing(name).map((entry) => [entry.row, entry]));
      for (const [row, line] of lines) {
        const [score, rank] = [line.cells[4 + 4 * index], line.cells[5 + 4 * index]];
        put(score, scoreOf(row, name), 2);
        const at = now.get(row)?.place ?? null;
        put(rank, at, 0);
        rank.classList.toggle("leads", at === 1);
        if (row.kind !== "ranked") rank.textContent = "";
        const moved = at === null ? 0 : own.get(row) - at;
        if (moved) rank.append(live.element("span", moved > 0 ? `▲${moved}` : `▼${-moved}`, { class: moved > 0 ? "up" : "down" }));
      }
    }
    for (const [row, line] of lines) put(line.cells[1], row.values.miou_all_percent[0], 1);
  }

  function put(cell, value, digits) {
    cell.textContent = live.print(value, digits);
    if (value === null) delete cell.dataset.v;
    else cell.dataset.v = value;
  }

  // Rows glide to their new places, unless the reader wants no motion or there are too many to follow.
  function order() {
    const name = board();
    const places = new Map(standing(name).map((entry) => [entry.row, entry.place]));
    const key = (row) => (row.kind === "bound" ? 0 : (places.get(row) ?? Infinity));
    const sorted = [...lines].sort(([a], [b]) => key(a) - key(b));
    const glide = !live.still.matches && lines.size <= 60;
    if (glide) before = new Map(sorted.map(([, line]) => [line, line.offsetTop]));
    cssbench.rows(table).order(sorted.map(([, line]) => line));
    for (const head of table.tHead.querySelectorAll("[aria-sort]")) head.setAttribute("aria-sort", head.dataset.key === `${name}-rank` ? "ascending" : "none");
    if (!glide) return;
    for (const [line, top] of before) {
      if (line.offsetTop !== top) line.animate([{ transform: `translateY(${top - line.offsetTop}px)` }, { transform: "none" }], { duration: 200, easing: "ease-out" });
    }
  }

  function update(spoken = true) {
    const rows = standing(board()).map((entry) => entry.row);
    fill();
    order();
    for (const exponent of Object.keys(OWN)) showTurns(exponent, rows);
    if (!lines.has(shown) || shown.kind === "bound") shown = rows[0] ?? null;
    if (shown) formula(shown);
    part("reset").disabled = Object.keys(OWN).every((key) => exponents[key] === OWN[key]);
    table.dataset.board = part("all").checked ? "" : board();
    if (spoken && rows.length) tables.say(table, `First by ${board()}: ${rows.slice(0, 3).map((row) => live.label(row.name)).join(", ")}.`);
  }

  function set(exponent, value) {
    exponents[exponent] = value;
    part(exponent).value = value;
    part(`${exponent}-number`).value = Number(value.toFixed(4));
    state.set(exponent, value, OWN[exponent]);
    update();
  }

  function start() {
    controls.hidden = false;
    for (const exponent of Object.keys(OWN)) {
      const slider = part(exponent);
      const inside = (value) => Number.isFinite(value) && value >= Number(slider.min) && value <= Number(slider.max);
      const kept = Number.parseFloat(state.get(exponent));
      if (inside(kept)) exponents[exponent] = kept;
      part(`${exponent}-number`).value = exponents[exponent];
      slider.value = exponents[exponent];
      slider.addEventListener("input", () => set(exponent, Number(slider.value)));
      part(`${exponent}-number`).addEventListener("change", (event) => inside(event.target.valueAsNumber) && set(exponent, event.target.valueAsNumber));
    }
    const wanted = state.get("score", "train");
    for (const choice of section.querySelectorAll("input[name=netscore-board]")) {
      choice.checked = choice.value === (BOARDS.includes(wanted) ? wanted : "train");
      choice.addEventListener("change", () => {
        state.set("score", board(), "train");
        update();
      });
    }
    part("all").addEventListener("change", () => update(false));
    part("reset").addEventListener("click", () => Object.keys(OWN).forEach((key) => set(key, OWN[key])));
    for (const [row, line] of lines) {
      const show = () => {
        shown = row;
        formula(row);
      };
      line.addEventListener("pointerenter", show);
      line.addEventListener("focusin", show);
    }
    live.onChange(() => update(false));
    update(false);
  }

  start();
  cssbench.netscore = { scoreOf, turns, nextTurn, standing, exponents };
})();

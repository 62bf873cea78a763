// Background in or out of the mean, future classes ignored or background: the board re-scored from its stored counts.
"use strict";

(() => {
  const { live, scoring, state, tables } = cssbench;
  const box = document.querySelector("[data-conventions]");
  const table = document.getElementById("board");
  if (!box || !live.data || !table?.sorting || !cssbench.netscore) return;
  const KEYS = ["miou_all_percent", "miou_old_percent", "miou_new_percent", "miou_average_percent", "forgetting_points", "forget_score_points"];
  const SCORES = ["train", "clora", "deploy"];
  const lines = new Map(cssbench.rows(table).all.map((line) => [live.rows.find((row) => row.id === line.id), line]));
  const column = (key) => tables.at(table, key);
  const own = new Map(); // cells as the page was made, put back for the benchmark's own convention

  const choice = (name) => box.querySelector(`input[name=${name}]:checked`).value;
  const isOwn = () => live.convention.background && live.convention.future === "ignored";

  function keep() {
    for (const line of lines.values()) {
      const indices = [...KEYS, ...SCORES.map((name) => `netscore_${name}`), "rank", "range"].map(column).filter((i) => i !== undefined);
      own.set(line, indices.map((index) => [line.cells[index], [...line.cells[index].childNodes], line.cells[index].dataset.v]));
    }
  }

  function restore() {
    for (const cells of own.values()) {
      for (const [cell, nodes, value] of cells) {
        cell.replaceChildren(...nodes);
        if (value !== undefined) cell.dataset.v = value;
        else delete cell.dataset.v;
      }
    }
  }

  function rescore() {
    live.reset();
    if (isOwn()) return;
    for (const row of live.rows) {
      if (row.kind === "failed") continue;
      const { values, log_a } = scoring.rescored(row.index, live.convention);
      Object.assign(row.values, values);
      row.log_a = log_a;
    }
    const joint = live.rows.find((row) => row.kind === "bound")?.values.miou_all_percent[0] ?? null;
    for (const row of live.rows) {
      const [mean, std] = row.values.miou_all_percent;
      if (row.kind === "ranked") row.values.forget_score_points = [mean === null || joint === null ? null : mean - joint, joint === null ? null : std];
    }
  }

  function put(cell, value, text, spread = null) {
    cell.replaceChildren();
    if (value === null) {
      cell.append(live.element("span", "–", { class: "unknown", title: "unknown in this convention" }));
      delete cell.dataset.v;
      return;
    }
    const way = cell.parentElement.querySelector("th a").getAttribute("href");
    cell.append(cell.className ? text : live.element("a", text, { href: way }));
    if (spread) cell.append(live.element("span", `±\u2009${spread}`, { class: "pm" }));
    cell.dataset.v = value;
  }

  function fill() {
    const ranks = new Map();
    for (const name of SCORES) {
      for (const { row, score, place } of cssbench.netscore.standing(name, { alpha: 2, beta: 0.5, gamma: 0.5 })) {
        ranks.set(`${name} ${row.index}`, { score, place });
      }
    }
    for (const [row, line] of lines) {
      if (row.kind === "failed") continue;
      for (const key of KEYS) {
        const [mean, std] = row.values[key];
        put(line.cells[column(key)], mean, live.print(mean, 1), std ? live.print(std, 1) : null);
      }
      for (const name of SCORES) score(line.cells[column(`netscore_${name}`)], row, name, ranks.get(`${name} ${row.index}`));
      const place = ranks.get(`train ${row.index}`)?.place ?? null;
      if (row.kind === "ranked") put(line.cells[column("rank")], place, String(place));
      if (row.kind === "ranked" && column("range") !== undefined) put(line.cells[column("range")], null);
    }
  }

  function score(cell, row, name, standing) {
    const value = standing?.score ?? cssbench.netscore.scoreOf(row, name, { alpha: 2, beta: 0.5, gamma: 0.5 });
    put(cell, value, live.print(value, 2));
    if (standing && value !== null) cell.prepend(live.element("span", standing.place, { class: standing.place === 1 ? "place first" : "place" }));
  }

  function says() {
    if (isOwn()) return "This benchmark's own convention.";
    const unknown = live.rows.filter((row) => row.kind === "ranked" && row.values.miou_all_percent[0] === null).length;
    const left = unknown ? ` ${unknown} row${unknown > 1 ? "s have" : " has"} no exact counts.` : "";
    return `Not this benchmark's convention: table, plot, NetScore and classes are re-scored from the stored counts of every run; rank ranges are drawn for its own convention alone, and so are figures and files.${left}`;
  }

  async function choose() {
    live.convention = { background: choice("background") === "counts", future: choice("future") };
    state.set("background", choice("background"), "counts");
    state.set("future", choice("future"), "ignored");
    const says_ = box.querySelector("[data-conventions=says]");
    try {
      if (!isOwn()) await scoring.load();
    } catch (error) {
      says_.textContent = error.message;
      return;
    }
    rescore();
    restore();
    if (!isOwn()) fill();
    document.body.classList.toggle("other-convention", !isOwn());
    says_.textContent = says();
    tables.resort(table);
    live.changed();
  }

  function start() {
    keep();
    box.hidden = false;
    for (const [name, fallback] of [["background", "counts"], ["future", "ignored"]]) {
      const kept = box.querySelector(`input[name=${name}][value="${CSS.escape(state.get(name, fallback))}"]`);
      if (kept && !kept.disabled) kept.checked = true;
      for (const input of box.querySelectorAll(`input[name=${name}]`)) input.addEventListener("change", choose);
    }
    if (choice("background") !== "counts" || choice("future") !== "ignored") choose();
  }

  start();
})();

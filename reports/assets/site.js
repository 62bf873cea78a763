// Tables that sort, filter and hide columns. The page is whole without this script.
"use strict";

(() => {
  const PINNED = { bound: -1, failed: 1 }; // joint training stays on top, what did not finish at the end

  function sortable(table) {
    const heads = [...table.tHead.querySelectorAll("th[data-better], th[data-text]")];
    const body = table.tBodies[0];
    if (!body || body.rows.length < 2) return;
    const columns = columnOf(table);
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "sorted" in head.dataset ? "ascending" : "none");
      button.addEventListener("click", () => sort(table, body, head, heads, columns.get(head)));
    }
  }

  // The body's column under each heading, whatever its colspans and rowspans.
  function columnOf(table) {
    const columns = new Map();
    const taken = [];
    [...table.tHead.rows].forEach((row, r) => {
      let c = 0;
      for (const cell of row.cells) {
        while (taken[r]?.[c]) c += 1;
        columns.set(cell, c);
        for (let dr = 0; dr < cell.rowSpan; dr += 1) {
          for (let dc = 0; dc < cell.colSpan; dc += 1) (taken[r + dr] ??= [])[c + dc] = true;
        }
        c += cell.colSpan;
      }
    });
    return columns;
  }

  function sort(table, body, head, heads, column) {
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const text = "text" in head.dataset;
    const rows = [...body.rows].map((row, index) => {
      const cell = row.cells[column];
      const value = text ? cell.textContent.trim().toLowerCase() : Number.parseFloat(cell.dataset.v);
      const missing = text ? value === "" : Number.isNaN(value);
      return { row, index, value, missing, pin: pinOf(row) };
    });
    rows.sort((a, b) => a.pin - b.pin || a.missing - b.missing || (a.missing ? 0 : sign * compare(a.value, b.value)) || a.index - b.index);
    body.append(...rows.map((entry) => entry.row));
    for (const each of heads) each.setAttribute("aria-sort", each === head ? order : "none");
    say(table, `Sorted by ${head.textContent.trim()}, ${order}.`);
  }

  function pinOf(row) {
    for (const [name, pin] of Object.entries(PINNED)) if (row.classList.contains(name)) return pin;
    return 0;
  }

  function compare(a, b) {
    return a < b ? -1 : a > b ? 1 : 0;
  }

  function say(table, message) {
    const live = table.id && document.querySelector(`[data-live="${CSS.escape(table.id)}"]`);
    if (live) live.textContent = message;
  }

  function controls(box) {
    const table = document.getElementById(box.dataset.for);
    if (!table) return;
    box.hidden = false;
    for (const choice of box.querySelectorAll("input[type=checkbox]")) {
      const show = () => table.classList.toggle(`hide-${choice.value}`, !choice.checked);
      choice.addEventListener("change", show);
      show();
    }
    const search = box.querySelector("input[type=search]");
    search.addEventListener("input", () => filter(table, search.value.trim().toLowerCase()));
  }

  function filter(table, wanted) {
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !(row.dataset.name ?? "").includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    say(table, `${shown} of ${table.tBodies[0].rows.length} rows shown.`);
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll(".controls").forEach(controls);
})();

// Tables that sort, filter and hide columns. The page is whole without this script.
"use strict";

(() => {
  const PINNED = { bound: -1, failed: 1 }; // joint training stays on top, what did not finish at the end
  const { state } = cssbench;

  function sortable(table) {
    const heads = [...table.tHead.querySelectorAll("th[data-better], th[data-text]")];
    const body = table.tBodies[0];
    if (!body?.rows.length) return;
    const columns = columnOf(table);
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "sorted" in head.dataset ? "ascending" : "none");
      button.addEventListener("click", () => sort(table, head, turned(head)));
    }
    table.sorting = { heads, columns, rows: cssbench.rows(table) };
    restore(table, heads);
  }

  function restore(table, heads) {
    const [key, order] = table.id ? state.get(`${table.id}.sort`).split(",") : [];
    const head = heads.find((each) => each.dataset.key === key);
    if (head && ["ascending", "descending"].includes(order)) sort(table, head, order);
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

  function turned(head) {
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    return head.getAttribute("aria-sort") === first ? other : first;
  }

  function sort(table, head, order, quietly = false) {
    const { heads, columns, rows } = table.sorting;
    const column = columns.get(head);
    const sign = order === "ascending" ? 1 : -1;
    const text = "text" in head.dataset;
    const entries = rows.all.map((row, index) => {
      const cell = row.cells[column];
      const value = text ? cell.textContent.trim().toLowerCase() : Number.parseFloat(cell.dataset.v);
      const missing = text ? value === "" : Number.isNaN(value);
      return { row, index, value, missing, pin: pinOf(row) };
    });
    entries.sort((a, b) => a.pin - b.pin || a.missing - b.missing || (a.missing ? 0 : sign * compare(a.value, b.value)) || a.index - b.index);
    rows.order(entries.map((entry) => entry.row));
    for (const each of heads) each.setAttribute("aria-sort", each === head ? order : "none");
    if (table.id && head.dataset.key && !quietly) state.set(`${table.id}.sort`, `${head.dataset.key},${order}`, "rank,ascending");
    if (!quietly) say(table, `Sorted by ${head.textContent.trim()}, ${order}.`);
  }

  // Sort anew by what it is sorted by: its numbers changed.
  function resort(table) {
    const head = table.sorting?.heads.find((each) => each.getAttribute("aria-sort") !== "none");
    if (head) sort(table, head, head.getAttribute("aria-sort"), true);
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

  function filterable(box) {
    const table = document.getElementById(box.dataset.for);
    if (!table) return;
    box.hidden = false;
    const search = box.querySelector("input[type=search]");
    search.value = state.get(`${table.id}.filter`);
    search.addEventListener("input", () => {
      state.set(`${table.id}.filter`, search.value.trim());
      filter(table, search.value);
    });
    if (search.value) filter(table, search.value);
  }

  // Every word must be in a row's name or status; a word after "-" must not.
  function filter(table, text) {
    const words = text.trim().toLowerCase().split(/\s+/).filter((word) => word && word !== "-");
    const rows = cssbench.rows(table);
    const passing = rows.filter((row) => {
      const own = row.dataset.name ?? "";
      return words.every((word) => (word.startsWith("-") ? !own.includes(word.slice(1)) : own.includes(word)));
    });
    table.dispatchEvent(new Event("filtered"));
    say(table, `${passing} of ${rows.all.length} rows shown.`);
  }

  // The body's column of a key.
  function at(table, key) {
    const { heads, columns } = table.sorting;
    return columns.get(heads.find((head) => head.dataset.key === key));
  }

  cssbench.tables = { at, columnOf, resort, say };
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll(".controls[data-for]").forEach(filterable);
})();

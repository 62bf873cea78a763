// Columns of a table that a reader shows and hides, by group or one by one.
"use strict";

(() => {
  const { state, tables } = cssbench;

  function chooser(box) {
    const table = document.getElementById(box.dataset.for);
    const list = box.querySelector(".chooser .choices");
    if (!table || !list) return;
    const heads = [...table.tHead.querySelectorAll("th[data-group]")];
    const sheet = new CSSStyleSheet(); // rules set by a script are within the page's policy; style elements are not
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    const view = { table, heads, sheet, positions: tables.columnOf(table), hidden: first(box, table, heads) };
    const groups = [...box.querySelectorAll("input[data-group]")];
    const singles = heads.map((head) => single(list, head, box));
    const show = () => apply(view, groups, singles);
    for (const group of groups) group.addEventListener("change", () => choose(view, heads.filter((h) => h.dataset.group === group.dataset.group), group.checked, show));
    singles.forEach((input, i) => input.addEventListener("change", () => choose(view, [heads[i]], input.checked, show)));
    show();
  }

  // Hidden at first: what the address says, or the groups without a tick.
  function first(box, table, heads) {
    const shut = [...box.querySelectorAll("input[data-group]:not(:checked)")].map((input) => input.dataset.group);
    const own = heads.filter((head) => shut.includes(head.dataset.group)).map((head) => head.dataset.key);
    table.hiddenAtFirst = own.join(",");
    return new Set(state.get(`${table.id}.hide`, table.hiddenAtFirst).split(","));
  }

  function single(list, head, box) {
    let part = list.querySelector(`[data-part="${CSS.escape(head.dataset.group)}"]`);
    if (!part) {
      part = document.createElement("fieldset");
      part.dataset.part = head.dataset.group;
      const legend = document.createElement("legend");
      legend.textContent = box.querySelector(`input[data-group="${CSS.escape(head.dataset.group)}"]`).parentElement.textContent.trim();
      part.append(legend);
      list.append(part);
    }
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "checkbox";
    input.dataset.column = head.dataset.key;
    label.append(input, head.dataset.name);
    part.append(label);
    return input;
  }

  function choose(view, heads, shown, show) {
    for (const head of heads) {
      if (shown) view.hidden.delete(head.dataset.key);
      else view.hidden.add(head.dataset.key);
    }
    const order = view.heads.map((head) => head.dataset.key).filter((key) => view.hidden.has(key));
    state.set(`${view.table.id}.hide`, order.join(",") || "none", view.table.hiddenAtFirst || "none");
    show();
  }

  function apply(view, groups, singles) {
    const { table, heads, hidden, positions } = view;
    heads.forEach((head, i) => {
      head.hidden = hidden.has(head.dataset.key);
      singles[i].checked = !head.hidden;
    });
    for (const group of groups) {
      const own = heads.filter((head) => head.dataset.group === group.dataset.group);
      const shown = own.filter((head) => !head.hidden).length;
      group.checked = shown > 0;
      group.indeterminate = shown > 0 && shown < own.length;
      const over = table.tHead.querySelector(`th[data-over="${CSS.escape(group.dataset.group)}"]`);
      over.hidden = shown === 0;
      if (shown) over.colSpan = shown;
    }
    const shut = heads.filter((head) => head.hidden).map((head) => `#${CSS.escape(table.id)} > tbody > tr > :nth-child(${positions.get(head) + 1})`);
    view.sheet.replaceSync(shut.length ? `${shut.join(",")}{display:none}` : "");
  }

  document.querySelectorAll(".controls[data-for]").forEach(chooser);
})();

// IoU by class and step of one row, or of one minus another: the numbers in cells, the colour only beside them.
"use strict";

(() => {
  const { live, scoring, state } = cssbench;
  const section = document.getElementById("classes")?.closest("section");
  const controls = section?.querySelector("[data-classes=controls]");
  if (!controls || !live.data) return;
  const part = (name) => section.querySelector(`[data-classes="${name}"]`);
  const STEPS = [1, 2.5, 5, 10, 20]; // points at which the shade of a difference deepens

  function fill(select, first, wanted) {
    const rows = live.rows.filter((row) => row.kind === "ranked");
    select.append(...first, ...rows.map((row) => live.element("option", live.label(row.name, 60), { value: row.id })));
    const kept = [...select.options].find((option) => option.value === wanted);
    select.value = kept ? wanted : select.options[0].value;
  }

  const chosen = (name) => live.rows.find((row) => row.id === part(name).value) ?? null;

  function shade(value, difference) {
    if (!difference) return `h${Math.round(value / 10)}`;
    const depth = STEPS.filter((edge) => Math.abs(value) >= edge).length;
    return depth ? `${value > 0 ? "up" : "down"}${depth}` : "";
  }

  function cell(value, difference) {
    const element = document.createElement("td");
    if (value === undefined) element.title = "not learnt yet";
    else if (value === null) {
      element.textContent = "–";
      element.title = "no test pixel and never predicted, or counts that are not exact";
    } else {
      element.textContent = (difference && value > 0 ? "+" : "") + live.print(value, 1);
      element.className = shade(value, difference);
    }
    return element;
  }

  function line(name, values, difference) {
    const element = document.createElement("tr");
    const head = live.element("th", "", { scope: "row", class: "head" });
    head.append(live.element("bdi", name));
    element.append(head, ...values.map((value) => cell(value, difference)));
    return element;
  }

  function difference(a, b) {
    if (a === undefined || b === undefined) return undefined;
    return a === null || b === null ? null : a - b;
  }

  async function draw() {
    const [one, other] = [chosen("one"), chosen("other")];
    try {
      await scoring.load();
    } catch (error) {
      part("says").textContent = error.message;
      return;
    }
    const own = scoring.classes(one.index, live.convention);
    const base = other && scoring.classes(other.index, live.convention);
    const values = base ? own.map((steps, row) => steps.map((value, t) => difference(value, base[row][t]))) : own;
    const start = live.data.background ? 0 : 1;
    const order = live.data.classes.map((name, row) => ({ name, row })).slice(start);
    const last = (row) => values[row].at(-1);
    if (part("order").value !== "learnt") {
      const sign = part("order").value === "falling" ? 1 : -1;
      order.sort((a, b) => (last(a.row) === null) - (last(b.row) === null) || sign * ((last(b.row) ?? 0) - (last(a.row) ?? 0)));
    }
    part("body").replaceChildren(...order.map(({ name, row }) => line(name, values[row], Boolean(base))));
    part("legend").hidden = !base;
    const mean = order.map(({ row }) => last(row)).filter((value) => typeof value === "number");
    const average = mean.reduce((sum, value) => sum + value, 0) / mean.length;
    const up = mean.filter((value) => value > 0).length;
    const counted = base ? `; better in ${up} of ${mean.length} classes after the last step, by ${live.print(average, 1)} points on average` : "";
    part("says").textContent = `IoU of ${live.label(one.name, 60)}${other ? ` minus ${live.label(other.name, 60)}, in points` : ", in percent"}, mean over seeds${counted}.`;
  }

  function start() {
    controls.hidden = false;
    const finished = live.rows.filter((row) => row.kind === "ranked");
    fill(part("one"), [], state.get("class-of", finished[0].id));
    fill(part("other"), [live.element("option", "nothing", { value: "" })], state.get("class-minus"));
    for (const [name, key, fallback] of [["one", "class-of", finished[0].id], ["other", "class-minus", ""], ["order", "class-order", "learnt"]]) {
      if (name === "order" && [...part(name).options].some((option) => option.value === state.get(key))) part(name).value = state.get(key);
      part(name).addEventListener("change", () => {
        state.set(key, part(name).value, fallback);
        draw();
      });
    }
    live.onChange(draw);
    if (state.get("class-of") || state.get("class-minus") || state.get("class-order")) draw();
  }

  start();
})();

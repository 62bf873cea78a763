// What a board's scripts share: its rows with their numbers, and word of a change. data.js hands the rows over.
"use strict";

(() => {
  const listeners = [];
  const live = {
    data: null,
    rows: [], // as in data, each with `values` by column, replaced where a convention re-scores them
    convention: { background: true, future: "ignored" },
    onChange: (listener) => listeners.push(listener),
    changed: () => listeners.forEach((listener) => listener()),
    reset() {
      for (const row of live.rows) Object.assign(row, { values: { ...row.own }, log_a: row.ownLogA });
    },
    column: (key) => live.data.columns[key],
  };

  cssbench.board = (data) => {
    const keys = Object.keys(data.columns);
    live.data = data;
    live.rows = data.rows.map((row, index) => {
      const own = Object.fromEntries(keys.map((key, i) => [key, row.values ? row.values[i] : [null, null]]));
      return { ...row, index, own, ownLogA: row.log_a, values: { ...own } };
    });
  };

  // Digits as the tables print them: three significant ones, or as many after the point as asked.
  live.print = (value, decimals = null) => {
    if (value === null || !Number.isFinite(value)) return "–";
    const digits = decimals ?? (value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
    if (Math.abs(value) >= 1e15 || (digits > 6 && value)) return value.toExponential(2).replace("-", "−");
    const [whole, rest] = Math.abs(value).toFixed(digits).split(".");
    const text = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (rest ? `.${rest}` : "");
    return value < 0 && /[1-9]/.test(text) ? `−${text}` : text;
  };

  const DECIMALS = { "%": 1, points: 1, dB: 2, "×": 2 };

  // A mean ± its spread in the column's unit.
  live.show = (key, [mean, std]) => {
    const { factor, unit } = live.column(key);
    if (mean === null) return "unknown";
    const scaled = mean / factor;
    const digits = DECIMALS[unit] ?? (scaled === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(scaled)))));
    const spread = std ? ` ± ${live.print(std / factor, digits)}` : "";
    return `${live.print(scaled, digits)}${spread}\u202f${unit}`;
  };

  // Names are free text: control and direction marks are not drawn, and no name is longer than a line.
  live.label = (name, length = 36) => {
    const clean = name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
    return clean.length <= length ? clean : `${clean.slice(0, length - 1)}…`;
  };

  live.mean = (values) => (values.length && values.every((v) => v !== null) ? values.reduce((a, b) => a + b, 0) / values.length : null);

  live.std = (values) => {
    const mean = live.mean(values);
    if (mean === null || values.length < 2) return null;
    return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
  };

  live.element = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // Places of numbers, the largest first; equal ones share a place, an unknown one has none.
  live.places = (values) => {
    const first = new Map();
    values.filter((v) => v !== null).sort((a, b) => b - a).forEach((v, i) => first.has(v) || first.set(v, i + 1));
    return values.map((v) => first.get(v) ?? null);
  };

  const CHANNELS = { "#0072b2": "#3b9ad9", "#8c564b": "#c08a7d" }; // too dark on a dark ground
  live.dark = matchMedia("(prefers-color-scheme: dark)");
  live.still = matchMedia("(prefers-reduced-motion: reduce)");
  live.colour = (row) => {
    if (!row.colour) return live.ink("--ink");
    return live.dark.matches ? (CHANNELS[row.colour] ?? row.colour) : row.colour;
  };
  live.ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  cssbench.live = live;
})();

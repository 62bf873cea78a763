// The axes of a board's plot: their reach, whether logarithmic, their ticks.
"use strict";

(() => {
  const { live } = cssbench;
  const SPREAD_FOR_LOG = 4; // times the smallest cost, beyond which a log axis is the first choice

  // The plot's letters grow with the page's.
  const size = () => 0.8 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

  // A log axis needs values above zero; zeros are then left out and counted.
  function logFor(values) {
    const positive = values.filter((v) => v > 0);
    const possible = positive.length > 0 && !values.some((v) => v < 0);
    return { possible, wanted: possible && Math.max(...positive) / Math.min(...positive) > SPREAD_FOR_LOG };
  }

  function range(values, log) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (log) {
      const pad = Math.max(0.12 * Math.log10(high / low), 0.15);
      return { min: low / 10 ** pad, max: high * 10 ** (1.6 * pad) };
    }
    const pad = 0.12 * (high - low) || 0.25 * Math.abs(high) || 1;
    return { min: low < 0 ? low - pad : Math.max(0, low - pad), max: high + pad };
  }

  function scale(values, log, title) {
    return {
      type: log ? "logarithmic" : "linear",
      ...range(values, log),
      title: { display: true, text: title, color: live.ink("--ink"), font: { size: size() } },
      grid: { color: live.ink("--line") },
      border: { color: live.ink("--muted") },
      ticks: { color: live.ink("--muted"), font: { size: 0.9 * size() }, includeBounds: false, maxTicksLimit: 9, callback: tick },
      ...(log ? { afterBuildTicks: decades } : {}),
    };
  }

  function tick(value) {
    const round = Number(value.toPrecision(6));
    return live.print(round, Math.min(6, (String(round).split(".")[1] ?? "").length));
  }

  // On a log axis 1, 2 and 5 of each decade; more where there is less than one, decades alone where there are many.
  function decades(scale) {
    const [low, high] = [Math.floor(Math.log10(scale.min)), Math.ceil(Math.log10(scale.max))];
    const span = Math.log10(scale.max / scale.min);
    const of = span > 4 ? [1] : span > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
    const all = Array.from({ length: high - low + 1 }, (_, i) => of.map((digit) => digit * 10 ** (low + i))).flat();
    scale.ticks = all.filter((value) => value >= scale.min && value <= scale.max).map((value) => ({ value }));
  }

  cssbench.plotAxes = { logFor, scale, size };
})();

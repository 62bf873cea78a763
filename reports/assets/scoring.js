// Scores from counts, in any convention: what benchmark/metrics.py computes, in a browser. Integers are exact; IoU is a
// quotient of two of them, so that it is the same number.
"use strict";

(() => {
  const { live } = cssbench;
  const DEFAULT = { background: true, future: "ignored" };

  // IoU by output after one step; null where a class has no pixel and is never predicted. Counts: see statistics.py.
  function iou({ intersection, union, future }, convention) {
    const moved = convention.future === "background" && future.length > 0;
    const all = moved ? future.reduce((sum, v) => sum + v, 0) : 0;
    return intersection.map((right, i) => {
      const hit = right + (moved && i === 0 ? future[0] : 0);
      const over = union[i] + (moved ? (i === 0 ? all : future[i]) : 0);
      return over ? hit / over : null;
    });
  }

  function meanOfKnown(values) {
    const known = values.filter((v) => v !== null);
    return known.length ? known.reduce((sum, v) => sum + v, 0) / known.length : null;
  }

  // Which outputs each step adds; index 0 is one of step 0 where the dataset has a background that counts.
  function learntBy(sizes, background, convention) {
    let next = 1;
    return sizes.map((size, t) => {
      const added = Array.from({ length: size }, (_, i) => next + i);
      next += size;
      return t === 0 && background && convention.background ? [0, ...added] : added;
    });
  }

  // One run: final mIoU of all, old and new classes, its mean over the steps, forgetting; in percent and points.
  // Joint training has one step with every class; old and new are those of the board.
  function score(steps, sizes, background, convention, joint = false) {
    const learnt = learntBy(sizes, background, convention);
    const known = joint ? [learnt.flat()] : learnt.map((_, t) => learnt.slice(0, t + 1).flat());
    const course = steps.map((step) => iou(step, convention));
    const means = course.map((values, t) => meanOfKnown(known[t].map((row) => values[row])));
    const last = course.length - 1;
    const final = (rows) => meanOfKnown(rows.map((row) => course[last][row]));
    const percent = (value) => (value === null ? null : 100 * value);
    return {
      miou_all_percent: percent(means[last]),
      miou_old_percent: percent(final(learnt[0])),
      miou_new_percent: percent(final(learnt.slice(1).flat())),
      miou_average_percent: percent(means.includes(null) ? null : meanOfKnown(means)),
      forgetting_points: percent(forgetting(course, learnt)),
    };
  }

  function forgetting(course, learnt) {
    const last = course.length - 1;
    const losses = [];
    for (let t = 0; t < last; t += 1) {
      for (const row of learnt[t]) {
        const earlier = course.slice(t, last).map((values) => values[row]).filter((v) => v !== null);
        const final = course[last][row];
        losses.push(earlier.length && final !== null ? Math.max(...earlier) - final : null);
      }
    }
    return meanOfKnown(losses);
  }

  // The counts of a board are a script of their own, fetched when first asked for: they are the largest part of it.
  let counts = null;
  let asked = null;
  cssbench.counts = (data) => {
    counts = data.rows.map((seeds) => seeds.map((steps) => steps && steps.map(([intersection, union, future]) => ({ intersection, union, future }))));
  };

  function load() {
    asked ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.addEventListener("load", () => resolve(counts));
      script.addEventListener("error", () => reject(new Error("counts.js cannot be read beside this page")));
      script.src = "counts.js";
      document.head.append(script);
    });
    return asked;
  }

  const std = (values) => (values.includes(null) ? null : live.std(values));

  // Means over seeds in a convention, by column, and of log10 of mIoU. Null where the counts of a seed are not exact.
  function rescored(index, convention) {
    const { sizes, background } = live.data;
    const row = live.rows[index];
    const runs = counts[index].map((seed) => seed && score(seed, sizes, background, convention, row.kind === "bound"));
    const keys = ["miou_all_percent", "miou_old_percent", "miou_new_percent", "miou_average_percent", "forgetting_points"];
    const by = (key) => runs.map((run) => run && run[key]);
    const values = Object.fromEntries(keys.map((key) => [key, [live.mean(by(key)), std(by(key))]]));
    for (const key of keys) if (row.own[key][0] === null) values[key] = [null, null]; // unknown in any convention
    const logs = by("miou_all_percent").map((v) => (v > 0 ? Math.log10(v) : null));
    return { values, log_a: live.mean(logs) };
  }

  // Mean over seeds of IoU in percent, by class and then by step; undefined before a class is learnt.
  function classes(index, convention) {
    const runs = counts[index].map((seed) => seed && seed.map((step) => iou(step, convention)));
    return live.data.classes.map((_, row) =>
      live.data.sizes.map((_, t) => {
        if (!runs.length || runs.includes(null)) return null;
        if (row >= runs[0][t].length) return undefined;
        const value = meanOfKnown(runs.map((run) => run[t][row]));
        return value === null ? null : 100 * value;
      }),
    );
  }

  cssbench.scoring = { DEFAULT, score, load, rescored, classes };
})();

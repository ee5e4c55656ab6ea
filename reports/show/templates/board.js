"use strict";

/* What a view of the leaderboard shows, as plain values: no document in here. A block is one
   combination of suite, split, protocol and so on; nothing is averaged over blocks. */

class Block {
  constructor(board, number) {
    Object.assign(this, board.blocks[number]);
    this.number = number;
    this.statuses = board.statuses;
    for (const name of ["mean", "count", "status", "seconds", "setting", "dataset"]) {
      this[name] = board.arrays[`${number}.${name}`];
    }
  }

  /* Facets: the names of what makes a setting, with every value that occurs; only where there is a choice. */
  get facets() {
    const found = this.settingNames
      .map((name, i) => [name, [...new Set(this.settings.map((s) => s[i]))].sort(naturally), i])
      .filter(([, values]) => values.length > 1);
    // What only says again what another facet says (the rows of a task follow from its variables) is no choice.
    const pairs = (i, j) => new Set(this.settings.map((s) => JSON.stringify([s[i], s[j]]))).size;
    return found.filter(([, values, i], place) =>
      !found.slice(0, place).some(([, others, j]) => others.length === values.length && pairs(i, j) === values.length));
  }

  /* Tasks whose setting has none of the values that were switched off: name -> Set of values. */
  tasksIn(off) {
    const shown = this.settings.map((values) =>
      values.every((value, i) => !off[this.settingNames[i]]?.has(value)));
    return this.tasks.map((_, t) => t).filter((t) => shown[this.setting[t]]);
  }

  at(metric, label, task) {
    return (metric * this.labels.length + label) * this.tasks.length + task;
  }

  statusOf(label, task) {
    return this.statuses[this.status[label * this.tasks.length + task]];
  }

  /* One value per dataset: {values, settings, genes}, over the tasks that all of the labels finished. The
     values of several labels are side by side. */
  perDataset(metric, labels, tasks) {
    const found = new Map();
    for (const task of tasks) {
      const places = labels.map((label) => this.at(metric, label, task));
      if (places.some((place) => !this.count[place])) continue;
      const dataset = this.dataset[task];
      if (!found.has(dataset)) found.set(dataset, { sums: labels.map(() => 0), n: labels.map(() => 0), task });
      const own = found.get(dataset);
      places.forEach((place, i) => {
        own.sums[i] += this.mean[place] * this.count[place];
        own.n[i] += this.count[place];
      });
    }
    const datasets = [...found.keys()].sort((a, b) => a - b);
    const rows = datasets.map((dataset) => found.get(dataset));
    return {
      values: labels.map((_, i) => rows.map((row) => row.sums[i] / row.n[i])),
      settings: rows.map((row) => this.setting[row.task]),
      genes: this.genes && datasets.map((dataset) => this.genes[dataset]),
    };
  }

  /* {finished, total, failures} of a label over some tasks; a dataset counts if all of its tasks are ok. */
  attrition(label, tasks) {
    const datasets = new Map();
    const failures = {};
    for (const task of tasks) {
      const status = this.statusOf(label, task);
      if (status !== "not run") {
        const dataset = this.dataset[task];
        datasets.set(dataset, (datasets.get(dataset) ?? true) && status === "ok");
        if (status !== "ok") failures[status] = (failures[status] ?? 0) + 1;
      }
    }
    const all = this.kinds[label] === "reference" ? datasets : this.datasetsOf(tasks);
    return {
      finished: [...datasets.values()].filter(Boolean).length,
      total: all.size,
      failures: Object.entries(failures).map(([status, n]) => `${n} ${status}`).join(", "),
    };
  }

  datasetsOf(tasks) {
    return new Map(tasks.map((task) => [this.dataset[task], true]));
  }

  secondsPerTask(label, tasks) {
    const times = tasks.map((task) => this.seconds[label * this.tasks.length + task]).filter((s) => s >= 0);
    return times.length ? median(times) : NaN;
  }
}

const naturally = (a, b) => a.localeCompare(b, "en", { numeric: true });

/* The rows of a view, best first: {label, name, kind, mean, interval, finished, total, failures, seconds}. */
function standing(block, metric, higher, tasks, whole) {
  const rows = block.labels.map((name, label) => {
    const { values: [values], settings, genes } = block.perDataset(metric, [label], tasks);
    return {
      label, name,
      kind: block.kinds[label],
      mean: values.length ? mean(values) : NaN,
      interval: whole ? block.intervals[label] : interval(values, settings, genes, [values.some((v) => v < 0) ? -1 : 0, 1]),
      datasets: values.length,
      ...block.attrition(label, tasks),
      seconds: block.secondsPerTask(label, tasks),
    };
  }).filter((row) => row.finished || row.failures);
  const merit = (row) => Number.isNaN(row.mean) ? -Infinity : higher ? row.mean : -row.mean;
  rows.sort((a, b) => merit(b) - merit(a) || naturally(a.name, b.name));
  for (const row of rows) row.complete = row.datasets > 0 && row.finished === row.total;
  return rows;
}

/* The best of the methods that finished everything; where none did, the best of all. Baselines may win. */
function winner(rows) {
  const methods = rows.filter((row) => row.kind !== "reference" && row.datasets);
  return methods.find((row) => row.complete) ?? methods[0] ?? null;
}

/* label - against, on the tasks that both finished. ranged: whether the interval is wanted, which takes longest. */
function compare(block, metric, label, against, tasks, ranged = true) {
  const { values: [own, others], settings, genes } = block.perDataset(metric, [label, against], tasks);
  const differences = own.map((value, i) => value - others[i]);
  const several = new Set(settings).size > 1;
  const flipped = several && genes
    ? groupsOf(genes).map((group) => group.reduce((a, i) => a + differences[i], 0))
    : differences;
  return {
    n: differences.length,
    difference: differences.length ? mean(differences) : NaN,
    interval: ranged ? interval(differences, settings, genes) : null,
    p: several && differences.length > 1 ? signFlipTest(flipped) : NaN,
  };
}

/* Every method against one: label -> comparison, with Holm's correction over all of them. only: the label whose
   interval is wanted; all by default. */
function compareAll(block, metric, rows, against, tasks, only = null) {
  const others = rows.filter((row) => row.kind !== "reference" && row.label !== against && row.datasets);
  const found = others.map((row) => compare(block, metric, row.label, against, tasks, only === null || row.label === only));
  const adjusted = holm(found.map((each) => each.p));
  return new Map(others.map((row, i) => [row.label, { ...found[i], holm: adjusted[i] }]));
}

const number = (value, digits = 3) => Number.isFinite(value) ? value.toFixed(digits) : "–";
const signed = (value) => Number.isFinite(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3) : "–";
const pValue = (p) => Number.isNaN(p) ? "–" : p < 0.001 ? "<0.001" : p.toFixed(3);

function duration(s) {
  if (!Number.isFinite(s)) return "–";
  if (s >= 120) return `${number(s / 60, s < 600 ? 1 : 0)} min`;
  return `${s < 0.0995 ? s.toFixed(3) : s < 0.995 ? s.toFixed(2) : s < 9.95 ? s.toFixed(1) : s.toFixed(0)} s`;
}

/* One sentence: who is best, by how much, how sure, at what cost. */
function verdict(block, metric, title, rows, comparisons) {
  const best = winner(rows);
  if (!best) return "No method finished a task in this selection.";
  const between = best.interval ? ` (95 % interval ${number(best.interval[0])} to ${number(best.interval[1])})` : "";
  const cost = Number.isFinite(best.seconds) ? ` It takes ${duration(best.seconds)} per task.` : "";
  const partial = best.complete ? "" : " No method finished all of them.";
  const second = rows.find((row) => row !== best && row.kind !== "reference" && row.complete);
  const lead = second && comparisons.get(second.label);
  let by = "";
  if (lead) {
    const range = lead.interval ? ` (${signed(-lead.interval[1])} to ${signed(-lead.interval[0])})` : "";
    const p = Number.isNaN(lead.holm) ? "" : `, p ${pValue(lead.holm).replace(/^(?=\d)/, "= ")} after Holm`;
    const sure = Number.isNaN(lead.holm)
      ? lead.interval === null ? "too few datasets to say more" : "one setting, so no test"
      : lead.holm < 0.05 ? "significant" : "not significant";
    by = ` Its lead over the next, ${second.name}: ${signed(-lead.difference)}${range}${p}, ${sure}.`;
    const level = rows.filter((row) => row.complete && row !== second && comparisons.get(row.label)?.holm >= 0.05).map((row) => row.name);
    if (level.length) by += ` Nor can it be told from ${level.length > 4 ? `${level.length} others` : level.join(", ")}.`;
  }
  const missing = rows.filter((row) => row.kind !== "reference" && row.datasets && !row.complete && better(row, best, rows)).map((row) => row.name);
  const partly = missing.length
    ? ` ${missing.join(", ")} ${missing.length > 1 ? "have" : "has"} a higher mean on fewer datasets, which is no place among these.`
    : "";
  const n = `${best.datasets} dataset${best.datasets === 1 ? "" : "s"}`;
  return `Best: ${best.name}, ${title} ${number(best.mean)}${between} on ${n}.${by}${cost}${partial}${partly}`;
}

const better = (row, best, rows) => rows.indexOf(row) < rows.indexOf(best);

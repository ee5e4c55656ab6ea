"use strict";

/* The leaderboard that sorts, filters, compares and opens. Text goes into the page as text only, never as HTML. */

const PAGE_ROWS = 100;
const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const words = (name) => ({ n_nodes: "N (variables)", n_edges: "edges" })[name] ?? name.replaceAll("_", " ");

class Explorer {
  constructor(board) {
    this.board = board;
    this.blocks = board.blocks.map((_, i) => new Block(board, i));
    this.state = { block: 0, metric: board.ranking, off: {}, against: "", sort: "mean", down: true, search: "", one: "", other: "" };
    this.details = null;
  }

  get block() { return this.blocks[this.state.block]; }
  get metric() { return this.board.metrics[this.state.metric]; }

  /* Another choice of blocks, settings or metric, and everything that depends on it. */
  change(values) {
    const moved = "block" in values && values.block !== this.state.block;
    Object.assign(this.state, values);
    if (moved) Object.assign(this.state, { off: values.off ?? {}, against: "", one: "", other: "" });
    if (!this.shown(this.state.metric)) this.state.metric = this.board.ranking;
    this.closeDrill();
    this.controls();
    this.render();
    if (document.documentElement.dataset.ready) this.remember();
  }

  shown(metric) {
    const { labels, tasks, count } = this.block;
    const size = labels.length * tasks.length;
    return count.subarray(metric * size, (metric + 1) * size).some((n) => n > 0);
  }

  // Controls

  controls() {
    const { block, state } = this;
    const suites = [...new Set(this.blocks.map((b) => b.key[0]))];
    const fields = [this.select("suite", "Suite", suites.map((s) => [s, s]), block.key[0], (suite) =>
      this.change({ block: this.blocks.findIndex((b) => b.key[0] === suite) }))];
    this.board.factors.forEach((factor, i) => {
      const same = this.blocks.filter((b) => b.key[0] === block.key[0]);
      const values = i ? [...new Set(same.map((b) => b.key[i]))] : [];
      if (values.length < 2) return;
      fields.push(this.select(`factor-${factor}`, words(factor), values.map((v) => [v, v || "–"]), block.key[i], (value) =>
        this.change({ block: this.nearest(same.filter((b) => b.key[i] === value)).number })));
    });
    fields.push(this.select("metric", "Metric",
      this.board.metrics.map((m, i) => [String(i), m.title]).filter(([i]) => this.shown(+i)),
      String(state.metric), (metric) => this.change({ metric: +metric })));
    const facets = block.facets.map(([name, values]) => make("fieldset", { class: "facet" },
      make("legend", {}, words(name)),
      ...values.map((value) => make("label", {}, make("input", {
        type: "checkbox", checked: !state.off[name]?.has(value), "data-facet": name, value,
        onchange: (event) => this.toggle(name, value, event.target.checked),
      }), value || "–"))));
    const focused = document.activeElement?.id || null;
    const facet = document.activeElement?.dataset?.facet ? [document.activeElement.dataset.facet, document.activeElement.value] : null;
    $("filters").replaceChildren(...fields, ...facets);
    if (focused) $(focused)?.focus();
    if (facet) [...$("filters").querySelectorAll("input")].find((i) => i.dataset.facet === facet[0] && i.value === facet[1])?.focus();
    $("factors").textContent = `Shown: ${block.title}. ${block.simulated ? "These data are simulated stand-ins. " : ""}Take a tick away to leave out its settings.`;
  }

  nearest(blocks) {
    const agreement = (b) => b.key.filter((value, i) => value === this.block.key[i]).length;
    return blocks.reduce((best, b) => agreement(b) > agreement(best) ? b : best);
  }

  select(id, title, options, value, act) {
    return make("label", { class: "field" }, title, make("select", { id, onchange: (event) => act(event.target.value) },
      ...options.map(([key, text]) => make("option", { value: key, selected: key === value }, text))));
  }

  toggle(name, value, on) {
    const off = { ...this.state.off, [name]: new Set(this.state.off[name]) };
    if (on) off[name].delete(value);
    else off[name].add(value);
    this.change({ off });
  }

  // The table

  compute() {
    const { block, state } = this;
    this.tasks = block.tasksIn(state.off);
    const whole = this.tasks.length === block.tasks.length && state.metric === this.board.ranking;
    this.rows = standing(block, state.metric, this.metric.higher, this.tasks, whole);
    const best = winner(this.rows);
    const chosen = block.labels.indexOf(state.against);
    const against = chosen >= 0 ? chosen : best?.label ?? -1;
    this.toBest = best ? compareAll(block, state.metric, this.rows, best.label, this.tasks) : new Map();
    this.comparisons = !best || against === best.label ? this.toBest : compareAll(block, state.metric, this.rows, against, this.tasks);
    this.against = against;
    this.best = best;
    this.rows.forEach((row) => { row.comparison = this.comparisons.get(row.label) ?? null; });
    let place = 0;
    for (const row of this.rows) row.place = row.kind === "reference" || !row.complete ? NaN : ++place;
  }

  render() {
    this.compute();
    const { block, state, metric } = this;
    $("verdict").textContent = verdict(block, state.metric, metric.title, this.rows, this.toBest);
    this.pairControls();
    this.table();
  }

  columns() {
    const against = this.against >= 0 ? this.block.labels[this.against] : "";
    return [
      ["place", "Place", (row) => row.place], ["name", "Method", (row) => row.name],
      ["mean", this.metric.title, (row) => row.mean], ["range", "95 % interval", (row) => row.interval ? row.interval[0] : NaN],
      ["difference", `Difference to ${against}`, (row) => row.comparison?.difference ?? NaN],
      ["p", "p (Holm)", (row) => row.comparison?.holm ?? NaN], ["finished", "Datasets", (row) => row.finished],
      ["failures", "Failures", (row) => row.failures], ["seconds", "Per task", (row) => row.seconds],
    ];
  }

  sorted() {
    const value = this.columns().find(([name]) => name === this.state.sort)[2];
    const sign = this.state.down ? -1 : 1;
    const rows = this.rows.filter((row) => row.name.toLowerCase().includes(this.state.search.toLowerCase()));
    return rows.sort((a, b) => {
      if (this.state.sort === "mean" && (a.kind === "reference") !== (b.kind === "reference")) return a.kind === "reference" ? -1 : 1;
      const [x, y] = [value(a), value(b)];
      if (typeof x === "string") return sign * naturally(x, y);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y);
    });
  }

  table() {
    const heads = this.columns().map(([name, title]) => make("th", {
      scope: "col", class: `c-${name}`, "aria-sort": this.state.sort === name ? (this.state.down ? "descending" : "ascending") : "none",
    }, make("button", { type: "button", "data-sort": name, onclick: () => this.sortBy(name) }, title)));
    const focused = document.activeElement?.dataset?.sort;
    const rows = this.sorted();
    $("board").replaceChildren(
      make("caption", {}, `${this.metric.title}: ${this.metric.summary}. ${this.tasks.length} of ${this.block.tasks.length} tasks in this selection.`),
      make("thead", {}, make("tr", {}, ...heads)),
      make("tbody", {}, ...rows.map((row) => this.row(row))));
    if (focused) [...$("board").querySelectorAll("[data-sort]")].find((b) => b.dataset.sort === focused)?.focus();
  }

  row(row) {
    const open = () => this.openMethod(row.label);
    const pair = row.comparison;
    const isBest = row === this.best;
    const difference = row.label === this.against ? "reference" : pair
      ? `${signed(pair.difference)}${pair.interval ? ` (${signed(pair.interval[0])} to ${signed(pair.interval[1])})` : ""}` : "–";
    return make("tr", { class: `${row.kind}${isBest ? " winner" : ""}`, "data-label": row.name },
      make("td", { class: "c-place", "data-title": "place" }, row.kind === "reference" ? "" : number(row.place, 0)),
      make("th", { scope: "row", class: "c-name" }, make("button", { type: "button", class: "open", onclick: open, "aria-label": `${row.name}: show its tasks` }, row.name)),
      make("td", { class: "c-mean", "data-title": this.metric.title }, make("button", { type: "button", class: "open", onclick: open, tabindex: -1 }, number(row.mean)),
        row.datasets && !row.complete ? make("abbr", { title: "on fewer datasets than were run" }, "†") : null),
      make("td", { class: "c-range", "data-title": "95 %" }, bar(row), make("span", { class: "range" }, row.interval ? `${number(row.interval[0])} to ${number(row.interval[1])}` : "–")),
      make("td", { class: "c-difference", "data-title": "difference" }, difference),
      make("td", { class: `c-p${pair?.holm < 0.05 ? " best" : ""}`, "data-title": "p (Holm)" }, pair ? pValue(pair.holm) : ""),
      make("td", { class: "c-finished", "data-title": "datasets" }, `${row.finished}/${row.total}`),
      make("td", { class: "c-failures", "data-title": "failures" }, row.failures),
      make("td", { class: "c-seconds", "data-title": "per task" }, row.kind === "reference" ? "" : duration(row.seconds)));
  }

  sortBy(name) {
    const same = this.state.sort === name;
    this.state.down = same ? !this.state.down : !["place", "name", "failures", "seconds", "p"].includes(name);
    this.state.sort = name;
    this.table();
  }

  // Two methods

  pairControls() {
    const { block, state } = this;
    const names = this.rows.filter((row) => row.kind !== "reference" && row.datasets).map((row) => row.name);
    const one = names.includes(state.one) ? state.one : this.best?.name ?? "";
    const rest = names.filter((name) => name !== one);
    const other = rest.includes(state.other) ? state.other : rest[0] ?? "";
    const fill = (id, chosen, options) => $(id).replaceChildren(...options.map((name) => make("option", { value: name, selected: name === chosen }, name)));
    fill("one", one, names);
    fill("other", other, rest);
    fill("against", block.labels[this.against], names);
    const [a, b] = [one, other].map((name) => block.labels.indexOf(name));
    if (a < 0 || b < 0) {
      $("pair").textContent = "It takes two methods that finished a task.";
      return;
    }
    const found = compareAll(block, state.metric, this.rows, b, this.tasks).get(a);
    const range = found.interval ? `, 95 % interval ${signed(found.interval[0])} to ${signed(found.interval[1])}` : "";
    const p = Number.isNaN(found.p) ? " One setting or one dataset: no p-value." : ` Sign-flip test: p ${pValue(found.p)}; ${pValue(found.holm)} after Holm over all comparisons with ${other}.`;
    $("pair").textContent = `${one} − ${other}: ${signed(found.difference)} ${this.metric.title}${range}, on the ${found.n} datasets that both finished.${p}`;
  }

  // What lies behind a cell

  closeDrill() { $("drill").hidden = true; }

  crumbs(...steps) {
    const items = steps.map(([text, act]) => make("li", {}, act ? make("button", { type: "button", class: "open", onclick: act }, text) : text));
    return make("nav", { "aria-label": "Where you are" }, make("ol", { class: "crumbs" }, ...items,
      make("li", {}, make("button", { type: "button", class: "plain", onclick: () => { this.closeDrill(); $("board").querySelector("tbody button")?.focus(); } }, "Close"))));
  }

  showDrill(crumbs, heading, ...content) {
    const drill = $("drill");
    const title = make("h3", { tabindex: -1 }, heading);
    drill.replaceChildren(crumbs, title, ...content);
    drill.hidden = false;
    drill.scrollIntoView({ block: "start" });
    title.focus({ preventScroll: true });
  }

  openMethod(label) {
    const { block, state } = this;
    const name = block.labels[label];
    const facets = block.facets;
    const tasks = this.tasks.filter((task) => block.statusOf(label, task) !== "not run");
    const head = ["Task", ...facets.map(([facet]) => words(facet)), this.metric.title, "Status", "Time"];
    const rows = tasks.map((task) => {
      const value = block.count[block.at(state.metric, label, task)] ? block.mean[block.at(state.metric, label, task)] : NaN;
      return [
        make("button", { type: "button", class: "open", onclick: () => this.openTask(label, task) }, block.tasks[task]),
        ...facets.map(([, , i]) => block.settings[block.setting[task]][i]),
        number(value), block.statusOf(label, task), duration(block.seconds[label * block.tasks.length + task]),
      ];
    });
    this.showDrill(this.crumbs([name]), `${name}: ${tasks.length} tasks`, grid(head, rows, `Tasks of ${name}`));
  }

  async openTask(label, task) {
    const { block } = this;
    const name = block.labels[label];
    this.details ??= this.readDetails();
    const content = await this.details;
    const own = content && new Details(content, block.number, block.labels.length, block.tasks.length);
    const regimes = own?.of(label, task);
    const crumbs = this.crumbs([name, () => this.openMethod(label)], [block.tasks[task]]);
    const heading = `${name} on ${block.tasks[task]}`;
    if (!regimes) {
      const why = content ? `There are no scores: the job ended as “${block.statusOf(label, task)}”.` : "This page holds no scores of single regimes: there are too many for one file, or none are stored.";
      this.showDrill(crumbs, heading, make("p", {}, why));
      return;
    }
    const rows = regimes.map((regime, r) => [
      String(r), regime.targets.join(", ") || "none", regime.places.map((place) => number(place, place % 1 ? 1 : 0)).join(", ") || "–",
      number(regime.precision, 2),
      make("ol", { class: "top" }, ...regime.top.map((each) => make("li", { class: each.hit ? "hit" : "" }, each.name,
        Number.isFinite(each.score) ? ` ${brief(each.score)}` : "", each.hit ? make("span", { class: "tick" }, " ✓ target") : null))),
    ]);
    this.showDrill(crumbs, heading,
      make("p", { class: "note" }, `Each regime with its true targets, the places that ${name} gave them (1 is first, ties in the middle), and the ${own.top} variables that it ranked first${own.scored ? ", with their scores to two digits" : ""}. Average precision to two digits; of several seeds, the first.`),
      grid(["Regime", "True targets", "Their places", "AP", "Ranked first"], rows, heading));
  }

  readDetails() {
    const text = $("details-data")?.textContent.trim();
    return text ? unpack(text) : Promise.resolve(null);
  }

  // The address

  remember() {
    const { block, state } = this;
    const parts = new URLSearchParams();
    this.board.factors.forEach((factor, i) => { if (block.key[i]) parts.set(factor, block.key[i]); });
    for (const [name, values] of Object.entries(state.off)) for (const value of values) parts.append(`without.${name}`, value);
    if (state.metric !== this.board.ranking) parts.set("metric", this.metric.title);
    history.replaceState(null, "", `#${parts}`);
  }

  recall(hash) {
    if (!hash.includes("=")) return {};
    const parts = new URLSearchParams(hash.slice(1));
    const found = this.blocks.filter((b) => this.board.factors.every((factor, i) => (parts.get(factor) ?? "") === b.key[i]));
    if (!found.length) return {};
    const off = {};
    for (const [name, value] of parts) if (name.startsWith("without.")) (off[name.slice(8)] ??= new Set()).add(value);
    const metric = this.board.metrics.findIndex((m) => m.title === parts.get("metric"));
    return { block: found[0].number, off, metric: metric < 0 ? this.board.ranking : metric };
  }
}

/* A score to two digits. */
function brief(score) {
  const size = Math.abs(score);
  const text = size && (size >= 1e5 || size < 1e-3) ? score.toExponential(1) : String(Number(score.toPrecision(2)));
  return text.replaceAll("-", "−");
}

function bar(row) {
  if (!Number.isFinite(row.mean) || row.mean < 0 || row.mean > 1) return null;
  const [low, high] = (row.interval ?? [row.mean, row.mean]).map((v) => Math.min(Math.max(v, 0), 1));
  const name = "http://www.w3.org/2000/svg";
  const drawn = (tag, attributes) => {
    const element = document.createElementNS(name, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = drawn("svg", { viewBox: "0 0 104 14", class: "bar", "aria-hidden": "true", width: 104, height: 14 });
  svg.append(drawn("line", { x1: 2, x2: 102, y1: 7, y2: 7, class: "grid" }),
    drawn("line", { x1: 2 + 100 * low, x2: 2 + 100 * high, y1: 7, y2: 7, class: "whisker" }),
    drawn("circle", { cx: 2 + 100 * row.mean, cy: 7, r: 3.5 }));
  return svg;
}

/* A table whose rows come a hundred at a time. */
function grid(head, rows, label) {
  const body = make("tbody");
  const cells = (row) => make("tr", {}, ...row.map((cell, i) => make("td", { "data-title": head[i] }, cell)));
  const more = make("button", { type: "button", class: "plain" });
  const show = () => {
    const from = body.children.length;
    body.append(...rows.slice(from, from + PAGE_ROWS).map(cells));
    const left = rows.length - body.children.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(left, PAGE_ROWS)} more of ${left}`;
  };
  more.addEventListener("click", show);
  show();
  return make("div", {}, make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    make("table", { class: "plain-grid stacked" }, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), body)), more);
}

/* The leads in the overview, which hold for the whole of each block. One block at a time, so that the page answers
   in between. */
function fillOverview(explorer, number = 0) {
  const block = explorer.blocks[number];
  if (!block) {
    document.documentElement.dataset.overview = "yes";
    return;
  }
  const row = document.querySelector(`[data-block="${number}"]`);
  const [metric, tasks] = [explorer.board.ranking, block.tasks.map((_, t) => t)];
  const rows = standing(block, metric, true, tasks, true);
  const best = winner(rows);
  const next = best && rows.find((each) => each !== best && each.kind !== "reference" && each.complete);
  if (next) {
    const lead = compareAll(block, metric, rows, best.label, tasks, next.label).get(next.label);
    const range = lead.interval ? ` (${signed(-lead.interval[1])} to ${signed(-lead.interval[0])})` : "";
    row.querySelector(".lead").textContent = `${signed(-lead.difference)}${range}`;
    row.querySelector(".sure").textContent = pValue(lead.holm);
  }
  setTimeout(() => fillOverview(explorer, number + 1), 0);
}

/* The titles of the overview become buttons that show their block. */
function linkOverview(explorer) {
  for (const block of explorer.blocks) {
    const cell = document.querySelector(`[data-block="${block.number}"] .where`);
    cell.replaceChildren(make("button", { type: "button", class: "open", onclick: () => {
      explorer.change({ block: block.number, off: {} });
      $("explore").scrollIntoView();
      $("suite").focus({ preventScroll: true });
    } }, ...cell.childNodes));
  }
}

function theme() {
  const button = $("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    button.textContent = dark ? "Dark" : "Light";
  });
  if (matchMedia("(prefers-color-scheme: dark)").matches) button.textContent = "Light";
}

async function start() {
  theme();
  if (typeof DecompressionStream === "undefined") return; // the plain leaderboards stay open
  const explorer = new Explorer(await unpack($("board-data").textContent.trim()));
  for (const id of ["one", "other", "against"]) $(id).addEventListener("change", (event) => { explorer.state[id] = event.target.value; explorer.render(); });
  $("search").addEventListener("input", (event) => { explorer.state.search = event.target.value; explorer.table(); });
  $("explore").hidden = false;
  const whole = { block: explorer.blocks[0].number, off: {} };
  explorer.change({ ...whole, ...explorer.recall(location.hash) });
  window.addEventListener("hashchange", () => { if (location.hash.includes("=")) explorer.change({ ...whole, ...explorer.recall(location.hash) }); });
  for (const each of document.querySelectorAll("details.static")) each.open = false;
  linkOverview(explorer);
  document.documentElement.dataset.ready = "yes";
  setTimeout(() => fillOverview(explorer), 0);
}

start();

"use strict";

/* The regimes behind a task: targets, the variables that a method ranked first, places of the targets. */
class Details {
  constructor(content, block, nLabels, nTasks) {
    const array = (name) => content.arrays[`${block}.${name}`];
    this.variables = content.blocks[block].variables;
    this.top = content.top;
    this.scored = content.scored;
    for (const name of ["kept", "regimes", "targets", "whose", "precision", "places", "high", "low"]) this[name] = array(name);
    this.ranked = array("top");
    this.nTasks = nTasks;
    this.nRows = this.precision.length;
    this.firstRegime = running(this.regimes);
    this.firstTarget = running(this.targets);
    this.firstRow = new Uint32Array(nLabels * nTasks);
    this.firstPlace = new Uint32Array(nLabels * nTasks);
    let [row, place] = [0, 0];
    for (let cell = 0; cell < nLabels * nTasks; cell++) {
      this.firstRow[cell] = row;
      this.firstPlace[cell] = place;
      if (!this.kept[cell]) continue;
      const task = cell % nTasks;
      row += this.regimes[task];
      const begin = this.firstRegime[task];
      place += this.firstTarget[begin + this.regimes[task]] - this.firstTarget[begin];
    }
  }

  /* [{precision, targets: [name], places: [place], top: [{name, score, hit}]}], one per regime; null where none is kept. */
  of(label, task) {
    const cell = label * this.nTasks + task;
    if (!this.kept[cell]) return null;
    const begin = this.firstRegime[task];
    return Array.from({ length: this.regimes[task] }, (_, r) => {
      const row = this.firstRow[cell] + r;
      const [first, end] = [this.firstTarget[begin + r], this.firstTarget[begin + r + 1]];
      const ids = [...this.whose.subarray(first, end)];
      const place = this.firstPlace[cell] + first - this.firstTarget[begin];
      const top = [];
      for (let k = 0; k < this.top; k++) {
        const id = this.ranked[k * this.nRows + row];
        if (id >= this.variables.length) break;
        top.push({ name: this.variables[id], score: this.score(k * this.nRows + row), hit: ids.includes(id) });
      }
      return {
        precision: this.precision[row] === 255 ? NaN : this.precision[row] / 250,
        targets: ids.map((id) => this.variables[id]),
        places: ids.map((_, i) => this.places[place + i] / 2),
        top,
      };
    });
  }

  score(at) {
    if (!this.scored) return NaN;
    const view = new DataView(new ArrayBuffer(4));
    view.setUint8(0, this.high[at]);
    view.setUint8(1, this.low[at]);
    return view.getFloat32(0);
  }
}

function running(counts) {
  const sums = new Uint32Array(counts.length + 1);
  counts.forEach((count, i) => { sums[i + 1] = sums[i] + count; });
  return sums;
}

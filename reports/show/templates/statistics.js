"use strict";

/* The statistics of cdnbench.reports.statistics, for any choice of datasets. The dataset is the unit.
   Random numbers are drawn with a fixed seed, so the same view always shows the same numbers. */

const RESAMPLES = 10000;

function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function deviation(values) {
  const centre = mean(values);
  return Math.sqrt(values.reduce((a, v) => a + (v - centre) ** 2, 0) / (values.length - 1));
}

function quantile(sorted, q) {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/* The 97.5 % quantile of Student's t, by bisection of its distribution function. */
function studentQuantile(freedom) {
  const below = (t) => 1 - incompleteBeta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2;
  let [low, high] = [0, 13];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (below(middle) < 0.975) low = middle;
    else high = middle;
  }
  return low;
}

function logGamma(x) {
  const terms = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155,
    0.1208650973866179e-2, -0.5395239384953e-5];
  const sum = terms.reduce((a, c, i) => a + c / (x + 1 + i), 1.000000000190015);
  return -(x + 5.5) + (x + 0.5) * Math.log(x + 5.5) + Math.log(2.5066282746310005 * sum / x);
}

/* The regularised incomplete beta function, by its continued fraction. */
function incompleteBeta(a, b, x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, 1 - x);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
  let [f, c, d] = [1, 1, 0];
  for (let i = 0; i <= 300; i++) {
    const m = i >> 1;
    const numerator = i === 0 ? 1
      : i % 2 ? -((a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
      : (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + numerator * d);
    c = 1 + numerator / c;
    f *= c * d;
    if (Math.abs(1 - c * d) < 1e-12) break;
  }
  return front * (f - 1);
}

/* Groups of indices that share a value; strata of one are pooled, a lone one joins the largest. */
function groupsOf(values) {
  const groups = new Map();
  values.forEach((value, i) => groups.has(value) ? groups.get(value).push(i) : groups.set(value, [i]));
  return [...groups.values()];
}

function strataOf(settings) {
  const groups = groupsOf(settings);
  const several = groups.filter((g) => g.length > 1);
  const single = groups.filter((g) => g.length === 1).flat();
  if (single.length === 1 && several.length) several.sort((a, b) => b.length - a.length)[0].push(single[0]);
  else if (single.length) several.push(single);
  return several;
}

const kept = new Map(); // resamplings by what is resampled: methods with the same datasets share them

function remembered(key, make) {
  if (!kept.has(key)) {
    if (kept.size > 8) kept.clear();
    kept.set(key, make());
  }
  return kept.get(key);
}

/* (resamples x n) how often each value is drawn; from a stratum of n, n - 1 are drawn. */
function draws(strata, n, resamples) {
  return remembered(`draw ${resamples} ${strata.map((s) => s.join()).join(";")}`, () => {
    const random = randomNumbers(n + 1);
    const counts = new Uint8Array(resamples * n);
    for (let r = 0; r < resamples; r++) {
      for (const stratum of strata) {
        for (let k = 1; k < Math.max(stratum.length, 2); k++) {
          counts[r * n + stratum[Math.floor(random() * stratum.length)]] += 1;
        }
      }
    }
    return counts;
  });
}

const resamplesFor = (n) => n > 1000 ? 2000 : RESAMPLES;

function stratifiedInterval(values, settings) {
  const n = values.length;
  const strata = strataOf(settings);
  const counts = draws(strata, n, resamplesFor(n));
  const scaled = new Float64Array(n);
  for (const stratum of strata) {
    const factor = stratum.length / Math.max(stratum.length - 1, 1) / n;
    for (const i of stratum) scaled[i] = values[i] * factor;
  }
  const means = new Float64Array(resamplesFor(n));
  for (let r = 0; r < means.length; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += counts[r * n + i] * scaled[i];
    means[r] = sum;
  }
  return stretched(means, mean(values), n - strata.length);
}

/* The percentile interval of resampled means, for a normal mean as wide as Student's. */
function stretched(means, centre, freedom) {
  means.sort();
  const factor = studentQuantile(freedom) / 1.959963984540054;
  return [0.025, 0.975].map((q) => centre + factor * (quantile(means, q) - centre));
}

/* Whole clusters are resampled with all their values. */
function clusterInterval(values, clusters) {
  const groups = groupsOf(clusters);
  if (groups.length < 2) return null;
  const n = groups.length;
  const sums = Float64Array.from(groups, (g) => g.reduce((a, i) => a + values[i], 0));
  const sizes = Float64Array.from(groups, (g) => g.length);
  const counts = draws([groups.map((_, i) => i)], n, resamplesFor(n));
  const means = new Float64Array(resamplesFor(n));
  for (let r = 0; r < means.length; r++) {
    let [sum, size] = [0, 0];
    for (let i = 0; i < n; i++) {
      sum += counts[r * n + i] * sums[i];
      size += counts[r * n + i] * sizes[i];
    }
    means[r] = sum / size;
  }
  return stretched(means, mean(values), n - 1);
}

/* 95 % interval of the mean over datasets: by t within one setting, by bootstrap over several (by
   gene where every dataset has one), within the bounds of what is possible. null where there is none: fewer than
   two datasets, fewer than five over several settings, or values that are all equal. */
function interval(values, settings, genes, bounds = [-Infinity, Infinity]) {
  const found = unbounded(values, settings, genes);
  return found && [Math.max(found[0], bounds[0]), Math.min(found[1], bounds[1])];
}

function unbounded(values, settings, genes, least = 5) {
  if (values.length < 2 || values.every((value) => value === values[0])) return null;
  if (new Set(settings).size <= 1) {
    const half = studentQuantile(values.length - 1) * deviation(values) / Math.sqrt(values.length);
    return [mean(values) - half, mean(values) + half];
  }
  if (values.length < least) return null;
  return genes ? clusterInterval(values, genes) : stratifiedInterval(values, settings);
}

/* Two-sided p-value of a zero mean under random signs; exact where there are few values. */
function signFlipTest(values) {
  const n = values.length;
  if (!n) return NaN;
  const total = Math.abs(values.reduce((a, b) => a + b, 0));
  const observed = total - 1e-12 * values.reduce((a, b) => a + Math.abs(b), 0);
  if (2 ** n <= RESAMPLES) {
    let hits = 0;
    for (let pattern = 0; pattern < 2 ** n; pattern++) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += (pattern >> i) & 1 ? -values[i] : values[i];
      if (Math.abs(sum) >= observed) hits += 1;
    }
    return hits / 2 ** n;
  }
  const resamples = resamplesFor(n);
  const flips = remembered(`flip ${n}`, () => {
    const random = randomNumbers(n);
    return Int8Array.from({ length: resamples * n }, () => random() < 0.5 ? -1 : 1);
  });
  let hits = 0;
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += flips[r * n + i] * values[i];
    if (Math.abs(sum) >= observed) hits += 1;
  }
  return (hits + 1) / (resamples + 1);
}

/* Holm's adjusted p-values of one family; NaN entries stay NaN and do not count. */
function holm(p) {
  const order = p.map((_, i) => i).filter((i) => !Number.isNaN(p[i])).sort((a, b) => p[a] - p[b]);
  const adjusted = p.map(() => NaN);
  let largest = 0;
  order.forEach((i, place) => {
    largest = Math.max(largest, p[i] * (order.length - place));
    adjusted[i] = Math.min(largest, 1);
  });
  return adjusted;
}

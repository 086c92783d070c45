// Where images go on a map: alike ones near each other, in two dimensions.

const PERPLEXITY = 12;
const WORK = 1.2e8;
const STEPS = 400;

/**
 * By t-SNE (van der Maaten and Hinton, 2008) from the two principal components; the more images,
 * the fewer steps, so that it takes a second at most.
 *
 * @param {number[][]} vectors of unit length
 * @returns {Float32Array} `[2n]`, coordinates from 0 to 1
 */
export function layout(vectors) {
  const n = vectors.length;
  const at = components(vectors);
  const steps = Math.min(STEPS, Math.floor(WORK / (n * n)));
  const near = affinities(vectors);
  const speed = new Float64Array(2 * n);
  const pull = new Float64Array(2 * n);
  const kernel = new Float64Array(n * n);
  for (let step = 0; step < steps; step++) {
    const early = step < steps / 4 ? 4 : 1;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) {
        const [dx, dy] = [at[2 * i] - at[2 * j], at[2 * i + 1] - at[2 * j + 1]];
        const value = 1 / (1 + dx * dx + dy * dy);
        kernel[i * n + j] = value;
        sum += 2 * value;
      }
    }
    pull.fill(0);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) {
        const value = kernel[i * n + j];
        const force = (early * near[i * n + j] - value / sum) * value;
        const [dx, dy] = [force * (at[2 * i] - at[2 * j]), force * (at[2 * i + 1] - at[2 * j + 1])];
        pull[2 * i] += dx;
        pull[2 * i + 1] += dy;
        pull[2 * j] -= dx;
        pull[2 * j + 1] -= dy;
      }
    }
    const rate = Math.max(n / 3, 12);
    for (let k = 0; k < 2 * n; k++) {
      speed[k] = (step < steps / 4 ? 0.5 : 0.8) * speed[k] - rate * pull[k];
      at[k] += speed[k];
    }
  }
  return fitted(at);
}

/** How likely each would choose each other as its neighbour, both ways; sums to 1. */
function affinities(vectors) {
  const n = vectors.length;
  const distances = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      let sum = 0;
      for (let k = 0; k < vectors[i].length; k++) sum += vectors[i][k] * vectors[j][k];
      distances[i * n + j] = distances[j * n + i] = Math.max(0, 2 - 2 * sum);
    }
  }
  const near = new Float64Array(n * n);
  const wanted = Math.log(Math.min(PERPLEXITY, (n - 1) / 3));
  for (let i = 0; i < n; i++) {
    let [low, high, beta] = [0, Infinity, 1];
    for (let attempt = 0; attempt < 40; attempt++) {
      let [sum, weighted] = [1e-12, 0];
      for (let j = 0; j < n; j++) {
        if (j === i) continue;
        const value = Math.exp(-beta * distances[i * n + j]);
        near[i * n + j] = value;
        sum += value;
        weighted += value * distances[i * n + j];
      }
      for (let j = 0; j < n; j++) near[i * n + j] /= sum;
      const entropy = Math.log(sum) + (beta * weighted) / sum;
      if (entropy > wanted) low = beta;
      else high = beta;
      beta = high === Infinity ? beta * 2 : (low + high) / 2;
    }
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      near[i * n + j] = near[j * n + i] = (near[i * n + j] + near[j * n + i]) / (2 * n);
    }
  }
  return near;
}

/** The first two principal components, small. */
function components(vectors) {
  const [n, dim] = [vectors.length, vectors[0].length];
  const mean = new Float64Array(dim);
  for (const vector of vectors) for (let k = 0; k < dim; k++) mean[k] += vector[k] / n;
  const centred = vectors.map((vector) => Float64Array.from(vector, (value, k) => value - mean[k]));
  const axes = [];
  for (let axis = 0; axis < 2; axis++) {
    let direction = Float64Array.from({ length: dim }, (_, k) => Math.sin(1 + k * (axis + 1)));
    for (let turn = 0; turn < 30; turn++) {
      const next = new Float64Array(dim);
      for (const row of centred) {
        const along = product(row, direction);
        for (let k = 0; k < dim; k++) next[k] += along * row[k];
      }
      for (const other of axes) {
        const along = product(next, other);
        for (let k = 0; k < dim; k++) next[k] -= along * other[k];
      }
      const length = Math.sqrt(product(next, next)) || 1;
      direction = next.map((value) => value / length);
    }
    axes.push(direction);
  }
  const at = new Float64Array(2 * n);
  centred.forEach((row, i) => axes.forEach((axis, k) => (at[2 * i + k] = 0.1 * product(row, axis) + 1e-4 * Math.sin(i * (k + 3)))));
  return at;
}

function product(a, b) {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}

function fitted(at) {
  const found = new Float32Array(at.length);
  for (const axis of [0, 1]) {
    let [low, high] = [Infinity, -Infinity];
    for (let k = axis; k < at.length; k += 2) [low, high] = [Math.min(low, at[k]), Math.max(high, at[k])];
    for (let k = axis; k < at.length; k += 2) found[k] = (at[k] - low) / (high - low || 1);
  }
  return found;
}

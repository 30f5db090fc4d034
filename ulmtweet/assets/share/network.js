// The AWD-LSTM, one token a lane at a time, as `Steps` in the chapter engine.

const LANES = 4; // texts that are read at a time: a weight that is loaded serves them all
const even = (n) => n + n % 2; // matrices are filled up with zeros, as they are multiplied two by two

// Weights in the order in which the chapter html packs them: numbers of 32 bits first, then rows of bytes.
class Unpacker {
  constructor(buffer, floats) {
    this.floats = new Float32Array(buffer, 0, floats);
    this.rows = new Int8Array(buffer, 4 * floats);
  }

  take(n) {
    const taken = this.floats.slice(0, n);
    this.floats = this.floats.subarray(n);
    return taken;
  }

  // a matrix, put at column `at` of another one
  unpack(scales, columns, into, width, at = 0) {
    for (let r = 0; r < scales.length; r++)
      for (let k = 0; k < columns; k++) into[r * width + at + k] = this.rows[r * columns + k] * scales[r];
    this.rows = this.rows.subarray(scales.length * columns);
  }
}

function unpackWeights(buffer, {vocab_size, emb_sz, n_hid, n_layers, floats}) {
  const packed = new Unpacker(buffer, floats), widths = [emb_sz, ...Array(n_layers - 1).fill(n_hid), emb_sz];
  const columns = even(emb_sz), emb = new Float32Array(even(vocab_size) * columns);
  const scales = packed.take(vocab_size), bias = new Float32Array(even(vocab_size));
  bias.set(packed.take(vocab_size));
  const layers = widths.slice(1).map((width, i) => ({inputs: widths[i], width,
    scales: [packed.take(4 * width), packed.take(4 * width)], bias: packed.take(4 * width)}));
  for (const layer of layers) layer.start = {h: packed.take(layer.width), c: packed.take(layer.width)};
  packed.unpack(scales, emb_sz, emb, columns);
  for (const layer of layers) {
    const {inputs, width, scales: [input, hidden]} = layer, both = even(inputs + width);
    layer.weight = new Float32Array(4 * width * both);
    packed.unpack(input, inputs, layer.weight, both);
    packed.unpack(hidden, width, layer.weight, both, inputs);
  }
  return {size: vocab_size, columns, emb, bias, layers};
}

// weight (rows, columns) times x (columns, LANES), plus bias; into (LANES, rows). Two rows and two columns at a time
// are a quarter faster than one column, and more are slower.
function multiply(weight, bias, x, into) {
  const rows = bias.length, columns = weight.length / rows;
  for (let r = 0; r < rows; r += 2) {
    let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    for (let k = r * columns, end = k + columns, i = 0; k < end; k += 2, i += 8) {
      let u = weight[k], v = weight[k + columns], x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];
      a += u * x0; b += u * x1; c += u * x2; d += u * x3;
      e += v * x0; f += v * x1; g += v * x2; h += v * x3;
      u = weight[k + 1]; v = weight[k + columns + 1];
      x0 = x[i + 4]; x1 = x[i + 5]; x2 = x[i + 6]; x3 = x[i + 7];
      a += u * x0; b += u * x1; c += u * x2; d += u * x3;
      e += v * x0; f += v * x1; g += v * x2; h += v * x3;
    }
    into[r] = a + bias[r]; into[r + 1] = e + bias[r + 1];
    into[rows + r] = b + bias[r]; into[rows + r + 1] = f + bias[r + 1];
    into[2 * rows + r] = c + bias[r]; into[2 * rows + r + 1] = g + bias[r + 1];
    into[3 * rows + r] = d + bias[r]; into[3 * rows + r + 1] = h + bias[r + 1];
  }
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

class Network {
  constructor(weights) {
    this.weights = weights;
    // what goes into each layer, its own hidden vector below it, and its cell vector: (features, LANES)
    this.states = weights.layers.map(({inputs, width}) => ({x: new Float32Array(even(inputs + width) * LANES),
      cell: new Float32Array(width * LANES), gates: new Float32Array(4 * width * LANES)}));
    this.out = new Float32Array(weights.columns * LANES);
    this.scores = new Float32Array(weights.bias.length * LANES);
  }

  // a text begins
  begin(lane) {
    this.weights.layers.forEach(({inputs, width, start}, n) => {
      const {x, cell} = this.states[n];
      for (let j = 0; j < width; j++) {
        x[(inputs + j) * LANES + lane] = start.h[j];
        cell[j * LANES + lane] = start.c[j];
      }
    });
  }

  // read a token in each lane
  read(tokens) {
    const {emb, columns, layers} = this.weights, [{x}] = this.states;
    for (let lane = 0; lane < LANES; lane++)
      for (let k = 0; k < layers[0].inputs; k++) x[k * LANES + lane] = emb[tokens[lane] * columns + k];
    layers.forEach((layer, n) => this.readLayer(layer, this.states[n], this.states[n + 1]?.x ?? this.out));
  }

  readLayer({weight, bias, inputs, width}, {x, cell, gates}, above) {
    multiply(weight, bias, x, gates);
    for (let lane = 0; lane < LANES; lane++)
      for (let j = 0, at = lane * 4 * width; j < width; j++, at++) {
        const i = sigmoid(gates[at]), f = sigmoid(gates[at + width]);
        const g = Math.tanh(gates[at + 2 * width]), o = sigmoid(gates[at + 3 * width]), to = j * LANES + lane;
        cell[to] = f * cell[to] + i * g;
        above[to] = x[inputs * LANES + to] = o * Math.tanh(cell[to]);
      }
  }

  // how likely every next token is in a lane, before softmax; after `score` has computed them for all
  score() { multiply(this.weights.emb, this.weights.bias, this.out, this.scores); }

  scoresOf(lane) {
    const stride = this.weights.bias.length;
    return this.scores.subarray(lane * stride, lane * stride + this.weights.size);
  }
}

// How fast ONNX Runtime runs a model of any inputs.
// usage: node op_ort.js MODEL LEVEL THREADS RUNS NAME=TYPE:DIMxDIM...
// One line of JSON: seconds of each run.  Reals are even in [-1, 1), numbers of 8 bits over their range, all others zero, as
// onnx-run's.
const ort = require('onnxruntime-node');

const ARRAY = { float32: Float32Array, float64: Float64Array, float16: Uint16Array, int8: Int8Array,
  uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array,
  int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array };

function feed(text) {
  const [name, rest] = text.split('='), [type, size] = rest.split(':');
  const dims = size ? size.split('x').map(Number) : [];
  const x = new ARRAY[type](dims.reduce((a, b) => a * b, 1));
  for (let i = 0; type.startsWith('float3') && i < x.length; i++) x[i] = ((i * 40503) % 65536) / 32768 - 1;
  for (let i = 0; type === 'float64' && i < x.length; i++) x[i] = ((i * 40503) % 65536) / 32768 - 1;
  for (let i = 0; type === 'float16' && i < x.length; i++) x[i] = ((i * 40503) % 15360) + (i % 2) * 32768;
  for (let i = 0; type.endsWith('int8') && i < x.length; i++) x[i] = (i * 40503) >> 8;
  return [name, new ort.Tensor(type, x, dims)];
}

async function main() {
  const [model, level, threads, runs, ...inputs] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, graphOptimizationLevel: level, logSeverityLevel: 4 });
  const feeds = Object.fromEntries(inputs.map(feed));
  const seconds = [];
  for (let i = 0; i <= Number(runs); i++) {
    const since = process.hrtime.bigint();
    await session.run(feeds);
    if (i > 0) seconds.push(Number(process.hrtime.bigint() - since) / 1e9);
  }
  console.log(JSON.stringify({ seconds }));
}

main().catch((e) => { console.error(String(e)); process.exit(1); });

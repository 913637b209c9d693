// Forward speed of ONNX Runtime.   usage: node ort.js MODEL BATCH THREADS RUNS DIM...
// One line of JSON: seconds of each run, peak memory of the process in bytes.
const ort = require('onnxruntime-node');

async function main() {
  const [model, batch, threads, runs, ...dims] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, graphOptimizationLevel: 'all' });
  const shape = [batch, ...dims].map(Number);
  const x = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < x.length; i++) x[i] = ((i * 40503) % 65536) / 32768 - 1;
  const feed = { [session.inputNames[0]]: new ort.Tensor('float32', x, shape) };
  const seconds = [];
  for (let i = 0; i <= Number(runs); i++) {
    const since = process.hrtime.bigint();
    await session.run(feed);
    if (i > 0) seconds.push(Number(process.hrtime.bigint() - since) / 1e9);
  }
  console.log(JSON.stringify({ seconds, peak_bytes: process.resourceUsage().maxRSS * 1024 }));
}

main().catch((e) => { console.error(String(e)); process.exit(1); });

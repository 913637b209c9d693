// Runs models without inputs in ONNX Runtime.   usage: node ort_all.js <LIST   a path a line
// A line of JSON for each: {"fault": "..."} or {"outputs": [{"type", "dims", "data"}, ...]}, numbers as text.
const fs = require('fs');
const ort = require('onnxruntime-node');

async function one(path) {
  let session;
  try {
    session = await ort.InferenceSession.create(path, { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 });
    const result = await session.run({});
    return { outputs: session.outputNames.map((name) => result[name]).map(
      (y) => ({ type: y.type, dims: Array.from(y.dims, Number), data: Array.from(y.data, String) })) };
  } catch (e) {
    return { fault: String(e).replace(/\s+/g, ' ') };
  } finally {
    if (session) await session.release();
  }
}

async function main() {
  for (const path of fs.readFileSync(0, 'utf8').split('\n').filter((line) => line)) {
    fs.writeSync(1, JSON.stringify(await one(path)) + '\n');
  }
}

main().catch((e) => { console.error(String(e)); process.exit(1); });

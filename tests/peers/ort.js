// Runs a model on float arrays in ONNX Runtime.   usage: node ort.js MODEL IN.npy OUT.npy [SAMPLES_AT_ONCE]
const fs = require('fs');
const ort = require('onnxruntime-node');

function readNpy(path) {
  const b = fs.readFileSync(path);
  const v2 = b[6] > 1;
  const n = v2 ? b.readUInt32LE(8) : b.readUInt16LE(8);
  const at = (v2 ? 12 : 10) + n;
  const head = b.toString('latin1', v2 ? 12 : 10, at);
  if (!/'descr': *'<f4'/.test(head)) throw new Error(path + ': not float32');
  const dims = /'shape': *\(([^)]*)\)/.exec(head)[1].split(',').filter((s) => s.trim()).map(Number);
  const bytes = b.subarray(at);
  const data = new Float32Array(bytes.length / 4);
  for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(4 * i);
  return { dims, data };
}

function writeNpy(path, dims, data) {
  let head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims.join(', ')},), }`;
  head += ' '.repeat((64 - ((10 + head.length + 1) % 64)) % 64) + '\n';
  const out = Buffer.alloc(10 + head.length + 4 * data.length);
  out.write('\x93NUMPY\x01\x00', 0, 'latin1');
  out.writeUInt16LE(head.length, 8);
  out.write(head, 10, 'latin1');
  data.forEach((x, i) => out.writeFloatLE(x, 10 + head.length + 4 * i));
  fs.writeFileSync(path, out);
}

async function main() {
  const [model, input, output, atOnce] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model);
  const { dims, data } = readNpy(input);
  const per = data.length / dims[0];
  const step = Number(atOnce) || dims[0];
  const all = [];
  let shape = null;
  for (let i = 0; i < dims[0]; i += step) {
    const n = Math.min(step, dims[0] - i);
    const feed = new ort.Tensor('float32', data.slice(i * per, (i + n) * per), [n, ...dims.slice(1)]);
    const result = await session.run({ [session.inputNames[0]]: feed });
    const y = result[session.outputNames[0]];
    shape = y.dims.slice(1);
    all.push(...y.data);
  }
  writeNpy(output, [dims[0], ...shape], all);
}

main().catch((e) => { console.error(String(e)); process.exit(1); });

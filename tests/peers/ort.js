// Runs a model on float arrays in ONNX Runtime.   usage: node ort.js MODEL IN.npy FOLDER [SAMPLES_AT_ONCE]
// The model's first input gets the array; output k is written as FOLDER/k.npy.
const fs = require('fs');
const path = require('path');
const ort = require('onnxruntime-node');

function readNpy(file) {
  const b = fs.readFileSync(file);
  const v2 = b[6] > 1;
  const n = v2 ? b.readUInt32LE(8) : b.readUInt16LE(8);
  const at = (v2 ? 12 : 10) + n;
  const head = b.toString('latin1', v2 ? 12 : 10, at);
  if (!/'descr': *'<f4'/.test(head)) throw new Error(file + ': not float32');
  const dims = /'shape': *\(([^)]*)\)/.exec(head)[1].split(',').filter((s) => s.trim()).map(Number);
  const bytes = b.subarray(at);
  const data = new Float32Array(bytes.length / 4);
  for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(4 * i);
  return { dims, data };
}

function writeNpy(file, dims, data) {
  let head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims.join(', ')},), }`;
  head += ' '.repeat((64 - ((10 + head.length + 1) % 64)) % 64) + '\n';
  const out = Buffer.alloc(10 + head.length + 4 * data.length);
  out.write('\x93NUMPY\x01\x00', 0, 'latin1');
  out.writeUInt16LE(head.length, 8);
  out.write(head, 10, 'latin1');
  data.forEach((x, i) => out.writeFloatLE(x, 10 + head.length + 4 * i));
  fs.writeFileSync(file, out);
}

async function main() {
  const [model, input, folder, atOnce] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model);
  const { dims, data } = readNpy(input);
  const per = data.length / dims[0];
  const step = Number(atOnce) || dims[0];
  const pieces = session.outputNames.map(() => []);
  for (let i = 0; i < dims[0]; i += step) {
    const n = Math.min(step, dims[0] - i);
    const feed = new ort.Tensor('float32', data.slice(i * per, (i + n) * per), [n, ...dims.slice(1)]);
    const result = await session.run({ [session.inputNames[0]]: feed });
    session.outputNames.forEach((name, k) => pieces[k].push(result[name]));
  }
  pieces.forEach((list, k) => {
    const all = new Float32Array(list.reduce((sum, y) => sum + y.data.length, 0));
    let at = 0;
    for (const y of list) {
      if (y.type !== 'float32') throw new Error(session.outputNames[k] + ': not float32');
      all.set(y.data, at);
      at += y.data.length;
    }
    const first = list.reduce((sum, y) => sum + y.dims[0], 0);
    writeNpy(path.join(folder, k + '.npy'), [first, ...list[0].dims.slice(1)], all);
  });
}

main().catch((e) => { console.error(String(e)); process.exit(1); });

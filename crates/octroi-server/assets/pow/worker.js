// One worker: searches where it is told to, a stretch at a time, and says how far it is.
"use strict";

const STRETCH = 1 << 16;
let solver = null;

self.onmessage = async ({ data }) => {
  try {
    solver ??= (await WebAssembly.instantiateStreaming(fetch("solver.wasm"))).instance.exports;
    self.postMessage({ job: data.job, nonce: search(data) });
  } catch (error) {
    self.postMessage({ job: data.job, failed: String(error) });
  }
};

// `prefix` stands before the nonce, `target` is 64 hexadecimal digits, `lane` keeps the workers apart.
function search({ job, prefix, target, lane }) {
  solver.clear();
  for (const character of prefix) solver.salt(character.charCodeAt(0));
  for (let place = 0; place < 32; place++) {
    solver.target(place, parseInt(target.slice(2 * place, 2 * place + 2), 16));
  }
  solver.start(lane, 0);
  while (solver.run(STRETCH) === 0) {
    self.postMessage({ job, tried: STRETCH });
  }
  let nonce = "";
  for (let place = 0; place < solver.nonce_len(); place++) nonce += String.fromCharCode(solver.nonce(place));
  return nonce;
}

// js-macaroon: does to macaroons what a JSON line on standard input asks, and prints what comes of it.
//
//   {"op": "read", "macaroon": BASE64, "key": HEX}     -> {"identifier", "caveats", "signature", "verified", "again"}
//   {"op": "add", "macaroon": BASE64, "caveats": [..]}     -> {"macaroon"}
//   {"op": "mint", "key": HEX, "identifier": HEX, "location": TEXT, "caveats": [..], "version": 1 | 2}   -> {"macaroon"}
//
// Whatever the library refuses is {"error": TEXT}. It knows the newer form V2 alone.

import { readFileSync } from 'node:fs';

import { importMacaroon, newMacaroon } from 'macaroon';

const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (value) => Buffer.from(value).toString('hex');
const load = (ask) => importMacaroon(new Uint8Array(Buffer.from(ask.macaroon, 'base64')));

// The library's own writer doubles its buffer at each field, so that long macaroons are too much for it. What it exports as
// JSON is put into the binary form here.
function dump(macaroon) {
  try {
    return Buffer.from(macaroon.exportBinary()).toString('base64');
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  const { l, i, i64, c, s64 } = macaroon.exportJSON();
  const data = (text, base64) => (text === undefined ? Buffer.from(base64, 'base64url') : Buffer.from(text));
  const length = (n) => (n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...length(n >> 7)]);
  const field = (type, bytes) => [type, ...length(bytes.length), ...bytes];
  const caveats = (c ?? []).flatMap((caveat) => [...field(2, data(caveat.i, caveat.i64)), 0]);
  const parts = [2, ...field(1, data(l)), ...field(2, data(i, i64)), 0, ...caveats, 0, ...field(6, data(undefined, s64))];
  return Buffer.from(parts).toString('base64');
}

function read(ask) {
  const macaroon = load(ask);
  let verified = true;
  try {
    macaroon.verify(bytes(ask.key), () => null, []);
  } catch {
    verified = false;
  }
  return {
    identifier: hex(macaroon.identifier),
    caveats: macaroon.caveats.map((caveat) => Buffer.from(caveat.identifier).toString()),
    signature: hex(macaroon.signature),
    verified,
    again: dump(macaroon),
  };
}

function add(ask) {
  const macaroon = load(ask);
  for (const caveat of ask.caveats) macaroon.addFirstPartyCaveat(caveat);
  return { macaroon: dump(macaroon) };
}

function mint(ask) {
  const macaroon = newMacaroon({
    version: ask.version,
    rootKey: bytes(ask.key),
    identifier: bytes(ask.identifier),
    location: ask.location,
  });
  for (const caveat of ask.caveats) macaroon.addFirstPartyCaveat(caveat);
  return { macaroon: dump(macaroon) };
}

const ask = JSON.parse(readFileSync(0, 'utf8'));
let answer;
try {
  answer = { read, add, mint }[ask.op](ask);
} catch (error) {
  answer = { error: `${error.name}: ${error.message}` };
}
console.log(JSON.stringify(answer));

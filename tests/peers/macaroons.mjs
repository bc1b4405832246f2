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
const dump = (macaroon) => Buffer.from(macaroon.exportBinary()).toString('base64');

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

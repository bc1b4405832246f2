// The person who signs in: at an issuer whose pages ask nothing, going where they lead is all there is to do.

import { setTimeout as pause } from 'node:timers/promises';

// Generous, because the machine may be busy.
const PATIENCE_MS = 20_000;

/** Loads a page; again, as people do, where nobody listens yet. */
async function load(at, headers) {
  for (const deadline = Date.now() + PATIENCE_MS; ; await pause(50)) {
    try {
      return await fetch(at, { redirect: 'manual', headers });
    } catch (error) {
      if (error.cause?.code !== 'ECONNREFUSED' || Date.now() > deadline) throw error;
    }
  }
}

/** A person's browser: follows every redirect and keeps cookies. */
export async function browse(start) {
  const cookies = new Map();
  let at = new URL(start);
  for (let hop = 0; hop < 20; hop += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await load(at, cookie ? { cookie } : {});
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(';');
      cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    const next = response.headers.get('location');
    if (!next) return;
    at = new URL(next, at);
  }
  throw new Error('the sign-in goes round in circles');
}

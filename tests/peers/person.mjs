// The person who signs in: at an issuer whose pages ask nothing, going where they lead is all there is to do.

/** A person's browser: follows every redirect and keeps cookies. */
export async function browse(start) {
  const cookies = new Map();
  let at = new URL(start);
  for (let hop = 0; hop < 20; hop += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(at, { redirect: 'manual', headers: cookie ? { cookie } : {} });
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

// `lsat-js`: POSTs one JSON-RPC message, and with the library's own reading of the 402 pays it from a phoenixd-style wallet.
//
//   lsat.mjs URL --wallet WALLET_URL --password P --body JSON [--header 'K: V']...
//
// Prints {"peer", "status", "challenge", "body"}; "challenge" is what the library read.

import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const { Lsat } = createRequire(import.meta.url)('lsat-js');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    wallet: { type: 'string' },
    password: { type: 'string' },
    body: { type: 'string' },
    header: { type: 'string', multiple: true, default: [] },
  },
});

async function pay(invoice) {
  const answer = await fetch(new URL('/payinvoice', values.wallet), {
    method: 'POST',
    headers: { Authorization: `Basic ${Buffer.from(`:${values.password}`).toString('base64')}` },
    body: new URLSearchParams({ invoice }),
  });
  if (!answer.ok) throw new Error(`the wallet answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()).paymentPreimage;
}

const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
for (const line of values.header) headers[line.slice(0, line.indexOf(':'))] = line.slice(line.indexOf(':') + 1).trim();
const post = (more) =>
  fetch(positionals[0], { method: 'POST', headers: { ...headers, ...more }, body: values.body });

const asked = await post({});
if (asked.status !== 402) throw new Error(`asked for no payment: ${asked.status} ${await asked.text()}`);
const lsat = Lsat.fromHeader(asked.headers.get('WWW-Authenticate'));
const challenge = { amount: lsat.invoiceAmount, paymentHash: lsat.paymentHash, expired: lsat.isExpired() };
lsat.setPreimage(await pay(lsat.invoice));
const answer = await post({ Authorization: lsat.toToken() });
console.log(JSON.stringify({ peer: 'lsat-js', status: answer.status, challenge, body: await answer.text() }));

// Alby's `fetch402`: POSTs one JSON-RPC message, paying a 402 from a phoenixd-style wallet.
//
//   alby.mjs URL --wallet WALLET_URL --password P --body JSON [--header 'K: V']...
//
// Prints {"peer", "status", "payment", "body"}.

import { parseArgs } from 'node:util';

import { fetch402 } from '@getalby/lightning-tools/402';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    wallet: { type: 'string' },
    password: { type: 'string' },
    body: { type: 'string' },
    header: { type: 'string', multiple: true, default: [] },
  },
});

const wallet = {
  async payInvoice({ invoice }) {
    const answer = await fetch(new URL('/payinvoice', values.wallet), {
      method: 'POST',
      headers: { Authorization: `Basic ${Buffer.from(`:${values.password}`).toString('base64')}` },
      body: new URLSearchParams({ invoice }),
    });
    if (!answer.ok) throw new Error(`the wallet answered ${answer.status}: ${await answer.text()}`);
    return { preimage: (await answer.json()).paymentPreimage };
  },
};

const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
for (const line of values.header) headers[line.slice(0, line.indexOf(':'))] = line.slice(line.indexOf(':') + 1).trim();

const answer = await fetch402(positionals[0], { method: 'POST', headers, body: values.body }, { wallet });
console.log(
  JSON.stringify({ peer: 'alby', status: answer.status, payment: answer.payment, body: await answer.text() }),
);

// The TypeScript SDK's OAuth client, left alone with an address: from a bare 401 it finds the issuer, registers, sends its user
// to sign in, comes back with a code, and calls. Prints one JSON line: {"signIns", "call"}.
//
//   ts-oauth.mjs URL --tool TOOL [--arguments JSON]

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { browse } from './person.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tool: { type: 'string' }, arguments: { type: 'string', default: '{}' } },
});
const url = new URL(positionals[0]);

// Where the user's browser comes back to.
const codes = [];
const back = createServer((request, response) => {
  const code = new URL(request.url, 'http://127.0.0.1').searchParams.get('code');
  if (code) codes.push(code);
  response.end('signed in');
});
await new Promise((listening) => back.listen(0, '127.0.0.1', listening));
const redirectUrl = `http://127.0.0.1:${back.address().port}/callback`;

let signIns = 0;
const kept = {};
const authProvider = {
  redirectUrl,
  clientMetadata: {
    client_name: 'octroi test',
    redirect_uris: [redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    application_type: 'native',
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  redirectToAuthorization: async (where) => {
    signIns += 1;
    await browse(where);
  },
};

/** Does the work, signing in as often as the server asks for it. */
async function signedIn(work) {
  for (let tries = 0; tries < 3; tries += 1) {
    const transport = new StreamableHTTPClientTransport(url, { authProvider });
    try {
      const client = new Client({ name: 'ts-oauth', version: '1' });
      await client.connect(transport);
      const result = await work(client);
      await client.close();
      return result;
    } catch (error) {
      if (!(error instanceof UnauthorizedError) || codes.length === 0) throw error;
      await transport.finishAuth(codes.shift());
    }
  }
  throw new Error('signing in does not help');
}

const call = await signedIn((client) =>
  client.callTool({ name: values.tool, arguments: JSON.parse(values.arguments) }),
);
console.log(JSON.stringify({ signIns, call }));
// The issuer and the browser may keep their connections open.
process.exit(0);

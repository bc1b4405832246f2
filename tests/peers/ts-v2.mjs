// The TypeScript SDK's second line (`@modelcontextprotocol/client`): `--mode legacy | auto | pin`.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { commandLine, walk } from './peer.mjs';

await walk('ts-v2', commandLine(), async ({ url, command, headers, mode }) => {
  const negotiation = { legacy: 'legacy', auto: 'auto', pin: { pin: '2026-07-28' } }[mode];
  const client = new Client(
    { name: 'octroi-ts-v2', version: '1.0.0' },
    { versionNegotiation: { mode: negotiation } },
  );
  const transport = command
    ? new StdioClientTransport({ command: command[0], args: command.slice(1) })
    : new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport);
  return {
    version: () => client.getNegotiatedProtocolVersion(),
    list: () => client.listTools(),
    call: (call) => client.callTool(call),
    close: () => client.close(),
  };
});

// The TypeScript SDK's first line (`@modelcontextprotocol/sdk`): sessions only.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { commandLine, walk } from './peer.mjs';

await walk('ts-v1', commandLine(), async ({ url, command, headers }) => {
  const client = new Client({ name: 'octroi-ts-v1', version: '1.0.0' });
  const transport = command
    ? new StdioClientTransport({ command: command[0], args: command.slice(1) })
    : new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport);
  return {
    version: () => transport.protocolVersion,
    list: () => client.listTools(),
    call: (call) => client.callTool(call),
    close: async () => {
      await transport.terminateSession?.();
      await client.close();
    },
  };
});

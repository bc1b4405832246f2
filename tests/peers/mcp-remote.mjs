// `mcp-remote`, which desktop clients start to reach servers elsewhere, left alone with an address. A client speaks to it through a
// pipe; a person goes where it says. Prints one JSON line: {"signIns", "call"}.
//
//   mcp-remote.mjs URL --tool TOOL [--arguments JSON]

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

import { browse } from './person.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tool: { type: 'string' }, arguments: { type: 'string', default: '{}' } },
});
const kept = await mkdtemp(join(tmpdir(), 'mcp-remote-'));
const transport = new StdioClientTransport({
  command: process.execPath,
  args: [join(import.meta.dirname, 'node_modules/mcp-remote/dist/proxy.js'), positionals[0], '--allow-http'],
  // No desktop is passed on, so the browser is this one, which does nothing: the address is read from the log.
  env: { MCP_REMOTE_CONFIG_DIR: kept, BROWSER: 'true' },
  stderr: 'pipe',
});

let signIns = 0;
createInterface(transport.stderr).on('line', (line) => {
  console.error(line);
  const address = line.trim();
  if (!/^https?:\S+[?&]response_type=code/.test(address)) return;
  signIns += 1;
  browse(address).catch((error) => console.error(error));
});

const client = new Client({ name: 'behind-mcp-remote', version: '1' });
await client.connect(transport);
const call = await client.callTool({ name: values.tool, arguments: JSON.parse(values.arguments) });
await client.close();
await rm(kept, { recursive: true });
console.log(JSON.stringify({ signIns, call }));
// The issuer may keep its connections open.
process.exit(0);

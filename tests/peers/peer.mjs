// What the client scripts share: their command line and the one JSON line they print.
//
//   SCRIPT URL | --command JSON [--token T] [--mode M] [--header 'K: V']... [--free TOOL] [--tool TOOL] [--arguments JSON] [--meta JSON]
//
// `--command` is a list of words: the server is a program. The line is {"peer", "protocolVersion", "tools", "free", "call"}; an outcome is {"result"} or {"error"}. When the
// connection fails it is {"peer", "connect": {"error"}} and the exit code is 1.

import { parseArgs } from 'node:util';

export function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      command: { type: 'string' },
      token: { type: 'string' },
      mode: { type: 'string', default: 'auto' },
      header: { type: 'string', multiple: true, default: [] },
      free: { type: 'string' },
      tool: { type: 'string' },
      arguments: { type: 'string', default: '{}' },
      meta: { type: 'string' },
    },
  });
  const command = values.command && JSON.parse(values.command);
  if (positionals.length !== (command ? 0 : 1)) throw new Error('one URL, or one command, please');
  const headers = Object.fromEntries(
    values.header.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
  if (values.token) headers.Authorization = `Bearer ${values.token}`;
  return {
    url: command ? undefined : new URL(positionals[0]),
    command,
    mode: values.mode,
    headers,
    free: values.free,
    tool: values.tool,
    arguments: JSON.parse(values.arguments),
    meta: values.meta && JSON.parse(values.meta),
  };
}

export function failure(error) {
  const { code, message, data } = error;
  const status = error.status ?? error.data?.status;
  return { error: { name: error.name, code, message, data, status } };
}

async function outcome(work) {
  try {
    return { result: await work() };
  } catch (error) {
    return failure(error);
  }
}

// Connects, lists, calls, prints; `connect` gives {version, list, call, close}.
export async function walk(peer, options, connect) {
  let client;
  try {
    client = await connect(options);
  } catch (error) {
    console.log(JSON.stringify({ peer, connect: failure(error) }));
    process.exit(1);
  }
  const seen = { peer, protocolVersion: client.version() };
  const listed = await outcome(() => client.list());
  seen.tools = listed.result ? listed.result.tools : listed;
  if (options.free) seen.free = await outcome(() => client.call({ name: options.free, arguments: {} }));
  if (options.tool) {
    const call = { name: options.tool, arguments: options.arguments };
    if (options.meta) call._meta = options.meta;
    seen.call = await outcome(() => client.call(call));
  }
  await client.close().catch(() => {});
  console.log(JSON.stringify(seen));
  process.exit(0);
}

// The TypeScript SDKs with everything that a server may want of a client: what comes through a bridge besides answers.
//
//   passes.mjs --sdk v1 | v2 --mode legacy | pin --command JSON [--ask TOOL]... [--cancel TOOL] [--change TOOL]
//
// Each TOOL is called in turn: `--ask` to its end, `--cancel` until its first progress, when it is given up; `--change` is one that
// tells of a change of the list. One JSON line says what came: {"version", "said", "asked", "logged", "progress", "cancelled", "changes"}.

import { parseArgs } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';

const { values } = parseArgs({
  options: {
    sdk: { type: 'string' },
    mode: { type: 'string' },
    command: { type: 'string' },
    ask: { type: 'string', multiple: true, default: [] },
    cancel: { type: 'string' },
    change: { type: 'string' },
  },
});
const [command, ...args] = JSON.parse(values.command);
const seen = { said: {}, asked: [], logged: [], progress: [], changes: 0 };
const modern = values.mode === 'pin';
const ADA = { name: 'Ada', username: 'ada', email: 'ada@example.test' };
const capabilities = { elicitation: {}, sampling: {}, roots: {} };

const answers = {
  'elicitation/create': ({ params }) => {
    seen.asked.push(params.message);
    return { action: 'accept', content: params.requestedSchema.properties.pay ? { pay: true } : ADA };
  },
  'sampling/createMessage': ({ params }) => {
    const prompt = [params.messages[0].content].flat()[0].text;
    seen.asked.push(prompt);
    return { role: 'assistant', model: 'none', content: { type: 'text', text: `about ${prompt}` } };
  },
  'roots/list': () => {
    seen.asked.push('roots');
    return { roots: [{ uri: 'file:///tmp/here', name: 'here' }] };
  },
};
const heard = {
  'notifications/message': ({ params }) => seen.logged.push(params.data),
  'notifications/tools/list_changed': () => { seen.changes += 1; },
};

async function first() {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
  const types = await import('@modelcontextprotocol/sdk/types.js');
  const client = new Client({ name: 'octroi-passes', version: '1.0.0' }, { capabilities });
  client.setRequestHandler(types.ElicitRequestSchema, answers['elicitation/create']);
  client.setRequestHandler(types.CreateMessageRequestSchema, answers['sampling/createMessage']);
  client.setRequestHandler(types.ListRootsRequestSchema, answers['roots/list']);
  client.setNotificationHandler(types.LoggingMessageNotificationSchema, heard['notifications/message']);
  client.setNotificationHandler(types.ToolListChangedNotificationSchema, heard['notifications/tools/list_changed']);
  await client.connect(new StdioClientTransport({ command, args }));
  return { client, call: (params, options) => client.callTool(params, undefined, options) };
}

async function second() {
  const { Client } = await import('@modelcontextprotocol/client');
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  const mode = modern ? { pin: '2026-07-28' } : 'legacy';
  const client = new Client(
    { name: 'octroi-passes', version: '1.0.0' },
    { capabilities, versionNegotiation: { mode } },
  );
  for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, answer);
  for (const [method, hear] of Object.entries(heard)) client.setNotificationHandler(method, hear);
  await client.connect(new StdioClientTransport({ command, args }));
  if (modern && values.change) await client.listen({ toolsListChanged: true });
  return { client, call: (params, options) => client.callTool(params, options) };
}

const { client, call } = await (values.sdk === 'v1' ? first() : second());
seen.version = client.getNegotiatedProtocolVersion?.();
const meta = modern ? { _meta: { 'io.modelcontextprotocol/logLevel': 'info' } } : {};
const onprogress = ({ progress }) => seen.progress.push(progress);

for (const name of values.ask) {
  const result = await call({ name, arguments: { message: 'Who?', prompt: 'carts', query: 'carts' }, ...meta }, { onprogress });
  seen.said[name] = result.content[0].text;
}
if (values.cancel) {
  const stop = new AbortController();
  const options = { signal: stop.signal, onprogress: () => stop.abort('enough') };
  const call_ = call({ name: values.cancel, arguments: { steps: 2, delay_ms: 60_000 } }, options);
  seen.cancelled = await call_.then(() => 'it was answered', () => 'given up');
}
if (values.change) {
  await call({ name: values.change, arguments: { list: 'tools' } });
  for (let waited = 0; seen.changes === 0 && waited < 20_000; waited += 20) await pause(20);
}
await client.close().catch(() => {});
console.log(JSON.stringify(seen));
process.exit(0);

"""The Python SDK with everything that a server may want of a client; command line and output as in passes.mjs (`--mode legacy | 2026-07-28`)."""

import argparse
import asyncio
import json

from mcp import types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

MODERN = "2026-07-28"
ADA = {"name": "Ada", "username": "ada", "email": "ada@example.test"}


async def walk(options):
    program, *arguments = json.loads(options.command)
    seen = {"said": {}, "asked": [], "logged": [], "progress": [], "changes": 0}
    changed = asyncio.Event()

    async def elicit(_context, params):
        seen["asked"].append(params.message)
        pays = "pay" in params.requested_schema["properties"]
        return types.ElicitResult(action="accept", content={"pay": True} if pays else ADA)

    async def sample(_context, params):
        content = params.messages[0].content
        prompt = (content[0] if isinstance(content, list) else content).text
        seen["asked"].append(prompt)
        content = types.TextContent(type="text", text=f"about {prompt}")
        return types.CreateMessageResult(role="assistant", model="none", content=content)

    async def roots(_context):
        seen["asked"].append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///tmp/here", name="here")])

    async def log(params):
        seen["logged"].append(params.data)

    def note_change(*_):
        seen["changes"] += 1
        changed.set()

    async def hear(message):
        if isinstance(message, types.ToolListChangedNotification):
            note_change()

    async def report(progress, _total, _message):
        seen["progress"].append(progress)

    server = stdio_client(StdioServerParameters(command=program, args=arguments))
    callbacks = {
        "elicitation_callback": elicit,
        "sampling_callback": sample,
        "list_roots_callback": roots,
        "logging_callback": log,
        "message_handler": hear,
    }
    if options.mode == MODERN:
        callbacks["log_level"] = "info"
    async with Client(server, mode=options.mode, **callbacks) as client:
        seen["version"] = client.protocol_version
        for name in options.ask:
            given = {"message": "Who?", "prompt": "carts", "query": "carts"}
            result = await client.call_tool(name, given, progress_callback=report)
            seen["said"][name] = result.content[0].text
        if options.cancel:
            seen["cancelled"] = await give_up(client, options.cancel)
        if options.change:
            await change(client, options, changed, note_change)
        print(json.dumps(seen), flush=True)


async def give_up(client, name):
    begun = asyncio.Event()

    async def first(*_):
        begun.set()

    call = asyncio.create_task(
        client.call_tool(name, {"steps": 2, "delay_ms": 60_000}, progress_callback=first)
    )
    await asyncio.wait_for(begun.wait(), 20)
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return "given up"
    return "it was answered"


async def change(client, options, changed, note_change):
    if options.mode != MODERN:
        await client.call_tool(options.change, {"list": "tools"})
        await asyncio.wait_for(changed.wait(), 20)
        return
    async with client.listen(tools_list_changed=True) as subscription:
        await client.call_tool(options.change, {"list": "tools"})
        async for _event in subscription:
            note_change()
            break


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode")
    parser.add_argument("--command")
    parser.add_argument("--ask", action="append", default=[])
    parser.add_argument("--cancel")
    parser.add_argument("--change")
    asyncio.run(walk(parser.parse_args()))


main()

"""The Python SDK, over HTTP or (`--command`) over stdio: `--mode legacy | auto | 2026-07-28`; command line and output as in peer.mjs."""

import argparse
import asyncio
import json
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError


def failure(error):
    if isinstance(error, BaseExceptionGroup):
        return failure(error.exceptions[0])
    if isinstance(error, MCPError):
        seen = {"code": error.code, "message": error.message, "data": error.data}
    else:
        seen = {"message": str(error)}
    return {"error": {"name": type(error).__name__, **seen}}


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def outcome(work):
    try:
        return {"result": plain(await work)}
    except Exception as error:  # whatever a client's user would see
        return failure(error)


async def walk(options):
    if options.command:
        program, *arguments = json.loads(options.command)
        server = StdioServerParameters(command=program, args=arguments)
        return await speak(stdio_client(server), options)
    headers = dict(line.split(":", 1) for line in options.header)
    headers = {name: value.strip() for name, value in headers.items()}
    if options.token:
        headers["Authorization"] = f"Bearer {options.token}"
    async with create_mcp_http_client(headers=headers) as http:
        await speak(streamable_http_client(options.url, http_client=http), options)


async def speak(transport, options):
    async with Client(transport, mode=options.mode) as client:
        seen = {"peer": "python", "protocolVersion": client.protocol_version}
        listed = await outcome(client.list_tools())
        seen["tools"] = listed["result"]["tools"] if "result" in listed else listed
        if options.free:
            seen["free"] = await outcome(client.call_tool(options.free, {}))
        if options.tool:
            meta = json.loads(options.meta) if options.meta else None
            seen["call"] = await outcome(
                client.call_tool(options.tool, json.loads(options.arguments), meta=meta)
            )
        print(json.dumps(seen), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url", nargs="?")
    parser.add_argument("--command")
    parser.add_argument("--token")
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--free")
    parser.add_argument("--tool")
    parser.add_argument("--arguments", default="{}")
    parser.add_argument("--meta")
    try:
        asyncio.run(walk(parser.parse_args()))
    except Exception as error:
        print(json.dumps({"peer": "python", "connect": failure(error)}))
        sys.exit(1)


main()

# A scripted MCP server for the tests: what it does is the name of the tool that is called.
import json, os, subprocess, sys

seen, held, listening = [], [], []

def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()

def result(to, **fields):
    say({"id": to, "result": fields})

def tool(id, name, params):
    token = params.get("_meta", {}).get("progressToken")
    arguments = params.get("arguments", {})
    if name == "echo":
        result(id, id=id, token=token, arguments=arguments, pid=os.getpid(), env=sorted(os.environ))
    elif name == "hold":
        held.append(id)
    elif name == "release":
        for other in reversed(held):
            result(other, held=other)
        held.clear()
        result(id)
    elif name == "seen":
        result(id, seen=seen)
    elif name == "progress":
        for step in range(arguments.get("steps", 1)):
            say({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
        result(id, done=True)
    elif name == "flood":
        for step in range(20000):
            sys.stdout.write('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}\n'
                             % (json.dumps(token), step))
        say({"id": id, "result": {}})
    elif name == "ask":
        held.append(id)
        say({"id": "s1", "method": "roots/list"})
    elif name == "log":
        say({"method": "notifications/message", "params": {"level": "info", "data": "hello"}})
        result(id)
    elif name == "junk":
        sys.stdout.write("Listening on nothing\n[]\n{\n\n")
        result(id)
    elif name == "long":
        sys.stdout.write("x" * 10000000 + "\n")
        result(id)
    elif name == "die":
        os._exit(3)
    elif name == "stubborn":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "300"])
        result(id, pid=os.getpid(), grandchild=child.pid)
        sys.stdin.read()
        while True:
            signal.pause()
    elif name == "announce":
        for other in listening:
            say({"method": "notifications/tools/list_changed",
                 "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": other}}})
        result(id)
    elif name == "unlisten":
        for other in listening:
            say({"method": "notifications/cancelled", "params": {"requestId": other}})
            result(other, _meta={"io.modelcontextprotocol/subscriptionId": other})
        listening.clear()
        result(id)
    elif name == "fail":
        say({"id": id, "error": {"code": arguments["code"], "message": "no"}})

if os.environ.get("CRASH"):
    sys.exit(1)
print("the server is up", file=sys.stderr)
for line in sys.stdin:
    message = json.loads(line)
    method, id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method == "initialize":
        if params.get("clientInfo", {}).get("name") == "unwanted":
            say({"id": id, "error": {"code": -32603, "message": "go away"}})
        else:
            result(id, protocolVersion=params["protocolVersion"], capabilities={}, serverInfo={"name": "t", "version": "1"})
    elif method == "notifications/initialized":
        seen.append(message)
        say({"id": "roots", "method": "roots/list"})
    elif method == "subscriptions/listen":
        listening.append(id)
        say({"method": "notifications/subscriptions/acknowledged",
             "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": id}}})
    elif method == "tools/call":
        tool(id, params["name"], params)
    elif method is None and id == "s1":
        result(held.pop(), answer=message["result"])
    else:
        seen.append(message)

"""An MCP server over stdio without any package, so that it starts at once: a shop with three figs."""

import json
import os
import sys

stock = {"figs": 3}
FRUIT = {"type": "object", "properties": {"fruit": {"type": "string"}}, "required": ["fruit"]}
TOOLS = [
    {
        "name": "look",
        "description": "Say how many there are.",
        "inputSchema": FRUIT,
        "annotations": {"readOnlyHint": True},
    },
    {"name": "buy.fruit", "description": "Buy fruit.", "inputSchema": FRUIT},
    {"name": "fail", "inputSchema": {"type": "object"}},
]


def look(fruit):
    return f"{stock.get(fruit, 0)} {fruit}"


def buy(fruit, number=1):
    if stock.get(fruit, 0) < number:
        raise LookupError(f"only {stock.get(fruit, 0)} {fruit} left")
    stock[fruit] -= number
    return f"{stock[fruit]} {fruit} left"


def fail(how):
    if how == "die":
        os._exit(3)
    return os.environ.get(how, "nothing")


def called(name, arguments):
    try:
        text, refused = {"look": look, "buy.fruit": buy, "fail": fail}[name](**arguments), False
    except LookupError as error:
        text, refused = str(error.args[0]), True
    return {"content": [{"type": "text", "text": text}], "isError": refused}


def result_of(request):
    match request["method"]:
        case "initialize":
            version = request["params"]["protocolVersion"]
            about = {"name": "shop", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call":
            return called(request["params"]["name"], request["params"].get("arguments") or {})
        case "ping":
            return {}
    return None


def main():
    if "--mute" in sys.argv:
        sys.exit("the shop is closed")
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = result_of(request)
        unknown = {"error": {"code": -32601, "message": "unknown method"}}
        answer = {"jsonrpc": "2.0", "id": request["id"], **(unknown if result is None else {"result": result})}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

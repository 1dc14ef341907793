"""The shop of `toy_shop.py` as a server of the `mcp` package."""

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

shop = MCPServer("shop", log_level="ERROR")
stock = {"figs": 3}


@shop.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
def look(fruit: str) -> str:
    """Say how many there are."""
    return f"{stock.get(fruit, 0)} {fruit}"


@shop.tool(name="buy.fruit", structured_output=False)
def buy(fruit: str, number: int = 1) -> str:
    """Buy fruit."""
    if stock.get(fruit, 0) < number:
        raise LookupError(f"only {stock.get(fruit, 0)} {fruit} left")
    stock[fruit] -= number
    return f"{stock[fruit]} {fruit} left"


if __name__ == "__main__":
    shop.run()

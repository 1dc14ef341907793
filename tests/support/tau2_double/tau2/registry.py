"""The domains: a kiosk with many rows (under a name of a large domain), and a lamp that both sides can reach."""

from typing import ClassVar

from pydantic import BaseModel

from tau2.data_model.tasks import Task
from tau2.environment.environment import Environment, Kit


class Order(BaseModel):
    """An order at the kiosk."""

    fruit: list[str]
    cents: int
    status: str = "open"


class Customer(BaseModel):
    """Someone who ordered."""

    name: str
    balance: int = 1000


class Kiosk(BaseModel):
    """The database of the kiosk."""

    orders: dict[str, Order]
    customers: dict[str, Customer]
    log: list[str] = []


class KioskTools(Kit):
    """The agent's tools."""

    reads: ClassVar = {"look_up": ("order",)}
    writes: ClassVar = {"cancel": ("order",), "refund": ("order", "customer"), "pay_out": ("customer", "cents")}

    def look_up(self, order):
        return self._order(order).model_dump()

    def cancel(self, order):
        found = self._order(order)
        if found.status != "open":
            raise ValueError("the order is not open")
        found.status = "cancelled"
        return "cancelled"

    def refund(self, order, customer):
        found, owner = self._order(order), self.db.customers[customer]
        found.status = "refunded"
        owner.balance += found.cents
        return {"balance": owner.balance}

    def pay_out(self, customer, cents):
        owner = self.db.customers[customer]
        if owner.balance < int(cents):
            raise ValueError("the balance is too small")
        owner.balance -= int(cents)
        self.db.log.append(f"{customer} {cents}")
        return {"balance": owner.balance}

    def _order(self, order):
        if order not in self.db.orders:
            raise ValueError(f"there is no order {order}")
        return self.db.orders[order]


class Lamp(BaseModel):
    """The database of the agent's side: the line; and of the user's side: the lamp."""

    powered: bool = False
    lit: bool = False
    room: str = "hall"


class LineTools(Kit):
    """The agent's tools."""

    reads: ClassVar = {"check_line": ()}
    writes: ClassVar = {"power": ("on",), "rename": ("room",)}

    def check_line(self):
        return "powered" if self.db.powered else "dead"

    def power(self, on):
        self.db.powered = str(on).lower() == "true"
        return "done"

    def rename(self, room):
        self.db.room = room
        return "done"


class LampTools(Kit):
    """The user's tools."""

    reads: ClassVar = {"look": ()}
    writes: ClassVar = {"press": ()}

    def look(self):
        return "lit" if self.db.lit else "dark"

    def press(self):
        if not self.db.powered:
            raise ValueError("nothing happens")
        self.db.lit = not self.db.lit
        return self.look()

    def is_lit(self):
        return self.db.lit

    def dim(self):
        self.db.lit = False


class House(Environment):
    """Power on the line reaches the lamp."""

    def sync_tools(self):
        if self.user_tools is not None:
            self.user_tools.db.powered = self.tools.db.powered


def build_kiosk(solo_mode=False):
    orders = {f"o{at}": Order(fruit=["fig"] * at, cents=100 * at) for at in range(1, 6)}
    orders["o5"].status = "sent"
    customers = {name: Customer(name=name.title()) for name in ("ann", "bob")}
    return Environment("retail", "Cancel open orders only.", KioskTools(Kiosk(orders=orders, customers=customers)))


def build_house(solo_mode=False):
    return House("mock", "Power the line.", LineTools(Lamp()), LampTools(Lamp()))


def action(number, name, requestor="assistant", **arguments):
    return {"action_id": str(number), "name": name, "requestor": requestor, "arguments": arguments}


def told(reason):
    return {"instructions": {"domain": "kiosk", "reason_for_call": reason, "known_info": "You are ann."}}


LIT = {"env_type": "user", "func_name": "is_lit", "arguments": {}, "assert_value": True}
HISTORY = [
    {"role": "user", "content": "Power, please."},
    {"role": "assistant", "tool_calls": [{"id": "1", "name": "power", "arguments": {"on": "true"}}]},
    {"role": "tool", "id": "1", "content": "done"},
    {"role": "assistant", "content": "The line has power."},
]
TASKS = {
    "retail": [
        {
            "id": "cancel",
            "user_scenario": told("You want to cancel order o1."),
            "evaluation_criteria": {
                "actions": [action(0, "look_up", order="o1"), action(1, "cancel", order="o1")],
                "nl_assertions": ["The agent is polite."],
                "reward_basis": ["DB", "NL_ASSERTION"],
            },
        },
        {
            "id": "nothing",
            "user_scenario": told("You want to cancel order o5."),
            "evaluation_criteria": {"actions": [action(0, "look_up", order="o5")], "reward_basis": ["DB"]},
        },
        {
            "id": "refused",
            "user_scenario": told("You want to cancel o5, or else your money back."),
            "evaluation_criteria": {
                "actions": [action(0, "cancel", order="o5"), action(1, "refund", order="o5", customer="ann")],
                "communicate_info": ["1500"],
                "reward_basis": ["DB", "COMMUNICATE"],
            },
        },
        {
            "id": "pay",
            "user_scenario": told("You want your money."),
            "evaluation_criteria": {
                "actions": [action(0, "pay_out", customer="bob", cents=250) | {"compare_args": ["customer"]}],
                "reward_basis": ["DB", "ACTION"],
            },
        },
    ],
    "mock": [
        {
            "id": "light",
            "user_scenario": told("You want light."),
            "evaluation_criteria": {
                "actions": [action(0, "power", on="true"), action(1, "press", "user")],
                "env_assertions": [LIT],
                "reward_basis": ["ENV_ASSERTION"],
            },
            "initial_state": {
                "initialization_data": {"agent_data": {"room": "attic"}},
                "initialization_actions": [{"env_type": "user", "func_name": "dim", "arguments": {}}],
            },
        },
        {
            "id": "go on",
            "user_scenario": {"instructions": "Rename the room: cellar."},
            "evaluation_criteria": {"actions": [action(0, "rename", room="cellar")], "reward_basis": ["DB"]},
            "initial_state": {"message_history": HISTORY},
            "user_tools": ["look"],
        },
        {
            "id": "agent next",
            "user_scenario": {"instructions": "Wait."},
            "initial_state": {"message_history": HISTORY[:1]},
        },
    ],
}


class Registry:
    """The domains by name."""

    def get_env_constructor(self, name):
        return {"retail": build_kiosk, "mock": build_house}[name]

    def get_tasks_loader(self, name):
        return lambda split: [Task.model_validate(row) for row in TASKS[name]]


registry = Registry()

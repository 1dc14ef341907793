"""Environments: a database, and the tools of both sides on it."""

import hashlib
import json
from typing import Any, ClassVar

from tau2.data_model.message import ToolMessage


class Tool:
    """A tool as models see it."""

    def __init__(self, name, parameters):
        self.name = name
        self.openai_schema = {
            "type": "function",
            "function": {
                "name": name,
                "description": name.replace("_", " "),
                "parameters": {
                    "type": "object",
                    "properties": {one: {"type": "string"} for one in parameters},
                    "required": list(parameters),
                },
            },
        }


class Kit:
    """The tools of one side. `reads` and `writes` name their parameters, by tool."""

    reads: ClassVar = {}
    writes: ClassVar = {}

    def __init__(self, db):
        self.db = db

    def has_tool(self, name):
        return name in self.reads or name in self.writes

    def tool_mutates_state(self, name):
        return name in self.writes

    def get_tools(self, include=None):
        every = {**self.reads, **self.writes}
        return {name: Tool(name, every[name]) for name in every if include is None or name in include}

    def get_db_hash(self):
        if self.db is None:
            return None
        return hashlib.sha256(json.dumps(self.db.model_dump(), sort_keys=True).encode()).hexdigest()

    def update_db(self, data):
        self.db = type(self.db).model_validate({**self.db.model_dump(), **data})


class Environment:
    """A domain's database, policy and tools; a subclass may define `sync_tools`."""

    def __init__(self, domain_name, policy, tools, user_tools=None):
        self.domain_name, self.policy, self.tools, self.user_tools = domain_name, policy, tools, user_tools
        self.sync_tools()

    def get_policy(self):
        return self.policy

    def get_tools(self):
        return list(self.tools.get_tools().values())

    def get_user_tools(self, include=None):
        return list(self.user_tools.get_tools(include).values())

    def get_db_hash(self):
        return self.tools.get_db_hash()

    def get_user_db_hash(self):
        return None if self.user_tools is None else self.user_tools.get_db_hash()

    def sync_tools(self):
        """Carries what one side changed to the other side."""

    def make_tool_call(self, tool_name, requestor="assistant", **arguments) -> Any:
        kit = self.tools if requestor == "assistant" else self.user_tools
        if kit is None or not kit.has_tool(tool_name):
            raise ValueError(f"Tool '{tool_name}' not found.")
        return getattr(kit, tool_name)(**arguments)

    def get_response(self, message):
        error = False
        try:
            found = self.make_tool_call(message.name, requestor=message.requestor, **message.arguments)
            self.sync_tools()
        except Exception as refused:
            found, error = f"Error: {refused}", True
        text = found if isinstance(found, str) else json.dumps(found)
        return ToolMessage(id=message.id, role="tool", content=text, requestor=message.requestor, error=error)

    def run_env_function_call(self, call):
        found = getattr(self.user_tools if call.env_type == "user" else self.tools, call.func_name)(**call.arguments)
        self.sync_tools()
        return found

    def run_env_assertion(self, assertion, raise_assertion_error=True):
        holds = self.run_env_function_call(assertion) == assertion.assert_value
        assert holds or not raise_assertion_error
        return holds

    def set_state(self, initialization_data, initialization_actions, message_history, strict=True):
        if initialization_data is not None:
            if initialization_data.agent_data:
                self.tools.update_db(initialization_data.agent_data)
            if initialization_data.user_data:
                self.user_tools.update_db(initialization_data.user_data)
        for call in initialization_actions or ():
            self.run_env_function_call(call)
        messages = list(message_history)
        for at, message in enumerate(messages):
            for call in getattr(message, "tool_calls", None) or ():
                answer = messages[at + 1]
                if not (self.tools.tool_mutates_state(call.name) or self._user_changes(call.name)):
                    continue
                if self.get_response(call).content != answer.content and strict:
                    raise ValueError(f"{call.name} gave another answer than {answer.content}")
        self.sync_tools()

    def _user_changes(self, name):
        return self.user_tools is not None and self.user_tools.tool_mutates_state(name)

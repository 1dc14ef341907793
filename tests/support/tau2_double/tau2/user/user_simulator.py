"""The prompt of the user."""


class UserSimulator:
    """A simulated user; here for its prompt alone."""

    def __init__(self, llm, instructions=None, tools=None):
        self.system_prompt = f"You are a customer{' with tools' if tools else ''}.\n<scenario>\n{instructions}"

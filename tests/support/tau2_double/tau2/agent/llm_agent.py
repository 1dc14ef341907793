"""The prompt of the agent."""

AGENT_INSTRUCTION = "Help the customer, by the policy."
SYSTEM_PROMPT = "<instructions>\n{agent_instruction}\n</instructions>\n<policy>\n{domain_policy}\n</policy>"

"""Any world of josh as an environment of verifiers (v1): its tasks, and an agent that verifiers samples.

verifiers finds an environment by the name of an importable module whose `__all__` has one `Taskset` and one `Env`. This
command writes such a module, of four lines, for a world and settings of `josh run`:

    python -m josh.runs.train.verifiers_env --name my_world --settings '{"end_index": 20}' --out FOLDER
    PYTHONPATH=FOLDER vf-eval my_world -m MODEL -r 2 --env.agent.runtime.type subprocess --no-push

The conversation is a `josh.Conversation`: the user, the rules, the tags and the rewards are those of a search. The
agent may be any of josh's that reads text, such as `react` where the world has tools.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from keyword import iskeyword
from pathlib import Path
from typing import Any

from josh.conversation import Conversation
from josh.dialogue import Outcome
from josh.errors import JoshError, UsageError
from josh.messages import text_of
from josh.models.hf_loading import PREFIX
from josh.runs.play.seats import Seats
from josh.seeds import derive

NEEDED = "this needs verifiers: pip install -e '.[verifiers]', without constraints.txt, which pins another mcp"
_MODULE = '''"""A world of josh as an environment of verifiers."""

from josh.runs.train.verifiers_env import environment

Tasks, World, WorldConfig = environment({settings!r})
__all__ = ["Tasks", "World", "WorldConfig"]
'''


def environment(settings: Mapping[str, Any]) -> tuple[type, type, type]:
    """Returns the classes of an environment: its `Taskset`, its `Env` and the configuration of that.

    The reward of a trace is the conversation's, under the name `reward`; its metrics are the world's, and `num_turns`,
    `completed` and `truncated`. `trace.info["josh"]` has the task, the outcome and the error, if any.

    Args:
        settings: settings of `josh run`, by flag. The world's agent for local models speaks, unless they name another.

    Raises:
        UsageError: verifiers is not installed, or a setting is wrong.
    """
    try:
        import verifiers.v1 as vf
    except ImportError:
        raise UsageError(NEEDED) from None

    seats = Seats({"model": f"{PREFIX}verifiers", "temperature": 1.0, **settings})
    seed = int(settings.get("seed", 10))
    played: Counter[str] = Counter()

    class TaskData(vf.TaskData):  # type: ignore[misc]
        """A task by its id."""

        josh_task: str

    class Task(vf.Task[TaskData]):  # type: ignore[misc]
        """A task of the world."""

        @property
        def key(self) -> str:
            """The task's id."""
            return str(self.data.josh_task)

    class Tasks(vf.Taskset[Task, vf.TasksetConfig]):  # type: ignore[misc]
        """The tasks of the world."""

        def load(self) -> Iterator[Task]:
            """Yields the tasks, in their order."""
            for name, task in seats.tasks.items():
                conversation = seats.conversation(task, seed)
                system = system_prompt(conversation)
                yield Task(TaskData(name=name, system_prompt=system or None, josh_task=name), self.config.task)

    class WorldConfig(vf.EnvConfig):  # type: ignore[misc]
        """The agent that is evaluated or trained; the user is josh's."""

        agent: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})

    class World(vf.Env[WorldConfig]):  # type: ignore[misc]
        """Plays the world's user against the agent."""

        async def run(self, task: Any, agents: Any) -> None:
            """Play one conversation, and record its reward and metrics."""
            name = str(task.data.josh_task)
            number = played[name]
            played[name] += 1
            conversation = seats.conversation(seats.task(name), derive(seed, "verifiers", str(number)))
            async with agents.agent.interaction(task) as interaction:
                await converse(conversation, interaction)
                record(conversation, interaction.trace, name)

    return Tasks, World, WorldConfig


def system_prompt(conversation: Conversation) -> str:
    """Returns the system prompt of the agent that a conversation is on; empty for none."""
    first = conversation.opening
    return text_of(first[0]) if first and first[0].get("role") == "system" else ""


async def converse(conversation: Conversation, interaction: Any) -> None:
    """Let an agent of verifiers speak until the conversation is over, or until the agent has ended."""
    await conversation.astart()
    heard = "\n".join(text_of(one) for one in conversation.prompt if one.get("role") == "user")
    while not conversation.over:
        segment = await interaction.turn(heard)
        if segment.terminated:
            return
        heard, _ = await conversation.asay(segment.last_reply)


def record(conversation: Conversation, trace: Any, task: str) -> None:
    """Note the reward, the metrics and the outcome of a conversation in a trace."""
    outcome = str(conversation.outcome) if conversation.over else str(Outcome.TRUNCATED)
    trace.record_reward("reward", conversation.reward)
    for name, value in conversation.metrics.items():
        if name != "reward":
            trace.record_metric(name, float(value))
    trace.info["josh"] = {"task": task, "outcome": outcome, "error": conversation.error}


def main(argv: Sequence[str] | None = None) -> int:
    """Write a module; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m josh.runs.train.verifiers_env", allow_abbrev=False)
    parser.add_argument("--name", required=True, help="the module's name, which vf-eval takes")
    parser.add_argument("--settings", default="{}", help="settings of `josh run`, as a JSON object")
    parser.add_argument("--out", type=Path, default=Path(), help="the folder to write it into (default: this one)")
    args = parser.parse_args(argv)
    try:
        path = write_module(args.name, args.settings, args.out)
    except JoshError as error:
        print(f"josh: {error}", file=sys.stderr)
        return 2
    print(f"written to {path}; use it with PYTHONPATH={args.out} vf-eval {args.name}")
    return 0


def write_module(name: str, settings: str, folder: Path) -> Path:
    """Write the module of an environment, and return its path. Raises UsageError."""
    if not name.isidentifier() or name != name.lower() or iskeyword(name):
        raise UsageError(f"name is {name!r}; give a module's name in small letters, such as my_world")
    if name in sys.stdlib_module_names:
        raise UsageError(f"name is {name!r}, a module of Python's own; give another, such as my_world")
    try:
        given = json.loads(settings)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError(f"settings is {settings!r:.60}; give a JSON object")
    Seats({"model": f"{PREFIX}verifiers", "temperature": 1.0, **given})
    path = folder / f"{name}.py"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_MODULE[:40]):
        raise UsageError(f"{path} exists, and josh did not write it; give another name or folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(_MODULE.format(settings=given), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())

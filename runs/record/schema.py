"""The files of a run: what each key means, and how a line is read and checked.

The classes below are the one description of the format. pydantic reads and checks lines by it (exact types, as JSON
has them: `true` is not a number), and `josh schema` prints it as JSON Schema, with the texts below the keys. What JSON
Schema cannot say (parents before children, leaves with an outcome) is checked by `episode_json.from_json`.

Version 2 added `version`, `seed`, `phase`, `directive`, `user_internal`, `user_tools`, `observed`, `value`, `samples`
and `scores`.
Version 1 has no key `version`. Keys that this josh does not know are ignored.
"""

import json
from functools import cache
from typing import Annotated, Any, Final, Literal, NotRequired, TypeVar, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from josh.errors import UsageError
from josh.runs.record.lines import FORMAT_VERSION

Version = Annotated[int, Field(ge=1, le=FORMAT_VERSION)]
SpeakerName = Literal["agent", "user"]
OutcomeName = Literal["alive", "won", "lost", "user_left", "truncated", "infra_error"]
Message = dict[str, Any]
Row = TypeVar("Row")

_documented = with_config(ConfigDict(use_attribute_docstrings=True))


@_documented
class UsageRow(TypedDict):
    """What model calls cost."""

    calls: int
    """Calls made."""
    prompt_tokens: int
    """Tokens sent, all calls together."""
    completion_tokens: int
    """Tokens received, all calls together."""


@_documented
class HitRow(TypedDict):
    """A reward event: the goals that one step of a turn met."""

    step: int
    """Which step of the turn, counted from 0."""
    goals: list[Any]
    """The goals met, as the rewards class names them."""
    value: float
    """What the event is worth against others of the same phase (dollars, or 1.0 where all goals are alike)."""


@_documented
class SampleRow(TypedDict):
    """What one request of a turn sampled, token by token."""

    prefix: int
    """Tokens of the prompt that the same speaker's sample before it on the path (prompt and reply) begins with."""
    prompt_ids: list[int]
    """The other tokens of the prompt, in order."""
    token_ids: list[int]
    """The sampled tokens."""
    logprobs: list[float] | None
    """The log-probability of each sampled token, in nats; null where the server gives none."""
    finish_reason: str
    """Why the sampling ended (`stop`, `length`, ...)."""
    model: str
    """Name of the model that was asked."""


@_documented
class CollapseRow(TypedDict):
    """One cut of the tree down to a single path."""

    root: int
    """Index of the node that the cut-off tree grew from."""
    size: int
    """Number of nodes when it happened; the cut-off tree holds none that came later."""
    winner: int
    """Index of the leaf that was kept."""
    rewarded: list[int]
    """Indices of the leaves that earned a reward in the phase; of a tree played to its end, of the wins, best first."""


@_documented
class NodeRow(TypedDict):
    """One turn in its place. Keys that say nothing are left out."""

    parent: int
    """Index of the turn before, which comes earlier in `nodes`; -1 at the root."""
    speaker: SpeakerName
    """Who took the turn."""
    path: Annotated[str, Field(pattern=r"^([0-9]+(/[0-9]+)*)?$", examples=["", "0/1"])]
    """The sibling numbers from the root down; a turn without siblings keeps the path of its parent."""
    phase: NotRequired[int]
    """Which plan of the search added the node, from 1; 0 at the root. Version 1 has none; it is the depth there."""
    messages: list[Message]
    """The messages that both sides see, in the chat format."""
    internal: NotRequired[list[Message]]
    """The messages that the agent's model is trained on, where they differ (system prompt, thoughts, tools)."""
    user_internal: NotRequired[list[Message]]
    """The messages that the user's model is trained on, where they are not `messages` with the roles swapped."""
    observed: NotRequired[Any]
    """What the world's `observe()` said when the turn ended."""
    value: NotRequired[float]
    """What the rewards' `value()` says that the conversation is worth so far, where the plan asked for it."""
    directive: NotRequired[str]
    """The instruction that the speaker was given for this turn; no view shows it."""
    actions: NotRequired[list[list[Any]]]
    """What each step of the turn did, for the rewards to read."""
    hits: NotRequired[list[HitRow]]
    """The reward events, in the order of the steps."""
    model: NotRequired[str]
    """Name of the model that spoke."""
    seed: NotRequired[int]
    """Seed of the turn's first request; siblings may share a request, and so a seed."""
    choice: NotRequired[int]
    """Which reply to that request it is, where it is not the first; the usage stands with the first."""
    duplicate: NotRequired[bool]
    """Whether the turn repeats an elder sibling, even at the second try."""
    usage: NotRequired[UsageRow]
    """Model calls made for the turn."""
    ended: NotRequired[OutcomeName]
    """How the turn itself ended the conversation, before the other branches were heard."""
    outcome: NotRequired[OutcomeName]
    """How a leaf stands now that the search is over; every leaf has one, and no other node."""
    reward: NotRequired[float]
    """What the path down to a leaf, or to the winner of a collapse, earned, where it is not 0."""
    scores: NotRequired[dict[str, float]]
    """What the rewards' `score()` says of the conversation that ends here."""
    samples: NotRequired[list[SampleRow]]
    """What was sampled, request by request, where the run keeps samples."""
    error: NotRequired[str]
    """What went wrong, where the outcome is `infra_error`, or where the second try of a duplicate failed."""


@_documented
class TaskRow(TypedDict):
    """The task as the world gave it."""

    index: int
    """Its position in the world's list of tasks."""
    data: dict[str, Any]
    """What the world knows about it."""
    metadata: dict[str, Any]
    """Settings of this task alone."""


@_documented
class EpisodeRow(TypedDict):
    """A line of `episodes.jsonl`: one finished task, with its whole tree."""

    version: NotRequired[Version]
    """Version of the format; version 1 has no such key."""
    task_id: str
    """The task's id."""
    ending: Literal["completed", "truncated", "aborted"]
    """How the first reported conversation ended: decided, cut off, or by an error."""
    reward: float
    """Mean reward of the reported conversations."""
    success: float
    """Share of the reported conversations that met all goals."""
    rounds: float
    """Mean number of agent turns of the reported conversations."""
    metrics: dict[str, float]
    """Means of what the world measures on the reported conversations."""
    error: str
    """Why the task was given up; empty where it was not."""
    usage: dict[str, UsageRow]
    """Model calls, by speaker: `agent`, `user`, and `judge` where one was asked."""
    reported: list[int]
    """Indices of the leaves whose conversations the figures speak of."""
    goals: list[Any]
    """All goals of the task, of which there may be none; a goal may stand there several times."""
    collapses: list[CollapseRow]
    """The cuts, oldest first."""
    frontier: list[int]
    """Indices of the nodes that might have gone on when the search ended."""
    nodes: Annotated[list[NodeRow], Field(min_length=1)]
    """The tree: its root, then each turn after its parent, siblings in order. Other keys name nodes by their index."""
    task: TaskRow
    """The task itself."""
    rewards: NotRequired[list[float]]
    """The reward of each reported conversation, where there are several."""
    tools: NotRequired[list[dict[str, Any]]]
    """The schemas of the agent's tools."""
    user_tools: NotRequired[list[dict[str, Any]]]
    """The schemas of the user's tools."""
    seed: NotRequired[int]
    """Seed of the search."""
    scores: NotRequired[dict[str, float]]
    """Mean of each score over the reported conversations that have it."""


@_documented
class ExampleRow(TypedDict):
    """A line of `training_examples.jsonl`: one labelled conversation."""

    version: NotRequired[Version]
    """Version of the format; version 1 has no such key."""
    task_id: str
    """The task's id."""
    node: int
    """Index of the turn that it ends with, among the `nodes` of the task's episode."""
    is_successful: bool
    """Whether a leaf that was rewarded lies on it or below."""
    is_golden_path: bool
    """Whether the leaf that won lies on it or below."""
    messages: list[Message]
    """The conversation as the agent's model is trained on it, system prompt included."""
    tools: NotRequired[list[dict[str, Any]]]
    """The schemas of the agent's tools."""


@_documented
class SearchRow(TypedDict):
    """How a run's trees grow."""

    words: str
    """The same in words: `searched with a beam of 8`, or how many conversations each task has."""
    searched: bool
    """Whether the result of a task is the best of many branches."""
    conversations: int
    """How many conversations of a task count."""


@_documented
class ConfigFile(TypedDict):
    """`config.json`: what a run is made of."""

    settings: dict[str, Any]
    """Every setting: a table for each part of a run, as in a TOML file. Version 1 has one flat object."""
    search: NotRequired[SearchRow]
    """How its trees grow, which can be read where the strategy is gone."""
    plays: NotRequired[dict[str, Any]]
    """Who plays: the task's kind, the plug-ins by role, and the names of the models."""
    tasks: NotRequired[int]
    """How many tasks there are to play."""
    tasks_digest: NotRequired[str]
    """A hash of the tasks; a run is resumed on the same tasks alone."""
    task_ids: NotRequired[list[str]]
    """The tasks' ids, in order."""
    left_out: NotRequired[dict[str, int]]
    """Rows of the data that are not tasks, in all splits together, by reason."""
    versions: NotRequired[dict[str, str]]
    """Versions of Python and of the packages that a run depends on."""
    rescored_from: NotRequired[str]
    """The run whose trees these are, under another reward."""
    replayed_from: NotRequired[str]
    """The run whose replies these are."""


@_documented
class SideRow(TypedDict):
    """What one speaker's calls cost."""

    calls: int
    """Calls made."""
    prompt_tokens: int
    """Tokens sent, all calls together."""
    completion_tokens: int
    """Tokens received, all calls together."""
    cost: NotRequired[float | None]
    """US dollars; null where a price or a count of tokens is not known."""


@_documented
class SummaryFile(TypedDict):
    """`summary.json`: the figures of a run. Tasks that an error ended are counted, and are in no mean."""

    tasks: NotRequired[int]
    """How many tasks there were to play."""
    finished: NotRequired[int]
    """How many came to an end, errors included."""
    complete: bool
    """Whether all of them did."""
    scored: int
    """How many count in the means."""
    conversations: NotRequired[int]
    """How many conversations those report."""
    infra_errors: NotRequired[int]
    """How many tasks an error ended."""
    owed: int
    """How many tasks have an error anywhere in their tree; a resumed run plays these again."""
    average_reward: NotRequired[float | None]
    """Mean reward; null where nothing was scored."""
    average_reward_ci95: NotRequired[list[float] | None]
    """Its bootstrap interval, drawn from people (from tasks where there are none); null for fewer than two."""
    success_rate: NotRequired[float | None]
    """Share of conversations that met all goals, a mean over tasks; null where nothing was scored."""
    success_rate_ci95: NotRequired[list[float]]
    """Its Wilson interval."""
    mean_rounds: NotRequired[float | None]
    """Mean number of agent turns; null where nothing was scored."""
    endings: NotRequired[dict[str, int]]
    """How many tasks ended in each way."""
    leaf_outcomes: NotRequired[dict[str, int]]
    """How many leaves stand in each way."""
    turns: NotRequired[int]
    """How many turns were played, in all branches."""
    metrics: NotRequired[dict[str, float | None]]
    """Means of what the world measures."""
    scores: NotRequired[dict[str, float | None]]
    """Means of what the rewards' `score()` says."""
    usage: dict[str, SideRow]
    """What each speaker's calls cost, those of unfinished tasks and of sessions before included."""
    cost: NotRequired[float | None]
    """US dollars, all speakers together; null where a price or a count of tokens is not known."""
    unpriced: NotRequired[list[str]]
    """The models whose cost is not known."""
    retries: int
    """Model calls that were repeated after an error."""
    truncated: NotRequired[str | None]
    """The limit of the budget that ended the run, as `max_calls 100`; null for none."""
    first_error: str
    """The first error of a task; empty for none."""
    training_examples: int
    """Lines of `training_examples.jsonl`."""
    golden_examples: int
    """Those of them on a golden path."""


FILES: Final[dict[str, Any]] = {
    "episodes": EpisodeRow,
    "training_examples": ExampleRow,
    "config": ConfigFile,
    "summary": SummaryFile,
}
"""The files that have a schema; of the first two it is that of a line."""


class UnknownVersionError(ValueError):
    """A line has a format version that this josh cannot read; its text says which it reads."""


def read_row(kind: type[Row], text: str | bytes) -> Row:
    """Read a JSON text of one of the kinds above.

    Args:
        kind: `EpisodeRow`, `ExampleRow`, `ConfigFile` or `SummaryFile`.
        text: the JSON.

    Returns:
        What it holds, without the keys that the kind does not have.

    Raises:
        UnknownVersionError: a newer josh wrote it.
        ValueError: it is not JSON, or not of that kind; the text names the place in one line.
    """
    adapter: TypeAdapter[Row] = _adapter(cast(Any, kind))
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] != "json_invalid":
            raise _explained(error) from None
    try:
        # Python's parser takes what pydantic's does not: half a surrogate pair, and more than 200 lists in each other.
        return adapter.validate_python(json.loads(text), strict=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValidationError as error:
        raise _explained(error) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _explained(error: ValidationError) -> ValueError:
    """The first thing that is wrong, in one line; a version that is not known goes before everything else."""
    found = error.errors(include_url=False)
    for each in found:
        if each["loc"] == ("version",) and each["type"] in ("less_than_equal", "greater_than_equal"):
            known = " and ".join(map(str, range(1, FORMAT_VERSION + 1)))
            return UnknownVersionError(
                f"its format has version {each['input']}; this josh reads versions {known}; install a newer josh"
            )
    return ValueError(_in_words(found[0]))


_WAYS_OUT: Final = {"too_short": "a tree has a root", "string_pattern_mismatch": "give sibling numbers, such as 0/1"}


def _in_words(error: ErrorDetails) -> str:
    place = error["loc"]
    node = f"node {place[1]}: " if place[:1] == ("nodes",) and place[1:] else ""
    names = place[2:] if node else place
    name = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in names).removeprefix(".") or "it"
    if error["type"] == "missing":
        return f"{node}{name} is missing"
    way_out = _WAYS_OUT.get(error["type"]) or error["msg"].replace("Input should be", "give")
    return f"{node}{name} is {error['input']!r:.40}; {way_out}"


class _Untitled(GenerateJsonSchema):
    """JSON Schema without titles that repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(file: str | None = None) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a run's files.

    Args:
        file: a key of `FILES`; None for an object of all of them, by name.

    Raises:
        UsageError: there is no such file.
    """
    if file is not None and file not in FILES:
        raise UsageError(f"a run has no file {file!r} with a schema; known: {', '.join(FILES)}")
    dialect = {"$schema": GenerateJsonSchema.schema_dialect}
    if file is not None:
        return dialect | _adapter(FILES[file]).json_schema(schema_generator=_Untitled)
    places, shared = TypeAdapter.json_schemas(
        [(name, "validation", _adapter(kind)) for name, kind in FILES.items()], schema_generator=_Untitled
    )
    properties = {name: places[name, "validation"] for name in FILES}
    return dialect | {"title": "The files of a run", "type": "object", "properties": properties} | shared

"""The format of a run's files: the meaning of each key, and functions that read and check a line.

The classes below are the only description of the format:

1. pydantic reads and checks lines by them, with the exact types of JSON (`true` is not a number).
2. `josh schema` prints them as JSON Schema, with the text below each key as its description.
3. `episode_json.from_json` checks what JSON Schema cannot express: parents before children, leaves with an outcome.

Version 2 added `version`, `seed`, `phase`, `directive`, `user_internal`, `user_tools`, `observed`, `value`, `samples`
and `scores`. Version 1 has no key `version`. Unknown keys are ignored.
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
    """The usage of model calls."""

    calls: int
    """Number of calls."""
    prompt_tokens: int
    """Tokens sent in all calls."""
    completion_tokens: int
    """Tokens received in all calls."""


@_documented
class HitRow(TypedDict):
    """A reward event: the goals that one step of a turn met."""

    step: int
    """Index of the step in the turn, from 0."""
    goals: list[Any]
    """The goals that were met, in the form that the rewards class gives them."""
    value: float
    """The event's value in comparison with others of the same phase (dollars, or 1.0 where all goals count equally)."""


@_documented
class SampleRow(TypedDict):
    """The tokens of one sampled reply."""

    prefix: int
    """Number of prompt tokens that equal the beginning of the same speaker's previous sample (prompt and reply)."""
    prompt_ids: list[int]
    """The tokens of the prompt after this prefix, in order."""
    token_ids: list[int]
    """The sampled tokens."""
    logprobs: list[float] | None
    """The log-probability of each sampled token, in nats, with the temperature and after top-p and min-p removed
    tokens; null where it is not known."""
    finish_reason: str
    """Reason for the end of sampling (`stop`, `length`, ...)."""
    model: str
    """Name of the model."""
    model_logprobs: NotRequired[list[float]]
    """The log-probability of each sampled token under the model itself, at temperature 1; where it is known."""


@_documented
class CollapseRow(TypedDict):
    """One collapse: a cut of the tree down to a single path."""

    root: int
    """Index of the root of the subtree that was cut."""
    size: int
    """Number of nodes in the tree at the time of the collapse; later nodes do not belong to the subtree."""
    winner: int
    """Index of the leaf that was kept."""
    rewarded: list[int]
    """Indices of leaves: those rewarded in the phase; where a tree was played to its end, the wins, best first."""


@_documented
class NodeRow(TypedDict):
    """One turn and its place in the tree. Keys with empty values are left out."""

    parent: int
    """Index of the previous turn, which comes earlier in `nodes`; -1 at the root."""
    speaker: SpeakerName
    """The speaker of the turn."""
    path: Annotated[str, Field(pattern=r"^([0-9]+(/[0-9]+)*)?$", examples=["", "0/1"])]
    """The sibling numbers from the root down; a turn without siblings keeps the path of its parent."""
    phase: NotRequired[int]
    """Number of the search plan that added the node, from 1; 0 at the root. In version 1 it is the depth."""
    messages: list[Message]
    """The messages that both sides see, in the chat format."""
    internal: NotRequired[list[Message]]
    """The messages that the agent's model is trained on, where they differ (system prompt, thoughts, tools)."""
    user_internal: NotRequired[list[Message]]
    """The messages that the user's model is trained on, where they differ from `messages` with the roles swapped."""
    observed: NotRequired[Any]
    """The result of the environment's `observe()` at the end of the turn."""
    value: NotRequired[float]
    """The result of the rewards' `value()` for the conversation so far, where the plan asked for it."""
    directive: NotRequired[str]
    """The instruction to the speaker for this turn, a name or a text; it is not part of any message list."""
    actions: NotRequired[list[list[Any]]]
    """The actions of each step of the turn, for the rewards to read."""
    hits: NotRequired[list[HitRow]]
    """The reward events, in the order of the steps."""
    model: NotRequired[str]
    """Name of the speaker's model."""
    seed: NotRequired[int]
    """Seed of the turn's first request; siblings that share a request share the seed."""
    choice: NotRequired[int]
    """Index of the reply in that request, from 0, where it is not 0; the usage is recorded at index 0."""
    duplicate: NotRequired[bool]
    """Whether the turn repeats an elder sibling, even after a second try."""
    usage: NotRequired[UsageRow]
    """Usage of the turn's model calls."""
    ended: NotRequired[OutcomeName]
    """How the turn itself ended the conversation, without regard to other branches."""
    outcome: NotRequired[OutcomeName]
    """The outcome of a leaf at the end of the search; every leaf has one, other nodes have none."""
    reward: NotRequired[float]
    """The reward of the path down to a leaf or to the winner of a collapse, where it is not 0."""
    scores: NotRequired[dict[str, float]]
    """The results of the rewards' `score()` for the conversation that ends here."""
    samples: NotRequired[list[SampleRow]]
    """The samples of the turn, one for each request, where the run keeps samples."""
    error: NotRequired[str]
    """The error, where the outcome is `infra_error` or the second try of a duplicate failed."""
    cut: NotRequired[str]
    """Why the speaker's last reply was cut off: `length` or `content_filter`."""
    failure: NotRequired[str]
    """What ended the conversation by the speaker's own fault, such as `said nothing`; it counts in the means."""
    facts: NotRequired[dict[str, Any]]
    """The result of the rewards' `facts()` for the conversation so far."""
    confirmed: NotRequired["ConfirmationRow"]
    """How the winning path to this node fared with fresh users."""
    again: NotRequired[bool]
    """In the conversation with a fresh user: the agent's turn is the one of the path, and is not repeated here."""


@_documented
class ReplayRow(TypedDict):
    """A conversation in which the agent's turns of a path were said again, word for word, to a fresh user."""

    user: NotRequired[str]
    """Name of the user's class; left out where it is the one of the path."""
    won: bool
    """Whether the conversation won."""
    reward: float
    """Its reward; 0 where it ended with an error."""
    nodes: list[NodeRow]
    """Its turns in order, without the root; the parent of the first one is 0, the root of the whole tree."""


@_documented
class ConfirmationRow(TypedDict):
    """How a winning path fared when its agent's turns were said again to fresh users."""

    users: int
    """Number of the users whose conversation ended without an error."""
    share: float
    """Share of these users with whom the path won again; 0 without users."""
    reward: float
    """Mean reward with these users; 0 without users."""
    needed: NotRequired[float]
    """The smallest share for which the win counts; left out where it counts in any case."""
    replays: list[ReplayRow]
    """The conversations."""


@_documented
class PairRow(TypedDict):
    """Two sibling turns, compared after the search."""

    better: int
    """Index of the preferred turn; of the elder one where neither is preferred."""
    worse: int
    """Index of the other turn."""
    label: str
    """The behaviour that the preference teaches, such as `resist`; empty where neither is preferred."""
    values: Annotated[list[float], Field(min_length=2, max_length=2)]
    """The two numbers that were compared, of the better turn and of the worse."""
    note: NotRequired[str]
    """Why neither is preferred; or a remark on the label."""


@_documented
class TaskRow(TypedDict):
    """The task, as the environment gave it."""

    index: int
    """Position in the environment's list of tasks."""
    data: dict[str, Any]
    """The environment's data of the task."""
    metadata: dict[str, Any]
    """Settings of this task only."""


@_documented
class EpisodeRow(TypedDict):
    """A line of `episodes.jsonl`: one finished task, with its whole tree."""

    version: NotRequired[Version]
    """Version of the format; version 1 does not have this key."""
    task_id: str
    """The task's id."""
    ending: Literal["completed", "truncated", "aborted"]
    """How the first reported conversation ended: decided, cut off at a limit, or by an error."""
    reward: float
    """Mean reward of the reported conversations."""
    success: float
    """Share of the reported conversations that met all goals."""
    rounds: float
    """Mean number of agent turns of the reported conversations."""
    metrics: dict[str, float]
    """Means of the environment's metrics over the reported conversations."""
    error: str
    """The error that ended the task; empty for none."""
    usage: dict[str, UsageRow]
    """Usage of model calls, by speaker: `agent`, `user`, and `judge` where a judge was called."""
    reported: list[int]
    """Indices of the leaves of the reported conversations, which the figures above describe."""
    goals: list[Any]
    """All goals of the task; the list may be empty, and may hold a goal several times."""
    collapses: list[CollapseRow]
    """The collapses, oldest first."""
    frontier: list[int]
    """Indices of the nodes that the search could have continued when it ended."""
    nodes: Annotated[list[NodeRow], Field(min_length=1)]
    """The tree: the root, then each turn after its parent, siblings in order. Other keys refer to nodes by index."""
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
    """Mean of each score over the reported conversations with this score."""
    unread_tags: NotRequired[int]
    """Places in the user's words, in all branches, that look like a reward tag and are none; left out where 0."""
    disputed_tags: NotRequired[int]
    """Reward tags of the user, in all branches, that do not count: quoted, negated or asked about; left out where 0."""
    pairs: NotRequired[list[PairRow]]
    """The results of the rewards' `pairs()`: pairs of sibling turns."""
    no_rows: NotRequired[str]
    """Why its conversations are no training rows; left out where they may be."""
    budget: NotRequired[str]
    """The budget that kept the search from further turns, such as `40 turns`; left out where none did."""


@_documented
class ExampleRow(TypedDict):
    """A line of `training_examples.jsonl`: one labelled conversation."""

    version: NotRequired[Version]
    """Version of the format; version 1 does not have this key."""
    task_id: str
    """The task's id."""
    node: int
    """Index of its last turn among the `nodes` of the task's episode."""
    is_successful: bool
    """Whether its last turn is a rewarded leaf or an ancestor of one."""
    is_golden_path: bool
    """Whether its last turn is the winning leaf or an ancestor of it."""
    messages: list[Message]
    """The conversation in the form that the agent's model is trained on, system prompt included."""
    tools: NotRequired[list[dict[str, Any]]]
    """The schemas of the agent's tools."""


@_documented
class SearchRow(TypedDict):
    """The way a run's trees grow."""

    words: str
    """A description, such as `searched with a beam of 8`, or the number of conversations of each task."""
    searched: bool
    """Whether the result of a task is the best of many branches."""
    conversations: int
    """Number of conversations of a task that count."""


@_documented
class ImportedFileRow(TypedDict):
    """A file that conversations were imported from."""

    file: str
    """Its name, without its folder."""
    sha256: str
    """The SHA-256 of its bytes."""
    rows: int
    """Number of its conversations that were imported."""


@_documented
class ConfigFile(TypedDict):
    """`config.json`: the settings, plug-ins, tasks and versions of a run."""

    settings: dict[str, Any]
    """Every setting: a table for each part of a run, as in a TOML file. Version 1 has one flat object."""
    search: NotRequired[SearchRow]
    """The way its trees grow, recorded so that it can be read without the strategy's code."""
    plays: NotRequired[dict[str, Any]]
    """The noun for a task, the plug-ins by role, and the names of the models."""
    directives: NotRequired[dict[str, str]]
    """The texts of the instructions that turns are taken under, by name; `josh export --label` keeps them out."""
    tasks: NotRequired[int]
    """Number of tasks to play."""
    tasks_digest: NotRequired[str]
    """A hash of the tasks; a run can be resumed only with the same tasks."""
    task_ids: NotRequired[list[str]]
    """The ids of the tasks, in order."""
    left_out: NotRequired[dict[str, int]]
    """Number of data rows that are not tasks, in all splits together, by reason."""
    versions: NotRequired[dict[str, str]]
    """Versions of Python and of the packages that a run depends on."""
    started: NotRequired[str]
    """The time at which the run began, in ISO 8601 with the offset from UTC."""
    commit: NotRequired[str]
    """The git commit of josh, where it ran from a checkout."""
    rescored_from: NotRequired[str]
    """Name of the run that the trees were copied from, to score them under another reward."""
    replayed_from: NotRequired[str]
    """Name of the run that the replies were copied from."""
    merged_from: NotRequired[list[str]]
    """Names of the runs, each a shard, that the episodes and replies were copied from."""
    imported_from: NotRequired[list[ImportedFileRow]]
    """The files that the conversations were imported from; josh did not play them."""
    rewards_from: NotRequired[Literal["rescored"]]
    """Says that the rewards of an imported run were computed by its rewards class; left out where they are those of its
    source."""
    masked: NotRequired[dict[str, int]]
    """Number of places in the imported texts where personal data was replaced, by kind."""


@_documented
class SideRow(TypedDict):
    """The usage and cost of one speaker's model calls."""

    calls: int
    """Number of calls."""
    prompt_tokens: int
    """Tokens sent in all calls."""
    completion_tokens: int
    """Tokens received in all calls."""
    unusable: NotRequired[int]
    """Number of further answers that could not be used, but were or may have been billed: their tokens, as far as they
    name them, and dollars are included. Left out where 0."""
    cost: NotRequired[float | None]
    """Cost in US dollars; null where a price or a token count is unknown."""


@_documented
class FlawRow(TypedDict):
    """Turns of one speaker and model with the same flaw."""

    speaker: SpeakerName
    """The speaker."""
    model: str
    """Name of its model."""
    flaw: str
    """The failure, without details; `cut off by` and the reason; or the words for the other flaws."""
    turns: int
    """Number of turns with this flaw."""
    of: int
    """Number of all turns of this speaker with this model; of `repeated`, the number of younger siblings."""


@_documented
class PairsRow(TypedDict):
    """The numbers of pairs of sibling turns in a run's trees."""

    tasks: int
    """Number of tasks with a pair."""
    pairs: int
    """Number of pairs."""
    labels: dict[str, int]
    """Number of pairs by label."""
    unlabelled: dict[str, int]
    """Number of pairs without a label by note, which says why."""


@_documented
class ConfirmedRow(TypedDict):
    """How the winning paths of a run fared with fresh users."""

    wins: int
    """Number of winning paths that were said again."""
    golden: int
    """Number of golden paths among them; the next three figures are about these."""
    share: float | None
    """Mean share of the users with whom a golden path won again; null without golden paths."""
    reward: float | None
    """Mean reward of golden paths with these users; null without golden paths."""
    in_most: float | None
    """Share of golden paths that won again with at least four of five users; null without golden paths."""
    conversations: int
    """Number of conversations with fresh users."""
    turns: int
    """Number of turns in them, of agent and user; the agent's are recorded ones and cost nothing."""


@_documented
class SummaryFile(TypedDict):
    """`summary.json`: the figures of a run. Tasks that ended with an error count, but not in the means."""

    tasks: NotRequired[int]
    """Number of tasks to play."""
    finished: NotRequired[int]
    """Number of finished tasks, those with errors included."""
    complete: bool
    """Whether all tasks are finished."""
    scored: int
    """Number of tasks that count in the means."""
    conversations: NotRequired[int]
    """Number of reported conversations of the scored tasks."""
    infra_errors: NotRequired[int]
    """Number of tasks that ended with an error."""
    unrated: NotRequired[int]
    """Number of tasks whose conversations have no reward, because their source gives none; left out where 0."""
    owed: int
    """Number of tasks with an error anywhere in their tree; a resumed run plays them again."""
    average_reward: NotRequired[float | None]
    """Mean reward; null where no task was scored."""
    average_reward_ci95: NotRequired[list[float] | None]
    """Bootstrap interval of the mean reward, clustered by person (by task without people); null for fewer than two."""
    success_rate: NotRequired[float | None]
    """Share of conversations that met all goals, averaged over tasks; null where no task with goals was scored."""
    success_rate_ci95: NotRequired[list[float] | None]
    """Wilson interval of the success rate; null where no scored task has goals."""
    mean_rounds: NotRequired[float | None]
    """Mean number of agent turns; null where no task was scored."""
    endings: NotRequired[dict[str, int]]
    """Number of tasks by ending."""
    leaf_outcomes: NotRequired[dict[str, int]]
    """Number of leaves by outcome."""
    turns: NotRequired[int]
    """Number of turns played, in all branches."""
    metrics: NotRequired[dict[str, float | None]]
    """Means of the environment's metrics."""
    scores: NotRequired[dict[str, float | None]]
    """Means of the results of the rewards' `score()`."""
    pairs: NotRequired[PairsRow]
    """The pairs of sibling turns; left out where there are none."""
    confirmed: NotRequired[ConfirmedRow]
    """How winning paths fared with fresh users; left out where none was confirmed."""
    unread_tags: NotRequired[int]
    """Places in the users' words, in all branches, that look like a reward tag and are none; left out where 0."""
    disputed_tags: NotRequired[int]
    """Reward tags of the users, in all branches, that do not count; left out where 0."""
    doubtful_tasks: NotRequired[int]
    """Number of tasks with one of these two; left out where 0."""
    usage: dict[str, SideRow]
    """Usage and cost by speaker, unfinished tasks and earlier sessions included."""
    cost: NotRequired[float | None]
    """Cost of all speakers in US dollars; null where a price or a token count is unknown."""
    unpriced: NotRequired[list[str]]
    """The models whose cost is unknown."""
    retries: int
    """Number of model calls that were repeated after an error."""
    truncated: NotRequired[str | None]
    """The budget limit that ended the run, such as `max_calls 100`; null for none."""
    first_error: str
    """The first error of a task; empty for none."""
    failures: NotRequired[list[FlawRow]]
    """The conversations that a speaker's own failure ended, by speaker, model and failure; they count in the means."""
    cut_off: NotRequired[list[FlawRow]]
    """The turns whose last reply was cut off, by speaker, model and reason."""
    calls_in_text: NotRequired[list[FlawRow]]
    """The turns with a call that the server left in the text, by speaker and model."""
    repeated: NotRequired[list[FlawRow]]
    """The turns that repeat an elder sibling, although they were sampled twice, by speaker and chat model."""
    training_examples: int
    """Number of lines of `training_examples.jsonl`."""
    golden_examples: int
    """Number of those lines on a golden path."""


FILES: Final[dict[str, Any]] = {
    "episodes": EpisodeRow,
    "training_examples": ExampleRow,
    "config": ConfigFile,
    "summary": SummaryFile,
}
"""The schemas by file name; for the first two files it is the schema of one line."""


class UnknownVersionError(ValueError):
    """A line has a format version that this josh cannot read; the text gives the versions that it reads."""


def read_row(kind: type[Row], text: str | bytes) -> Row:
    """Parse and check a JSON text of one of the kinds above.

    Args:
        kind: `EpisodeRow`, `ExampleRow`, `ConfigFile` or `SummaryFile`.
        text: the JSON text.

    Returns:
        The parsed value, without unknown keys.

    Raises:
        UnknownVersionError: a newer josh wrote the text.
        ValueError: the text is not JSON, or not of this kind; the message names the place in one line.
    """
    adapter: TypeAdapter[Row] = _adapter(cast(Any, kind))
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] != "json_invalid":
            raise _explained(error) from None
    try:
        # Python's parser accepts what pydantic's does not: half a surrogate pair, and nesting deeper than 200 lists.
        return adapter.validate_python(json.loads(text), strict=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValidationError as error:
        raise _explained(error) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _explained(error: ValidationError) -> ValueError:
    """Returns the first problem in one line; an unknown version comes before all other problems."""
    found = error.errors(include_url=False)
    for each in found:
        if each["loc"] == ("version",) and each["type"] in ("less_than_equal", "greater_than_equal"):
            known = " and ".join(map(str, range(1, FORMAT_VERSION + 1)))
            return UnknownVersionError(
                f"its format has version {each['input']}; this josh reads versions {known}; install a newer josh"
            )
    return ValueError(_in_words(found[0]))


_WAYS_OUT: Final = {"too_short": "a tree needs a root", "string_pattern_mismatch": "give sibling numbers, such as 0/1"}


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
    """Returns the JSON Schema (draft 2020-12) of a run's files.

    Args:
        file: a key of `FILES`; None for an object with all files by name.

    Raises:
        UsageError: `file` is not a key of `FILES`.
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

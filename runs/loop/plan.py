"""Plan a loop: all its runs and stages are known before the first one begins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.hf_loading import PREFIX, is_local
from josh.roles import BaseEnv
from josh.runs.evaluate.held_out import TrainingExposure, assert_held_out
from josh.runs.evaluate.settings import SPLIT
from josh.runs.export.export import choose
from josh.runs.export.paths import GOLDEN, LOST, SUCCESSFUL, PathSelection
from josh.runs.loop.settings import LOOP_DEFAULTS, NOT_FOR_LOOPS, LoopSettings
from josh.runs.play.fit import check_fit
from josh.runs.play.runtime import Runtime
from josh.runs.play.sub_runs import SubRun, sub_run_from, sub_run_to_json
from josh.runs.play.tasks import choose_tasks
from josh.runs.play.unread import refuse_unread, unread_first
from josh.runs.play.workers.playing import require_executor
from josh.runs.probe.probing import PROBE_FOLDER
from josh.runs.record.folder import slug
from josh.runs.record.summary import counted
from josh.runs.registry import BEAM, OFFLINE, ROLLOUTS, default_of, label_of, name_of, said
from josh.runs.resolve import read_toml, resolve, without_plug_in
from josh.runs.settings import SEARCHES, core, env_of, schema_of
from josh.runs.train.settings import TRAINING, refuse_unread_by, resolve_training
from josh.runs.train.tiny import Tiny, tiny_dialogues

BASE_POLICY, CONTROL = "base", "control"
MODEL, ADAPTERS = "model", "adapters"
TINY_BATCH = 128
"""Default batch size of a tiny model, in replies."""
TINY_MIN_P = 0.005
"""Default `min_p` for sampling from a tiny model. Without it, one turn in thirty has a wrong word. The model learns
from its own wrong words in every round, and in the end one turn in five has one."""
TINY_TOP = 2
"""`TOP` for a tiny model. Its loop has many rounds, so good paths matter more than many paths."""
TOP = 3
"""Default number of winning paths per task that a round learns from; several, so that a round has enough rows."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A unit of work of a loop, done in its own process.

    Attributes:
        name: its name in the folder.
        kind: `model`, `search`, `train`, `test`, `sample` or `probe`.
        needs: the stages that must be complete before it begins.
        plays: the folders of the runs that it plays.
        round: the round that it belongs to, from 1; 0 for none.
    """

    name: str
    kind: str
    needs: tuple[str, ...] = ()
    plays: tuple[str, ...] = ()
    round: int = 0

    @property
    def leads(self) -> bool:
        """Whether the next round needs it."""
        return self.kind == "model" or (self.round > 0 and self.kind in {"search", "train"})


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole loop.

    Attributes:
        settings: the loop's settings.
        run: the common settings of its runs, by flag.
        train: the common settings of its trainings, without data, base and names.
        base: the model that it starts from: a folder or a hub id.
        stages: the stages, in the order of a loop that does one stage at a time.
        parts: the runs, in order.
        folder: the loop's folder; the names of its models contain it.
        seen: the numbers of training `tasks` and their `people`; the test tasks were checked to be held out from them.
    """

    settings: LoopSettings
    run: Mapping[str, Any]
    train: Mapping[str, Any]
    base: str
    stages: tuple[Stage, ...]
    parts: tuple[SubRun, ...]
    seen: Mapping[str, int]
    folder: str

    def part(self, folder: str) -> SubRun:
        """Returns a run by its folder."""
        return next(part for part in self.parts if part.folder == folder)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Returns a plan as JSON has it."""
    return asdict(replace(plan, parts=())) | {"parts": list(map(sub_run_to_json, plan.parts))}


def plan_from_json(content: Mapping[str, Any]) -> Plan:
    """Returns a plan from its JSON. Raises KeyError, TypeError or UsageError if the JSON is not a plan."""
    stages = tuple(
        Stage(**{**stage, "needs": tuple(stage["needs"]), "plays": tuple(stage["plays"])})
        for stage in content["stages"]
    )
    parts = tuple(sub_run_from(part, Path(content["folder"])) for part in content["parts"])
    if not parts or not stages:
        raise KeyError("parts")
    return Plan(**{**content, "settings": LoopSettings(**content["settings"]), "stages": stages, "parts": parts})


def search_of(number: int) -> str:
    """Returns the name of the folder of a round's search."""
    return f"search-{number}"


def adapter_of(folder: Path, what: int | str) -> Path:
    """Returns the folder of the adapter of a round, or of the control; its name is different for every loop."""
    return folder / ADAPTERS / f"{folder.name}-{what if isinstance(what, str) else f'round-{what}'}"


def choice_of(settings: LoopSettings, *, control: bool = False) -> PathSelection:
    """Returns the selection of paths that a round, or the control, learns from. Raises UsageError."""
    paths = LOST if control else settings.paths
    several = TINY_TOP if settings.tiny else TOP
    some = several if settings.paths == SUCCESSFUL and settings.method == "sft" else None
    if control and settings.paths == GOLDEN:
        some = 1
    return choose(settings.method, paths, settings.top or some, None)


def make_plan(folder: Path, settings: LoopSettings, given: Mapping[str, Any], env_defaults: Mapping[str, Any]) -> Plan:
    """Plan a loop.

    Args:
        folder: the folder that the loop will have.
        settings: the loop's settings.
        given: settings of `josh run`.
        env_defaults: settings from environment variables.

    Raises:
        UsageError: a setting is wrong, there are too few tasks, or the test tasks are not held out.
    """
    folder = folder.resolve()
    run = _common(settings, given, env_defaults)
    base = _base(folder, settings, run)
    run["model"] = PREFIX + base
    train = _training(folder, settings, run, base)
    choice_of(settings)
    if settings.control:
        choice_of(settings, control=True)
    env = env_of(resolve(_ways(run)[1]))
    if settings.tiny and tiny_dialogues(type(env)) is None:
        why = "which has no dialogues for a tiny model to learn from"
        raise UsageError(f"env is {run['env']!r} with --tiny, {why}; give --model hf:FOLDER")
    if len(env.splits) < 2:
        raise UsageError(f"env {run['env']!r} has only the split {env.splits[0]!r}; a loop needs another to test on")
    parts = _parts(folder, settings, run, env)
    seen = _held_out(env, settings, parts)
    _rehearse(settings, given, parts, env)
    return Plan(settings, run, train, base, tuple(_stages(settings, parts)), tuple(parts), seen, str(folder))


def _common(settings: LoopSettings, given: Mapping[str, Any], env_defaults: Mapping[str, Any]) -> dict[str, Any]:
    for name in NOT_FOR_LOOPS:
        if name in given:
            raise UsageError(f"{name} is given; a loop sets it itself, leave it out")
    defaults = {name: core()[name].default for name in ("env", "seed")} | dict(LOOP_DEFAULTS)
    if given.get("strategy", BEAM) != BEAM:
        del defaults["stop"]
    if settings.tiny:
        defaults |= {"batch_size": TINY_BATCH, "min_p": TINY_MIN_P}
    run = {**defaults, **env_defaults, **given}
    schema = schema_of(run)
    made_up = schema.find("synthetic_tasks")
    data = [flag for flag in schema.of("env") if schema[flag].kind is Path and run.get(flag)]
    if made_up is not None and not data:
        run.setdefault("synthetic_tasks", max(_first(run) + settings.rounds * settings.tasks, settings.test_tasks))
    return run


def _first(run: Mapping[str, Any]) -> int:
    return int(run.get("start_index", 0))


def _base(folder: Path, settings: LoopSettings, run: Mapping[str, Any]) -> str:
    model = run.get("model")
    if settings.tiny:
        if model:
            raise UsageError(f"model is {model!r} with --tiny, which makes one; leave one of them out")
        base = str(folder / MODEL)
    elif model and is_local(model):
        base = str(model.removeprefix(PREFIX))
    else:
        given = f"model is {model!r}" if model else "no model is given"
        raise UsageError(f"{given}; a loop trains a model on this machine: give hf:FOLDER, or --tiny")
    strange = next((str(name) for name in (base, folder) if "+" in str(name)), None)
    if strange:
        raise UsageError(f"{strange} has a plus sign, which separates adapters; give a model or log_dir without it")
    path = Path(base).expanduser()
    return str(path.resolve()) if path.is_dir() else base


def _training(folder: Path, settings: LoopSettings, run: Mapping[str, Any], base: str) -> dict[str, Any]:
    """Returns the common settings of all trainings, without those that the loop sets itself. Raises UsageError."""
    own = {"data", "model", "out", "name", "base_adapter", "merge", "resume"}
    train: dict[str, Any] = {}
    if settings.train_config:
        in_file = read_toml(Path(settings.train_config), "train_config")
        train = TRAINING.read(in_file, f"{settings.train_config}: ")
    strange = next((name for name in train if name in own), None)
    if strange:
        raise UsageError(f"{settings.train_config}: {strange} is given; a loop sets it itself, leave it out")
    refuse_unread_by(settings.method, train)
    preset = settings.preset or ("tiny" if settings.tiny else None)
    # Searches, tests and trainings report to the same trackers.
    train = {
        "seed": run["seed"],
        "report_to": run.get("report_to", core()["report_to"].default),
        **train,
        **({"preset": preset} if preset else {}),
    }
    resolve_training(settings.method, {**train, "data": "data", "model": base, "out": str(folder / ADAPTERS)})
    return train


def _rehearse(settings: LoopSettings, given: Mapping[str, Any], parts: Sequence[SubRun], env: BaseEnv) -> None:
    """Raises UsageError if a run cannot be played, or no run reads a given setting."""
    if settings.tiny:
        Tiny(settings.tiny_size)
    with unread_first(given, lambda: list(_rehearsed(settings, parts, env, recorded=True))):
        rehearsed = list(_rehearsed(settings, parts, env))
    require_executor(parts[0].settings)
    for run in rehearsed:
        check_fit(run)
    refuse_unread(rehearsed, given)


def _rehearsed(
    settings: LoopSettings, parts: Sequence[SubRun], env: BaseEnv, *, recorded: bool = False
) -> Iterator[Runtime]:
    """Yields one run of every kind. Raises UsageError if one cannot be played."""
    for part in parts:
        if part.policy == BASE_POLICY or part.reference or part.folder == search_of(1):
            run = part.settings
            if settings.tiny and not part.reference:  # the model does not exist yet
                agent = run.agent.name or name_of(default_of(env, "agent", run.agent.model) or "")
                run = replace(run, agent=replace(run.agent, model=OFFLINE, name=agent))
            to_come = settings.tiny and not part.reference
            yield Runtime(run, rehearsed=True, recorded=recorded, agent_to_come=to_come)


def _parts(folder: Path, settings: LoopSettings, run: Mapping[str, Any], env: BaseEnv) -> list[SubRun]:
    """Returns the runs: searches, plain conversations on the first search's tasks, and tests."""
    user, users = _users(settings, run, env)

    def model_of(number: int) -> str:
        return f"{run['model']}+{adapter_of(folder, number)}" if number else str(run["model"])

    def part(name: str, policy: str, who: str, whole: Mapping[str, Any], reference: bool = False) -> SubRun:
        return SubRun(slug(name), policy, who, reference, resolve(whole))

    search, plain = _ways(run)
    found = []
    for number in range(1, settings.rounds + 1):
        first = _first(run) + (number - 1) * settings.tasks
        span = {"task_split": env.splits[0], "start_index": first, "end_index": first + settings.tasks}
        found.append(part(search_of(number), "", user, {**search, **span, "model": model_of(number - 1)}))
        if number == 1 and not settings.no_sampling:
            found.append(part("sample", "", user, {**plain, **span}))
    held_out = SPLIT if SPLIT in env.splits else env.splits[-1]
    test = {**plain, "task_split": held_out, "start_index": 0, "end_index": settings.test_tasks}
    last = f"round {settings.rounds}"
    tested: list[tuple[str, str, Sequence[str]]] = [(BASE_POLICY, model_of(0), list(users))]
    for number in settings.tested:
        policy = f"round {number}"
        tested.append((policy, model_of(number), list(users) if policy == last else [user]))
    if settings.control:
        tested.append((CONTROL, f"{run['model']}+{adapter_of(folder, CONTROL)}", [user]))
    for policy, model, met in tested:
        found += [part(f"{policy}-{who}", policy, who, {**test, **users[who], "model": model}) for who in met]
    if not settings.no_references:
        offline = {"model": OFFLINE, "temperature": 1.0, "base_url": None, "api_key_var": None}
        test = without_plug_in(test, "agent")
        named = {label: name_of(said(env, "references", agent)) for label, agent in env.references.items()}
        for label, agent in named.items():
            found += [
                part(
                    f"{label}-{who}",
                    label,
                    who,
                    {**test, **own, **offline, "agent": name_of(said(env, "references", agent))},
                    True,
                )
                for who, own in users.items()
                if (own.get("user_model") or run.get("user_model") or OFFLINE) == OFFLINE
            ]
    return found


def _ways(run: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of searches and of plain conversations, each without the other strategy's settings."""
    search = {name: value for name, value in run.items() if name not in _strategys({**run, "strategy": ROLLOUTS})}
    plain = {name: value for name, value in run.items() if name not in (*_strategys(run), *SEARCHES)}
    return search, plain | {"strategy": ROLLOUTS}


def _strategys(run: Mapping[str, Any]) -> list[str]:
    return schema_of(run).of("strategy")


def _users(settings: LoopSettings, run: Mapping[str, Any], env: BaseEnv) -> tuple[str, dict[str, dict[str, Any]]]:
    """Returns the name of the training's user model, and the settings of all user models of the tests, by name."""
    offline = (run.get("user_model") or OFFLINE) == OFFLINE
    user = str((run.get("user") or label_of(env.users.get(OFFLINE)) or "user") if offline else run["user_model"])
    others = [name.strip() for name in settings.other_users.split(",")] if settings.other_users else []
    if not all(others):
        raise UsageError(f"other_users is {settings.other_users!r}; one of the names is empty")
    twice = next((name for place, name in enumerate([user, *others]) if name in [user, *others][:place]), None)
    if twice:
        raise UsageError(f"the user model {twice} is given twice; give each once")
    return user, {user: {}, **{name: {"user" if offline else "user_model": name} for name in others}}


def _held_out(env: BaseEnv, settings: LoopSettings, parts: Sequence[SubRun]) -> dict[str, int]:
    """Returns the numbers of tasks and people in the searches.

    Raises:
        UsageError: a split has too few tasks, or the tests have a task or a person of the searches.
    """
    searches = [part.settings for part in parts if part.folder in map(search_of, range(1, settings.rounds + 1))]
    test = next(part.settings for part in parts if part.policy == BASE_POLICY)
    for run, need, what in (
        (
            searches[-1],
            searches[-1].tasks.end_index,
            f"{counted(settings.rounds, 'round')} of {counted(settings.tasks, 'task')}",
        ),
        (test, test.tasks.end_index, "the test"),
    ):
        there = len(choose_tasks(env, replace(run, tasks=replace(run.tasks, start_index=0, end_index=-1))))
        if there < need:
            raise UsageError(
                f"split {run.tasks.task_split!r} has {counted(there, 'task')}, and {what} need {need}; "
                "give fewer --rounds, --tasks or --test_tasks"
            )
    met = [task for run in searches for task in choose_tasks(env, run)]
    people = frozenset(str(person) for task in met for person in env.people(task))
    try:
        assert_held_out(choose_tasks(env, test), env, TrainingExposure(frozenset(task.id for task in met), people))
    except UsageError as error:
        found = str(error).partition(";")[0]
        raise UsageError(
            f"{found}; give a --split_rule that keeps people apart (user_disjoint), or other data"
        ) from None
    return {"tasks": len(met), "people": len(people)}


def _stages(settings: LoopSettings, parts: Sequence[SubRun]) -> Iterator[Stage]:
    """Yields the stages in the order of a loop that does one at a time: a round is tested before the next begins."""
    made = (MODEL,) if settings.tiny else ()
    main = next(part.user for part in parts)

    def tests(policy: str, *, others: bool = False) -> tuple[str, ...]:
        return tuple(part.folder for part in parts if part.policy == policy and (part.user == main) is not others)

    if settings.tiny:
        yield Stage(MODEL, "model")
    yield Stage(BASE_POLICY, "test", made, tests(BASE_POLICY))
    for number in range(1, settings.rounds + 1):
        before = made if number == 1 else (f"train-{number - 1}",)
        yield Stage(search_of(number), "search", before, (search_of(number),), number)
        yield Stage(f"train-{number}", "train", (search_of(number),), (), number)
        if number in settings.tested:
            yield Stage(f"round-{number}", "test", (f"train-{number}",), tests(f"round {number}"), number)
    references = tuple(part.folder for part in parts if part.reference)
    if references:
        yield Stage("references", "test", (), references)
    if not settings.no_sampling:
        yield Stage("sample", "sample", (search_of(1), BASE_POLICY), ("sample",))
    if settings.control:
        yield Stage(f"train-{CONTROL}", "train", (search_of(1),))
        yield Stage(CONTROL, "test", (f"train-{CONTROL}",), tests(CONTROL))
    if settings.other_users:
        yield Stage(f"{BASE_POLICY}-others", "test", made, tests(BASE_POLICY, others=True))
        last = settings.rounds
        yield Stage(f"round-{last}-others", "test", (f"train-{last}",), tests(f"round {last}", others=True), last)
    if settings.probe:
        yield Stage(PROBE_FOLDER, PROBE_FOLDER, (f"train-{settings.rounds}",), (), settings.rounds)

"""Rollouts for slime (github.com/THUDM/slime): `--custom-generate-function-path josh.runs.train.slime:generate`.

slime hands in one `Sample` at a time, with a task's id or index as its prompt, and gets it back with tokens, mask,
log-probabilities, reward and status. The conversation is played by the code of a search, in any world.

The settings of `josh run` come, field by field, from the sample's metadata, else from the JSON object or TOML file in
the variable `JOSH_SLIME_SETTINGS`, else from the world's own variables (`BaseEnv.defaults`). Where the user has several
models, the sample's index chooses one in training, and the first one answers in evaluations.

Nothing of torch, transformers or slime is imported before a sample comes.
"""

import copy
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from josh.conversation import outcome_metrics
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.models.chat_template import ChatTemplate
from josh.models.hf_loading import PREFIX
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.export.token_formats import SMALL, advantages
from josh.runs.play.runtime import ROW_SETTINGS
from josh.runs.play.seats import ALONE, Seats
from josh.runs.registry import ON_POLICY, OnPolicyName, env_class
from josh.runs.resolve import read_toml
from josh.runs.settings import environment
from josh.runs.train.slime_engine import Post, SlimeEngine
from josh.seeds import derive
from josh.token_rows import TokenRow, token_rows
from josh.tree import walk

SETTINGS = "JOSH_SLIME_SETTINGS"
"""The variable with settings of `josh run`, and `reward`: a JSON object, or the path of a TOML file."""
REWARDS = ("dollars", "centred")
"""The values of the setting `reward`: the reward itself, or less 1, as slime's example trains."""
ADVANTAGE, RAW, TASK = "advantage", "raw_reward", "josh_task"
"""Keys of a sample's metadata."""
_PER_SAMPLE = {"task_split": "task_split", "max_turns": "max_convo_turns", "reward": "reward"}
"""Further keys of a sample's metadata that set something for it, and the settings."""
Generate = Callable[..., Awaitable[Any]]


class Rollouts:
    """Plays slime's samples; it keeps the worlds that their settings describe.

    Attributes:
        post: sends requests to the engine; None for slime's own.
        template: writes the prompts; None to load the tokenizer of `args.hf_checkpoint`.
    """

    def __init__(self, name: OnPolicyName, post: Post | None = None, template: ChatTemplate | None = None) -> None:
        """Args: name: the world and its own variables; post, template: see the class."""
        self.post = post
        self.template = template
        self._name = name
        self._seats: dict[str, Seats] = {}

    async def generate(
        self, args: Any, sample: Any, sampling_params: Mapping[str, Any], evaluation: bool = False
    ) -> Any:
        """Play one sample; see slime's `custom_generate`.

        Returns:
            The sample; or a list, with one `rollout_id`, where the chat template rewrites earlier turns (one sample a
            turn) and for a tree (one sample for each of its turns).

        Raises:
            UsageError: a setting is wrong; slime's partial rollout is on.
        """
        if getattr(args, "partial_rollout", False):
            raise UsageError(
                "partial_rollout is set, but half a conversation cannot be continued: the user's state is not in its "
                "tokens; leave it out"
            )
        _reset(sample)
        settings = self._settings(sample)
        shape = settings.pop("reward", REWARDS[0])
        if shape not in REWARDS:
            raise UsageError(f"reward is {shape!r}; give {' or '.join(REWARDS)}")
        seats = self._seats_of(settings)
        task = seats.task(str(sample.metadata.get(TASK) or sample.prompt))
        index = int(sample.index or 0)
        template = self._template(args)
        engine = SlimeEngine(
            f"{PREFIX}slime",
            f"http://{getattr(args, 'sglang_router_ip', '')}:{getattr(args, 'sglang_router_port', '')}/generate",
            template,
            sampling_params,
            self.post or _slime_post(),
            context=getattr(args, "rollout_max_context_len", None),
            headers={"X-SMG-Routing-Key": sample.session_id} if getattr(sample, "session_id", None) else None,
        )
        first = int(getattr(args, "rollout_seed", 0) or 0)
        models = seats.runtime.user_models(task)
        user = 0 if evaluation else index % len(models)
        searches = not evaluation and bool({"strategy", "josh"} & settings.keys())
        group = sample.group_index if not searches else None
        episode = await seats.play(
            task,
            engine,
            derive(first, "sample", str(index)),
            strategy=seats.runtime.strategy if searches else ALONE,
            user=user,
            # In a group the user has the same luck, so that only the agent's words differ.
            user_seed=None if group is None else derive(first, "group", str(group)),
        )
        facts = _facts(episode, seats, task, models[user].name)
        if engine.aborted or not episode.reported:
            why = "the engine gave it up" if engine.aborted else episode.error
            return _aborted(sample, facts | {"error": why}, template)
        filled = _Filler(args, sample, template, engine, facts, shape)
        return filled.tree(episode) if searches else filled.path(episode)

    async def aclose(self) -> None:
        """Close the connections of the users' models."""
        for seats in self._seats.values():
            await seats.aclose()
        self._seats.clear()

    def _template(self, args: Any) -> ChatTemplate:
        if self.template is None:
            from transformers import AutoTokenizer

            checkpoint = args.hf_checkpoint
            try:
                self.template = ChatTemplate(AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=True))
            except UsageError as error:
                raise UsageError(f"hf_checkpoint {checkpoint!r} {error}") from None
        return self.template

    def _settings(self, sample: Any) -> dict[str, Any]:
        """Returns the settings of a sample: its metadata's, else those of the variables."""
        variables = environment()
        given = {"env": self._name.env, **_given(variables.get(SETTINGS))}
        given |= {flag: variables[name] for name, flag in self._name.variables.items() if variables.get(name)}
        own = dict(sample.metadata or {})
        for name, kind in {**env_class(given["env"]).row_settings, **ROW_SETTINGS}.items():
            if own.get(name):
                given["user_model" if kind == "model" else f"user_{kind}"] = own[name]
        return given | {flag: own[name] for name, flag in _PER_SAMPLE.items() if own.get(name) is not None}

    def _seats_of(self, settings: Mapping[str, Any]) -> Seats:
        key = json.dumps(settings, sort_keys=True, default=str)
        if key not in self._seats:
            self._seats[key] = Seats({"temperature": 1.0, "model": f"{PREFIX}slime", **settings})
        return self._seats[key]


class _Filler:
    """Fills samples with the tokens of an episode."""

    def __init__(
        self,
        args: Any,
        sample: Any,
        template: ChatTemplate,
        engine: SlimeEngine,
        facts: Mapping[str, Any],
        shape: str,
    ) -> None:
        self._args, self._sample, self._template, self._engine = args, sample, template, engine
        self._facts = facts
        self._less = 1.0 if shape == "centred" else 0.0

    def path(self, episode: Episode) -> Any:
        """Returns the sample with the tokens of the one conversation; a list where it has several rows."""
        (leaf,) = episode.reported
        rows = token_rows(episode.tree, leaf)
        if not rows:
            return _aborted(self._sample, {**self._facts, "error": "the model sampled nothing"}, self._template)
        return self._all(rows, [episode.worth[leaf]] * len(rows), [None] * len(rows), alone=len(rows) == 1)

    def tree(self, episode: Episode) -> Any:
        """Returns a sample for each turn of the agent: the path before it as the prompt, the turn as the response.

        A sample's reward is the mean reward of the paths below its turn, and its advantage stands in the metadata.
        """
        found = advantages(episode, Speaker.AGENT)
        below: dict[int, list[float]] = {}
        for leaf, worth in episode.worth.items():
            for node in walk(episode.tree, leaf):
                below.setdefault(node, []).append(worth)
        rows = {node: rows for node in found if (rows := _turn_rows(episode, node))}
        if not rows:
            return _aborted(self._sample, {**self._facts, "error": "the model sampled nothing"}, self._template)
        flat = [(row, fmean(below[node]), found[node]) for node, several in rows.items() for row in several]
        return self._all([row for row, _, _ in flat], [worth for _, worth, _ in flat], [one for _, _, one in flat])

    def _all(
        self, rows: Sequence[TokenRow], rewards: Sequence[float], shares: Sequence[float | None], alone: bool = False
    ) -> Any:
        blank = copy.deepcopy(self._sample)
        made = [self._sample, *(copy.deepcopy(blank) for _ in rows[1:])]
        for sample, row, reward, share in zip(made, rows, rewards, shares, strict=True):
            self._fill(sample, row, reward, share)
            if not alone and sample.rollout_id is None:
                sample.rollout_id = sample.index
        return made[0] if alone else made

    def _fill(self, sample: Any, row: TokenRow, reward: float, share: float | None) -> None:
        sample.metadata = {**sample.metadata, **self._facts, **({} if share is None else {ADVANTAGE: share})}
        sample.prompt = self._template.tokenizer.decode(list(row.prompt_ids))
        sample.tokens = list(row.prompt_ids)
        ends = [*row.starts[1:], len(row.token_ids)]
        before = 0
        for start, end in zip(row.starts, ends, strict=True):
            if start > before:
                self._append(sample, row, before, start)
            stop = start + sum(row.mask[start:end])
            self._append(sample, row, start, stop)
            before = stop
        status = type(sample.status)
        sample.reward = reward - self._less
        sample.status = status.COMPLETED if self._facts["completed"] else status.TRUNCATED

    def _append(self, sample: Any, row: TokenRow, start: int, end: int) -> None:
        tokens = row.token_ids[start:end]
        trained = bool(row.mask[start])
        prompt = (*row.prompt_ids, *row.token_ids[:start])
        sample.append_response_tokens(
            self._args,
            tokens=list(tokens),
            log_probs=list((row.logprobs or ())[start:end]) if trained else None,
            trainable=trained,
            meta_info=dict(self._engine.meta.get((prompt, tokens), {})) or None if trained else None,
            text=self._template.tokenizer.decode(list(tokens)),
        )


def _turn_rows(episode: Episode, node: int) -> list[TokenRow]:
    """Returns the rows of one turn: everything before it is the prompt."""
    found = []
    for row in token_rows(episode.tree, node):
        ends = [*row.starts[1:], len(row.token_ids)]
        for at, start, end in zip(row.nodes, row.starts, ends, strict=True):
            if at == node:
                stop = start + sum(row.mask[start:end])
                cut = slice(start, stop)
                logprobs = None if row.logprobs is None else row.logprobs[cut]
                prompt = (*row.prompt_ids, *row.token_ids[:start])
                found.append(
                    TokenRow(prompt, row.token_ids[cut], row.mask[cut], logprobs, None, (at,), (0,), row.finish_reason)
                )
    return found


def _given(text: str | None) -> dict[str, Any]:
    """Returns the settings in the variable `SETTINGS`. Raises UsageError where it holds none."""
    if not text:
        return {}
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise UsageError(f"{SETTINGS} is not JSON: {error}") from None
    return dict(read_toml(Path(text)))


def _slime_post() -> Post:
    from slime.utils.http_utils import post

    found: Post = post
    return found


def _reset(sample: Any) -> None:
    """Empty a sample that comes again after slime aborted it."""
    sample.tokens, sample.response, sample.response_length = [], "", 0
    sample.loss_mask = sample.rollout_log_probs = None
    for name in ("rollout_top_p_token_ids", "rollout_top_p_token_offsets"):
        if getattr(sample, name, None) is not None:
            setattr(sample, name, None)
    sample.reward, sample.remove_sample = None, False
    sample.metadata = dict(sample.metadata or {})
    if TASK not in sample.metadata:
        sample.metadata[TASK] = str(sample.prompt)


def _facts(episode: Episode, seats: Seats, task: Task, model: str) -> dict[str, Any]:
    """Returns what a sample's metadata say of its conversation."""
    outcome = outcome_metrics(episode)
    user = seats.runtime.env.speakers.get("user", "user")
    return {
        **episode.metrics,
        RAW: episode.reward,
        "num_turns": outcome["num_turns"],
        "completed": bool(outcome["completed"]),
        "truncated": bool(outcome["truncated"]),
        f"{user}_model": model,
        "conversation_id": str(task.data.get("conversation_id", task.id)),
    }


def _aborted(sample: Any, facts: Mapping[str, Any], template: ChatTemplate) -> Any:
    """Returns a sample of which nothing is learned: one masked token."""
    pad = template.tokenizer.pad_token_id or 0
    sample.tokens, sample.response, sample.response_length = [pad, pad], "", 1
    sample.loss_mask, sample.rollout_log_probs = [0], [0.0]
    sample.metadata = {**sample.metadata, **facts, "completed": False, "truncated": False}
    sample.reward, sample.remove_sample = 0.0, True
    sample.status = type(sample.status).ABORTED
    return sample


def post_process_rewards(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """Returns raw and normalised rewards; see slime's `--custom-reward-post-process-path`.

    A sample with an advantage in its metadata (a turn of a tree) has that. The others are compared within their group
    (`group_index`), in which each rollout counts once, however many samples it gave.
    """
    flat = [one for sample in samples for one in (sample if isinstance(sample, list) else [sample])]
    raw = [float(sample.metadata.get(RAW, sample.reward)) for sample in flat]
    groups: dict[Any, dict[Any, float]] = {}
    for place, sample in enumerate(flat):
        rollout = place if sample.rollout_id is None else ("rollout", sample.rollout_id)
        groups.setdefault(sample.group_index, {})[rollout] = float(sample.reward)
    spread = {
        group: (fmean(found.values()), stdev(found.values()) if len(found) > 1 else 0.0)
        for group, found in groups.items()
    }

    def normal(sample: Any) -> float:
        if ADVANTAGE in sample.metadata:
            return float(sample.metadata[ADVANTAGE])
        mean, deviation = spread[sample.group_index]
        return (float(sample.reward) - mean) / (deviation + SMALL)

    return raw, [normal(sample) for sample in flat]


def _named(name: OnPolicyName) -> Generate:
    rollouts = Rollouts(name)

    async def generate(args: Any, sample: Any, sampling_params: Mapping[str, Any], evaluation: bool = False) -> Any:
        """Play one sample; see `Rollouts.generate`."""
        return await rollouts.generate(args, sample, sampling_params, evaluation)

    return generate


def __getattr__(name: str) -> Any:
    """Make a rollout function when it is first used: `generate`, or one with the name of a published system's."""
    if name not in ON_POLICY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = _named(ON_POLICY[name])
    return found

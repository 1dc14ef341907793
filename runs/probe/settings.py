"""The settings of `josh probe`: two models, a judge, and what they are asked. Those of `josh run` keep their flags."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from josh.config import Schema, build, part, setting, settings_in
from josh.errors import UsageError
from josh.models.budget import Spending
from josh.models.chat import ModelSettings
from josh.models.chat_template import template_text
from josh.models.gateway import Traffic
from josh.models.hf_loading import PREFIX as HF
from josh.models.hf_loading import LocalModel, base_and_adapter, is_local
from josh.runs.model_names import require_meant
from josh.runs.registry import OFFLINE
from josh.runs.resolve import explicit
from josh.runs.settings import Output, RunSettings, environment

MODEL, BASELINE, JUDGE = "model", "baseline", "judge"
"""The sides of a probe: the model to check, the model before its tuning, and who compares their answers."""
SIDES: Final = (BASELINE, MODEL)
SINGLE, PAIRWISE, BOTH = "single", "pairwise", "both"
FLAGS: Final[Mapping[str, str]] = {MODEL: "", BASELINE: "baseline_", JUDGE: "judge_"}
"""The beginning of the flags of each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """The settings of a probe, resolved."""

    model: ModelSettings = part(
        ModelSettings,
        who="its",
        model={"default": None, "help": "chat model to check, such as hf:BASE+ADAPTER"},
    )
    baseline: ModelSettings = part(
        ModelSettings,
        prefix="baseline_",
        who="the baseline's",
        model={
            "default": None,
            "flag": "baseline",
            "aliases": ("baseline_model",),
            "help": "chat model before the tuning; settings that are not given are those of the model (default: the "
            "base of hf:BASE+ADAPTER)",
        },
    )
    judge: ModelSettings = part(
        ModelSettings,
        prefix="judge_",
        who="the judge's",
        model={
            "default": None,
            "flag": "judge",
            "aliases": ("judge_model",),
            "help": "chat model that compares the answers to --questions (default: none)",
        },
        temperature={"default": 0.0},
    )
    questions: Path | None = setting(
        None, "file of questions in MT-Bench's form (question_id, category, turns), for a judge"
    )
    references: Path | None = setting(
        None, "file of right answers in the form of MT-Bench's reference_answer, which the judge sees"
    )
    mode: str = setting(
        BOTH,
        "the judge gives each answer a `single` score, compares the two answers `pairwise`, or `both`",
        choices=(SINGLE, PAIRWISE, BOTH),
    )
    margin: float = setting(
        0.05,
        "largest loss, as a share, that still counts as no worse",
        above=0,
        below=1,
        way="a share above 0 and below 1",
        resumable=True,
    )
    seed: int = setting(10, "random seed of the probe; every random choice depends on it")
    traffic: Traffic = part(Traffic)
    spending: Spending = part(Spending)
    local: LocalModel = part(LocalModel)
    output: Output = part(Output)

    def side(self, name: str) -> ModelSettings:
        """Returns the settings of one side."""
        found: ModelSettings = getattr(self, name)
        return found


_UNUSED: Final = ("temperature", "baseline_temperature", "single_replies", "keep_samples", "report_to")
"""Settings that a probe sets itself or does not have."""


class ProbeSchema(Schema):
    """The settings of a probe by flag."""

    def refusal(self, name: str) -> str:
        """Returns the error message for an unknown name; of a run's setting, it says why a probe does not have it."""
        flag = name.replace("-", "_")
        if flag.endswith("temperature") and flag in _UNUSED:
            return (
                f"{flag} is given, but a probe sets it itself: 0 for items, 1 for the drift, and that of MT-Bench for "
                "questions; leave it out"
            )
        if flag in _UNUSED:
            return f"{flag} is given, but a probe has no use for it; leave it out"
        return super().refusal(name)


PROBE: Final = ProbeSchema(one for one in settings_in(ProbeSettings) if one.flag not in _UNUSED)
TITLES: Final[Mapping[str, str]] = {
    MODEL: "model",
    BASELINE: "baseline",
    JUDGE: "judge",
    "questions": "questions and verdict",
    "traffic": "traffic",
    "spending": "spending",
    "local": "models on this machine",
    "output": "output",
}
"""The title in the help of each part; settings of no part belong to `questions`."""


def resolve_probe(given: Mapping[str, Any]) -> ProbeSettings:
    """Returns complete settings: the given values, those that follow from them, and the defaults.

    Args:
        given: values by flag.

    Raises:
        UsageError: a value is missing or wrong, alone or with another one.
    """
    given = PROBE.read(given)
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    if not given.get("model"):
        raise UsageError("no model is given; give --model, such as hf:BASE+ADAPTER")
    _check_judge(given)
    values = {**given, **_baseline(given)}
    names = {side: values.get(PROBE_MODEL[side]) for side in FLAGS}
    for side, name in names.items():
        if name is not None:
            values |= _model(side, name, values)
    if not any(name and is_local(name) for name in names.values()):
        flag = next((flag for flag, one in PROBE.items() if one.path[0] == "local" and flag in given), None)
        if flag:
            raise UsageError(f"{flag} is given, but no model is local (hf:...); leave it out")
    for name in ("questions", "references"):
        if values.get(name):
            values[name] = os.path.realpath(values[name])
    return settings_from(values)


PROBE_MODEL: Final[Mapping[str, str]] = {MODEL: "model", BASELINE: "baseline", JUDGE: "judge"}
"""The flag of each side's model."""


def settings_from(values: Mapping[str, Any]) -> ProbeSettings:
    """Returns the settings of values by flag; the others have their defaults."""
    made: ProbeSettings = build(ProbeSettings, {PROBE[flag].path: value for flag, value in values.items()})
    return made


def settings_to_json(settings: ProbeSettings) -> dict[str, Any]:
    """Returns settings by flag as JSON values, without those that have no value."""
    found = PROBE.flat(settings)
    return {
        flag: list(value) if isinstance(value, tuple) else value for flag, value in found.items() if value is not None
    }


def resumed(before: ProbeSettings, given: Mapping[str, Any], folder: Path) -> ProbeSettings:
    """Returns the settings of a probe that is resumed: the recorded ones, with new values of resumable settings.

    Raises:
        UsageError: a setting that changes what is asked has another value than before.
    """
    old, new = PROBE.flat(before), PROBE.read(given)
    for flag, value in new.items():
        if flag == "log_dir":
            raise UsageError("log_dir is given; a probe is resumed where it is, leave it out")
        same = value == old[flag] or (PROBE[flag].kind is Path and os.path.realpath(value) == old[flag])
        if not PROBE[flag].rule.resumable and not same:
            raise UsageError(
                f"{flag} is {value!r}, and {old[flag]!r} in {folder}; it changes what is asked: leave it out, or start "
                "a new probe"
            )
    return settings_from({**old, **{flag: value for flag, value in new.items() if PROBE[flag].rule.resumable}})


def _check_judge(given: Mapping[str, Any]) -> None:
    """Raises UsageError where a judge lacks questions, or what only a judge reads is given without one."""
    judge, questions = given.get("judge"), given.get("questions")
    if judge and not questions:
        raise UsageError("judge is given, but no questions are; give --questions FILE in MT-Bench's form")
    if judge:
        return
    if questions:
        raise UsageError("questions is given, but no judge is; give --judge MODEL, or leave it out")
    flag = next((one for one in given if one in ("references", "mode") or one.startswith(FLAGS[JUDGE])), None)
    if flag:
        raise UsageError(f"{flag} is given, but no judge is; give --judge MODEL and --questions FILE, or leave it out")


def _baseline(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the baseline's settings by flag: those of the model where none are given. Raises UsageError."""
    model = str(given["model"])
    baseline = given.get("baseline")
    if not baseline:
        base, adapter = base_and_adapter(model) if is_local(model) else ("", None)
        if adapter is None:
            raise UsageError("no baseline is given; give --baseline, the model before its tuning")
        baseline = f"{HF}{base}"
    found = {"baseline": baseline}
    for flag, one in PROBE.items():
        own = _flag_of(BASELINE, one.path[1:])
        of_server = one.path[-1] in ("base_url", "api_key_var")
        if one.path[0] == MODEL and flag in given and own and own not in given and own != "baseline":
            found |= {} if of_server and is_local(str(baseline)) else {own: given[flag]}
    return found


def _flag_of(side: str, path: tuple[str, ...]) -> str:
    return next((flag for flag, one in PROBE.items() if one.path == (side, *path)), "")


def _model(side: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a side's model with its whole address and the text of its chat template. Raises UsageError."""
    flag, prefix = PROBE_MODEL[side], FLAGS[side]
    if name == OFFLINE:
        raise UsageError(f"{flag} is 'offline', which cannot reply; give a chat model, such as hf:FOLDER")
    if "," in name and not is_local(name):
        raise UsageError(f"{flag} is {name!r}; give one model")
    base_url = values.get(f"{prefix}base_url")
    if not (base_url or environment().get("OPENAI_BASE_URL")):
        require_meant(name, flag)
    found: dict[str, Any] = {}
    found[flag], found[f"{prefix}base_url"] = explicit(name, base_url, environment())
    template = f"{prefix}chat_template"
    if values.get(template):
        found[template] = template_text(values[template])
    return found


def settings_of_runs(model: RunSettings, baseline: RunSettings | None) -> ProbeSettings:
    """Returns the settings of a probe of the models that play two runs, without a judge.

    Args:
        model: the settings of the run of the model to check.
        baseline: those of the run of its baseline; None for the base of `hf:BASE+ADAPTER`.

    Raises:
        UsageError: there is no model before the tuning.
    """
    sides = {MODEL: _without_plug_in(model), BASELINE: None if baseline is None else _without_plug_in(baseline)}
    tuned = sides[MODEL]
    if tuned is None or tuned.model == OFFLINE:
        raise UsageError("probe is given, but model is 'offline', which cannot reply; give --model, or leave it out")
    before = sides[BASELINE]
    if before is None or before.model == OFFLINE:
        base, adapter = base_and_adapter(tuned.model) if is_local(tuned.model) else ("", None)
        if adapter is None:
            raise UsageError("probe is given, but no baseline is; give --baseline, the model before its tuning")
        before = replace(tuned, model=f"{HF}{base}")
    return ProbeSettings(
        model=tuned,
        baseline=before,
        seed=model.seed,
        traffic=model.traffic,
        spending=model.spending,
        local=model.local,
        output=model.output,
    )


def _without_plug_in(settings: RunSettings) -> ModelSettings:
    agent = settings.agent
    return ModelSettings(
        model=agent.model, base_url=agent.base_url, api_key_var=agent.api_key_var, sampling=agent.sampling
    )

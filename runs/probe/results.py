"""The result of a probe: its numbers, and the files that people read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.messages import dumps
from josh.models.hf_loading import is_local
from josh.models.litellm_chat import PREFIX
from josh.runs.probe.answers import Answers, passed
from josh.runs.probe.asking import Asker
from josh.runs.probe.figures import (
    Figures,
    drift_figures,
    item_figures,
    pairwise_figures,
    single_figures,
    whole_answer,
)
from josh.runs.probe.items import ITEMS
from josh.runs.probe.judging import Pair
from josh.runs.probe.questions import Question
from josh.runs.probe.settings import BASELINE, MODEL, PAIRWISE, SIDES, SINGLE, ProbeSettings
from josh.runs.train.monitor import distinct

ANSWERS, JUDGMENTS = "answers.jsonl", "judgments.jsonl"


def no_drift(settings: ProbeSettings) -> str:
    """Returns why the drift of two models cannot be measured; empty where it can."""
    side = next((side for side in SIDES if not is_local(str(settings.side(side).model))), None)
    if side is None:
        return ""
    name = str(settings.side(side).model).removeprefix(PREFIX)
    return f"the server of {name} gives no log-probabilities of a given text; it needs hf: models"


def result_of(
    settings: ProbeSettings,
    questions: Sequence[Question],
    asker: Asker,
    found: Mapping[str, Answers],
    pairs: Sequence[Pair],
) -> Figures:
    """Returns the content of `probe.json`; see README.md for its keys."""
    said = [one for side in found.values() for one in side.all]
    judge = [one.said for pair in pairs for one in pair.verdicts]
    failed = [one.error for one in (*said, *judge) if one.error and not one.too_long]
    figures: Figures = {
        "model": settings.model.model,
        "baseline": settings.baseline.model,
        "judge": settings.judge.model,
        "margin": settings.margin,
        "seed": settings.seed,
        "questions": len(questions),
        "complete": not failed and not asker.stopped,
        "truncated": asker.stopped or None,
        "failed": 0 if asker.stopped else len(failed),
        "first_error": failed[0] if failed else "",
        "too_long": sum(one.too_long for one in (*said, *judge)),
        "cut_off": {side: sum(one.cut for one in answered.graded) for side, answered in found.items()},
        **asker.bill(),
    }
    if asker.stopped:
        return figures
    baseline, model = found[BASELINE], found[MODEL]
    kinds = [one.kind for one in ITEMS]
    measures = {"items": item_figures(kinds, passed(baseline), passed(model), settings.margin)}
    if questions and settings.mode != SINGLE:
        measures[PAIRWISE] = pairwise_figures(pairs, settings.margin)
    if questions and settings.mode != PAIRWISE:
        measures[SINGLE] = single_figures(pairs, settings.margin)
    return {
        **figures,
        **measures,
        "drift": _drift(settings, found),
        "no_worse": whole_answer({name: one["no_worse"] for name, one in measures.items()}),
    }


def _drift(settings: ProbeSettings, found: Mapping[str, Answers]) -> Figures:
    if why := no_drift(settings):
        return {"not_measured": why}
    samples = {
        side: [one.reply.token_ids for one in answered.open if one.reply and one.reply.token_ids]
        for side, answered in found.items()
    }
    figures = drift_figures(found[BASELINE].weighed, found[MODEL].weighed, samples, distinct)
    if not figures["replies"]:
        return {"not_measured": "the two models write the same prompt in different tokens"}
    return figures


def write_lines(folder: Path, questions: Sequence[Question], found: Mapping[str, Answers], pairs: list[Pair]) -> None:
    """Write every answer and every reply of the judge, to read."""
    rows: list[dict[str, Any]] = []
    for side, answered in found.items():
        for item, said, right in zip(ITEMS, answered.items, passed(answered), strict=True):
            own: dict[str, Any] = {
                "item": item.id,
                "side": side,
                "prompt": item.prompt,
                "answer": said.text,
                "right": right,
            }
            rows.append(own | ({"error": said.error} if said.error else {}))
        for question, turns in zip(questions, answered.turns, strict=True):
            for number, said in enumerate(turns, start=1):
                own = {"question": question.id, "side": side, "turn": number, "prompt": question.turns[number - 1]}
                rows.append(own | {"answer": said.text} | ({"error": said.error} if said.error else {}))
    _write_rows(folder / ANSWERS, rows)
    if pairs:
        verdicts = [
            {"question": pair.question, "category": pair.category, "turn": pair.turn, "mode": one.mode}
            | {"first": one.first, "verdict": one.said.text, "outcome": pair.outcome, "scores": pair.scores}
            | ({"error": one.said.error} if one.said.error else {})
            for pair in pairs
            for one in pair.verdicts
        ]
        _write_rows(folder / JUDGMENTS, verdicts)


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        path.write_text("".join(f"{dumps(row)}\n" for row in rows), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None

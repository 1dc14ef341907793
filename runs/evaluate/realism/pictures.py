"""Pictures of `josh realism` with matplotlib: numbers in, files out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError

COLOURS: Final = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
FILES: Final = ("apart.png", "course.png", "acts.png", "personas.png")
_ACTS: Final = 18
"""Most acts of a picture."""


def draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the pictures for which there are numbers, and return their files.

    Args:
        result: what `josh realism --json` prints.
        folder: an existing folder for the files.

    Raises:
        UsageError: a file cannot be written.
    """
    from matplotlib.figure import Figure

    made = []
    for name, plot in zip(FILES, (_apart, _course, _acts, _personas), strict=True):
        figure = Figure(figsize=(8, 5), layout="constrained")
        if plot(figure.subplots(), result):
            path = folder / name
            try:
                figure.savefig(path, dpi=120, metadata={"Software": "josh"})
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}") from None
            made.append(path)
    return made


def _apart(axes: Any, result: Mapping[str, Any]) -> bool:
    kinds = list(result["runs"][0]["auc"])
    width = 0.8 / len(result["runs"])
    for number, run in enumerate(result["runs"]):
        places = [place + number * width for place in range(len(kinds))]
        values = [run["auc"][kind]["value"] for kind in kinds]
        spans = [[run["auc"][kind][side] for kind in kinds] for side in ("low", "high")]
        gaps = [
            [max(0.0, sign * (end - value)) for end, value in zip(side, values, strict=True)]
            for sign, side in zip((-1, 1), spans, strict=True)
        ]
        axes.bar(places, values, width, yerr=gaps, capsize=3, label=run["name"], color=COLOURS[1 + number % 6])
    axes.axhline(0.5, color="#000000", linestyle="--", linewidth=1)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(kinds))], kinds)
    axes.set_ylim(0.4, 1.0)
    axes.set_ylabel("AUC of people against simulated users (.5: alike)")
    axes.legend()
    return True


def _course(axes: Any, result: Mapping[str, Any]) -> bool:
    lines = _both(result, "hazard")
    if not lines:
        return False
    for number, (name, values) in enumerate(lines):
        shown = [(place + 1, one["value"]) for place, one in enumerate(values) if one["value"] is not None]
        axes.plot(*zip(*shown, strict=True), marker="o", label=name, color=COLOURS[number % 7])
    axes.set_xlabel("round")
    axes.set_ylabel("share who agree, of those who had not before")
    axes.set_ylim(bottom=0)
    axes.legend()
    return True


def _acts(axes: Any, result: Mapping[str, Any]) -> bool:
    columns = _both(result, "acts")
    names = list(result["people"]["acts"])[:_ACTS]
    if not names:
        return False
    height = 0.8 / len(columns)
    for number, (name, shares) in enumerate(columns):
        places = [place + number * height for place in range(len(names))]
        axes.barh(places, [shares.get(act, 0.0) for act in names], height, label=name, color=COLOURS[number % 7])
    axes.set_yticks([place + 0.4 for place in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel("share of the user's turns")
    axes.legend()
    return True


def _personas(axes: Any, result: Mapping[str, Any]) -> bool:
    runs = [run for run in result["runs"] if run["calibration"]]
    if not runs:
        return False
    places = range(1, len(runs[0]["calibration"]["people"]) + 1)
    axes.plot(places, runs[0]["calibration"]["people"], marker="o", label="people", color=COLOURS[0])
    for number, run in enumerate(runs):
        axes.plot(places, run["calibration"]["simulated"], marker="s", label=run["name"], color=COLOURS[1 + number % 6])
    axes.set_xlabel("decile of personas, least likely to be won first")
    axes.set_ylabel("share won")
    axes.set_ylim(0, 1)
    axes.legend()
    return True


def _both(result: Mapping[str, Any], key: str) -> Sequence[tuple[str, Any]]:
    if not result["people"][key]:
        return []
    return [("people", result["people"][key]), *((run["name"], run[key]) for run in result["runs"])]

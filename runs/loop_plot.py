"""The plot of a loop: what a conversation earns, round by round, beside the reference policies."""

from pathlib import Path

from josh.runs.scores import Figures


def draw(figures: Figures, path: Path) -> None:
    """Draw `loop.json` as a PNG.

    Two panels share the rounds, 0 being the base: the mean reward and the success rate, with 95 % intervals; reference
    policies are lines across, other user models have the base and the last round alone.

    Args:
        figures: what `figures_of` gives.
        path: the file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [figures["base"], *figures["rounds"]]
    numbers = list(range(len(rows)))
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (kind, unit) in enumerate((("mean", figures["unit"]), ("rate", ""))):
        name = figures["names"][kind]
        axes = figure.add_subplot(1, 2, place + 1)
        values = [row[name] for row in rows]
        spans = [[row[name] - row[f"{name}_ci"][0], row[f"{name}_ci"][1] - row[name]] for row in rows]
        axes.errorbar(numbers, values, yerr=list(zip(*spans, strict=True)), marker="o", capsize=3, label="tuned")
        for user, cells in figures["other_users"].items():
            ends = [cells["base"][name], cells[f"round {len(rows) - 1}"][name]]
            axes.plot([0, numbers[-1]], ends, marker="s", linestyle="--", linewidth=1, label=f"user {user}")
        if figures["control"]:
            axes.plot([1], [figures["control"][name]], marker="x", linestyle="", label="control: losing paths")
        for shade, (label, cell) in enumerate(figures["references"].items()):
            style = (":", "-.", (0, (5, 5)), (0, (1, 4)))[shade % 4]
            axes.axhline(cell[name], color="grey", linestyle=style, linewidth=1, label=label)
        axes.set_xticks(numbers, ["base", *map(str, numbers[1:])])
        axes.set_xlabel("round")
        axes.set_title(f"{name.replace('_', ' ')}{f' ({unit})' if unit else ''}")
        axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.savefig(path, dpi=140)

"""`josh pbt`: the commands of Persuasion-Balanced Training (Stengel-Eskin et al., NAACL 2025, arXiv:2410.14596)."""

from typing import Final

from josh.runs.systems.families import family

PBT: Final = family(
    "pbt",
    "trees of debates, preferences and evaluations of Persuasion-Balanced Training",
    {
        "generate": "grow the trees of debates in which both speakers branch, in shards if wanted",
        "prefs": "make training rows of the trees: accept, resist or balanced",
        "eval": "measure a model: flipflop, ays, team, misinformation or features",
        "loop": "make a tiny model, train it on accept, resist and balanced rows, and compare them, with several seeds",
    },
)

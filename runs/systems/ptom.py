"""`josh ptom`: the commands of planning theory of mind, a persuader of people whose preferences it has to infer."""

from typing import Final

from josh.runs.systems.families import family

PTOM: Final = family(
    "ptom",
    "planning theory of mind: training rows of games, and evaluations on scenarios",
    {
        "generate": "play scenarios, and write them as games",
        "prepare": "write training rows of games, one for each turn of the persuader, split by scenario",
        "import": "make a run of games: josh import --env ptom --format ptom",
        "human": "try the simulated human on a scenario",
        "evaluate": "measure a model and its base on scenarios: josh evaluate with the published flags",
        "compare": "compare several models on the same scenarios",
    },
)

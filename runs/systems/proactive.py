"""`josh proactive`: the commands of ProactiveLLM, an agent that decides at each turn whether to ask or to deliver."""

from typing import Final

from josh.runs.systems.families import family

PROACTIVE: Final = family(
    "proactive",
    "states, trajectories and rewards of ProactiveLLM: ask the user, or deliver",
    {
        "states": "write a file of states: made-up ones, or MBPP's",
        "generate": "play states along a main line with branches, and write trajectories",
        "rewards": "compute the rewards of trajectories without a call, and write preferences between actions",
        "eval": "measure a policy and the baselines on held-out states",
        "pareto": "draw cost against success over a sweep of weights, from stored rows and runs",
        "loop": "make a tiny model, train it on preferences between actions, and measure it, with several seeds",
    },
)

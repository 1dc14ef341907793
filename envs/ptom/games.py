"""Games: recorded conversations of a persuader with a person, in which one model wrote both sides.

A file has one game on each line: the keys of its scenario (`scenarios.py`), and
    game_id: the id of the game; by default the file's name and the row's number.
    success: whether the persuader won; strategy_type: how it was to play.
    trajectory: a list of {turn, belief_state: {target_desires, confidence_level, information_entropy}, reasoning,
        counterfactual_analysis: {NAME: {p_success, reasoning}}, action_type: ASK, DISCLOSE or ACT, action, response}.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.envs.ptom.scenarios import Scenario, scenario_from
from josh.envs.ptom.sections import ACTIONS, Belief, Chance, Planned
from josh.errors import UsageError
from josh.texts import json_rows


@dataclass(frozen=True, slots=True)
class GameTurn:
    """A turn of a game.

    Attributes:
        number: its number, from 1.
        planned: what the persuader thinks and says.
        response: the person's words; empty where the game ends without them.
    """

    number: int
    planned: Planned
    response: str


@dataclass(frozen=True, slots=True)
class Game:
    """A game.

    Attributes:
        id: its id.
        scenario: its scenario; several games may have the same one.
        turns: its turns; at least one.
        success: whether the persuader won; None where the file does not say it.
        strategy: how it was to play; may be empty.
        grouped: the ids of the game and of its scenario, each once; a split keeps games that share one together.
    """

    id: str
    scenario: Scenario
    turns: tuple[GameTurn, ...]
    success: bool | None
    strategy: str

    @property
    def grouped(self) -> tuple[str, ...]:
        """The ids by which training and held-out games are told apart: the scenario's, and the game's."""
        return tuple(dict.fromkeys((self.scenario.id, self.id)))


def games_in(path: Path) -> Iterator[tuple[str, Game]]:
    """Yields the place and the game of each row of a file.

    Raises:
        UsageError: the file cannot be read, or a row is wrong; the error names the line.
    """
    seen: dict[str, str] = {}
    for number, (place, row) in enumerate(json_rows(path)):
        game = game_from(row, place, f"{path.name.partition('.')[0]}-{number}")
        if game.id in seen:
            raise UsageError(f"{place}: the game {game.id!r} occurs twice, first at {seen[game.id]}; change one")
        seen[game.id] = place
        yield place, game


def game_from(row: Any, where: str, name: str = "game") -> Game:
    """Returns the game of a row.

    Args:
        row: the row; see the head of this file.
        where: its place, for error messages.
        name: the id of a row without one.

    Raises:
        UsageError: a key is missing or has a wrong value.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{where} is {row!r:.60}; give a JSON object with available_facts and a trajectory")
    game_id = name if row.get("game_id") is None else row["game_id"]
    if isinstance(game_id, bool) or not isinstance(game_id, str | int) or not str(game_id).strip():
        raise UsageError(f"{where}: game_id is {game_id!r:.60}; give a text")
    turns = row.get("trajectory")
    if not isinstance(turns, list) or not turns:
        raise UsageError(f"{where}: trajectory is {turns!r:.60}; give a list of turns with an action")
    success = row.get("success")
    if success is not None and not isinstance(success, bool) and success not in (0, 1):
        raise UsageError(f"{where}: success is {success!r:.60}; give true or false")
    return Game(
        str(game_id),
        scenario_from(row, where, str(game_id)),
        tuple(_turn(one, number, f"{where} turn {number}") for number, one in enumerate(turns, start=1)),
        None if success is None else bool(success),
        str(row.get("strategy_type") or ""),
    )


def _turn(given: Any, number: int, where: str) -> GameTurn:
    if not isinstance(given, Mapping):
        raise UsageError(f"{where} is {given!r:.60}; give an object with an action")
    action, response = given.get("action"), given.get("response")
    if not isinstance(action, str) or not action.strip():
        raise UsageError(f"{where}: action is {action!r:.60}; give the persuader's words")
    if response is not None and not isinstance(response, str):
        raise UsageError(f"{where}: response is {response!r:.60}; give the person's words")
    kind = str(given.get("action_type") or "").strip().upper()
    if kind not in ACTIONS:
        raise UsageError(f"{where}: action_type is {given.get('action_type')!r:.40}; give {', '.join(ACTIONS)}")
    planned = Planned(
        kind,
        action.strip(),
        _belief(given.get("belief_state"), where),
        str(given.get("reasoning") or "").strip(),
        _chances(given.get("counterfactual_analysis"), where),
    )
    stated = given.get("turn")
    return GameTurn(stated if type(stated) is int and stated > 0 else number, planned, (response or "").strip())


def _belief(given: Any, where: str) -> Belief | None:
    if given is None or given == {}:
        return None
    desires = given.get("target_desires") if isinstance(given, Mapping) else None
    if not isinstance(desires, Mapping):
        raise UsageError(f"{where}: belief_state is {given!r:.60}; give an object with target_desires")
    level = str(given.get("confidence_level") or "").strip().lower()
    return Belief(
        {str(name): _number(value, f"{where}: target_desires of {name!r:.40}") for name, value in desires.items()},
        {"medium": "mid", "moderate": "mid"}.get(level, level) if level else None,
        None if given.get("information_entropy") is None
        else _number(given["information_entropy"], f"{where}: information_entropy"),
    )  # fmt: skip


def _chances(given: Any, where: str) -> dict[str, Chance]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: counterfactual_analysis is {given!r:.60}; give an object by action")
    found = {}
    for name, one in given.items():
        if isinstance(one, Mapping):
            value, why = one.get("p_success"), str(one.get("reasoning") or "")
        else:
            value, why = one, ""
        if value is None or isinstance(value, str):
            continue  # an alternative without a number says nothing that can be measured
        number = _number(value, f"{where}: p_success of {name!r:.40}")
        if not 0 <= number <= 1:
            raise UsageError(f"{where}: p_success of {name!r:.40} is {value!r:.40}; give a number from 0 to 1")
        found[str(name)] = Chance(number, why.strip())
    return found


def _number(given: Any, what: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UsageError(f"{what} is {given!r:.40}; give a number")
    return float(given)

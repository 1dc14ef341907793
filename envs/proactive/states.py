"""States: what an agent knows when it decides whether to ask or to deliver, and how a turn changes them.

A file has one state on each line, with the published keys (the README of ProactiveLLM):
    query: the user's request; the only one that a row must have.
    id: unique in the file; by default the file's name and the row's number.
    domain: `coding` or `planning`; by default `coding`.
    dialogue_turn, prev_reject: by default 0.
    task_uncertainty: from 0 (unclear) to 1 (clear), in spite of its name; by default by `uncertainty_of`.
    clarity: the same number, as the policy reads it; by default `task_uncertainty`.
    mbpp_tests: assertions, as a text or a list of texts; `mbpp_setup`: statements before them.
    persona: the name of one of `PERSONAS`, or its index.
    needs: texts that a right solution contains; hidden: a fact that the user's first answer discloses. The agent sees
        neither.
Other keys are kept.
"""

import ast
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.envs.proactive.personas import persona_named
from josh.errors import UsageError
from josh.texts import json_rows

CODING, PLANNING = "coding", "planning"
DOMAINS: Final = (CODING, PLANNING)
EMPTY: Final = 0.2
"""The `uncertainty_of` an empty request."""
_VAGUE = ("maybe", "perhaps", "could", "might", "uncertain", "not sure", "not clear", "unclear")
_SPECIFIC = (
    *("def ", "function", "import ", "class ", "should output", "should return", "should raise", "test", "test case"),
    *("example", "parameter", "argument", "input", "output", "error", "exception", "traceback"),
)
_KEYS = (
    *("id", "domain", "query", "dialogue_turn", "prev_reject", "task_uncertainty", "clarity"),
    *("mbpp_tests", "mbpp_setup"),
)


@dataclass(frozen=True, slots=True)
class State:
    """One state.

    Attributes:
        id: the state's id.
        domain: `coding` or `planning`.
        query: the user's request, with the questions and answers so far.
        dialogue_turn: number of turns of the agent so far.
        prev_reject: 1 where the user rejected the latest question, else 0.
        task_uncertainty: from 0, unclear, to 1, clear. An answer makes it smaller, as in the published code.
        clarity: from 0, unclear, to 1, clear. It begins as `task_uncertainty`, and an answer makes it larger.
        tests: assertions that a solution has to pass; may be empty.
        setup: statements that run before the assertions.
        extra: the other keys of the row.
    """

    id: str
    domain: str
    query: str
    dialogue_turn: int = 0
    prev_reject: int = 0
    task_uncertainty: float = 0.5
    clarity: float = 0.5
    tests: tuple[str, ...] = ()
    setup: str = ""
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def row(self) -> dict[str, Any]:
        """The state as a row of a file. `clarity` is left out where it equals `task_uncertainty`."""
        found = {
            "id": self.id,
            "domain": self.domain,
            "query": self.query,
            "dialogue_turn": self.dialogue_turn,
            "prev_reject": self.prev_reject,
            "task_uncertainty": self.task_uncertainty,
        }
        if self.clarity != self.task_uncertainty:
            found["clarity"] = self.clarity
        if self.tests:
            found["mbpp_tests"] = list(self.tests)
        if self.setup:
            found["mbpp_setup"] = self.setup
        return {**found, **self.extra}


def load_states(
    path: Path, domain: str = CODING, rows: Callable[[Path], Iterable[tuple[str, Any]]] = json_rows
) -> list[State]:
    """Returns the states of a file.

    Args:
        path: JSON lines, or one JSON array.
        domain: the domain of rows without one.
        rows: reads the rows, each with its place.

    Raises:
        UsageError: the file cannot be read, has no rows, or a row is wrong; the error names the line.
    """
    found: list[State] = []
    places: dict[str, str] = {}
    for number, (place, row) in enumerate(rows(path)):
        if row == []:  # an empty array
            continue
        given = {"domain": domain, **row} if isinstance(row, Mapping) else row
        state = state_from(given, place, f"{path.name.partition('.')[0]}-{number}")
        if state.id in places:
            raise UsageError(f"{place}: the id {state.id!r} occurs twice, first at {places[state.id]}; change one")
        places[state.id] = place
        found.append(state)
    if not found:
        raise UsageError(f"{path} has no states; give one JSON object with a query on each line")
    return found


def state_from(row: Any, where: str, name: str = "state") -> State:
    """Returns the state of a row.

    Args:
        row: the row; see the head of this file.
        where: the row's place, for error messages.
        name: the id of a row without one.

    Raises:
        UsageError: a key is missing or has a wrong value; the error names the place.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{where} is {row!r:.60}; give a JSON object with a query")
    query = row.get("query")
    if not isinstance(query, str) or not query.strip():
        raise UsageError(f"{where}: query is {query!r:.60}; give the user's request as a text")
    domain = row.get("domain", CODING)
    if domain not in DOMAINS:
        raise UsageError(f"{where}: domain is {domain!r:.60}; give {' or '.join(DOMAINS)}")
    uncertainty = _share(row, "task_uncertainty", where, uncertainty_of(query))
    tests, setup = _tests(row, where)
    if row.get("persona") is not None:
        persona_named(row["persona"], where)
    _check_secrets(row, where)
    return State(
        _name(row, where, name),
        domain,
        query,
        _count(row, "dialogue_turn", where, None),
        _count(row, "prev_reject", where, 1),
        uncertainty,
        _share(row, "clarity", where, uncertainty),
        tests,
        setup,
        {key: value for key, value in row.items() if key not in _KEYS},
    )


def uncertainty_of(query: str) -> float:
    """Returns how clear a request is, from 0 (unclear) to 1, by the published rules of its length and its words."""
    if not query.strip():
        return EMPTY
    words, size = query.lower(), len(query)
    found = 0.5 + (0.1 if 200 <= size <= 1500 else -0.2 if size < 100 else -0.1 if size > 3000 else 0.0)
    found -= 0.1 * min(query.count("?"), 3) + 0.15 * min(sum(each in words for each in _VAGUE), 2)
    specific = sum(each in words for each in _SPECIFIC)
    found += 0.2 if specific >= 3 else 0.1 if specific else 0.0
    found += 0.1 * any(each in words for each in ("error", "traceback", "exception"))
    found += 0.1 * ("test" in words and ("case" in words or "example" in words))
    found += 0.1 * ("input" in words and "output" in words)
    return round(min(1.0, max(0.0, found)), 4)


def answered(state: State, question: str, answer: str, answer_clarity: float) -> State:
    """Returns the state after an answer: the request grows, and its clarity rises.

    Args:
        state: the state before.
        question: the agent's message.
        answer: the user's.
        answer_clarity: how clear the answer is, from 0 to 1.
    """
    left = 1 - 0.5 * answer_clarity
    return replace(
        state,
        query=f"{state.query}\n[Assistant]: {question}\n[User]: {answer}",
        prev_reject=0,
        task_uncertainty=round(state.task_uncertainty * left, 6),
        clarity=round(1 - (1 - state.clarity) * left, 6),
    )


def rejected(state: State) -> State:
    """Returns the state after a question that the user rejects."""
    return replace(state, prev_reject=1)


def next_turn(state: State) -> State:
    """Returns the state with one more turn of the agent."""
    return replace(state, dialogue_turn=state.dialogue_turn + 1)


def render_state(state: State, persona: str = "") -> str:
    """Returns the text in which a policy sees a state, in the published form.

    Args:
        state: the state; the text has its `clarity` behind `[Task Uncertainty]`.
        persona: a line about the user; empty for none, as published.
    """
    lines = (
        f"[Domain] {state.domain}",
        f"[Task Uncertainty] {state.clarity:.2f}",
        f"[Dialogue Turn] {state.dialogue_turn}",
        f"[Previous Reject] {state.prev_reject}",
        *([f"[Persona] {persona}"] if persona else []),
        f"[User Request]\n{state.query}",
    )
    return "\n".join(lines)


def _name(row: Mapping[str, Any], where: str, name: str) -> str:
    given = row.get("id")
    if given is None:
        return name
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{where}: id is {given!r:.60}; give a text")
    return given


def _count(row: Mapping[str, Any], key: str, where: str, most: int | None) -> int:
    given = row.get(key)
    if given is None:
        return 0
    if given is True or given is False:
        given = int(given)
    if type(given) is not int or given < 0 or (most is not None and given > most):
        raise UsageError(f"{where}: {key} is {given!r:.60}; give {'a whole number' if most is None else '0 or 1'}")
    return given


def _share(row: Mapping[str, Any], key: str, where: str, default: float) -> float:
    given = row.get(key)
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise UsageError(f"{where}: {key} is {given!r:.60}; give a number from 0 to 1")
    return float(given)


def _check_secrets(row: Mapping[str, Any], where: str) -> None:
    needs, hidden = row.get("needs", ()), row.get("hidden", "")
    if not isinstance(needs, list | tuple) or not all(isinstance(one, str) and one for one in needs):
        raise UsageError(f"{where}: needs is {needs!r:.60}; give a list of texts")
    if not isinstance(hidden, str):
        raise UsageError(f"{where}: hidden is {hidden!r:.60}; give a text")


def _tests(row: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], str]:
    """Returns a row's assertions and the statements before them."""
    setup: list[str] = []
    tests: list[str] = []
    for key in ("mbpp_setup", "mbpp_tests"):
        for text in _texts(row.get(key), key, where):
            for statement in _statements(text, key, where):
                (tests if isinstance(statement, ast.Assert) and key == "mbpp_tests" else setup).append(
                    ast.get_source_segment(text, statement) or ast.unparse(statement)
                )
    if setup and not tests and row.get("mbpp_tests"):
        raise UsageError(f"{where}: mbpp_tests has no assertion; give at least one, such as assert f(1) == 2")
    return tuple(tests), "\n".join(setup)


def _texts(given: Any, key: str, where: str) -> Sequence[str]:
    found: Iterable[Any] = () if given is None else given if isinstance(given, list | tuple) else (given,)
    texts = list(found)
    wrong = next((one for one in texts if not isinstance(one, str)), None)
    if wrong is not None:
        raise UsageError(f"{where}: {key} has {wrong!r:.60}; give Python as a text, or a list of texts")
    return [one for one in texts if one.strip()]


def _statements(text: str, key: str, where: str) -> Sequence[ast.stmt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in its texts
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        fault = getattr(error, "msg", None) or "it cannot be read"
        raise UsageError(f"{where}: {key} does not parse ({fault}): {text.strip()!r:.60}; mend it") from None

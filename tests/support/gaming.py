"""Scenarios and games of planning theory of mind, small enough to be read, and rows of files."""

import json

FACTS = (
    {"id": "fact_1", "content": "The cabin costs 200 dollars less.", "favors": "A", "dimension": "cost"},
    {"id": "fact_2", "content": "The hotel has 30 percent more room.", "favors": "B", "dimension": "comfort"},
    {"id": "fact_3", "content": "Both are near the lake.", "favors": "neutral", "dimension": "place"},
)
STRENGTHS = {"cost": 0.9, "comfort": 0.4, "place": 0.1}


def scenario_row(**changes):
    """A scenario of which A, the cheaper option, is the natural one."""
    return {
        "scenario_id": "s1",
        "context": "A place for the holidays.",
        "option_a": {"name": "Lake Cabin", "description": ""},
        "option_b": {"name": "City Hotel", "description": ""},
        "condition": "HIDDEN",
        "target_preferences": {"true_preferences": ["cost"], "preference_strength": dict(STRENGTHS)},
        "available_facts": [dict(fact) for fact in FACTS],
    } | changes


def turn_row(kind="ASK", action="What matters most to you?", response="The money.", **changes):
    """A turn of a game."""
    return {
        "belief_state": {"target_desires": {"cost": 0.5}, "confidence_level": "low", "information_entropy": 1.58},
        "reasoning": "I know nothing yet.",
        "counterfactual_analysis": {kind: {"p_success": 0.7, "reasoning": "It tells me what counts."}},
        "action_type": kind,
        "action": action,
        "response": response,
    } | changes


def game_row(game="g1", turns=2, **changes):
    """A game that was won, in a scenario of its own."""
    asks = [turn_row(turn=number) for number in range(1, turns)]
    last = turn_row("ACT", "I recommend Option A.", "Fine.", turn=turns)
    return {
        "game_id": game,
        "scenario": "holidays",
        "condition": "HIDDEN",
        "target_preferences": {"true_preferences": ["cost"], "preference_strength": dict(STRENGTHS)},
        "available_facts": [dict(fact) for fact in FACTS],
        "strategy_type": "optimal",
        "success": True,
        "trajectory": [*asks, last],
    } | changes


def write_rows(path, *rows):
    """Write rows as JSON lines; the path."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path

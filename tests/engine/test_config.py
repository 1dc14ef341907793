"""Settings declared in classes: types, ranges, names, and what is made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from josh.config import Schema, build, checked, configured, create, part, setting, settings_in, settings_of_plug_in
from josh.errors import UsageError
from josh.forking import default_fork
from josh.roles import BaseEnv, BaseJOSHAgent, BaseRewards


@dataclass(frozen=True, kw_only=True)
class Drawing:
    heat: float = setting(1.0, "{who} heat", least=0)
    ends: tuple[str, ...] = setting((), "where {who} words end", flag="end_at")


@dataclass(frozen=True, kw_only=True)
class Whole:
    count: int = setting(3, "how many", least=1, aliases=("number",))
    one: Drawing = part(Drawing, who="one's")
    two: Drawing = part(Drawing, prefix="two_", who="two's", heat={"default": 0.5, "help": "how hot two is"})


WHOLE = Schema(settings_in(Whole))


def test_flags_follow_from_the_fields():
    assert list(WHOLE) == ["count", "heat", "end_at", "two_heat", "two_end_at"]
    assert [one.dotted for one in WHOLE.values()] == ["count", "one.heat", "one.ends", "two.heat", "two.ends"]
    assert WHOLE["heat"].rule.help == "one's heat"
    assert WHOLE["two_heat"].rule.help == "how hot two is"


def test_a_setting_is_found_by_each_of_its_names():
    assert {WHOLE.find(name).flag for name in ("count", "number")} == {"count"}
    assert {WHOLE.find(name).flag for name in ("two_heat", "two-heat", "two.heat")} == {"two_heat"}
    assert {WHOLE.find(name).flag for name in ("two.ends", "two.end_at")} == {"two_end_at"}
    assert WHOLE.find("heal") is None
    assert WHOLE.refusal("heal") == "no setting named 'heal'; did you mean 'heat'?"
    assert WHOLE.refusal("heats") == "no setting named 'heats'; did you mean 'heat'?", "a likely slip"
    assert WHOLE.refusal("hints") == "no setting named 'hints'", "of a name that is little like it"
    assert WHOLE.refusal("two.heet") == "no setting named 'two.heet'; did you mean 'two_heat'?", "the flag"
    assert WHOLE.refusal("two.word") == "no setting named 'two.word'", "two. is not part of what is compared"


def test_the_whole_is_built_from_its_parts_with_the_defaults_that_the_whole_declares():
    assert build(Whole, {}) == Whole()
    assert Whole().two == Drawing(heat=0.5)
    made = build(Whole, {WHOLE[flag].path: value for flag, value in WHOLE.read({"two_end_at": "."}).items()})
    assert made.two == Drawing(heat=0.5, ends=(".",))
    assert WHOLE.flat(made) == {"count": 3, "heat": 1.0, "end_at": (), "two_heat": 0.5, "two_end_at": (".",)}


def test_nothing_is_given_twice():
    with pytest.raises(UsageError, match=r"two_heat is given twice, once as 'two\.heat'"):
        WHOLE.read({"two_heat": 1, "two.heat": 2})


@dataclass(frozen=True)
class Kinds:
    whole: int = setting(1, least=1)
    number: float = setting(0.0, above=-1)
    share: float = setting(1.0, above=0, most=1)
    rest: float = setting(0.0, least=0, below=1)
    seconds: float | None = setting(None, above=0, unit="seconds")
    amount: float = setting(0.0, least=0, most=2, unit="dollars")
    word: str = setting("a", choices=("a", "b", "c"))
    yes: bool = False
    words: tuple[str, ...] = ()
    numbers: list[int] = field(default_factory=list)
    where: Path | None = None
    table: Mapping[str, object] = setting({})
    mode: Literal["x", "y"] = "x"


KINDS = Schema(settings_in(Kinds), Schema(settings_of_plug_in(type("Plugged", (), {"Config": Kinds}), "env")))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("whole", 0, "whole is 0; give 1 or more"),
        ("whole", 1.5, "whole is 1.5; give a whole number"),
        ("whole", True, "whole is True; give a whole number"),
        ("number", float("nan"), "number is nan; give a finite number"),
        ("number", float("inf"), "number is inf; give a finite number"),
        ("share", 0, "share is 0.0; give a share above 0, at most 1"),
        ("rest", 1, "rest is 1.0; give 0 or more, below 1"),
        ("seconds", 0, "seconds is 0.0; give a number of seconds above 0"),
        ("amount", 3, "amount is 3.0; give 0 to 2 dollars"),
        ("word", "d", "word is 'd'; give a, b or c"),
        ("env.yes", 1, "env.yes is 1; give true or false"),
        ("env.words", [1], "env.words is [1]; give a list"),
        ("env.words", [""], "env.words holds an empty text; leave it out"),
        ("env.numbers", ["a"], "env.numbers is ['a']; give a list"),
        ("env.where", 1, "env.where is 1; give a path"),
        ("table", 1, "table is 1; give a table of names and values"),
        ("env.mode", "z", "env.mode is 'z'; give x or y"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused_in_one_line(name, value, text):
    with pytest.raises(UsageError) as refused:
        KINDS.read({name: value}, "run.toml: ")
    assert str(refused.value) == f"run.toml: {text}"


def test_ranges_hold_for_objects_made_by_hand():
    assert checked(Kinds(whole=2)) == Kinds(whole=2)
    with pytest.raises(UsageError, match="whole is 0; give 1 or more"):
        checked(Kinds(whole=0))


class World(BaseEnv):
    @dataclass(frozen=True)
    class Config:
        difficulty: int = setting(1, "how hard", least=1, flag="hard")
        data: Path | None = None
        names: list[str] = field(default_factory=list)

    def __init__(self, options):
        self.seen = self.config
        super().__init__(options)


def test_a_plug_in_has_its_settings_before_it_begins():
    made = create(World, "env", {"difficulty": 3, "data": "x/y", "names": ("a",)}, {})
    assert made.seen == made.config == World.Config(3, Path("x/y"), ["a"])


def test_a_world_made_by_hand_finds_its_settings_among_the_options():
    assert World({"hard": 2, "env.data": "here", "seed": 1}).config == World.Config(2, Path("here"))


def test_values_that_a_plug_in_has_no_setting_for_are_passed_over():
    assert configured(World, "env", {"difficulty": 2, "other": 1}) == World.Config(2)


class Speaker(BaseJOSHAgent):
    @dataclass(frozen=True)
    class Config:
        words: int = 5


def test_forks_share_the_settings_and_nothing_else():
    agent = create(Speaker, "agent", {"words": 7})
    agent.notes = ["a"]
    twin = default_fork(agent)
    assert twin.config is agent.config
    assert twin.notes is not agent.notes


def test_plug_ins_made_by_hand_have_the_defaults():
    assert Speaker().config == Speaker.Config(5)
    assert BaseRewards(["goal"]).config == BaseRewards(["goal"]).config


def test_what_no_flag_can_give_is_refused_with_the_name_of_the_setting():
    class Odd:
        @dataclass
        class Config:
            pairs: set[int] = field(default_factory=set)

    class Bare:
        class Config:
            words = 3

    with pytest.raises(UsageError, match="its setting 'pairs' is a set, a type that flags cannot have"):
        settings_of_plug_in(Odd, "agent")
    with pytest.raises(UsageError, match="Config is not a dataclass"):
        settings_of_plug_in(Bare, "agent")

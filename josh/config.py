"""Settings, declared once: a dataclass beside the class that it configures, with help text and range in its fields.

The flags and their help, the tables of a TOML file, `config.json` and the rules of resuming a run all derive from these
classes. A plug-in declares its own settings in a dataclass `Config` inside its class:

    class World(BaseEnv):
        @dataclass(frozen=True)
        class Config:
            difficulty: int = setting(1, "how hard the tasks are", least=1, most=5)

The flag of this setting is `--env.difficulty 3`, and the class reads it as `self.config.difficulty`.
"""

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from math import copysign, inf, isfinite
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from josh.errors import UsageError
from josh.threads import one_line

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""An empty mapping, for defaults of arguments."""
_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
    tuple: "a list",
    dict: "a table of names and values",
}

_LARGEST = 2**63 - 1
"""The largest whole number of a setting: the files and libraries that take it hold 64 bits; more is a slip."""
_NEAR = 0.7
"""Least similarity of a name to the one that it probably means, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The declaration of a setting, apart from its type and default.

    Attributes:
        help: the help text; `{who}` is replaced by the owner of the setting (`the agent's`).
        least: smallest allowed number; None for no limit.
        above: a number must be larger than this; None for no limit.
        most: largest allowed number; None for no limit.
        below: a number must be smaller than this; None for no limit.
        choices: the only allowed values; empty for any.
        unit: unit of a number, for error messages.
        way: text of error messages after "give"; empty to derive it from the range.
        flag: the flag, where it differs from the field's name.
        aliases: further names of the flag.
        resumable: whether a resumed run may have another value, because the setting changes no request and no result.
        stored: turns a given value into the form that is stored, such as the content of a file that it names; raises
            UsageError. None to store it as it is.
    """

    help: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    unit: str = ""
    way: str = ""
    flag: str = ""
    aliases: tuple[str, ...] = ()
    resumable: bool = False
    stored: Callable[[Any], Any] | None = None

    def refuses(self, value: Any) -> bool:
        """Returns whether a value is not one of the choices, or a number out of range, infinite or of over 64 bits."""
        if self.choices:
            return value not in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low = self.least if self.least is not None else -inf
        high = self.most if self.most is not None else inf
        sound = low <= value <= high and (-inf < value < inf if isinstance(value, float) else abs(value) <= _LARGEST)
        return not sound or (self.above is not None and value <= self.above) or value >= _or(self.below, inf)

    @property
    def wanted(self) -> str:
        """The text of error messages after "give"."""
        unit = f" {self.unit}" if self.unit else ""
        if self.way or self.choices:
            return self.way or listed(self.choices)
        if self.most == 1 and unit == "":
            return "a share from 0 to 1" if self.above is None else f"a share above {self.above:g}, at most 1"
        if self.above is not None:
            number = f"a number of{unit}" if unit else "a number"
            return f"{number} above {self.above:g}" + (f", at most {self.most:g}" if self.most is not None else "")
        if self.least is None:
            return "a finite number"
        if self.most is not None:
            return f"{self.least:g} to {self.most:g}{unit}"
        return f"{self.least:g} or more{unit}" + (f", below {self.below:g}" if self.below is not None else "")

    def wanted_instead(self, value: Any) -> str:
        """Returns the text of error messages after "give", for a value that is refused."""
        if isinstance(value, float) and not isfinite(value):
            return "a finite number"
        if not self.choices and self.most is None and isinstance(value, int) and abs(value) > _LARGEST:
            return f"a whole number up to {_LARGEST}"
        return self.wanted


def setting(default: Any = MISSING, text: str = "", **rule: Any) -> Any:
    """Declare a setting: a dataclass field.

    Args:
        default: the default; without a default the setting is required.
        text: the help text.
        rule: the other attributes of `Rule`.
    """
    metadata = {"rule": Rule(text, **rule)}
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def part(kind: type, *, prefix: str = "", who: str = "", title: str = "", **changes: Mapping[str, Any]) -> Any:
    """Declare a settings class as a part of another one.

    Args:
        kind: the part's class.
        prefix: the beginning of the flags of its settings.
        who: owner of the settings, for the help texts, such as `the agent's`.
        title: title of its group of flags in the help.
        changes: by the name of a setting in the part, its other `default` and other attributes of `Rule`. A `flag`
            given here is the whole flag, without the prefix.
    """
    about = {"kind": kind, "prefix": prefix, "who": who, "title": title, "changes": changes}
    return field(default_factory=lambda: build(kind, {}, changes), metadata={"part": about})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a settings class.

    Attributes:
        flag: the flag without its hyphens; the setting's name in flat mappings.
        path: the names of the fields that lead to it; empty for a flag that only sets other settings.
        kind: bool, int, float, str, Path, tuple (of texts or numbers) or dict.
        optional: whether the value may be None.
        default: the default; `MISSING` where the setting is required.
        rule: the rest of its declaration.
        items: type of a tuple's items.
        hint: type annotation of the field.
    """

    flag: str
    path: tuple[str, ...]
    kind: Any
    optional: bool
    default: Any
    rule: Rule
    items: Any = str
    hint: Any = None

    @property
    def name(self) -> str:
        """The field's name."""
        return self.path[-1] if self.path else self.flag

    @property
    def dotted(self) -> str:
        """Its name in a TOML table and in `config.json`: the part's name and its own."""
        return f"{self.path[0]}.{self.name}" if len(self.path) > 1 else self.name

    @property
    def of_plug_in(self) -> bool:
        """Whether it belongs to a plug-in's `Config`."""
        return "config" in self.path[1:-1]

    def value(self, given: Any, where: str = "") -> Any:
        """Returns a given value in its stored form: a list as a tuple, a path as a text.

        Args:
            given: the value.
            where: the beginning of an error message, such as the file of the value.

        Raises:
            UsageError: the value has a wrong type, is out of range, or holds an empty text in a list.
        """
        if given is None and self.optional:
            return None
        if self.rule.stored is not None:
            given = self.rule.stored(given)
        found = self._typed(given)
        if found is None:
            raise UsageError(f"{where}{self.flag} is {given!r}; give {_NAMES[self.kind]}")
        if self.rule.refuses(found):
            raise UsageError(f"{where}{self.flag} is {shown(found)}; give {self.rule.wanted_instead(found)}")
        if isinstance(found, tuple) and "" in found:
            raise UsageError(f"{where}{self.flag} holds an empty text; leave it out")
        return found

    def _typed(self, given: Any) -> Any:
        """Returns the value in its stored form, or None where it has another type."""
        if self.kind is tuple:
            items = [given] if isinstance(given, str) else given
            sound = isinstance(items, list | tuple) and all(_is(item, self.items) for item in items)
            return tuple(items) if sound else None
        if self.kind is dict:
            return dict(given) if isinstance(given, Mapping) else None
        if self.kind is Path:
            return str(given) if isinstance(given, str | Path) else None
        if self.kind is str and isinstance(given, Path):
            return str(given)
        if not _is(given, self.kind):
            return None
        return _as_float(given) if self.kind is float else given

    def found_in(self, settings: Any) -> Any:
        """Returns its value in a settings object; the default where a plug-in's `config` lacks it."""
        for name in self.path:
            settings = settings.get(name, self.default) if isinstance(settings, Mapping) else getattr(settings, name)
        return tuple(settings) if isinstance(settings, list) else settings


class Schema(Mapping[str, Setting]):
    """The settings of a command, a run or a plug-in, by flag, in the order of the help."""

    def __init__(self, settings: Iterable[Setting], *more: "Schema") -> None:
        """Collect the settings of other schemas, then further settings.

        Args:
            settings: the further settings.
            more: the other schemas.

        Raises:
            UsageError: two settings have the same flag.
        """
        self._settings: dict[str, Setting] = {}
        self._names: dict[str, str] = {}
        for one in [*(one for other in more for one in other.values()), *settings]:
            if one.flag in self._names:
                raise UsageError(
                    f"setting {one.dotted} has the flag --{one.flag} of another setting; give it another name"
                )
            self._settings[one.flag] = one
            further = [f"{one.path[0]}.{one.rule.flag}"] if one.path and one.rule.flag else []
            for name in (one.flag, *one.rule.aliases, one.dotted, *further):
                self._names.setdefault(name, one.flag)

    def __getitem__(self, flag: str) -> Setting:
        return self._settings[flag]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def find(self, name: str) -> Setting | None:
        """Returns a setting by its flag, alias or dotted name, or None; hyphens count as underscores."""
        flag = self._names.get(name.replace("-", "_"))
        return None if flag is None else self._settings[flag]

    def near(self, name: str) -> str | None:
        """Returns the flag or alias most similar to a name; None where none is similar."""
        found = nearest(name.replace("-", "_"), self._names)
        return self._names[found] if "." in found else found or None

    def refusal(self, name: str) -> str:
        """Returns the error message for an unknown name."""
        near = self.near(name)
        return f"no setting named {name!r}" + (f"; did you mean {near!r}?" if near else "")

    def read(self, given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """Returns given values by flag, in their stored form; see `Setting.value`.

        Args:
            given: values by any name of their settings.
            where: the beginning of an error message.

        Raises:
            UsageError: a name is unknown or given twice, or a value has the wrong type or is out of range.
        """
        found: dict[str, Any] = {}
        for name, value in given.items():
            one = self.find(name)
            if one is None:
                raise UsageError(f"{where}{self.refusal(name)}")
            if one.flag in found:
                raise UsageError(f"{where}{one.flag} is given twice, once as {name!r}")
            found[one.flag] = one.value(value, where)
        return found

    def flat(self, settings: Any) -> dict[str, Any]:
        """Returns the values in a settings object, by flag."""
        return {flag: one.found_in(settings) for flag, one in self.items() if one.path}


def settings_in(
    kind: type,
    *,
    path: tuple[str, ...] = (),
    prefix: str = "",
    who: str = "",
    changes: Mapping[str, Mapping[str, Any]] = NOTHING,
) -> Iterator[Setting]:
    """Yields the settings that a settings class declares, those of its parts included.

    Args:
        kind: the settings class.
        path: names of the fields that lead to it.
        prefix: beginning of the flags.
        who: owner of the settings, for the help texts.
        changes: see `part`.
    """
    hints = typing.get_type_hints(kind)
    for one in fields(kind):
        inner = one.metadata.get("part")
        if inner is not None:
            yield from settings_in(
                inner["kind"],
                path=(*path, one.name),
                prefix=prefix + inner["prefix"],
                who=inner["who"] or who,
                changes={**changes, **inner["changes"]},
            )
        elif "rule" in one.metadata:
            change = dict(changes.get(one.name, NOTHING))
            default = change.pop("default", _default(one))
            rule = replace(one.metadata["rule"], **change)
            flag = change.get("flag") or f"{prefix}{rule.flag or one.name}"
            rule = replace(rule, help=rule.help.replace("{who}", who))
            yield _setting(flag, (*path, one.name), hints[one.name], default, rule)


def settings_of_plug_in(kind: Any, role: str) -> tuple[Setting, ...]:
    """Returns the settings in a plug-in's `Config`; none where it has no `Config`.

    A setting's flag is `ROLE.name`, unless it declares another one; both names are accepted.

    Raises:
        UsageError: `Config` is not a dataclass, or a setting has a type that flags cannot have.
    """
    return _declared(kind, role)


@cache
def _declared(kind: Any, role: str) -> tuple[Setting, ...]:
    config = config_class(kind)
    name = f"{role} {kind.__qualname__}" if isinstance(kind, type) else role
    if not is_dataclass(config):
        raise UsageError(f"{name}: its Config is not a dataclass; write @dataclass(frozen=True) above it")
    try:
        hints = typing.get_type_hints(config)
    except NameError as error:
        raise UsageError(f"{name}: its Config cannot be read: {error}") from None
    found = []
    for one in fields(config):
        if one.init:
            rule: Rule = one.metadata.get("rule", Rule())
            flag = rule.flag or f"{role}.{one.name}"
            try:
                found.append(_setting(flag, (role, "config", one.name), hints[one.name], _default(one), rule))
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from None
            except Exception as error:
                raise UsageError(f"{name}: the default of its setting {one.name!r} fails: {one_line(error)}") from None
    return tuple(found)


def configured(kind: Any, role: str, values: Mapping[str, Any]) -> Any:
    """Returns a plug-in's `Config` with values by field name; values without a field are ignored.

    Raises:
        UsageError: a value has a wrong type or is out of range.
    """
    own = {one.name: one for one in settings_of_plug_in(kind, role)}
    known = {name: _as_declared(own[name].value(values[name]), own[name].hint) for name in values if name in own}
    return config_class(kind)(**known)


def configured_by_flags(kind: Any, role: str, options: Mapping[str, Any]) -> Any:
    """Returns a plug-in's `Config` from all settings of a run, by flag; the other parts' settings are ignored."""
    names = {one.flag: one.name for one in settings_of_plug_in(kind, role)}
    return configured(
        kind, role, {name: options[flag] for flag, name in names.items() if options.get(flag) is not None}
    )


def create(kind: Any, role: str, values: Mapping[str, Any], *args: Any) -> Any:
    """Create a plug-in. `self.config` is set before its `__init__` runs.

    Args:
        kind: its class.
        role: `env`, `agent`, `user` or `rewards`.
        values: its settings, by field name.
        args: the arguments of its `__init__`.
    """
    if getattr(kind, "Config", None) is None:
        return kind(*args)
    made = kind.__new__(kind)
    made.config = configured(kind, role, values)
    made.__init__(*args)
    return made


def config_class(kind: Any) -> Any:
    """Returns a plug-in's `Config`, or `NoSettings` where it has none."""
    return getattr(kind, "Config", None) or NoSettings


@dataclass(frozen=True, slots=True)
class NoSettings:
    """The `Config` of a plug-in that declares none."""


class OwnConfig:
    """Descriptor for the attribute `config` of the plug-in bases: the defaults of `Config`, until `create` sets it."""

    def __get__(self, thing: Any, kind: type | None = None) -> Any:
        return self if thing is None else config_class(type(thing))()


def checked(config: Any) -> Any:
    """Returns a settings object with its values checked, in their stored form (`Rule.stored`).

    Raises:
        UsageError: a value is out of range.
    """
    for one in fields(config):
        rule = one.metadata.get("rule")
        value = getattr(config, one.name)
        if rule is not None and rule.stored is not None:
            config = replace(config, **{one.name: rule.stored(value)})
        if rule is not None and rule.refuses(value):
            raise UsageError(f"{rule.flag or one.name} is {shown(value)}; give {rule.wanted_instead(value)}")
    return config


def build(kind: type, values: Mapping[tuple[str, ...], Any], changes: Mapping[str, Mapping[str, Any]] = NOTHING) -> Any:
    """Returns a settings object from values by path; the others get their defaults. For `changes` see `part`."""
    return _assembled(kind, {one.path: one.default for one in settings_in(kind, changes=changes)} | dict(values), ())


def _assembled(kind: type, values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> Any:
    given: dict[str, Any] = {}
    for one in fields(kind):
        where = (*path, one.name)
        if "part" in one.metadata:
            given[one.name] = _assembled(one.metadata["part"]["kind"], values, where)
        elif where in values:
            given[one.name] = values[where]
    return kind(**given)


def listed(names: Sequence[Any]) -> str:
    """Returns names as `a, b or c`."""
    texts = list(map(str, names))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the known name that a name probably means; empty where none is near.

    The part before a dot, such as `env.`, must be the same where a name has one, and does not count as similar.
    """
    role, dot, own = name.rpartition(".")
    within = sorted((one for one in known if not dot or one.startswith(f"{role}.")), key=lambda one: "." not in one)
    found = {one.rpartition(".")[2]: one for one in within}  # of two with one end, the shorter name counts
    return next((found[one] for one in get_close_matches(own, found, 1, _NEAR)), "")


def shown(value: Any) -> str:
    """Returns a value as messages show it: a text in quotes, and the items of a list with commas."""
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value)) or "an empty list"
    return repr(str(value) if isinstance(value, Path) else value)


def _setting(flag: str, path: tuple[str, ...], hint: Any, default: Any, rule: Rule) -> Setting:
    """Returns a setting by its annotation. Raises UsageError where the type is one that flags cannot have."""
    kinds = [one for one in get_args(hint) if one is not type(None)]
    union = get_origin(hint) in (UnionType, Union)
    optional = union and len(kinds) < len(get_args(hint))
    inner = kinds[0] if union and len(kinds) == 1 else hint
    if get_origin(inner) is Literal:
        choices = get_args(inner)
        inner, rule = type(choices[0]), rule if rule.choices else replace(rule, choices=choices)
    kind: Any = get_origin(inner) or inner
    item: Any = str
    if kind in (tuple, list, Sequence):
        kind, item = tuple, (*get_args(inner), str)[0]
    elif kind is Mapping:
        kind = dict
    if kind not in _NAMES or item not in (str, int, float):
        raise UsageError(
            f"its setting {path[-1]!r} is a {getattr(hint, '__name__', hint)}, a type that flags cannot have; declare "
            "a bool, int, float, str, Path, a list of str, int or float, or a dict"
        )
    if isinstance(default, list):
        default = tuple(default)
    if kind is Path and default not in (None, MISSING):
        default = str(default)
    return Setting(flag, path, kind, optional, default, rule, item, hint)


def _as_declared(value: Any, hint: Any) -> Any:
    """Returns a stored value in the type of its annotation: a text as a path, a tuple as a list."""
    kinds = (hint, *get_args(hint))
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    if isinstance(value, tuple) and list in (*kinds, *map(get_origin, kinds)):
        return list(value)
    return value


def _default(one: "Field[Any]") -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _is(value: Any, kind: Any) -> bool:
    """Returns whether a value has a type; an int counts as a float, a bool does not count as a number."""
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int | float if kind is float else kind)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number of more than 308 digits
        return copysign(inf, number)


def _or(number: float | None, other: float) -> float:
    return other if number is None else number

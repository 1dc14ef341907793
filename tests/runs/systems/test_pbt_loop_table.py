"""The table of `josh pbt loop`, and what it says about the shape of the published one."""

import pytest

from josh.runs.systems.pbt_loop_table import loop_text, shape_of
from josh.runs.systems.seed_loop import by_clock


def number(value):
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def results(**overall):
    """Numbers of four policies, given as (resisting, accepting) for each; the others are those of a good run."""
    given = {"base": (0.5, 0.5), "accept": (0.1, 0.9), "resist": (0.9, 0.1), "balanced": (0.8, 0.8)} | overall

    def columns(resisting, accepting):
        values = {"resisting": resisting, "accepting": accepting, "overall": (resisting + accepting) / 2}
        return {name: number(value) for name, value in values.items()}

    base = given["base"]
    return {
        policy: columns(*both) | {"difference": columns(both[0] - base[0], both[1] - base[1])}
        for policy, both in given.items()
    }


def figures(*seeds):
    rows = [
        {
            "seed": seed,
            "parameters": 538_496,
            "pretraining_seconds": 90.0,
            "seconds": 240.0,
            "cpu_seconds": 420.0,
            "pairs": dict.fromkeys(("accept", "resist", "balanced"), 300),
            "test_rows": 400,
            "results": one,
            "shape": shape_of(one),
        }
        for seed, one in enumerate(seeds, 10)
    ]
    cell = {"value": 0.5, "sd": 0.03 if len(seeds) > 1 else None}
    columns = ("resisting", "accepting", "overall")
    return {
        "minutes": 12.0,
        "jobs": 2,
        "seeds": rows,
        "mean": {policy: dict.fromkeys(columns, cell) for policy in ("base", "accept", "resist", "balanced")},
        "published": {
            policy: dict(zip(columns, (27.1, 59.2, 43.2), strict=True))
            for policy in ("base", "accept", "resist", "balanced")
        },
    }


def test_the_shape_of_the_paper_is_three_statements():
    assert shape_of(results()) == {"accept": True, "resist": True, "balanced": True}


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"accept": (0.5, 0.52)}, "accept"),  # within the interval
        ({"accept": (0.9, 0.9), "balanced": (0.95, 0.95)}, "accept"),  # it resists more, too
        ({"resist": (0.52, 0.1)}, "resist"),
        ({"resist": (0.9, 0.6), "balanced": (0.95, 0.95)}, "resist"),
        ({"balanced": (0.5, 0.55)}, "balanced"),  # not beyond the interval
        ({"resist": (0.9, 0.1), "accept": (0.5, 0.8), "balanced": (0.6, 0.65)}, "balanced"),  # not the best
    ],
)
def test_a_statement_that_does_not_hold_is_reported(changed, fails):
    assert [name for name, holds in shape_of(results(**changed)).items() if not holds] == [fails]


def test_the_tables_show_each_seed_with_intervals_and_the_published_numbers_beside_the_mean():
    text = loop_text(figures(results(), results(balanced=(0.5, 0.5))))
    assert "seed 10: 538,496 parameters, 300 pairs in each set, 400 held-out debates" in text
    assert "  resist-only        90.0 (85.0 to 95.0)" in text
    assert "+40.0 (+35.0 to +45.0)" in text
    assert "50.0 +- 3.0" in text
    assert "27.1 / 59.2 / 43.2" in text
    assert "balanced is the best overall: in 1 of 2 seeds" in text
    assert "minutes without pretraining: 4.0 by the clock with 2 stages at the same time, 7.0 of the processor" in text
    assert text.endswith("12.0 minutes by the clock for everything")


def test_stages_take_the_time_of_those_that_wait_for_each_other_or_for_room():
    needs = {"a": (), "b": (), "c": ("a",), "d": ("b", "c"), "e": ()}
    seconds = {"a": 5.0, "b": 1.0, "c": 2.0, "d": 4.0, "e": 3.0}
    assert by_clock(needs, seconds, 1) == 15
    assert by_clock(needs, seconds, 2) == 11  # a, c and d; meanwhile b and e
    assert by_clock(needs, seconds | {"e": 30.0}, 2) == 31
    assert by_clock(needs, {}, 2) == 0


def test_one_seed_has_no_deviation():
    assert "+-" not in loop_text(figures(results())).split("mean of 1")[1].split("\n", 1)[1]

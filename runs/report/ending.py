"""Print the result of a run that has ended, and write its page."""

import sys
from pathlib import Path

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.runs.play.closing import RunResult
from josh.runs.play.destinations import trust_flag
from josh.runs.play.estimate import from_sample
from josh.runs.play.replay import Replayed
from josh.runs.play.rescore import Rescored
from josh.runs.record.flaws import describe_flaws
from josh.runs.record.folder import EPISODES, IMPORTED, read_config
from josh.runs.record.headline import headline
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import as_text, counted, describe_left_out, warn_of_tags
from josh.terminal import in_a_line


def print_run(result: RunResult) -> None:
    """Print the result of a run, how to go on if tasks are missing or had errors, and the path of its page."""
    print_flaws(result)
    print_how_to_go_on(result)
    if result.settings.people:
        print(f"written to      {result.folder}/\nsee it with     josh show {result.folder} 1")
    else:
        print_summary(result)
    write_page(result.folder)


def print_broken_off(result: RunResult, error: BaseException) -> None:
    """Print how to go on with a run that an error or a person ended, and write its page if that is quick."""
    print_flaws(result)
    print_how_to_go_on(result)
    if result.summary["finished"] and not isinstance(error, UsageError):
        write_page(result.folder, broken_off=True)


def print_rescored(rescored: Rescored) -> None:
    """Print the result of a rescored run, and write its page."""
    result, summary = rescored.result, rescored.result.summary
    if rescored.damaged or not summary["complete"]:
        lines = ", ".join(map(str, rescored.damaged))
        left_out = f"; line {lines} of {EPISODES} is damaged and left out" if rescored.damaged else ""
        whole = f"{summary['finished']} of {summary['tasks']} tasks are complete"
        print(f"josh: {whole} in {rescored.source}{left_out}", file=sys.stderr)
    print_summary(result)
    write_page(result.folder)


def print_replayed(replayed: Replayed) -> None:
    """Print the result of a replayed run, and whether it is the same as that of the recorded run."""
    result, files = replayed.result, " and ".join(replayed.differ)
    print(as_text(dict(result.summary), searched=result.how.searched, unit=result.unit))
    print(f"compared        {files} differ from {replayed.source}" if files else f"the same as     {replayed.source}")
    print(f"written to      {result.folder}/")


def print_summary(result: RunResult) -> None:
    """Print the numbers of a run and its folder."""
    summary = result.summary
    print(f"{in_a_line(headline(result.settings, result.plays, result.how, summary['tasks']))}\n")
    print(as_text(dict(summary), searched=result.how.searched, unit=result.unit))
    plain = not result.how.searched and result.how != IMPORTED and not result.settings.people
    if plain and result.settings.agent.sampling.temperature == 0:
        print("temperature     0; a search samples at 1, so give --temperature 1 to compare this agent with a search")
    if (left_out := read_config(result.folder).get("left_out")) and result.how != IMPORTED:
        print(f"left out        {in_a_line(describe_left_out(left_out))}")
    if doubts := warn_of_tags(summary):
        print(f"josh: {doubts}; see josh show {result.folder}", file=sys.stderr)
    print(f"examples        {summary['training_examples']}, {summary['golden_examples']} of them on golden paths")
    print(f"written to      {result.folder}/")


def print_sample(result: RunResult) -> None:
    """Print the figures of the tasks that a run has played so far, and the estimate of the whole run from them."""
    print_flaws(result)
    print_summary(result)
    summary = result.summary
    used = []
    for _, episode in stored_episodes(result.folder / EPISODES, []):
        usage = episode.usage(Speaker.AGENT) + episode.usage(Speaker.USER)
        used.append((usage.calls, usage.prompt_tokens + usage.completion_tokens))
    if used:
        expected = from_sample(summary["tasks"], used, summary["cost"], summary["unpriced"])
        print(f"all tasks       {counted(summary['tasks'], 'task')}: {expected}")
    print_how_to_go_on(result)


def print_flaws(result: RunResult) -> None:
    """Print a line for each way in which a speaker's turns failed or were cut off, with what to try."""
    for line in describe_flaws(result.summary):
        print(f"josh: {in_a_line(line)}", file=sys.stderr)


def print_how_to_go_on(result: RunResult) -> None:
    """Print the command that goes on with a run, if tasks are missing or had errors."""
    summary, stopped = result.summary, result.stopped
    if not summary["owed"] and summary["complete"]:
        return
    what = f"{summary['finished']} of {summary['tasks']} tasks were finished"
    if summary["owed"]:
        what += f", {summary['owed']} of them with errors"
    if summary["complete"]:
        what = f"{counted(summary['owed'], 'task')} had errors"
    why, more = "", ""
    if stopped:
        why, more = f"{stopped} is reached: ", f" --{stopped.split(maxsplit=1)[0]} MORE"
    print(
        f"josh: {why}{what}; go on with: josh --resume {result.folder}{trust_flag([result.settings])}{more}",
        file=sys.stderr,
    )


def write_page(folder: Path, *, broken_off: bool = False, silent: bool = False) -> None:
    """Write the page of a run, evaluation or loop that has ended, and print its path. See `report_at_end`.

    Args:
        folder: its folder.
        broken_off: it was interrupted, so only a quick page is written, and no path is printed.
        silent: print no path.
    """
    # This imports numpy, so it is done after the result is printed.
    from josh.runs.report.report import print_pages, report_at_end

    page = report_at_end(folder, quick=broken_off)
    if page and not broken_off and not silent:
        print_pages([page])

"""Benchmarks: the cost of the search itself, and the speed of a run compared with the limit of its endpoint.

    python -m josh.runs.experiments.bench
    python -m josh.runs.experiments.bench --hf FOLDER    measure the replies of a local model instead
    python -m josh.runs.experiments.bench --sandbox bwrap    measure how fast code is graded instead

The figures of turns, forks, rescoring and the single task are medians of several repetitions; the others are measured
once. The endpoint is a server on this machine, in its own process, that answers every call after 50 ms.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from josh.branch import Branch, TurnContext
from josh.clock import TaskClock
from josh.config import settings_of_plug_in
from josh.dialogue import NO_USAGE, Speaker, Turn
from josh.driver import Search
from josh.episode import play_search
from josh.memory import relax_gc
from josh.models.chat import ChatModel, Request, Sampling
from josh.models.hf import HFChat
from josh.rewards.sandbox.run import Sandbox
from josh.rewards.sandbox.tools import TOOLS
from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.runs.play.rescore import rescore
from josh.runs.play.run import run
from josh.runs.play.runtime import Runtime
from josh.runs.record.journal import Replies
from josh.runs.registry import ENVS, OFFLINE, env_class
from josh.runs.resolve import resolve
from josh.search import grow
from josh.strategies.beam import BeamSearch
from josh.tree import Tree, internal_conversation, plant

SIZES = ((8, 10), (8, 100), (64, 100), (512, 100))
LATENCY = 0.05
IN_FLIGHT = 64


def search_alone(beam_size: int, rounds: int) -> Tree:
    """Plan, grow and update a tree that earns no reward."""
    strategy, tree = BeamSearch(beam_size), plant(["never"])
    said, answered = _turn("assistant"), _turn("user")
    for _ in range(rounds):
        for turn in (said, answered):
            plan = strategy.plan(tree)
            turns = [turn] * sum(len(expand.directives) for expand in plan)
            tree = strategy.update(grow(tree, plan, turns))
    return tree


class ScriptedCast:
    """The steps of an agent and a user that answer immediately."""

    def agent_step(self, branch: Branch, context: TurnContext) -> Any:
        """Take the agent's step."""
        return branch.agent, branch.agent.step()

    def user_step(self, branch: Branch, context: TurnContext) -> Any:
        """Take the user's step."""
        return branch.user.step(branch.agent)

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        """Returns the agent; these speakers make no errors."""
        return agent


def driven(beam_size: int, rounds: int) -> Tree:
    """Grow the same tree with the driver, with an agent and a user in every branch."""
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(["never"]))
    search = Search(BeamSearch(beam_size), ScriptedCast(), plant(["never"]), root, max_turn_tries=10, parallel=True)

    async def advance() -> None:
        for _ in range(2 * rounds):
            await search.advance()

    asyncio.run(advance())
    return search.tree


def _turn(role: str) -> Turn:
    message = {"role": role, "content": "hello!"}
    return Turn(messages=(message,), internal=(message,), actions=(("say hello",),))


def microseconds(run: Callable[[], Tree], repetitions: int) -> float:
    """Returns the median time per turn of a tree, in microseconds."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        tree = run()
        times.append((time.perf_counter() - started) / (len(tree.nodes) - 1))
    return median(times) * 1e6


def bytes_per_turn(run: Callable[[], Tree]) -> float:
    """Returns the memory of a finished tree per turn, in bytes."""
    tracemalloc.start()
    tree = run()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / (len(tree.nodes) - 1)


@asynccontextmanager
async def endpoint() -> AsyncIterator[str]:
    """Run a loopback endpoint in its own process, and yield its base URL."""
    command = [sys.executable, "-m", "josh.runs.experiments.loopback", "--latency", str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 (our own module)
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["base_url"]
        finally:
            server.terminate()


async def one_task(url: str, beam_size: int = 8, rounds: int = 10) -> tuple[float, int]:
    """Returns the seconds and the calls of one task that earns no reward."""
    return await _tasks(url, 1, beam_size, rounds)


async def _tasks(url: str, tasks: int, beam_size: int, rounds: int) -> tuple[float, int]:
    settings = resolve(
        {
            "josh": True,
            "beam_size": beam_size,
            "max_convo_turns": rounds,
            "model": "agent",
            "user_model": "user",
            "base_url": url,
            "user_base_url": url,
            "synthetic_tasks": tasks,
            "max_concurrency": IN_FLIGHT,
        },
        {},
    )
    runtime = Runtime(settings)
    await _warm_up(runtime.models)
    with TemporaryDirectory() as folder:
        runtime.gateway.journal = journal = Replies(Path(folder))
        seconds = await _play_all(runtime, rounds)
        journal.close()
    await runtime.aclose()
    return seconds, sum(runtime.gateway.account.values(), NO_USAGE).calls


async def _play_all(runtime: Runtime, rounds: int) -> float:
    """Play all tasks concurrently, and return the seconds."""

    async def one(task: Any) -> None:
        scorer = runtime.scorer(task)
        search = runtime.search(task, scorer=scorer)
        await play_search(search, task, runtime.env, clock=TaskClock(600.0), scorer=scorer)

    started = time.perf_counter()
    await asyncio.gather(*(one(task) for task in runtime.tasks))
    return time.perf_counter() - started


async def _warm_up(models: Sequence[ChatModel]) -> None:
    """Load the client and open the connections, so that their cost is not measured."""
    hello = Request([{"role": "user", "content": "hello"}], sampling=Sampling(temperature=1.0), seed=1)
    await asyncio.gather(*(model.complete(hello) for model in models for _ in range(8)))


async def bare_client(url: str, calls: int, aiohttp: bool) -> float:
    """Returns the calls per second of the openai SDK alone, with 64 in flight and prompts as long as a run's.

    Args:
        url: the endpoint.
        calls: the number of calls.
        aiohttp: use the SDK's aiohttp transport instead of its default.
    """
    from openai import AsyncOpenAI, DefaultAioHttpClient

    slots = asyncio.Semaphore(IN_FLIGHT)
    runtime = Runtime(resolve({"model": "agent", "base_url": url}, {}))
    prompt = runtime.env.agent_prompt(runtime.tasks[0])
    messages: list[Any] = [{"role": "system", "content": prompt}]
    messages += [{"role": ("user", "assistant")[turn % 2], "content": "reply to 9 messages"} for turn in range(10)]
    transport = DefaultAioHttpClient() if aiohttp else None
    async with AsyncOpenAI(api_key="none", base_url=url, max_retries=0, http_client=transport) as client:

        async def one() -> None:
            async with slots:
                await client.chat.completions.create(model="agent", messages=messages, seed=1, temperature=1.0)

        await asyncio.gather(*(one() for _ in range(8)))
        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(calls)))
        return calls / (time.perf_counter() - started)


async def endpoint_figures(tasks: int, repetitions: int) -> None:
    """Print the duration of runs against the endpoint."""
    async with endpoint() as url:
        single = [await one_task(url) for _ in range(repetitions)]
        calls, chain = single[0][1], 20 * LATENCY
        print(f"one task, beam 8, 10 rounds: {calls} calls in {median(one[0] for one in single):.2f} s")
        print(f"    in sequence they would take {calls * LATENCY:.2f} s; the longest chain takes {chain:.2f} s")
        seconds, calls = await _tasks(url, tasks, 8, 10)
        print(f"{tasks} tasks, {IN_FLIGHT} in flight: {calls} calls in {seconds:.1f} s, journal included")
        print(f"    with free calls they would take {calls * LATENCY / IN_FLIGHT:.1f} s")
        usual, best = [await bare_client(url, calls // 4, aiohttp) for aiohttp in (False, True)]
        print(
            f"    {calls / seconds:.0f} calls a second; the openai SDK alone makes {usual:.0f}, {best:.0f} on aiohttp"
        )


def rescoring(tasks: int, repetitions: int) -> tuple[int, float]:
    """Play a run, and rescore it several times. Returns its number of turns, and the median seconds of a rescoring."""
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        stored = asyncio.run(run(resolve({"josh": True, "synthetic_tasks": tasks, "log_dir": folder}, {})))
        times = []
        for _ in range(repetitions):
            started = time.perf_counter()
            asyncio.run(rescore(stored.folder, {}))
            times.append(time.perf_counter() - started)
        return stored.summary["turns"], median(times)


def offline_worlds() -> list[str]:
    """Returns the names of the worlds that play made-up tasks without a model, without their variants for suites."""
    worlds = {name: env_class(name) for name in ENVS}
    return [
        name
        for name, world in worlds.items()
        if BaseEnv in world.__bases__
        and OFFLINE in world.agents
        and "synthetic_tasks" in {one.flag for one in settings_of_plug_in(world, "env")}
    ]


async def forking(env: str, repetitions: int) -> float:
    """Returns the median microseconds to fork a branch (agent, user and world) of a search after six turns."""
    runtime = Runtime(resolve({"env": env, "josh": True, "synthetic_tasks": repetitions}, {}))
    times = []
    for task in runtime.tasks:
        search = runtime.search(task)
        branches = list(search.branches.values())
        for _ in range(6):
            await search.advance()
            if not search.tree.frontier:
                break  # the search is over, so the branches of the phase before it are measured
            branches = list(search.branches.values())
        for branch in branches:
            started = time.perf_counter()
            for _ in range(100):
                branch.fork()
            times.append((time.perf_counter() - started) / 100)
    return median(times) * 1e6


def episodes(env: str, tasks: int) -> tuple[float, float]:
    """Returns the number of made-up tasks of a world that a run searches per minute, and their mean number of goals.

    If the world has tasks with several goals, only these are played.
    """
    runtime = Runtime(resolve({"env": env, "josh": True, "synthetic_tasks": 2 * tasks}, {}))
    several = [task for task in runtime.tasks if len(runtime.env.goals(task)) > 1]
    runtime.tasks = (several or runtime.tasks)[:tasks]
    goals = sum(len(runtime.env.goals(task)) for task in runtime.tasks) / len(runtime.tasks)
    seconds = asyncio.run(_play_all(runtime, runtime.env.max_rounds))
    return 60 * len(runtime.tasks) / seconds, goals


async def local_figures(folder: str, tasks: int, threads: int) -> None:
    """Print the replies per second of a local model in searches, and when it gets one prompt at a time."""
    import torch
    import transformers

    settings = {"josh": True, "model": f"hf:{folder}", "synthetic_tasks": tasks, "torch_threads": threads}
    runtime = Runtime(resolve(settings, {}))
    await _warm_up([model for model in runtime.models if model.name == runtime.settings.agent.model])
    searches = [runtime.search(task) for task in runtime.tasks]
    watch = _Watch()
    await asyncio.gather(
        *(
            play_search(search, task, runtime.env, clock=TaskClock(3600.0), scorer=runtime.scorer(task))
            for search, task in zip(searches, runtime.tasks, strict=True)
        )
    )
    prompts = [prompt for search in searches for prompt in _prompts(search.tree)]
    together = watch.per_second(len(prompts))
    read = next((chat.read_share for chat in runtime.models if isinstance(chat, HFChat)), 1.0)
    await runtime.aclose()
    torch.set_num_threads(threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    chosen = prompts[:: max(1, len(prompts) // 200)]
    watch = _Watch()
    for prompt in chosen:
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(model.device)
        model.generate(**ids, do_sample=True, temperature=1.0, top_k=0)
    alone = watch.per_second(len(chosen))
    print(
        f"{folder}, {tasks} tasks searched with a beam of 8: {len(prompts)} replies; {torch.get_num_threads()} threads"
    )
    print(f"    {together[0]:.1f} replies a second, {together[1]:.1f} per second of processor time")
    print(f"    {read:.0%} of the prompts' tokens were read; the others were known from earlier prompts")
    print(f"    one at a time with `generate`: {alone[0]:.1f} and {alone[1]:.1f}, {len(chosen)} of the same prompts")
    print(
        f"    {together[0] / alone[0]:.1f} times as many by the clock, {together[1] / alone[1]:.1f} by processor time"
    )


def graded_per_second(tool: str, count: int) -> float:
    """Returns how many solutions a sandbox grades in a second, each with three assertions and another text.

    Args:
        tool: the program that makes the sandboxes; as many work at once as there are processors.
        count: how many solutions to grade.
    """
    sandbox = Sandbox(tool)
    tests = ["assert largest([1, 5, 2], 2) == [5, 2]", "assert largest([4], 1) == [4]", "assert largest([], 3) == []"]
    code = "import heapq\n\n\ndef largest(items, count):\n    return heapq.nlargest(count, items)  # solution {}\n"
    began = time.perf_counter()
    with ThreadPoolExecutor() as threads:
        grades = list(threads.map(lambda number: sandbox.grade(code.format(number), tests), range(count)))
    if not all(grade.right for grade in grades):
        raise RuntimeError(f"a right solution fails: {next(grade.error for grade in grades if not grade.right)}")
    return count / (time.perf_counter() - began)


class _Watch:
    """Wall-clock time and processor time since the object was created."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def per_second(self, count: int) -> tuple[float, float]:
        return count / (time.perf_counter() - self._started[0]), count / (time.process_time() - self._started[1])


def _prompts(tree: Tree) -> list[list[Any]]:
    """Returns the prompt of the agent's model for every turn of the agent in a tree."""
    turns = [node for node in tree.nodes[1:] if node.speaker is Speaker.AGENT]
    return [internal_conversation(tree, turn.parent) for turn in turns]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="repetitions, of which the median is printed")
    parser.add_argument("--tasks", type=int, default=60, help="tasks of the large run")
    parser.add_argument("--hf", metavar="FOLDER", help="measure only this local model")
    parser.add_argument("--sandbox", metavar="TOOL", help=f"measure only the grading of code; {' or '.join(TOOLS)}")
    parser.add_argument("--solutions", type=int, default=1000, help="solutions to grade")
    parser.add_argument("--torch_threads", type=int, default=1, help="torch's threads for the local model")
    args = parser.parse_args(argv)
    if min(args.repetitions, args.tasks) < 1:
        parser.error(f"repetitions is {args.repetitions}, tasks is {args.tasks}; give 1 or more")
    relax_gc()
    if args.hf:
        asyncio.run(local_figures(args.hf, args.tasks, args.torch_threads))
        return 0
    if args.sandbox:
        print(f"{args.sandbox}: {graded_per_second(args.sandbox, args.solutions):.1f} solutions a second")
        return 0
    print("microseconds per turn         search alone   driver with scripted agent and user   bytes per turn")
    for beam_size, rounds in SIZES:
        repetitions = args.repetitions if beam_size > 8 else 10 * args.repetitions
        alone = microseconds(lambda: search_alone(beam_size, rounds), repetitions)  # noqa: B023 (called at once)
        with_driver = microseconds(lambda: driven(beam_size, rounds), repetitions)  # noqa: B023
        held = bytes_per_turn(lambda: driven(beam_size, rounds))  # noqa: B023
        print(f"beam {beam_size:3d}, {rounds:3d} rounds {alone:23.1f} {with_driver:39.1f} {held:16.0f}")
    turns, seconds = rescoring(150, args.repetitions)
    print(f"rescoring {turns} stored turns: {seconds:.2f} s")
    for env in offline_worlds():
        microseconds_each = asyncio.run(forking(env, args.repetitions))
        print(f"{env}: forking a branch of a search, with its world: {microseconds_each:.1f} us")
        a_minute, goals = episodes(env, 300)
        print(f"{env}: searches with a beam of 8: {a_minute:.0f} a minute, of {goals:.1f} goals each")
    asyncio.run(endpoint_figures(args.tasks, args.repetitions))
    return 0


if __name__ == "__main__":
    sys.exit(main())

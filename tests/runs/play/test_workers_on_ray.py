"""Runs on a Ray cluster of several nodes, which are raylets of this machine, and what happens when parts of it die."""

import signal
from collections import Counter
from pathlib import Path

import pytest
from resuming import files, flags, respond, run_in, said, summary
from workers import PROCESSES, asked, calls_in, kill, on, started, the_run, wait_for, wait_for_requests

from josh.cli import main

pytest.importorskip("ray", reason="ray is not installed: pip install 'josh-dialogue[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere"), pytest.mark.filterwarnings("ignore")]


WAITS = """
import asyncio, os
from pathlib import Path
from josh.agents.chat import Persuader

class Waits(Persuader):
    async def step(self, **given):
        with Path("gpus").open("a") as file:
            print(os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
        while len({line.split()[0] for line in Path("gpus").read_text().splitlines()}) < 2:
            await asyncio.sleep(0.1)
        return await super().step(**given)
"""
"""An agent that says which GPU it has, and waits for a second process."""


@pytest.fixture
def cluster(monkeypatch):
    """A head without processors for workers, and two nodes with two each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.others = [found.add_node(num_cpus=2) for _ in range(2)]
    found.wait_for_nodes()
    yield found
    found.shutdown()


def ray(cluster, workers=None):
    """The flags of a run on a cluster."""
    count = [] if workers is None else ["--workers", str(workers)]
    return ["--executor", "ray", "--ray_address", cluster.address, *count]


def actors():
    """The processes of actors that play tasks, by their number, with the process that started each: its raylet."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::Actor"):
                stat = (process / "stat").read_text().rpartition(")")[2].split()
                if stat[0] != "Z":
                    found[int(process.name)] = int(stat[1])
        except OSError:
            continue
    return found


def wholly(endpoint):
    """The files of a whole run of one process, and its number of requests."""
    url, server = endpoint(respond=respond)
    return files(run_in("whole", *flags(url))), len(server.requests)


def test_a_cluster_changes_no_byte_and_no_request(endpoint, cluster):
    whole, once = wholly(endpoint)
    for workers in (1, 3, None):
        url, server = endpoint(respond=respond)
        run = run_in(f"on{workers}", *flags(url), *ray(cluster, workers))
        assert files(run) == whole
        assert len(server.requests) == calls_in(summary(run)) == once
    wait_for(lambda: not actors(), 20)


def test_the_budget_and_the_limiter_hold_for_the_cluster(endpoint, cluster):
    whole, once = wholly(endpoint)
    url, server = endpoint(respond=respond, latency=0.02)
    run = run_in("records", *flags(url), *ray(cluster, 4), "--max_calls", "40", "--max_concurrency", "5")
    assert len(server.requests) == calls_in(summary(run)) == 40
    assert server.peak_concurrency <= 5
    assert main(["--resume", str(run), "--max_calls", "999", *PROCESSES, "2"]) == 0
    assert files(run) == whole
    assert len(server.requests) == once


def test_dead_actors_and_a_dead_node_change_no_byte(endpoint, cluster):
    whole, once = wholly(endpoint)
    url, server = endpoint(respond=respond, latency=0.1)
    run = started(*flags(url), *ray(cluster, 3), "--max_concurrency", "6")
    wait_for_requests(server, 12, run)
    kill(next(iter(actors())))
    wait_for_requests(server, 40, run)
    before = set(actors())
    cluster.remove_node(cluster.others[0], allow_graceful=False)
    wait_for(lambda: before - set(actors()), 30)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert err.count("a new one takes its place") >= 2
    assert "success rate" in out
    assert files(the_run()) == whole
    assert calls_in(summary(the_run())) == once
    assert 0 < len(server.requests) - once <= 12


def test_a_dead_driver_leaves_no_actor_and_another_executor_goes_on(endpoint, cluster):
    whole, once = wholly(endpoint)
    url, server = endpoint(respond=respond, latency=0.05)
    run = started(*flags(url), *ray(cluster, 3))
    wait_for_requests(server, 40, run)
    run.kill()
    run.communicate()
    wait_for(lambda: not actors(), 30)
    before = len(server.requests)
    run = started("--resume", str(the_run()), *PROCESSES, "2")
    wait_for_requests(server, before + 20, run)
    run.kill()
    run.communicate()
    assert main(["--resume", str(the_run()), *ray(cluster, 2)]) == 0
    assert files(the_run()) == whole
    assert len(server.requests) - once <= 2 * 16


def test_ctrl_c_waits_for_paid_replies_and_leaves_no_actor(endpoint, cluster):
    url, server = endpoint(respond=respond, latency=0.1)
    run = started(*flags(url), *ray(cluster, 2))
    wait_for_requests(server, 20, run)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    *waits, message, last = err.splitlines()
    assert all(line.startswith("josh: waiting up to 25 seconds for ") for line in waits)
    assert "of 8 tasks were finished; go on with: josh --resume killed/" in message
    assert last == "josh: interrupted"
    wait_for(lambda: not actors(), 20)
    assert calls_in(summary(the_run())) == len(server.requests)
    assert main(["--resume", str(the_run()), "--executor", "local"]) == 0
    assert max(Counter(asked(server)).values()) == 1


def test_without_an_address_ray_starts_on_this_machine_and_is_gone_afterwards(endpoint, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    whole, once = wholly(endpoint)
    url, server = endpoint(respond=respond)
    run = started(*on(2, url, executor=("--executor", "ray", "--workers")))
    out, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, "")
    assert "success rate" in out
    assert files(the_run()) == whole
    assert len(server.requests) == once


def test_each_local_model_has_a_gpu_of_its_own(cluster, tiny_model, capfd):
    cluster.add_node(num_cpus=2, num_gpus=2)
    cluster.wait_for_nodes()
    few = ["--synthetic_tasks", "4", "--max_convo_turns", "2"]
    Path("gpu.py").write_text(WAITS)
    run_in("records", "--model", f"hf:{tiny_model}", "--agent", "./gpu.py:Waits", *few, *ray(cluster, 3))
    assert "josh: workers is 3, but there are 2 GPUs for the model; 2 workers play" in capfd.readouterr().err
    assert {line.split()[1] for line in Path("gpus").read_text().splitlines()} == {"0", "1"}


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("127.0.0.1:1", "ray_address is '127.0.0.1:1', and nothing answers there (Connection refused); start Ray"),
        ("here", "ray_address is 'here'; give HOST:PORT, such as 10.0.0.1:6379, or auto"),
        ("ray://127.0.0.1:10001", "ray_address is 'ray://127.0.0.1:10001', for programs outside the cluster"),
        ("auto", "ray_address is 'auto', but this machine is not a node of a cluster there"),
    ],
)
def test_an_address_without_a_cluster_is_refused_in_one_line(capsys, address, line):
    assert main(["run", "--synthetic_tasks", "2", "--executor", "ray", "--ray_address", address]) == 2
    (found,) = said(capsys)
    assert found.startswith(f"josh: {line}")
    assert not Path("records").exists()

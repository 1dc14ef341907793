"""llama.cpp's own server with a file of weights, in a process of its own: `python llama_server.py FILE PORT`."""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager


@contextmanager
def llama_server(weights):
    """Serve a model on this machine; yields the base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, str(weights), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait(url, process):
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not start")


def main(weights, port):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.n_ctx, params.n_parallel = 8192, 4
    params.use_jinja = True
    # One thread: on a busy machine several threads wait for each other at every token.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)  # it serves as long as the object lives
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main(*sys.argv[1:])

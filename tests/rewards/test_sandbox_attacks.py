"""Solutions that try to get out of the sandbox, to outlast it, or to forge their grade."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandboxes import TOOLS, any_sandbox, sandbox

RIGHT = "def double(number):\n    return 2 * number\n"
TESTS = ["assert double(2) == 4", "assert double(0) == 0", "assert double(-3) == -6"]


@pytest.fixture(params=TOOLS)
def tool(request):
    return request.param


def passed(tool, solution, tests=TESTS, seconds=20.0):
    """How many tests hold."""
    grade = sandbox(tool, seconds).grade(solution, tests)
    assert grade.total == len(tests)
    return grade.passed


@pytest.mark.parametrize(
    "solution",
    [
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit(0)",
        "def double(number):\n    import sys\n    sys.exit(0)",
        "def double(number):\n    import os\n    os._exit(0)",
        "def double(number):\n    raise StopIteration",
        "quit()",
        "assert True",
    ],
)
def test_an_early_end_scores_nothing(solution):
    assert any_sandbox().grade(solution, TESTS[:1]).passed == 0


ENDLESS = {
    "endless output": "while True:\n    print('x' * 1000)",
    "fork bomb": "import os\nwhile True:\n    os.fork()",
    "patient fork bomb": """
import os
def double(number):
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    "hanging child": "import os, time\nif os.fork():\n    os.wait()\ntime.sleep(600)",
    "deaf to signals": """
import signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
""",
}


@pytest.mark.parametrize("solution", ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_ended(tool, solution):
    grade = sandbox(tool, 1.0).grade(solution, TESTS[:1])
    assert grade.passed == 0
    assert grade.error.startswith(("test 1: it takes longer than 1 s", "test 1: BlockingIOError", "test 1: it leaves"))


@pytest.mark.parametrize("leader", ["", "        os.setsid()\n"], ids=["in its group", "in a session of its own"])
def test_a_right_answer_with_a_child_that_goes_on_scores_nothing(tool, leader):
    child = f"    if os.fork() == 0:\n{leader}        time.sleep(600)\n"
    grade = sandbox(tool).grade(f"import os, time\ndef double(number):\n{child}    return 2 * number", TESTS)
    assert (grade.passed, grade.error) == (0, "test 1: it leaves a process running")


def test_four_gigabytes_are_refused(tool):
    grade = sandbox(tool).grade("taken = bytearray(4 << 30)\n" + RIGHT, TESTS)
    assert (grade.passed, grade.error) == (0, "test 1: MemoryError")
    assert passed(tool, "import ctypes\nctypes.memset(ctypes.create_string_buffer(4 << 30), 1, 4 << 30)\n" + RIGHT) == 0


def test_large_files_and_large_answers_are_refused(tool):
    fill = "def double(number):\n    open('/tmp/x', 'wb').write(bytes(4 << 20))\n    return 2 * number"
    assert passed(tool, fill) == 0
    many = "for n in range(64):\n    open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))\n"
    assert passed(tool, many + RIGHT) == 0
    assert passed(tool, "def double(number):\n    return 'x' * 2**21") == 0


def test_the_environment_has_no_key(tool, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "sk-123")
    solution = """
import os
def seen():
    found = [f"{name}={value}" for name, value in os.environ.items()]
    for path in ("/proc/self/environ", "/proc/1/environ"):
        try:
            found.append(open(path).read())
        except OSError:
            pass
    return found
"""
    assert passed(tool, solution, ["assert any('sk-' in one for one in seen())", "assert seen() == []"]) == 1


def test_nothing_outside_is_written_or_read(tool, tmp_path):
    tmp_path.chmod(0o777)
    (tmp_path / "key").write_text("sk-123")
    places = [str(tmp_path), "/usr/lib", "/etc", "/", "/dev", "/root", "/home", "/var/tmp", str(Path(__file__).parent)]
    solution = f"""
import os
def written():
    done = []
    for place in {places!r}:
        try:
            with open(os.path.join(place, "josh-was-here"), "w") as file:
                file.write("x")
            done.append(place)
        except OSError:
            pass
    return done
def read():
    return open({str(tmp_path / "key")!r}).read()
def own():
    open("own", "w").write("x")
    return os.path.realpath("own")
"""
    tests = ["assert written() == []", "assert read() == 'sk-123'", "assert own() == '/tmp/own'"]
    grade = sandbox(tool).grade(solution, tests)
    assert (grade.passed, grade.error.split(":")[:2]) == (2, ["test 2", " FileNotFoundError"])
    assert not [place for place in places if os.access(Path(place, "josh-was-here"), os.F_OK)]


def test_there_is_no_network_and_no_other_process(tool):
    solution = """
import os, socket
def reached():
    done = []
    for family, address in ((socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET6, ("2001:db8::1", 80))):
        with socket.socket(family) as one:
            one.settimeout(0.5)
            try:
                one.connect(address)
                done.append(address)
            except TimeoutError:
                done.append(address)
            except OSError:
                pass
    return done
def others():
    return sum(map(exists, range(1, 2000)))
def exists(number):
    try:
        os.kill(number, 0)
        return True
    except PermissionError:
        return True
    except OSError:
        return False
def user():
    return os.getuid() == os.geteuid() != 0, os.getgid() == os.getegid() != 0
"""
    tests = ["assert reached() == []", "assert others() < 8", "assert user() == (True, True)"]
    assert passed(tool, solution, tests) == 3


FORGED = '{"nonce": "", "errors": [""]}'
ONE = "\ndef double(number): return 1"
FORGERIES = {
    "prints a result": f"print({FORGED!r}){ONE}",
    "writes a result into every file": f"""
import os
for number in range(64):
    try:
        os.write(number, {FORGED.encode()!r} + bytes(10))
    except OSError:
        pass
""",
    "writes a report into every file": """
import os
def double(number):
    for file in range(64):
        try:
            os.write(file, b"+")
        except OSError:
            pass
""",
    "closes every file": "import os\nos.closerange(0, 64)" + ONE,
    "is equal to all": """
class Same:
    def __eq__(self, other): return True
    __hash__ = None
def double(number): return Same()
""",
    "is a number equal to all": """
class Same(int):
    def __eq__(self, other): return True
def double(number): return Same(1)
""",
    "is a class equal to all": """
class Meta(type):
    def __eq__(self, other): return True
class Same(metaclass=Meta): pass
def double(number): return Same
""",
    "replaces exec": "import builtins\nbuiltins.AssertionError = None\nbuiltins.exec = lambda *a: None" + ONE,
    "replaces json": """
import json, os
json.dumps = lambda *a, **k: '["ok", null, []]'
os._exit = lambda code: None
def double(number): return 1
""",
    "replaces the judge": """
import sys
for module in list(sys.modules.values()):
    for name in [name for name in vars(module) if name in ("judge", "_judge", "main", "decode", "encode")]:
        setattr(module, name, lambda *a: "")
def double(number): return 1
""",
    "replaces print and the output": "import sys\nprint = None\nsys.stdout = sys.stderr = None" + ONE,
    "ends the others": """
import os
for number in range(1, 400):
    for signal in (9, 19, 15) if number != os.getpid() else ():
        try:
            os.kill(number, signal)
        except OSError:
            pass
def double(number): return 1
""",
    "ends all": "import os\ntry:\n    os.kill(-1, 9)\nexcept OSError:\n    pass" + ONE,
    "empties the program": "import __main__\nvars(__main__).clear()" + ONE,
    "walks the frames": """
import sys
frame = sys._getframe()
while frame:
    for name in frame.f_globals.keys() & {"judge", "json", "send", "encode"}:
        frame.f_globals[name] = lambda *a, **k: None
    frame = frame.f_back
def double(number): return 1
""",
    "ends while it is asked": "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()" + ONE,
}


@pytest.mark.parametrize("solution", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_result_scores_nothing(solution):
    assert any_sandbox(2.0).grade(solution, TESTS[:1]).passed == 0


def test_the_outer_functions_of_an_assertion_cannot_be_replaced(tool):
    names = ("set", "sorted", "len", "all", "abs", "isinstance", "math", "tuple")
    fakes = "".join(f"def {name}(*a, **k): return Same()\n" for name in names)
    same = "class Same:\n    def __getattr__(self, name): return lambda *a, **k: True\nmath = Same()\n"
    tests = [
        "assert set(double(2)) == set([4])",
        "assert sorted(double(2)) == sorted([4])",
        "assert len(double(2)) == 7",
        "assert math.isclose(double(2), 4)",
        "assert all(double(number) == 2 * number for number in (1, 2))",
        "assert isinstance(double(2), str)",
    ]
    assert passed(tool, f"{fakes}{same}def double(number): return [1]", tests) == 0


SEARCH = """
import gc, sys, os
FOUND = []
def look(text):
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if isinstance(text, str):
        FOUND.extend(1 for piece in text.split("open")[1:] if piece.startswith("sesame"))
def search():
    for one in gc.get_objects():
        for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, (list, tuple)) else ()):
            look(inner)
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            look(value)
            look(repr(value))
        frame = frame.f_back
    for number in range(3, 64):
        try:
            os.set_blocking(number, False)
            look(os.read(number, 1 << 16))
        except OSError:
            pass
    for path in ("/proc/self/cmdline", "/proc/1/cmdline", "/proc/self/mem", "/proc/1/mem", "/proc/1/fd/0"):
        try:
            look(open(path, "rb").read(1 << 16))
        except OSError:
            pass
    return len(FOUND)
"""


def test_the_tests_and_the_nonce_are_nowhere_in_the_solutions_process(tool):
    assert passed(tool, SEARCH, ["assert search() > 0, 'opensesame'"]) == 0
    assert passed(tool, SEARCH.replace("range(3, 64)", "()"), ["assert search() == 0, 'opensesame'"]) == 1
    found = [sys.executable, "-c", f"{SEARCH}KEPT = ['opensesame']\nprint(search())"]
    assert int(subprocess.run(found, capture_output=True, text=True, check=True).stdout) > 0  # it finds what is there


def test_the_other_processes_cannot_be_traced_or_read(tool):
    solution = """
import ctypes, os
class Piece(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
def opened():
    done = []
    room = ctypes.create_string_buffer(8)
    for number in range(1, 64):
        if number == os.getpid():
            continue
        if libc.ptrace(16, number, None, None) == 0:
            done.append(number)
        here, there = Piece(ctypes.addressof(room), 8), Piece(id(libc), 8)
        if libc.process_vm_readv(number, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) == 8:
            done.append(-number)
    return done
"""
    assert passed(tool, solution, ["assert opened() == []"]) == 1


def test_rights_and_limits_cannot_be_won_back(tool):
    solution = """
import os, resource, subprocess
def won():
    done = []
    for act in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot("/tmp"), lambda: os.nice(-1),
                lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0)), lambda: os.rename("/tmp", "/temporary"),
                lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)),
                lambda: resource.setrlimit(resource.RLIMIT_NPROC, (1 << 20, 1 << 20))):
        try:
            act()
            done.append(str(act))
        except (OSError, ValueError, AttributeError):
            pass
    return done
"""
    assert passed(tool, solution, ["assert won() == []"]) == 1

"""One Touchline per data folder: the lock, the ports, and an end to what an earlier start left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.domain.errors import SetupError
from cluster.processes import end, need_port, only_one, reap, remember_children

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
ROOT = Path(__file__).resolve().parents[2]

Children = list["subprocess.Popen[str]"]


@pytest.fixture
def children() -> Iterator[Children]:
    """Processes to be ended behind the test, whatever it did."""
    started: Children = []
    yield started
    for child in started:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def start(children: Children, command: list[str] = SLEEP) -> psutil.Process:
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    children.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return psutil.Process(child.pid)


def runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def note(folder: Path, content: object) -> None:
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "children.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_second_start_on_the_same_folder_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(SetupError) as refused, only_one(tmp_path):
        pass
    assert str(refused.value) == f"the data folder {tmp_path} is in use by another Touchline"
    with only_one(tmp_path):
        pass


def test_another_folder_is_another_touchline(tmp_path: Path) -> None:
    with only_one(tmp_path / "a"), only_one(tmp_path / "b"):
        assert (tmp_path / "b" / "run" / "lock").exists()


def test_a_killed_holder_holds_no_lock(tmp_path: Path, children: Children) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cluster.processes import only_one\n"
        "with only_one(Path(sys.argv[1])): print('up', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    children.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    with pytest.raises(SetupError, match="in use by another Touchline"), only_one(tmp_path):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    with only_one(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError) as refused, only_one(tmp_path / "file"):
        pass
    assert str(refused.value) == f"the data folder {tmp_path}/file cannot be written: Not a directory"


def test_what_was_left_behind_is_ended_and_nothing_else(tmp_path: Path, children: Children) -> None:
    left, other, stubborn = start(children), start(children), start(children, STUBBORN)
    note(
        tmp_path,
        [
            [left.pid, left.create_time()],
            [stubborn.pid, stubborn.create_time()],
            [other.pid, other.create_time() - 60],  # the pid was used again since
            [2**22 + 1, 0.0],  # no such process
            [os.getpid(), psutil.Process().create_time()],
        ],
    )
    assert reap(tmp_path) == 2
    assert [runs(process) for process in (left, stubborn, other)] == [False, False, True]
    assert reap(tmp_path) == 0


def test_when_a_process_began_may_be_told_a_little_differently(tmp_path: Path, children: Children) -> None:
    """Linux counts from the boot time, which is set anew with the clock."""
    left = start(children)
    note(tmp_path, [[left.pid, left.create_time() + 1.0]])
    assert reap(tmp_path) == 1


def test_what_was_remembered_is_what_is_ended(tmp_path: Path, children: Children) -> None:
    (tmp_path / "run").mkdir()
    child = start(children)
    remember_children(tmp_path)
    later = start(children)
    remembered = json.loads((tmp_path / "run" / "children.json").read_text())
    ours = [row for row in remembered if row[0] in (child.pid, later.pid)]  # other tests have left helpers of theirs
    note(tmp_path, json.dumps(ours))
    assert reap(tmp_path) == 1
    assert (runs(child), runs(later)) == (False, True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["children.json"]


@pytest.mark.parametrize("content", ["", "[[1", "null", "{}", "[[1]]", '[["a", "b"]]', "[7]"])
def test_a_note_that_cannot_be_read_ends_nothing(tmp_path: Path, content: str) -> None:
    note(tmp_path, content)
    assert reap(tmp_path) == 0


def test_no_note_ends_nothing(tmp_path: Path) -> None:
    assert reap(tmp_path) == 0


def test_ending_takes_the_children_of_children_too(children: Children) -> None:
    """In a process of its own, since it ends every process below the one that asks for it."""
    code = (
        "import subprocess, sys; from cluster.processes import end_children\n"
        "child = [sys.executable, '-c', 'import subprocess, sys; subprocess.run(sys.argv[1:])']\n"
        "started = subprocess.Popen([*child, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)\n"
        "print(started.stdout.readline(), end='', flush=True); sys.stdin.readline()\n"
        "end_children(); print('ended', flush=True); sys.stdin.readline()"
    )
    asker = subprocess.Popen(
        [sys.executable, "-c", code, *SLEEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    children.append(asker)
    assert asker.stdin is not None
    assert asker.stdout is not None
    with asker.stdin as ask:
        assert asker.stdout.readline() == "up\n"
        family = psutil.Process(asker.pid).children(recursive=True)
        assert len(family) == 2
        ask.write("\n")
        ask.flush()
        assert asker.stdout.readline() == "ended\n"
        assert not any(map(runs, family))


def test_a_process_whose_parent_does_not_notice_has_ended(children: Children) -> None:
    """Its parent never waits for it: as a zombie it would be waited for in vain."""
    forgetful = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('up', flush=True); time.sleep(600)"
    )
    parent = start(children, [sys.executable, "-c", forgetful])
    [orphan] = parent.children()
    end([orphan])
    assert orphan.status() == psutil.STATUS_ZOMBIE
    end([orphan])
    assert runs(parent)


def test_a_port_in_use_is_one_sentence_with_its_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError) as refused:
            need_port("127.0.0.1", port, "serve.port")
        assert str(refused.value) == (
            f"serve.port={port} cannot be used on 127.0.0.1: Address already in use; choose another"
        )
    need_port("127.0.0.1", port, "serve.port")


def test_a_port_that_somebody_uses_on_all_interfaces_is_in_use() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(SetupError, match="Address already in use"):
        need_port("127.0.0.1", taken.getsockname()[1], "ray.metrics_port")


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_one_sentence(host: str) -> None:
    with pytest.raises(SetupError, match=f"serve.port=8000 cannot be used on {host}: .*; choose another"):
        need_port(host, 8000, "serve.port")

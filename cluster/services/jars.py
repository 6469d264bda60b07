"""The servers' jars: fetched by Maven once, from cluster/services/pom.xml."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from actors.domain.errors import SetupError

POM = Path(__file__).resolve().parent / "pom.xml"
_MODULES = ("kafka", "cassandra")
_FETCHED = re.compile(r"Downloaded from \S+ \S*/([^/ ]+\.jar)\b")  # the file's name, not where it came from
_TAIL = 5


def need_java() -> str:
    """Return the path of Java 17 or newer.

    Raises:
        SetupError: There is none.
    """
    java = shutil.which("java")
    if java is None:
        raise SetupError("Kafka and Cassandra need Java 17; there is no java on the PATH")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < 17:
        raise SetupError(f"Kafka and Cassandra need Java 17; {java} is {said.splitlines()[0] if said else 'mute'}")
    return java


def need_jars(folder: Path, say: Callable[[str], None]) -> None:
    """Fetch the jars unless they are there, telling how far it is.

    Raises:
        SetupError: Maven is not there or failed.
    """
    stamp = folder / f"fetched-{_fingerprint()}"
    if stamp.exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise SetupError("Kafka's and Cassandra's jars are fetched by Maven; there is no mvn on the PATH")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say("Fetching the jars of Kafka and Cassandra (110 MB, once)")
    command = [maven, "-B", "-f", str(POM), "dependency:copy-dependencies", f"-Djars={folder}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = _told(process.stdout, say)
    if process.returncode:
        raise SetupError(f"Maven could not fetch the jars of {POM}: {' '.join(last)}")
    stamp.touch()


def class_path(folder: Path, module: str) -> str:
    """Return Java's class path of a server."""
    return f"{folder.resolve() / module}/*"


def _told(lines: Iterator[str], say: Callable[[str], None]) -> list[str]:
    """Say every tenth jar; return the last lines that tell of an error."""
    count, errors = 0, list[str]()
    for line in lines:
        if found := _FETCHED.search(line):
            count += 1
            if count % 10 == 0:
                say(f"  {count} jars, {found[1]}")
        elif line.startswith("[ERROR]"):
            errors.append(re.sub(r"https?://\S+", "the repository", line.removeprefix("[ERROR]").strip()))
    return [error for error in errors if error][:_TAIL]


def _fingerprint() -> str:
    poms = [POM, *(POM.parent / module / "pom.xml" for module in _MODULES)]
    return hashlib.sha256(b"".join(pom.read_bytes() for pom in poms)).hexdigest()[:12]

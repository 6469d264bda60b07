"""Kafka, Cassandra and Redis on this machine: `python -m cluster.services up|down|status|logs NAME|wipe [key=value]`.

`up` starts what does not run and waits until each answers; `down` ends them in order and waits; `status` asks each;
`logs NAME` shows the end of one's log; `wipe` ends them and removes their data. Options are those of conf/services.py,
such as `services.kafka.port=19092`. Exit code 2: it could not be done, and why.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console

from actors.domain.errors import ForecastingError, SetupError
from cluster.services.server import ServerFailed
from cluster.services.servers import Services
from conf.run import EXIT_SETUP, WrongOptions, load

console = Console(highlight=False, soft_wrap=True)
_LINES = 50


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    words, overrides = [w for w in argv if "=" not in w], [w for w in argv if "=" in w]
    try:
        act = _command(words)
        return act(Services(load(overrides).services, console.print))
    except ServerFailed as failed:
        print(failed, *(f"  {line}" for line in failed.tail), sep="\n", file=sys.stderr)
    except (ForecastingError, WrongOptions) as error:
        print(error, file=sys.stderr)
    return EXIT_SETUP


def _command(words: list[str]) -> Callable[[Services], int]:
    match words:
        case ["up"]:
            return _up
        case ["down"]:
            return _down
        case ["status"]:
            return _status
        case ["logs", name]:
            return partial(_logs, name)
        case ["wipe"]:
            return _wipe
    raise SetupError(f"expected up, down, status, logs NAME or wipe, was {' '.join(words) or 'nothing'}")


def _up(services: Services) -> int:
    services.up()
    return 0


def _down(services: Services) -> int:
    services.down()
    return 0


def _status(services: Services) -> int:
    states = services.status()
    for state in states:
        console.print(f"{state.name:<10} {state.said}")
    return 0 if all(state.is_ready for state in states) else 1


def _logs(name: str, services: Services) -> int:
    server = services.named(name)
    console.print(f"{server.log}")
    for line in server.tail(_LINES):
        console.print(line, markup=False)
    return 0


def _wipe(services: Services) -> int:
    services.wipe()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

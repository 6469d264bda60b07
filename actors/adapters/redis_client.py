"""How we speak to Redis: one script, short timeouts, no second tries, and what its errors mean to us."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from typing import Any, NamedTuple

import redis
from redis import exceptions as errors
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from actors.adapters.passwords import read_password
from actors.domain.errors import SetupError, StoreUnavailable
from conf.stores import RedisViewConfig

LEAST_VERSION = 7  # flags of scripts; below it nothing was tested
_REFUSED = (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError)


class Call(NamedTuple):
    """One run of the script: the keys it touches, and what its operation is told."""

    keys: Sequence[str]
    args: Sequence[str | bytes | int]


class ScriptedRedis:
    """One script in one Redis. Threads may share it. Nothing is asked before the first call, and nothing twice.

    No call waits longer than `timeout_s` for a connection, for sending, or for the next piece of an answer.
    """

    def __init__(self, config: RedisViewConfig, script: str, first_args: Sequence[int]) -> None:
        """Take note of where it is.

        Args:
            first_args: What every operation of the script is told first.
        Raises:
            SetupError: The password file cannot be read.
        """
        self._config, self._script, self._first_args = config, script, first_args
        self._sha = sha1(script.encode(), usedforsecurity=False).hexdigest()  # by which Redis knows it
        self._where = f"Redis at {config.host}:{config.port}"
        self._client = redis.Redis(
            host=config.host,
            port=config.port,
            db=config.db,
            username=config.username,
            password=read_password("view.password_file", config.password_file),
            socket_timeout=config.timeout_s,
            socket_connect_timeout=config.timeout_s,
            retry=Retry(NoBackoff(), 0),  # by default it tries 10 times, for seconds
            maint_notifications_config=MaintNotificationsConfig(enabled=False),  # they would stretch timeouts to 10 s
        )

    def check(self) -> None:
        """Ask once whether this Redis will do.

        Raises:
            SetupError: It will not, and no retry would cure that: wrong password, too old, Redis Cluster, a replica.
            StoreUnavailable: It did not answer; later it may.
        """
        try:
            with self._translated("check"):
                problem = _unfit(dict(self._client.info()))
            if problem is None:
                self.run("look", [Call([f"{self._config.prefix}:check"], [0])])  # it may not be allowed to run scripts
        except StoreUnavailable as error:
            problem = self._incurable(error.__cause__)
            if problem is None:
                raise
        if problem is not None:
            tried = f"asked once, for at most {self._config.timeout_s:g} s"
            raise SetupError(f"{self._where} cannot hold the live view: {problem} ({tried})")

    def run(self, operation: str, calls: Sequence[Call]) -> list[Any]:
        """Run the script for each call, in order, in one round trip; return what it said.

        Raises:
            StoreUnavailable: Some may have run, some not.
        """
        with self._translated(operation):
            answers = self._send(operation, calls)
            missed = [call for call, answer in zip(calls, answers, strict=True) if _is_unknown(answer)]
            if missed:  # a restart or SCRIPT FLUSH: the script goes along only where it must
                self._client.script_load(self._script)
                again = iter(self._send(operation, missed))
                answers = [next(again) if _is_unknown(answer) else answer for answer in answers]
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _send(self, operation: str, calls: Sequence[Call]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.evalsha(self._sha, len(keys), *keys, operation, *self._first_args, *args)
            return pipeline.execute(raise_on_error=False)

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (errors.RedisError, OSError) as error:
            raise StoreUnavailable(self._where, operation, _said(error)) from error

    def _incurable(self, error: BaseException | None) -> str | None:
        """Return what is wrong if asking again would not help."""
        if isinstance(error, _REFUSED):
            who = f"the user {self._config.username!r}" if self._config.username else "us"
            return f"it refused {who}: {_said(error)}; view.username and view.password_file say who asks"
        if isinstance(error, errors.ResponseError) and "DB index" in str(error):
            return f"it has no database view.db={self._config.db}"
        return None


def _unfit(info: dict[str, Any]) -> str | None:
    version, mode, role = str(info["redis_version"]), info.get("redis_mode"), info.get("role")
    if int(version.partition(".")[0]) < LEAST_VERSION:
        return f"it is Redis {version}, {LEAST_VERSION} or newer is needed"
    if mode == "cluster":
        return "it is part of a Redis Cluster; the view's script needs all its keys in one Redis"
    if role != "master":
        return f"its role is {role}, and only a primary takes writes"
    return None


def _is_unknown(answer: object) -> bool:
    return isinstance(answer, errors.NoScriptError)


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

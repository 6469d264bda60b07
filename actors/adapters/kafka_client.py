"""How we speak to Kafka: the options of every client, and what its errors mean to us."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import errors

from actors.adapters.passwords import read_password
from actors.domain.errors import SetupError, StoreError, StoreUnavailable
from conf.stores import KafkaFeedConfig

REQUEST_TIMEOUT_MS = 5_000
MOST_BYTES = 4 * 1024 * 1024  # of one record: a snapshot of a whole match has a tenth of it

# Its reconnections are told by our own errors, once, not by each attempt of each client.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

_REFUSED = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabledError,
)
_TOO_OLD = (errors.UnsupportedVersionError, errors.IncompatibleBrokerVersion, errors.UnrecognizedBrokerVersion)


def client_options(config: KafkaFeedConfig) -> dict[str, Any]:
    """Return the options that consumers, producers and the admin client share.

    Raises:
        SetupError: The password file cannot be read.
    """
    return {
        "bootstrap_servers": list(config.servers),
        "client_id": "touchline",
        "bootstrap_timeout_ms": round(config.connect_timeout_s * 1000),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        # By default a broker that was restarted is tried again after half a minute, a moved leader found after five.
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 30_000,
        **_security(config),
    }


def _security(config: KafkaFeedConfig) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": config.security_protocol}
    if config.ca_file is not None:
        options["ssl_cafile"] = config.ca_file
    if config.username is not None:
        options["sasl_mechanism"] = config.sasl_mechanism
        options["sasl_plain_username"] = config.username
        options["sasl_plain_password"] = read_password("feed.password_file", config.password_file)
    return options


@contextmanager
def translated(config: KafkaFeedConfig, operation: str) -> Iterator[None]:
    """Run the block; what Kafka's client raises is one of our errors: transient, unless no retry would cure it."""
    where = ", ".join(config.servers)
    try:
        yield
    except StoreError:
        raise
    except _REFUSED as error:
        raise SetupError(f"Kafka at {where} refused {_who(config)}: {_said(error)}") from error
    except errors.KafkaConfigurationError as error:
        raise SetupError(f"the options of feed do not go together: {_said(error)}") from error
    except _TOO_OLD as error:
        raise SetupError(f"Kafka at {where} is too old for {operation}: {_said(error)}; 4.0 is expected") from error
    except (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError) as error:
        raise StoreError(f"Kafka at {where} takes records of at most {MOST_BYTES} bytes in {operation}") from error
    except (errors.KafkaError, OSError) as error:
        raise StoreUnavailable(f"Kafka at {where}", operation, _said(error)) from error


@contextmanager
def reached(config: KafkaFeedConfig) -> Iterator[None]:
    """Run the block at a start, where a broker that does not answer is a SetupError."""
    try:
        with translated(config, "connecting"):
            yield
    except StoreUnavailable as error:
        problem = f"Kafka did not answer within {config.connect_timeout_s:g} s"
        raise SetupError(f"feed.servers={','.join(config.servers)}: {problem}; {_at(config)}") from error


def _at(config: KafkaFeedConfig) -> str:
    """Say what is at the first of the servers: the client itself only says that it waited."""
    host, _, port = config.servers[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            refuses = f", or it refuses {_who(config)}"  # the client tries that again too, and does not say so
            return f"what listens on {host}:{port} is not Kafka 4 with {config.security_protocol}{refuses}"
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"


def _who(config: KafkaFeedConfig) -> str:
    return f"the user {config.username!r}" if config.username else "a client without credentials"


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

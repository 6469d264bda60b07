"""Configuration: every option composes, every mistake is one sentence with the key's full name and exit code 2."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from itertools import chain
from pathlib import Path

import pytest

from conf.run import EXIT_SETUP, FOLDER, WrongOptions, load, run
from conf.schema import Config
from conf.stores import EmbeddedStoreConfig

ROOT = Path(__file__).resolve().parents[2]
GROUPS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name not in ("hydra", "__pycache__"))
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((FOLDER / group).glob("*.yaml"))]


class CannotStart(Exception):
    """An error that a program declares as expected."""


Run = Callable[..., tuple[int, str, Config | None]]


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, given back as it was: Hydra configures it."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    for handler in logger.handlers:
        if handler not in handlers:
            handler.close()
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, root_logger: logging.Logger
) -> Run:
    """Run a program with these overrides; return the exit code, what stderr got, and the configuration it saw."""

    def start(*overrides: str, main: Callable[[Config], int | None] | None = None) -> tuple[int, str, Config | None]:
        seen: list[Config] = []

        def record(config: Config) -> None:
            seen.append(config)

        monkeypatch.setattr(sys, "argv", ["program", f"data.folder={tmp_path}", *overrides])
        code = run(main or record, expected=(CannotStart,))
        return code, capsys.readouterr().err, seen[0] if seen else None

    return start


def test_groups_are_those_of_the_design() -> None:
    assert set(GROUPS) >= {"feed", "store", "model", "serve", "experiment", "profile"}


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: str(value))
def test_every_option_of_every_group_composes_into_a_valid_configuration(group: str, option: str) -> None:
    load([f"{group}={option}"])


def test_the_defaults_are_the_embedded_profile_with_the_demo_at_ten_times_real_speed() -> None:
    config = load([])
    assert (config.profile, config.store) == ("embedded", EmbeddedStoreConfig(folder="data"))
    assert (config.replay.speed, config.replay.matches, config.replay.loop) == (10.0, [], True)
    assert (config.replay.seed, config.replay.simulated_odds) == (None, False)
    assert (config.serve.host, config.serve.port, config.ray.dashboard_port) == ("127.0.0.1", 8000, 8265)
    assert config.feed.partitions == 48


def test_below_main_there_are_only_dataclasses() -> None:
    config = load([])
    assert all(is_dataclass(getattr(config, field.name)) for field in fields(config) if field.name != "profile")


def test_the_store_follows_the_data_folder() -> None:
    assert load(["data.folder=elsewhere"]).store.folder == "elsewhere"


def test_overrides_reach_the_program_and_its_answer_is_the_exit_code(command_line: Run) -> None:
    code, err, config = command_line("replay.speed=1", "replay.matches=[wyscout:2499841,some/file.json.xz]")
    assert (code, err) == (0, "")
    assert config is not None
    assert (config.replay.speed, config.replay.matches) == (1.0, ["wyscout:2499841", "some/file.json.xz"])
    assert command_line(main=lambda config: 7)[0] == 7


WRONG = {
    "replay.sped=1": "replay.sped: there is no such key; did you mean replay.speed?",
    "+replay.sped=1": "replay.sped: there is no such key; did you mean replay.speed?",
    "repaly.speed=1": "repaly.speed: there is no such key; did you mean replay.speed?",
    "+unheard_of=1": "unheard_of: there is no such key",
    "store={folders: x}": "store.folders: there is no such key; did you mean store.folder?",
    "serve.port=eighty": "serve.port: Value 'eighty' of type 'str' could not be converted to Integer",
    "replay.loop=maybe": "replay.loop: Value 'maybe' is not a valid bool (type str)",
    "replay.matches=3": "replay.matches: Invalid value assigned: int is not a ListConfig, list or tuple.",
    "replay.speed=null": "replay.speed: field 'replay.speed' is not Optional",
    "model.folder=???": "model.folder: Structured config of type `ModelConfig` has missing mandatory value: folder",
    "profile=clustr": "profile=clustr: there is no such option; choose from cluster, embedded",
    "store=oracle": "store=oracle: there is no such option; choose from cassandra, embedded",
    "replay.speed": "replay.speed: expected key=value, missing EQUAL at '<EOF>'",
    "replay.speed=-1": "replay.speed must be a finite number of at least 0, was -1.0",
    "replay.speed=nan": "replay.speed must be a finite number of at least 0, was nan",
    "replay.speed=inf": "replay.speed must be a finite number of at least 0, was inf",
    "replay.gap=1.5": "replay.gap must be a probability between 0 and 1, was 1.5",
    "replay.gap=0.1": "replay.seed must be a whole number where noise or simulated odds are on, was None",
    "replay.matches=['']": "replay.matches[0] must be a name or path that is not empty, was ''",
    "data.root=''": "data.root must be a name or path that is not empty, was ''",
    "feed.partitions=0": "feed.partitions must be between 1 and 4096, was 0",
    "match.snapshot_every_s=0": "match.snapshot_every_s must be a finite number above 0, was 0.0",
    "match.read_batch=0": "match.read_batch must be between 1 and 10000, was 0",
    "supervisor.retire_after_s=-1": "supervisor.retire_after_s must be a finite number above 0, was -1.0",
    "serve.port=65536": "serve.port must be between 1 and 65535, was 65536",
    "serve.port=8265": "ray.dashboard_port must be another port than serve.port, was 8265",
    "serve.max_queued=0": "serve.max_queued must be at least 1, was 0",
    "serve.batch_wait_ms=-1": "serve.batch_wait_ms must be between 0 and 1000, was -1.0",
    "serve.forecaster_max_replicas=0": "serve.forecaster_max_replicas must be at least 1, was 0",
    "ray.num_cpus=0": "ray.num_cpus must be at least 1, was 0",
    "view=memcached": "view=memcached: there is no such option; choose from memory, redis",
    "services.redis.port=9042": "services.redis.port must be another port than services.cassandra.port, was 9042",
    "retrain.every_h=-1": "retrain.every_h must be a finite number of at least 0, was -1.0",
    "retrain.at='25:00'": "retrain.at must be a time of day such as '03:30', was '25:00'",
    "retrain={at: '03:30', every_h: 5}": "retrain.every_h must be a multiple of 24 where retrain.at is given, was 5.0",
    "retrain.suites=[live]": "retrain.suites[0] must be prematch or live_understat or live_wyscout, was 'live'",
    "retrain.holdout_matches=10": "retrain.holdout_matches must be at least 300, was 10",
    "services.kafka.heap_mb=1": "services.kafka.heap_mb must be at least 128, was 1",
}
WRONG_ON_THE_CLUSTER = {
    "feed.servers=[]": "feed.servers must be a list of host:port, was []",
    "feed.servers=[kafka]": "feed.servers[0] must be host:port, was 'kafka'",
    "feed.min_insync_replicas=2": "feed.min_insync_replicas must be between 1 and 1, was 2",
    "feed.security_protocol=TLS": "feed.security_protocol must be "
    "PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL, was 'TLS'",
    "feed.username=desk": "feed.password_file must be given with a username, and only then, was None",
    "store.hosts=['']": "store.hosts[0] must be a name or path that is not empty, was ''",
    "store.keyspace=Touch-line": "store.keyspace must be "
    "a lower-case name of at most 48 letters, digits and _, was 'Touch-line'",
    "store.in_flight=1000": "store.in_flight must be between 1 and 512, was 1000",
    "view.ttl_s=0": "view.ttl_s must be at least 1, was 0",
    "view.username=desk": "view.password_file must be given with a username, was None",
}


OF_EACH_KIND = [override for override, problem in WRONG.items() if " must be " not in problem] + ["replay.speed=-1"]


@pytest.mark.parametrize(("override", "problem"), WRONG.items(), ids=WRONG)
def test_a_mistake_is_one_sentence_naming_the_key_in_full(override: str, problem: str) -> None:
    with pytest.raises(WrongOptions) as refused:
        load([override])
    assert str(refused.value) == problem


@pytest.mark.parametrize(("override", "problem"), WRONG_ON_THE_CLUSTER.items(), ids=WRONG_ON_THE_CLUSTER)
def test_a_mistake_about_a_server_is_one_too(override: str, problem: str) -> None:
    with pytest.raises(WrongOptions) as refused:
        load(["profile=cluster", override])
    assert str(refused.value) == problem


@pytest.mark.parametrize("override", OF_EACH_KIND)
def test_a_command_line_says_the_same_sentence(command_line: Run, override: str) -> None:
    assert command_line(override) == (EXIT_SETUP, f"{WRONG[override]}\n", None)


def test_a_command_line_says_it_of_a_server_too(command_line: Run) -> None:
    override, problem = next(iter(WRONG_ON_THE_CLUSTER.items()))
    assert command_line("profile=cluster", override) == (EXIT_SETUP, f"{problem}\n", None)


def test_every_section_has_a_mistake_above() -> None:
    sections = {field.name for field in fields(Config)}
    assert sections <= {re.split(r"[.=]", key.lstrip("+"))[0] for key in WRONG}


def test_a_folder_that_cannot_be_written_is_one_sentence(command_line: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, err, config = command_line(f"data.folder={tmp_path}/file")
    assert (code, config, err.count("\n")) == (EXIT_SETUP, None, 1)
    assert err.startswith(f"the run folder {tmp_path}/file/")
    assert err.endswith("cannot be written: Not a directory\n")


def test_an_expected_error_is_one_sentence_and_any_other_keeps_its_traceback(command_line: Run) -> None:
    def refuse(config: Config) -> None:
        raise CannotStart("serve.port=80 cannot be used:\n  in use")

    def stumble(config: Config) -> None:
        raise KeyError("a bug of ours")

    assert command_line(main=refuse)[:2] == (EXIT_SETUP, "serve.port=80 cannot be used: in use\n")
    with pytest.raises(KeyError, match="a bug of ours"):
        command_line(main=stumble)


def test_run_folders_lie_under_the_data_folder_and_hold_structured_logs(command_line: Run, tmp_path: Path) -> None:
    def main(config: Config) -> None:
        logging.getLogger("touchline.test").info("Match announced", extra={"match_id": "wyscout:7", "at_ms": 5})

    command_line(main=main)
    (log,) = (tmp_path / "runs").rglob("*.log")
    (line,) = log.read_text().splitlines()
    facts = json.loads(line)
    assert (facts["level"], facts["message"], facts["match_id"], facts["at_ms"]) == (
        "INFO",
        "Match announced",
        "wyscout:7",
        5,
    )
    assert not any((ROOT / name).exists() for name in ("outputs", "multirun"))


def test_errors_are_logged_with_their_traceback_on_one_line(root_logger: logging.Logger) -> None:
    from conf.lines import JsonLines

    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = root_logger.makeRecord("x", logging.ERROR, "f", 1, "Not %s", ("saved",), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "Not saved"
    assert "ValueError: first" in json.loads(line)["error"]


def test_the_real_command_line_ends_with_two_and_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cluster.launch", f"data.folder={tmp_path}", "replay.sped=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == EXIT_SETUP
    assert ended.stderr == "replay.sped: there is no such key; did you mean replay.speed?\n"
    assert ended.stdout == ""


def test_yaml_and_schema_agree_on_every_file() -> None:
    """No option's file is out of reach of the test that composes them all."""
    reached = {f"{group}/{option}.yaml" for group, option in OPTIONS} | {"config.yaml", "hydra/job_logging/lines.yaml"}
    assert {str(path.relative_to(FOLDER)) for path in chain(FOLDER.rglob("*.yaml"), FOLDER.rglob("*.yml"))} == reached


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "model"])
def test_every_model_option_names_a_model_that_ships_with_the_repository(option: str) -> None:
    folder = ROOT / load([f"model={option}"]).model.folder
    assert {"manifest.json", "weights.safetensors"} <= {path.name for path in folder.iterdir()}

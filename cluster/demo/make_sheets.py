"""Put the demo matches together: the providers' files as delivered, and a match sheet for each Wyscout file.

Wyscout's event files carry neither kick-off nor home and away, line-ups or substitutions; the same source publishes
them beside the events, and `data.root` has them in `wyscout/{matches,lineups,incidents}.parquet`. Nothing else goes
into a sheet: no prices, no ratings. To be run again only when the set of demo matches changes:

    python -m cluster.demo.make_sheets ../shared/data

(The alias file of `actors/adapters/team_alias.py` was begun the same way, from the columns `home` and `odds_home_name`
of `wyscout/matches.parquet` and `understat/matches.parquet`, and then read through by hand.)
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.adapters.feed_data_root import sheet_of
from actors.adapters.wyscout_match import Sheet

HERE = Path(__file__).parent
WYSCOUT_MATCHES = (
    1694436,  # Germany v Italy, Euro 2016 quarter-final: extra time and shoot-out
    2499781,  # Chelsea v Manchester City: a goal that stands only on the keeper's event
    2499841,  # Huddersfield Town v Manchester City: own goal, penalty goal, red card at the final whistle
    2500686,  # Angers v Bordeaux: 2-2
)
BETFAIR = "betfair_basic_28202626_Middlesbrough_v_ManCity_2017-04-30.bz2"


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy the files and write the sheets."""
    parser = argparse.ArgumentParser(prog="cluster.demo.make_sheets", description="Put the demo matches together.")
    parser.add_argument("data_root", type=Path, help="folder with raw/, betfair/ and wyscout/")
    root: Path = parser.parse_args(arguments).data_root
    for match_id in WYSCOUT_MATCHES:
        shutil.copyfile(root / "raw" / f"wyscout_v2_{match_id}.json.xz", HERE / f"wyscout_{match_id}.json.xz")
        (HERE / f"wyscout_{match_id}.sheet.json").write_bytes(encode_sheet(sheet_of(root, match_id)))
    shutil.copyfile(root / "betfair" / BETFAIR, HERE / BETFAIR)


def encode_sheet(sheet: Sheet) -> bytes:
    """Return a sheet as it is kept: readable JSON without default values."""
    fields = {name: value for name, value in msgspec.to_builtins(sheet).items() if value not in ((), [], "")}
    return msgspec.json.format(msgspec.json.encode(fields), indent=1) + b"\n"


if __name__ == "__main__":
    main()

"""The machine's time zone database."""

import re
import subprocess
import sys
import zoneinfo
from datetime import UTC
from pathlib import Path

import pytest

from liteq.errors import InvalidSchedule
from liteq.timezones import load_zone, tzdata_version


def test_utc_needs_no_database() -> None:
    assert load_zone("UTC") is UTC


def test_every_place_that_the_database_knows_can_be_named() -> None:
    for key in zoneinfo.available_timezones() - {"Factory", "localtime", "UTC"}:
        assert load_zone(key) == zoneinfo.ZoneInfo(key)


def test_the_release_of_the_database_is_told() -> None:
    assert re.fullmatch(r"20\d\d[a-z]+|unknown", tzdata_version())


def said_with_path(path: str) -> str:
    code = "from liteq.timezones import tzdata_version; print(tzdata_version())"
    asked = [sys.executable, "-c", code]
    return subprocess.run(asked, check=True, capture_output=True, text=True, env={"PYTHONTZPATH": path}).stdout.strip()


def zones_in(folder: Path) -> Path:
    (folder / "Etc").mkdir()
    (folder / "Etc" / "UTC").touch()
    return folder


def test_the_release_is_that_of_the_folder_that_zones_are_read_from(tmp_path: Path) -> None:
    (zones_in(tmp_path) / "tzdata.zi").write_text("# version 2031z\nR A 1916 o - Jun 14\n")

    assert said_with_path(str(tmp_path)) == "2031z"


def test_a_folder_that_names_no_release_is_unknown(tmp_path: Path) -> None:
    assert said_with_path(str(zones_in(tmp_path))) == "unknown"


def test_without_a_system_database_the_package_tells(tmp_path: Path) -> None:
    tzdata = pytest.importorskip("tzdata")

    assert said_with_path(str(tmp_path)) == tzdata.IANA_VERSION


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSchedule, match="time zone"):
        load_zone("Mars/X")

"""A file that is read by ranges: the same bytes as the whole of it, few of them transferred, and no lie goes unseen."""

from __future__ import annotations

import io
import os
import random
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.media import origins
from airflow_provider_lipsync.media.ranged import BudgetSpent, FileChanged, RangedFile, RangeFault
from airflow_provider_lipsync.media.sources import LocalSource, ObjectSource, Source, WebSource
from airflow_provider_lipsync.media.web import Web
from tests.media.publishing_support import Store, memory_storage, store
from tests.media.range_server import RangeServer, range_server
from tests.media.video_server import open_web

CONTENT = random.Random(1).randbytes(1_000_003)
BLOCK = 64 * 1024


@pytest.fixture
def web() -> Iterator[Web]:
    with open_web() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_WAITS", (0.0, 0.0))


@pytest.fixture
def served() -> Iterator[RangeServer]:
    with range_server(RangeServer(content=CONTENT)) as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store() as served:
        yield served


def at_web(server: RangeServer) -> WebSource:
    return WebSource(field="video", url=server.url)


def on_disk(folder: Path, content: bytes = CONTENT) -> LocalSource:
    (folder / "clip").write_bytes(content)
    return LocalSource(field="video", path=folder / "clip")


def opened(source: Source, web: Web, budget: int = 3_000_000, **more: float) -> RangedFile:
    return RangedFile(source, web=web, budget=budget, **more)


def compare(file: RangedFile, chance: random.Random) -> None:
    """Read and seek at random in it and in what it should be."""
    real = io.BytesIO(CONTENT)
    for _ in range(40):
        whence = chance.choice((os.SEEK_SET, os.SEEK_CUR, os.SEEK_END))
        offset = chance.randint(-len(CONTENT) // 2, len(CONTENT) + 9)
        if {os.SEEK_SET: 0, os.SEEK_CUR: real.tell(), os.SEEK_END: len(CONTENT)}[whence] + offset >= 0:
            assert file.seek(offset, whence) == real.seek(offset, whence)
        wanted = chance.choice((1, 100, BLOCK, 200_000))
        got = file.read(wanted) or b""
        assert got == real.read(len(got))
        assert got or not real.read(1)
        real.seek(file.tell())
        place, count = chance.randint(0, len(CONTENT)), chance.randint(0, 300_000)
        assert file.at(place, count) == CONTENT[place : place + count]


def look_everywhere(file: RangedFile) -> None:
    for place in range(0, len(CONTENT), 30_000):
        assert file.at(place, 100) == CONTENT[place : place + 100]


def test_it_reads_what_stands_on_a_web_server_in_a_storage_and_on_a_disk(
    served: RangeServer, s3: Store, web: Web, tmp_path: Path
) -> None:
    place = s3.put(CONTENT)
    for source in (at_web(served), ObjectSource(field="video", uri=place), on_disk(tmp_path)):
        with opened(source, web, budget=10**9) as file:
            assert (file.size, file.readable(), file.seekable(), file.writable()) == (len(CONTENT), True, True, False)
            compare(file, random.Random(2))
            file.verify_unchanged()


@pytest.mark.parametrize("where", ["web", "web without ranges", "storage", "disk"])
def test_a_whole_file_costs_its_bytes_and_no_more(
    where: str, served: RangeServer, s3: Store, web: Web, tmp_path: Path
) -> None:
    served.knows_ranges = where != "web without ranges"
    source: Source = on_disk(tmp_path) if where == "disk" else at_web(served)
    if where == "storage":
        source = ObjectSource(field="video", uri=s3.put(CONTENT))
    with opened(source, web, budget=len(CONTENT)) as file:
        assert file.at(0, file.size) == CONTENT
        assert file.readall() == CONTENT
        assert file.bytes_read == len(CONTENT)
    assert served.body_bytes == (len(CONTENT) if where.startswith("web") else 0)
    assert len(served.ranges) <= (3 if where == "web" else 1)


def test_a_look_at_both_ends_transfers_little(served: RangeServer, web: Web) -> None:
    with opened(at_web(served), web) as file:
        assert file.at(0, 100) == CONTENT[:100]
        assert file.at(file.size - 100, 200) == CONTENT[-100:]
        assert file.at(0, 1000) == CONTENT[:1000]
        assert file.bytes_read == served.body_bytes <= 2 * BLOCK
    assert len(served.ranges) == 2


def test_who_reads_on_and_on_gets_more_with_each_request(served: RangeServer, web: Web) -> None:
    with opened(at_web(served), web) as file:
        while file.read(10_000):
            pass
    sizes = [int(end) - int(start) + 1 for start, end in (one[6:].split("-") for one in served.ranges if one)]
    assert sizes[:4] == [BLOCK, 2 * BLOCK, 4 * BLOCK, 8 * BLOCK]
    assert served.body_bytes == len(CONTENT)


def test_what_is_far_behind_does_not_stay_in_memory(served: RangeServer, web: Web, tmp_path: Path) -> None:
    content = bytes(10_000_000)
    with opened(on_disk(tmp_path, content), web, budget=10**9) as file:
        while file.read(100_000):
            pass
        assert sum(len(block) for block in file._blocks.values()) <= 32 * BLOCK


@pytest.mark.parametrize("where", ["web", "storage", "disk"])
def test_a_budget_is_not_overspent(where: str, served: RangeServer, s3: Store, web: Web, tmp_path: Path) -> None:
    source: Source = on_disk(tmp_path) if where == "disk" else at_web(served)
    if where == "storage":
        source = ObjectSource(field="video", uri=s3.put(CONTENT))
    for budget in (1, 1000, 70_000, 400_000):
        with opened(source, web, budget=budget) as file, pytest.raises(BudgetSpent, match=f"more than {budget} bytes"):
            look_everywhere(file)
        assert file.bytes_read <= budget


def test_of_a_server_without_ranges_the_beginning_can_be_had_and_the_end_costs_nothing(
    served: RangeServer, web: Web
) -> None:
    served.knows_ranges = False
    served.content = bytes(60_000_000)
    with opened(at_web(served), web, budget=1_000_000) as file:
        assert file.size == 60_000_000
        assert file.at(0, 200_000) == bytes(200_000)
        with pytest.raises(BudgetSpent):
            file.at(file.size - 100, 100)
        assert file.bytes_read < 1_000_000
    assert len(served.ranges) == 1
    assert served.body_bytes < 20_000_000  # what the sockets' buffers took; not all


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_file_whose_size_is_not_told_is_read_to_its_end(served: RangeServer, web: Web, knows_ranges: bool) -> None:
    served.tells_length, served.tells_total, served.knows_ranges = False, False, knows_ranges
    with opened(at_web(served), web) as file:
        assert file.size == len(CONTENT)
        assert file.at(0, 10**9) == CONTENT
    with opened(at_web(served), web, budget=500_000) as file, pytest.raises(BudgetSpent):
        _ = file.size


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_empty_file_has_no_bytes(served: RangeServer, web: Web, knows_ranges: bool, tmp_path: Path) -> None:
    served.content, served.knows_ranges = b"", knows_ranges
    for source in (at_web(served), on_disk(tmp_path, b"")):
        with opened(source, web) as file:
            assert (file.size, file.read(5), file.at(0, 5), file.bytes_read) == (0, b"", b"", 0)


def other_size(server: RangeServer) -> None:
    server.content = CONTENT + b"more"


def other_etag(server: RangeServer) -> None:
    server.etag = '"v2"'


def other_time(server: RangeServer) -> None:
    server.headers = {"Last-Modified": "Tue, 15 Nov 1994 12:45:26 GMT"}


def gone_short(server: RangeServer) -> None:
    server.content = CONTENT[:1000]


@pytest.mark.parametrize("change", [other_size, other_etag, other_time, gone_short])
def test_a_file_that_changes_between_two_ranges_is_an_error(
    served: RangeServer, web: Web, change: Callable[[RangeServer], None]
) -> None:
    served.headers = {"Last-Modified": "Tue, 15 Nov 1994 12:45:25 GMT"}
    with opened(at_web(served), web) as file:
        file.at(0, 10)
        change(served)
        with pytest.raises(FileChanged, match="changes while it is read") as caught:
            file.at(500_000, 10)
    assert caught.value.may_pass


def test_a_file_of_a_storage_or_a_disk_that_changes_is_an_error(s3: Store, web: Web, tmp_path: Path) -> None:
    memory = memory_storage()
    memory.pipe_file("/folder/clip", CONTENT)
    stored = ObjectSource(field="video", uri="memory://folder/clip")
    local = on_disk(tmp_path)
    for source, change in (
        (stored, lambda: memory.pipe_file("/folder/clip", CONTENT)),
        (local, lambda: local.path.write_bytes(b"other")),
    ):
        with opened(source, web) as file:
            file.at(0, 10)
            file.verify_unchanged()
            change()
            with pytest.raises(FileChanged):
                file.verify_unchanged()
    with opened(on_disk(tmp_path), web) as file:
        file.at(0, 10)
        os.truncate(local.path, 1000)
        with pytest.raises(FileChanged):
            file.at(500_000, 10)


@pytest.mark.parametrize(
    ("setting", "words", "may_pass"),
    [
        pytest.param({"statuses": [404]}, "it answered 404", False, id="404"),
        pytest.param({"statuses": [403]}, "it answered 403", False, id="403"),
        pytest.param({"statuses": [503, 503, 503]}, "it answered 503", True, id="503"),
        pytest.param({"statuses": [429, 429, 429]}, "it answered 429", True, id="429"),
        pytest.param({"cut": 100}, "cannot be read: .*", True, id="breaks off"),
        pytest.param({"shift": 7}, "other bytes than those", False, id="other bytes"),
        pytest.param({"headers": {"Content-Encoding": "gzip"}}, "sends the file encoded", False, id="encoded"),
    ],
)
def test_a_server_that_does_not_give_what_was_asked_for_is_an_error(
    web: Web, setting: dict[str, Any], words: str, may_pass: bool
) -> None:
    with (
        range_server(RangeServer(content=CONTENT, **setting)) as server,
        opened(at_web(server), web) as file,
        pytest.raises(RangeFault, match=words) as caught,
    ):
        file.at(0, 10)
    assert caught.value.may_pass is may_pass
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert len(server.ranges) == (3 if may_pass else 1)


def test_a_server_that_fails_once_is_asked_again(served: RangeServer, web: Web) -> None:
    served.statuses[:] = [502]
    with opened(at_web(served), web) as file:
        assert file.at(0, 10) == CONTENT[:10]


def test_a_server_that_gives_less_than_asked_for_is_asked_for_the_rest(served: RangeServer, web: Web) -> None:
    served.most = 30_000
    with opened(at_web(served), web) as file:
        assert file.at(0, 400_000) == CONTENT[:400_000]


def test_no_private_address_is_asked_for(served: RangeServer) -> None:
    with (
        Web(may_be_private=lambda: False) as web,
        opened(at_web(served), web) as file,
        pytest.raises(RangeFault, match="not of the public internet") as caught,
    ):
        file.at(0, 10)
    assert not caught.value.may_pass
    assert not served.ranges


def test_a_server_that_is_not_there_may_be_there_later(web: Web) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    source = WebSource(field="video", url=f"http://me:PASSPHRASE@127.0.0.1:{port}/a?sig=SECRET")
    with opened(source, web) as file, pytest.raises(RangeFault, match="cannot be read") as caught:
        file.at(0, 10)
    assert caught.value.may_pass
    shown = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in shown
    assert "PASSPHRASE" not in shown


def test_a_server_that_drips_is_given_up(served: RangeServer, web: Web) -> None:
    served.pause = 0.05
    with opened(at_web(served), web, seconds=0.3) as file, pytest.raises(RangeFault, match=r"longer than 0\.3 s"):
        file.at(0, len(CONTENT))


def test_a_file_that_cannot_be_had_is_told(s3: Store, web: Web, tmp_path: Path) -> None:
    place = s3.put(b"x").rpartition("/")[0] + "/no-such"
    for source, words in (
        (ObjectSource(field="video", uri=place), "does not exist"),
        (LocalSource(field="video", path=tmp_path / "no-such"), "does not exist"),
        (LocalSource(field="video", path=tmp_path), "is a folder"),
    ):
        with opened(source, web) as file, pytest.raises(RangeFault, match=words) as caught:
            file.at(0, 10)
        assert not caught.value.may_pass


def test_a_closed_file_is_not_read(served: RangeServer, web: Web) -> None:
    file = opened(at_web(served), web)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.at(0, 10)
    assert not served.ranges

from ffrtmp.domain.command import CommandLimits
from ffrtmp.process import disk
from ffrtmp.process.clocks import Ended


def test_everything_under_a_directory_counts_and_a_missing_one_is_empty(tmp_path):
    assert disk.used_bytes(tmp_path / "missing") == 0
    before = disk.used_bytes(tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(b"x" * 100_000)
    assert disk.used_bytes(tmp_path) >= before + 100_000
    assert disk.used_bytes(tmp_path / "deep" / "er" / "file") >= 100_000


def test_links_are_not_followed(tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"x" * 1_000_000)
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "link").symlink_to(big)
    assert disk.used_bytes(watched) < 1_000_000


def test_both_limits(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    watch = (tmp_path, tmp_path / "not there yet")
    assert disk.breach(CommandLimits(watch=watch, disk_bytes=10_000_000, disk_reserve_bytes=1)) is None
    assert disk.breach(CommandLimits(watch=watch, disk_bytes=50_000, disk_reserve_bytes=1)) is Ended.DISK_LIMIT
    assert disk.breach(CommandLimits(watch=watch, disk_reserve_bytes=1 << 62)) is Ended.DISK_FULL
    assert disk.breach(CommandLimits(disk_bytes=1, disk_reserve_bytes=1 << 62)) is None

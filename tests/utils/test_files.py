"""atomic_write: the old file or the new one, never a part, and nothing left behind."""

import os
import stat

import pytest

from acepure._utils.files import atomic_write, check_writable


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_leaves_nothing_else(tmp_path):
    with atomic_write(tmp_path / "out.tar.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("out.tar.gz")  # writers choose the format by the ending
        temporary.write_text("new")
        assert not (tmp_path / "out.tar.gz").exists()
    assert (tmp_path / "out.tar.gz").read_text() == "new"
    assert names(tmp_path) == ["out.tar.gz"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_keeps_the_old_file(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_write(target) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_temporary_file_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out.txt") as temporary:
        temporary.unlink()
    assert names(tmp_path) == []


def test_relative_path_and_str(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_write("out.txt") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["out.txt"]


def test_looking_whether_a_file_can_be_written_changes_nothing(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    for name in ("old.txt", "new.txt"):
        check_writable(tmp_path / name)
    assert names(tmp_path) == ["old.txt"] and (tmp_path / "old.txt").read_text() == "old"
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        check_writable(tmp_path / "none" / "new.txt")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        check_writable(tmp_path)


def test_long_names(tmp_path):
    name = "ä" * 100 + ".npz"
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == [name]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX systems")
def test_permissions_and_links(tmp_path):
    umask = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "new.txt"):
            pass
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o640
    (tmp_path / "new.txt").chmod(0o604)
    (tmp_path / "link.txt").symlink_to("new.txt")
    with atomic_write(tmp_path / "link.txt") as temporary:
        temporary.write_text("by the link")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "new.txt").read_text() == "by the link"
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o604


def test_impossible_targets(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"cannot write .*nowhere.*does not exist"),
        atomic_write(tmp_path / "nowhere" / "a"),
    ):
        raise AssertionError("no work before the check")
    with pytest.raises(IsADirectoryError, match="it is a folder"), atomic_write(tmp_path):
        raise AssertionError("no work before the check")
    with pytest.raises(TypeError, match="path must be a str"), atomic_write(3):
        raise AssertionError("no work before the check")
    if os.path.exists("/dev/null"):
        with pytest.raises(OSError, match="no ordinary file"), atomic_write("/dev/null"):
            raise AssertionError("no work before the check")

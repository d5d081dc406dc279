import hashlib
import pathlib
import uuid

import pytest

from data_pipelines.errors import UserError
from data_pipelines.prepare.storage import Storage


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "new" / "out") if request.param == "local" else f"memory://{uuid.uuid4()}"


def test_files_are_written_and_read(root: str) -> None:
    storage = Storage(root)
    assert storage.size("a/b") is None
    assert storage.sizes("a") == {}
    storage.write("a/b", b"12345")
    assert (storage.size("a/b"), storage.read("a/b")) == (5, b"12345")
    assert storage.sizes("a") == {"b": 5}
    assert storage.sha256("a/b") == hashlib.sha256(b"12345").hexdigest()
    storage.write("a/b", b"6")
    assert storage.read("a/b") == b"6"


def write_half(storage: Storage, name: str) -> None:
    with storage.new_file(name) as path:
        path.write_bytes(b"half")
        raise KeyboardInterrupt


def test_an_unfinished_file_does_not_appear(root: str) -> None:
    storage = Storage(root)
    storage.write("a/other", b"")
    with pytest.raises(KeyboardInterrupt):
        write_half(storage, "a/b")
    assert storage.sizes("a") == {"other": 0}


def test_a_remote_file_is_copied_once_per_edition(
    root: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    storage = Storage(root)
    storage.write("a/b", b"one")
    assert pathlib.Path(storage.local_copy("a/b", "1")).read_bytes() == b"one"
    storage.write("a/b", b"two")
    assert pathlib.Path(storage.local_copy("a/b", "2")).read_bytes() == b"two"
    if root.startswith("memory"):
        assert pathlib.Path(storage.local_copy("a/b", "1")).read_bytes() == b"one"


def test_what_the_system_refuses_is_one_line(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    storage = Storage(root)
    storage.write("a/b", b"12345")
    for name in ("cat_file", "open", "isfile"):
        monkeypatch.setattr(storage._fs, name, refuse)
    for read in (storage.read, storage.sha256, storage.size):
        with pytest.raises(UserError, match=r"/a/b cannot be read or written \(Permission denied"):
            read("a/b")


def test_unknown_storage_is_named() -> None:
    with pytest.raises(UserError, match="nonsense://x cannot be opened"):
        Storage("nonsense://x")

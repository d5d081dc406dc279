"""Files of a prepared collection, local or in an object store, through fsspec."""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
from fsspec.implementations.local import LocalFileSystem

from data_pipelines.errors import UserError
from data_pipelines.names import as_utf8

_EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}
_BLOCK = 1 << 20  # bytes


class Storage:
    """A folder: a local path, or a URL such as `gs://bucket/folder` or `s3://bucket/folder`.

    Files appear whole or not at all, also when the writer is killed. Where the system refuses to
    read or write one, or a folder stands in its place, its methods raise a UserError that names it.
    """

    def __init__(self, root: str | pathlib.Path) -> None:
        """Opens the folder, which need not exist.

        Raises:
          UserError: no such kind of storage, or its package is not installed.
        """
        self.root = str(root)
        if not self.root or as_utf8(self.root) != self.root:
            raise UserError(f"{as_utf8(self.root)!r} is no place for records: give a name in UTF-8")
        scheme = self.root.partition("://")[0] if "://" in self.root else "file"
        try:
            self._fs, self._path = fsspec.core.url_to_fs(os.path.expanduser(self.root))
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            fix = f"pip install 'cvrl_jax[{extra}]'" if extra else "install the package it names"
            raise UserError(f"{self.root} cannot be opened: {error}; {fix}") from error
        except ValueError as error:
            raise UserError(
                f"{self.root} cannot be opened: {error}; give a folder, gs://... or s3://..."
            ) from error
        self._local = isinstance(self._fs, LocalFileSystem)

    def size(self, name: str) -> int | None:
        """Bytes of a file below the root, None where there is none."""
        path = self._join(name)
        with self._explained(name):
            if self._local and os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return self._fs.size(path) if self._fs.isfile(path) else None

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file in a folder below the root, {} where there is no such folder."""
        if not self._fs.isdir(self._join(folder)):
            return {}
        listed = self._fs.ls(self._join(folder), detail=True)
        return {entry["name"].rpartition("/")[2]: entry["size"] for entry in listed}

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._explained(name):
            return self._fs.cat_file(self._join(name))

    def sha256(self, name: str) -> str:
        """Checksum of a file, hexadecimal, read block by block."""
        checksum = hashlib.sha256()
        with self._explained(name), self._fs.open(self._join(name), "rb") as file:
            while block := file.read(_BLOCK):
                checksum.update(block)
        return checksum.hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Writes a file."""
        with self.new_file(name) as path:
            path.write_bytes(data)

    @contextmanager
    def new_file(self, name: str) -> Iterator[pathlib.Path]:
        """Gives a local path to write to; at the end of the block it becomes the file `name`."""
        target = self._join(name)
        with self._explained(name):
            if not self._local:
                with tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder, "file")
                    yield path
                    self._fs.put_file(str(path), target)  # an object appears when it is complete
                return
            os.makedirs(os.path.dirname(target), exist_ok=True)
            path = pathlib.Path(f"{target}.{os.getpid()}.tmp")
            try:
                yield path
                os.replace(path, target)
            finally:
                path.unlink(missing_ok=True)

    def remove_unfinished(self, folder: str) -> None:
        """Removes what killed writers left in a folder; nobody may be writing to it."""
        if self._local:
            for path in pathlib.Path(self._join(folder)).glob("*.tmp"):
                path.unlink()

    def local_copy(self, name: str, edition: str) -> str:
        """Path of a file on this machine; a remote one is copied into the cache on first use.

        Copies of another `edition` of the same folder are not taken for it. The cache is
        `$XDG_CACHE_HOME/cvrl_jax` (`~/.cache/cvrl_jax`); nothing is ever removed from it.
        """
        if self._local:
            return self._join(name)
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        place = f"{self._fs.unstrip_protocol(self._path)} {edition}"
        folder = hashlib.sha256(place.encode()).hexdigest()[:16]
        copy = Storage(cache / "cvrl_jax" / folder)
        if copy.size(name) != self.size(name):
            with copy.new_file(name) as path:
                self._fs.get_file(self._join(name), str(path))
        return copy.local_copy(name, edition)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.root}/{name} cannot be read or written ({error.strerror or error}): mend "
                "that, or name another folder"
            ) from error

    def _join(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"

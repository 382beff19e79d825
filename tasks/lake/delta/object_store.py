"""Objects below one prefix of an S3 bucket, as storage needs them: whole puts, conditional puts, listings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from obstore import exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from otzyv.tasks.lake.delta.entry import Entry

if TYPE_CHECKING:
    from obstore import ObjectMeta


class ObjectStore:
    """A prefix of a bucket. Credentials and region come by boto3's usual chain.

    Errors are OSErrors, so that a caller need not know whose they are: FileNotFoundError, PermissionError, or a plain
    one for a network or server fault.
    """

    def __init__(self, address: str, endpoint: str | None) -> None:
        """``address``: ``bucket/path``; ``endpoint``: a server other than Amazon's, with its scheme."""
        bucket, _, prefix = address.partition("/")
        try:
            credentials = Boto3CredentialProvider()
        except ValueError:
            raise PermissionError(
                "no credentials for S3 were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from None
        self._store: S3Store = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=endpoint,
            credential_provider=credentials,
            client_options={"allow_http": (endpoint or "").startswith("http://")},
        )

    def head(self, path: str) -> Entry | None:
        """The object, None where there is none."""
        with _plain_errors():
            try:
                return _stored(self._store.head(path))
            except FileNotFoundError:
                return None

    def read(self, path: str) -> bytes:
        with _plain_errors():
            return bytes(self._store.get(path).bytes())

    def objects(self, folder: str) -> list[Entry]:
        """All objects in a folder and in those below it."""
        with _plain_errors():
            found = [_stored(meta) for chunk in self._store.list(folder or None) for meta in chunk]
        return [each for each in found if not each.path.endswith("/")]  # some tools mark a folder by an empty object

    def listed(self, folder: str) -> tuple[list[Entry], list[str]]:
        """The objects in a folder itself, and the paths of the folders in it."""
        with _plain_errors():
            found = self._store.list_with_delimiter(folder or None)
        objects = [_stored(meta) for meta in found["objects"]]
        return [each for each in objects if not each.path.endswith("/")], list(found["common_prefixes"])

    def put(self, path: str, data: bytes | Path) -> None:
        """Write an object whole: one request where it is small."""
        with _plain_errors():
            self._store.put(path, data)

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one, decided by the server; True if this call made it."""
        with _plain_errors():
            try:
                self._store.put(path, data, mode="create")
            except exceptions.AlreadyExistsError:
                return False
        return True

    def move(self, path: str, to: str) -> None:
        with _plain_errors():
            self._store.rename(path, to)

    def delete(self, path: str) -> None:
        """Remove an object; one that is gone already is fine."""
        with _plain_errors():
            try:
                self._store.delete(path)
            except FileNotFoundError:
                return


def _stored(meta: ObjectMeta) -> Entry:
    return Entry(meta["path"], meta["size"], round(meta["last_modified"].timestamp() * 1000) * 1_000_000)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """The library's errors as OSErrors in one line; its own go on over several, with the request's headers."""
    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(_first_line(error)) from error
    except exceptions.BaseError as error:
        raise OSError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

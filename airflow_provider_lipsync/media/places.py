"""Places in a storage as users write them, and what a storage's errors mean. Nothing shown holds a signature.

Imports nothing of Airflow or fsspec until a place is asked for.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.api.texts import without_userinfo
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError, LipsyncMediaUnavailable

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["fault", "is_definite", "location", "place_of", "scheme_of", "shown", "words"]

_LONGEST_WORDS = 300  # characters of a storage's own words
_LOCAL = ("", "file", "local")
_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}  # the same place by another name

_GOOGLE = "apache-airflow-providers-google"
_AZURE = "apache-airflow-providers-microsoft-azure"
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "apache-airflow-providers-amazon[s3fs]"),
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), _AZURE),
}

# What a storage says for good, by errno: s3fs makes these of 301, 400, 405, 501 and of names that are too long.
_DEFINITE_ERRNOS = frozenset(
    {errno.EINVAL, errno.ENAMETOOLONG, errno.ENOSYS, errno.ELOOP, getattr(errno, "EREMCHG", errno.ENOENT)}
)
# Libraries that may not be installed are known by the names of their classes.
_DEFINITE_NAMES = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "ParamValidationError",
        "ProfileNotFound",
        "NoRegionError",
        "DefaultCredentialsError",
        "ClientAuthenticationError",
    }
)
_DEFINITE_KINDS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)
_PASSING_STATUSES = (408, 425, 429)


def place_of(value: object, *, field: str) -> ObjectStoragePath:
    """Return a place in a storage that can be used: its package is there, and its connection is known.

    :param value: a URL such as ``s3://conn_id@bucket/key``, an ``ObjectStoragePath``, or the absolute path of a local
        file.
    :param field: for messages.
    :raises LipsyncBadInput: the package is missing, or the scheme or the connection id is not known.
    :raises LipsyncMediaUnavailable: its connection or credentials cannot be had now.
    """
    text = str(value or "").strip()
    scheme, is_url, rest = text.partition("://")
    if text.startswith("/"):
        scheme, is_url, rest = "file", "://", text
    if not is_url or not rest.strip("/") or "{{" in text or scheme in ("http", "https"):
        raise LipsyncBadInput(
            f"{field}: a place in a storage is required, such as s3://conn_id@bucket/path; got {shown(text)!r}"
        )
    try:
        if scheme not in _LOCAL:
            _verify_connection(rest, field)
        return _usable(text)
    except LipsyncError:
        raise
    except (ImportError, ValueError) as error:
        package = _PACKAGES.get(scheme)
        advice = f" Is {package} installed?" if package else ""
        raise LipsyncBadInput(f"{field}: {shown(text)!r} cannot be used: {words(error)}.{advice}") from None
    except Exception as error:  # noqa: BLE001 - each storage has errors of its own
        raise fault(error, field=field, doing=f"opening the storage of {shown(text)}") from None


def _usable(text: str) -> ObjectStoragePath:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    path = ObjectStoragePath(text)
    _ = path.fs  # made when it is first asked for
    return path


def _verify_connection(rest: str, field: str) -> None:
    """Refuse a connection id that nobody knows: Amazon's storage would go on as an anonymous user."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    conn_id, is_named, _ = rest.split("/", 1)[0].rpartition("@")
    if not is_named or not conn_id:
        return
    if ":" in conn_id:
        raise LipsyncBadInput(f"{field}: what stands before the @ is an Airflow connection id, never credentials")
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise LipsyncBadInput(f"{field}: there is no Airflow connection {conn_id!r}") from None


def scheme_of(path: ObjectStoragePath) -> str:
    """Return the scheme by its usual name: ``s3`` for ``s3a``; ``file`` where there is none."""
    return "file" if path.protocol in _LOCAL else _ALIASES.get(path.protocol, path.protocol)


def location(path: ObjectStoragePath | str) -> str:
    """Return ``scheme://bucket/key`` without a connection id: the same for every way to write a place."""
    if isinstance(path, str):
        scheme, _, rest = without_userinfo(path).partition("://")
        scheme = _ALIASES.get(scheme, scheme)
    else:
        scheme, rest = scheme_of(path), str(path.path)
    return f"{scheme}://{rest if scheme in _LOCAL else rest.lstrip('/')}"


def shown(path: object) -> str:
    """Return a path or URL for a log: without connection id, credentials and query."""
    head, is_more, _ = without_userinfo(str(path)).partition("?")
    return f"{head}?…" if is_more else head


def words(error: BaseException) -> str:
    """Return an error's own words: short, in one line, without credentials and without query strings."""
    text = re.sub(r"\?[^\s'\"]*", "?…", " ".join(str(error).split()))
    text = re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s]*@", r"\1", text)
    return f"{type(error).__name__}: {text[:_LONGEST_WORDS]}".rstrip(": ").rstrip(".")


def fault(error: BaseException, *, field: str, doing: str) -> LipsyncError:
    """Return what a storage's error means: the user's to mend, or passing.

    :param field: that the place was given in.
    :param doing: what did not work, such as ``reading s3://bucket/key``.
    """
    said = f"{field}: {doing} did not work ({words(error)})"
    if isinstance(error, FileNotFoundError):
        return LipsyncBadInput(f"{said}: it does not exist. Nothing was sent.")
    if isinstance(error, IsADirectoryError):
        return LipsyncBadInput(f"{said}: it is a folder, a file is required. Nothing was sent.")
    if isinstance(error, PermissionError):
        return LipsyncBadInput(
            f"{said}: access is denied, or it does not exist (S3 says the same to who may not list the bucket). Let "
            "the connection's user, or this worker's, use it. Nothing was sent."
        )
    if is_definite(error):
        return LipsyncBadInput(f"{said}. Nothing was sent.")
    return LipsyncMediaUnavailable(f"{said}. Nothing was sent.")


def is_definite(error: BaseException) -> bool:
    """Whether trying again would not help. What is not known may pass: nothing was paid."""
    if isinstance(error, _DEFINITE_KINDS) or _DEFINITE_NAMES & {kind.__name__ for kind in type(error).__mro__}:
        return True
    status = _status_of(error)
    if status is not None:
        return 400 <= status < 500 and status not in _PASSING_STATUSES
    return isinstance(error, OSError) and error.errno in _DEFINITE_ERRNOS


def _status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status in an error of botocore, Google's or Azure's library, or in its cause."""
    for one in (error, getattr(error, "__cause__", None)):
        response: Any = getattr(one, "response", None)
        held = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
        for found in (held, getattr(one, "status_code", None), getattr(one, "code", None)):
            if isinstance(found, int | str) and str(found).isdigit():
                return int(found)
    return None

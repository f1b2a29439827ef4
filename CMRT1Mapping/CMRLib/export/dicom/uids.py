"""Unique identifiers that are the same each time, so that an archive gets no second copy of the same result."""

from __future__ import annotations

import hashlib
import hmac
import uuid

ROOT = "2.25"  # for UIDs made from UUIDs, DICOM PS3.5 annex B.2


def derived_uid(secret: bytes, *parts: object) -> str:
    """The UID of something that is told apart by ``parts``; with a secret, nobody without it can find it again."""
    content = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    digest = hmac.new(secret, content, hashlib.sha256).digest()
    return f"{ROOT}.{uuid.UUID(bytes=digest[:16], version=5).int}"


def shown_uid(secret: bytes, uid: str) -> str:
    """The UID of something that a scanner made, as results name it: another one where there is a secret."""
    return derived_uid(secret, "source", uid) if secret and uid else uid

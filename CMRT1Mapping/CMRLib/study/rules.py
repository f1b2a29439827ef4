"""The rules by which series are recognised: a JSON file that a site can replace by its own."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from CMRLib.errors import InputError
from CMRLib.resources import resource_path
from CMRLib.study.schemes import SCHEMES
from CMRLib.study.series import KINDS, ROLES, STATES

RULES_VARIABLE = "CMR_SERIES_RULES"
_SCHEMA = "cmr-series-rules/1"
_TEXT_FIELDS = ("description", "protocol", "comments", "image_type", "sequence")
_ROLE_KEYS = {
    "role",
    "kind",
    "reason",
    "lost_role",
    "min_images",
    "max_images",
    "inversion_times",
    "after_contrast",
    *_TEXT_FIELDS,
}
_TOP_KEYS = {"schema", "comment", "roles", "states", "unlabelled_states", "set_gap_minutes", "schemes"}


@dataclass(frozen=True)
class ImageText:
    """What the rules look at.

    Attributes:
        description: series description, or the protocol's name where there is none.
        protocol: name of the protocol.
        sequence: name of the pulse sequence.
        comments: image comments.
        image_type: the values of Image Type joined by spaces.
        images: images of this kind (magnitude or phase) at the slice position that has most of them in the series.
        has_inversion_times: whether the images at a position carry different inversion times.
    """

    description: str = ""
    protocol: str = ""
    sequence: str = ""
    comments: str = ""
    image_type: str = ""
    images: int = 1
    has_inversion_times: bool = False


@dataclass(frozen=True)
class RoleRule:
    """One rule for the role of an image; every condition that is set must be met.

    Attributes:
        role: a role of `CMRLib.study.series`, or "none" to leave the image out.
        kind: "magnitude", "psir" or "".
        reason: for "none", why the image is left out, as a sentence.
        lost_role: for "none", the role that the image is meant for but cannot have, or "".
        patterns: pairs of the field of `ImageText` and the pattern to be found in it.
        min_images, max_images: bounds of ``ImageText.images``.
        inversion_times: required value of ``ImageText.has_inversion_times``, or None.
        after_contrast: whether such images are only taken after contrast agent was given.
    """

    role: str
    kind: str
    reason: str
    lost_role: str
    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    min_images: int
    max_images: int
    inversion_times: bool | None
    after_contrast: bool

    def matches(self, text: ImageText) -> bool:
        """Whether every condition is met."""
        return (
            self.min_images <= text.images <= self.max_images
            and self.inversion_times in (None, text.has_inversion_times)
            and all(pattern.search(spaced(getattr(text, field))) for field, pattern in self.patterns)
        )


@dataclass(frozen=True)
class SeriesRules:
    """How series are recognised; see the comment in ``Resources/series_rules.json`` for the meaning of each part."""

    roles: tuple[RoleRule, ...]
    states: tuple[tuple[str, re.Pattern[str]], ...]
    unlabelled_states: tuple[str, ...]
    set_gap_minutes: float
    schemes: tuple[tuple[str, re.Pattern[str]], ...]

    def role_of(self, text: ImageText) -> RoleRule | None:
        """The first rule that fits, or None."""
        return next((rule for rule in self.roles if rule.matches(text)), None)

    def state_of(self, description: str, protocol: str) -> str:
        """The state named by the description, else by the protocol, else ""."""
        return _first_found(self.states, (description, protocol))

    def scheme_of(self, description: str, protocol: str, sequence: str) -> str:
        """The scheme named by the description, else by the protocol, else by the sequence, else ""."""
        return _first_found(self.schemes, (description, protocol, sequence))

    def with_scheme(self, scheme: str) -> SeriesRules:
        """The rules by which every inversion-recovery series is of one scheme."""
        return replace(self, schemes=((scheme, re.compile("")),))


def spaced(text: str) -> str:
    """The text as the patterns see it: separators and steps from a small to a capital letter become spaces.

    >>> spaced("T1Map_postGd")
    'T1Map post Gd'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\-^/.\s]+", " ", text)).strip()


def _first_found(patterns: tuple[tuple[str, re.Pattern[str]], ...], texts: tuple[str, ...]) -> str:
    return next((name for text in texts for name, pattern in patterns if pattern.search(spaced(text))), "")


def load_rules(path: Path | str | None = None) -> SeriesRules:
    """Read the rules from ``path``, else from the file named by ``CMR_SERIES_RULES``, else the ones shipped.

    Raises:
        InputError: the file is missing or not valid; the sentence names the entry.
    """
    chosen = Path(path or os.environ.get(RULES_VARIABLE) or resource_path("series_rules.json"))
    try:
        content = json.loads(chosen.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The series rules {chosen} cannot be read; check the path.") from error
    except ValueError as error:
        raise InputError(f"The series rules {chosen} are not valid JSON: {error}.") from error
    try:
        return _parse(content)
    except _RuleError as error:
        raise InputError(f"The series rules {chosen} cannot be used: {error}.") from error


class _RuleError(ValueError):
    """What is wrong with a rules file, as a clause."""


def _parse(content: Any) -> SeriesRules:
    if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
        raise _RuleError(f'their "schema" must be "{_SCHEMA}"')
    _no_others(content, _TOP_KEYS, "the file")
    gap = content.get("set_gap_minutes", 10)
    if isinstance(gap, bool) or not isinstance(gap, (int, float)) or not gap > 0:
        raise _RuleError('"set_gap_minutes" must be a positive number')
    return SeriesRules(
        roles=tuple(_role_rule(entry, f'entry {i} of "roles"') for i, entry in _entries(content, "roles")),
        states=_named_patterns(content, "states", "state", STATES),
        unlabelled_states=tuple(
            _one_of(entry, STATES, f'entry {i} of "unlabelled_states"')
            for i, entry in _entries(content, "unlabelled_states")
        ),
        set_gap_minutes=float(gap),
        schemes=_named_patterns(content, "schemes", "scheme", SCHEMES),
    )


def _role_rule(entry: Any, where: str) -> RoleRule:
    if not isinstance(entry, dict):
        raise _RuleError(f"{where} must be an object")
    _no_others(entry, _ROLE_KEYS, where)
    role = _one_of(entry.get("role"), (*ROLES, "none"), f'"role" of {where}')
    if role == "none" and not entry.get("reason"):
        raise _RuleError(f'{where} leaves images out and must give a "reason"')
    for name in ("min_images", "max_images"):
        if not isinstance(entry.get(name, 1), int) or isinstance(entry.get(name, 1), bool):
            raise _RuleError(f'"{name}" of {where} must be a whole number')
    for name in ("inversion_times", "after_contrast"):
        if not isinstance(entry.get(name, False), bool):
            raise _RuleError(f'"{name}" of {where} must be true or false')
    return RoleRule(
        role=role,
        kind=_one_of(entry.get("kind", ""), (*KINDS, ""), f'"kind" of {where}'),
        reason=str(entry.get("reason", "")),
        lost_role=_one_of(entry.get("lost_role", ""), (*ROLES, ""), f'"lost_role" of {where}'),
        patterns=tuple((name, _pattern(entry[name], where)) for name in _TEXT_FIELDS if name in entry),
        min_images=entry.get("min_images", 1),
        max_images=entry.get("max_images", 1_000_000),
        inversion_times=entry.get("inversion_times"),
        after_contrast=entry.get("after_contrast", False),
    )


def _named_patterns(
    content: dict[str, Any], part: str, name: str, allowed: tuple[str, ...]
) -> tuple[tuple[str, re.Pattern[str]], ...]:
    found = []
    for i, entry in _entries(content, part):
        where = f'entry {i} of "{part}"'
        if not isinstance(entry, dict):
            raise _RuleError(f"{where} must be an object")
        _no_others(entry, {name, "description"}, where)
        found.append(
            (_one_of(entry.get(name), allowed, f'"{name}" of {where}'), _pattern(entry.get("description"), where))
        )
    return tuple(found)


def _entries(content: dict[str, Any], part: str) -> list[tuple[int, Any]]:
    entries = content.get(part)
    if not isinstance(entries, list):
        raise _RuleError(f'"{part}" must be a list')
    return list(enumerate(entries, start=1))


def _no_others(entry: dict[str, Any], allowed: set[str], where: str) -> None:
    if others := sorted(set(entry) - allowed):
        raise _RuleError(f'{where} has the unknown key "{others[0]}" (known: {", ".join(sorted(allowed))})')


def _one_of(value: Any, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        raise _RuleError(
            f"{where} is {json.dumps(value)} and must be one of {', '.join(a or '(empty)' for a in allowed)}"
        )
    return str(value)


def _pattern(value: Any, where: str) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise _RuleError(f"a pattern of {where} is missing or not a text")
    try:
        return re.compile(value, re.IGNORECASE)
    except re.error as error:
        raise _RuleError(f'the pattern "{value}" of {where} is not a regular expression ({error})') from error

"""Telling rest, stress and post-contrast acquisitions apart by what they are called and when they were made."""

from __future__ import annotations

from collections.abc import Sequence

from CMRLib.study.dicom.groups import Acquisition
from CMRLib.study.rules import SeriesRules
from CMRLib.study.series import ROLES_WITH_STATE

UNTOLD_STATE = (
    "Its state (rest, stress or post) cannot be told: it repeats a slice long after the first time and neither its "
    'description nor its header says why; add a word to "states" or a state to "unlabelled_states" in the series rules.'
)


def tell_states(
    acquisitions: Sequence[Acquisition], others: Sequence[Acquisition], rules: SeriesRules
) -> list[str | None]:
    """The state of each acquisition, in the given order: "" for roles without states, None where it cannot be told.

    The rules' words decide first. Without one, an acquisition is post-contrast when its header names an agent or it
    came after an image that shows contrast was given. The rest form sets in the order of time (see the rules file).

    Args:
        acquisitions: what is asked about.
        others: images that are left out but may show that contrast was given.
        rules: the words.
    """
    states: list[str | None] = [_named_state(one, rules) for one in acquisitions]
    contrast_times = [
        one.start
        for one, state in [*zip(acquisitions, states, strict=True), *((other, "") for other in others)]
        if one.start is not None and (one.rule.after_contrast or one.first.has_contrast_agent or state == "post")
    ]
    contrast_from = min(contrast_times, default=float("inf"))
    unlabelled = []
    for i, one in enumerate(acquisitions):
        if one.rule.role not in ROLES_WITH_STATE or states[i]:
            continue
        if one.first.has_contrast_agent or (one.start is not None and one.start >= contrast_from):
            states[i] = "post"
        else:
            unlabelled.append(i)
    for i, number in _sets(acquisitions, unlabelled, rules.set_gap_minutes * 60.0).items():
        states[i] = rules.unlabelled_states[number] if number < len(rules.unlabelled_states) else None
    return states


def _named_state(one: Acquisition, rules: SeriesRules) -> str:
    has_state = one.rule.role in ROLES_WITH_STATE
    return rules.state_of(one.first.description, one.first.protocol) if has_state else ""


def _sets(acquisitions: Sequence[Acquisition], indices: list[int], gap_s: float) -> dict[int, int]:
    """The number of the set, from 0, of each acquisition: a slice made again after more than the gap begins one.

    Acquisitions without a time count as made first.
    """
    in_time = sorted(indices, key=lambda i: acquisitions[i].start or 0.0)
    numbers: dict[int, int] = {}
    members: list[int] = []
    number = 0
    for i in in_time:
        earlier = [j for j in members if _is_repeat(acquisitions[i], acquisitions[j])]
        if earlier and (acquisitions[i].start or 0.0) - (acquisitions[earlier[-1]].start or 0.0) > gap_s:
            number, members = number + 1, []
        members.append(i)
        numbers[i] = number
    return numbers


def _is_repeat(one: Acquisition, other: Acquisition) -> bool:
    return (
        one.rule.role == other.rule.role
        and None not in (one.start, other.start)
        and one.plane.is_same_slice(other.plane)
    )

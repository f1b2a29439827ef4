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
    states: list[str | None] = [_named_state(acquisition, rules) for acquisition in acquisitions]
    contrast_times = [
        acquisition.start
        for acquisition, state in [*zip(acquisitions, states, strict=True), *((other, "") for other in others)]
        if acquisition.start is not None
        and (acquisition.rule.after_contrast or acquisition.first.has_contrast_agent or state == "post")
    ]
    contrast_from = min(contrast_times, default=float("inf"))
    unlabelled = []
    for i, acquisition in enumerate(acquisitions):
        if acquisition.rule.role not in ROLES_WITH_STATE or states[i]:
            continue
        if acquisition.first.has_contrast_agent or (
            acquisition.start is not None and acquisition.start >= contrast_from
        ):
            states[i] = "post"
        else:
            unlabelled.append(i)
    for i, number in _sets(acquisitions, unlabelled, rules.set_gap_minutes * 60.0).items():
        states[i] = rules.unlabelled_states[number] if number < len(rules.unlabelled_states) else None
    return states


def _named_state(acquisition: Acquisition, rules: SeriesRules) -> str:
    has_state = acquisition.rule.role in ROLES_WITH_STATE
    return rules.state_of(acquisition.first.description, acquisition.first.protocol) if has_state else ""


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


def _is_repeat(acquisition: Acquisition, other: Acquisition) -> bool:
    return (
        acquisition.rule.role == other.rule.role
        and None not in (acquisition.start, other.start)
        and acquisition.plane.is_same_slice(other.plane)
    )

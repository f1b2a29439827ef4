"""Telling rest, stress and post-contrast acquisitions apart by what they are called and when they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from CMRLib.study.rules import SeriesRules
from CMRLib.study.slice_order import Plane

UNTOLD_STATE = (
    "Its state (rest, stress or post) cannot be told: it repeats a slice long after the first time and neither its "
    'description nor its header says why; add a word to "states" or a state to "unlabelled_states" in the series rules.'
)


@dataclass(frozen=True)
class Acquired:
    """What is known of one acquisition or map.

    Attributes:
        role: its role; only irw and t1 have states.
        description, protocol: its names.
        time: when it was acquired, in seconds on one clock, or None.
        plane: where its (first) slice lies.
        has_contrast_agent: whether its header names a contrast agent.
        after_contrast: whether its kind of image only exists once contrast agent was given.
    """

    role: str
    description: str
    protocol: str
    time: float | None
    plane: Plane
    has_contrast_agent: bool
    after_contrast: bool


def tell_states(acquired: Sequence[Acquired], rules: SeriesRules) -> list[str | None]:
    """The state of each acquisition, in the given order: "" for roles without states, None where it cannot be told.

    The rules' words decide first. Without one, an acquisition is post-contrast when its header names an agent or it
    came after an image that shows contrast was given. The rest form sets in the order of time (see the rules file).
    """
    states: list[str | None] = [
        rules.state_of(one.description, one.protocol) if one.role in ("irw", "t1") else "" for one in acquired
    ]
    contrast_times = [
        one.time
        for one, state in zip(acquired, states, strict=True)
        if one.time is not None and (one.after_contrast or one.has_contrast_agent or state == "post")
    ]
    contrast_from = min(contrast_times, default=float("inf"))
    unlabelled = []
    for i, one in enumerate(acquired):
        if one.role not in ("irw", "t1") or states[i]:
            continue
        if one.has_contrast_agent or (one.time is not None and one.time >= contrast_from):
            states[i] = "post"
        else:
            unlabelled.append(i)
    for i, number in _sets(acquired, unlabelled, rules.set_gap_minutes * 60.0).items():
        states[i] = rules.unlabelled_states[number] if number < len(rules.unlabelled_states) else None
    return states


def _sets(acquired: Sequence[Acquired], indices: list[int], gap_s: float) -> dict[int, int]:
    """The number of the set, from 0, of each acquisition: a slice made again after more than the gap begins one.

    Acquisitions without a time count as made first.
    """
    in_time = sorted(indices, key=lambda i: acquired[i].time or 0.0)
    numbers: dict[int, int] = {}
    members: list[int] = []
    number = 0
    for i in in_time:
        earlier = [j for j in members if _is_repeat(acquired[i], acquired[j])]
        if earlier and (acquired[i].time or 0.0) - (acquired[earlier[-1]].time or 0.0) > gap_s:
            number, members = number + 1, []
        members.append(i)
        numbers[i] = number
    return numbers


def _is_repeat(one: Acquired, other: Acquired) -> bool:
    return one.role == other.role and None not in (one.time, other.time) and one.plane.is_same_slice(other.plane)

"""One function over many items in several processes, of which one is ended from outside."""

import multiprocessing
import os

from CMRLib.batch.processes import in_processes


def end_process(item):
    if item == 2:
        os._exit(9)
    return item


def test_items_of_a_process_that_was_ended_are_reported_lost():
    results = dict(in_processes(end_process, [1, 2, 3], 2, lambda item: "lost"))
    assert set(results) == {1, 2, 3} and results[2] == "lost"
    assert multiprocessing.active_children() == []

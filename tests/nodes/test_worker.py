# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The slot that skips, and the thread in which a model lives. No ROS."""

import threading

import pytest

from vw2_ros.nodes.worker import Newest, Worker


def test_row_11_the_slot_skips_and_never_queues():
    slot = Newest()
    assert slot.take() is None
    for i in range(5):
        slot.put(i)
    assert (slot.take(), slot.take(), slot.skipped) == (4, None, 4)


def test_row_11_count_is_exact_across_threads():
    slot, done, got = Newest(), threading.Event(), []

    def work():
        last = False
        while not last:
            last = done.is_set()  # read before the slot, so that the last item is not left in it
            while (item := slot.take()) is not None:
                got.append(item)

    worker = threading.Thread(target=work)
    worker.start()
    for i in range(20_000):
        slot.put(i)
    done.set()
    worker.join()
    assert got == sorted(set(got)) and got[-1] == 19_999
    assert slot.skipped == 20_000 - len(got)


def test_the_worker_loads_while_others_go_on_and_takes_the_newest():
    go_on, done, worked = threading.Event(), threading.Event(), []

    def work(loaded, item):
        worked.append((loaded, item))
        done.set()

    worker = Worker(lambda: go_on.wait(10) and 'weights', work, worked.append)
    assert not worker.loaded
    for item in (1, 2):
        worker.submit(item)
    go_on.set()
    assert worker.wait() == 'weights' and worker.loaded
    assert done.wait(10) and worked == [('weights', 2)] and worker.inbox.skipped == 1
    assert worker.close()


def test_the_worker_says_why_it_could_not_load():
    def load():
        raise OSError('no such weights')

    worker = Worker(load, lambda *_: None, lambda _: None)
    for _ in range(2):
        with pytest.raises(OSError, match='no such weights'):
            worker.wait()
    assert worker.loaded and worker.close()


def test_a_worker_that_still_loads_is_not_waited_for():
    go_on, worked = threading.Event(), []
    worker = Worker(lambda: go_on.wait(10), lambda _, item: worked.append(item), worked.append)
    worker.submit(1)
    assert not worker.close(), 'it loads'
    go_on.set()
    worker.wait()
    assert worker.close() and not worked


def test_one_failed_item_is_told_and_the_next_is_worked_on():
    told, done = threading.Event(), threading.Event()

    def work(_, item):
        if item == 'bad':
            raise ValueError(item)
        done.set()

    worker = Worker(lambda: None, work, lambda error: told.set())
    worker.submit('bad')
    assert told.wait(10)
    worker.submit('good')
    assert done.wait(10) and worker.close()

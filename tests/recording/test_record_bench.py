# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes at the bench: a person's keys become messages of the bag; splits, zstd, the last seconds."""

import os
import pty
import time

import pytest

pytest.importorskip('rosbags')
from bag_files import START_S, STORE, Motion  # noqa: E402

from vw2_ros.bags.bag import Bag  # noqa: E402
from vw2_ros.bags.episodes import bag_spans  # noqa: E402
from vw2_ros.errors import InvalidValueError  # noqa: E402
from vw2_ros.keyboard import Keyboard  # noqa: E402
from vw2_ros.recording import bench  # noqa: E402
from vw2_ros.recording.writer import BagWriter, RingWriter, Storage  # noqa: E402


def serialized(messages):
    for at_s, topic, (kind, message) in sorted(messages, key=lambda m: m[0]):
        yield topic, kind, round(at_s * 1e9), bytes(STORE.serialize_cdr(message, kind))


def arrivals(bag):
    return sorted(m[2] for m in Bag(bag).messages())


def test_keys_become_episodes(tmp_path):
    writer, now = BagWriter(tmp_path / 'bag'), [START_S]

    def say(topic, text):
        now[0] += 0.5
        kind = 'std_msgs/msg/String'
        data = STORE.serialize_cdr(STORE.types[kind](text), kind)
        writer.put(f'/{topic}', kind, round(now[0] * 1e9), bytes(data))

    person = bench.Bench(['open it', 'close  it'], say)
    assert not person.do('success')[0] and not person.do('discard')[0] and not person.do('x')[0]
    for verb in ('toggle', 'toggle', 'start', 'failure', 'toggle', 'toggle', 'discard'):
        assert person.do(verb)[0], verb
    assert not person.do('discard')[0]  # once is enough
    assert person.do('next') == (True, 'next: "close it"')
    assert person.do('start')[0] and not person.do('next')[0] and not person.do('start')[0]
    assert person.status() == 'RECORDING "close it", 1 good, 1 failed'
    assert person.do('discard')[0] and person.ended == ['success', 'failure', None, None]
    person.do('start')
    assert 'nobody said how it went' in person.close() and not person.close()
    writer.close()
    found = [(s.text, s.success, s.dropped) for s in bag_spans(Bag(tmp_path / 'bag')) if s.text]
    assert found == [
        ('open it', True, False),
        ('open it', False, False),
        ('open it', True, True),
        ('close it', None, True),
        ('close it', None, False),
    ]
    with pytest.raises(InvalidValueError, match='must hold words'):
        bench.Bench(['!'], say)


def test_keys_of_a_terminal(monkeypatch):
    main, child = pty.openpty()
    with os.fdopen(child, 'r') as terminal:
        monkeypatch.setattr('sys.stdin', terminal)
        with Keyboard(bench.KEYS) as keyboard:
            assert keyboard.pressed() == []
            os.write(
                main, b' fX?\x1b[D\x1b[3~\x1bODn'
            )  # d is no key of it, though arrows end with it
            end = time.monotonic() + 20
            found = []
            while len(found) < 3 and time.monotonic() < end:
                found += keyboard.pressed()
            assert found == ['toggle', 'failure', 'next']
    os.close(main)
    with open(os.devnull) as nothing:
        monkeypatch.setattr('sys.stdin', nothing)
        with Keyboard(bench.KEYS) as keyboard:
            assert keyboard.pressed() == []


@pytest.mark.parametrize(
    'storage, files',
    [
        (Storage(zstd=True), 1),
        (Storage(max_seconds=1.0), 3),
        (Storage(zstd=True, max_bytes=100_000), 2),
    ],
)
def test_compressed_and_in_parts(tmp_path, storage, files):
    whole, writer = BagWriter(tmp_path / 'whole'), BagWriter(tmp_path / 'bag', (), storage)
    for message in serialized(Motion(seconds=2.4).messages()):
        assert whole.put(*message) and writer.put(*message)
    whole.close()
    writer.close()
    found = sorted(p.name for p in (tmp_path / 'bag').glob('*.mcap'))
    assert len(found) >= files and sorted(os.listdir(tmp_path / 'bag')) == [
        *found,
        'metadata.yaml',
    ]
    if files > 1:
        assert found == [f'bag_{i}.mcap' for i in range(len(found))]
    bag = Bag(tmp_path / 'bag')
    assert not bag.cut_short
    assert list(bag.messages()) == list(Bag(tmp_path / 'whole').messages())
    (tmp_path / 'bag/metadata.yaml').unlink()  # as after a kill
    for name in found:
        os.utime(tmp_path / 'bag' / name, (1e9, 1e9))
    assert arrivals(tmp_path / 'bag') == arrivals(tmp_path / 'whole')


def test_the_last_seconds(tmp_path):
    ring = RingWriter(tmp_path / 'bags', 1.0, latched=('/instruction',))
    messages = list(serialized(Motion(seconds=3.0).messages()))
    for message in messages[:-30]:
        ring.put(*message)
    one = ring.save()
    for message in messages[-30:]:
        ring.put(*message)
    other = ring.save()
    ring.close()
    assert one != other and ring.saved == [one, other] and not ring.failed
    for bag in (one, other):
        at = arrivals(bag)
        assert 0.9e9 < at[-1] - at[0] <= 1.0e9
        assert [s.text for s in bag_spans(Bag(bag)) if s.text] == ['open the drawer']
    assert arrivals(other)[-1] > arrivals(one)[-1]
    with pytest.raises(InvalidValueError, match='longer than nothing'):
        RingWriter(tmp_path, 0)

# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 convert` did, in words."""

from collections.abc import Iterator

from vw2_ros.words import MOST_WORDS, split_words


def tell(result: dict) -> Iterator[str]:
    """What `convert_bags` or `convert_sets` did, in lines for people."""
    for name, report in result['bags'].items():
        yield f'{name}: {report["skipped"]}' if 'skipped' in report else name
        if 'again' in report and 'skipped' not in report:
            yield f'  converted again, with other {", ".join(report["again"])}'
        if 'set' in report:
            yield (
                '  {camera} of {cameras}, {fps:g} frames/s, actions: {actions}'.format(
                    **report['set']
                )
            )
        for topic, t in report.get('topics', {}).items():
            gap = f', longest gap {t["longest_gap_ms"]:.0f} ms' if t['longest_gap_ms'] else ''
            late = (
                '' if t['latency_ms'] is None else f', {t["latency_ms"]:.0f} ms until it arrived'
            )
            yield f'  {topic}: {t["messages"]} messages, {t["hz"]:g} Hz{gap}{late}, by {t["clock"]}'
            yield from (
                f'    {count} messages left out: {why}'
                for why, count in t.get('refused', {}).items()
            )
        if 'cut_short' in report:
            yield f'  not whole, read as far as it is ({report["cut_short"]})'
        for e in report.get('episodes', ()):
            note = f'; {e["note"]}' if 'note' in e else ''
            if (words := len(split_words(e['instruction']))) > MOST_WORDS:
                note += f'; TOO LONG: {words} words, a policy reads {MOST_WORDS}: relabel it'
            failed = ', FAILED: no words are learned' if e.get('success') is False else ''
            fast = f', {e["too_fast"]:.0%} faster than actions can be' if e['too_fast'] else ''
            yield (
                f'  {_when(e)}: {e["shown"] or e["frames"]} frames of '
                f'{e["actions"]}{failed}{fast}{note}'
            )
        for e in report.get('dropped', ()):
            yield f'  {_when(e)}: dropped'
        for e in report.get('refused', ()):
            yield f'  {_when(e)}: REFUSED: {e["reason"]}'
        if 'damaged_images' in report:
            yield f'  {report["damaged_images"]} images cannot be decoded'
        if 'error' in report:
            yield f'  REFUSED: {report["error"]}'
    if result['edits_gone']:
        yield (
            f'{result["edits_gone"]} decisions of vw2 episodes are GONE, as they were about what was '
            'converted again: look at vw2 episodes list'
        )
    yield from (f'{path}: LEFT OUT: {why}' for path, why in result['left_out'].items())
    refused = sum('error' in report for report in result['bags'].values())
    yield (
        f'{len(result["bags"]) - refused} recordings read, {refused} refused, '
        f'{len(result["left_out"])} files or folders left out'
    )


def _when(e: dict) -> str:
    """Which episode it is: of a data set by its number, of a bag by its time."""
    which = f'episode {e["episode"]}' if 'episode' in e else ''
    if which and not e['to_s']:  # what it shows was not read
        return which
    said = f'"{e["instruction"]}"' if e['instruction'] else 'without words'
    when = f'{e["from_s"]:.1f} to {e["to_s"]:.1f} s, {said}'
    return f'{which}, {when}' if which else when

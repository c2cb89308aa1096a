# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A person at the bench: episodes are begun and ended by keys or services. No ROS.

Begin and end become messages in the bag, as if an operator had published them: the instruction, how
the episode ended (`outcome`), and '' as the instruction. Nothing is published, so that no policy that
happens to run begins to act.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vw2_ros import names
from vw2_ros.bags.episodes import DISCARD, FAILURE, SUCCESS
from vw2_ros.errors import InvalidValueError
from vw2_ros.words import split_words

KEYS = {  # key -> verb
    ' ': 'toggle',
    '\n': 'toggle',
    '\r': 'toggle',
    's': 'success',
    'f': 'failure',
    'd': 'discard',
    'n': 'next',
    'w': 'save',
    'q': 'quit',
}
HELP = (
    'space: start, and end with success; f: end, it failed; d: discard this or the last; '
    'n: next instruction; q: quit'
)
TAKEOVER_HELP = (
    'an episode begins when an operator takes the arm from the policy, and ends when he lets go; '
    'or: space, s: end, with success; f: it failed; d: discard this or the last; q: quit'
)
SAVE_HELP = 'w: write the last seconds; q: quit'
VERBS = ('start', 'toggle', 'success', 'failure', 'discard', 'next')  # services episode/<verb>
BELL = '\a'


class Bench:
    """Episodes of one bag.

    Args:
        instructions: what will be shown, in turn.
        say: called as say(topic, text) for each message that shall be in the bag.
    Attributes:
        running: an episode is.
        ended: outcome of each that was ended, None where it was discarded later.
    Raises:
        InvalidValueError: no instruction, or one without a word.
    """

    def __init__(self, instructions: Sequence[str], say: Callable[[str, str], None]):
        self.instructions = [' '.join(text.split()) for text in instructions]
        if not self.instructions or not all(map(split_words, self.instructions)):
            raise InvalidValueError(
                f'instructions must hold words. Got {list(instructions)}. Say --instruction TEXT'
            )
        self.at, self.running, self.ended = 0, False, []
        self._say = say

    @property
    def instruction(self) -> str:
        """What is shown, or will be next."""
        return self.instructions[self.at]

    def do(self, verb: str) -> tuple[bool, str]:
        """Do what a key or a service asks for; whether it could be done, and a line for people."""
        if verb == 'toggle':
            verb = 'success' if self.running else 'start'
        if verb == 'start':
            return self._start()
        if verb in (SUCCESS, FAILURE):
            return self._end(verb)
        if verb == DISCARD:
            return self._discard()
        if verb == 'next':
            return self._next()
        return False, f'no {verb} here'

    def status(self) -> str:
        """What goes on, in a few words."""
        good, bad = self.ended.count(SUCCESS), self.ended.count(FAILURE)
        now = 'RECORDING' if self.running else 'waiting'
        return f'{now} "{self.instruction}", {good} good, {bad} failed'

    def _start(self) -> tuple[bool, str]:
        if self.running:
            return False, 'it is running: end it first'
        self.running = True
        self._say(names.INSTRUCTION, self.instruction)
        return True, f'episode {len(self.ended)} begins: "{self.instruction}"'

    def _end(self, outcome: str) -> tuple[bool, str]:
        if not self.running:
            return False, 'no episode is running'
        self._say(names.OUTCOME, outcome)
        self._say(names.INSTRUCTION, '')
        self.running = False
        self.ended.append(outcome)
        return True, f'episode {len(self.ended) - 1} ends: {outcome}'

    def _discard(self) -> tuple[bool, str]:
        if self.running:
            done, _ = self._end(DISCARD)
            self.ended[-1] = None
            return done, f'episode {len(self.ended) - 1} is discarded'
        if not self.ended or self.ended[-1] is None:
            return False, 'there is no episode to discard'
        self._say(names.OUTCOME, DISCARD)
        self.ended[-1] = None
        return True, f'episode {len(self.ended) - 1} is discarded'

    def _next(self) -> tuple[bool, str]:
        if self.running:
            return False, 'it is running: end it first'
        self.at = (self.at + 1) % len(self.instructions)
        return True, f'next: "{self.instruction}"'

    def close(self) -> str:
        """End what runs: nobody said how it went; a line for people, or ''."""
        if not self.running:
            return ''
        self._say(names.INSTRUCTION, '')
        self.running = False
        return 'The last episode was running: it is kept, and nobody said how it went'


class Takeovers(Bench):
    """Episodes that begin when an operator takes the arm from a policy, and end when he lets go.

    Args:
        say: as of `Bench`.
    """

    def __init__(self, say: Callable[[str, str], None]):
        self.at, self.running, self.ended = 0, False, []
        self.instructions = ['']  # what the policy is told to do
        self._say, self._leader = say, ''

    def hear(self, topic: str, text: str) -> str:
        """Take what was said on `names.LEADER` or `names.INSTRUCTION`; a line for people, or ''."""
        before = self._leader, self.instruction
        if topic == names.LEADER:
            self._leader = text
        now = self._leader, ' '.join(text.split()) if topic == names.INSTRUCTION else before[1]
        if now == before:
            return ''
        said = [self._let_go()] if self.running else []
        self.instructions = [now[1]]
        if self._leader == names.CORRECTION and now[1]:
            said.append(self._start()[1])
        return '; '.join(said)

    def do(self, verb: str) -> tuple[bool, str]:
        """As of `Bench`; success and failure are of the last episode, where none is running."""
        if verb == 'toggle':
            verb = SUCCESS
        if verb in ('start', 'next'):
            return False, 'an operator begins an episode: he takes the arm'
        if verb in (SUCCESS, FAILURE) and not self.running and self.ended:
            if self.ended[-1] is None:
                return False, 'the last episode is discarded'
            self._say(names.OUTCOME, verb)
            self.ended[-1] = verb
            return True, f'episode {len(self.ended) - 1}: {verb}'
        return super().do(verb)

    def _let_go(self) -> str:
        self.close()
        self.ended.append('')  # nobody said how it went
        return f'episode {len(self.ended) - 1} ends: s, f or d says how'

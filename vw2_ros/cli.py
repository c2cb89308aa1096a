# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2`: the one console program. Its verbs are the files of commands/.

Exit status: 0 done; 1 it ran and failed (or something is missing); 2 it was asked for wrongly;
130 interrupted by Ctrl-C. Set VW2_DEBUG=1 to see the traceback of an error told in one line.
"""

import errno
import io
import os
import sys
import warnings
from collections.abc import Sequence

from vw2_ros.errors import UsageError, VW2Error

try:
    import typer
except ModuleNotFoundError:  # `vw2 doctor` must still run and say so
    typer = None  # type: ignore[assignment]


def build() -> 'typer.Typer':
    """Return the command-line application (its own function, as typer may be missing)."""
    from vw2_ros.commands import (
        bench,
        check,
        collect,
        convert,
        demo,
        doctor,
        episodes,
        eval,
        experiment,
        export,
        imagine,
        inspect,
        record,
        redraw,
        serve,
        teleop,
        train,
        version,
        view,
    )
    from vw2_ros.commands.options import epilog, group

    app = group(
        'VideoWorld 2 on ROS 2: an instruction and a camera move the arm.',
        'vw2 demo',
        completion=True,
    )
    app.callback()(version.run)
    looking = (check, view, inspect)
    robot = (teleop, record, convert)
    for verb in (demo, collect, redraw, *robot, *looking, imagine, eval, serve, doctor):
        name = verb.__name__.rsplit('.', 1)[-1]
        app.command(name, epilog=epilog(verb.EXAMPLE))(verb.run)
    app.add_typer(episodes.app, name='episodes')
    app.add_typer(train.app, name='train')
    app.add_typer(export.app, name='export')
    app.add_typer(bench.app, name='bench')
    app.add_typer(experiment.app, name='experiment')
    return app


def _tell(error: BaseException, arguments: Sequence[str] = ()) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    if getattr(error, 'errno', None) == errno.ENOSPC:
        resume = ' with --resume' if arguments[:1] == ['train'] else ''
        text += f'. Make room, and give the same command again{resume}'
    if isinstance(error, ModuleNotFoundError):
        text += '. `vw2 doctor` says what is missing and how to mend it'
    return text


def _interrupted() -> int:
    print('\nvw2: interrupted; what was written so far is kept', file=sys.stderr)
    return 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `vw2`; return its exit status.

    Args:
        arguments: what follows the program's name; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Unicode shows what it can
            stream.reconfigure(errors='backslashreplace')
    if typer is None:
        if arguments[:1] == ['doctor']:
            from vw2_ros.bringup import doctor

            return doctor.main(arguments[1:])
        print(
            'vw2: error: typer is not installed; `vw2 doctor` says what is missing',
            file=sys.stderr,
        )
        return 1
    command = typer.main.get_command(build())
    # Python would show the file and the line that warns, which is nothing to a user
    warnings.formatwarning = lambda message, *_, **__: f'vw2: warning: {message}\n'
    try:
        status = command.main(args=arguments, prog_name='vw2', standalone_mode=False)
        status = status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if hasattr(error, 'show') and hasattr(error, 'exit_code'):  # click's own, whichever click
            error.show()
            return error.exit_code
        if type(error).__name__ == 'Abort':
            return _interrupted()
        expected = isinstance(error, (VW2Error, OSError, ModuleNotFoundError))
        if not expected or os.environ.get('VW2_DEBUG'):
            raise
        print(f'vw2: error: {_tell(error, arguments)}', file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return _interrupted() if status == 130 else status


if __name__ == '__main__':
    sys.exit(main())

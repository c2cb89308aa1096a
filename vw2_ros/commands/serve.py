# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 serve`: a policy for robots and harnesses on other machines."""

from typing import Annotated

import typer

from vw2_ros.commands.options import Learned, RecoverAfter, check_policy
from vw2_ros.errors import UsageError

EXAMPLE = 'vw2 serve --host 0.0.0.0'


def run(
    policy: Learned = 'play_table',
    host: Annotated[
        str,
        typer.Option(help='Address to listen on; 0.0.0.0: other machines can ask, all of them.'),
    ] = '127.0.0.1',
    port: Annotated[int, typer.Option(min=0, max=65535, help='Port; 0: a free one.')] = 8000,
    execute: Annotated[
        int,
        typer.Option(min=1, help='Actions of a plan that a harness gets before the next plan.'),
    ] = 8,
    recover_after: RecoverAfter = 0.0,
    threads: Annotated[int, typer.Option(min=1, help='CPU threads of the model.')] = 1,
    device: Annotated[str, typer.Option(help='cpu, cuda, or auto: cuda if there is one.')] = 'cpu',
) -> None:
    """Serve a policy to vla-eval, and to nodes with weights:=ws://HOST:PORT."""
    policy = check_policy(policy, learned=True)
    from vw2_ros.serving.server import check_installed, serve

    check_installed()
    from vw2_ros.models.policy import Policy
    from vw2_ros.serving.answers import Answers

    loaded = Policy.load(policy, threads=threads, recover_after_s=recover_after, device=device)
    if execute > loaded.chunk:
        raise UsageError(f'--execute must be at most {loaded.chunk}. Got {execute}')
    loaded.warm_up()

    def ready(bound: int) -> None:
        typer.echo(f'{loaded.path.name} {loaded.sha256[:12]} at ws://{host}:{bound}')

    serve(Answers(loaded, execute), host, port, ready)

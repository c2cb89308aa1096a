# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2`: the one console program. Each command imports what it needs when it runs.

Exit status: 0 done; 1 it ran and failed (or something is missing); 2 it was asked for wrongly;
130 interrupted by Ctrl-C. Set VW2_DEBUG=1 to see the traceback of an error told in one line.
"""

import errno
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Annotated

from vw2_ros.errors import UsageError, VW2Error, close_matches

try:
    import typer
except ModuleNotFoundError:  # `vw2 doctor` must still run and say so
    typer = None  # type: ignore[assignment]


def check_scene(letter: str) -> str:
    """Return one scene in upper case; UsageError where it does not exist."""
    from vw2_ros.sim.scenes import SCENES

    if letter.upper() not in SCENES:
        raise UsageError(close_matches('scene', letter, SCENES))
    return letter.upper()


def check_scenes(letters: str) -> str:
    """Return the scenes, e.g. 'ABCD', in upper case; UsageError where one does not exist."""
    from vw2_ros.sim.scenes import SCENES

    letters = letters.replace(',', '').upper()
    if not letters:
        raise UsageError(f'no scene given; known: {", ".join(SCENES)}')
    for letter in letters:
        if letter not in SCENES:
            raise UsageError(close_matches('scene', letter, SCENES))
    return letters


def check_tasks(names: str) -> list[str]:
    """Return the tasks named by 'all' or 'a,b'; UsageError where one does not exist."""
    from vw2_ros.sim.tasks import TASKS

    if names.strip() == 'all':
        return list(TASKS)
    chosen = [n.strip() for n in names.split(',') if n.strip()]
    if not chosen:
        raise UsageError('no task given; say --tasks all or --tasks NAME,NAME')
    for name in chosen:
        if name not in TASKS:
            raise UsageError(close_matches('task', name, TASKS))
    return chosen


def check_policy(name: str, learned: bool = False) -> str:
    """Return a policy: the name of shipped weights, a folder, or 'expert' or 'random'.

    Args:
        name: what the user typed.
        learned: refuse 'expert' and 'random'.
    """
    from vw2_ros import files as paths

    folder = paths.weights_dir()
    shipped = (
        sorted(d.name for d in folder.iterdir() if d.is_dir() and d.name[0] not in '._')
        if folder.is_dir()
        else []
    )
    known = shipped if learned else ['expert', 'random', *shipped]
    if name in known or os.path.isdir(name):
        return name
    raise UsageError(close_matches('policy', name, known) + '; or give the folder of a checkpoint')


def check_file(path: pathlib.Path | None, what: str) -> pathlib.Path | None:
    """Return the path; UsageError where it is given and is not a file."""
    if path is not None and not path.is_file():
        raise UsageError(f'{what} {path} is not a file')
    return path


def new_folder(path: pathlib.Path | None) -> pathlib.Path | None:
    """Return the path; UsageError, before any work is done, where no folder can be made or filled."""
    place = pathlib.Path(path or '').absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UsageError(f'{path} must be a folder, new or not. Got a file, {place}')
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f'{path} must be where you may write. Got {place}, which is read-only')
    return path


def new_file(path: pathlib.Path | None) -> pathlib.Path | None:
    """Return the path; UsageError, before any work is done, where no file can be written."""
    if path is not None:
        if path.is_dir():
            raise UsageError(f'{path} must be a file to write. Got a folder')
        new_folder(path.parent)
    return path


def check_renderer(name: str) -> str:
    """Return a renderer of the imagination; UsageError where it does not exist."""
    if name not in ('decoder', 'vdm'):
        raise UsageError(close_matches('renderer', name, ('decoder', 'vdm')))
    return name


def check_folders(option: str, folders: Iterable[pathlib.Path]) -> None:
    """Refuse what an option names as folders and is none."""
    for folder in folders:
        if not folder.is_dir():
            hint = ': vw2 collect makes data of the play table' if option == '--data' else ''
            raise UsageError(f'{option} {folder} is not a folder{hint}')


def check_config(name: str) -> pathlib.Path:
    """Return a training config: a YAML file, or the name of one of config/train/."""
    from vw2_ros import files as paths

    if os.path.isfile(name):
        return pathlib.Path(name)
    folder = paths.share_dir() / 'config' / 'train'
    known = sorted(f.stem for f in folder.glob('*.yaml'))
    if name in known:
        return folder / f'{name}.yaml'
    raise UsageError(close_matches('config', name, known) + '; or give a YAML file')


def write_json(path: pathlib.Path | None, result: dict) -> None:
    """Write a result beside its place and rename it, so that a reader never sees half of it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + '.part')
    part.write_text(json.dumps(result, indent=2) + '\n')
    os.replace(part, path)


def show(result: dict) -> None:
    """Print the figures of a benchmark, one per line."""
    width = max(len(k) for k in result)
    for key, value in result.items():
        text = f'{value:.2f}' if isinstance(value, float) else str(value)
        print(f'{key:<{width}}  {text}')


def _example(text: str) -> str:
    return f'Example: {text}'


def build() -> 'typer.Typer':
    """Return the command-line application (its own function, as typer may be missing)."""
    settings = {
        'no_args_is_help': True,
        'add_completion': False,
        'context_settings': {'help_option_names': ['-h', '--help']},
        'pretty_exceptions_enable': False,
        'rich_markup_mode': 'rich',
    }
    app = typer.Typer(
        help='VideoWorld 2 on ROS 2: an instruction and a camera move the arm.',
        epilog=_example('vw2 demo'),
        **settings,
    )
    train = typer.Typer(
        help='Train a part of the model.',
        **settings,
        epilog=_example('vw2 train dldm --config tiny --data data/play --out runs/a/dldm'),
    )
    bench = typer.Typer(
        help='Measure speed.', **settings, epilog=_example('vw2 bench loop --json out/loop.json')
    )
    app.add_typer(train, name='train')
    experiment = typer.Typer(
        help='Train and evaluate rows of a table, side by side.',
        **settings,
        epilog=_example('vw2 experiment calvin-table --scale tiny --out out/table'),
    )
    app.add_typer(bench, name='bench')
    app.add_typer(experiment, name='experiment')
    option = typer.Option
    path_type = pathlib.Path

    @app.command(epilog=_example('vw2 demo --out out/demo'))
    def demo(
        out: Annotated[
            path_type,
            option(help='Folder for result.json, video.mp4, report.html.', callback=new_folder),
        ] = path_type('out/demo'),
        scene: Annotated[str, option(help='Scene of the play table: A, B, C or D.')] = 'D',
        policy: Annotated[
            str, option(help='Shipped weights or the folder of a checkpoint.')
        ] = 'play_table',
        seed: Annotated[int, option(help='Which chain of five tasks.')] = 0,
    ) -> None:
        """Drive a chain of five tasks through the real nodes, and film it."""
        scene, policy = check_scene(scene), check_policy(policy, learned=True)
        from vw2_ros.demo import run as module

        raise typer.Exit(module.run(out=out, scene=scene, seed=seed, policy=policy))

    @app.command(
        epilog=_example('vw2 collect --out data/play --scenes D --episodes 200 --workers 2')
    )
    def collect(
        out: Annotated[
            path_type, option(help='Folder of the data set, made or resumed.', callback=new_folder)
        ],
        scenes: Annotated[str, option(help='Scenes to play in, e.g. D or ABCD.')] = 'D',
        episodes: Annotated[int, option(min=1, help='Episodes (one reset each).')] = 100,
        workers: Annotated[int, option(min=1, help='Processes.')] = 2,
        randomize: Annotated[
            bool, option('--randomize', help='Vary textures, colours, light and camera pose.')
        ] = False,
        seed: Annotated[int, option(help='The same seed gives the same data.')] = 0,
        shards: Annotated[
            int,
            option(
                min=0,
                help='Write compressed shards with images of this '
                'size (pixels) instead of one file per frame; 0: frames.',
            ),
        ] = 0,
        image_size: Annotated[
            int,
            option(
                min=16,
                max=1024,
                help='Side of the static images where there are no shards (pixels).',
            ),
        ] = 200,
        depth: Annotated[
            bool, option('--depth', help='Also depth images (without shards).')
        ] = False,
        tasks_per_episode: Annotated[int, option(min=1, help='Tasks that follow one reset.')] = 30,
        validation_episodes: Annotated[
            int | None, option(min=0, help='Default: one for twenty of training.')
        ] = None,
        policy: Annotated[
            str,
            option(
                help='Let this policy act now and then, unrecorded: the data '
                'show how the expert gets back from where it errs.'
            ),
        ] = '',
    ) -> None:
        """Let the scripted expert play, and write what it does in CALVIN's format."""
        scenes = check_scenes(scenes)
        from vw2_ros.evaluation.fingerprint import checkpoint_sha256
        from vw2_ros.evaluation.players import PolicyTurn
        from vw2_ros.sim import collect as module

        result = module.collect(
            out=out,
            scenes=scenes,
            episodes=episodes,
            workers=workers,
            randomize=randomize,
            seed=seed,
            shards=shards,
            image_size=image_size,
            depth=depth,
            tasks_per_episode=tasks_per_episode,
            validation_episodes=validation_episodes,
            policy=(checkpoint_sha256(policy) or policy) if policy else '',
            astray=PolicyTurn(policy) if policy else None,
        )
        solved = sum(s for s, _ in result['success'].values())
        tried = sum(t for _, t in result['success'].values())
        show(
            {
                'folder': str(out),
                **{
                    k: ', '.join(f'{v} {n}' for n, v in counts.items())
                    for k, counts in result.items()
                    if k != 'success'
                },
                'tasks': f'{solved} of {tried} solved',
            }
        )

    @app.command(epilog=_example('vw2 record --out bags/drawer'))
    def record(
        out: Annotated[path_type, option(help='The bag, a new folder.', callback=new_folder)],
        image: Annotated[str, option(help='Topic of what the policy shall see.')] = 'image_raw',
        namespace: Annotated[str, option(help='Of all topics.')] = '',
        seconds: Annotated[float, option(min=0, help='End after so long; 0: at Ctrl-C.')] = 0,
    ) -> None:
        """Record images, joints, commands and instructions of a running robot into a bag."""
        from vw2_ros.recording import recorder

        raise typer.Exit(recorder.run(out, image, namespace, seconds))

    @app.command(epilog=_example('vw2 convert --bag bags --out data/mine'))
    def convert(
        bag: Annotated[
            list[path_type],
            option(help='A bag, or a folder that holds some; may be given several times.'),
        ],
        out: Annotated[
            path_type,
            option(help='Folder of the data set, made or added to.', callback=new_folder),
        ],
        image: Annotated[
            str,
            option(
                help='Topic of what the policy shall see (default: image_raw, or the only one).'
            ),
        ] = '',
        instruction: Annotated[str, option(help='What bags show in which nobody says so.')] = '',
        limits: Annotated[
            path_type | None,
            option(help='Your copy of config/limits.yaml, for the names of the joints.'),
        ] = None,
        actions: Annotated[
            str,
            option(
                help='commands, joints (as measured) or auto: commands where they were recorded.'
            ),
        ] = 'auto',
        json_file: Annotated[
            path_type | None, option('--json', help='Write the report here.', callback=new_file)
        ] = None,
    ) -> None:
        """Make recordings of a robot into data to train the action head with."""
        check_file(limits, '--limits')
        from vw2_ros.recording import episodes as bag_data

        if actions not in bag_data.ACTIONS:
            raise UsageError(close_matches('--actions', actions, bag_data.ACTIONS))
        result = bag_data.convert(
            bag, out, image=image, instruction=instruction, limits=limits, actions=actions
        )
        write_json(json_file, result)
        for line in bag_data.tell(result):
            print(line)
        show(
            {
                'folder': str(out),
                **{
                    k: ', '.join(f'{v} {n}' for n, v in result[k].items())
                    for k in ('training', 'validation')
                },
            }
        )
        if not result['training']['annotations']:
            print(
                'vw2: no episode with words in it: nothing to train the head with', file=sys.stderr
            )
            raise typer.Exit(1)

    config_type = Annotated[str, option(help='tiny, cpu, gpu, paper or a YAML file.')]
    videos_type = Annotated[
        list[path_type],
        option(
            '--data',
            help='Folder of videos, LeRobot data, ROS 2 bags, WebDataset shards or CALVIN '
            'data; may be given several times.',
        ),
    ]
    data_type = Annotated[
        list[path_type],
        option('--data', help='Data set in CALVIN format; may be given several times.'),
    ]
    run_type = Annotated[
        path_type, option(help='Folder for checkpoints and curves.', callback=new_folder)
    ]
    sight_type = Annotated[
        path_type | None,
        option(
            help='Folder of a sight run, whose keypoints are taken and kept. Without, sight learns '
            'with the rest. For the head with --scratch only.'
        ),
    ]
    resume_type = Annotated[
        bool,
        option('--resume', help='Go on from the last checkpoint in --out, exact to the step.'),
    ]
    seed_type = Annotated[int | None, option(help="Instead of the config's.")]
    minutes_type = Annotated[
        float | None,
        option(min=0, help="Stop and finish after this time; instead of the config's."),
    ]

    def stage_command(name: str):
        return train.command(
            name,
            epilog=_example(
                f'vw2 train {name} --config tiny --data data/play --out runs/a/{name}'
            ),
        )

    def learn(
        module: str,
        config: str,
        data: list,
        out: pathlib.Path,
        builds_on: dict | None = None,
        **options,
    ) -> None:
        """Check what all stages are told, and train.

        Args:
            builds_on: option -> (folder, or None for one beside `out`; the stage made there).
        """
        file = check_config(config)
        check_folders('--data', data)
        if options.get('sight'):
            check_folders('--sight', [options['sight']])
        for key, (folder, before) in (builds_on or {}).items():
            options[key] = folder or out.parent / before
            if not options[key].is_dir():
                raise UsageError(
                    f'the {before} run {options[key]} is not a folder: train it '
                    f'first (vw2 train --help) or name it with --{key}'
                )
        import importlib

        record = importlib.import_module(f'vw2_ros.models.train_{module}').main(
            file, data, out, **options
        )
        if record:  # of several processes the first one speaks
            show({'policy': out / 'policy'} if module == 'head' else {'folder': out})

    @stage_command('sight')
    def train_sight(
        config: config_type,
        data: data_type,
        out: run_type,
        resume: resume_type = False,
        seed: seed_type = None,
        max_minutes: minutes_type = None,
    ) -> None:
        """Train the keypoints to look with, on what `vw2 collect` writes; real robots do without."""
        learn('sight', config, data, out, resume=resume, seed=seed, max_minutes=max_minutes)

    @stage_command('dldm')
    def train_dldm(
        config: config_type,
        data: videos_type,
        out: run_type,
        stage: Annotated[
            str,
            option(
                help='warmup: codes from reconstruction alone; disentangle: '
                'codes through a video diffusion model, after a warm-up.'
            ),
        ] = 'warmup',
        init: Annotated[
            path_type | None,
            option(
                help='For stage disentangle: folder of the '
                'warm-up run (default: warmup beside --out).'
            ),
        ] = None,
        vdm: Annotated[
            path_type | None,
            option(
                help='For stage disentangle: folder of a vdm run (default: vdm beside --out), or of a '
                'diffusers pipeline of Cosmos-Predict2.'
            ),
        ] = None,
        resume: resume_type = False,
        seed: seed_type = None,
        max_minutes: minutes_type = None,
    ) -> None:
        """Train the latent dynamics model on videos, without actions."""
        if stage not in ('warmup', 'disentangle'):
            raise UsageError(f'--stage must be warmup or disentangle. Got {stage!r}')
        if stage == 'warmup' and (init or vdm):
            raise UsageError('--init and --vdm go with --stage disentangle only')
        module, builds_on = (
            ('disentangle', {'init': (init, 'warmup'), 'vdm': (vdm, 'vdm')})
            if stage == 'disentangle'
            else ('dldm', None)
        )
        learn(
            module, config, data, out, builds_on, resume=resume, seed=seed, max_minutes=max_minutes
        )

    @stage_command('planner')
    def train_planner(
        config: config_type,
        data: data_type,
        out: run_type,
        init: Annotated[
            path_type | None,
            option(
                help='Folder of the dldm run that this stage '
                'builds on (default: dldm beside --out).'
            ),
        ] = None,
        sight: sight_type = None,
        start: Annotated[
            str,
            option(
                help='Shipped weights or the folder of a policy to begin '
                'with. Its words, keypoints and backbone stay as they are; '
                'the codes of another dldm run are learned.'
            ),
        ] = '',
        resume: resume_type = False,
        seed: seed_type = None,
        max_minutes: minutes_type = None,
    ) -> None:
        """Train the planner: instruction and image to codes."""
        if start and sight:
            raise UsageError('--start brings its own sight: leave out --sight')
        learn(
            'planner',
            config,
            data,
            out,
            {'init': (init, 'dldm')},
            sight=sight,
            start=check_policy(start, learned=True) if start else None,
            resume=resume,
            seed=seed,
            max_minutes=max_minutes,
        )

    @stage_command('head')
    def train_head(
        config: config_type,
        data: data_type,
        out: run_type,
        init: Annotated[
            path_type | None,
            option(
                help='Folder of the planner run that this stage '
                'builds on (default: planner beside --out).'
            ),
        ] = None,
        labels: Annotated[
            float, option(help='Fraction of the labelled windows to use, above 0 and up to 1.')
        ] = 1.0,
        scratch: Annotated[
            bool,
            option('--scratch', help='Without a planner run: a plain transformer, no latents.'),
        ] = False,
        sight: sight_type = None,
        start: Annotated[
            str,
            option(
                help='Shipped weights or the folder of a policy to go on '
                'with: its head, and its planner too unless --init names '
                'another.'
            ),
        ] = '',
        learn_sight: Annotated[
            bool,
            option(
                '--learn-sight',
                help='Let the keypoints learn too, for another camera than they know.',
            ),
        ] = False,
        resume: resume_type = False,
        seed: seed_type = None,
        max_minutes: minutes_type = None,
    ) -> None:
        """Train the action head on the hidden states of the planner."""
        if not 0 < labels <= 1:
            raise UsageError(f'--labels must be above 0 and at most 1. Got {labels}')
        if scratch and (init or start):
            raise UsageError('--scratch begins with nothing: leave out --init and --start')
        if sight and not scratch:
            raise UsageError(
                '--sight goes with --scratch: otherwise the planner run says what '
                'sight it has (vw2 train planner --sight)'
            )
        if start:
            start = check_policy(start, learned=True)
            from vw2_ros.models.checkpoint import resolve

            init = init or resolve(start)
        learn(
            'head',
            config,
            data,
            out,
            None if scratch else {'init': (init, 'planner')},
            labels=labels,
            sight=sight,
            start=start or None,
            learn_sight=learn_sight,
            resume=resume,
            seed=seed,
            max_minutes=max_minutes,
        )

    @stage_command('vdm')
    def train_vdm(
        config: config_type,
        data: videos_type,
        out: run_type,
        resume: resume_type = False,
        seed: seed_type = None,
        max_minutes: minutes_type = None,
    ) -> None:
        """Train the video diffusion model: first frame to video, without actions."""
        learn('vdm', config, data, out, resume=resume, seed=seed, max_minutes=max_minutes)

    @train.command(
        'keysteps', epilog=_example('vw2 train keysteps --data data/play --out runs/keysteps')
    )
    def train_keysteps(
        data: data_type,
        out: run_type,
        config: config_type = 'cpu',
        backbone: Annotated[
            path_type | None,
            option(help='Folder of a DINOv2 as on the hub, instead of a small CNN.'),
        ] = None,
        resume: resume_type = False,
        seed: seed_type = None,
        max_minutes: minutes_type = None,
    ) -> None:
        """Train what tells whether a frame shows a task's goal reached, to judge imagination."""
        learn(
            'keysteps',
            config,
            data,
            out,
            backbone=backbone,
            resume=resume,
            seed=seed,
            max_minutes=max_minutes,
        )

    @app.command(
        epilog=_example(
            "vw2 imagine --image photo.png --instruction 'open the drawer' --out out/clip.mp4"
        )
    )
    def imagine(
        image: Annotated[
            path_type,
            option(help='Picture of the scene, any size; its largest centred square is taken.'),
        ],
        instruction: Annotated[str, option(help='What to do, in plain words.')],
        out: Annotated[
            path_type,
            option(help='The mp4 file; a strip of it goes to the .png beside.', callback=new_file),
        ],
        segments: Annotated[
            int, option(min=1, max=100, help='Plans in a row, each from the last frame before it.')
        ] = 4,
        renderer: Annotated[
            str, option(help='decoder (quick, coarse) or vdm (the video diffusion model).')
        ] = 'decoder',
        steps: Annotated[int, option(min=1, max=1000, help="Of the VDM's sampling.")] = 20,
        policy: Annotated[
            str, option(help='Shipped weights or the folder of a checkpoint.')
        ] = 'play_table',
        vdm: Annotated[
            path_type | None,
            option(help="Run folder of the VDM (default: vdm/ in the policy's folder)."),
        ] = None,
        seed: Annotated[int, option(help="Of the VDM's noise.")] = 0,
    ) -> None:
        """Show in a video what the policy means to do about a picture."""
        check_file(image, '--image')
        check_renderer(renderer)
        policy = check_policy(policy, learned=True)
        if out.suffix != '.mp4':
            raise UsageError(f'--out must end in .mp4. Got {out}')
        from vw2_ros.demo import imagine as module

        show(
            module.run(
                image,
                instruction,
                out,
                segments=segments,
                renderer=renderer,
                vdm=vdm,
                steps=steps,
                policy=policy,
                seed=seed,
            )
        )

    @app.command(
        'eval', epilog=_example('vw2 eval --policy play_table --chains 20 --json out/e.json')
    )
    def evaluate(
        policy: Annotated[
            str, option(help='Shipped weights, a folder, expert or random.')
        ] = 'play_table',
        tasks: Annotated[str, option(help='Single tasks: all, or NAME,NAME.')] = '',
        rollouts: Annotated[int, option(min=1, help='Rollouts per task.')] = 20,
        chains: Annotated[int, option(min=0, max=1000, help='Long horizon: chains of five.')] = 0,
        scene: Annotated[str, option(help='A, B, C or D.')] = 'D',
        seed: Annotated[int, option(help='The same seed gives the same result.')] = 0,
        phrases: Annotated[
            path_type | None,
            option(help='JSON, task -> list of wordings, instead of the validation phrases.'),
        ] = None,
        workers: Annotated[int, option(min=1, help='Processes.')] = 1,
        video: Annotated[int, option(min=0, help='Film the first K rollouts.')] = 0,
        execute: Annotated[
            int, option(min=1, max=16, help='Actions of a plan that are executed before the next.')
        ] = 8,
        ros: Annotated[bool, option('--ros', help='Through the nodes, in lockstep.')] = False,
        real_time: Annotated[
            bool, option('--real-time', help='Through the nodes, and the table waits for nobody.')
        ] = False,
        out: Annotated[
            path_type | None,
            option(
                help='Folder for report.html, videos and the record that an interrupted run resumes '
                'from (default: out/eval/POLICY-tasks, -chains).',
                callback=new_folder,
            ),
        ] = None,
        json_file: Annotated[
            path_type | None, option('--json', help='Write the result here.', callback=new_file)
        ] = None,
    ) -> None:
        """Measure a policy on single tasks or on chains of five."""
        if not tasks and not chains:
            raise UsageError('say what to evaluate: --tasks all, --tasks NAME,NAME or --chains N')
        chosen = dict(
            policy=check_policy(policy),
            tasks=tuple(check_tasks(tasks)) if tasks else (),
            rollouts=rollouts,
            chains=chains,
            scene=check_scene(scene),
            seed=seed,
            phrases=check_file(phrases, '--phrases'),
            workers=workers,
            video=video,
            ros=ros,
            real_time=real_time,
            execute=execute,
            out=out,
        )
        from vw2_ros.evaluation.rollouts import Options
        from vw2_ros.evaluation.run import run

        options = Options(**chosen)
        result = run(options)
        write_json(json_file, result)
        keys = (
            (['avg_len', 'success_at', 'chains'] if chains else [])
            + (['mean_success'] if tasks else [])
            + ['seconds']
        )
        show({k: result[k] for k in keys} | {'report': str(options.out / 'report.html')})

    def add_experiment(name: str, what: str, chains_help: str) -> None:
        @experiment.command(
            name,
            help=what,
            epilog=_example(f'vw2 experiment {name} --scale tiny --out out/{name}'),
        )
        def run(
            out: Annotated[
                path_type,
                option(
                    help='Folder of all runs and of the table; the same '
                    'command goes on where it ended.',
                    callback=new_folder,
                ),
            ],
            scale: Annotated[
                str, option(help='tiny, cpu, gpu or a YAML file (config/experiment/).')
            ] = 'cpu',
            seeds: Annotated[
                int | None, option(min=1, help="Trainings of each row; instead of the scale's.")
            ] = None,
            rows: Annotated[
                str,
                option(
                    help='NAME,NAME; default: all. Other rows and seeds of the '
                    'table in --out stay in it, where scale, minutes and '
                    'chains are the same.'
                ),
            ] = '',
            chains: Annotated[int | None, option(min=0, max=1000, help=chains_help)] = None,
            minutes: Annotated[
                float | None,
                option(
                    min=0.01, help='Of training one row, about: steps and time boxes are scaled.'
                ),
            ] = None,
        ) -> None:
            from vw2_ros.experiment import jobs as module

            try:
                module.Scale.load(scale).config(), module.chosen(name, rows)
            except ValueError as error:
                raise UsageError(str(error)) from error
            result = module.run(
                name, out, scale, seeds=seeds, rows=rows, chains=chains, minutes=minutes
            )
            lengths = {row['name']: row['mean_length'] for row in result['rows']}
            show(
                {
                    name: '{mean:.2f} [{low:.2f}, {high:.2f}]'.format(**x)
                    for name, x in lengths.items()
                    if x
                }
                | {'table': str(out / 'table.md')}
            )

    add_experiment(
        'calvin-table',
        "The paper's comparison: no latents, LAPA's, VideoWorld 1's, "
        'VideoWorld 2, with 10 % and with all labels.',
        "Of the evaluation, in scene D; instead of the scale's. 0: no heads, no evaluation.",
    )
    add_experiment(
        'ablation',
        'What each part of the dLDM is for. At scale cpu all rows take about '
        "7 hours of two cores with --seeds 1, and 26 with the scale's four. What is "
        'left to do is told at the start.',
        'Also train action heads, and evaluate so many chains. Default: none.',
    )

    @app.command(
        epilog=_example(
            'vw2 inspect --dldm vdm=runs/vdm,rec=runs/rec --data data/abcd --out out/inspect'
        )
    )
    def inspect(
        dldm: Annotated[
            list[str],
            option(
                help='Run folder of vw2 train dldm, folder of a policy '
                'or shipped weights; several as A,B or vdm=A,rec=B: the '
                'first is compared with the others.'
            ),
        ],
        data: Annotated[
            list[path_type],
            option(help='CALVIN data of several scenes; may be given several times.'),
        ],
        out: Annotated[
            path_type,
            option(
                help='Folder for inspection.html, inspection.json and the plots.',
                callback=new_folder,
            ),
        ] = path_type('out/inspect'),
        looks: Annotated[
            list[path_type] | None,
            option(
                help='Data of vw2 collect --randomize, of another --seed: test on looks that nothing '
                'learned from, too; may be given several times.'
            ),
        ] = None,
        test_scene: Annotated[str, option(help='The scene that no probe learns from.')] = 'D',
        clips: Annotated[
            int, option(min=100, help='How many are drawn, spread over scenes and episodes.')
        ] = 4000,
        seed: Annotated[int, option(min=0, help='The same seed gives the same figures.')] = 0,
        json_file: Annotated[
            path_type | None,
            option('--json', help='Write the figures here too.', callback=new_file),
        ] = None,
    ) -> None:
        """Look inside the latents: motion or appearance? Probes, retrieval, UMAP, swaps."""
        folders: dict[str, str] = {}
        for word in (w.strip() for words in dldm for w in words.split(',') if w.strip()):
            name, folder = word.split('=', 1) if '=' in word else (word, word)
            if name in folders:
                raise UsageError(f"--dldm names '{name}' twice; say NAME=FOLDER")
            folders[name] = check_policy(folder, learned=True)
        if not folders:
            raise UsageError('say whose codes to look at: --dldm play_table or a run folder')
        check_folders('--data', data)
        check_folders('--looks', looks or [])
        from vw2_ros.inspection import page as inspection

        result = inspection.run(
            folders,
            data,
            out,
            test_scene=test_scene.upper(),
            seed=seed,
            clips=clips,
            looks=looks or [],
        )
        write_json(json_file, result)
        for name, found in result['dldms'].items():
            show(inspection.summary(name, found, result['test_scene']))
        show({'seconds': result['seconds'], 'page': str(out / 'inspection.html')})

    def finish(result: dict, json_file: pathlib.Path | None) -> None:
        write_json(json_file, result)
        show(result)

    json_option = Annotated[
        path_type | None, option('--json', help='Write the figures here.', callback=new_file)
    ]

    @bench.command('sim', epilog=_example('vw2 bench sim --json out/sim.json'))
    def bench_sim(
        scene: Annotated[str, option(help='A, B, C or D.')] = 'D',
        seconds: Annotated[float, option(min=0.1, help='Of each measurement.')] = 5.0,
        json_file: json_option = None,
    ) -> None:
        """Steps per second of the play table, with and without its cameras."""
        scene = check_scene(scene)
        from vw2_ros.sim import bench as module

        finish(module.bench_sim(scene, seconds), json_file)

    @bench.command('policy', epilog=_example('vw2 bench policy --json out/policy.json'))
    def bench_policy(
        policy: Annotated[str, option(help='Shipped weights or a folder.')] = 'play_table',
        calls: Annotated[int, option(min=2, help='Plans that are timed.')] = 200,
        threads: Annotated[int, option(min=1, help='Of the processor.')] = 1,
        json_file: json_option = None,
    ) -> None:
        """Time of one plan and of the action head."""
        policy = check_policy(policy, learned=True)
        from vw2_ros.bench import policy as module

        finish(module.run(policy, calls=calls, threads=threads), json_file)

    @bench.command('loop', epilog=_example('vw2 bench loop --json out/loop.json'))
    def bench_loop(
        policy: Annotated[str, option(help='Shipped weights or a folder.')] = 'play_table',
        seconds: Annotated[float, option(min=1.0, help='How long the nodes run.')] = 30.0,
        json_file: json_option = None,
    ) -> None:
        """Image received to new joint command, and the jitter of the 30 Hz timer, over ROS."""
        policy = check_policy(policy, learned=True)
        from vw2_ros.bench import loop as module

        finish(module.run(policy, seconds=seconds), json_file)

    @bench.command(
        'imagination',
        epilog=_example('vw2 bench imagination --data data/play --out out/imagination'),
    )
    def bench_imagination(
        data: Annotated[
            path_type,
            option(help='Annotated data set in CALVIN format; its held-out part is used.'),
        ],
        out: Annotated[
            path_type,
            option(
                help='Folder for curves.png, strip.png and the record '
                'that an interrupted run resumes from.',
                callback=new_folder,
            ),
        ] = path_type('out/imagination'),
        segments: Annotated[int, option(min=1, max=100, help='Of a clip.')] = 4,
        clips: Annotated[int, option(min=1, help='Held-out clips.')] = 32,
        renderer: Annotated[str, option(help='decoder or vdm.')] = 'decoder',
        steps: Annotated[int, option(min=1, max=1000, help="Of the VDM's sampling.")] = 20,
        policy: Annotated[str, option(help='Shipped weights or a folder.')] = 'play_table',
        vdm: Annotated[
            path_type | None,
            option(help="Run folder of the VDM (default: vdm/ in the policy's folder)."),
        ] = None,
        prior: Annotated[
            path_type | None,
            option(
                help='Run folder of vw2 train vdm: also what that '
                'VDM makes of the first frame, without codes.'
            ),
        ] = None,
        key_steps: Annotated[
            path_type | None,
            option(help='Run folder of vw2 train keysteps: also count the goals reached.'),
        ] = None,
        seed: Annotated[int, option(min=0, help='Which clips.')] = 0,
        json_file: json_option = None,
    ) -> None:
        """SSIM, PSNR, LPIPS and goals of imagined video against held-out video, per segment."""
        check_renderer(renderer)
        policy = check_policy(policy, learned=True)
        check_folders('--data', [data])
        check_folders('--key-steps', [key_steps] if key_steps else [])
        from vw2_ros.bench import imagination as module

        result = module.run(
            module.Options(
                data=data,
                out=out,
                policy=policy,
                renderer=renderer,
                vdm=vdm,
                prior=prior,
                steps=steps,
                segments=segments,
                clips=clips,
                key_steps=key_steps,
                seed=seed,
            )
        )
        finish(result, json_file or out / 'result.json')

    @app.command(epilog=_example('vw2 doctor --json'))
    def doctor(
        as_json: Annotated[bool, option('--json', help='Print the checks as JSON.')] = False,
    ) -> None:
        """Say what is installed, what is missing and how to mend it."""
        from vw2_ros.bringup import doctor as module

        raise typer.Exit(module.main(['--json'] if as_json else []))

    return app


def _tell(error: BaseException) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    if getattr(error, 'errno', None) == errno.ENOSPC or 'No space left' in text:
        text += '. Make room, and give the same command again (vw2 train with --resume)'
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
        print(f'vw2: error: {_tell(error)}', file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return _interrupted() if status == 130 else status


if __name__ == '__main__':
    sys.exit(main())

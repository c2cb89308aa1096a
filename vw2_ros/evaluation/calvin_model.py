# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A policy of ours in CALVIN's own script, evaluate_policy.py: its class `CustomModel`.

    from calvin_agent.evaluation import evaluate_policy
    from vw2_ros.evaluation.calvin_model import CustomModel

    env = evaluate_policy.make_env(dataset_path)
    evaluate_policy.evaluate_policy(CustomModel('play_table'), env, epoch=0)

Call `evaluate_policy` yourself: the `main` of the script forgets `epoch`. `get_sequences(1000)`,
which it calls first, takes minutes.
"""

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.policy import Policy
from vw2_ros.models.recovery import TABLE_AFTER_S


class CustomModel:
    """What CALVIN's evaluation asks for: `reset` before each subtask, `step` for each action.

    Args:
        weights: shipped weights by name, or a model folder.
        execute: actions of a plan that are executed before the next one.
        recover_after_s: what is not done by then is tried anew [s]; 0: never.
        renderer: what draws the environment's pictures, to be warned where the policy learned from
            others: calvin_env_tiny or calvin_env_egl; None: nobody knows.
    Raises:
        CheckpointError: the weights cannot be loaded.
    """

    def __init__(
        self,
        weights: str = 'play_table',
        *,
        execute: int = 8,
        recover_after_s: float = TABLE_AFTER_S,
        renderer: str | None = None,
    ):
        self.policy = Policy.load(weights, execute=execute, recover_after_s=recover_after_s)
        self.policy.check_action_frame('base')
        self.policy.check_images(renderer)

    def reset(self) -> None:
        """Begin a subtask: the next step makes a new plan."""
        self.policy.reset()

    def step(self, obs: dict, goal: str) -> np.ndarray:
        """The next action for calvin_env.

        Args:
            obs: of calvin_env; `obs['rgb_obs']['rgb_static']` uint8 (H, W, 3) is looked at.
            goal: what to do, in plain words.
        Returns:
            float64 (7,): relative, the gripper exactly -1 or +1; its memory is the caller's.
        Raises:
            InvalidValueError: no words, as where a script embeds them, or no such picture.
        """
        if not isinstance(goal, str):
            raise InvalidValueError(
                f'goal must be a sentence. Got {type(goal).__name__}. '
                'Hand over the annotation, not its embedding'
            )
        try:
            rgb = obs['rgb_obs']['rgb_static']
        except (KeyError, TypeError):
            raise InvalidValueError(
                "obs must hold obs['rgb_obs']['rgb_static']. Got none: open the environment with "
                'its static camera'
            ) from None
        observation = {'rgb': self.policy.fit(rgb), 'instruction': goal}
        return self.policy.act(observation, exact_gripper=True).astype(np.float64)

# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Topics and services, the play table's cameras: the only place where these names are written.

All names but /diagnostics and /clock are relative: a namespace or a remap moves them.

| name                    | type                           | from -> to                | rate        |
| ----------------------- | ------------------------------ | ------------------------- | ----------- |
| input, input/compressed | any camera driver's images     | driver -> camera          | any         |
| image_raw               | sensor_msgs/Image rgb8         | camera -> planner, action | 30 Hz       |
| image_raw/compressed    | sensor_msgs/CompressedImage    | camera ->                 | 30 Hz       |
| camera_info             | sensor_msgs/CameraInfo         | camera ->                 | with images |
| instruction             | std_msgs/String, latched       | operator -> planner, action | on change |
| outcome                 | std_msgs/String: success, failure, discard | recorder, in bags | per episode |
| latent_plan             | sensor_msgs/Image 16UC1        | planner -> imagination    | per plan    |
| plan_hidden             | sensor_msgs/Image 32FC1        | planner -> action         | per plan    |
| robot_description       | std_msgs/String, latched, URDF | robot -> action           | once        |
| joint_states            | sensor_msgs/JointState         | robot -> action           | 30 Hz       |
| joint_commands          | trajectory_msgs/JointTrajectory (also JointState, see action_node's `output`) | action -> robot | 30 Hz |
| commands                | std_msgs/Float64MultiArray     | action -> forward_command_controller | 30 Hz |
| twist_commands          | geometry_msgs/TwistStamped     | action -> MoveIt Servo    | 30 Hz       |
| gripper_command         | std_msgs/Float64MultiArray (1) [m] | action -> gripper's controller, where `finger_joint` is '' | 30 Hz |
| rel_actions             | std_msgs/Float64MultiArray (7) | operator -> play table    | any         |
| imagined/image_raw      | sensor_msgs/Image rgb8         | imagination ->            | 30 Hz       |
| dry_run/image           | sensor_msgs/Image rgb8         | action, in a dry run ->   | per plan    |
| table_state             | std_msgs/String, JSON          | play table ->             | 30 Hz       |
| task_state              | std_msgs/String, JSON, latched | play table -> operator    | on change   |
| weights                 | std_msgs/String, JSON, latched | planner -> action: load, swap | on change |
| weights_loaded          | std_msgs/String, JSON          | action -> planner         | on change   |
| load_weights            | std_srvs/Trigger               | operator -> planner       |             |
| heartbeat               | std_msgs/Empty; its liveliness counts, nothing is sent | action -> watchdog | 50 Hz |
| reset, start_task       | std_srvs/Trigger               | operator -> play table    |             |
| stop, rearm, release, restart | std_srvs/Trigger         | operator -> action        |             |
| stop                    | std_msgs/Bool, may be latched  | stop button -> action     | on change   |
| episode/start, toggle, success, failure, discard, next, save | std_srvs/Trigger | pedal -> recorder | |
| enable                  | std_msgs/Bool                  | deadman -> action         | >= 5 Hz     |
| joy                     | sensor_msgs/Joy                | deadman -> action         | >= 5 Hz     |
| teleop/twist            | geometry_msgs/TwistStamped: of the tool, in the contract's action frame | operator -> action | >= 10 Hz |
| teleop/gripper          | std_msgs/Bool: true closes     | operator -> action        | any         |
| leader                  | std_msgs/String, latched: policy, operator, correction, nobody | action -> recorder | on change |
| hand_back               | std_srvs/Trigger               | operator -> action        |             |
"""

IMAGE = 'image_raw'
CAMERA_INFO = 'camera_info'
INPUT = 'input'  # of the camera node
INPUT_INFO = f'{INPUT}/{CAMERA_INFO}'
INSTRUCTION = 'instruction'
OUTCOME = 'outcome'  # how an episode ended
EPISODE = 'episode'  # services of the recorder lie below it
LATENT_PLAN = 'latent_plan'
PLAN_HIDDEN = 'plan_hidden'
ROBOT_DESCRIPTION = 'robot_description'
JOINT_STATES = 'joint_states'
JOINT_COMMANDS = 'joint_commands'
POSITION_COMMANDS = 'commands'
TWIST_COMMANDS = 'twist_commands'
GRIPPER_COMMAND = 'gripper_command'
REL_ACTIONS = 'rel_actions'
IMAGINED = f'imagined/{IMAGE}'
DRY_RUN = 'dry_run/image'
TABLE_STATE = 'table_state'
TASK_STATE = 'task_state'
RESET = 'reset'
START_TASK = 'start_task'
STOP = 'stop'
REARM = 'rearm'
RESTART = 'restart'
RELEASE = 'release'
ENABLE = 'enable'
JOY = 'joy'
TELEOP_TWIST = 'teleop/twist'
TELEOP_GRIPPER = 'teleop/gripper'
LEADER = 'leader'
# what it says, see control/takeover.py
POLICY, OPERATOR, CORRECTION, NOBODY = 'policy', 'operator', 'correction', 'nobody'
HAND_BACK = 'hand_back'
LOAD_WEIGHTS = 'load_weights'
WEIGHTS = 'weights'
WEIGHTS_LOADED = 'weights_loaded'
HEARTBEAT = 'heartbeat'
DIAGNOSTICS = '/diagnostics'
CLOCK = '/clock'

# cameras of the play table: their topics lie below these names, e.g. static/image_raw
STATIC, GRIPPER = CAMERAS = ('static', 'gripper')

# environment variable with the id of the process that began a node: the node ends with it
PARENT_VARIABLE = 'VW2_PARENT_PID'
NOT_STARTED = 2  # status of a node's process that was asked for wrongly or did not get ready


def compressed(topic: str) -> str:
    """Return image_transport's name of an image topic's compressed form."""
    return f'{topic}/compressed'

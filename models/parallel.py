# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One training run on several processes, as `accelerate launch` starts them: DDP or FSDP 2.

    accelerate launch --multi_gpu --num_processes 2 -m vw2_ros.cli train dldm --config gpu ...

Every process runs the same program and comes to the same decisions. Of each batch it sees every
`world()`-th sample; numbers that belong to the whole batch are put together here. The first process
alone writes files. With one process nothing in this file does anything.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import datetime
import functools
import os
import typing
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError

if typing.TYPE_CHECKING:
    from accelerate import Accelerator, FullyShardedDataParallelPlugin

# How launchers say how many processes there are: torchrun, and MPI's kinds.
COUNTS = ('WORLD_SIZE', 'PMI_SIZE', 'OMPI_COMM_WORLD_SIZE', 'MV2_COMM_WORLD_SIZE')
PATIENCE = datetime.timedelta(hours=6)  # the first process may have much to decode or encode


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, 0 for the first."""
    return dist.get_rank() if world() > 1 else 0


def leads() -> bool:
    """Whether this process writes files and talks: the first one, or the only one."""
    return rank() == 0


# ------------------------------------------------------------------------------------- joining in


def join(kind: str) -> torch.device:
    """Join the other processes, if a launcher started several. Call it before all else in here.

    Args:
        kind: of device, 'cpu' or 'cuda'.
    Returns:
        this process's own device.
    Raises:
        ValueError: FSDP of another version than 2.
    """
    if max(int(os.environ.get(name) or 1) for name in COUNTS) == 1:
        return torch.device(kind)
    own = _accelerator(kind == 'cpu').device
    _messages()
    return own if kind == 'cuda' else torch.device('cpu')


def pieces() -> int:
    """How many pieces a model is cut into: under FSDP one for each process."""
    return world() if _cuts() else 1


def _cuts() -> bool:
    return os.environ.get('ACCELERATE_USE_FSDP', '').lower() == 'true'


@functools.cache
def _accelerator(cpu: bool) -> Accelerator:
    from accelerate import (
        Accelerator,
        DistributedDataParallelKwargs,
        DistributedType,
        InitProcessGroupKwargs,
        PartialState,
    )

    shards = _fsdp() if _cuts() else None
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision='no',
        fsdp_plugin=shards,
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=PATIENCE),
            # Of the VDM, parts of the connector have no gradient while there are no codes.
            DistributedDataParallelKwargs(find_unused_parameters=True),
        ],
    )
    if shards and cpu:  # accelerate cuts models on GPUs only, torch on processors too
        for state in (PartialState(), accelerator.state):
            state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = shards
    return accelerator


def _fsdp() -> FullyShardedDataParallelPlugin:
    """How a model is cut, as the launcher's options say."""
    from accelerate import FullyShardedDataParallelPlugin

    # Every process has built the whole model before it is cut.
    shards = FullyShardedDataParallelPlugin(cpu_ram_efficient_loading=False)
    if shards.fsdp_version != 2:
        raise InvalidValueError(
            'FSDP must be of version 2: accelerate launch --use_fsdp '
            f'--fsdp_version 2. Got {shards.fsdp_version}.'
        )
    return shards


@functools.cache
def _messages() -> dist.ProcessGroup:
    """A group for messages between the CPUs, so that no GPU has to wait for them."""
    return dist.new_group(backend='gloo', timeout=PATIENCE)


_taking_turns = contextvars.ContextVar('taking_turns', default=False)


@contextlib.contextmanager
def first_of_machine() -> Iterator[None]:
    """Let the first process of each machine do the block before the others, who find its files.

    Within another such block this does nothing.
    """
    if world() == 1 or _taking_turns.get():
        yield
        return
    first = int(os.environ['LOCAL_RANK']) == 0
    if not first:
        wait()
    before = _taking_turns.set(True)
    try:
        yield
    finally:
        _taking_turns.reset(before)
    if first:
        wait()


# ---------------------------------------------------------------------------- what they tell each other


def wait() -> None:
    """Wait until every process is here."""
    if world() > 1:
        dist.barrier(group=_messages())


def agree(stop: bool, clock: float) -> tuple[bool, float]:
    """Whether any process wants to stop, and the first one's clock."""
    if world() == 1:
        return stop, clock
    word = torch.tensor([float(stop), clock if leads() else 0.0], dtype=torch.float64)
    dist.all_reduce(word, group=_messages())
    return bool(word[0]), float(word[1])


def everyones(value: typing.Any) -> list:
    """Gather a small value from every process, in the order of their ranks."""
    values = [value] * world()
    if world() > 1:
        dist.all_gather_object(values, value, group=_messages())
    return values


def mean_scalars(scalars: Mapping[str, float]) -> dict[str, float]:
    """Each number's mean over the processes."""
    if world() == 1:
        return dict(scalars)
    word = torch.tensor(list(scalars.values()), dtype=torch.float64)
    dist.all_reduce(word, group=_messages())
    return dict(zip(scalars, (word / world()).tolist(), strict=True))


def gather(x: Tensor) -> Tensor:
    """Rows of all processes in their order, with gradient: (B, ...) -> (world * B, ...)."""
    return x if world() == 1 else _Gather.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        rows = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(rows, x.contiguous())
        return torch.cat(rows)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)  # what the losses of all processes have to say
        return grad.chunk(world())[rank()]


def common_count(count: Tensor) -> Tensor:
    """The divisor of a sum over this process's samples that makes the processes' mean right.

    The mean of sum_i / common_count over the processes i is the sum over all of them by the count
    over all of them, as one process has it.
    """
    if world() == 1:
        return count.clamp(min=1)
    count = count.detach().clone()
    dist.all_reduce(count)
    return count.clamp(min=1) / world()


# --------------------------------------------------------------------------------- the model, together


class Whole(nn.Module):
    """A model whose `forward` is any work with it: DDP and FSDP hook into `forward` only.

    A stage's loss calls methods of its model by name. In here they find complete weights, and the
    gradients of all processes are put together in the backward pass.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], typing.Any]) -> typing.Any:
        return work()


class Together:
    """A model and its optimiser on all processes.

    Args:
        model: on its device. Under FSDP its parameters are cut to pieces, here and in the
            optimiser, until `make_whole`.
        optimizer: of the model's parameters, without a state yet.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        self._whole = self._trained = Whole(model)
        self._before: list[tuple[nn.Module, type, dict]] = []
        if world() == 1:
            return
        accelerator = _accelerator(next(model.parameters()).device.type == 'cpu')
        if accelerator.is_fsdp2:
            # A run may train several models; of the units asked for, each has its own.
            shards = accelerator.state.fsdp_plugin = _fsdp()
            here = {type(m).__name__: m for m in model.modules()}
            units = shards.transformer_cls_names_to_wrap or [
                name for m in here.values() for name in getattr(m, '_no_split_modules', None) or ()
            ]
            shards.transformer_cls_names_to_wrap = sorted(here.keys() & set(units))
            self._before = [
                (
                    m,
                    type(m),
                    {k: copy.copy(v) if 'hook' in k else None for k, v in vars(m).items()},
                )
                for m in model.modules()
            ]
            for parameter in model.parameters():  # no other memory order is cut
                parameter.data = parameter.data.contiguous()
        self._trained, _ = accelerator.prepare(self._whole, optimizer)
        accelerator.free_memory()  # it would hold them for ever

    def forward(self, loss: Callable[..., typing.Any]) -> Callable[..., typing.Any]:
        """The function to call in place of `loss` while training.

        With one process it is `loss` itself. With several, each call is a `forward` of the model,
        so that DDP or FSDP can prepare the backward pass.
        """
        if world() == 1:
            return loss
        return lambda *batch: self._trained(functools.partial(loss, *batch))

    def look(self, work: Callable[[], typing.Any]) -> typing.Any:
        """Call `work`, which needs complete weights (validation). All processes must call this."""
        seen = self._whole(work)
        self._reshard()  # FSDP leaves what lies outside its units complete until a backward pass
        return seen

    def _reshard(self) -> None:
        for module in self._whole.modules():
            if hasattr(module, 'reshard'):
                module.reshard()

    def make_whole(self) -> None:
        """Give every process the plain model with complete weights back; the optimiser is done."""
        if not self._before:
            return
        self._reshard()
        complete = {
            id(p): nn.Parameter(p.detach().full_tensor(), p.requires_grad)
            for p in self._whole.parameters()
        }
        for module, kind, own in self._before:
            module.__class__ = kind
            for name in list(vars(module)):
                if name not in own:
                    delattr(module, name)
                elif 'hook' in name:
                    setattr(module, name, own[name])
            for name, value in module._parameters.items():
                module._parameters[name] = value if value is None else complete[id(value)]


def piece(value: Tensor) -> Tensor:
    """The part of a tensor that this process holds: all of it, but under FSDP."""
    return value.to_local() if hasattr(value, 'to_local') else value


def full(value: Tensor) -> Tensor:
    """Put a tensor together from its pieces. All processes must call this."""
    return value.full_tensor() if hasattr(value, 'full_tensor') else value


def complete(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put tensors together for the first process, on its CPU; the others get none."""
    out = {}
    for name, value in tensors.items():
        value = full(value)
        if leads():
            out[name] = value.detach().cpu()
    return out


def cut(value: Tensor, like: Tensor) -> Tensor:
    """A complete tensor, cut as `like` is."""
    if not hasattr(like, 'placements'):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )

"""The processes and devices of a run: a thin layer over Accelerate, which nothing is taken from silently.

Modules are not wrapped in DistributedDataParallel (players freeze and thaw parameters, and penalties use only some
of them). Gradients are averaged in one flat bucket instead, which fits every variant.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.errors import SettingError, UserError
from ganrun.liveness import Liveness

DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}
FIND = 10.0  # seconds in which it is found out who was lost
START = "On CPUs start with: ACCELERATE_USE_CPU=true torchrun --nproc_per_node N -m ganrun recipe ..."


WORDS_OF_CONNECTIONS = ("gloo", "nccl", "processgroup", "connection", "tcpstore")  # in errors of a lost process


class LostProcess(UserError):
    """Another process of the run has ended: which, and why."""

    exit_code = 1


class Processes:
    """One process among ``world``, its device, and what it does together with the others."""

    def __init__(self, device: str = "auto", precision: str = "float32") -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
        if device.startswith("cuda:") and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise SettingError("device", f"{device} names one GPU, but there are several processes; write device: cuda")
        if device.startswith("cuda:") and torch.cuda.is_available():
            torch.cuda.set_device(device)
        AcceleratorState._reset_state()  # a second run in this process may ask for another precision
        try:
            self.accelerator: Any = Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no", cpu=cpu)
        except (ValueError, RuntimeError) as error:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise UserError(
                    f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes did not find each other: {error}\n"
                    f"{START}"
                ) from error
            raise SettingError("precision", f"{precision} does not work on this device: {error}") from error
        self.device: torch.device = self.accelerator.device
        if device.startswith("cuda:") and self.device.type == "cuda":
            self.device = torch.device(device)
        self.rank: int = self.accelerator.process_index
        self.world: int = self.accelerator.num_processes
        self.precision = precision
        if device != "auto" and self.device.type != device.partition(":")[0]:
            raise SettingError(
                "device", f"{device} was asked for, but torch has only {self.device.type} here; write device: auto"
            )
        announced = int(os.environ.get("WORLD_SIZE", "1"))
        if announced != self.world:
            raise UserError(
                f"WORLD_SIZE is {announced}, but Accelerate started {self.world} process(es): "
                f"they would train apart and write one folder. {START}"
            )

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass: mixed precision if the recipe asks for it."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes, in one flat bucket.

        A gradient that is missing counts as zero; one that is missing in every process stays so, as it would in one
        process.
        """
        if self.world == 1 or not parameters:
            return
        here = [p.grad is not None for p in parameters]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        present = torch.tensor(here, dtype=grads[0].dtype, device=grads[0].device)  # (P,)
        flat = self.mean(torch.cat([*(grad.reshape(-1) for grad in grads), present]))
        *means, present = flat.split([*(grad.numel() for grad in grads), len(here)])
        anywhere = here if all(here) else [share > 0 for share in present.tolist()]
        for parameter, mean, found in zip(parameters, means, anywhere):
            parameter.grad = torch.empty_like(parameter).copy_(mean.view(parameter.shape)) if found else None

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return tensor if self.world == 1 else self.accelerator.reduce(tensor, "mean")

    def rows_of_all(self, tensor: Tensor) -> Tensor:
        """(B, ...) of each process -> (world * B, ...), in the order of their ranks."""
        if self.world == 1:
            return tensor
        rows: Tensor = self.accelerator.gather(tensor.contiguous())
        return rows

    def sums(self, *numbers: float) -> list[float]:
        """The sum of each number over the processes, all of which must ask. Waits for the device."""
        if self.world == 1:
            return list(numbers)
        total: list[float] = self.accelerator.reduce(torch.tensor(numbers, device=self.device), "sum").tolist()
        return total

    def gather(self, value: Any) -> list[Any]:
        """A value of every process, in the order of their ranks."""
        if self.world == 1:
            return [value]
        from accelerate.utils import gather_object

        gathered: list[Any] = gather_object([value])
        return gathered

    def broadcast(self, value: Any) -> Any:
        """The main process's value, in every process."""
        if self.world == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def broadcast_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The main process's tensors, in every process; all have tensors of these shapes."""
        if self.world == 1:
            return list(tensors)
        from accelerate.utils import broadcast

        return list(broadcast(list(tensors)))

    @contextmanager
    def averaged_buffers(self, modules: Iterable[nn.Module]) -> Iterator[None]:
        """In this context floating-point buffers (BatchNorm statistics) are their mean over the processes.

        So every process samples and saves the same. Afterwards each has its own again: looking changes no bit of a run.
        """
        buffers = [b for module in modules for b in module.buffers() if b.is_floating_point()] if self.world > 1 else []
        own = [buffer.clone() for buffer in buffers]
        for buffer in buffers:
            buffer.copy_(self.mean(buffer))
        try:
            yield
        finally:
            for buffer, kept in zip(buffers, own):
                buffer.copy_(kept)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """In this context a process that dies is noticed by the others. Collective.

        Raises:
            LostProcess: in place of an error of the connection to it.
        """
        if self.world == 1:
            yield
            return
        liveness, ended = Liveness(self.rank, self.world, self.broadcast), ""
        try:
            yield
        except BaseException as error:
            lost = liveness.find(FIND) if is_of_connections(error) else None
            ended = " ".join(str(error).split())[:200] or type(error).__name__
            if lost is None:
                raise
            ended = f"lost process {lost.rank}"
            raise LostProcess(f"process {self.rank} ends, because {lost}; continue with --resume") from error
        finally:
            liveness.close(ended)

    def wait(self) -> None:
        """Wait for all processes."""
        self.accelerator.wait_for_everyone()


def is_of_connections(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is of the connection to another process."""
    while error is not None:
        if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in WORDS_OF_CONNECTIONS):
            return True
        error = error.__cause__ or error.__context__
    return False


class Agreement:
    """Finds out, about once a second and at the same steps in every process, whether any of them sets a flag."""

    SECONDS, STEPS = 1.0, 64  # at most, between two questions

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self._last: int | None = None
        self._next, self._asked = 0, time.perf_counter()

    def any(self, step: int, flag: bool, *, at_once: bool = False) -> bool:
        """Whether the flag is set in any process; False between two questions, unless ``at_once``.

        All processes ask in the same steps.

        A step before that of the last question means that the run was rolled back: it asks again.
        """
        if self.processes.world == 1:
            return flag
        if not at_once and self._last is not None and self._last <= step < self._next:
            return False
        now = time.perf_counter()
        raised, seconds = self.processes.sums(float(flag), now - self._asked)
        # steps a second
        pace = (step - (step if self._last is None else self._last)) / max(seconds / self.processes.world, 1e-6)
        self._next = step + min(max(int(pace * self.SECONDS), 1), self.STEPS)
        self._last, self._asked = step, now
        return raised > 0

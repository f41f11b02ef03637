"""What a SLURM job executes: a function of ours on one job description, over as many sessions as it takes.

submitit calls it, and on the scheduler's signal (the end of the time limit is near, or the job is preempted) would
queue the job again from within the signal handler, wherever training is at that moment. Here the run is told first, so
that it can save a checkpoint at the end of the step; if that takes too long it is queued again as it is, and goes on
from its last periodic checkpoint.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from submitit.core.utils import DelayedSubmission

from slurm.base import interruption
from slurm.base.errors import LauncherError

SIGNAL = signal.SIGUSR2  # what submitit asks SLURM for
FRUITLESS = 3  # sessions in a row without a checkpoint, after which a job is not queued again
_MARGIN = 0.3  # share of the warning time that is kept for queueing again
_TRIES, _TRY_SECONDS = 5, 3.0  # of queueing again: the controller may be away for a moment

Handler = Callable[[int, "FrameType | None"], Any]


@dataclass
class SlurmCall:
    """A function and its job, unpickled where they run, with the environment and the folder they were submitted in.

    Attributes:
        payload: pickle of (function, job).
        folder: the working folder of the command; relative paths of the job are below it.
        environment: what the code asks for by name, also where sbatch hands over nothing (SBATCH_EXPORT=NONE).
        signal_seconds: from the signal to the end.
        fruitless: sessions in a row that ended without a checkpoint.
    """

    payload: bytes
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)
    signal_seconds: int = 120
    fruitless: int = 0

    def __call__(self) -> Any:
        os.environ.update(self.environment)
        os.chdir(self.folder)
        interruption.begin()
        requeue = signal.getsignal(SIGNAL)
        with self._asked_by_signal():
            try:
                function, job = pickle.loads(self.payload)
                return function(job)
            except interruption.Interrupted:
                signal.setitimer(signal.ITIMER_REAL, 0)
                _insist(requeue)
                return None  # of a process other than the first, which queues the job again

    def checkpoint(self) -> DelayedSubmission:
        """What submitit queues again.

        Raises:
            LauncherError: as many sessions in a row as `FRUITLESS` have saved nothing, and so would the next.
        """
        self.fruitless = 0 if interruption.has_saved() else self.fruitless + 1
        if self.fruitless >= FRUITLESS:
            raise LauncherError(
                f"{FRUITLESS} sessions in a row ended before a checkpoint was saved: expected a longer time limit, or "
                "a shorter CHECKPOINT_PERIOD"
            )
        return DelayedSubmission(self)

    @contextmanager
    def _asked_by_signal(self) -> Iterator[None]:
        """Let the signal ask the function to stop while it runs; if it has not in time, call submitit's handler."""
        requeue = signal.getsignal(SIGNAL)

        def at_once(number: int, frame: FrameType | None) -> None:
            _insist(requeue)

        def ask(number: int, frame: FrameType | None) -> None:
            if not interruption.asked_to_stop():
                interruption.ask_to_stop()
                signal.setitimer(signal.ITIMER_REAL, (1 - _MARGIN) * self.signal_seconds)

        alarm = signal.signal(signal.SIGALRM, at_once)
        signal.signal(SIGNAL, ask)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(SIGNAL, requeue)
            signal.signal(signal.SIGALRM, alarm)


def _insist(requeue: Any) -> None:
    """Call submitit's handler, which queues the job again and ends this process; again where the controller is away."""
    for left in reversed(range(_TRIES)):
        try:
            requeue(int(SIGNAL), None)
            return
        except (subprocess.SubprocessError, OSError):
            if not left:
                raise
            time.sleep(_TRY_SECONDS)

"""The training loop: detectron2's TrainerBase around the sum of a recipe's terms."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import TrainerBase

from benchmarks.computing.compiled import compile_parts
from benchmarks.computing.graphs import step_graphs
from benchmarks.config.keys import from_node
from benchmarks.engine.distributed import average_gradients
from benchmarks.engine.optimizer import build_optimizer, build_scheduler, gradient_norms, parameter_groups
from datasets.batches.pairs import Batch
from datasets.classes.labels import ids_in
from methods.base.batch_share import Share
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.framework.term import OWN, Pictures, Term
from methods.networks import Segmentor
from methods.parts.teacher import Teacher
from results.records.metrics import GRADIENT_NORM

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

Losses = dict[str, torch.Tensor]  # scalars by name
MakeLosses = Callable[[TrainingStep], Losses]
Around = Callable[[str, Term[Any], Callable[[], Losses]], Losses]
Move = Callable[[torch.Tensor], torch.Tensor]


class Diverged(RuntimeError):
    """A loss that is not finite. ``iteration`` counts from 0."""

    def __init__(self, name: str, value: float, iteration: int) -> None:
        super().__init__(f"{name} is {value} at iteration {iteration}")
        self.iteration = iteration


class Trainer(TrainerBase):
    """One optimizer step an iteration: the losses of each view are backpropagated together and its graph is freed.

    Several processes (torch.distributed) share each batch; losses, gradients and what is trained are those of one.

    Attributes:
        student, teacher, terms, optimizer, scheduler, scaler: all that is trained; ``state_dict`` of each is saved.
        group_names: of the optimizer's parameter groups.
        batches_from: ``batches``, as it was given.
        graphs: what of a step is captured, as CUDA graphs.
        progress: what else survives a resume: the curve, wall time, and the seconds of each iteration.
    """

    iter: int

    def __init__(
        self,
        cfg: CfgNode,
        student: Segmentor,
        teacher: Teacher | None,
        terms: Sequence[Term[Any]],
        batches: Callable[[int], Iterator[Batch]],
        device: torch.device,
    ) -> None:
        """Train on ``batches(start)``, those of iterations ``start``, ``start + 1``, ..."""
        super().__init__()
        self.student, self.teacher = student, teacher
        self._terms, self.terms = list(terms), torch.nn.ModuleList(terms)
        self.optimizer = build_optimizer(cfg, student, terms)
        self.scheduler = build_scheduler(cfg, self.optimizer)
        self.precision = cfg.SOLVER.PRECISION
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.progress = ProgressState()
        self.device, self._seed = device, cfg.SEED
        self._share = Share.of_this_process()
        self._settings: SelfTraining = from_node(SelfTraining, cfg.SELF_TRAINING)
        self.batches_from = batches
        self._batches: Iterator[Batch] | None = None
        self._groups = group_by_view(terms)
        self._unread: list[tuple[int, Losses]] = []
        self.max_iter, self._log_period = cfg.SOLVER.ITERS, cfg.LOG.PERIOD
        learners = [student, self.terms, *([teacher] if teacher is not None else [])]
        if cfg.SOLVER.COMPILE:
            compile_parts(learners)
        self.graphs = step_graphs(cfg, device, learners)
        self._parameters = [*student.parameters(), *self.terms.parameters()]  # once
        self.group_names = [name for name, _ in parameter_groups(cfg, student, terms)]

    def before_train(self) -> None:
        self._batches = self.batches_from(self.start_iter)
        super().before_train()

    def after_train(self) -> None:
        self.iter = min(self.iter, self.max_iter)  # one more where a resumed run had no iteration left
        super().after_train()

    def run_step(self) -> None:
        started = time.perf_counter()
        assert self._batches is not None
        batch = next(self._batches)
        self.progress.waited.append(time.perf_counter() - started)
        self._unread.append((self.iter, self.update(self.training_step(batch))))
        if self.is_looked_at(self.iter):
            self.read_losses()
        self.progress.seconds.append(time.perf_counter() - started)

    def is_looked_at(self, iteration: int) -> bool:
        """Whether the losses are looked at after it, which counts from 0: every LOG.PERIOD iterations, and the last."""
        return (iteration + 1) % self._log_period == 0 or iteration + 1 == self.max_iter

    def training_step(self, batch: Batch, move: Move | None = None) -> TrainingStep:
        """This iteration's step on a batch, of which this process has its share; nothing is computed yet.

        ``move`` brings a tensor to where it is computed with: by default to the trainer's device.
        """
        move = move or (lambda tensor: tensor.to(self.device, non_blocking=True))
        target = batch.get("target", {})
        return TrainingStep(
            student=self.student,
            teacher=self.teacher,
            source_batch=_labelled(batch["source"], move),
            target_images=_floats(move(target["images"])) if "images" in target else None,
            target_valid=move(target["valid"]) if "valid" in target else None,
            labelled_target=_labelled(batch["labelled"], move) if "labelled" in batch else None,
            settings=self._settings,
            seed=self._seed,
            iteration=self.iter,
            share=self._share,
        )

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Compute a step without training on it: no gradient, and what drawing and norms change is put back."""
        modules = [self.student, self.terms, *([self.teacher] if self.teacher is not None else [])]
        buffers = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
        devices = [self.device] if self.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices), torch.no_grad(), self._share.noise(), self._autocast():
                yield
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)

    def pictures(self, step: TrainingStep) -> Pictures:
        """What the terms show of a step."""
        return {name: picture for term in self._terms for name, picture in term.pictures(step).items()}

    def update(self, step: TrainingStep, around: Around = lambda view, term, make: make()) -> Losses:
        """Train on one step: gradients of all losses, then the optimizer, then the teachers.

        Args:
            step: as ``training_step`` makes it.
            around: called with each view, term and what makes the term's losses in that view; returns them.

        Returns:
            The weighted losses by name, scalars without gradient, of this process's share of the batch; and the norms
            of the gradients where the losses are looked at.
        """
        self.optimizer.zero_grad(set_to_none=True)
        with self._share.noise(), self.graphs.step():
            seen = self._backpropagate(step, around)
        average_gradients(self._parameters)
        if self.is_looked_at(self.iter):
            for name, norm in gradient_norms(self.optimizer, self.group_names).items():
                seen[name] = norm / self.scaler.scale(torch.ones_like(norm))  # gradients are of scaled losses
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.teacher is not None:
            self.teacher.update(self.student, self.iter)
            for term in self._terms:
                term.update(self.student, self.iter)
            seen["pseudo_label_confidence"] = step.pseudo.confidence
            seen["pseudo_label_probability"] = step.pseudo.probability.mean()
        return seen

    def _backpropagate(self, step: TrainingStep, around: Around) -> Losses:
        seen: Losses = {}
        with self._autocast():  # around all views: autocast casts a weight once and forgets it at the end
            for view, members in self._groups:
                losses = {
                    name: term.settings.weight * loss
                    for term, make in members
                    for name, loss in around(view, term, partial(make, step)).items()
                }
                total = torch.stack(list(losses.values())).sum()
                with self._autocast(enabled=False):
                    self.scaler.scale(total).backward()
                self.graphs.collect()
                seen |= {name: loss.detach() for name, loss in losses.items()}
                step.release(view)
                del losses, total
        return seen

    def read_losses(self) -> None:
        """Look at the losses since the last look and store those of this iteration.

        Raises:
            Diverged: naming the first loss that was not finite, and its iteration.
        """
        if values := self.check_losses():
            # The iteration's own values: detectron2 0.6 would write a median over a history that a resume starts anew.
            self.storage.put_scalars(smoothing_hint=False, **values)

    def check_losses(self) -> dict[str, float]:
        """Look at the losses since the last look and return the newest: a checkpoint holds none that is not finite.

        Raises:
            Diverged: as ``read_losses``.
        """
        values: dict[str, float] = {}
        for iteration, losses in self._unread:
            # Of all processes, so that each sees one that is not finite.
            of_all = self._share.mean(torch.stack(list(losses.values())))
            values = dict(zip(losses, of_all.tolist(), strict=True))
            for name, value in values.items():
                # A gradient that overflows is fp16's to skip, and else shows in the next loss.
                if not math.isfinite(value) and not name.startswith(GRADIENT_NORM):
                    raise Diverged(name, value, iteration)
        self._unread.clear()
        return values

    def _autocast(self, enabled: bool = True) -> AbstractContextManager[Any]:
        if self.precision not in _AUTOCAST:
            return nullcontext()
        return torch.autocast(self.device.type, _AUTOCAST[self.precision], enabled=enabled)


def _labelled(domain: Mapping[str, torch.Tensor], move: Move) -> Source:
    classes = [ids_in(label.numpy()) for label in domain["labels"]]  # on the CPU: no wait for the device
    return Source(_floats(move(domain["images"])), move(domain["labels"]).long(), classes)


def _floats(images: torch.Tensor) -> torch.Tensor:
    """uint8 images -> float ones in [0, 1], channels last."""
    return images.contiguous(memory_format=torch.channels_last).float() / 255


class ProgressState:
    """What a run has measured so far; saved in its checkpoints.

    Attributes:
        curve: ``{"iteration", "miou"}`` of each evaluation of the student, by iterations done, mIoU in percent, and the
            criteria measured with it (``benchmarks.evaluation.target_free.Criteria.measure``).
        wall_seconds: training and evaluation, of the sessions before this one.
        owed: in a checkpoint that is saved before its evaluation, what the iteration has stored for metrics.json by
            then; empty where no evaluation is owed.
        seconds: of each iteration since this process started the run.
        waited: how much of them went by until the batch was there.
    """

    def __init__(self) -> None:
        self.curve: list[dict[str, float]] = []
        self.wall_seconds = 0.0
        self.owed: dict[str, float] = {}
        self.seconds: list[float] = []
        self.waited: list[float] = []
        self._started = time.perf_counter()

    def add(self, iteration: int, miou: float, criteria: Mapping[str, float]) -> None:
        """An evaluation of the student; one made again replaces the first."""
        self.curve = [point for point in self.curve if point["iteration"] != iteration]
        self.curve.append({"iteration": iteration, "miou": miou, **criteria})

    def wall(self) -> float:
        """Seconds of training and evaluation so far, earlier sessions included."""
        return self.wall_seconds + time.perf_counter() - self._started

    def state_dict(self) -> dict[str, Any]:
        owed = {"owed": self.owed} if self.owed else {}
        return {"curve": self.curve, "wall_seconds": self.wall(), **owed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curve, self.wall_seconds = list(state["curve"]), float(state["wall_seconds"])
        self.owed = dict(state.get("owed", {}))


def group_by_view(terms: Sequence[Term[Any]]) -> list[tuple[str, list[tuple[Term[Any], MakeLosses]]]]:
    """Losses of one shared view go together, in order of first appearance; those of a view of its own go alone."""
    groups: list[tuple[str, list[tuple[Term[Any], MakeLosses]]]] = []
    for term in terms:
        for view, losses in term.losses_by_view().items():
            for known, members in groups:
                if known == view != OWN:
                    members.append((term, losses))
                    break
            else:
                groups.append((view, [(term, losses)]))
    return groups

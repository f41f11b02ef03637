"""AdamW or SGD with rates of their own for encoder, decoder and terms, warm-up and polynomial decay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.engine.eager_optimizers import SGD, AdamW
from methods.framework.term import TERMS, Term
from methods.networks import Encoder, Segmentor
from results.records.metrics import GRADIENT_NORM
from results.records.scores import STUDENT

Group = dict[str, Any]
_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def build_optimizer(cfg: CfgNode, student: Segmentor, terms: Sequence[Term[Any]]) -> torch.optim.Optimizer:
    """AdamW (betas 0.9, 0.999) or SGD. A term's parameters have its learning rate, or else the decoder's."""
    solver, groups = cfg.SOLVER, [group for _, group in parameter_groups(cfg, student, terms)]
    if solver.OPTIMIZER == "sgd":
        return SGD(groups, momentum=solver.MOMENTUM, weight_decay=solver.WEIGHT_DECAY, fused=True)
    return AdamW(groups, weight_decay=solver.WEIGHT_DECAY, fused=True)


def parameter_groups(cfg: CfgNode, student: Segmentor, terms: Sequence[Term[Any]]) -> list[tuple[str, Group]]:
    """The optimizer's groups, each with the name of what it is of; those without parameters are left out."""
    solver = cfg.SOLVER
    groups = [] if student.encoder.frozen else list(_encoder_groups(solver, student.encoder))
    # The decoder, and the attention where a student sees two resolutions: the published settings' "head".
    head = [parameter for name, parameter in student.named_parameters() if not name.startswith("encoder.")]
    groups.append(("decoder", {"params": head, "lr": solver.DECODER_LR}))
    for term in terms:
        trained = [parameter for parameter in term.parameters() if parameter.requires_grad]
        rate = solver.DECODER_LR if term.learning_rate is None else term.learning_rate
        name = next((name for name, cls in TERMS.items() if cls is type(term)), type(term).__name__)
        groups.append((name, {"params": trained, "lr": rate}))
    return [(name, group) for name, group in groups if group["params"]]


def gradient_norms(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """L2 norms of the gradients by name, scalars on their device: ``gradient_norm/student``, ``gradient_norm/mrm``.

    ``names``: of the optimizer's groups, as `parameter_groups` has them.
    """
    gradients = defaultdict[str, list[torch.Tensor]](list)
    for name, group in zip(names, optimizer.param_groups, strict=True):
        of = STUDENT if name.startswith(("encoder", "decoder")) else name
        gradients[of] += [parameter.grad for parameter in group["params"] if parameter.grad is not None]
    return {f"{GRADIENT_NORM}{of}": nn.utils.get_total_norm(found) for of, found in gradients.items() if found}


def _encoder_groups(solver: CfgNode, encoder: Encoder) -> Iterator[tuple[str, Group]]:
    """The encoder's groups: one, or with a LAYER_DECAY one a layer; norms apart where they are not decayed."""
    layers = [list(encoder.parameters())] if solver.LAYER_DECAY == 1 else encoder.layers()
    spared = set() if encoder.decay_norms else {id(parameter) for parameter in _norm_parameters(encoder)}
    for depth, parameters in enumerate(layers):
        name = "encoder" if len(layers) == 1 else f"encoder layer {depth}"
        rate = solver.ENCODER_LR * solver.LAYER_DECAY ** (len(layers) - 1 - depth)
        yield name, {"params": [p for p in parameters if id(p) not in spared], "lr": rate}
        norms = [p for p in parameters if id(p) in spared]
        yield f"{name} norms", {"params": norms, "lr": rate, "weight_decay": 0.0}


def _norm_parameters(module: nn.Module) -> Iterable[nn.Parameter]:
    for child in module.modules():
        if isinstance(child, _NORMS):
            yield from child.parameters(recurse=False)


def build_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LambdaLR:
    """Polynomial decay to 0 over all iterations, times a linear warm-up from WARMUP_FACTOR to 1 (as DAFormer)."""
    solver = cfg.SOLVER

    def factor(iteration: int) -> float:
        decay = (1 - iteration / solver.ITERS) ** solver.POWER
        if iteration >= solver.WARMUP_ITERS:
            return decay
        return decay * (1 - (1 - iteration / solver.WARMUP_ITERS) * (1 - solver.WARMUP_FACTOR))

    return LambdaLR(optimizer, factor)

"""The model card of published weights, README.md as the Hugging Face hub reads it, and the notice of licences."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from detectron2.config import CfgNode

from benchmarks.config.changed import Changed
from benchmarks.config.remarks import remarks
from benchmarks.trained.licences import CODE, data_names, terms
from benchmarks.trained.made_again import training_command
from benchmarks.trained.opened_run import TrainedRun
from methods.networks import NETWORKS
from results.files.bounded_yaml import as_word
from results.forms.cells import MARKDOWN, markdown, table_of
from results.records.published import Names, read_published
from results.records.record import Record
from results.records.scores import CLASS_IOU, HEADLINE

CARD, NOTICE = "README.md", "NOTICE.md"
_HUB_TASK, _HUB_METRIC = "image-segmentation", "mean_iou"


def model_card(run: TrainedRun, model: str, name: str, changed: Changed | None) -> str:
    """The text of the card of a finished run's ``model``.

    ``name``: of the folder that it is published in; ``changed``: `benchmarks.trained.made_again.changed_where_used`.
    """
    record, cfg = run.record, run.cfg
    assert record is not None
    parts = [
        f"---\n{_header(run, record, model, name)}\n---\n",
        f"# {markdown(cfg.METHOD)} on {markdown(cfg.PROTOCOL)}\n",
        f"A network for semantic segmentation, trained with segshift, a benchmark of unsupervised domain adaptation. "
        f"{_what(run, record, model)}\n",
        f"{table_of(('', ''), _facts(run, record, model), MARKDOWN)}\n",
        f"## Measured\n\n{_measured(run, record, model)}\n",
        f"## What differs from the published setting\n\n{_differs(run, record, changed)}\n",
        "## Use\n\nIn a checkout of segshift, with this folder as `FOLDER` (or `hf:OWNER/NAME@REVISION`):\n\n"
        "```bash\n"
        f".venv/bin/python benchmarks/predict.py --weights FOLDER{_option(model)} photos/\n"
        f".venv/bin/python benchmarks/evaluate.py --weights FOLDER{_option(model)}{_data(cfg)}\n"
        f"{_training_on(cfg)}     # trains on from here\n"
        "```\n\nWithout segshift: `safetensors.torch.load_file(\"model.safetensors\")` gives the state dict. "
        f"`sha256sum -c SHA256SUMS` compares the files.\n",
        f"## Train it again\n\n```bash\n{training_command(cfg, changed)}\n```\n\n{_again(run)}\n",
        f"## Made with\n\n{_versions(record)}\n",
        f"## Limits\n\n{_limits(run, record)}\n",
        f"## Licence\n\nThe code is {CODE}. The weights carry the terms in [{NOTICE}]({NOTICE}).\n",
    ]
    return "\n".join(parts)


def notice(run: TrainedRun) -> str:
    """The notice of licences."""
    found = terms(run.cfg)
    own = (
        "The weights carry the terms of what they were made from. What that allows is for you to read where the terms "
        "stand.\n\n" + "\n".join(f"- {line}" for line in found)
        if found
        else "The weights began with random numbers and were trained on images that segshift draws: nothing of others "
        f"is in them, and they are {CODE} too."
    )
    return f"# Licences\n\nsegshift, which trained these weights, is {CODE}.\n\n{own}\n"


def _header(run: TrainedRun, record: Record, model: str, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    cfg, miou = run.cfg, record.result.of(model).headline
    own = not terms(cfg)
    tags = ["semantic-segmentation", "unsupervised-domain-adaptation", "segshift", *cfg.METHOD.split("+"), cfg.NETWORK]
    measured = EvalResult(
        task_type=_HUB_TASK,
        dataset_type=cfg.PROTOCOL,
        dataset_name=f"{cfg.PROTOCOL}, validation images of the target",
        metric_type=_HUB_METRIC,
        metric_name=f"mIoU over {record.classes} classes, percent",
        metric_value=None if miou is None else round(miou, 2),
    )
    data = ModelCardData(
        license=CODE.lower() if own else "other",
        license_name=None if own else "see-notice",
        license_link=None if own else NOTICE,
        library_name="segshift",
        pipeline_tag=_HUB_TASK,
        tags=list(dict.fromkeys(tags)),
        datasets=data_names(cfg),
        metrics=[_HUB_METRIC],
        model_name=name,
        eval_results=[measured],
    )
    return str(data.to_yaml())


def _what(run: TrainedRun, record: Record, model: str) -> str:
    number = record.labelled_target.images or record.labelled_target.amount
    labels = f"{number} images of the target" if number else "the target"
    learned = f"the labels of {labels}, which adaptation does not have: an upper reference, no result of adaptation"
    target = ["unlabelled images"] if run.recipe.host.teacher else []
    target += [f"{number} labelled ones"] if number else []
    seen = f"{' and '.join(['', *target])} of the target" if target else ", and never saw the target"
    data = learned if record.oracle else f"labelled source images{seen}"
    return f"These are the weights of the {model} at the last iterate; it learned from {data}."


def _facts(run: TrainedRun, record: Record, model: str) -> list[tuple[str, str]]:
    cfg = run.cfg
    inference = record.parameters.inference
    return [
        ("protocol", f"{cfg.PROTOCOL}: {cfg.DESCRIPTION}" if cfg.DESCRIPTION else cfg.PROTOCOL),
        ("method", cfg.METHOD),
        ("network", cfg.NETWORK + (f", {inference:,} parameters" if inference else "")),
        ("classes", ", ".join(run.label_space.names)),
        ("began with", _first_weights(cfg)),
        ("iterations", f"{record.iterations:,}"),
        ("batch", f"{cfg.SOLVER.BATCH} images of each domain, crops of {'x'.join(map(str, cfg.INPUT.CROP))}"),
        ("seed", str(cfg.SEED)),
        ("precision", record.precision),
        ("hardware", record.hardware.name),
        ("run", record.id),
    ]


def _first_weights(cfg: CfgNode) -> str:
    own = NETWORKS[cfg.NETWORK].default_weights
    return {"none": "random weights", "imagenet": f"{own}, pre-trained on ImageNet"}.get(cfg.WEIGHTS, cfg.WEIGHTS)


def _measured(run: TrainedRun, record: Record, model: str) -> str:
    scores = record.result.of(model)
    means = scores.means.get(HEADLINE) or {record.classes: scores.headline}
    rows = [(f"mIoU over {size} classes", _percent(value)) for size, value in means.items()]
    rows += [(f"IoU of {name}", _percent(value)) for name, value in scores.by_class.get(CLASS_IOU, {}).items()]
    lines = [
        f"Of the {model} after {record.iterations:,} iterations, on the validation images of the target, in percent, "
        f"of one seed ({run.cfg.SEED}): how far other seeds differ is not told by it.",
        "",
        table_of(("score", "percent"), rows, MARKDOWN, right=True),
    ]
    return "\n".join(lines)


def _differs(run: TrainedRun, record: Record, changed: Changed | None) -> str:
    cfg = run.cfg
    published = {names: figure for names, figure in read_published().items() if names.protocol == cfg.PROTOCOL}
    lines = []
    if changed is None:
        lines.append("The protocol is of a file of its own, which is not here to be compared with.")
    elif not published:
        lines.append("No figures are published under this protocol: what follows is compared with its own settings.")
    lines += [f"{line}." for line in remarks([cfg])]
    if changed:
        lines.append("Set otherwise than protocol and method have it:")
        lines += [f"- `{key}` {_shown(own)} (usual: {_shown(usual)})" for key, (own, usual) in changed.items()]
    elif changed is not None:
        lines.append("All keys are as protocol and method have them.")
    own = Names(cfg.METHOD, cfg.NETWORK, cfg.PROTOCOL, record.classes)
    if figure := published.get(own):
        setting = "with other settings" if changed else "with these settings"
        lines.append(f"Published {setting}: {figure.miou} mIoU ({figure.source}).")
    return "\n".join(_spaced(lines))


def _spaced(lines: Iterable[str]) -> Iterable[str]:
    """Paragraphs and lists apart."""
    before = ""
    for line in lines:
        if before and not (before.startswith("- ") and line.startswith("- ")):
            yield ""
        yield line
        before = line


def _again(run: TrainedRun) -> str:
    texts = []
    if run.cfg.PROTOCOL_FILE:
        texts.append(f"`{run.cfg.PROTOCOL_FILE}` is the protocol's own file; config.yaml has all that it decides.")
    elif not run.cfg.DATA.STREETS.SOURCE_IMAGES:
        texts.append("`DATA` is the folder of the data sets.")
    if run.cfg.PLUGINS:
        texts.append(f"It needs the code that registered it (--plugin), of the digest {', '.join(run.cfg.PLUGINS)}.")
    texts.append("Other hardware, versions or numbers of threads sum in another order, and give other weights.")
    return " ".join(texts)


def _versions(record: Record) -> str:
    versions, git = record.content.get("versions"), record.content.get("git")
    told = [f"{name} {version}" for name, version in (versions or {}).items() if version]
    if isinstance(git, dict) and git.get("commit"):
        told.append(f"segshift at commit {git['commit']}" + (", with changes of its own" if git.get("dirty") else ""))
    return f"{', '.join(told)}." if told else "The record does not say."


def _limits(run: TrainedRun, record: Record) -> str:
    lines = [
        "It knows the classes above and no others, and was scored on the target's validation images alone. Do not "
        "steer anything by it.",
    ]
    if run.cfg.DATA.STREETS.SOURCE_IMAGES:
        lines.append("Its images were drawn: it was trained on no photograph of a street.")
    lines.append(f"Weights that were trained on data, or from weights, of others carry their terms: {NOTICE}.")
    return " ".join(lines)


def _training_on(cfg: CfgNode) -> str:
    protocol = cfg.PROTOCOL_FILE or cfg.PROTOCOL
    words = ["--methods", cfg.METHOD, "--protocol", protocol, "--network", cfg.NETWORK, "--weights", "FOLDER"]
    return shlex.join([".venv/bin/python", "benchmarks/run.py", *words])


def _data(cfg: CfgNode) -> str:
    return "" if cfg.DATA.STREETS.SOURCE_IMAGES else " --data-root DATA"


def _option(model: str) -> str:
    return "" if model == "student" else f" --model {model}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _shown(value: object) -> str:
    return f"`{as_word(value)}`"

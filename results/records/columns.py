"""The columns of a table of runs, with their meaning."""

from __future__ import annotations

from dataclasses import dataclass

from results.records.scores import HEADLINE, STUDENT

DEVIATION, N, COUNTED = "deviation", "n", "counted"


@dataclass(frozen=True)
class ScoreKey:
    """A column of scores, which a table has beside `COLUMNS`. Its heading in CSV is made here alone.

    Attributes:
        metric: as it is registered, "mIoU"; "" for how many classes of a set count.
        classes: size of the class set; None: of the run's first.
        model: STUDENT or TEACHER.
        statistic: of several runs, DEVIATION or N; COUNTED; "" for the value itself, or its mean.
    """

    metric: str
    classes: int | None
    model: str = STUDENT
    statistic: str = ""

    def __str__(self) -> str:
        """The name: ``miou_16``, ``deviation_16``, ``n_16``, ``counted_16``, ``name_16``, ``teacher_name``."""
        metric = "" if self.metric == HEADLINE and self.statistic else self.metric.lower()
        model = "" if self.model == STUDENT else self.model
        return "_".join(filter(None, (model, metric, self.statistic, str(self.classes or ""))))

    @property
    def title(self) -> str:
        """The name as people read it: ``mIoU (16)``."""
        return f"{self.metric} ({self.classes})"

    @property
    def place(self) -> tuple[bool, bool, str, str, int]:
        """Sorts HEADLINE before others, large class sets before small ones, and how many classes count last."""
        return self.statistic == COUNTED, self.metric != HEADLINE, self.metric, self.model, -(self.classes or 0)


COLUMNS = {
    "run": "the run's id: a hash of what decides its numbers",
    "protocol": "name of the benchmark protocol",
    "method": "canonical recipe, e.g. dacs+mrm",
    "network": "name of the network",
    "seed": "run seed",
    "status": "pending, running, finished, failed, diverged, or stopped: ended on purpose before its last iterate",
    "reason": "why a run failed or diverged, or by what it was stopped",
    "oracle": "whether the method learns from target labels in place of the source's",
    "target_labels": "how many target images were learned from with labels, where limited, e.g. 1/16 (186 of 2975)",
    "classes": "size of the class set that miou and teacher_miou average over, e.g. 19",
    "counted": "how many of these classes have labelled validation pixels (before: an IoU), and count in the means",
    "left_out": "the others, by name",
    "lower_is_better": "metrics of plug-ins of which less is better, by name",
    "miou": "mIoU of the student at the last iterate on the target's validation set, in percent",
    "teacher_miou": "the same of the teacher, in percent",
    "source_miou": "the student's on source images held out of training (TEST.SOURCE_IMAGES), in percent, if measured",
    "confidence": "mean largest probability of pseudo-labels (TEST.CONFIDENCE_IMAGES), from 0 to 1, if measured",
    "iterations": "iterations done",
    "max_iterations": "iterations planned",
    "seconds_per_iteration": "median wall time of one training iteration, in seconds",
    "peak_memory_mib": "peak memory of the run in MiB: of the GPU, or of the process where there is none",
    "shared": "part of its iterations (since its last start) with other runs on its GPU or cores, from 0 to 1",
    "others": "how many other runs that were at a time, at most",
    "wall_seconds": "wall time of training and evaluation in seconds, over all sessions of the run",
    "parameters": "parameters of the segmentor used at inference",
    "hardware": "the processor or GPU it ran on",
    "precision": "fp32, tf32, bf16 or fp16",
    "folder": "the run folder",
}

"""What is shown while runs go on: lines without a terminal, bars on one, and the time left on a clock of our own."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.cli import progress
from benchmarks.cli.progress import PLAIN_SECONDS, Progress
from benchmarks.cli.run_progress import PREPARED_SECONDS, RunProgress
from benchmarks.cli.time_left import Work, clock, time_left

TWO = [("dacs seed 0", 100), ("dacs+mrm seed 0", 200)]


class Clock:
    """Stands in for time.monotonic."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    fake = Clock()
    monkeypatch.setattr(progress.time, "monotonic", fake)
    yield fake


def works(runs: list[tuple[str, int]]) -> list[Work]:
    return [Work(iterations, label) for label, iterations in runs]


def seconds_left(runs: list[Work]) -> float | None:
    left = time_left(runs)
    return left.seconds if left else None


class Shown(RunProgress):
    """Without a terminal, 40 columns wide; what it printed is in ``lines``."""

    def __init__(self, runs: list[tuple[str, int]]) -> None:
        self._out = StringIO()
        super().__init__(works(runs), Console(file=self._out, width=40, force_terminal=False))

    def seconds_left(self) -> float | None:
        return seconds_left(self.works)

    @property
    def lines(self) -> list[str]:
        return self._out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (9.4, "0:09"),
        (75.4, "1:15"),
        (59.6, "1:00"),
        (3599.4, "59:59"),
        (3599.6, "1:00:00"),
        (36061, "10:01:01"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


# Time left


def test_time_left_is_unknown_until_an_iteration_is_done(time: Clock) -> None:
    shown = Shown(TWO)
    assert shown.seconds_left() is None
    shown.start(0, 0)
    time.now += 60
    assert shown.seconds_left() is None
    shown.step(1, {})
    assert shown.seconds_left() is not None


def test_time_left_counts_this_run_and_those_to_come_at_its_pace(time: Clock) -> None:
    shown = Shown(TWO)
    shown.start(0, 0)
    time.now += 20
    shown.step(10, {})  # 2 s each
    assert shown.seconds_left() == pytest.approx((90 + 200) * 2)


def test_time_passing_without_a_step_slows_the_pace(time: Clock) -> None:
    """An evaluation takes time too: 10 iterations and an evaluation in 40 s are 4 s an iteration."""
    shown = Shown([("dacs seed 0", 100)])
    shown.start(0, 0)
    time.now += 20
    shown.step(10, {})
    time.now += 20
    shown.evaluated(50.0)
    assert shown.seconds_left() == pytest.approx(90 * 4)


def test_a_resumed_run_is_judged_by_the_iterations_of_this_session(time: Clock) -> None:
    shown = Shown([("dacs seed 0", 100)])
    shown.start(0, 80)
    assert shown.seconds_left() is None
    time.now += 30
    shown.step(90, {})  # 3 s each, not 30 / 90
    assert shown.seconds_left() == pytest.approx(10 * 3)


def test_each_run_has_its_own_pace_and_those_to_come_the_mean(time: Clock) -> None:
    shown = Shown([("a", 10), ("b", 10), ("c", 5)])
    shown.start(0, 0)
    time.now += 10
    shown.step(10, {})  # 1 s
    shown.end(0)
    time.now += 7  # between runs: belongs to none
    shown.start(1, 0)
    time.now += 6
    shown.step(2, {})  # 3 s
    assert shown.seconds_left() == pytest.approx(8 * 3 + 5 * 2)


def test_a_run_to_come_goes_as_those_of_its_method_do_and_else_as_the_methods(time: Clock) -> None:
    """Three cheap runs and a dear one are no reason to take the next dear one for cheap."""
    cheap, dear = [Work(10, kind="source-only") for _ in range(3)], [Work(10, kind="dacs+mic") for _ in range(2)]
    other = Work(10, kind="hrda")
    for work, seconds in [*((work, 1) for work in cheap), (dear[0], 9)]:
        work.begin()
        time.now += 10 * seconds
        work.reach(10)
        work.end()
    assert time_left([*cheap, *dear]) == (pytest.approx(10 * 9), 0)
    assert time_left([*cheap, *dear, other]) == (pytest.approx(10 * 9 + 10 * (1 + 9) / 2), 1)


def test_time_left_says_for_how_many_runs_it_goes_by_other_methods(time: Clock) -> None:
    with Progress() as shown:
        shown.works = [Work(10, kind="dacs"), Work(10, kind="dacs"), Work(10, kind="hrda")]
        assert shown.time_left() == "time left -"
        shown.works[0].begin()
        time.now += 20
        shown.works[0].reach(10)
        assert shown.time_left() == "time left 0:40 (1 taken to go as other methods do)"
        shown.works[2].end()
        assert shown.time_left() == "time left 0:20"


def test_the_pace_of_an_ended_run_stays(time: Clock) -> None:
    shown = Shown([("a", 10), ("b", 10)])
    shown.start(0, 0)
    time.now += 10
    shown.step(10, {})
    shown.end(0)
    time.now += 500
    assert shown.seconds_left() == pytest.approx(10 * 1)


def test_a_skipped_run_is_neither_waited_for_nor_judged_by(time: Clock) -> None:
    shown = Shown([("finished before", 1000), ("b", 100), ("finished before, too", 1000)])
    shown.end(0)
    assert shown.seconds_left() is None
    shown.start(1, 0)
    time.now += 10
    shown.step(10, {})
    assert shown.seconds_left() == pytest.approx(90 + 1000)  # that the third is finished, too, is not known yet
    shown.end(2)
    assert shown.seconds_left() == pytest.approx(90)


def test_a_run_that_ends_early_is_not_waited_for(time: Clock) -> None:
    shown = Shown([("diverges", 1000), ("fails before it starts", 1000), ("c", 10)])
    shown.start(0, 0)
    time.now += 40
    shown.step(20, {})
    shown.end(0)
    shown.end(1)
    assert shown.seconds_left() == pytest.approx(10 * 2)
    shown.start(2, 0)
    time.now += 2
    shown.step(1, {})
    time.now += 18
    shown.step(10, {})
    shown.end(2)
    assert shown.seconds_left() == 0


def test_time_left_goes_by_recent_speed(time: Clock) -> None:
    """An hour at 1 s an iteration, then two at 10 s: what is left takes 10 s each, not the mean of the three hours."""
    work = Work(10000)
    work.begin()
    for pace, hours in ((1, 1), (10, 2)):
        for _ in range(hours * 3600 // pace):
            time.now += pace
            work.reach(work.done + 1)
    assert seconds_left([work]) == pytest.approx((10000 - 3600 - 720) * 10, rel=0.01)


def test_what_runs_beside_each_other_is_not_waited_for_one_after_the_other(time: Clock) -> None:
    works = [Work(100), Work(100), Work(100), Work(100)]
    for work in works[:2]:
        work.begin()
    time.now += 100
    for work in works[:2]:
        work.reach(50)  # 2 s each
    assert seconds_left(works) == pytest.approx((50 + 50 + 100 + 100) * 2 / 2)
    works[1].pause()
    assert seconds_left(works) == pytest.approx((50 + 50 + 100 + 100) * 2)
    for work in works[2:]:
        work.end()
    works[1].begin(90)
    time.now += 20
    works[1].reach(100)
    works[0].reach(60)
    assert seconds_left(works) == pytest.approx(40 * 2)  # as long as the longest, however many there are


# Without a terminal


def test_plain_lines_tell_run_iteration_losses_score_and_time(time: Clock) -> None:
    shown = Shown(TWO)
    with shown:
        shown.start(0, 0)
        time.now += 20
        shown.step(10, {"loss_supervised": 1.234, "loss_mixed": 0.5})
        shown.evaluated(43.21)
        shown.say("dacs seed 0: [finished] in 1:00 at 100% of ./runs/a-long-path/that/does/not/fit/in/40/columns")
    assert shown.lines == [
        "dacs seed 0  0/100  mIoU -  time left -",
        "dacs seed 0  10/100  supervised 1.23  mixed 0.50  mIoU -  time left 9:40",
        "dacs seed 0  10/100  supervised 1.23  mixed 0.50  mIoU 43.2  time left 9:40",
        "dacs seed 0: [finished] in 1:00 at 100% of ./runs/a-long-path/that/does/not/fit/in/40/columns",
    ]


def test_plain_lines_are_rare_but_starts_and_scores_are_always_told(time: Clock) -> None:
    shown = Shown([("a", 1000)])
    shown.start(0, 0)
    for done in range(1, 101):  # 50 seconds
        time.now += 0.5
        shown.step(done, {"loss_supervised": 1.0})
    lines = shown.lines
    assert [line.split()[1] for line in lines] == ["0/1000", "20/1000", "40/1000", "60/1000", "80/1000", "100/1000"]
    assert PLAIN_SECONDS == 10
    time.now += 0.5
    shown.evaluated(12.0)
    shown.step(101, {"loss_supervised": 1.0})
    assert len(shown.lines) == len(lines) + 1 and "mIoU 12.0" in shown.lines[-1]


def test_plain_output_has_no_control_characters(time: Clock) -> None:
    shown = Shown(TWO)
    with shown:
        shown.start(0, 0)
        time.now += 20
        shown.step(10, {"loss_supervised": 1.0})
        shown.say("done")
    assert "\x1b" not in "\n".join(shown.lines) and "\r" not in "\n".join(shown.lines)


def test_only_losses_are_shown_of_what_is_measured(time: Clock) -> None:
    shown = Shown([("a", 10)])
    shown.start(0, 0)
    time.now += 20
    shown.step(1, {"loss_mrm": 2.0, "lr": 0.1})
    assert shown.lines[-1] == "a  1/10  mrm 2.00  mIoU -  time left 3:00"


def test_units_of_one_piece_of_work_are_counted_on_standard_error(
    time: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("counting", 3, "methods", stderr=True) as shown:
        shown.tell("dacs", force=True)
        for method in ("dacs", "mic"):
            time.now += PLAIN_SECONDS
            shown.advance(method)
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines() == [
        "counting  0/3 methods  dacs  time left -",
        "counting  1/3 methods  dacs  time left -",  # the first pays for the start
        "counting  2/3 methods  mic  time left 0:10",
    ]


# On a terminal


def test_bars_on_a_terminal(time: Clock) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with RunProgress(works(TWO), console) as shown:
        shown.end(0)
        shown.say("dacs seed 0: finished before, mIoU 41.0")
        shown.start(1, 50)
        time.now += 20
        shown.step(60, {"loss_supervised": 1.234, "loss_mrm": 0.5})
        shown.evaluated(43.21)
        assert shown._bars is not None
        shown._bars.refresh()
        live = out.getvalue()
        shown.end(1)
        shown.say("dacs+mrm seed 0: mIoU 43.2 in [0:20]")
    for part in ("dacs+mrm seed 0", "60/200", "supervised 1.23  mrm 0.50", "mIoU 43.2", "time left 4:40"):
        assert part in live
    text = out.getvalue()
    assert "dacs seed 0: finished before, mIoU 41.0\n" in text.replace("\r", "")
    assert "dacs+mrm seed 0: mIoU 43.2 in [0:20]\n" in text.replace("\r", "")


def test_the_terminal_is_given_back_when_a_run_raises(time: Clock) -> None:
    out = StringIO()
    with pytest.raises(KeyboardInterrupt), RunProgress(works(TWO), Console(file=out, force_terminal=True)) as shown:
        shown.start(0, 0)
        raise KeyboardInterrupt
    assert out.getvalue().rfind("\x1b[?25h") > out.getvalue().rfind("\x1b[?25l") >= 0  # the cursor is shown again


def test_what_is_said_is_printed_letter_by_letter(time: Clock) -> None:
    shown = Shown(TWO)
    shown.say("failed, ValueError: slice 0:100:2 of [bold]")
    assert shown.lines == ["failed, ValueError: slice 0:100:2 of [bold]"]


def test_a_long_evaluation_is_seen(time: Clock) -> None:
    shown = Shown(TWO)
    shown.start(0, 0)
    for image in range(3):
        time.now += PLAIN_SECONDS
        shown.evaluating(image, 500)
    shown.evaluated(12.3)
    assert ["evaluating 0/500" in line for line in shown.lines] == [False, True, False, False, False]
    assert "evaluating 2/500" in shown.lines[3]
    assert "mIoU 12.3" in shown.lines[4] and "evaluating" not in shown.lines[4]


def test_what_is_done_once_is_shown_at_once_and_for_a_while(time: Clock) -> None:
    shown = Shown(TWO)
    shown.start(0, 0)
    shown.preparing("capturing CUDA graphs")
    shown.preparing("captured 6 passes in 4.2 s")
    for wait in (PREPARED_SECONDS, 1.0):
        time.now += wait
        shown.step(1, {})
        shown.evaluated(12.3)
    shown.preparing("captured 2 passes in 1.0 s")
    shown.start(1, 0)
    told = [line for line in shown.lines if "captur" in line]
    assert len(told) == 5 and "capturing" in told[0] and all("captured 6 passes in 4.2 s" in line for line in told[1:4])
    assert "captur" not in shown.lines[-1]


@pytest.mark.parametrize("work", [False, True])
def test_a_drawing_is_shown_on_a_terminal_only_where_something_is_drawn(
    work: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown("drawing streets") as told:
        if work:
            told(3, 3)
    assert ("drawing streets" in terminal.getvalue()) is work


def test_a_resumed_run_shows_the_miou_that_it_had(time: Clock) -> None:
    with Shown(TWO) as shown:
        shown.start(0, 40, 31.25)
    assert "40/100  mIoU 31.2" in shown.lines[0]

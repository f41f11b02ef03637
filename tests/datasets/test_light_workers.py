"""Worker processes that draw, count or check files begin at once: what they import loads no torch."""

import subprocess
import sys

from benchmarks.core.checkout import ROOT


def test_what_workers_run_is_imported_without_torch() -> None:
    modules = "datasets.checks.class_pixels, datasets.checks.file_checks, datasets.streets"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

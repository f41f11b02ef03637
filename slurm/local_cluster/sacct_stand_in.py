"""What ``sacct`` says of jobs, asked of the controller instead of an accounting database.

It stands in for sacct on a `LocalCluster`: there the controller remembers ended jobs for hours. One line a job (like
``sacct -X``, no steps), in the parsable form. Known: ``-j``/``--jobs``, ``-o``/``--format``, ``-n``/``--noheader``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

# Names of sacct in small letters, as it has them, and what scontrol calls the same.
FIELDS = {
    "jobid": ("JobID", ""), "jobidraw": ("JobIDRaw", "JobId"), "state": ("State", "JobState"),
    "elapsed": ("Elapsed", "RunTime"), "timelimit": ("Timelimit", "TimeLimit"), "submit": ("Submit", "SubmitTime"),
    "start": ("Start", "StartTime"), "end": ("End", "EndTime"),
    **{name.lower(): (name, name)
       for name in ("JobName", "Partition", "ExitCode", "NodeList", "Reason", "Restarts")},
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print a line for each job that the controller knows; unknown jobs have none, as with sacct."""
    parser = argparse.ArgumentParser(prog="sacct", allow_abbrev=False)
    parser.add_argument("-j", "--jobs", action="append", default=[])
    parser.add_argument("-o", "--format", default="JobID,JobName,Partition,State,ExitCode")
    parser.add_argument("-n", "--noheader", action="store_true")
    parser.add_argument("-P", "--parsable2", action="store_true")
    parser.add_argument("-X", "--allocations", action="store_true")
    options = parser.parse_args(arguments)
    asked = [name.partition("%")[0].lower() for name in options.format.split(",")]
    if unknown := [name for name in asked if name not in FIELDS]:
        print(f'sacct: error: Invalid field requested: "{unknown[0]}"', file=sys.stderr)
        return 1
    if not options.noheader:
        print("|".join(FIELDS[name][0] for name in asked))
    jobs = [job for group in options.jobs for job in group.split(",")]
    known = _jobs(jobs[0]) if len(jobs) == 1 else _jobs()  # one answer of the controller, however many jobs
    for job in known:
        name = job_name(job)
        if not jobs or {name, job["JobId"], name.partition("_")[0]} & set(jobs):
            print("|".join(name if field == "jobid" else _value(job, FIELDS[field][1]) for field in asked))
    return 0


def job_name(job: dict[str, str]) -> str:
    """A job's name: ``12``; ``12_3`` for a started or ended task of an array, ``12_[4-9%2]`` for those that wait."""
    task = job.get("ArrayTaskId")
    if task is None:
        return job["JobId"]
    return f"{job['ArrayJobId']}_{task}" if task.isdigit() else f"{job['ArrayJobId']}_[{task}]"


def _jobs(*one: str) -> list[dict[str, str]]:
    answer = subprocess.run(["scontrol", "show", "job", "-o", *one], capture_output=True, text=True).stdout
    found = (dict(re.findall(r"(\w+)=(\S*)", line)) for line in answer.splitlines())
    return [job for job in found if "JobId" in job]


def _value(job: dict[str, str], field: str) -> str:
    value = job.get(field, "")
    if field == "JobState" and value == "CANCELLED":
        return "CANCELLED by " + re.sub(r".*\((\d+)\)", r"\1", job.get("UserId", ""))  # sacct names who did it
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

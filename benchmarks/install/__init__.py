"""Set-up: ``python3 -m benchmarks.install`` makes the environment that segshift runs in.

Nothing here imports anything but the standard library, since it runs before any package is installed.
"""

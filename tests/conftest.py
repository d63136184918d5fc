"""Settings of the whole test run. Data from outside the repository lie in the folder that TROCAR_DATA names."""

from __future__ import annotations

import os

# Parallel test processes share the cores: one thread each. Set before anything imports torch.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# Times vary too much on shared machines for a deadline, and a run must find the same thing twice.
settings.register_profile("trocar", deadline=None, derandomize=True)
settings.load_profile("trocar")


def pytest_report_header() -> str:
    return f"TROCAR_DATA: {os.environ.get('TROCAR_DATA', 'not set; tests that need it are skipped')}"

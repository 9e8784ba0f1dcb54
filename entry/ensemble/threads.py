"""One thread for linear algebra, so that the order of its sums does not depend on the number of cores."""

from __future__ import annotations

import functools
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which NumPy's and SciPy's BLAS use one thread; OpenMP is not limited."""
    import scipy.linalg  # noqa: F401  # has its own BLAS, which must be loaded to be limited

    limited: AbstractContextManager[object] = _thread_pools(len(sys.modules)).limit(limits=1, user_api="blas")
    return limited


def blas_kernels() -> list[str]:
    """Return the loaded BLAS libraries, each with the kernel that it has chosen for this processor, sorted."""
    import scipy.linalg  # noqa: F401  # as above

    pools = [pool for pool in _thread_pools(len(sys.modules)).info() if pool["user_api"] == "blas"]
    return sorted({f"{pool['internal_api']} {pool.get('architecture') or ''}".strip() for pool in pools})


@functools.lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    # The search for loaded libraries takes milliseconds, and a new library comes only with a new module.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

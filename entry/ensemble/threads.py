"""One thread for linear algebra, so that its sums keep their order whatever the number of cores."""

from __future__ import annotations

import functools
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which NumPy's and SciPy's BLAS use one thread; OpenMP keeps what it has."""
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which must be here to be limited

    limited: AbstractContextManager[object] = _thread_pools(len(sys.modules)).limit(limits=1, user_api="blas")
    return limited


def blas_kernels() -> list[str]:
    """Return each BLAS library that is loaded, with the kernel that it has chosen for this processor."""
    import scipy.linalg  # noqa: F401  # as above

    pools = [pool for pool in _thread_pools(len(sys.modules)).info() if pool["user_api"] == "blas"]
    return sorted({f"{pool['internal_api']} {pool.get('architecture') or ''}".strip() for pool in pools})


@functools.lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    # The search through loaded libraries takes milliseconds; a new one can only be here with a new module.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

"""The training script that SageMaker starts. To run it by hand: ``python entry/train.py --help``."""

import sys

from ensemble.cli import main

if __name__ == "__main__":
    sys.exit(main())

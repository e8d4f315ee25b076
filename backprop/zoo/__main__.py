"""``python -m backprop.zoo``."""

import sys

from backprop.zoo.cli import main

sys.exit(main())

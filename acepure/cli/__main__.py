"""`python -m acepure.cli`, the same as `acepure`."""

import sys

from acepure.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m liveglass.web` is the same as `liveglass`."""

import sys

from liveglass.web.cli import main

if __name__ == "__main__":
    sys.exit(main())

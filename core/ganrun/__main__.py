"""``python -m ganrun`` is ``ganrun``: torchrun starts it in this way."""

import sys

from ganrun.catalog.search_path import installed_path

if __name__ == "__main__":
    # before the command line is imported: modules in the working directory are not those that are installed
    sys.path[:] = installed_path(sys.path)
    from ganrun.cli import main

    main()

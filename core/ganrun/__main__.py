"""``python -m ganrun`` is ``ganrun``: torchrun starts it in this way."""

from ganrun.cli import main

if __name__ == "__main__":
    main()

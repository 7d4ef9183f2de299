"""`python -m linnet`, and so `torchrun -m linnet train ...`."""

from __future__ import annotations

from linnet.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()

"""What makes thousands of tries quick."""

import os

import pytest

from liteq.store.sqlite import checkpoint, schema, tending

RESERVE = 64 * 1024


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Make files small and checkpoints frequent, and spare the disk: power is cut in a model, and that hears syncs."""
    patch.setattr(schema, "RESERVE_BYTES", RESERVE)
    patch.setattr(tending, "RESERVE_BYTES", RESERVE)
    patch.setattr(checkpoint, "SOME_PAGES", 20)
    patch.setattr(checkpoint, "MANY_PAGES", 60)
    patch.setattr(os, "fsync", lambda _: None)

"""The fixtures of the face serve here too."""

from tests.face.conftest import app, clock, slow_app

__all__ = ["app", "clock", "slow_app"]

"""One key folder for the tests that only sign and verify."""

from __future__ import annotations

import pytest

from pipelines.registry.signing.keys import KeyRing
from tests.support import proof


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """Keys for all three roles; tests do not change the folder."""
    return proof.ring(tmp_path_factory.mktemp("proof"))

"""Scores for invented results, which no service gives them: for what hands scores on."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.support.service import Server

_TRIGGER = """\
CREATE TRIGGER invented_scores AFTER INSERT ON result_values WHEN NEW.kind = 'metric' AND NEW.name LIKE 'val_loss%'
BEGIN
    INSERT INTO result_values (run_key, kind, name, position, value) VALUES
        (NEW.run_key, 'score', 'score', 0, 3.0 - NEW.value), (NEW.run_key, 'score', 'delta_noise', 1, 2.5 - NEW.value);
END
"""


def score_invented(server: Server) -> Server:
    """From now on every result of the service has a score: the better, the lower its loss is."""
    with closing(sqlite3.connect(server.state / "ringfence.db", timeout=30)) as database:
        database.execute(_TRIGGER)
        database.commit()
    return server

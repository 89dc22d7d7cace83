"""Our own scripts: every `eval` of every file is answered as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promql.runner import Verdict, run_script
from tests.promql.worlds import InProcess

_SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test"))


@pytest.mark.parametrize("path", _SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_answered_as_it_says(path: Path) -> None:
    outcomes = list(run_script(path, InProcess()))
    assert outcomes
    wrong = [outcome for outcome in outcomes if outcome.verdict is not Verdict.PASSED]
    shown = "\n".join(
        f"{path.name}:{each.line} {each.query}\n    {each.verdict}: {each.detail}" for each in wrong
    )
    assert not wrong, shown

"""Compiled code: strict arithmetic, and no machine code from before a change."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import NumbaError

from domain import compiled

HALF = "from domain.compiled import money\n\n@money\ndef half(x):\n    return x * {factor}\n"
ASK = "import sys\nsys.path.insert(0, {folder!r})\nfrom domain import doubled\nprint(doubled.twice(8.0))\n"


def test_machine_code_is_dropped_when_a_file_that_was_inlined_changes(tmp_path):
    """A rule that changed in another file changes the functions that call it: nothing trades by the old one."""
    home = tmp_path / "domain"
    home.mkdir()
    (home / "__init__.py").write_text("")
    (home / "compiled.py").write_text(Path(compiled.__file__).read_text(encoding="utf-8"))
    (home / "doubled.py").write_text(
        "from domain import halved\nfrom domain.compiled import money\n\n@money\ndef twice(x):\n    return 4.0 * halved.half(x)\n"
    )

    def ask(factor):
        (home / "halved.py").write_text(HALF.format(factor=factor))
        command = [sys.executable, "-c", ASK.format(folder=str(tmp_path))]
        return float(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)

    assert [ask(0.5), ask(0.5), ask(0.25)] == [16.0, 16.0, 8.0]


def test_money_is_not_contracted():
    """A multiply and an add round twice, as written: the product of these is 1 + 2^-52 before rounding to 1."""

    @compiled.money
    def plus(a, b, c):
        return a * b + c

    a, b = 1.0 + 2.0**-27, 1.0 - 2.0**-27

    assert plus(a, b, -1.0) == a * b - 1.0 == 0.0


def test_money_makes_no_array():
    """It is compiled without what counts arrays, so that to hand one on costs nothing; a routine may make one."""

    def room(count):
        return np.zeros(count)

    # Another function: machine code on disk is found by its name.
    def hall(count):
        return np.zeros(count)

    with pytest.raises(NumbaError):
        compiled.money(room)(3)
    assert compiled.money_routine(hall)(3).tolist() == [0.0, 0.0, 0.0]


def test_a_file_depends_on_what_it_imports_and_on_what_those_import():
    """The driver of simulations is bound to the arithmetic of costs, three imports away."""
    names = {str(path.relative_to(compiled.ROOT)) for path in compiled.sources(compiled.ROOT / "pipelines/execution/simulate.py")}

    assert {"domain/cost.py", "domain/account.py", "domain/decision.py", "pipelines/execution/fills.py"} <= names
    assert np.all([name.endswith(".py") for name in names])

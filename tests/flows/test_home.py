"""Home: where things lie and what stays silent."""

import os
import subprocess
import sys
from pathlib import Path

from flows import home as homes
from flows.home import Home

ROOT = Path(__file__).parents[2]


def test_the_home_is_var_in_the_checkout_unless_the_environment_names_another(tmp_path: Path) -> None:
    """NIGHTSHIFT_HOME wins, and looking creates nothing."""
    chosen = homes.from_environment({"NIGHTSHIFT_HOME": str(tmp_path / "elsewhere")})

    assert homes.from_environment({}) == Home(ROOT / "var")
    assert chosen == Home(tmp_path / "elsewhere")
    assert not chosen.root.exists()


def test_every_place_lies_under_the_root(tmp_path: Path) -> None:
    """Removing one folder removes all run-time state."""
    home = Home(tmp_path)

    places = [home.store, home.mlflow, home.runs, home.replays, home.journals, home.models, home.docs, home.reports, home.logs]

    assert len(set(places)) == len(places)
    assert all(place.parent == tmp_path for place in places)


def test_quiet_leaves_alone_what_a_person_has_set() -> None:
    """A setting of the environment is a decision; only what is missing is filled in."""
    code = "from flows import home; home.quiet(); import os; print(os.environ['DO_NOT_TRACK'], os.environ['DVC_NO_ANALYTICS'])"
    environment = {name: value for name, value in os.environ.items() if name not in homes.QUIET} | {"DVC_NO_ANALYTICS": "mine"}

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["true", "mine"]


def test_the_plain_commands_do_not_import_prefect() -> None:
    """Prefect takes a second to import and might start a server: only the scheduled flows may know it."""
    code = (
        "import sys; import flows.learn, flows.trade, flows.retrain, flows.up, flows.deployments; print('prefect' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"

"""What every test gets: an Airflow without a database, and the emulator of the Kling API."""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version

# Before the first import of Airflow: a home of its own, and no database.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-kling-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
if int(version("apache-airflow").split(".")[1]) >= 2 and version("apache-airflow").startswith("3."):
    # Older versions can't read a connection from the environment without their models.
    os.environ["_AIRFLOW__AS_LIBRARY"] = "1"

pytest_plugins = ["tests.emulator_fixtures", "tests.fakes"]

"""A real Airflow and the Kling emulator on this machine, for ``make demo`` and for the system tests."""

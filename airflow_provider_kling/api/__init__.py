"""The Kling API. Imports httpx and pydantic, never Airflow: usable and testable alone."""

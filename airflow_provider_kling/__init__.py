"""Apache Airflow provider for Kling video generation.

Nothing is imported here: DAG files are parsed every few seconds.
"""

__version__ = "0.1.0"

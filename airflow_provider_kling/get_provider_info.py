"""All that Airflow discovers of this package."""

from __future__ import annotations

from typing import Any

from airflow_provider_kling import __version__

_DOCS = "https://app.klingai.com/global/dev/document-api"

#: Connection form: what goes into the connection's extra.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "model_name": {
        "label": "Default model",
        "schema": {"type": ["string", "null"]},
        "description": "Used where an operator names none, e.g. kling-v2-6.",
    },
    "prompt_max_chars": {
        "label": "Longest prompt",
        "schema": {"type": ["integer", "null"], "minimum": 1},
        "description": "Refuse longer prompts. Kling takes 2500 characters, many relays 500.",
    },
    "negative_prompt_max_chars": {
        "label": "Longest negative prompt",
        "schema": {"type": ["integer", "null"], "minimum": 1},
        "description": "Refuse longer negative prompts. Kling takes 2500 characters, many relays 200.",
    },
    "max_concurrency": {
        "label": "Slots of the account",
        "schema": {"type": ["integer", "null"], "minimum": 1},
        "description": "How many videos the account may make at once.",
    },
    "external_task_ids": {
        "label": "Keeps external ids",
        "schema": {"type": ["boolean", "null"]},
        "description": "true: this relay looks external_task_id up and refuses duplicates, as Kling does.",
    },
    "max_qps": {
        "label": "Requests a second",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "description": "At most, where tasks have to be asked for one by one (relays); 10 by default.",
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "description": "How long to wait for one answer; 60 by default.",
    },
    "proxy": {
        "label": "Proxy",
        "schema": {"type": ["string", "null"]},
        "description": "URL of an HTTP proxy.",
    },
    "verify": {
        "label": "Verify TLS",
        "schema": {"type": ["string", "null"]},
        "description": "false, or the path of a CA bundle; the usual certificates by default.",
    },
}

#: Connection form: the standard fields.
UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "port"],
    "relabeling": {
        "host": "Base URL",
        "login": "AccessKey",
        "password": "API key or SecretKey",
    },
    "placeholders": {
        "host": "https://api-singapore.klingai.com",
        "login": "leave empty with an API key",
        "password": "API key, or the SecretKey that goes with the AccessKey",
    },
}


def get_provider_info() -> dict[str, Any]:
    """Provider metadata, as of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-kling",
        "name": "Kling",
        # The link stands last: Airflow's page of providers glues what follows to the address.
        "description": (
            f"Kling video generation: a templated prompt becomes a video. `Kling API <{_DOCS}>`__"
        ),
        "versions": [__version__],
        "integrations": [
            {"integration-name": "Kling", "external-doc-url": _DOCS, "tags": ["service", "ai"]},
        ],
        "operators": [
            {
                "integration-name": "Kling",
                "python-modules": [
                    "airflow_provider_kling.operators.text2video",
                    "airflow_provider_kling.operators.download",
                ],
            }
        ],
        "sensors": [
            {"integration-name": "Kling", "python-modules": ["airflow_provider_kling.sensors.task"]},
        ],
        "hooks": [
            {"integration-name": "Kling", "python-modules": ["airflow_provider_kling.hooks.kling"]},
        ],
        "triggers": [
            {"integration-name": "Kling", "python-modules": ["airflow_provider_kling.triggers.task"]},
        ],
        "connection-types": [
            {
                "connection-type": "kling",
                "hook-class-name": "airflow_provider_kling.hooks.kling.KlingHook",
                "hook-name": "Kling",
                "conn-fields": CONNECTION_FIELDS,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
            }
        ],
        "extra-links": ["airflow_provider_kling.links.KlingVideoLink"],
    }

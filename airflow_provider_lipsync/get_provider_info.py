"""What Airflow reads about this provider: data alone, so that reading it costs nothing."""

from __future__ import annotations

from typing import Any

from airflow_provider_lipsync import __version__

__all__ = ["get_provider_info"]

_INTEGRATION = "Lipsync"
_ROOT = "airflow_provider_lipsync"

# The extras of a connection, the one definition that the forms of Airflow 3.1 and of 3.2+ are both made from.
# Airflow 3.1 knows only integer, password, string and boolean.
_CONN_FIELDS: dict[str, dict[str, Any]] = {
    "http_timeout": {
        "label": "HTTP timeout (seconds)",
        "description": "How long to wait for the next bytes of an answer. Default 30.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "max_connections": {
        "label": "Connections at once",
        "description": "Connections to the API that one process holds open at the most. Default 10.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "max_polls_per_second": {
        "label": "Looks at jobs a second",
        "description": "How many looks one triggerer sends at the most, for all waiting jobs together. Default 500.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "adaptive_polling": {
        "label": "Adaptive polling",
        "description": "Look when a job is likely to have ended, not at every interval. Default yes.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
    "typical_seconds_low": {
        "label": "Typical job: from (seconds)",
        "description": "What a quick job takes: jobs are hardly looked at before it. Default 30, as the vendor says.",
        "schema": {"type": ["integer", "null"], "minimum": 0},
    },
    "typical_seconds_high": {
        "label": "Typical job: to (seconds)",
        "description": "What a slow job takes. Default 120, as the vendor says.",
        "schema": {"type": ["integer", "null"], "minimum": 0},
    },
    "ledger_path": {
        "label": "Ledger folder",
        "description": "Where bought jobs are remembered, e.g. s3://aws_default@bucket/ledger. "
        "Needed before Airflow 3.3, which remembers by itself.",
        "schema": {"type": ["string", "null"]},
    },
    "staging_path": {
        "label": "Staging folder",
        "description": "Where local files are put for the vendor to fetch, e.g. s3://aws_default@bucket/staging. "
        "They are removed when their job is over.",
        "schema": {"type": ["string", "null"]},
    },
    "public_url_base": {
        "label": "Public URLs of storages",
        "description": "For storages that cannot sign URLs: JSON from the beginning of a path to a URL, "
        'e.g. {"s3://bucket/": "https://cdn.example.com/"}.',
        "schema": {"type": ["string", "null"]},
    },
    "max_input_mb": {
        "label": "Largest input (MB)",
        "description": "A picture, sound or video above it is refused before anything is paid. Default 1000.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "max_output_mb": {
        "label": "Largest finished video (MB)",
        "description": "A video above it is not stored. Default 10000.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "max_credits_per_job": {
        "label": "Credits per job at most",
        "description": "A job that would cost more, or whose cost cannot be known, is refused before anything is paid. "
        "DAG authors cannot raise it. Default: no limit.",
        "schema": {"type": ["integer", "null"], "minimum": 0},
    },
    "allow_private_output_hosts": {
        "label": "Fetch from private addresses",
        "description": "Finished videos may come from addresses that only this network knows. Default no.",
        "schema": {"type": ["boolean", "null"]},
    },
    "webhook_base_url": {
        "label": "Airflow's address for webhooks",
        "description": "As the vendor reaches it, e.g. https://airflow.example.com. With a webhook secret, the vendor "
        "tells when a job has ended; the receiver must be turned on in [lipsync].",
        "schema": {"type": ["string", "null"]},
    },
    "webhook_secret": {
        "label": "Webhook secret",
        "description": "Signs the addresses that the vendor is given: at least 16 random characters, e.g. of openssl "
        "rand -hex 32. Not the API key.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "webhook_secret_previous": {
        "label": "Webhook secret before",
        "description": "Still believed after a change of the secret, until the jobs of that time have ended.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
}

# Airflow's own configuration, section [lipsync]: read by API servers alone.
_CONFIG: dict[str, Any] = {
    "lipsync": {
        "description": "Settings of the Lipsync provider.",
        "options": {
            "webhook_receiver": {
                "description": "Whether API servers receive the vendor's webhooks, at /lipsync/webhooks/. See "
                "docs/webhooks.md before you turn it on.",
                "version_added": "0.1.0",
                "type": "boolean",
                "example": None,
                "default": "False",
            },
            "webhook_conn_ids": {
                "description": "Ids of the connections whose jobs may be told of by webhook, separated by commas.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "lipsync_default,lipsync_brand",
                "default": "",
            },
        },
    }
}

_UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "login", "port"],
    "relabeling": {"password": "API key", "host": "API base URL"},
    "placeholders": {"password": "sk_…", "host": "https://lipsync.studio/api/v1 (the default)"},
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-lipsync",
        "name": "Lipsync",
        "description": "Lip-synced videos from pictures or videos plus speech, by the Lipsync API.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": _INTEGRATION, "external-doc-url": "https://lipsync.studio", "tags": ["service"]}
        ],
        "operators": [{"integration-name": _INTEGRATION, "python-modules": [f"{_ROOT}.operators.lipsync"]}],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": [f"{_ROOT}.sensors.lipsync"]}],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": [f"{_ROOT}.hooks.lipsync"]}],
        "triggers": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [f"{_ROOT}.triggers.{name}" for name in ("lipsync", "ending", "timer", "delivery")],
            }
        ],
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Object Storage",
                "python-module": f"{_ROOT}.transfers.object_storage",
            }
        ],
        "config": _CONFIG,
        "extra-links": [f"{_ROOT}.links.LipsyncPlayerLink"],
        "connection-types": [
            {
                "connection-type": "lipsync",
                "hook-class-name": f"{_ROOT}.hooks.lipsync.LipsyncHook",
                "hook-name": "Lipsync",
                "conn-fields": _CONN_FIELDS,
                "ui-field-behaviour": _UI_FIELD_BEHAVIOUR,
            }
        ],
    }

"""The server's log: a line for each query, as text or as JSON."""

from __future__ import annotations

import logging
import time
from typing import Any

from bridge.audit import FIELDS, LOGGER
from bridge.cli.echo import json_text
from bridge.display import nbytes_text
from bridge.errors import printable

__all__ = ["FORMATTERS", "log_to_stderr"]


class TextFormatter(logging.Formatter):
    """A line as people read it: ``12:30:00 10.0.0.7:5060 get 'weather' 81.2 KiB 1.3 ms ok``."""

    default_time_format = "%H:%M:%S"
    default_msec_format = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows it."""
        fields = _fields(record)
        if fields is None:
            # What went wrong may be told in the words of a client.
            text = printable(super().format(record))
            return f"{self.formatTime(record)} {record.levelname.lower()}: {text}"
        name = f" {fields['name']!r}" if fields["name"] else ""
        key = f" {fields['key']}" if fields["key"] else ""
        return (
            f"{self.formatTime(record)} {fields['peer']}{key} {fields['op']}{name} "
            f"{nbytes_text(fields['nbytes'])} {fields['ms']:.1f} ms {fields['outcome']}"
        )


class JsonFormatter(logging.Formatter):
    """A line as programs read it: a JSON object, with the time in UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback is in it."""
        fields = _fields(record) or {"message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = record.exc_text or self.formatException(record.exc_info)
        head = {"time": self.formatTime(record), "level": record.levelname.lower()}
        return json_text(head | fields)


FORMATTERS = {"text": TextFormatter, "json": JsonFormatter}


def log_to_stderr(form: str) -> None:
    """Write what the server logs to stderr, in one of the `FORMATTERS`."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[form]())
    logger = logging.getLogger("bridge")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _fields(record: logging.LogRecord) -> dict[str, Any] | None:
    """Return what a record says of a query, or None if it is about something else."""
    if record.name != LOGGER:
        return None
    return {field: getattr(record, attribute) for field, attribute in FIELDS.items()}

"""Errors a user can act on: each message names the file, the value and the way out."""

from __future__ import annotations

from speechattn.text import one_line


class SpeechattnError(Exception):
    """Something the user gave cannot be used; the message says what, where and what to do.

    Args:
        message: control characters in it, of names and values, are shown as escapes: it is one
            line.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


class AudioError(SpeechattnError):
    """A recording cannot be read, or what it holds cannot be trusted.

    Attributes:
        kind: of what is wrong with it, one of :mod:`speechattn.failures`.
    """

    def __init__(self, message: str, kind: str = "unreadable"):
        super().__init__(message)
        self.kind = kind


class CorpusError(SpeechattnError):
    """A corpus folder is incomplete or contradicts itself."""


class ConfigError(SpeechattnError):
    """A recipe or model configuration has an unknown key or an impossible value."""


class ModelError(SpeechattnError):
    """A model folder is missing, incomplete or was written for something else."""


class UsageError(SpeechattnError):
    """A command was called with arguments that cannot go together."""

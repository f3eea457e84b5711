"""Errors a user can act on: each message names the file, the value and the way out."""

from __future__ import annotations


class SpeechattnError(Exception):
    """Something the user gave cannot be used; the message says what, where and what to do."""


class AudioError(SpeechattnError):
    """A recording cannot be read, or what it holds cannot be trusted."""


class CorpusError(SpeechattnError):
    """A corpus folder is incomplete or contradicts itself."""


class ConfigError(SpeechattnError):
    """A recipe or model configuration has an unknown key or an impossible value."""


class ModelError(SpeechattnError):
    """A model folder is missing, incomplete or was written for something else."""


class UsageError(SpeechattnError):
    """A command was called with arguments that cannot go together."""

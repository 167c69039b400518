"""Foedus: several organisations, one model, from a signed accord to a release that anyone can verify."""

__version__ = "0.1.0"

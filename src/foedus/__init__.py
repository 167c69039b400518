"""Foedus: several organisations, one model, from a signed accord to a release that anyone can verify."""

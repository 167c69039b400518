"""What every room stands on: canonical bytes, digests, keys, envelopes, errors, messages, clock and files.

Nothing here knows what a consortium is. No torch, no numpy, no pydantic.
"""

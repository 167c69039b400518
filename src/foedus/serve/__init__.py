"""Using a release: a server and a predictor over the model folder of a bundle that was verified, and what is kept of
its traffic.

`predict` answers texts; `batcher` puts requests together; `app` speaks the protocols; `store` keeps what the accord's
clause `serving` lets be kept.
"""

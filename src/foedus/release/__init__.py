"""Release: propose, approve, seal and verify a bundle that members voted for.

`propose` makes the files final and names them in a proposal; members vote on the proposal's digest and sign the model;
`seal` publishes; `verify` is the only verifier, and reads the same rooms as an auditor would. No torch, no numpy.
"""

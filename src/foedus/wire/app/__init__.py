"""The Flower app that travels: two stubs around the pipes of `foedus.wire`. It is checked by digest, not trusted."""

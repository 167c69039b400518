"""Pipes, as Flower's app format wants them."""

"""The Python interface: what `import foedus` offers, thin over the rooms below, with results made to be looked at.

`trust` works from the base installation; `consortium` needs the training extra. Errors are `foedus.FoedusError`.
"""

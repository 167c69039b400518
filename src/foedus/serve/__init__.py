"""Using a release: a predictor over the model folder of a bundle that was verified."""

from foedus.serve.predict import Predictor, load_predictor

__all__ = ["Predictor", "load_predictor"]

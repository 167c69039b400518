"""The fine-tune of `task.py` as Flower apps."""

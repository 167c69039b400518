"""What a model is asked to do: one file a task, each a value of functions.

`task_of(settings)` gives the task that an accord names. A task knows nothing of members, rounds or releases.
"""

from foedus.tasks.base import Batch, Encoded, Task, task_of
from foedus.tasks.classify import classification
from foedus.tasks.ner import entities

__all__ = ["Batch", "Encoded", "Task", "classification", "entities", "task_of"]

"""TensorBoard: an event file in FOLDER/RUN, written one record at a time. Facts are texts of the tab Text."""

from __future__ import annotations

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from foedus.track.log import Entry

__all__ = ["open_logger"]


class _TensorBoard:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._writer = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def log(self, entry: Entry) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in entry.values.items()]
        values += [_text(name, value) for name, value in entry.facts.items()]
        if values:
            self._write(Event(wall_time=time.time(), step=entry.round, summary=Summary(value=values)))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())
        self._file.flush()


def _text(name: str, value: str) -> Summary.Value:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[value.encode()], tensor_shape=shape)
    metadata = create_summary_metadata(display_name=name, description="")
    return Summary.Value(tag=f"{name}/text_summary", metadata=metadata, tensor=tensor)


def open_logger(folder: Path, run: str) -> _TensorBoard:
    """A new event file of this run; TensorBoard reads all that lie beside each other as one."""
    place = folder / run
    place.mkdir(parents=True, exist_ok=True)
    number = len(list(place.glob("events.out.tfevents.*")))
    return _TensorBoard(place / f"events.out.tfevents.{int(time.time()):010d}.foedus.{number}")

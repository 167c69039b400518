"""The member's end of the wire as a Flower ClientApp: a message goes to the member's resident process over its socket,
the answer comes back. It opens neither.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from foedus.core.errors import FoedusError
from foedus.wire import pipe
from foedus.wire.letter import LATE, Letter

__all__ = ["app"]

app = ClientApp()

_CLOCK_SECONDS = 5.0  # how far ahead of the hub's clock Flower lets a node be


@app.query("carry")
def carry(message: Message, _: Context) -> Message:
    """The resident process's answer to the letter in this message, or the code of why there is none.

    A letter that comes after its deadline (the node was away) is not handed on: nobody waits for its answer.
    """
    letter = Letter.read(message.content)
    answer = Letter(letter.number, code=LATE)
    if time.time() < letter.deadline + _CLOCK_SECONDS:
        answer = _answer(letter)
    return Message(answer.write(), reply_to=message)


def _answer(letter: Letter) -> Letter:
    socket = Path(os.environ["FOEDUS_NODE_SOCKET"])
    try:
        return Letter(letter.number, pipe.call(socket, letter.body, timeout_seconds=letter.patience_seconds))
    except FoedusError as error:
        code = error.fields["code"] if error.code == "wire.peer-refused" else error.code
        return Letter(letter.number, code=str(code))

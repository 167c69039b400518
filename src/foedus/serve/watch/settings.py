"""Who is told of alerts: `serving/alerts.yaml` of the workspace that serves. Secrets stand in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from foedus.core.errors import CallerError
from foedus.core.files import read_text
from foedus.core.yaml import read_yaml
from foedus.records.base import ListOf, Name, Positive, Record, Text
from foedus.records.watch import Level

__all__ = ["FILE", "AlertSettings", "Mail", "Webhook", "channels", "read_settings"]

FILE = "serving/alerts.yaml"


class Webhook(Record):
    """An address to which alerts are sent by POST as JSON. `secret_file`, relative to the settings: what signs them.

    `level`: the least serious alert that is sent.
    """

    name: Name
    url: Annotated[Text, Field(pattern=r"^https?://[^\s@]+$")]
    secret_file: Text | None = None
    level: Level = "notice"


class Mail(Record):
    """A mail server and who gets mail. `password_file` is relative to the settings."""

    name: Name
    host: Text
    port: Positive = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Text | None = None
    password_file: Text | None = None
    sender: Text
    to: ListOf[Text] = Field(min_length=1)
    language: Literal["en", "zh"] = "en"
    level: Level = "warning"

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Mail:
        if self.password_file and self.security == "none":
            raise ValueError("expected `security: starttls` or `tls` where there is a password")
        return self


class AlertSettings(Record):
    """`alerts.yaml`."""

    kind: ClassVar[str] = "alert-settings"

    alerts: Literal["foedus/v1"] = "foedus/v1"
    webhooks: ListOf[Webhook] = ()
    mail: ListOf[Mail] = ()

    @property
    def channels(self) -> tuple[Webhook | Mail, ...]:
        """Everybody who is told."""
        return (*self.webhooks, *self.mail)

    @model_validator(mode="after")
    def _names_are_distinct(self) -> AlertSettings:
        names = [one.name for one in self.channels]
        if len(set(names)) < len(names):
            raise ValueError(f"expected each name once, got {', '.join(names)}")
        return self


def read_settings(workspace: Path) -> AlertSettings:
    """The settings of a workspace; nobody is told where there are none.

    Raises: CallerError: `files.…`, `yaml.…`, `monitor.bad-settings` with the line.
    """
    path = workspace / FILE
    if not path.exists():
        return AlertSettings()
    tree = read_yaml(read_text(path, limit_bytes=1 << 18), source=path.name)
    try:
        return AlertSettings.model_validate(tree.value, context={"yaml": True})
    except ValidationError as error:
        first = error.errors()[0]
        where = tuple(first["loc"])
        raise CallerError(
            "monitor.bad-settings", source=str(path), line=tree.line(where), where=".".join(map(str, where)) or "–",
            wanted=str(first["msg"]).removeprefix("Value error, "),
        ) from error  # fmt: skip


def channels(settings: AlertSettings) -> list[tuple[str, Level]]:
    """The name of each channel and the least serious alert that it is told of."""
    return [(one.name, one.level) for one in settings.channels]

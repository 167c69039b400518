"""One party's folder: its page, its private keys, and where everything else lies.

workspace.json        whose folder this is
keys/PURPOSE.pem      private keys, readable by their owner only; NEW keys wait as PURPOSE.new.pem
accord.yaml           the draft (coordinator)
members/NAME.invited  invitations sent, and NAME.joined the answers (coordinator)
ledger/               the log (coordinator) or a verified copy (member)
objects/              what entries name by digest, unless the page names another store
hub/hub.json          where the hub listens (coordinator), with its certificates and what it refused beside it
outbox/000001.act     every act that this party signed, in order
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from foedus.core.digest import sha256
from foedus.core.errors import CallerError, IdentityError
from foedus.core.files import lock, read_bytes, write_atomic
from foedus.core.keys import PrivateKey, Purpose, generate, load_private, save_private
from foedus.core.objects import ObjectStore
from foedus.records.accord import CoordinatorKeys, MemberKeys
from foedus.records.membership import HubPage, WorkspacePage

__all__ = [
    "COORDINATOR_PURPOSES",
    "MEMBER_PURPOSES",
    "PAGE",
    "Workspace",
    "create_coordinator",
    "keep_objects_at",
    "keep_page",
    "keep_siblings",
    "make_member_keys",
    "open_workspace",
    "practice",
    "private_key",
    "readable_private_keys",
    "socket_folder",
    "working",
]

PAGE = "workspace.json"
HUB_PAGE = "hub/hub.json"
COORDINATOR_PURPOSES: tuple[Purpose, ...] = ("act", "log")
MEMBER_PURPOSES: tuple[Purpose, ...] = ("act", "witness", "release")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A party's folder and the page in it. It holds no secret."""

    folder: Path
    page: WorkspacePage

    @property
    def party(self) -> str:
        """Whose folder this is."""
        return self.page.party

    @property
    def is_coordinator(self) -> bool:
        """Whether this party keeps the ledger."""
        return self.page.role == "coordinator"

    @property
    def objects(self) -> ObjectStore:
        """What entries name by digest: in the folder, or where the page says."""
        if self.page.objects is None:
            return ObjectStore(self.folder / "objects")
        from foedus.core.remote import store_at

        return store_at(self.page.objects)

    @property
    def ledger(self) -> Path:
        """The folder of the log, or of the member's copy."""
        return self.folder / "ledger"

    @property
    def draft(self) -> Path:
        """The coordinator's draft of an accord."""
        return self.folder / "accord.yaml"

    @property
    def outbox(self) -> Path:
        """Every act that this party signed."""
        return self.folder / "outbox"

    @property
    def members(self) -> Path:
        """Invitations and answers."""
        return self.folder / "members"

    @property
    def hub(self) -> HubPage | None:
        """Where this coordinator's hub listens; None where it never had one."""
        path = self.folder / HUB_PAGE
        return HubPage.from_bytes(read_bytes(path, limit_bytes=1 << 20)) if path.exists() else None

    def keep_hub(self, page: HubPage) -> None:
        """Remember where this coordinator's hub listens."""
        write_atomic(self.folder / HUB_PAGE, page.to_bytes())

    def find(self, digest: str) -> bytes | None:
        """An object's bytes, None where it is not here: what `resolve` asks for."""
        return self.objects.get(digest) if digest in self.objects else None

    def require(self, role: str) -> None:
        """CallerError `workspace.wrong-role` when another kind of party has to do this."""
        if self.page.role != role:
            raise CallerError("workspace.wrong-role", party=self.party, role=self.page.role, needed=role)


def open_workspace(folder: Path) -> Workspace:
    """The workspace in a folder; CallerError `workspace.none-here`, or `records.malformed` for a page that is none."""
    if not (folder / PAGE).is_file():
        raise CallerError("workspace.none-here", folder=str(folder))
    return Workspace(folder, WorkspacePage.from_bytes(read_bytes(folder / PAGE, limit_bytes=1 << 20)))


def create_coordinator(
    folder: Path, name: str, *, members: Sequence[str] = (), passphrase: str | None = None, custody: str = "separate"
) -> Workspace:
    """A coordinator's workspace: keys, and a draft accord to edit that names these members.

    Raises:
        CallerError: `workspace.exists` when the folder holds one already; `workspace.bad-names` for two alike.
        RunError: `files.cannot-write`.
    """
    _require_free(folder)
    if len({name, *members}) != len(members) + 1:
        raise CallerError("workspace.bad-names", names=", ".join([name, *members]))
    keys = _make_keys(folder, COORDINATOR_PURPOSES, passphrase)
    page = WorkspacePage.model_validate(
        {
            "party": name,
            "role": "coordinator",
            "custody": custody,
            "coordinator": name,
            "coordinator_keys": CoordinatorKeys(act=keys["act"].public, log=keys["log"].public),
        }
    )
    workspace = Workspace(folder, page)
    write_atomic(workspace.draft, draft_text(coordinator=name, members=members, custody=custody).encode())
    return keep_page(workspace, page)


def make_member_keys(folder: Path, passphrase: str | None) -> tuple[MemberKeys, dict[Purpose, PrivateKey]]:
    """A member's keys, made in its folder; those that a crash left behind are used again.

    Raises:
        CallerError: `workspace.exists`.
        IdentityError: as `load_private`.
    """
    _require_free(folder)
    keys = _make_keys(folder, MEMBER_PURPOSES, passphrase)
    return MemberKeys(**{purpose: keys[purpose].public for purpose in MEMBER_PURPOSES}), keys


def keep_page(workspace: Workspace, page: WorkspacePage) -> Workspace:
    """Write the page. It is written last when a workspace is made: a folder without it is no workspace."""
    write_atomic(workspace.folder / PAGE, page.to_bytes())
    return Workspace(workspace.folder, page)


def private_key(
    workspace: Workspace, purpose: Purpose, *, public: str | None = None, passphrase: str | None = None
) -> PrivateKey:
    """This party's private key for a purpose; with `public`, the one of the present and new key that it names.

    Raises:
        IdentityError: `workspace.key-not-here`, or as `load_private`.
    """
    for path in (_key_path(workspace.folder, purpose), _key_path(workspace.folder, f"{purpose}.new")):
        if path.exists():
            key = load_private(path, passphrase=passphrase)
            if public in (None, key.public):
                return key
    raise IdentityError("workspace.key-not-here", party=workspace.party, purpose=purpose)


def new_key(workspace: Workspace, purpose: Purpose, *, passphrase: str | None) -> PrivateKey:
    """A key that is to follow the present one; kept beside it. One that a crash left is used again."""
    path = _key_path(workspace.folder, f"{purpose}.new")
    if not path.exists():
        save_private(path, generate(purpose), passphrase=passphrase)
    return load_private(path, passphrase=passphrase)


def adopt_key(workspace: Workspace, purpose: Purpose, public: str, *, passphrase: str | None) -> None:
    """Put the new key in the present one's place once it is in force."""
    path = _key_path(workspace.folder, f"{purpose}.new")
    if path.exists() and load_private(path, passphrase=passphrase).public == public:
        path.replace(_key_path(workspace.folder, purpose))


@contextmanager
def working(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace for one run; RunError `workspace.busy` while another holds it."""
    from foedus.core.errors import RunError

    try:
        with lock(workspace.folder / ".run.lock"):
            yield
    except RunError as error:
        if error.code != "files.locked":
            raise
        raise RunError("workspace.busy", folder=str(workspace.folder)) from error


def readable_private_keys(folder: Path) -> list[str]:
    """The parties whose act keys this process could read: in this workspace, beside it, or below it."""
    places = {folder, *_subfolders(folder), *_subfolders(folder.resolve().parent)}
    found = set()
    for place in places:
        if (place / PAGE).is_file() and os.access(_key_path(place, "act"), os.R_OK):
            found.add(open_workspace(place).party)
    return sorted(found)


def practice(
    folder: Path, members: Sequence[str], *, coordinator: str = "hub", passphrase: str | None = None
) -> dict[str, Workspace]:
    """A coordinator's and its members' workspaces below one folder, all joined; every page says `one-process`.

    Raises:
        CallerError: `workspace.exists`, `workspace.bad-names`.
    """
    from foedus.workspace.joining import collect_joined, invite, join

    names = [coordinator, *members]
    made = {
        coordinator: create_coordinator(
            folder / coordinator, coordinator, members=members, passphrase=passphrase, custody="one-process"
        )
    }
    for name in members:
        parcel = invite(made[coordinator], name, ("contributor",), passphrase=passphrase)
        collect_joined(made[coordinator], join(folder / name, parcel, passphrase=passphrase))
        made[name] = open_workspace(folder / name)
    return keep_siblings([folder / name for name in names])


def keep_objects_at(workspace: Workspace, url: str | None) -> Workspace:
    """Keep the objects at a URL from here on, or with None in the folder again; what is there so far is copied first.

    A copy that is interrupted goes on when this is called again; the old store stays as it is.

    Raises:
        CallerError: `objects.bad-url`, `objects.package-missing`, `cli.extra-missing`.
        RunError: `objects.away`, `files.cannot-write`.
        VerifyError: `objects.changed`.
    """
    if url == workspace.page.objects:
        return workspace
    page = workspace.page.model_copy(update={"objects": url})
    old, new = workspace.objects, Workspace(workspace.folder, page).objects
    for digest in old:
        new.put(old.get(digest))
    return keep_page(workspace, page)


def keep_siblings(folders: Sequence[Path]) -> dict[str, Workspace]:
    """Let workspaces side by side know each other, and mark them all as one process's; by party, in this order."""
    made = {}
    for folder in folders:
        workspace = open_workspace(folder)
        siblings: Mapping[str, str] = {
            open_workspace(other).party: f"../{other.name}" for other in folders if other != folder
        }
        page = workspace.page.model_copy(update={"siblings": dict(siblings), "custody": "one-process"})
        made[workspace.party] = keep_page(workspace, page)
    return made


def socket_folder(folder: Path) -> Path:
    """Where the processes of a workspace have their sockets: in it, or where its path is too long for a socket, in the
    system's folder for temporary files, under a name that the path decides.
    """
    here = folder.resolve() / "sockets"
    if len(os.fsencode(here)) <= _SOCKET_FOLDER_LIMIT:
        return here
    return Path(tempfile.gettempdir()) / f"foedus-{os.getuid()}-{sha256(os.fsencode(here))[7:23]}"


_SOCKET_FOLDER_LIMIT = 80
"""With a file's name, below what the kernel takes as a socket's address."""


def draft_text(*, coordinator: str, members: Sequence[str], custody: str) -> str:
    """The template of an accord, in the language in force, with these parties filled in."""
    from foedus.core.messages import language

    name = "template.zh.yaml" if language() == "zh" else "template.yaml"
    text = (files("foedus.accord") / name).read_text(encoding="utf-8")
    text = re.sub(r"(?m)^custody: separate", f"custody: {custody}", text)
    text = re.sub(r"(?m)^(coordinator:\n  name: )\S+", rf"\g<1>{coordinator}", text)
    if members:
        listed = "".join(f"  - name: {one}\n    roles: [contributor]\n" for one in sorted(members))
        text = re.sub(r"(?m)^(members:[^\n]*\n)(?: +[^\n]*\n)+", rf"\g<1>{listed}", text)
        grant = re.search(r"(?m)^  grants:[^\n]*\n    - member: \S+\n((?:      [^\n]*\n)+)", text)
        rest = grant[1] if grant else ""
        grants = "".join(f"    - member: {one}\n{rest}" for one in sorted(members))
        text = re.sub(r"(?m)^(  grants:[^\n]*\n)(?:    [^\n]*\n)+", lambda found: found[1] + grants, text)
    return text


def _require_free(folder: Path) -> None:
    if (folder / PAGE).exists():
        raise CallerError("workspace.exists", folder=str(folder))


def _make_keys(folder: Path, purposes: Sequence[Purpose], passphrase: str | None) -> dict[Purpose, PrivateKey]:
    keys: dict[Purpose, PrivateKey] = {}
    for purpose in purposes:
        path = _key_path(folder, purpose)
        if path.exists():
            keys[purpose] = load_private(path, passphrase=passphrase)
        else:
            keys[purpose] = generate(purpose)
            save_private(path, keys[purpose], passphrase=passphrase)
    return keys


def _key_path(folder: Path, purpose: str) -> Path:
    return folder / "keys" / f"{purpose}.pem"


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.resolve().iterdir() if path.is_dir() and os.access(path, os.R_OK | os.X_OK)]
    except OSError:
        return []

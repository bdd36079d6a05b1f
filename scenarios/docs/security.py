"""The guide to security: who may call at all, who may do what, and what a closed door looks like.

Three layers.  The class: `on_before_call` lets in only those whom the owner has admitted.
The entry: `@mesh` marks what may be called, and its guard says by whom.  The capability:
what a method hands out may be called by whoever got in.
"""

from __future__ import annotations

from lumenize_sim import (
    Faults,
    LumenizeClient,
    LumenizeClientGateway,
    LumenizeDO,
    Mesh,
    World,
    mesh,
    scenario,
)

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"


def sub_of(node: LumenizeDO) -> str | None:
    """Who began the chain, as the gateway vouches for."""
    auth = node.lmz.call_context.origin_auth
    return None if auth is None else auth.sub


def editors_only(folder: Folder) -> None:
    """Guard: the caller may write."""
    if sub_of(folder) not in folder.ctx.storage.kv.get("editors", []):
        raise PermissionError(f"{sub_of(folder)} may not write here")


class Shredder:
    """What only the owner is handed."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def shred(self, page: str) -> bool:
        """Returns whether there was one."""
        return self.folder.ctx.storage.kv.delete(f"page:{page}")


class Folder(LumenizeDO):
    """Pages of one owner, whose name is the folder's."""

    def on_before_call(self) -> None:
        """Layer one: the owner and those whom the owner has admitted; nothing in ``state`` is believed."""
        sub = sub_of(self)
        if sub != self.lmz.instance_name and sub not in self.ctx.storage.kv.get("admitted", []):
            raise PermissionError(f"{sub} is not admitted to {self.lmz.instance_name}")

    @mesh
    def admit(self, sub: str, may_write: bool) -> None:
        if sub_of(self) != self.lmz.instance_name:
            raise PermissionError("only the owner admits")
        kv = self.ctx.storage.kv
        kv.put("admitted", sorted({*kv.get("admitted", []), sub}))
        if may_write:
            kv.put("editors", sorted({*kv.get("editors", []), sub}))

    @mesh
    def read(self, page: str) -> str | None:
        text: str | None = self.ctx.storage.kv.get(f"page:{page}")
        return text

    @mesh(editors_only)
    def write(self, page: str, text: str) -> None:
        self.ctx.storage.kv.put(f"page:{page}", text)

    @mesh
    def shredder(self) -> Shredder:
        if sub_of(self) != self.lmz.instance_name:
            raise PermissionError("only the owner shreds")
        return Shredder(self)

    def secret(self) -> str:
        """Not marked, so nobody calls it from outside."""
        return "the combination"


class Doorman(LumenizeClientGateway):
    """A gateway that can be told to close."""

    def close_all(self, code: int, reason: str) -> None:
        """For an administrator, who reaches it by a plain stub."""
        for socket in self.ctx.get_web_sockets():
            socket.close(code, reason)


class Reader(LumenizeClient):
    """Notes what it is told of its connection."""

    def on_login_required(self, error: Exception) -> None:
        self.logins: list[tuple[str, int, str]] = getattr(self, "logins", [])
        self.logins.append((str(error), getattr(error, "code", 0), getattr(error, "reason", "")))


app = Mesh(bindings={"FOLDER": Folder, GATEWAY: Doorman})


async def refused(pending: object) -> str:
    """What the refusal says; an empty text where there was none."""
    try:
        await pending  # type: ignore[misc]  # a Pending
    except Exception as error:
        return str(error)
    return ""


@scenario(app)
async def security(world: World) -> None:
    """Each layer lets in whom it should, and nobody else."""
    owner, editor, stranger = [await world.connect(Reader, sub=sub) for sub in ("olga", "edith", "steve")]
    folder = owner.ctn(Folder)

    def call(who: Reader, remote: object, **options: object) -> object:
        return who.lmz.call_raw("FOLDER", "olga", remote, **options)  # type: ignore[call-overload]  # of any method

    await call(owner, folder.admit("edith", True))  # type: ignore[misc]  # a Pending
    await call(editor, folder.write("p", "hello"))  # type: ignore[misc]  # a Pending
    assert await refused(call(stranger, folder.read("p"))) == "steve is not admitted to olga"
    forged = call(stranger, folder.read("p"), state={"sub": "olga", "admin": True})
    assert await refused(forged) == "steve is not admitted to olga"
    assert await refused(call(owner, folder.write("p", "mine"))) == "olga may not write here"
    assert "not mesh-callable" in await refused(call(owner, folder.secret()))
    assert await refused(call(editor, folder.shredder().shred("p"))) == "only the owner shreds"
    assert world.object("FOLDER", "olga").storage.kv.get("page:p") == "hello"
    await call(owner, folder.shredder().shred("p"))  # type: ignore[misc]  # a Pending
    assert world.object("FOLDER", "olga").storage.kv.get("page:p") is None


@scenario(app, faults=Faults.all(at_most=3), name="security_under_faults")
async def security_under_faults(world: World) -> None:
    """No fault opens a door."""
    owner = await world.connect(Reader, sub="olga", wait=False)
    stranger = await world.connect(Reader, sub="steve", wait=False)
    owner.lmz.call("FOLDER", "olga", owner.ctn(Folder).admit("edith", True))
    for _ in range(3):
        stranger.lmz.call("FOLDER", "olga", stranger.ctn(Folder).write("p", "steve was here"))
        stranger.lmz.call("FOLDER", "olga", stranger.ctn(Folder).admit("steve", True))
    await world.settle()
    world.quiet()
    await world.settle()
    kv = world.object("FOLDER", "olga").storage.kv
    assert kv.get("page:p") is None
    assert "steve" not in kv.get("admitted", [])

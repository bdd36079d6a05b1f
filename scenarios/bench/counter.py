"""Likes of a post, counted across an external await: whoever likes it meanwhile is not counted.

The post asks a Worker whether a like is genuine, and `await` on a call opens the input gate (IG-8).  Alice has the
post before her and likes it at once.  Bob comes from the front page by way of three topics, so that first come, first
served has long counted Alice when his like arrives: the bug needs the Worker's answer to be later than all of that.

Depth 1: Bob's like comes before the Worker's answer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario

DEPTH = 1
RATE = (9, 20_000)
RACING = {
    "object": "POST/p1",
    "key": "likes",
    "events": ("like (alice)", "like (bob)"),
    "lines": ('likes: int = self.ctx.storage.kv.get("likes", 0)  # before', 'kv.put("likes", likes + 1)'),
}
WAY = ("front", "hobbies", "gardens", "roses")


class Moderator(LumenizeWorker):
    """Knows whom to believe."""

    @mesh
    def genuine(self, who: str | None) -> bool:
        return who != "mallory"


class Index(LumenizeDO):
    """The front page, or a topic: the name of what it shows first."""

    @mesh
    def first(self) -> str:
        name: str = self.ctx.storage.kv.get("first")
        return name

    def show(self, name: str) -> None:
        self.ctx.storage.kv.put("first", name)


class Post(LumenizeDO):
    """One post and how many like it."""

    @mesh
    async def like(self) -> None:
        likes: int = self.ctx.storage.kv.get("likes", 0)  # before the wait
        who = self.lmz.call_context.call_chain[0].instance_name
        if await self.lmz.call_raw("MODERATOR", None, self.ctn(Moderator).genuine(who)):
            self.ctx.storage.kv.put("likes", likes + 1)


class FixedPost(Post):
    """Reads when it knows."""

    @mesh
    async def like(self) -> None:
        who = self.lmz.call_context.call_chain[0].instance_name
        if await self.lmz.call_raw("MODERATOR", None, self.ctn(Moderator).genuine(who)):
            self.ctx.storage.kv.put("likes", self.ctx.storage.kv.get("likes", 0) + 1)


class Tab(LumenizeClient):
    """Goes down from the front page, and likes what is at the end."""

    def browse(self, page: str) -> None:
        self.lmz.call("INDEX", page, self.ctn(Index).first(), self.ctn().go_on(page, RESULT))

    def go_on(self, page: str, name: str | Exception) -> None:
        if isinstance(name, Exception):
            raise name
        if page == WAY[-1]:
            self.like(name)
        else:
            self.browse(name)

    def like(self, post: str) -> None:
        self.lmz.call("POST", post, self.ctn(Post).like())


def app_of(post: type[Post]) -> Mesh:
    return Mesh(bindings={"INDEX": Index, "POST": post, "MODERATOR": Moderator})


async def two_likes(world: World) -> None:
    """Two people like one post; the post must say two."""
    objects: Any = world.env
    for page, below in pairwise((*WAY, "p1")):
        await objects.INDEX.get_by_name(page).show(below)
    alice = await world.connect(Tab, sub="alice")
    bob = await world.connect(Tab, sub="bob")
    bob.browse(WAY[0])
    alice.like("p1")
    await world.settle()
    likes = world.object("POST", "p1").storage.kv.get("likes")
    assert likes == 2, f"two people like it, and the post says {likes}"


@scenario(app_of(Post))
async def counter(world: World) -> None:
    """With the bug."""
    await two_likes(world)


@scenario(app_of(FixedPost))
async def counter_fixed(world: World) -> None:
    """Without it."""
    await two_likes(world)

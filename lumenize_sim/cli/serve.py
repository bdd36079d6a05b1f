"""``lumenize-sim serve``: a mesh for real, on web sockets and SQLite files."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path

import click
import trio

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.loading import load_module
from lumenize_sim.live import serve_app
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.world.scenario import Scenario

__all__ = ["load_app", "serve"]


def load_app(where: str) -> Mesh:
    """The mesh in a file: a variable that holds a `Mesh`, or that of a scenario; ``path.py::name`` chooses.

    Raises:
        UsageError: no such file, no such mesh, or several and no name.
    """
    path, _, wanted = where.partition("::")
    module = load_module(path)
    found: dict[str, Mesh] = {}
    for name, value in vars(module).items():
        if isinstance(value, Mesh):
            found[name] = value
        elif isinstance(value, Scenario):
            found[value.name] = value.app
    if wanted:
        if wanted not in found:
            raise UsageError(f"{path} defines no mesh {wanted!r}; there is: {', '.join(found) or 'none'}.")
        return found[wanted]
    distinct: list[Mesh] = []
    for app in found.values():
        if all(app is not other for other in distinct):
            distinct.append(app)
    if not distinct:
        raise UsageError(f"{path} defines no mesh: write app = Mesh(bindings={{...}}) in it.")
    if len(distinct) > 1:
        names = ", ".join(found)
        raise UsageError(f"{path} defines several meshes ({names}): choose one with {path}::{next(iter(found))}.")
    return distinct[0]


@click.command()
@click.argument("source", metavar="FILE[::NAME]")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for SQLite files, one per object.  [default: memory]",
)
@click.option("--secret", envvar="LUMENIZE_SECRET", help="What tokens are signed with (HS256).  [default: drawn anew]")
@click.option("--print-token", "subs", metavar="SUB", multiple=True, help="Print an access token for a user.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON: url, tokens.")
@click.option("-v", "--verbose", is_flag=True, help="Log what nodes do.")
def serve(
    source: str,
    port: int,
    host: str,
    data: Path | None,
    secret: str | None,
    subs: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Serve the mesh in FILE until Ctrl-C: the same classes that the simulator runs, for real.

    Clients connect to the URL that is printed, with an access token from --print-token
    or one that you sign yourself with --secret (HS256; claims: sub, exp, adminApproved).
    An app with keys in its variables accepts the tokens of those keys instead.
    """
    app = load_app(source)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    trio.run(_serve, app, host, port, data, secret, subs, as_json)


async def _serve(
    app: Mesh, host: str, port: int, data: Path | None, secret: str | None, subs: tuple[str, ...], as_json: bool
) -> None:
    # Signals are heard as messages, so that Ctrl-C never breaks off a turn in the middle.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serve_app(app, host=host, port=port, data=data, secret=secret) as server:
            tokens = {sub: server.mint(sub) for sub in subs}
            if as_json:
                click.echo(json.dumps({"url": server.url, "tokens": tokens}))
            else:
                click.echo(f"serving {', '.join(app.bindings)} at {server.url} (Ctrl-C stops)")
                click.echo(
                    f"storage: {data if data is not None else 'in memory, gone at the end; keep it with --data DIR'}"
                )
                for sub, token in tokens.items():
                    click.echo(f"token for {sub}: {token}")
                if not tokens:
                    click.echo("for an access token, start with --print-token SUB")
            number = await anext(aiter(signals))
    if number == signal.SIGINT:
        raise KeyboardInterrupt

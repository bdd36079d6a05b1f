"""Errors whose class names and texts are part of the mesh protocol."""

from __future__ import annotations

from typing import Any

from lumenize_sim.clone import UNDEFINED, RemoteError, register_error
from lumenize_sim.errors import AppError

__all__ = ["ClientDisconnectedError", "LoginRequiredError", "MeshError"]


class MeshError(AppError, RemoteError):
    """What the original raises as a plain ``Error`` with a fixed text.

    It travels under that name, so a caller elsewhere gets a `RemoteError` whose ``name`` is ``"Error"``.

    Attributes:
        value: the raised value where a peer raised something that is no error (RES-7); absent otherwise.
    """

    value: Any

    def __init__(self, message: str = "", value: object = UNDEFINED) -> None:
        super().__init__(message)
        if value is not UNDEFINED:
            self.value = value


class ClientDisconnectedError(AppError):
    """The called client has no connection and none came back in time (RES-4)."""

    def __init__(self, message: str = "Client is not connected", client_instance_name: str | None = None) -> None:
        super().__init__(message)
        self.client_instance_name = client_instance_name

    @property
    def client_instance_name(self) -> str | None:
        """Whom the call was for, where known; ``clientInstanceName`` on the wire, there as undefined if not known."""
        name = self.__dict__.get("client_instance_name", UNDEFINED)
        return None if name is UNDEFINED else name

    @client_instance_name.setter
    def client_instance_name(self, name: str | None) -> None:
        self.__dict__["client_instance_name"] = UNDEFINED if name is None else name


class LoginRequiredError(AppError):
    """The gateway refused the token; the user has to log in again.

    Attributes:
        code: of the web socket's close frame.
        reason: of the same.
    """

    def __init__(self, message: str = "", code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


register_error(ClientDisconnectedError, properties={"client_instance_name": "clientInstanceName"})
register_error(LoginRequiredError)

"""API keys: bearer tokens, checked where `SWIN_API_KEYS` has any."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from service.api.state import service_state
from service.errors import InvalidApiKey
from service.settings import Settings

bearer = HTTPBearer(auto_error=False, description="one of the keys in SWIN_API_KEYS")


async def authorise(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> None:
    """Check a request's key; routes depend on this where `SWIN_API_KEYS` has any.

    Raises:
        InvalidApiKey: there is no key, or one that is not known.
    """
    settings = service_state(request).settings
    scheme, key = get_authorization_scheme_param(request.headers.get("authorization"))
    # Header values are decoded as latin-1; this gives the client's bytes back.
    check(settings, key.encode("latin-1") if key and scheme.lower() == "bearer" else None)


def check(settings: Settings, given: bytes | None) -> None:
    """Compare a key with every known one, in a time that reveals nothing about them.

    Raises:
        InvalidApiKey: there is no key, or one that is not known.
    """
    if given is None:
        raise InvalidApiKey("send an API key: Authorization: Bearer KEY")
    digest = _digest(given)
    known = [_digest(key.get_secret_value().encode()) for key in settings.api_keys]
    if not any([hmac.compare_digest(digest, one) for one in known]):  # noqa: C419 - all are compared
        raise InvalidApiKey("the API key is not known here")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

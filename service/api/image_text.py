"""Images as text: data URIs, bare base64 and, where the operator allows it, addresses."""

import binascii
import re
import urllib.parse

from service.errors import InvalidRequest

DATA_URI = re.compile(r"data:[^,]{0,256}?(?P<base64>;\s*base64)?,", re.IGNORECASE)
ADDRESS = re.compile(r"https?://", re.IGNORECASE)

URL_SAFE = str.maketrans("-_", "+/")


def is_address(text: str) -> bool:
    """Whether a text is an http or https URL."""
    return ADDRESS.match(text) is not None


def decode(text: str, param: str | None) -> bytes:
    """The bytes in a data URI (RFC 2397) or in base64, with white space around it or not.

    Raises:
        InvalidRequest: it is neither, or empty.
    """
    text = text.strip()
    uri = DATA_URI.match(text)
    data = text[uri.end() :] if uri else text
    try:
        if uri and not uri["base64"]:
            image = urllib.parse.unquote_to_bytes(data)
        else:
            image = decode_base64(urllib.parse.unquote(data) if uri else data)
    except ValueError as error:
        raise InvalidRequest(
            "an image is a data URI (data:image/jpeg;base64,...) or its base64; this is neither",
            param=param,
        ) from error
    if not image:
        raise InvalidRequest("the image is empty", param=param)
    return image


def decode_base64(text: str) -> bytes:
    """Base64 in either alphabet of RFC 4648, with or without padding, in lines or not.

    Raises:
        ValueError: it is not base64.
    """
    digits = text.replace("\r", "").replace("\n", "").translate(URL_SAFE).rstrip("=")
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)

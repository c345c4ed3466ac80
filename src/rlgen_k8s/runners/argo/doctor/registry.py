"""Ask a container registry whether it has an image, and under which digest: HEAD on the manifest, as the distribution
API has it."""

import json
import re
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class Answer:
    """`found` is None when the registry cannot be asked from here."""

    found: bool | None
    said: str
    digest: str = ""
    """"sha256:…"; empty where the registry does not tell."""


def split(image: str) -> tuple[str, str, str]:
    """Registry, repository, and tag or digest of an image reference, with Docker's defaults."""
    first, slash, rest = image.partition("/")
    if not slash or not (first == "localhost" or set(first) & {".", ":"}):
        first, rest = "registry-1.docker.io", image if slash else f"library/{image}"
    name, at, digest = rest.partition("@")
    name, colon, tag = name.partition(":")
    return first, name, digest if at else tag if colon else "latest"


def look_up(image: str, timeout: float) -> Answer:
    """Whether the image's registry has it, asked without credentials."""
    registry, name, reference = split(image)
    local = registry.partition(":")[0] in ("localhost", "127.0.0.1")
    url = f"{'http' if local else 'https'}://{registry}/v2/{name}/manifests/{reference}"
    try:
        try:
            digest = _head(url, timeout)
        except HTTPError as error:
            token = _token(error.headers.get("WWW-Authenticate") or "", timeout) if error.code == 401 else None
            if token is None:
                raise
            digest = _head(url, timeout, token)
    except HTTPError as error:
        if error.code == 404:
            return Answer(False, f"{registry} does not have it")
        return Answer(None, f"{registry} does not tell ({error.code})")
    except (OSError, HTTPException) as error:
        return Answer(None, f"{registry} is not reachable from here ({getattr(error, 'reason', error)})")
    return Answer(True, f"{registry} has its manifest", digest)


def pinned(image: str, timeout: float) -> str:
    """The image by the digest that its tag has now; as given where that is a digest, or cannot be told from here."""
    if not image or "@" in image:
        return image
    digest = look_up(image, timeout).digest
    return by_digest(image, digest) if digest else image


def by_digest(image: str, digest: str) -> str:
    """An image reference with a digest in its tag's place."""
    path, slash, name = image.rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}@{digest}"


def _head(url: str, timeout: float, token: str = "") -> str:
    """The digest that the answer names."""
    headers = {"Accept": MANIFESTS} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urlopen(Request(url, method="HEAD", headers=headers), timeout=timeout) as answer:
        return str(answer.headers.get("Docker-Content-Digest") or "")


def _token(challenge: str, timeout: float) -> str | None:
    """An anonymous token, as a registry's challenge asks for; None when it asks for something else."""
    scheme, _, rest = challenge.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    if scheme.lower() != "bearer" or "realm" not in fields:
        return None
    query = urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
    with urlopen(f"{fields['realm']}?{query}", timeout=timeout) as answer:
        said = json.load(answer)
    return str(said.get("token") or said.get("access_token"))

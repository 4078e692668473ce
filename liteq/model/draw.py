"""Numbers drawn from a text: the same on every machine and in every release."""


def drawn_from(text: str) -> int:
    """Give 64 bits that look random and that only the text decides."""
    from hashlib import blake2b  # noqa: PLC0415  it loads OpenSSL: 2 ms, 4 MB, and most programs draw nothing

    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())

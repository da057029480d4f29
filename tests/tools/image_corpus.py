#!/usr/bin/env python3
"""Images for examples/image_service: good ones, and hostile ones that are made of them. As a program, writes all to files.

usage: image_corpus.py DIRECTORY
"""
import base64
import pathlib
import random
import struct
import sys
import zlib

# 96 x 64 pixels each: a progressive JPEG, and a lossy WebP.
JPEG = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4x9lnN+
gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wgARCABAAGADASIAAhEB
AxEB/8QAGQABAQEBAQEAAAAAAAAAAAAAAAMEAgEF/8QAGAEAAwEBAAAAAAAAAAAAAAAAAAIDBAH/2gAMAwEAAhADEAAAAcw0xACvaWzqS7P0MoAHRaP0
Jd46p3l0Y5a5Uyxltx2PBXvobjXk8lTf1g7z7LxjGmTfCVKIFVDoAVrl9jekevGmFEAP/8QAHxAAAgEEAgMAAAAAAAAAAAAAAAERAgMTIDAxEiFA/9oA
CAEBAAEFAvg8SC4uGhEEFxEDXrZIgguIggfeuekz0mekuX6TPSZ6R97QQXEQJcCaILi5J2//xAAfEQACAgEEAwAAAAAAAAAAAAABAgADERASIDETISP/
2gAIAQMBAT8B0WomOu1scB3FaWt9DM51QAn3FrSW1p5DCoHXBbiO47bmzr//xAAeEQACAgICAwAAAAAAAAAAAAABAgARAxAgIRIxUf/aAAgBAgEBPwHR
YCA8MpoS4rdTGb63kUHueCxUWoiAeuBxfIMdStf/xAAbEAACAgMBAAAAAAAAAAAAAAAAATAxECFAEf/aAAgBAQAGPwLg3hSKHzKhplMpi0ymU4lIuL//
xAAkEAEAAQEIAQUAAAAAAAAAAAABABEQICEwMUFRkeFAYXGB0f/aAAgBAQABPyH0BA4EY4Q7yKuMCQ+k2RDIKiAhTDvZCCBRHF4HDF+IaJ0w2emfhMPC
w8LHVpu3qY+8JLGMkaBwhYFMoU0UinVW9//aAAwDAQACAAMAAAAQMMEFMM+8bMc+BWIUaBPfe8NP/8QAHREAAgICAwEAAAAAAAAAAAAAAREAECAhUZGx
of/aAAgBAwEBPxCt6SowdrA01PxPBBYv1XSPBNXg0AOMOd//xAAfEQADAQACAQUAAAAAAAAAAAAAARHwITFBUXGBoeH/2gAIAQIBAT8QhB5BLXPBCEPL
djnjrffsQMz9G3BCCVN4Gvb9Ek21ZzOb4IQhd14SJNiRKIh//8QAIhABAAICAQMFAQAAAAAAAAAAAQARITFhIEGBMFFxsdGh/9oACAEBAAE/EPXBWjcr
pXiGRsNm2vEDW3wiVvrUY70zAVb7RatwheZvxOS/iV2AEzvr3YQBZgAWyhzn2Tv+cHiUY1wblNYr+s7s2TqTp4j9gdn3afsLgB70/YcqJnNOOYc1nwv7
mrXwC/uAWQRB+eoKk2lGDXdmlTHYifPPjU7v97sG8lV26xRs3GAnLmZ+fqHWOM+dQJ8wK16NvmN01KvGatvq/9k=""")

WEBP = base64.b64decode("""
UklGRn4BAABXRUJQVlA4IHIBAACQCwCdASpgAEAAPzmGuFSvKKUjMBlaAeAnCWwAynYBXb5gfjuUycB6G9tXz8fn/5Ft6qX+ZB6Cfa4unjbTd94shhOr
Ztf7iwehb843qkxqbLWwryjXw1nzwvrBLd4K5Aq4/b61QAD+6Di4sKoLyXpeT+DdEWJ2QC8oorqsUgLdVLbON064oDdrinVGjdWNap+iie3n5N9cHn+e
vocuITNP3w9TScSvZMB+W8hoEt4XG+1X/5cr9J7F1sDbRjcm+kTHlN+cQZhJgfiJIUsAwtjjMPqeVp0lMj5wStG+qZdvOzZlc+2GyixSzSc/vlKj/c++
F/ZWgvaK0sRlXf+DzW2CJv0KWqlxHEzuC5orfZyd1gtQHp8wpsyn1w6lXnMFScb1mB/SrAwJHD/J5muoIU5BS9xlCjkcDJOdrbikONEnn1Uu74SzhbBd
IhvjD0IJXL/y81SOqXNugcA/XSetkbUf5Wvn9sz6WR/H29ZEGF9ikgAA""")

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows=None, extra=b""):
    """8-bit RGBA; noise, where no (compressed) rows are given."""
    if rows is None:
        noise = random.Random(width * height)
        rows = zlib.compress(b"".join(b"\0" + noise.randbytes(4 * width) for _ in range(height)), 1)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)) + extra +
            chunk(b"IDAT", rows) + chunk(b"IEND", b""))


PNG = png(96, 64)
GOOD = {"good.jpg": JPEG, "good.png": PNG, "good.webp": WEBP}


def of_size(image, width, height):
    """The same file, which says that its image is of that size."""
    if image is JPEG:
        frame = image.index(b"\xff\xc2") + 5  # SOF2, its length, its precision
        return image[:frame] + struct.pack(">HH", height, width) + image[frame + 4:]
    if image is WEBP:
        size = image.index(b"\x9d\x01\x2a") + 3
        return image[:size] + struct.pack("<HH", width, height) + image[size + 4:]
    return png(width, height, b"")


def hostile():
    """Of each its name, its bytes, and the statuses that it may be answered with."""
    yield "empty", b"", {400}
    yield "text", b"no image at all", {415}
    yield "gif", b"GIF89a" + bytes(100), {415}
    yield "zeros", bytes(100_000), {415}
    yield "html", b"<!doctype html><script>alert(1)</script>", {415}
    for name, image in GOOD.items():
        for length in (1, 2, 4, 8, 12, 16, 24, 33, 60, len(image) // 2, len(image) - 20):
            yield f"{name}, its first {length} bytes", image[:length], {400, 415}
        source = random.Random(name)
        for number in range(25):
            flipped = bytearray(image)
            for _ in range(1 + number // 5):
                flipped[source.randrange(len(flipped))] ^= 1 << source.randrange(8)
            # What is broken may still be an image, or say that it is another or a larger one.
            yield f"{name}, flipped {number}", bytes(flipped), {200, 400, 415, 422}
        yield f"{name}, its end repeated", image + image[len(image) // 2:], {200, 400}
        yield f"{name} as a bomb", of_size(image, 16383, 16383), {422}
        yield f"{name} without width", of_size(image, 0, 64), {400}
    # 12 million pixels, which are allowed, of 47 KB and of nothing; and a text that unpacks to 100 MB.
    zeros = zlib.compress(bytes(4 * 12_000_000 + 2000), 9)
    yield "bomb below the limit", png(6000, 2000, zeros), {200}
    yield "bomb without data", png(6000, 2000, b""), {400}
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    yield "bomb in a text", png(96, 64, extra=text), {200, 400}
    yield "rows that do not unpack", png(96, 64, b"\x78\x9c" + bytes(50)), {400}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for file_name, content in GOOD.items():
        (directory / file_name).write_bytes(content)
    for index, (what, content, _) in enumerate(hostile()):
        (directory / f"{index:03} {what}".replace("/", "-")).write_bytes(content)

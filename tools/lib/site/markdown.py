"""What the pages' Markdown holds: links and headings, outside of code."""
import re
import typing

FENCE = re.compile(r"^\s*(```+|~~~+)")
LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
HEADING = re.compile(r"^(#{1,6})\s+(?P<text>.*?)\s*#*$")


def outside_code(text: str) -> typing.Iterator[tuple[int, str]]:
    """The lines that are no code, with their numbers from 1."""
    fence = ""
    for number, line in enumerate(text.split("\n"), 1):
        if opened := FENCE.match(line):
            if not fence:
                fence = opened[1]
            elif opened[1].startswith(fence):
                fence = ""
        elif not fence:
            yield number, line


def without_code_spans(line: str) -> str:
    """The line with as many spaces as there was code between backticks."""
    return re.sub(r"(`+)(?:(?!\1).)+\1", lambda span: " " * len(span[0]), line)


def is_elsewhere(target: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*:", target) is not None


def links(text: str) -> typing.Iterator[tuple[int, str]]:
    """Line and target of each link."""
    for number, line in outside_code(text):
        for link in LINK.finditer(without_code_spans(line)):
            yield number, link["target"]


def replace_links(text: str, replaced: typing.Callable[[str], str]) -> str:
    lines = text.split("\n")
    for number, line in outside_code(text):
        spans = without_code_spans(line)
        for link in reversed(list(LINK.finditer(spans))):
            begin, end = link.span("target")
            line = line[:begin] + replaced(link["target"]) + line[end:]
        lines[number - 1] = line
    return "\n".join(lines)


def name_links(text: str, title_of: typing.Callable[[str], str]) -> str:
    """A link whose text is the name of a page gets that page's title as its text."""
    lines = text.split("\n")
    for number, line in outside_code(text):
        lines[number - 1] = re.sub(r"\[[\w./-]+\.md\]\(([^()\s#]+)(#[^()\s]*)?\)",
                                   lambda link: f"[{title_of(link[1])}]({link[1]}{link[2] or ''})", line)
    return "\n".join(lines)


def slug(heading: str) -> str:
    """The anchor that code forges, and the site, give a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain).strip().lower().replace(" ", "-")


def headings(text: str) -> typing.Iterator[str]:
    for _, line in outside_code(text):
        if heading := HEADING.match(line):
            yield heading["text"]

"""Checks what a browser would make of the built site: each link within it leads to a page and an anchor that are there,
and nothing is loaded from elsewhere."""
import html.parser
import pathlib
import re
import urllib.parse

# What a page loads by itself: (element, attribute). A link is only followed by who clicks on it.
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href"), ("object", "data")}
OF_STYLES = re.compile(r"(?:url\(|@import\s*)[\"']?\s*(https?:)?//")


class Page(html.parser.HTMLParser):
    def __init__(self, file: pathlib.Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif (tag, name) in LOADED:
                self.loaded.append(value)
            elif tag == "a" and name == "href":
                self.links.append(value)


def complaints(site: pathlib.Path) -> list[str]:
    found = []
    pages = {file: Page(file) for file in sorted(site.rglob("*.html"))}
    for file, page in pages.items():
        if file.name == "404.html":  # its links are for wherever it is shown
            continue
        name = file.relative_to(site)
        for link in page.loaded + page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    found.append(f"{name}: loads {link}")
                continue
            target = (file.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else file.resolve()
            if target.is_dir():
                target = target / "index.html"
            if not target.is_file():
                found.append(f"{name}: links to {link}, which is not there")
            elif parts.fragment and target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: links to {link}, and there is no such anchor")
    for style in sorted(site.rglob("*.css")):
        if OF_STYLES.search(style.read_text(encoding="utf-8")):
            found.append(f"{style.relative_to(site)}: loads from elsewhere")
    return found
